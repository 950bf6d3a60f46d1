//! gRPC over HTTP/2 (the protocol of `grpc/doc/PROTOCOL-HTTP2.md`): what a call is beside the HTTP exchange that carries it.
//!
//! A call is one stream of HTTP/2. Its name is the path, its messages lie in DATA behind a prefix of five bytes each, and its
//! status is in the trailers, or in the only head of a response without messages. Calls of any kind are counted the same
//! way: messages and bytes of each direction.

mod detail;
mod instruments;
mod message;
mod status;

pub(in crate::protocol) use detail::GrpcDetail;
pub(in crate::protocol) use message::Messages;

use super::http::is;
use super::text;

/// Bytes of `grpc-message` that are kept.
const MOST_MESSAGE: usize = 256;

/// Does this `Content-Type` say gRPC (`application/grpc`, `application/grpc+proto`, …)? gRPC-Web frames its trailers as data,
/// and is HTTP to us.
pub(in crate::protocol) fn is_grpc(content_type: &[u8]) -> bool {
    let Some((start, rest)) = content_type.split_at_checked(16) else { return false };
    is(start, b"application/grpc") && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// A call, beside its HTTP exchange.
#[derive(Clone, Debug)]
pub(in crate::protocol) struct Call {
    /// A content type said so. If none could be read, because the field was said before we came, the call is one if
    /// all of its bytes turn out to be messages, and it ends with trailers.
    pub certain: bool,
    /// `grpc-timeout`, nanoseconds.
    pub timeout: Option<u64>,
    /// What the client sent.
    pub requests: Messages,
    /// What the server sent.
    pub responses: Messages,
    /// `grpc-status`
    pub status: Option<u32>,
    /// `grpc-message`
    pub message: Option<Box<str>>,
    /// The response ended with field lines.
    pub trailers: bool,
    /// The status may have been among field lines that could not be read.
    pub status_hidden: bool,
}

impl Call {
    pub fn new(certain: bool, timeout: Option<&[u8]>) -> Self {
        Self {
            certain,
            timeout: timeout.and_then(timeout_of),
            requests: Messages::default(),
            responses: Messages::default(),
            status: None,
            message: None,
            trailers: false,
            status_hidden: false,
        }
    }

    /// Takes `grpc-status` and `grpc-message` from a response's field lines, of which `unknown` could not be read.
    pub fn ended(&mut self, status: Option<&[u8]>, message: Option<&[u8]>, unknown: u32) {
        self.status = self.status.or_else(|| status::number(status?));
        self.status_hidden |= unknown > 0;
        if let Some(message) = message.filter(|message| !message.is_empty()) {
            self.message = Some(text::bounded(&percent_decoded(message), MOST_MESSAGE));
        }
    }

    /// Is this a call at all?
    pub fn is_one(&self) -> bool {
        self.certain
            || self.status.is_some()
            || (self.trailers && self.requests.are_whole(1) && self.responses.are_whole(0))
    }

    /// Bytes of memory, about.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.message.as_ref().map_or(0, |message| message.len())
    }
}

/// `grpc-timeout`: at most eight digits and a unit. Nanoseconds.
fn timeout_of(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'9' => Some(number * 10 + u64::from(digit - b'0')),
        _ => None,
    })?;
    let unit: u64 = match unit {
        b'n' => 1,
        b'u' => 1_000,
        b'm' => 1_000_000,
        b'S' => 1_000_000_000,
        b'M' => 60_000_000_000,
        b'H' => 3_600_000_000_000,
        _ => return None,
    };
    Some(number.saturating_mul(unit))
}

/// `grpc-message` is percent-encoded; what is not valid stays as it is.
fn percent_decoded(message: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut out = Vec::with_capacity(message.len());
    let mut rest = message;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, digit(behind.first()), digit(behind.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &behind[2..];
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (value, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(value.as_bytes()), grpc, "{value}");
        }
    }

    #[test]
    fn timeouts() {
        for (value, nanoseconds) in [
            ("1S", Some(1_000_000_000)),
            ("100m", Some(100_000_000)),
            ("99999999n", Some(99_999_999)),
            ("2u", Some(2_000)),
            ("3M", Some(180_000_000_000)),
            ("1H", Some(3_600_000_000_000)),
            ("123456789n", None),
            ("S", None),
            ("1", None),
            ("1x", None),
            ("-1S", None),
            ("", None),
        ] {
            assert_eq!(timeout_of(value.as_bytes()), nanoseconds, "{value}");
        }
    }

    #[test]
    fn messages_of_statuses() {
        assert_eq!(percent_decoded(b"not%20found%3A 100%"), b"not found: 100%");
        let mut call = Call::new(true, None);
        call.ended(Some(b"5"), Some("%C3%A9".as_bytes()), 0);
        assert_eq!((call.status, call.message.as_deref()), (Some(5), Some("é")));
    }
}
