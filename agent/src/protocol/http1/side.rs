//! One stream of a connection: where it stands, and the head that it is gathering.

use super::body::{Body, Cursor};
use super::head::{self, MAX_HEAD};
use super::infer::{self, Match};
use crate::protocol::{Moment, Stream};

/// A gathered head keeps its buffer for the next one if that is no larger.
const KEEP_BUFFER: usize = 4096;
/// So long may a start line be before its look is no longer checked with every chunk.
const CHECK_START: usize = 256;

/// Where a stream stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Between two messages.
    Boundary,
    /// In a head; what there is of it is in the buffer.
    Head,
    /// In a body.
    Body(Body),
    /// Somewhere.
    Lost,
    /// Nothing more is read from it.
    Off,
}

/// How a message began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginning {
    /// When its first byte passed.
    pub at: Moment,
    /// Where its first byte is.
    pub position: u64,
    /// A run began with it.
    pub turn: bool,
    /// Silence on the connection before it, nanoseconds; 0 if its chunk did not begin with it.
    pub silence: u64,
    /// Where its chunk began.
    pub chunk: u64,
    /// Which chunk of the connection that was.
    pub order: u64,
}

/// What [`Side::gather`] found.
pub(super) enum Gathered<'a> {
    /// The chunk is used up.
    More,
    /// A head with its empty line.
    Whole(Bytes<'a>),
    /// A head of which the rest was not captured.
    Cut(Bytes<'a>),
    /// The beginning of a head that is longer than [`MAX_HEAD`].
    TooLong(Bytes<'a>),
    /// No byte of the head was captured.
    Hole,
    /// Not a head.
    Garbage,
}

/// A head's bytes.
pub(super) enum Bytes<'a> {
    /// All in one chunk.
    InPlace(&'a [u8]),
    /// From several.
    Buffered(Vec<u8>),
}

impl Bytes<'_> {
    pub fn get(&self) -> &[u8] {
        match self {
            Bytes::InPlace(bytes) => bytes,
            Bytes::Buffered(bytes) => bytes,
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(super) struct Side {
    stream: Stream,
    pub state: State,
    /// The message under way, or the last one.
    pub beginning: Beginning,
    /// Where its body begins.
    pub body: u64,
    /// Behind the last byte that passed.
    pub position: u64,
    /// Where the run under way began.
    pub run: u64,
    /// When the last byte of the message under way passed.
    pub last: u64,
    /// Behind that byte.
    pub seen: u64,
    /// The message under way was found by its looks, not by where the one before it ended.
    pub tentative: bool,
    buffer: Vec<u8>,
    searched: usize,
}

impl Side {
    pub fn new(stream: Stream, midstream: bool) -> Self {
        Self {
            stream,
            state: if midstream { State::Lost } else { State::Boundary },
            beginning: Beginning::default(),
            body: 0,
            position: 0,
            run: 0,
            last: 0,
            seen: 0,
            tentative: midstream,
            buffer: Vec::new(),
            searched: 0,
        }
    }

    /// Looks, in a stream that is lost, for a message: it may begin where a chunk begins. At a turn it surely
    /// begins with the chunk's first byte; elsewhere the chunk may be the rest of something, so less is
    /// believed.
    pub fn finds_message(&self, cursor: &Cursor<'_>) -> bool {
        if !cursor.at_start() || cursor.data.is_empty() {
            return false;
        }
        match self.stream {
            Stream::ToClient => match infer::response(cursor.data) {
                Match::Yes => true,
                Match::Maybe => cursor.sure,
                Match::No => false,
            },
            Stream::ToServer => match infer::request(cursor.data) {
                Match::Yes => cursor.sure || infer::is_standard(infer::method(cursor.data)),
                Match::Maybe => cursor.sure,
                Match::No => false,
            },
        }
    }

    /// Gathers the head that begins, or goes on, at the cursor.
    pub fn gather<'a>(&mut self, cursor: &mut Cursor<'a>) -> Gathered<'a> {
        if self.state != State::Head {
            // RFC 9112, 2.2: empty lines before a message are ignored.
            let blank = cursor.data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let at_start = cursor.at_start();
            cursor.take(blank);
            if cursor.data.is_empty() {
                return if cursor.is_done() { Gathered::More } else { Gathered::Hole };
            }
            self.beginning = Beginning {
                at: cursor.at,
                position: cursor.position,
                turn: cursor.turn && at_start,
                silence: if at_start { cursor.silence } else { 0 },
                chunk: cursor.start,
                order: cursor.order,
            };
            let window = &cursor.data[..cursor.data.len().min(MAX_HEAD)];
            if let Some(end) = head::end(window, 0) {
                return Gathered::Whole(Bytes::InPlace(cursor.take(end)));
            }
            if !self.fits(window) {
                return Gathered::Garbage;
            }
            if window.len() == MAX_HEAD {
                return Gathered::TooLong(Bytes::InPlace(cursor.take(MAX_HEAD)));
            }
            if cursor.has_hole() {
                return Gathered::Cut(Bytes::InPlace(cursor.take(window.len())));
            }
            self.buffer.clear();
            self.searched = 0;
            self.state = State::Head;
        }
        let before = self.buffer.len();
        let room = (MAX_HEAD - before).min(cursor.data.len());
        self.buffer.extend_from_slice(&cursor.data[..room]);
        if let Some(end) = head::end(&self.buffer, self.searched) {
            cursor.take(end - before);
            self.buffer.truncate(end);
            return Gathered::Whole(Bytes::Buffered(std::mem::take(&mut self.buffer)));
        }
        self.searched = self.buffer.len();
        if before < CHECK_START && !self.fits(&self.buffer) {
            return Gathered::Garbage;
        }
        cursor.take(room);
        if self.buffer.len() == MAX_HEAD {
            Gathered::TooLong(Bytes::Buffered(std::mem::take(&mut self.buffer)))
        } else if cursor.is_done() {
            Gathered::More
        } else {
            Gathered::Cut(Bytes::Buffered(std::mem::take(&mut self.buffer)))
        }
    }

    /// The message under way goes on to where the cursor stands.
    pub fn passed(&mut self, cursor: &Cursor<'_>) {
        self.last = cursor.at.time;
        self.seen = cursor.position;
    }

    /// Drops what was gathered of a head; how many bytes that is.
    pub fn discard(&mut self) -> u64 {
        let length = self.buffer.len() as u64;
        self.buffer.clear();
        length
    }

    /// Takes the head that is under way, as far as it came.
    pub fn take_partial(&mut self) -> Option<Vec<u8>> {
        (self.state == State::Head).then(|| std::mem::take(&mut self.buffer))
    }

    /// Gives a buffer back for the next head.
    pub fn recycle(&mut self, bytes: Bytes<'_>) {
        if let Bytes::Buffered(mut buffer) = bytes
            && buffer.capacity() <= KEEP_BUFFER
        {
            buffer.clear();
            self.buffer = buffer;
        }
    }

    /// Are these bytes, of a head that was cut, enough to believe in it?
    pub fn believes(&self, bytes: &[u8]) -> bool {
        !self.tentative || infer::is_standard(infer::method(bytes)) || infer::request(bytes) == Match::Yes
    }

    /// Bytes of memory that heads take.
    #[cfg(test)]
    pub fn buffered(&self) -> usize {
        self.buffer.capacity()
    }

    /// A body whose end is known is under way.
    pub fn is_framed(&self) -> bool {
        matches!(self.state, State::Body(Body::Length { .. } | Body::Chunked(_)))
    }

    pub fn is_unframed(&self) -> bool {
        self.state == State::Body(Body::Unframed)
    }

    /// Position before which no byte of this stream is wanted.
    pub fn quiet_until(&self) -> u64 {
        match &self.state {
            State::Body(body) => body.quiet_until(self.position),
            _ => 0,
        }
    }

    fn fits(&self, bytes: &[u8]) -> bool {
        match self.stream {
            Stream::ToServer if self.tentative => infer::request(bytes) != Match::No,
            Stream::ToServer => infer::begins_request(bytes),
            Stream::ToClient => infer::begins_response(bytes),
        }
    }
}
