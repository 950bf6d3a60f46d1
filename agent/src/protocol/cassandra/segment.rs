//! Segments of version 5 (section 2, "Framing"): a header with a checksum of its own, a payload, and a checksum of that.
//! The payload is whole envelopes, or a part of one that is too long. What they carry is one stream of envelopes.

use super::envelope::{HEADER as ENVELOPE, Header as Envelope};
use super::infer::{Evidence, direction, evidence};
use crate::protocol::{Chunk, Losses, Stream};

/// Bytes of a header: 17 bits of the payload's length, one that says that its envelopes are whole, padding; a CRC-24.
const HEADER: usize = 6;
/// Bytes of a header where payloads are compressed: their length behind that is 17 bits more.
const COMPRESSED_HEADER: usize = 8;
/// Bytes of the payload's CRC-32.
const TRAILER: u64 = 4;
const LENGTH: u64 = (1 << 17) - 1;

/// CRC-24 as section 2.2 has it: initial value `0x875060`, polynomial `0x1974F0B`.
pub(super) fn crc24(bytes: &[u8]) -> u32 {
    let mut crc = 0x87_5060_u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x100_0000 != 0 {
                crc ^= 0x197_4f0b;
            }
        }
    }
    crc
}

/// The payload's length, and whether envelopes begin and end with it; `None` if it is no header.
fn header(bytes: &[u8; HEADER]) -> Option<(u64, bool)> {
    let word = |from: usize| u32::from_le_bytes([bytes[from], bytes[from + 1], bytes[from + 2], 0]);
    let fields = word(0);
    (crc24(&bytes[..3]) == word(3) && fields >> 18 == 0)
        .then(|| (u64::from(fields) & LENGTH, fields & (1 << 17) != 0))
}

/// As [`header`], where payloads are compressed: the length as sent and, unless it was sent as it is, 0, the length of what
/// it holds.
fn compressed_header(bytes: &[u8; COMPRESSED_HEADER]) -> Option<(u64, u64)> {
    let word = u64::from_le_bytes(*bytes);
    let fields = word & ((1 << 40) - 1);
    (u64::from(crc24(&bytes[..5])) == word >> 40 && fields >> 35 == 0)
        .then_some((fields & LENGTH, fields >> 17 & LENGTH))
}

/// Does a run begin with a segment?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Yes(Stream),
    Maybe,
    No,
}

/// Does a run that begins so begin with a segment that an envelope begins with?
pub(super) fn infer(bytes: &[u8]) -> Found {
    if is_compressed(bytes) {
        // The envelope's first bytes are the first literals of the first LZ4 sequence: behind a token, and a byte more if
        // there are fifteen of them or more.
        let plain = bytes.len() > COMPRESSED_HEADER
            && compressed_header_of(bytes).is_some_and(|(_, plain)| plain == 0);
        let versions = if plain { &bytes[8..9] } else { bytes.get(9..11).unwrap_or_default() };
        if bytes.len() < 11 {
            return Found::Maybe;
        }
        return versions.iter().find_map(|version| direction(*version)).map_or(Found::No, Found::Yes);
    }
    let Some(first) = bytes.first_chunk() else { return Found::Maybe };
    let Some((length, _)) = header(first) else { return Found::No };
    let payload = &bytes[HEADER..];
    if payload.len() < ENVELOPE {
        return if length as usize >= ENVELOPE { Found::Maybe } else { Found::No };
    }
    match Envelope::read(payload) {
        Some(envelope) if envelope.version == 5 => {
            match evidence(envelope, &payload[ENVELOPE..]) {
                Evidence::None => Found::No,
                // The checksum is evidence enough.
                _ => Found::Yes(envelope.code.stream()),
            }
        }
        _ => Found::No,
    }
}

fn compressed_header_of(bytes: &[u8]) -> Option<(u64, u64)> {
    bytes.first_chunk().and_then(compressed_header)
}

/// A segment's header begins here, of the kind whose payloads are not compressed.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|first| header(first).is_some())
}

