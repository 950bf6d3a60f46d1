//! Frames (RFC 9113, 4 and 6): their headers, and where they begin after a loss.

use super::infer::scan;
use crate::protocol::frames::{Framing, Measure};

/// What a client's stream begins with (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's header.
pub const HEADER: usize = 9;
/// Longest payload, unless a larger one was agreed on (RFC 9113, 6.5.2).
pub const USUAL_LENGTH: u32 = 16_384;
/// Longest DATA that is believed where it is not known what was agreed on.
const LARGE_DATA: u32 = 1 << 20;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS.
pub const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING.
pub const ACK: u8 = 0x1;
/// Of HEADERS, PUSH_PROMISE and CONTINUATION.
pub const END_HEADERS: u8 = 0x4;
/// Of DATA, HEADERS and PUSH_PROMISE.
pub const PADDED: u8 = 0x8;
/// Of HEADERS.
pub const WITH_PRIORITY: u8 = 0x20;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload.
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    /// The reserved bit before the stream.
    pub reserved: bool,
    /// 0 for the connection.
    pub stream: u32,
}

impl Header {
    /// The header that `bytes` begin with.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s, t, u, v] = bytes.first_chunk::<HEADER>()?;
        let stream = u32::from_be_bytes([s, t, u, v]);
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            reserved: stream >> 31 != 0,
            stream: stream & 0x7fff_ffff,
        })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The lengths and streams that its kind allows. Kinds that are not known may be anything: they are extensions.
    pub fn is_possible(&self) -> bool {
        let (stream, length) = (self.stream != 0, self.length);
        !self.reserved
            && match self.kind {
                DATA => stream && length >= u32::from(self.has(PADDED)),
                HEADERS => stream && length > self.before_block(),
                PRIORITY => stream && length == 5,
                RST_STREAM => stream && length == 4,
                SETTINGS => !stream && length.is_multiple_of(6) && (!self.has(ACK) || length == 0),
                PUSH_PROMISE => stream && length > self.before_block(),
                PING => !stream && length == 8,
                GOAWAY => !stream && length >= 8,
                WINDOW_UPDATE => length == 4,
                CONTINUATION => stream,
                _ => true,
            }
    }

    /// Where nothing else says that frames are to be found: no flag but those that its kind has, no usual length
    /// exceeded, no stream but a client's, no extension.
    pub fn is_plausible(&self) -> bool {
        let (flags, most) = match self.kind {
            DATA => (END_STREAM | PADDED, LARGE_DATA),
            HEADERS => (END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY, USUAL_LENGTH),
            SETTINGS => (ACK, 6 * 32),
            PING => (ACK, 8),
            PUSH_PROMISE => (END_HEADERS | PADDED, USUAL_LENGTH),
            CONTINUATION => (END_HEADERS, USUAL_LENGTH),
            PRIORITY | RST_STREAM | WINDOW_UPDATE => (0, 5),
            GOAWAY => (0, 1024),
            _ => return false,
        };
        self.is_possible()
            && self.flags & !flags == 0
            && self.length <= most
            && (self.stream == 0 || self.stream % 2 == 1)
    }

    /// Bytes of the payload before the block of HEADERS or PUSH_PROMISE.
    fn before_block(&self) -> u32 {
        let promised = if self.kind == PUSH_PROMISE { 4 } else { 0 };
        let priority = if self.kind == HEADERS && self.has(WITH_PRIORITY) { 5 } else { 0 };
        u32::from(self.has(PADDED)) + promised + priority
    }

    /// The part of a header block in `payload`, of which perhaps the end is missing; `None` if there cannot be one.
    pub fn block<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        if self.kind == CONTINUATION {
            return Some(payload);
        }
        let padding = if self.has(PADDED) { u32::from(*payload.first()?) } else { 0 };
        let start = self.before_block();
        let end = self.length.checked_sub(padding).filter(|&end| end >= start)?;
        Some(payload.get(start as usize..(end as usize).min(payload.len())).unwrap_or_default())
    }
}

/// How one end's stream is cut into frames. Of DATA only what stands before its contents is a frame: the contents are passed
/// as they come.
#[derive(Clone, Copy, Debug)]
pub struct Http2Framing;

impl Framing for Http2Framing {
    fn measure(&self, bytes: &[u8]) -> Measure {
        if bytes.starts_with(b"PRI") {
            return match bytes.len() {
                _ if bytes.starts_with(PREFACE) => {
                    Measure::Message { length: PREFACE.len() as u64, wanted: HEADER }
                }
                length if length < PREFACE.len() && PREFACE.starts_with(bytes) => Measure::More,
                _ => Measure::Foreign,
            };
        }
        let Some(header) = Header::read(bytes) else { return Measure::More };
        if !header.is_possible() {
            return Measure::Foreign;
        }
        let length = HEADER as u64 + u64::from(header.length);
        match header.kind {
            DATA => {
                let length = HEADER + usize::from(header.has(PADDED));
                Measure::Message { length: length as u64, wanted: length }
            }
            HEADERS | CONTINUATION | PUSH_PROMISE => Measure::Message { length, wanted: usize::MAX },
            RST_STREAM | GOAWAY => Measure::Message { length, wanted: HEADER + 8 },
            _ => Measure::Message { length, wanted: HEADER },
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        if bytes.starts_with(PREFACE) {
            return true;
        }
        let found = scan(bytes, bytes.len() as u64);
        // Behind the frames that are whole, another begins, or nothing follows.
        found.is_sound() && (found.direction.is_some() || turn || found.frames > 1 || found.ends_exactly)
    }
}

/// `error.type` of a stream that was reset: the names of RFC 9113, 7.
pub fn error_name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("_OTHER")
}

/// [`error_name`]'s number for a request that the server has not looked at.
pub const REFUSED_STREAM: u32 = 7;
