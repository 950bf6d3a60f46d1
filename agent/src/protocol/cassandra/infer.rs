//! Recognising the protocol by a run's first bytes.

use super::envelope::{HEADER, Header, OpCode};
use super::reader::Reader;
use super::response::error_name;
use super::segment;
use crate::protocol::{Inference, Run, Stream};

/// Whether what follows a header is what it announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Nothing else looks like this.
    Sure,
    /// It may be.
    Weak,
    /// Too few bytes to tell.
    Short,
    /// It is not.
    None,
}

/// An envelope, or a segment with one.
pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    match segment::infer(bytes) {
        segment::Found::Yes(stream) => return Inference::Yes(stream),
        segment::Found::Maybe | segment::Found::No => {}
    }
    if bytes.len() < HEADER {
        let envelope =
            matches!(bytes[0], 3..=5 | 0x83..=0x85) && bytes.get(1).is_none_or(|flags| *flags <= 0x1f);
        // A segment's checksum ends with its sixth byte, the version of what is in it follows.
        return if envelope || bytes.len() < 7 { Inference::Maybe } else { Inference::No };
    }
    let Some(header) = Header::read(bytes) else {
        return match segment::infer(bytes) {
            segment::Found::Maybe => Inference::Maybe,
            _ => Inference::No,
        };
    };
    let all = HEADER + header.length;
    // Two envelopes of one run follow each other, in the same version.
    if bytes.get(all).is_some_and(|version| *version != bytes[0]) {
        return Inference::No;
    }
    let stream = header.code.stream();
    match evidence(header, &bytes[HEADER..]) {
        Evidence::Sure => Inference::Yes(stream),
        Evidence::Weak => Inference::Likely(stream),
        Evidence::Short if run.passed < all as u64 => Inference::Maybe,
        Evidence::Short | Evidence::None => Inference::No,
    }
}

/// Does the envelope of this header go on like this?
pub(super) fn evidence(header: Header, body: &[u8]) -> Evidence {
    if header.is_compressed() {
        let possible = header.version < 5 && header.length > 0 && header.code != OpCode::Startup;
        return if possible { Evidence::Weak } else { Evidence::None };
    }
    let body = &body[..body.len().min(header.length)];
    let Some(reader) = header.message(body) else {
        return if body.len() < header.length { Evidence::Short } else { Evidence::None };
    };
    let left = header.length - (body.len() - reader.bytes.len());
    match fits(header, reader, left) {
        Some(true) => Evidence::Sure,
        Some(false) => Evidence::None,
        None if body.len() < header.length => Evidence::Short,
        // What says nothing by itself, in full.
        None if weak(header, reader.bytes, left) => Evidence::Weak,
        None => Evidence::None,
    }
}

/// Messages that are too plain to be told from others'.
fn weak(header: Header, bytes: &[u8], left: usize) -> bool {
    match header.code {
        OpCode::Options | OpCode::Ready => left == 0 && header.flags & 0x0f == 0,
        OpCode::AuthResponse | OpCode::AuthChallenge | OpCode::AuthSuccess => {
            let length = Reader::new(bytes).int();
            length.is_some_and(|length| length.max(0) as usize == left - 4 || (length < 0 && left == 4))
        }
        _ => false,
    }
}

/// Whether the message of `left` bytes in all has its parts where they must be; `None` if that cannot be seen.
fn fits(header: Header, mut reader: Reader<'_>, left: usize) -> Option<bool> {
    Some(match header.code {
        OpCode::Startup | OpCode::Supported => {
            let many = reader.short()?;
            (1..=64).contains(&many) && is_name(reader.string()?)
        }
        OpCode::Register => {
            let many = reader.short()?;
            (1..=16).contains(&many) && is_event(reader.string()?)
        }
        OpCode::Event => is_event(reader.string()?),
        OpCode::Query => {
            let length = usize::try_from(reader.int()?).ok()?;
            let (text, _) = (reader.bytes.get(..length.min(reader.bytes.len()))?, ());
            length + 4 + 3 <= left && is_statement(text)?
        }
        OpCode::Prepare => {
            let length = usize::try_from(reader.int()?).ok()?;
            let text = &reader.bytes[..length.min(reader.bytes.len())];
            let room = if header.version < 5 { length + 4 == left } else { length + 8 <= left };
            room && is_statement(text)?
        }
        OpCode::Execute => {
            let id = reader.short()?;
            reader.take(usize::from(id))?;
            let metadata = if header.version < 5 { 16 } else { reader.short()? };
            if header.version >= 5 {
                reader.take(usize::from(metadata))?;
            }
            (8..=64).contains(&id) && (8..=64).contains(&metadata) && reader.short()? <= 0x0a
        }
        OpCode::Batch => {
            let (kind, many) = (reader.byte()?, reader.short()?);
            let prepared = reader.byte()?;
            let first = match prepared {
                0 => {
                    let length = usize::try_from(reader.int()?).ok()?;
                    length < left && is_statement(&reader.bytes[..length.min(reader.bytes.len())])?
                }
                1 => (8..=64).contains(&reader.short()?),
                _ => false,
            };
            kind <= 2 && many > 0 && first
        }
        OpCode::Error => {
            let name = error_name(reader.int()?);
            let length = usize::from(reader.short()?);
            let text = &reader.bytes[..length.min(reader.bytes.len())];
            name.is_some() && length + 6 <= left && is_text(text)
        }
        OpCode::Authenticate => {
            let name = reader.string()?;
            name.len() + 2 == left && name.contains(&b'.') && is_text(name)
        }
        OpCode::Result => match reader.int()? {
            1 => left == 4,
            2 => {
                let (flags, columns) = (reader.int()?, reader.int()?);
                flags & !0xf == 0 && (0..=0xffff).contains(&columns)
            }
            3 => {
                let name = reader.string()?;
                name.len() + 6 == left && is_text(name)
            }
            4 => (8..=64).contains(&reader.short()?),
            5 => matches!(reader.string()?, b"CREATED" | b"UPDATED" | b"DROPPED"),
            _ => false,
        },
        OpCode::Options | OpCode::Ready if left > 0 => false,
        OpCode::Options
        | OpCode::Ready
        | OpCode::AuthResponse
        | OpCode::AuthChallenge
        | OpCode::AuthSuccess => return None,
    })
}

fn is_name(text: &[u8]) -> bool {
    (1..=64).contains(&text.len()) && text.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
}

fn is_event(text: &[u8]) -> bool {
    matches!(text, b"TOPOLOGY_CHANGE" | b"STATUS_CHANGE" | b"SCHEMA_CHANGE")
}

fn is_text(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}

/// It begins with a word, or with what may stand before one; `None` if there is too little of it.
fn is_statement(text: &[u8]) -> Option<bool> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace())?;
    Some((first.is_ascii_alphabetic() || b"-/".contains(first)) && is_text(text))
}

/// The direction of an envelope in a segment: its first byte is its version.
pub(super) fn direction(version: u8) -> Option<Stream> {
    match version {
        0x05 => Some(Stream::ToServer),
        0x85 => Some(Stream::ToClient),
        _ => None,
    }
}
