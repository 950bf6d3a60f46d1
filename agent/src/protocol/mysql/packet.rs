//! Packets and the numbers in them (dev.mysql.com, "MySQL Packets", "Protocol Data Types").

use super::commands::{self, Command};
use crate::protocol::frames::{Framing, Measure};

/// Length in three bytes, and the packet's number.
pub(super) const HEADER: usize = 4;
/// A packet so long is continued by the next.
pub(super) const LONGEST: u64 = 0xff_ffff;
/// Bytes of a statement that are read.
const MAX_STATEMENT: usize = 16 * 1024;
/// Bytes of a handshake that are read.
const MAX_HANDSHAKE: usize = 1024;
/// Bytes of other packets that are read: the longest is an ERR packet's beginning, an OK packet without its texts.
const MAX_OTHER: usize = 64;

/// What the client sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Before the first command.
    pub handshake: bool,
    /// The last packet is continued by this one.
    pub continued: bool,
}

/// What the server sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// The greeting is next.
    pub greeting: bool,
    /// The number of the next packet of the present response, if there is one and that is known.
    pub expected: Option<u8>,
}

fn header(bytes: &[u8]) -> Option<(u64, u8)> {
    let [a, b, c, number, ..] = *bytes else { return None };
    Some((u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16, number))
}

impl Framing for Client {
    fn measure(&self, bytes: &[u8]) -> Measure {
        let Some((payload, number)) = header(bytes) else { return Measure::More };
        let length = HEADER as u64 + payload;
        // Answers in an authentication, a file's contents, and what continues a packet.
        if number != 0 || self.continued || payload == 0 {
            let wanted = if self.handshake { MAX_HANDSHAKE } else { HEADER };
            return Measure::Message { length, wanted };
        }
        let Some(&code) = bytes.get(HEADER) else { return Measure::More };
        let wanted = match commands::Command::of(code) {
            Some(Command::Query | Command::Prepare) => MAX_STATEMENT,
            Some(Command::ChangeUser | Command::InitDb) => MAX_HANDSHAKE,
            Some(_) => MAX_OTHER,
            None => return Measure::Foreign,
        };
        Measure::Message { length, wanted }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        turn && super::infer::is_client(bytes)
    }
}

impl Framing for Server {
    fn measure(&self, bytes: &[u8]) -> Measure {
        let Some((payload, number)) = header(bytes) else { return Measure::More };
        if self.greeting {
            return Measure::Message { length: HEADER as u64 + payload, wanted: MAX_HANDSHAKE };
        }
        // Each response begins with 1.
        if self.expected.is_some_and(|expected| number != expected && number != 1) {
            return Measure::Foreign;
        }
        Measure::Message { length: HEADER as u64 + payload, wanted: MAX_OTHER }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        turn && super::infer::is_server(bytes)
    }
}

/// Reads numbers and texts, little-endian, until something is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// `int<1>`
    pub fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// `int<2>`
    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    /// `int<4>`
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// `int<lenenc>`
    pub fn length_encoded(&mut self) -> Option<u64> {
        let wide =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        match self.u8()? {
            small @ 0..=0xfa => Some(u64::from(small)),
            0xfc => self.take(2).map(wide),
            0xfd => self.take(3).map(wide),
            0xfe => self.take(8).map(wide),
            _ => None,
        }
    }

    /// `string<NUL>`
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.0)?;
        let text = self.take(end);
        let _ = self.take(1);
        text
    }

    /// `string<lenenc>`
    pub fn length_encoded_text(&mut self) -> Option<&'a [u8]> {
        let length = self.length_encoded()?;
        self.take(usize::try_from(length).ok()?)
    }
}
