//! Message headers, and where messages begin and end.

use super::bson::{Document, int32};
use crate::protocol::Stream;
use crate::protocol::frames::{self, Measure};

/// Bytes of a header: `messageLength`, `requestID`, `responseTo`, `opCode`.
pub(super) const HEADER: usize = 16;
/// `maxMessageSizeBytes` of every server so far; what is longer is none.
const MOST_LENGTH: i32 = 48_000_000;
/// Bytes of a request that are read: `$db` may lie behind a large filter or document.
const REQUEST_WANTED: usize = 16 * 1024;
/// Bytes of a reply that are read: what went wrong stands in front, and so does the number of documents in a small batch.
const REPLY_WANTED: usize = 4 * 1024;

/// `OP_MSG` flags: a CRC-32C follows the sections.
const CHECKSUM_PRESENT: u32 = 1;
/// `OP_MSG` flags: another message follows without the other end's answer.
pub(super) const MORE_TO_COME: u32 = 1 << 1;
/// `OP_MSG` flags: the client takes several replies.
const EXHAUST_ALLOWED: u32 = 1 << 16;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpCode {
    Reply,
    Update,
    Insert,
    Query,
    GetMore,
    Delete,
    KillCursors,
    Compressed,
    Msg,
}

impl OpCode {
    fn of(number: i32) -> Option<Self> {
        Some(match number {
            1 => OpCode::Reply,
            2001 => OpCode::Update,
            2002 => OpCode::Insert,
            2004 => OpCode::Query,
            2005 => OpCode::GetMore,
            2006 => OpCode::Delete,
            2007 => OpCode::KillCursors,
            2012 => OpCode::Compressed,
            2013 => OpCode::Msg,
            _ => return None,
        })
    }

    /// May it be sent in this direction?
    fn fits(self, stream: Stream) -> bool {
        match self {
            OpCode::Msg | OpCode::Compressed => true,
            OpCode::Reply => stream == Stream::ToClient,
            _ => stream == Stream::ToServer,
        }
    }
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes in all, with the header.
    pub length: usize,
    /// The message's own name.
    pub id: i32,
    /// The name of the request that it answers; 0 in requests.
    pub response_to: i32,
    pub code: OpCode,
}

impl Header {
    /// The header that `bytes` begin with, if they do.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let word = |index: usize| int32(bytes.get(4 * index..)?);
        let length = word(0)?;
        if !(HEADER as i32 + 4..=MOST_LENGTH).contains(&length) {
            return None;
        }
        let code = OpCode::of(word(3)?)?;
        Some(Self { length: length as usize, id: word(1)?, response_to: word(2)?, code })
    }
}

/// The framing of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing(pub Stream);

impl frames::Framing for Framing {
    fn measure(&self, bytes: &[u8]) -> Measure {
        if bytes.len() < HEADER {
            return Measure::More;
        }
        let wanted = match self.0 {
            Stream::ToServer => REQUEST_WANTED,
            Stream::ToClient => REPLY_WANTED,
        };
        match Header::read(bytes) {
            Some(header) if header.code.fits(self.0) => {
                Measure::Message { length: header.length as u64, wanted }
            }
            _ => Measure::Foreign,
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        let Some(header) = Header::read(bytes) else { return false };
        if !header.code.fits(self.0) || (header.response_to == 0) != (self.0 == Stream::ToServer) {
            return false;
        }
        match body(header, &bytes[HEADER..]) {
            Body::Fits => true,
            Body::Short => turn,
            Body::Foreign => false,
        }
    }
}

/// Whether what follows a header is what it announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing else looks like this.
    Fits,
    /// Too few bytes to tell.
    Short,
    Foreign,
}

impl From<bool> for Body {
    fn from(fits: bool) -> Self {
        if fits { Body::Fits } else { Body::Foreign }
    }
}

