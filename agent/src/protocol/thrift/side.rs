//! One stream: where messages begin and end, in every transport.

use super::head::{self, Encoding, Found, Head, Kind, MOST_HEAD};
use super::skip::Skip;
use crate::protocol::{Chunk, Losses, Moment, Stream};

/// Bytes of a reply's struct that are kept: what went wrong stands in front.
const REPLY_KEPT: usize = 512;
/// A buffer that has grown beyond this is given back.
const KEEP_BUFFER: usize = 4 * 1024;

/// A message whose last byte has passed.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub start: Moment,
    pub end: Moment,
    pub head: &'a Head,
    /// Its first bytes, with the head.
    pub bytes: &'a [u8],
}

/// What comes out of a stream.
pub(super) enum Event<'a> {
    Message(Message<'a>),
    /// Any number of messages may be missing here.
    Lost,
}

#[derive(Debug)]
enum State {
    Boundary,
    /// The beginning of a head is in the buffer.
    Head,
    Body(Body),
    Lost,
}

#[derive(Debug)]
struct Body {
    head: Head,
    /// Bytes that are left, if the transport says so; else the struct is walked through.
    left: Option<u64>,
    /// Bytes in the buffer that are wanted.
    wanted: usize,
    cut: bool,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Side {
    stream: Stream,
    state: State,
    buffer: Vec<u8>,
    skip: Skip,
    start: Moment,
    /// Where the last chunk ended.
    end: u64,
    losses: Losses,
}

impl Side {
    pub fn new(stream: Stream, midstream: bool) -> Self {
        Self {
            stream,
            state: if midstream { State::Lost } else { State::Boundary },
            buffer: Vec::new(),
            skip: Skip::new(),
            start: Moment::default(),
            end: 0,
            losses: Losses::default(),
        }
    }

    pub fn chunk(&mut self, chunk: &Chunk<'_>, event: &mut impl FnMut(Event<'_>)) {
        let mut data = chunk.bytes;
        let mut hole = chunk.length - chunk.bytes.len() as u64;
        self.end = chunk.position + chunk.length;
        if matches!(self.state, State::Lost) && chunk.run_start && begins(self.stream, data) {
            self.state = State::Boundary;
        }
        while !data.is_empty() || hole > 0 {
            match &mut self.state {
                State::Lost => {
                    self.losses.unparsed_bytes += data.len() as u64 + hole;
                    return;
                }
                State::Boundary => {
                    self.start = chunk.at;
                    self.buffer.clear();
                    self.state = State::Head;
                }
                State::Head => {
                    let before = self.buffer.len();
                    let room = (MOST_HEAD - before).min(data.len());
                    self.buffer.extend_from_slice(&data[..room]);
                    match head::read(&self.buffer) {
                        Found::Head(head)
                            if head.kind.is_none_or(|kind| kind.stream() == self.stream)
                                // A name longer than any that is read does not end in the buffer.
                                && head.body <= self.buffer.len() =>
                        {
                            data = &data[head.body.saturating_sub(before)..];
                            self.begin_body(head);
                            self.finish_if_over(chunk, event);
                        }
                        Found::More if hole == 0 && self.buffer.len() < MOST_HEAD => return,
                        _ => {
                            let left = (data.len() as u64 + hole) + before as u64;
                            self.lose(left, event);
                            return;
                        }
                    }
                }
                State::Body(body) => {
                    let taken = match &mut body.left {
                        Some(left) => {
                            let taken = (*left).min(data.len() as u64) as usize;
                            *left -= taken as u64;
                            Ok(taken)
                        }
                        None => self.skip.bytes(data),
                    };
                    let Ok(taken) = taken else {
                        self.lose(data.len() as u64 + hole, event);
                        return;
                    };
                    let wanted = body.wanted.saturating_sub(self.buffer.len());
                    let kept = taken.min(wanted);
                    self.buffer.extend_from_slice(&data[..kept]);
                    data = &data[taken..];
                    let over = body.left == Some(0) || (body.left.is_none() && self.skip.is_over());
                    if !over && data.is_empty() && hole > 0 {
                        let passed = match &mut body.left {
                            Some(left) => {
                                let passed = hole.min(*left);
                                *left -= passed;
                                passed
                            }
                            None => self.skip.hole(hole),
                        };
                        // What was wanted is in the hole.
                        if self.buffer.len() < body.wanted && passed > 0 {
                            body.cut = true;
                            body.wanted = self.buffer.len();
                        }
                        hole -= passed;
                        let ends = body.left == Some(0);
                        if hole > 0 && !ends {
                            self.lose(hole, event);
                            return;
                        }
                    }
                    self.finish_if_over(chunk, event);
                }
            }
        }
    }

    fn begin_body(&mut self, head: Head) {
        let of_reply = matches!(head.kind, Some(Kind::Reply | Kind::Exception));
        let wanted = head.body + if of_reply { REPLY_KEPT } else { 0 };
        let left = head.length.map(|length| length.saturating_sub(head.body as u64));
        let wanted = left.map_or(wanted, |left| wanted.min(head.body + left as usize));
        self.buffer.truncate(head.body);
        if left.is_none() {
            self.skip.begin(head.encoding);
        }
        self.state = State::Body(Body { head, left, wanted, cut: false });
    }

    fn finish_if_over(&mut self, chunk: &Chunk<'_>, event: &mut impl FnMut(Event<'_>)) {
        let State::Body(body) = &self.state else { return };
        if !(body.left == Some(0) || (body.left.is_none() && self.skip.is_over())) {
            return;
        }
        let State::Body(Body { head, .. }) = std::mem::replace(&mut self.state, State::Boundary) else {
            return;
        };
        let (start, end) = (self.start, chunk.at);
        event(Event::Message(Message { start, end, head: &head, bytes: &self.buffer }));
        self.buffer.clear();
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
    }

    fn lose(&mut self, left: u64, event: &mut impl FnMut(Event<'_>)) {
        self.losses.resynchronised += 1;
        self.losses.unparsed_bytes += left;
        self.state = State::Lost;
        self.buffer = Vec::new();
        event(Event::Lost);
    }

    /// A position before which no byte is worth copying; 0 if the next one is.
    pub fn quiet_until(&self) -> u64 {
        match &self.state {
            State::Body(body) if body.cut || self.buffer.len() >= body.wanted => {
                match body.left.unwrap_or_else(|| self.skip.quiet()) {
                    0 => 0,
                    left => self.end.saturating_add(left),
                }
            }
            _ => 0,
        }
    }

    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}

/// Could a message of this stream begin with these bytes?
pub(super) fn begins(stream: Stream, bytes: &[u8]) -> bool {
    match head::read(bytes) {
        Found::Head(head) => {
            head.kind.is_none_or(|kind| kind.stream() == stream)
                && (head.encoding == Encoding::Compressed
                    || bytes.get(head.body).is_none_or(|&first| super::skip::may_begin(head.encoding, first)))
        }
        // A frame's length is often read by itself.
        Found::More => bytes.len() >= 4,
        Found::Foreign => false,
    }
}
