//! Headers, and where messages end.

use super::values::Serialization;
use crate::protocol::Stream;
use crate::protocol::frames::{self, Measure};

/// Bytes of a header: magic, flags, status, id, length of the body.
pub(super) const HEADER: usize = 16;
const MAGIC: [u8; 2] = [0xda, 0xbb];
/// The longest body, bytes. Dubbo's default limit (`payload`) is 8 MiB.
const MOST_LENGTH: u32 = 256 * 1024 * 1024;
/// Bytes of a request that are read: trace context stands behind the arguments.
const REQUEST_WANTED: usize = 4 * 1024;
/// Bytes of a response that are read.
const RESPONSE_WANTED: usize = 512;

const REQUEST: u8 = 0x80;
const TWO_WAY: u8 = 0x40;
const EVENT: u8 = 0x20;
const SERIALIZATION: u8 = 0x1f;

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub request: bool,
    /// A request that wants a response.
    pub two_way: bool,
    /// A heartbeat, or news of the connection (`readonly`).
    pub event: bool,
    pub serialization: Serialization,
    /// Of a response: one of [`status_name`]; 0 in requests.
    pub status: u8,
    pub id: i64,
    /// Bytes of the body.
    pub length: usize,
}

impl Header {
    /// The header that `bytes` begin with, if they do.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let [magic_high, magic_low, flags, status, rest @ ..] = header;
        let id = i64::from_be_bytes(*rest.first_chunk()?);
        let length = u32::from_be_bytes(*rest.last_chunk()?);
        let request = flags & REQUEST != 0;
        let plausible = [*magic_high, *magic_low] == MAGIC
            && length <= MOST_LENGTH
            && if request { *status == 0 } else { status_name(*status).is_some() && flags & TWO_WAY == 0 };
        let serialization = Serialization::of(flags & SERIALIZATION).filter(|_| plausible)?;
        Some(Self {
            request,
            two_way: flags & TWO_WAY != 0,
            event: flags & EVENT != 0,
            serialization,
            status: *status,
            id,
            length: length as usize,
        })
    }

    /// Which stream such a message most often is on. Heartbeats and calls back go the other way, too.
    pub fn stream(&self) -> Stream {
        if self.request { Stream::ToServer } else { Stream::ToClient }
    }
}

/// Could these bytes begin a header?
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let length = bytes.len().min(MAGIC.len());
    bytes[..length] == MAGIC[..length]
}

/// The status's name, as `org.apache.dubbo.remoting.exchange.Response` has it.
pub(super) fn status_name(status: u8) -> Option<&'static str> {
    Some(match status {
        20 => "OK",
        25 => "SERIALIZATION_ERROR",
        30 => "CLIENT_TIMEOUT",
        31 => "SERVER_TIMEOUT",
        35 => "CHANNEL_INACTIVE",
        40 => "BAD_REQUEST",
        50 => "BAD_RESPONSE",
        60 => "SERVICE_NOT_FOUND",
        70 => "SERVICE_ERROR",
        80 => "SERVER_ERROR",
        90 => "CLIENT_ERROR",
        100 => "SERVER_THREADPOOL_EXHAUSTED_ERROR",
        _ => return None,
    })
}

/// The framing of both streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing;

impl frames::Framing for Framing {
    fn measure(&self, bytes: &[u8]) -> Measure {
        if !may_begin(bytes) {
            return Measure::Foreign;
        }
        if bytes.len() < HEADER {
            return Measure::More;
        }
        let Some(header) = Header::read(bytes) else { return Measure::Foreign };
        let wanted = match (header.event, header.request) {
            (true, _) => 0,
            (false, true) => REQUEST_WANTED,
            (false, false) => RESPONSE_WANTED,
        };
        Measure::Message { length: (HEADER + header.length) as u64, wanted: HEADER + wanted }
    }

    fn begins(&self, bytes: &[u8], _turn: bool) -> bool {
        Header::read(bytes).is_some()
    }
}
