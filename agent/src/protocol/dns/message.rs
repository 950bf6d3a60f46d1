//! Messages (RFC 1035, 4): headers, names, questions, records. Nothing here allocates but the text of a name.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// Bytes of a header.
pub(super) const HEADER: usize = 12;
/// The most bytes of a name on the wire (RFC 1035, 2.3.4).
const MOST_NAME: usize = 255;

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They end too early: perhaps not all were captured.
    Cut,
    /// They are not DNS.
    Foreign,
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Chosen by who asks.
    pub id: u16,
    flags: u16,
    /// Questions, answers, authorities and additional records.
    pub counts: [u16; 4],
}

impl Header {
    /// The header that a message begins with.
    pub fn read(message: &[u8]) -> Option<Self> {
        let word = |index: usize| short(message, 2 * index).ok();
        Some(Self { id: word(0)?, flags: word(1)?, counts: [word(2)?, word(3)?, word(4)?, word(5)?] })
    }

    pub fn is_response(self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub fn opcode(self) -> u16 {
        self.flags >> 11 & 0xf
    }

    pub fn is_truncated(self) -> bool {
        self.flags & 0x0200 != 0
    }

    pub fn wants_recursion(self) -> bool {
        self.flags & 0x0100 != 0
    }

    /// The lower four bits of the response code.
    pub fn code(self) -> u16 {
        self.flags & 0xf
    }

    /// Neither the reserved bit nor, in a query, one that only responses have.
    pub fn is_plausible(self) -> bool {
        const RESERVED: u16 = 0x0040;
        const OF_RESPONSES: u16 = 0x0400 | 0x0200 | 0x0080 | 0xf;
        let wrong = if self.is_response() { RESERVED } else { RESERVED | OF_RESPONSES };
        self.flags & wrong == 0
    }

    /// Records behind the questions.
    pub fn records(self) -> u32 {
        self.counts[1..].iter().map(|count| u32::from(*count)).sum()
    }
}

pub(super) fn short(message: &[u8], at: usize) -> Result<u16, Flaw> {
    let bytes = message.get(at..).and_then(<[u8]>::first_chunk).ok_or(Flaw::Cut)?;
    Ok(u16::from_be_bytes(*bytes))
}

/// What stands at a place within a name.
enum Label {
    End,
    Text(Range<usize>),
    Pointer(usize),
}

fn label(message: &[u8], at: usize) -> Result<Label, Flaw> {
    match *message.get(at).ok_or(Flaw::Cut)? {
        0 => Ok(Label::End),
        length @ 1..=63 => {
            let text = at + 1..at + 1 + usize::from(length);
            if text.end > message.len() { Err(Flaw::Cut) } else { Ok(Label::Text(text)) }
        }
        0xc0.. => Ok(Label::Pointer(usize::from(short(message, at)? & 0x3fff))),
        _ => Err(Flaw::Foreign),
    }
}

/// Where the name at `at` ends.
pub(super) fn skip_name(message: &[u8], at: usize) -> Result<usize, Flaw> {
    let start = at;
    let mut at = at;
    loop {
        match label(message, at)? {
            Label::End => return Ok(at + 1),
            // A pointer leads to an earlier name.
            Label::Pointer(to) if (HEADER..start).contains(&to) => return Ok(at + 2),
            Label::Pointer(_) => return Err(Flaw::Foreign),
            Label::Text(text) => at = text.end,
        }
        if at - start > MOST_NAME {
            return Err(Flaw::Foreign);
        }
    }
}

/// Reads the name at `at`, as it is written in zone files but for the dot at its end, and appends it to `out`; where it ends.
pub(super) fn read_name(message: &[u8], at: usize, out: &mut String) -> Result<usize, Flaw> {
    let before = out.len();
    let end = follow_name(message, at, out);
    if end.is_err() {
        // A part of a name is another name.
        out.truncate(before);
    }
    end
}

fn follow_name(message: &[u8], at: usize, out: &mut String) -> Result<usize, Flaw> {
    let end = skip_name(message, at)?;
    let before = out.len();
    // Each pointer leads further back than the one before, so there is an end to them.
    let (mut at, mut bound, mut length) = (at, at, 0);
    loop {
        match label(message, at)? {
            Label::End => break,
            Label::Pointer(to) if (HEADER..bound).contains(&to) => (at, bound) = (to, to),
            Label::Pointer(_) => return Err(Flaw::Foreign),
            Label::Text(text) => {
                length += text.len() + 1;
                if length > MOST_NAME {
                    return Err(Flaw::Foreign);
                }
                if out.len() > before {
                    out.push('.');
                }
                at = text.end;
                push_label(out, &message[text]);
            }
        }
    }
    if out.len() == before {
        out.push('.');
    }
    Ok(end)
}

/// RFC 1035, 5.1: what is not printable as `\DDD`.
fn push_label(out: &mut String, label: &[u8]) {
    for byte in label {
        match byte {
            b'.' | b'\\' | b'"' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            0x21..=0x7e => out.push(char::from(*byte)),
            _ => _ = write!(out, "\\{byte:03}"),
        }
    }
}

/// The question of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// What is asked for.
    pub kind: u16,
    /// 1 is the Internet.
    pub class: u16,
    /// Where it ends.
    pub end: usize,
}

impl Question {
    /// The first question of a message that has one.
    pub fn read(message: &[u8]) -> Result<Self, Flaw> {
        let name = skip_name(message, HEADER)?;
        Ok(Self { kind: short(message, name)?, class: short(message, name + 2)?, end: name + 4 })
    }

    /// A number that a query and its response have in common. Servers may change the letters' case.
    pub fn hash(self, message: &[u8]) -> u32 {
        let mut hasher = rustc_hash::FxHasher::default();
        for byte in &message[HEADER..self.end] {
            byte.to_ascii_lowercase().hash(&mut hasher);
        }
        (hasher.finish() >> 16) as u32
    }
}

/// A resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub kind: u16,
    pub class: u16,
    /// Seconds; of an `OPT`, flags.
    pub ttl: u32,
    /// Where its data stands.
    pub data: Range<usize>,
}

impl Record {
    /// The record at `at`. Its data may be cut off.
    pub fn read(message: &[u8], at: usize) -> Result<Self, Flaw> {
        let at = skip_name(message, at)?;
        let ttl = u32::from(short(message, at + 4)?) << 16 | u32::from(short(message, at + 6)?);
        let length = usize::from(short(message, at + 8)?);
        let data = at + 10..at + 10 + length;
        Ok(Self { kind: short(message, at)?, class: short(message, at + 2)?, ttl, data })
    }
}
