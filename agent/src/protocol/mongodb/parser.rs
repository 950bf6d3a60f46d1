//! One connection.

use super::detail::MongoDetail;
use super::framing::{Framing, Header};
use super::reply::Reply;
use super::request::Request;
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::{ById, Insert, Pending};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Statements, Stream};

/// Requests in flight. Drivers send one at a time; a compressed one that is not to be answered stays until the next
/// reply.
const MOST_WAITING: usize = 512;
/// Bytes of a run that are copied while every message begins one. Two messages fit, or one and what is read of it.
const BUDGET: u32 = 20 * 1024;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct MongoParser {
    statements: Statements,
    requests: Frames,
    replies: Frames,
    waiting: ById<i32, MongoDetail>,
    /// The last reply of a greeting that promised more.
    announced: Option<i32>,
    /// Requests so far.
    order: u64,
    /// Replies were lost when so many requests had been sent: one of theirs may have been among them.
    doubtful: u64,
    /// Messages have been seen that did not begin a run.
    streaming: bool,
    losses: Losses,
}

impl MongoParser {
    pub fn new(statements: Statements, midstream: bool) -> Self {
        Self {
            statements,
            requests: Frames::new(midstream),
            replies: Frames::new(midstream),
            waiting: ById::new(MOST_WAITING),
            announced: None,
            order: 0,
            doubtful: 0,
            streaming: false,
            losses: Losses::default(),
        }
    }

    fn request(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let bytes = frame.bytes();
        let Some(header) = Header::read(bytes) else { return };
        let whole = bytes.len() == header.length;
        let request = Request::read(header, bytes, whole, self.statements);
        self.order += 1;
        let one_way = request.one_way;
        let pending = Pending::new(frame.start, MongoDetail::new(request, self.order));
        if one_way {
            pending.tell(frame.end.time, Outcome::Complete, out);
            return;
        }
        match self.waiting.insert(header.id, pending) {
            Insert::Added => {}
            Insert::Replaced(older) => self.lost(older, frame.start.time, out),
            Insert::Full(_) => self.losses.over_limit += 1,
        }
    }

    fn reply(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let Some(header) = Header::read(frame.bytes()) else { return };
        let reply = Reply::read(header, frame.bytes(), !frame.cut);
        let more = reply.more_to_come;
        let Some(mut pending) = self.waiting.remove(header.response_to) else {
            // A greeting's later replies are news, not answers.
            if self.announced != Some(header.response_to) {
                self.losses.unpaired_responses += 1;
            }
            self.announced = more.then_some(header.id);
            return;
        };
        let order = pending.detail.order;
        let known = reply.ok.is_some() || reply.compressed || reply.code.is_some();
        pending.first_byte.get_or_insert(frame.start.time);
        pending.detail.answered(reply);
        if more && !pending.detail.is_greeting() {
            if let Insert::Replaced(older) = self.waiting.insert(header.id, pending) {
                self.lost(older, frame.start.time, out);
            }
        } else {
            self.announced = more.then_some(header.id);
            if known {
                pending.tell(frame.end.time, Outcome::Complete, out);
            } else {
                self.lost(pending, frame.end.time, out);
            }
        }
        self.settle(order, frame.start.time, out);
    }

    /// Requests before one that was answered will not be answered any more.
    fn settle(&mut self, order: u64, time: u64, out: &mut Vec<Exchange>) {
        if self.waiting.is_empty() {
            return;
        }
        for pending in self.waiting.take_where(|_, pending| pending.detail.order < order) {
            if pending.detail.request.compressor.is_some() && pending.detail.order > self.doubtful {
                // Whether it wanted an answer was compressed, too.
                let end = pending.start.time;
                pending.tell(end, Outcome::Complete, out);
            } else {
                self.lost(pending, time, out);
            }
        }
    }

    fn lost(&mut self, pending: Pending<MongoDetail>, time: u64, out: &mut Vec<Exchange>) {
        self.losses.unpaired_requests += 1;
        pending.tell(time, Outcome::ResponseLost, out);
    }
}

impl Parser for MongoParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let mut input = Input::new(chunk);
        let framing = Framing(stream);
        loop {
            let side = match stream {
                Stream::ToServer => &mut self.requests,
                Stream::ToClient => &mut self.replies,
            };
            match side.next(&mut input, &framing) {
                None => return,
                Some(Next::Frame(frame)) => {
                    self.streaming |= !frame.turn;
                    match stream {
                        Stream::ToServer => {
                            self.request(&frame, out);
                            self.requests.recycle(frame);
                        }
                        Stream::ToClient => {
                            self.reply(&frame, out);
                            self.replies.recycle(frame);
                        }
                    }
                }
                Some(Next::Lost) => {
                    self.streaming = true;
                    if stream == Stream::ToClient {
                        self.doubtful = self.order;
                        self.announced = None;
                    }
                }
            }
        }
    }

    fn stream_end(&mut self, _stream: Stream, _at: Moment, _out: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        let doubtful = self.doubtful;
        for pending in self.waiting.take_where(|_, pending| pending.detail.order <= doubtful) {
            self.lost(pending, at.time, out);
        }
        // Who closes a connection does not wait for news any more.
        for pending in self.waiting.take_where(|_, pending| pending.detail.is_greeting()) {
            pending.tell(at.time, Outcome::Unfinished, out);
        }
        self.waiting.tell_all(at.time, Outcome::of(cause), out);
    }

    fn tick(&mut self, _now: u64, _out: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        let quiet_until = [self.requests.quiet_until(), self.replies.quiet_until()];
        if self.streaming {
            Interest::Frames { quiet_until }
        } else {
            Interest::Heads { budget: BUDGET, quiet_until }
        }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.replies.take_losses());
        losses
    }
}
