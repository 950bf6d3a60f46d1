//! Nodes' paths with few different values.
//!
//! A path names a place (`/brokers/ids`), and often behind it something that is one of very many: a number, a host, a
//! session, the sequence number that the server appended. Those become `*`.

use crate::protocol::text;

/// Segments that are told.
const MOST_SEGMENTS: usize = 5;
/// Bytes of a path that are looked at, and of a segment that are told.
const MOST_BYTES: usize = 512;
const MOST_SEGMENT: usize = 48;
/// Digits that the server appends to a sequential node's name.
const SEQUENCE: usize = 10;

/// The path with `*` for what varies.
pub(super) fn template(path: &[u8]) -> Box<str> {
    let path = text::cut(path, MOST_BYTES);
    let mut out = String::with_capacity(path.len());
    for (index, segment) in path.split(|&byte| byte == b'/').skip(1).enumerate() {
        out.push('/');
        if index >= MOST_SEGMENTS {
            out.push('*');
            break;
        }
        push(&mut out, segment);
    }
    out.into_boxed_str()
}

fn push(out: &mut String, segment: &[u8]) {
    /// So many digits, and it is no name that somebody thought of.
    const MANY: usize = 4;
    let digits = |bytes: &[u8]| bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let (stem, end) = segment.split_at(segment.len().saturating_sub(SEQUENCE));
    let varies = |bytes: &[u8]| {
        digits(bytes) >= MANY || bytes.contains(&b':') || (digits(bytes) > 0 && digits(bytes) == bytes.len())
    };
    if digits(end) == SEQUENCE && !varies(stem) && stem.len() <= MOST_SEGMENT {
        text::push_lossy(out, stem);
        out.push('*');
    } else if varies(segment) || segment.len() > MOST_SEGMENT {
        out.push('*');
    } else {
        text::push_lossy(out, segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names stay; numbers, hosts, ids and sequence numbers become stars.
    #[test]
    fn templates() {
        for (path, expected) in [
            ("/", "/"),
            ("/brokers/ids/1", "/brokers/ids/*"),
            ("/brokers/topics/orders-v2", "/brokers/topics/orders-v2"),
            ("/app/lock-0000000012", "/app/lock-*"),
            ("/app/0000000012", "/app/*"),
            ("/_c_0f3b1c2d-93a1-4d0e-8e1a-1b2c3d4e5f60-lock-0000000003", "/*"),
            ("/services/shop/10.0.0.12:8080", "/services/shop/*"),
            ("/hbase/rs/node7.example,16020,1700000000000", "/hbase/rs/*"),
            ("/a/b/c/d/e/f/g", "/a/b/c/d/e/*"),
            ("", ""),
        ] {
            assert_eq!(&*template(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(&*template(&[&b"/"[..], &[b'x'; 100]].concat()), "/*");
        assert!(template(&[b'/'; 5000]).len() < 20);
    }
}
