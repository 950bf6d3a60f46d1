//! Heads of messages, in every transport and protocol.

use std::ops::Range;

use super::varint::{self, Varint};
use crate::protocol::Stream;

/// Longest name that a message may have, bytes: with a service in front (`Service:method`).
pub(super) const MOST_NAME: usize = 255;
/// Longest header of the header transport that is read, bytes; the specification allows 256 KiB.
const MOST_HEADER: usize = 4096;
/// Longest frame, bytes. Servers' default limits are 16 to 100 MB.
const MOST_FRAME: u32 = 0x0fff_ffff;
/// The bytes of a head are found within so many.
pub(super) const MOST_HEAD: usize = 14 + MOST_HEADER + 16 + MOST_NAME;

/// How messages are delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Unframed,
    Framed,
    Header,
}

/// How a message is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Binary,
    Compact,
    /// The header transport compressed it: neither name nor kind can be read.
    Compressed,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Reply,
    Exception,
    OneWay,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Kind::Call,
            2 => Kind::Reply,
            3 => Kind::Exception,
            4 => Kind::OneWay,
            _ => return None,
        })
    }

    /// Who sends it.
    pub fn stream(self) -> Stream {
        match self {
            Kind::Call | Kind::OneWay => Stream::ToServer,
            Kind::Reply | Kind::Exception => Stream::ToClient,
        }
    }
}

/// The head of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub transport: Transport,
    pub encoding: Encoding,
    /// `None` if it cannot be read.
    pub kind: Option<Kind>,
    /// Where its name is.
    pub name: Range<usize>,
    pub sequence: i32,
    /// Where its struct begins.
    pub body: usize,
    /// Bytes of the message in all, if the transport says so.
    pub length: Option<u64>,
}

/// What the first bytes of a message are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Head(Head),
    More,
    Foreign,
}

/// The head that `bytes` begin with.
pub(super) fn read(bytes: &[u8]) -> Found {
    match bytes {
        [0x80 | 0x82, ..] => message(bytes, 0, Transport::Unframed),
        [0..=0x0f, ..] => {
            let Some((length, rest)) = bytes.split_first_chunk() else { return Found::More };
            let length = u32::from_be_bytes(*length);
            match rest {
                [] => Found::More,
                [0x0f, 0xff, ..] => header_transport(bytes, length),
                [0x0f] => Found::More,
                [0x80 | 0x82 | 0, ..] => framed(bytes, length),
                // The old binary protocol begins with its name's length.
                _ => message(bytes, 0, Transport::Unframed),
            }
        }
        [] => Found::More,
        _ => Found::Foreign,
    }
}

fn framed(bytes: &[u8], length: u32) -> Found {
    // The shortest message: a compact head with a name of one byte, and an empty struct.
    if !(6..=MOST_FRAME).contains(&length) {
        return Found::Foreign;
    }
    match message(bytes, 4, Transport::Framed) {
        Found::Head(head) if head.body as u64 + 1 > u64::from(length) + 4 => Found::Foreign,
        Found::Head(head) => Found::Head(Head { length: Some(u64::from(length) + 4), ..head }),
        other => other,
    }
}

/// A message, unframed, at `start`.
fn message(bytes: &[u8], start: usize, transport: Transport) -> Found {
    let rest = &bytes[start..];
    let found = match rest {
        [0x80, ..] => strict(rest),
        [0x82, ..] => compact(rest),
        [0, ..] => old(rest),
        _ => Err(Found::Foreign),
    };
    match found {
        Ok(Message { encoding, kind, name, sequence, body }) => Found::Head(Head {
            transport,
            encoding,
            kind: Some(kind),
            name: name.start + start..name.end + start,
            sequence,
            body: body + start,
            length: None,
        }),
        Err(other) => other,
    }
}

struct Message {
    encoding: Encoding,
    kind: Kind,
    name: Range<usize>,
    sequence: i32,
    body: usize,
}

/// `0x8001 00 kind`, length of the name, name, sequence number.
fn strict(bytes: &[u8]) -> Result<Message, Found> {
    let expected = [0x80, 0x01, 0x00];
    let length = bytes.len().min(3);
    if bytes[..length] != expected[..length] {
        return Err(Found::Foreign);
    }
    let kind = Kind::of(*bytes.get(3).ok_or(Found::More)?).ok_or(Found::Foreign)?;
    let name = name(bytes, 8, number(bytes, 4)?)?;
    let sequence = number(bytes, name.end)? as i32;
    let body = name.end + 4;
    Ok(Message { encoding: Encoding::Binary, kind, name, sequence, body })
}