/// Does the message of this header go on like this?
pub(super) fn body(header: Header, bytes: &[u8]) -> Body {
    let room = header.length - HEADER;
    let fits = match header.code {
        OpCode::Msg => msg(bytes, room),
        OpCode::Query => query(bytes, room),
        OpCode::Reply => reply(bytes, room),
        OpCode::Compressed => compressed(bytes, room),
        // Nothing sends these any more; they are read where they follow others.
        _ => Some(false),
    };
    fits.map_or(Body::Short, Body::from)
}

/// `flagBits`, then sections: a kind, and a document, or a sequence with its length and name.
fn msg(bytes: &[u8], room: usize) -> Option<bool> {
    let flags = int32(bytes)? as u32;
    if flags & !(CHECKSUM_PRESENT | MORE_TO_COME | EXHAUST_ALLOWED) != 0 {
        return Some(false);
    }
    let room = room.saturating_sub(5 + if flags & CHECKSUM_PRESENT == 0 { 0 } else { 4 });
    Some(match bytes.get(4)? {
        0 => begins_document(bytes.get(5..)?, room)?,
        1 => {
            let length = usize::try_from(int32(bytes.get(5..)?)?).unwrap_or(0);
            let name = bytes.get(9..)?;
            let end = name.iter().position(|byte| !byte.is_ascii_alphabetic());
            let named = end.map_or(name.len() < 16, |end| (1..16).contains(&end) && name[end] == 0);
            named && (4 + 2..=room).contains(&length)
        }
        _ => false,
    })
}

/// `flags`, `fullCollectionName`, two numbers, a document.
fn query(bytes: &[u8], room: usize) -> Option<bool> {
    const KNOWN_FLAGS: u32 = 0b1111_1110;
    if int32(bytes)? as u32 & !KNOWN_FLAGS != 0 {
        return Some(false);
    }
    let name = collection(bytes.get(4..)?)?;
    let plausible = name.contains(&b'.') && name.iter().all(|byte| (b' '..0x7f).contains(byte));
    let before = 4 + name.len() + 1 + 8;
    Some(plausible && begins_document(bytes.get(before..)?, room.saturating_sub(before))?)
}

/// `responseFlags`, `cursorID`, `startingFrom`, `numberReturned`, documents.
fn reply(bytes: &[u8], room: usize) -> Option<bool> {
    const BEFORE: usize = 20;
    let flags = int32(bytes)? as u32;
    let number = int32(bytes.get(16..)?)?;
    let plausible = flags & !0xf == 0 && (0..=MOST_LENGTH / 5).contains(&number);
    if number == 0 {
        return Some(plausible && room == BEFORE);
    }
    Some(plausible && begins_document(bytes.get(BEFORE..)?, room.saturating_sub(BEFORE))?)
}

/// `originalOpcode`, `uncompressedSize`, `compressorId`.
fn compressed(bytes: &[u8], room: usize) -> Option<bool> {
    let code = OpCode::of(int32(bytes)?).filter(|code| *code != OpCode::Compressed);
    let size = int32(bytes.get(4..)?)?;
    Some(code.is_some() && (5..=MOST_LENGTH).contains(&size) && *bytes.get(8)? <= 3 && room > 9)
}

/// A document of at most `room` bytes whose first element, if it has one, has a name.
fn begins_document(bytes: &[u8], room: usize) -> Option<bool> {
    let length = usize::try_from(int32(bytes)?).unwrap_or(0);
    if length > room || length < 5 {
        return Some(false);
    }
    let kind = *bytes.get(4)?;
    if length == 5 {
        return Some(kind == 0);
    }
    let known = matches!(kind, 0x01..=0x13 | 0x7f | 0xff);
    let name = bytes.get(5..)?;
    let end = name.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"_$.-".contains(byte));
    let named = end.map_or(name.len() < 64, |end| (1..64).contains(&end) && name[end] == 0);
    Some(known && named && !name.is_empty() && Document::read(bytes).is_some())
}

/// The name that ends with the first zero.
pub(super) fn collection(bytes: &[u8]) -> Option<&[u8]> {
    memchr::memchr(0, bytes).map(|end| &bytes[..end])
}
