//! One connection.

use super::detail::DubboDetail;
use super::header::{Framing, Header};
use super::request::Request;
use super::response::Response;
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::{ById, Insert, Pending};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream};

/// Calls in flight. One connection carries all calls of a client to a server.
const MOST_WAITING: usize = 4096;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct DubboParser {
    requests: Frames,
    responses: Frames,
    waiting: ById<i64, DubboDetail>,
    /// Calls so far.
    order: u64,
    /// Responses were lost when so many calls had been made: one of theirs may have been among them.
    doubtful: u64,
    losses: Losses,
}

impl DubboParser {
    pub fn new(midstream: bool) -> Self {
        Self {
            requests: Frames::new(midstream),
            responses: Frames::new(midstream),
            waiting: ById::new(MOST_WAITING),
            order: 0,
            doubtful: 0,
            losses: Losses::default(),
        }
    }

    fn message(&mut self, stream: Stream, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let Some(header) = Header::read(frame.bytes()) else { return };
        // Heartbeats, and calls back with their responses.
        if header.event || header.stream() != stream {
            return;
        }
        if !header.request {
            self.response(header, frame, out);
            return;
        }
        self.order += 1;
        let request = Request::read(header, frame.bytes());
        let one_way = request.one_way;
        let pending = Pending::new(frame.start, DubboDetail::new(request, self.order));
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

    fn response(&mut self, header: Header, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let Some(mut pending) = self.waiting.remove(header.id) else {
            self.losses.unpaired_responses += 1;
            return;
        };
        pending.first_byte = Some(frame.start.time);
        pending.detail.response = Response::read(header, frame.bytes(), frame.cut);
        if pending.detail.response.lost {
            self.lost(pending, frame.end.time, out);
        } else {
            pending.tell(frame.end.time, Outcome::Complete, out);
        }
    }

    fn lost(&mut self, pending: Pending<DubboDetail>, time: u64, out: &mut Vec<Exchange>) {
        self.losses.unpaired_requests += 1;
        pending.tell(time, Outcome::ResponseLost, out);
    }
}

impl Parser for DubboParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let mut input = Input::new(chunk);
        loop {
            let side = match stream {
                Stream::ToServer => &mut self.requests,
                Stream::ToClient => &mut self.responses,
            };
            match side.next(&mut input, &Framing) {
                None => return,
                Some(Next::Lost) => {
                    if stream == Stream::ToClient {
                        self.doubtful = self.order;
                    }
                }
                Some(Next::Frame(frame)) => {
                    self.message(stream, &frame, out);
                    match stream {
                        Stream::ToServer => self.requests.recycle(frame),
                        Stream::ToClient => self.responses.recycle(frame),
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
        self.waiting.tell_all(at.time, Outcome::of(cause), out);
    }

    fn tick(&mut self, _now: u64, _out: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        Interest::Frames { quiet_until: [self.requests.quiet_until(), self.responses.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.responses.take_losses());
        losses
    }
}
