//! Frames (specification, 2.3.5 and 4.2.3): type, channel, size, payload, and an octet that says that it ends there.

use super::method;
use crate::protocol::frames::{Framing, Measure};

/// `AMQP`, 0, 0-9-1 (4.2.2).
pub(super) const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// Before the payload.
pub(super) const HEAD: usize = 7;
/// After it.
pub(super) const FRAME_END: u8 = 0xce;
/// A payload larger than this is none: the largest that is agreed upon in practice is 128 KiB.
const MAX_PAYLOAD: u32 = 64 * 1024 * 1024;
/// Bytes of a method that are read; all but tables of arguments fit.
const METHOD_BYTES: usize = 2048;
/// Bytes of a content header that are read.
const HEADER_BYTES: usize = 8192;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Method,
    Header,
    Body,
    Heartbeat,
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub kind: Kind,
    pub channel: u16,
    /// Bytes of the payload.
    pub size: u32,
}

impl Head {
    /// Bytes of the whole frame.
    pub fn length(&self) -> u64 {
        HEAD as u64 + u64::from(self.size) + 1
    }

    /// Reads it; `None` if no frame begins so.
    pub fn read(bytes: &[u8; HEAD]) -> Option<Self> {
        let [kind, c0, c1, s0, s1, s2, s3] = *bytes;
        let channel = u16::from_be_bytes([c0, c1]);
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let (kind, fits) = match kind {
            1 => (Kind::Method, size >= 4),
            2 => (Kind::Header, size >= 14 && channel != 0),
            3 => (Kind::Body, channel != 0),
            8 => (Kind::Heartbeat, size == 0 && channel == 0),
            _ => return None,
        };
        (fits && size <= MAX_PAYLOAD).then_some(Self { kind, channel, size })
    }
}

/// The framing of both streams.
pub(super) struct Amqp;

impl Framing for Amqp {
    fn measure(&self, bytes: &[u8]) -> Measure {
        if bytes[0] == b'A' {
            let known = &PROTOCOL_HEADER[..bytes.len().min(4)];
            return match bytes.starts_with(known) {
                true if bytes.len() >= 4 => Measure::Message { length: 8, wanted: 8 },
                true => Measure::More,
                false => Measure::Foreign,
            };
        }
        let Some(head) = bytes.first_chunk::<HEAD>() else {
            return if matches!(bytes[0], 1 | 2 | 3 | 8) { Measure::More } else { Measure::Foreign };
        };
        let Some(head) = Head::read(head) else { return Measure::Foreign };
        let length = head.length();
        let end = usize::try_from(length).ok().and_then(|length| bytes.get(length - 1));
        if end.is_some_and(|end| *end != FRAME_END) {
            return Measure::Foreign;
        }
        let wanted = match head.kind {
            Kind::Method => METHOD_BYTES,
            Kind::Header => HEADER_BYTES,
            Kind::Body | Kind::Heartbeat => HEAD,
        };
        Measure::Message { length, wanted }
    }

    /// Only methods and heartbeats: a whole one, or at a run's beginning one that may go on.
    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        let Some(head) = bytes.first_chunk::<HEAD>().and_then(Head::read) else { return false };
        let Some(payload) = bytes[HEAD..].get(..head.size as usize) else {
            return turn
                && head.kind == Kind::Method
                && method::read(&bytes[HEAD..]).is_some_and(|call| call.method.fits_channel(head.channel));
        };
        bytes.get(HEAD + payload.len()) == Some(&FRAME_END)
            && match head.kind {
                Kind::Method => method::read(payload)
                    .is_some_and(|call| call.exact && call.method.fits_channel(head.channel)),
                Kind::Heartbeat => true,
                Kind::Header | Kind::Body => false,
            }
    }
}
