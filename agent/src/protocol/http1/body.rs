//! Bodies: where a message ends (RFC 9112, 6 and 7).
//!
//! A body is skipped by position, so its bytes need not have been captured; only the framing of a chunked one
//! must be seen, not its data.

use crate::protocol::http::is;
use crate::protocol::{Chunk, Moment};

/// What is left of a chunk: captured bytes, then bytes that only have positions.
pub(super) struct Cursor<'a> {
    /// Captured bytes at `position`.
    pub data: &'a [u8],
    /// Where in the stream.
    pub position: u64,
    /// Behind the chunk's last byte.
    pub end: u64,
    /// Where the chunk begins.
    pub start: u64,
    /// When the chunk passed.
    pub at: Moment,
    /// The chunk begins a run, so a message may begin with it.
    pub turn: bool,
    /// The run surely begins with the chunk's first byte: something was seen before it.
    pub sure: bool,
    /// Nanoseconds of silence on the connection before it.
    pub silence: u64,
    /// Which chunk of the connection it is, counted from 1.
    pub order: u64,
}

impl<'a> Cursor<'a> {
    pub fn new(chunk: &Chunk<'a>, turn: bool, sure: bool, silence: u64, order: u64) -> Self {
        Self {
            data: chunk.bytes,
            position: chunk.position,
            end: chunk.position.saturating_add(chunk.length.max(chunk.bytes.len() as u64)),
            start: chunk.position,
            at: chunk.at,
            turn,
            sure,
            silence,
            order,
        }
    }

    /// Nothing has been taken of the chunk yet.
    pub fn at_start(&self) -> bool {
        self.position == self.start
    }

    pub fn is_done(&self) -> bool {
        self.position >= self.end
    }

    /// Bytes that are left, captured or not.
    pub fn left(&self) -> u64 {
        self.end - self.position
    }

    /// There are bytes behind the captured ones.
    pub fn has_hole(&self) -> bool {
        self.left() > self.data.len() as u64
    }

    /// Takes captured bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.data.split_at(length);
        self.data = rest;
        self.position += length as u64;
        taken
    }

    /// Goes on to `position`, or to the chunk's end if that comes first.
    pub fn skip_to(&mut self, position: u64) {
        let length = position.min(self.end).saturating_sub(self.position);
        self.data = &self.data[usize::try_from(length).map_or(self.data.len(), |n| n.min(self.data.len()))..];
        self.position += length;
    }

    /// As [`skip_to`](Self::skip_to); gives what was passed.
    pub fn pass_to(&mut self, position: u64) -> Part<'a> {
        let (data, from) = (self.data, self.position);
        self.skip_to(position);
        let bytes = &data[..data.len() - self.data.len()];
        Part { bytes, cut: (bytes.len() as u64) < self.position - from }
    }

    pub fn skip_all(&mut self) {
        self.skip_to(self.end);
    }
}

/// A part of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// Bytes behind them were not.
    pub cut: bool,
}

/// What a head's fields say about the body (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    length: Option<u64>,
    length_invalid: bool,
    coding: Coding,
}

/// `Transfer-Encoding`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    /// The last coding is `chunked`.
    Chunked,
    /// The last coding is another.
    Other,
}

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// No body.
    None,
    /// So many bytes.
    Length(u64),
    /// The body says so itself.
    Chunked,
    /// The stream's end is its end.
    UntilClose,
    /// Contradictory fields.
    Unknown,
}

impl Framing {
    /// Looks at a field; false if it says nothing about the body.
    pub fn take(&mut self, name: &[u8], value: &[u8]) -> bool {
        match name.len() {
            14 if is(name, b"content-length") => {
                // RFC 9110, 8.6: a list of identical values is one value.
                for part in value.split(|&byte| byte == b',') {
                    match (number(part.trim_ascii()), self.length) {
                        (Some(length), None) => self.length = Some(length),
                        (Some(length), Some(before)) if length == before => {}
                        _ => self.length_invalid = true,
                    }
                }
                true
            }
            17 if is(name, b"transfer-encoding") => {
                let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
                self.coding = match last {
                    last if is(last, b"chunked") => Coding::Chunked,
                    last if is(last, b"identity") || last.is_empty() => self.coding,
                    _ => Coding::Other,
                };
                true
            }
            _ => false,
        }
    }

    /// Of a request.
    pub fn request(self) -> Extent {
        match self {
            Self { coding: Coding::Chunked, .. } => Extent::Chunked,
            Self { coding: Coding::Other, .. } | Self { length_invalid: true, .. } => Extent::Unknown,
            Self { length: Some(length), .. } => Extent::Length(length),
            Self { length: None, .. } => Extent::None,
        }
    }

