//! Messages and their lengths (manual: "Message Formats").
//!
//! A message is a letter and a length that counts itself but not the letter. What opens a connection has no letter, and its
//! length is below 10,000, so its first byte is zero, which is no letter.

use crate::protocol::frames::{Framing, Measure};

/// Bytes before a message's contents.
pub(super) const HEADER: usize = 5;
/// Bytes of a statement that are read.
pub(super) const MAX_STATEMENT: usize = 16 * 1024;
/// Bytes of a message that begins with names; longer names are not known.
const MAX_NAMES: usize = 256;
/// The longest opening packet (`MAX_STARTUP_PACKET_LENGTH`).
const MAX_STARTUP: u64 = 10_000;
/// Longest message that is allowed (`PQ_LARGE_MESSAGE_LIMIT`).
const MAX_LARGE: u64 = 0x3fff_ffff;
/// Longest message of the kinds that are never large (`PQ_SMALL_MESSAGE_LIMIT`).
const MAX_SMALL: u64 = 10_000;

/// Codes that stand in the place of a version (manual: "SSLRequest", "GSSENCRequest", "CancelRequest").
pub(super) const SSL_REQUEST: u32 = 80_877_103;
/// See [`SSL_REQUEST`].
pub(super) const GSSENC_REQUEST: u32 = 80_877_104;
/// See [`SSL_REQUEST`].
pub(super) const CANCEL_REQUEST: u32 = 80_877_102;

/// What the client sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frontend;

/// What the server sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backend {
    /// The answer to SSLRequest or GSSENCRequest, a single letter, is next.
    pub letter: bool,
}

/// Least and greatest length (as the message counts it) of a kind of message, and how much of it is read, with its header.
type Limits = (u64, u64, usize);

impl Frontend {
    fn limits(kind: u8) -> Option<Limits> {
        Some(match kind {
            // Query, Parse
            b'Q' => (5, MAX_LARGE, MAX_STATEMENT),
            b'P' => (8, MAX_LARGE, MAX_STATEMENT),
            // Bind: only its names. Its parameters are nobody's business.
            b'B' => (12, MAX_LARGE, MAX_NAMES),
            // Execute, Describe, Close
            b'E' => (9, MAX_SMALL, MAX_NAMES),
            b'D' | b'C' => (6, MAX_SMALL, MAX_NAMES),
            // Sync, Flush, Terminate, CopyDone
            b'S' | b'H' | b'X' | b'c' => (4, 4, HEADER),
            // CopyData, FunctionCall
            b'd' => (4, MAX_LARGE, HEADER),
            b'F' => (14, MAX_LARGE, HEADER),
            // CopyFail; passwords and the like (GSS tokens may be 64 KiB long)
            b'f' => (5, MAX_SMALL, HEADER),
            b'p' => (4, 65_539, HEADER),
            _ => return None,
        })
    }
}

impl Backend {
    fn limits(kind: u8) -> Option<Limits> {
        Some(match kind {
            // ParseComplete, BindComplete, CloseComplete, NoData, EmptyQueryResponse, PortalSuspended, CopyDone
            b'1' | b'2' | b'3' | b'n' | b'I' | b's' | b'c' => (4, 4, HEADER),
            // ReadyForQuery
            b'Z' => (5, 5, 6),
            // CommandComplete: a tag
            b'C' => (5, 1_000, 128),
            // DataRow, CopyData, FunctionCallResponse: nothing of them
            b'D' => (6, MAX_LARGE, HEADER),
            b'd' => (4, MAX_LARGE, HEADER),
            b'V' => (8, MAX_LARGE, HEADER),
            // RowDescription, ParameterDescription, CopyInResponse, CopyOutResponse, CopyBothResponse
            b'T' | b't' => (6, MAX_LARGE, HEADER),
            b'G' | b'H' | b'W' => (7, 100_000, HEADER),
            // ErrorResponse, NoticeResponse: severity and code stand before the rest
            b'E' | b'N' => (5, MAX_LARGE, 128),
            // Authentication…, BackendKeyData, NegotiateProtocolVersion, NotificationResponse
            b'R' => (8, 65_540, HEADER),
            b'K' => (12, 264, HEADER),
            b'v' => (12, MAX_SMALL, HEADER),
            b'A' => (10, MAX_LARGE, HEADER),
            // ParameterStatus
            b'S' => (6, MAX_SMALL, 128),
            _ => return None,
        })
    }
}

fn measure(bytes: &[u8], limits: fn(u8) -> Option<Limits>) -> Measure {
    let Some((least, most, wanted)) = limits(bytes[0]) else { return Measure::Foreign };
    let Some(length) = u32_at(bytes, 1) else { return Measure::More };
    let length = u64::from(length);
    if length < least || length > most {
        return Measure::Foreign;
    }
    Measure::Message { length: length + 1, wanted }
}

impl Framing for Frontend {
    fn measure(&self, bytes: &[u8]) -> Measure {
        if bytes[0] != 0 {
            return measure(bytes, Self::limits);
        }
        let (Some(length), Some(code)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else { return Measure::More };
        let length = u64::from(length);
        let fits = match code {
            SSL_REQUEST | GSSENC_REQUEST => length == 8,
            CANCEL_REQUEST => (12..=268).contains(&length),
            version => is_version(version) && (9..=MAX_STARTUP).contains(&length),
        };
        if fits { Measure::Message { length, wanted: MAX_STARTUP as usize } } else { Measure::Foreign }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        turn && super::infer::is_frontend(bytes)
    }
}

impl Framing for Backend {
    fn measure(&self, bytes: &[u8]) -> Measure {
        if self.letter && matches!(bytes[0], b'S' | b'N' | b'G') {
            return Measure::Message { length: 1, wanted: 1 };
        }
        measure(bytes, Self::limits)
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        turn && super::infer::is_backend(bytes)
    }
}

/// Version 3, with a minor version that exists, or one that clients send to see whether servers understand (3.9999).
pub(super) fn is_version(code: u32) -> bool {
    code >> 16 == 3 && matches!(code & 0xffff, 0..=9 | 9999)
}

/// A number in network byte order.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// As above, of two bytes.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// A text up to its zero, and what follows; `None` if there is no zero.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
