//! Subjects, and what many of them have in common.

use crate::protocol::text;

/// Bytes of a subject that are kept.
const MOST: usize = 128;
/// Inboxes: where replies go. Each is used once, or by one client.
const INBOX: &[u8] = b"_INBOX.";
/// Where a message of `JetStream` is acknowledged.
const ACK: &[u8] = b"$JS.ACK.";
/// Where a consumer of `JetStream` asks for its next messages, which do not come as replies.
const NEXT: &[u8] = b"$JS.API.CONSUMER.MSG.NEXT.";

/// A subject as text, bounded.
pub(super) fn bounded(subject: &[u8]) -> Box<str> {
    text::bounded(subject, MOST)
}

/// Replies go there.
pub(super) fn is_inbox(subject: &[u8]) -> bool {
    subject.starts_with(INBOX)
}

/// Acknowledgements go there.
pub(super) fn is_ack(subject: &[u8]) -> bool {
    subject.starts_with(ACK)
}

/// Messages are asked for there, and come under their own subjects.
pub(super) fn is_pull(subject: &[u8]) -> bool {
    subject.starts_with(NEXT)
}

/// The subject with what is different each time as `*`: of an inbox or an acknowledgement all but its kind, else each
/// token that looks like a number or an id.
pub(super) fn template(subject: &str) -> Box<str> {
    let bytes = subject.as_bytes();
    if is_inbox(bytes) {
        return "_INBOX.*".into();
    }
    if is_ack(bytes) {
        return "$JS.ACK.*".into();
    }
    let mut template = String::with_capacity(subject.len());
    for (i, token) in subject.split('.').enumerate() {
        if i > 0 {
            template.push('.');
        }
        template.push_str(if is_id(token) { "*" } else { token });
    }
    template.into()
}

/// Numbers, hexadecimal from 16 digits on, UUIDs, and NUIDs (22 letters and digits, mixed).
fn is_id(token: &str) -> bool {
    let bytes = token.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hexadecimal = bytes.iter().filter(|byte| byte.is_ascii_hexdigit() || **byte == b'-').count();
    let word = bytes.iter().all(u8::is_ascii_alphanumeric);
    digits > 0
        && (digits == bytes.len()
            || hexadecimal == bytes.len() && bytes.len() >= 16
            || word && bytes.len() >= 20)
}

/// FNV-1a: subjects are compared by it.
pub(super) fn hash(subject: &[u8]) -> u64 {
    subject
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        for (subject, expected) in [
            ("orders.new", "orders.new"),
            ("orders.4711.shipped", "orders.*.shipped"),
            ("user.0192ff3e-1111-2222-3333-444455556666", "user.*"),
            ("a.b2b.v1", "a.b2b.v1"),
            ("_INBOX.5S4VgDC4RbtMmGAZ9hoKpk.1", "_INBOX.*"),
            ("$JS.ACK.S.C.1.2.3.4.0", "$JS.ACK.*"),
            ("$JS.API.STREAM.INFO.S", "$JS.API.STREAM.INFO.S"),
        ] {
            assert_eq!(&*template(subject), expected);
        }
    }
}
