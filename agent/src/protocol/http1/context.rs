//! What a request's fields say of where it comes from: W3C trace context, and proxies' notes.

use crate::protocol::TraceParent;

use super::head::is;

/// Reads `traceparent` (W3C Trace Context, 3.2). A higher version than 00 is read as far as 00 goes.
pub(in crate::protocol) fn trace_parent(value: &[u8]) -> Option<TraceParent> {
    let (fields, rest) = value.split_at_checked(55)?;
    let version = hex::<1>(&fields[..2])?[0];
    let extensible = version != 0 && rest.first() == Some(&b'-');
    if version == 0xff || !(rest.is_empty() || extensible) || [2, 35, 52].iter().any(|&at| fields[at] != b'-')
    {
        return None;
    }
    let trace = hex(&fields[3..35])?;
    let span = hex(&fields[36..52])?;
    let flags = hex::<1>(&fields[53..55])?[0];
    (trace != [0; 16] && span != [0; 8]).then_some(TraceParent { trace, span, flags, state: None })
}

/// Lower-case hexadecimal, as the recommendation demands.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

/// The first value of a parameter in the first element of `Forwarded` (RFC 7239, 4).
pub(super) fn forwarded<'a>(value: &'a [u8], parameter: &[u8]) -> Option<&'a [u8]> {
    let first = list_head(value);
    first.split(|&byte| byte == b';').find_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        is(pair[..equals].trim_ascii(), parameter).then(|| unquote(pair[equals + 1..].trim_ascii()))
    })
}

/// The first element of a comma-separated list.
pub(super) fn list_head(value: &[u8]) -> &[u8] {
    value.split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii()
}

fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// The recommendation's example, and what it calls invalid.
    #[test]
    fn trace_parents() {
        let parent = trace_parent(VALID.as_bytes()).unwrap();
        assert_eq!(parent.trace[..4], [0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!(parent.span, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert_eq!(parent.flags, 1);
        assert!(trace_parent(VALID.replacen("00", "cc", 1).as_bytes()).is_some());
        assert!(trace_parent((VALID.replacen("00", "cc", 1) + "-what").as_bytes()).is_some());
        for invalid in [
            "".to_owned(),
            VALID[..54].to_owned(),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            VALID.to_owned() + "-what",
            VALID.replacen("00", "cc", 1) + "what",
            VALID.replace('-', "_"),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
        ] {
            assert_eq!(trace_parent(invalid.as_bytes()), None, "{invalid}");
        }
    }

    /// RFC 7239's examples.
    #[test]
    fn forwarded_elements() {
        let get = |value: &'static str, name: &str| {
            forwarded(value.as_bytes(), name.as_bytes()).map(|v| std::str::from_utf8(v).unwrap())
        };
        assert_eq!(get("for=192.0.2.43, for=198.51.100.17", "for"), Some("192.0.2.43"));
        assert_eq!(get("For=\"[2001:db8:cafe::17]:4711\"", "for"), Some("[2001:db8:cafe::17]:4711"));
        assert_eq!(get("for=192.0.2.60;proto=http;by=203.0.113.43", "proto"), Some("http"));
        assert_eq!(get("for=192.0.2.60; host=\"a.example:81\"", "host"), Some("a.example:81"));
        assert_eq!(get("by=x, host=y", "host"), None);
        assert_eq!(get("nonsense", "for"), None);
    }
}