/// A segment's header begins here, of the other kind.
pub(super) fn is_compressed(bytes: &[u8]) -> bool {
    compressed_header_of(bytes).is_some()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next byte belongs to a header.
    Header,
    /// So many bytes of a payload are left.
    Payload(u64),
    /// So many bytes of the checksum are left.
    Trailer(u64),
    /// Not known where a segment begins.
    Lost,
}

/// The segments of one stream.
#[derive(Debug)]
pub(super) struct Segments {
    state: State,
    head: [u8; HEADER],
    filled: usize,
    /// Position of the next byte of a payload, counted over payloads.
    position: u64,
    /// Where the last chunk ended in the stream.
    end: u64,
    losses: Losses,
}

/// What [`Segments::chunk`] finds.
pub(super) enum Part<'a> {
    /// A piece of the stream of envelopes; its `run_start` says that an envelope begins with it.
    Payload(Chunk<'a>),
    /// The place was lost: the next piece does not follow the last.
    Lost,
}

impl Segments {
    pub fn new(midstream: bool) -> Self {
        Self {
            state: if midstream { State::Lost } else { State::Header },
            head: [0; HEADER],
            filled: 0,
            position: 0,
            end: 0,
            losses: Losses::default(),
        }
    }

    /// Takes the next chunk of the connection's stream apart.
    pub fn chunk<'a>(&mut self, chunk: &Chunk<'a>, mut part: impl FnMut(Part<'a>)) {
        let mut data = chunk.bytes;
        let mut left = chunk.length;
        let mut whole = false;
        self.end = chunk.position + chunk.length;
        if self.state == State::Lost && begins(data) {
            self.state = State::Header;
            self.filled = 0;
        }
        while left > 0 {
            match self.state {
                State::Header => {
                    let taken = data.len().min(HEADER - self.filled);
                    self.head[self.filled..self.filled + taken].copy_from_slice(&data[..taken]);
                    self.filled += taken;
                    data = &data[taken..];
                    left -= taken as u64;
                    if self.filled < HEADER {
                        if left > 0 {
                            self.lose(left, &mut part);
                            return;
                        }
                        continue;
                    }
                    self.filled = 0;
                    match header(&self.head) {
                        Some((length, self_contained)) => {
                            whole = self_contained;
                            self.state = State::Payload(length);
                        }
                        None => {
                            self.lose(left, &mut part);
                            return;
                        }
                    }
                }
                State::Payload(rest) => {
                    let length = rest.min(left);
                    let bytes = &data[..data.len().min(length as usize)];
                    data = &data[bytes.len()..];
                    left -= length;
                    if length > 0 {
                        let (at, position) = (chunk.at, self.position);
                        part(Part::Payload(Chunk { at, position, length, bytes, run_start: whole }));
                    }
                    whole = false;
                    self.position += length;
                    self.state =
                        if length == rest { State::Trailer(TRAILER) } else { State::Payload(rest - length) };
                }
                State::Trailer(rest) => {
                    let length = rest.min(left);
                    data = &data[data.len().min(length as usize)..];
                    left -= length;
                    self.state = if length == rest { State::Header } else { State::Trailer(rest - length) };
                }
                State::Lost => {
                    self.losses.unparsed_bytes += left;
                    return;
                }
            }
        }
    }

    fn lose<'a>(&mut self, left: u64, part: &mut impl FnMut(Part<'a>)) {
        self.losses.resynchronised += 1;
        self.losses.unparsed_bytes += left;
        self.state = State::Lost;
        part(Part::Lost);
    }

    /// Position in the connection's stream before which no byte is worth copying, when no byte of the envelopes before
    /// `quiet` is; 0 if the next one is.
    pub fn quiet_until(&self, quiet: u64) -> u64 {
        match self.state {
            State::Payload(rest) if quiet > self.position => self.end + rest.min(quiet - self.position),
            _ => 0,
        }
    }

    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}
