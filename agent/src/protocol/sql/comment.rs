//! Trace context in comments, as sqlcommenter writes it: `/*traceparent='00-…-01',tracestate='a%3Db'*/`.

use crate::protocol::TraceParent;
use crate::protocol::context::trace_parent;

/// Bytes of a comment that are looked at.
const MOST_COMMENT: usize = 2048;
/// Bytes of `tracestate` that are kept (W3C Trace Context, 3.3.1.5).
const MOST_STATE: usize = 512;

/// The trace context in a comment's text, if it has one.
pub(super) fn trace_context(text: &[u8]) -> Option<TraceParent> {
    let text = &text[..text.len().min(MOST_COMMENT)];
    let parent = trace_parent(value(text, b"traceparent='")?)?;
    let state = value(text, b"tracestate='").map(decode).filter(|state| !state.is_empty());
    Some(TraceParent { state: state.map(String::into_boxed_str), ..parent })
}

/// What stands between a key and the closing quote. The key begins the comment, or follows a comma.
fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find_iter(text, key)
        .find(|at| text[..*at].trim_ascii_end().last().is_none_or(|before| *before == b','))?;
    let rest = &text[at + key.len()..];
    Some(&rest[..memchr::memchr(b'\'', rest)?])
}

/// Percent-decoded; what is no printable ASCII ends it.
fn decode(value: &[u8]) -> String {
    let mut out = String::new();
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                match (digit(bytes.next()), digit(bytes.next())) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => break,
                }
            }
            byte => byte,
        };
        if !(b' '..=b'~').contains(&byte) || out.len() >= MOST_STATE {
            break;
        }
        out.push(char::from(byte));
    }
    out
}
