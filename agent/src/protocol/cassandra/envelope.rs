//! Envelopes: headers, and where bodies end (section 2).

use super::infer::{Evidence, evidence};
use super::reader::Reader;
use crate::protocol::Stream;
use crate::protocol::frames::{Framing, Measure};

/// Bytes of a header.
pub(super) const HEADER: usize = 9;
/// The longest body that a server takes, bytes.
const MOST_LENGTH: i32 = 256 * 1024 * 1024;
/// Bytes of a request that are read: as much as is told of a statement.
const REQUEST_WANTED: usize = HEADER + 4 + crate::protocol::sql::MAX_TEXT;
/// Bytes of a response that are read: the number of rows stands behind the columns' names.
const RESPONSE_WANTED: usize = 4 * 1024;

/// The body is compressed.
pub(super) const COMPRESSED: u8 = 0x01;
const TRACING: u8 = 0x02;
const CUSTOM_PAYLOAD: u8 = 0x04;
const WARNING: u8 = 0x08;
const KNOWN_FLAGS: u8 = 0x1f;

/// What a message is (section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpCode {
    Error,
    Startup,
    Ready,
    Authenticate,
    Options,
    Supported,
    Query,
    Result,
    Prepare,
    Execute,
    Register,
    Event,
    Batch,
    AuthChallenge,
    AuthResponse,
    AuthSuccess,
}

impl OpCode {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0x00 => OpCode::Error,
            0x01 => OpCode::Startup,
            0x02 => OpCode::Ready,
            0x03 => OpCode::Authenticate,
            0x05 => OpCode::Options,
            0x06 => OpCode::Supported,
            0x07 => OpCode::Query,
            0x08 => OpCode::Result,
            0x09 => OpCode::Prepare,
            0x0a => OpCode::Execute,
            0x0b => OpCode::Register,
            0x0c => OpCode::Event,
            0x0d => OpCode::Batch,
            0x0e => OpCode::AuthChallenge,
            0x0f => OpCode::AuthResponse,
            0x10 => OpCode::AuthSuccess,
            _ => return None,
        })
    }

    /// Who sends it.
    pub fn stream(self) -> Stream {
        match self {
            OpCode::Startup
            | OpCode::Options
            | OpCode::Query
            | OpCode::Prepare
            | OpCode::Execute
            | OpCode::Register
            | OpCode::Batch
            | OpCode::AuthResponse => Stream::ToServer,
            _ => Stream::ToClient,
        }
    }

    /// A request's name.
    pub fn name(self) -> &'static str {
        match self {
            OpCode::Startup => "STARTUP",
            OpCode::Options => "OPTIONS",
            OpCode::Query => "QUERY",
            OpCode::Prepare => "PREPARE",
            OpCode::Execute => "EXECUTE",
            OpCode::Register => "REGISTER",
            OpCode::Batch => "BATCH",
            OpCode::AuthResponse => "AUTH_RESPONSE",
            _ => "_OTHER",
        }
    }

    /// It asks for data, not for the connection's sake.
    pub fn is_statement(self) -> bool {
        matches!(self, OpCode::Query | OpCode::Prepare | OpCode::Execute | OpCode::Batch)
    }
}

/// An envelope's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// 3, 4 or 5.
    pub version: u8,
    pub flags: u8,
    /// Negative only for what the server sends unasked.
    pub stream: i16,
    pub code: OpCode,
    /// Bytes of the body.
    pub length: usize,
}

impl Header {
    /// The header that `bytes` begin with, if they do.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        let flags = reader.byte()?;
        let stream = reader.short()? as i16;
        let code = OpCode::of(reader.byte()?)?;
        let length = reader.int()?;
        let response = version & 0x80 != 0;
        let plausible = (3..=5).contains(&(version & 0x7f))
            && flags & !KNOWN_FLAGS == 0
            && (0..=MOST_LENGTH).contains(&length)
            && response == (code.stream() == Stream::ToClient)
            && (stream < 0) == (code == OpCode::Event);
        plausible.then_some(Self { version: version & 0x7f, flags, stream, code, length: length as usize })
    }

    /// The body is compressed: nothing of it can be read.
    pub fn is_compressed(&self) -> bool {
        self.flags & COMPRESSED != 0
    }

    /// What the message itself says, behind tracing id, warnings and payload.
    pub fn message<'a>(&self, body: &'a [u8]) -> Option<Reader<'a>> {
        let mut reader = Reader::new(body);
        if self.code.stream() == Stream::ToClient {
            if self.flags & TRACING != 0 {
                reader.take(16)?;
            }
            if self.flags & WARNING != 0 {
                reader.skip_string_list()?;
            }
        }
        if self.flags & CUSTOM_PAYLOAD != 0 {
            reader.skip_bytes_map()?;
        }
        Some(reader)
    }
}

/// The framing of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelopes(pub Stream);

impl Framing for Envelopes {
    fn measure(&self, bytes: &[u8]) -> Measure {
        if bytes.len() < HEADER {
            return Measure::More;
        }
        let wanted = match self.0 {
            Stream::ToServer => REQUEST_WANTED,
            Stream::ToClient => RESPONSE_WANTED,
        };
        match Header::read(bytes) {
            Some(header) if header.code.stream() == self.0 => {
                Measure::Message { length: (HEADER + header.length) as u64, wanted }
            }
            _ => Measure::Foreign,
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        let Some(header) = Header::read(bytes) else { return false };
        header.code.stream() == self.0
            && match evidence(header, &bytes[HEADER..]) {
                Evidence::Sure => true,
                Evidence::Weak | Evidence::Short => turn,
                Evidence::None => false,
            }
    }
}
