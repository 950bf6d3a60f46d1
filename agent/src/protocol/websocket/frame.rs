//! Frames (RFC 6455, 5.2).

use crate::protocol::Stream;
use crate::protocol::frames::{Framing, Measure};

const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last of its message.
    pub last: bool,
    pub opcode: u8,
    /// Bytes of this header.
    pub size: usize,
    /// Bytes of the payload.
    pub length: u64,
    pub mask: Option<[u8; 4]>,
}

impl Header {
    /// The header that `bytes` begin with; `None` if more are needed.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[first, second, ref rest @ ..] = bytes else { return None };
        let (length, extended) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            short => (u64::from(short), 0),
        };
        let masked = second & 0x80 != 0;
        let mask = if masked { Some(*rest.get(extended..)?.first_chunk()?) } else { None };
        let size = 2 + extended + if masked { 4 } else { 0 };
        Some(Self { last: first & 0x80 != 0, opcode: first & 0x0f, size, length, mask })
    }

    /// RFC 6455, 5.2, 5.3 and 5.5: opcodes, the length of control frames, who masks.
    fn is_possible(&self, from: Stream) -> bool {
        let control = self.opcode >= CLOSE;
        matches!(self.opcode, CONTINUATION | TEXT | BINARY | CLOSE..=PONG)
            && (!control || (self.last && self.length <= 125))
            && self.length < 1 << 63
            && self.mask.is_some() == (from == Stream::ToServer)
    }

    /// It carries a message, or a part of one.
    pub fn is_data(&self) -> bool {
        self.opcode <= BINARY
    }
}

/// How the stream of one end is cut into frames. Only closing ones are read beyond their headers.
#[derive(Clone, Copy, Debug)]
pub struct WebSocketFraming(pub Stream);

impl Framing for WebSocketFraming {
    fn measure(&self, bytes: &[u8]) -> Measure {
        // The bits of extensions: the first is compression's, the others nobody's (RFC 7692, 6).
        if bytes[0] & 0x30 != 0 {
            return Measure::Foreign;
        }
        let Some(header) = Header::read(bytes) else { return Measure::More };
        if !header.is_possible(self.0) {
            return Measure::Foreign;
        }
        let wanted = header.size + if header.opcode == CLOSE { 2 } else { 0 };
        Measure::Message { length: (header.size as u64).saturating_add(header.length), wanted }
    }

    /// Frames in a row to the chunk's end, or several.
    fn begins(&self, bytes: &[u8], _: bool) -> bool {
        let mut rest = bytes;
        let mut frames = 0;
        while !rest.is_empty() {
            let Measure::Message { length, .. } = self.measure(rest) else { return false };
            frames += 1;
            match usize::try_from(length).ok().and_then(|length| rest.get(length..)) {
                Some(behind) => rest = behind,
                None => return frames > 2,
            }
        }
        true
    }
}