    /// Of a response with a final status to a request that was not `CONNECT` with success.
    pub fn response(self, status: u16, to_head: bool) -> Extent {
        match self {
            _ if to_head || status == 204 || status == 304 || status < 200 => Extent::None,
            Self { coding: Coding::Chunked, .. } => Extent::Chunked,
            Self { coding: Coding::Other, .. } => Extent::UntilClose,
            Self { length_invalid: true, .. } => Extent::Unknown,
            Self { length: Some(length), .. } => Extent::Length(length),
            Self { length: None, .. } => Extent::UntilClose,
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// A body under way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// It ends at this position.
    Length { end: u64 },
    /// RFC 9112, 7.1
    Chunked(Chunked),
    /// It ends with its stream.
    UntilClose,
    /// Its end cannot be seen: its framing, or its head's, was not captured. It ends where the next run
    /// begins, or in silence.
    Unframed,
}

impl Body {
    /// Position before which no byte is wanted (the last byte's time is), 0 if all are.
    pub fn quiet_until(&self, position: u64) -> u64 {
        const WORTH_IT: u64 = 16 * 1024;
        match self {
            Body::Length { end } if *end > position.saturating_add(WORTH_IT) => end - 1,
            Body::Chunked(Chunked { phase: Phase::Data { end }, .. })
                if *end > position.saturating_add(WORTH_IT) =>
            {
                *end
            }
            _ => 0,
        }
    }
}

/// The reader of a chunked body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    /// Bytes of data so far, without their framing.
    pub content: u64,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// In chunk-size.
    Size { value: u64, digits: u8 },
    /// In chunk-ext, or before the line end.
    Extension { value: u64 },
    /// In chunk-data.
    Data { end: u64 },
    /// Behind chunk-data.
    DataEnd,
    /// At the beginning of a trailer field line, or of the empty line behind them.
    Trailer { carriage_return: bool },
    /// In a trailer field line.
    TrailerLine,
}

impl Default for Phase {
    fn default() -> Self {
        Phase::Size { value: 0, digits: 0 }
    }
}

/// What became of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    More,
    /// It is complete; the cursor stands behind it.
    Done,
    /// A byte of its framing was not captured.
    Hole,
    /// This is not how a chunked body goes.
    Garbage,
}

impl Chunked {
    /// Takes from the chunk what belongs to the body, and gives its data to `read`.
    pub fn advance(&mut self, cursor: &mut Cursor<'_>, mut read: impl FnMut(Part<'_>)) -> Progress {
        while !cursor.is_done() {
            if let Phase::Data { end } = self.phase {
                let from = cursor.position;
                read(cursor.pass_to(end));
                self.content = self.content.saturating_add(cursor.position - from);
                if cursor.position == end {
                    self.phase = Phase::DataEnd;
                }
                continue;
            }
            let Some(&byte) = cursor.data.first() else { return Progress::Hole };
            self.phase = match self.phase {
                // Only its line end matters here.
                Phase::Extension { .. } | Phase::TrailerLine if byte != b'\n' => {
                    let length = memchr::memchr(b'\n', cursor.data).unwrap_or(cursor.data.len());
                    cursor.take(length);
                    continue;
                }
                Phase::Size { value, digits } => match byte {
                    _ if digits == 16 && byte.is_ascii_hexdigit() => return Progress::Garbage,
                    b'0'..=b'9' => {
                        Phase::Size { value: value << 4 | u64::from(byte - b'0'), digits: digits + 1 }
                    }
                    b'a'..=b'f' => {
                        Phase::Size { value: value << 4 | u64::from(byte - b'a' + 10), digits: digits + 1 }
                    }
                    b'A'..=b'F' => {
                        Phase::Size { value: value << 4 | u64::from(byte - b'A' + 10), digits: digits + 1 }
                    }
                    _ if digits == 0 => return Progress::Garbage,
                    b'\n' => Self::data(value, cursor.position),
                    b';' | b' ' | b'\t' | b'\r' => Phase::Extension { value },
                    _ => return Progress::Garbage,
                },
                Phase::Extension { value } => Self::data(value, cursor.position),
                Phase::DataEnd => match byte {
                    b'\r' => Phase::DataEnd,
                    b'\n' => Phase::default(),
                    _ => return Progress::Garbage,
                },
                Phase::Trailer { carriage_return: false } if byte == b'\r' => {
                    Phase::Trailer { carriage_return: true }
                }
                Phase::Trailer { .. } if byte == b'\n' => {
                    cursor.take(1);
                    return Progress::Done;
                }
                Phase::Trailer { .. } => Phase::TrailerLine,
                Phase::TrailerLine => Phase::Trailer { carriage_return: false },
                Phase::Data { .. } => unreachable!("handled above"),
            };
            cursor.take(1);
        }
        Progress::More
    }

    /// What follows the line feed at `feed` behind a chunk-size.
    fn data(size: u64, feed: u64) -> Phase {
        match size {
            0 => Phase::Trailer { carriage_return: false },
            size => Phase::Data { end: (feed + 1).saturating_add(size) },
        }
    }
}