/// Length of the name, name, kind, sequence number.
fn old(bytes: &[u8]) -> Result<Message, Found> {
    let name = name(bytes, 4, number(bytes, 0)?)?;
    let kind = Kind::of(*bytes.get(name.end).ok_or(Found::More)?).ok_or(Found::Foreign)?;
    let sequence = number(bytes, name.end + 1)? as i32;
    let body = name.end + 5;
    Ok(Message { encoding: Encoding::Binary, kind, name, sequence, body })
}

/// `0x82`, kind and version, sequence number, length of the name, name.
fn compact(bytes: &[u8]) -> Result<Message, Found> {
    const VERSION: u8 = 1;
    let second = *bytes.get(1).ok_or(Found::More)?;
    if second & 0x1f != VERSION {
        return Err(Found::Foreign);
    }
    let kind = Kind::of(second >> 5).ok_or(Found::Foreign)?;
    let (sequence, taken) = variable(bytes, 2)?;
    let sequence = u32::try_from(sequence).map_err(|_| Found::Foreign)? as i32;
    let (length, more) = variable(bytes, 2 + taken)?;
    let name = name(bytes, 2 + taken + more, u32::try_from(length).unwrap_or(u32::MAX))?;
    let body = name.end;
    Ok(Message { encoding: Encoding::Compact, kind, name, sequence, body })
}

/// Frame length, `0x0fff`, flags, sequence number, length of the header in words; the header; a message.
fn header_transport(bytes: &[u8], length: u32) -> Found {
    const FIXED: usize = 14;
    let Some(fixed) = bytes.get(..FIXED) else { return Found::More };
    let sequence = i32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    let size = usize::from(u16::from_be_bytes([fixed[12], fixed[13]])) * 4;
    let start = FIXED + size;
    if !(16..=MOST_FRAME).contains(&length)
        || size == 0
        || size > MOST_HEADER
        || start as u64 > u64::from(length) + 4
    {
        return Found::Foreign;
    }
    let all = Some(u64::from(length) + 4);
    let header = &bytes[FIXED..bytes.len().min(start)];
    let (protocol, transforms) = match variable(header, 0)
        .and_then(|(protocol, taken)| variable(header, taken).map(|(transforms, _)| (protocol, transforms)))
    {
        Ok(both) => both,
        Err(_) if header.len() == size => return Found::Foreign,
        Err(other) => return other,
    };
    if transforms > 4 || !matches!(protocol, 0 | 2) {
        return Found::Foreign;
    }
    if transforms > 0 {
        return Found::Head(Head {
            transport: Transport::Header,
            encoding: Encoding::Compressed,
            kind: None,
            name: 0..0,
            sequence,
            body: start,
            length: all,
        });
    }
    if bytes.len() <= start {
        return Found::More;
    }
    match message(bytes, start, Transport::Header) {
        Found::Head(head) => Found::Head(Head { sequence, length: all, ..head }),
        other => other,
    }
}

fn number(bytes: &[u8], at: usize) -> Result<u32, Found> {
    let four = bytes.get(at..at + 4).and_then(|four| four.first_chunk()).ok_or(Found::More)?;
    Ok(u32::from_be_bytes(*four))
}

fn variable(bytes: &[u8], at: usize) -> Result<(u64, usize), Found> {
    match varint::read(bytes.get(at..).unwrap_or_default()) {
        Varint::Number(number, taken) => Ok((number, taken)),
        Varint::More => Err(Found::More),
        Varint::Bad => Err(Found::Foreign),
    }
}

/// A name is what programming languages call a name, perhaps with a service in front (`TMultiplexedProtocol`).
fn name(bytes: &[u8], at: usize, length: u32) -> Result<Range<usize>, Found> {
    let length = length as usize;
    if !(1..=MOST_NAME).contains(&length) {
        return Err(Found::Foreign);
    }
    let here = &bytes[at.min(bytes.len())..bytes.len().min(at + length)];
    let fits = here.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.:$-/".contains(byte));
    match (fits, here.len() == length) {
        (false, _) => Err(Found::Foreign),
        (true, false) => Err(Found::More),
        (true, true) => Ok(at..at + length),
    }
}
