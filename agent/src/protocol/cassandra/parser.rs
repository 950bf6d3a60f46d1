//! One connection.

use std::sync::Arc;

use super::detail::CqlDetail;
use super::envelope::{Header, OpCode};
use super::prepared;
use super::request::Request;
use super::response::Response;
use super::side::{Event, Mode, Side};
use crate::protocol::frames::Frame;
use crate::protocol::pairing::{ById, Insert, Pending};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Statements, Stream};

/// Requests in flight. Drivers' defaults are 1024 to 2048.
const MOST_WAITING: usize = 2048;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct CqlParser {
    mode: Mode,
    requests: Side,
    responses: Side,
    state: State,
}

/// What is known of a connection apart from its streams' places.
#[derive(Debug)]
struct State {
    statements: Statements,
    prepared: prepared::Statements,
    waiting: ById<i16, CqlDetail>,
    keyspace: Option<Arc<str>>,
    /// STARTUP asked for compression.
    compression: bool,
    /// Segments follow.
    started: bool,
    /// Requests so far.
    order: u64,
    /// Responses were lost when so many requests had been sent: one of theirs may have been among them.
    doubtful: u64,
    losses: Losses,
}

impl CqlParser {
    pub fn new(statements: Statements, prepared: prepared::Statements, midstream: bool) -> Self {
        Self {
            mode: if midstream { Mode::Unknown } else { Mode::Bare },
            requests: Side::new(Stream::ToServer, midstream),
            responses: Side::new(Stream::ToClient, midstream),
            state: State {
                statements,
                prepared,
                waiting: ById::new(MOST_WAITING),
                keyspace: None,
                compression: false,
                started: false,
                order: 0,
                doubtful: 0,
                losses: Losses::default(),
            },
        }
    }

    fn begin(&mut self, mode: Mode, midstream: bool) {
        self.mode = mode;
        if mode == Mode::Segments {
            self.requests.begin_segments(midstream);
            self.responses.begin_segments(midstream);
        }
    }
}

impl State {
    fn request(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let Some(header) = Header::read(frame.bytes()) else { return };
        let request = Request::read(header, frame.bytes(), &mut self.prepared, self.statements);
        if request.code == OpCode::Startup {
            self.compression = request.compression;
        }
        self.order += 1;
        let detail = CqlDetail::new(request, self.keyspace.clone(), self.order);
        match self.waiting.insert(header.stream, Pending::new(frame.start, detail)) {
            Insert::Added => {}
            // A stream is used again when its response has come.
            Insert::Replaced(older) => self.lost(older, frame.start.time, out),
            Insert::Full(_) => self.losses.over_limit += 1,
        }
    }

    fn response(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let Some(header) = Header::read(frame.bytes()) else { return };
        self.started |= header.version == 5 && matches!(header.code, OpCode::Ready | OpCode::Authenticate);
        if header.code == OpCode::Event {
            return;
        }
        let mut response = Response::read(header, frame.bytes());
        if response.keyspace.is_some() {
            self.keyspace = response.keyspace.take();
        }
        let Some(mut pending) = self.waiting.remove(header.stream) else {
            self.losses.unpaired_responses += 1;
            return;
        };
        let request = &pending.detail.request;
        if let (OpCode::Prepare, Some(id), Some(statement)) =
            (request.code, response.prepared, &request.statement)
        {
            self.prepared.learn(id, Arc::clone(statement));
        }
        pending.first_byte = Some(frame.start.time);
        pending.detail.answered(&mut response);
        if response.lost {
            self.lost(pending, frame.end.time, out);
        } else {
            pending.tell(frame.end.time, Outcome::Complete, out);
        }
    }

    /// Requests whose response may have been in a hole, as soon as their streams may have been used again.
    fn give_up_doubtful(&mut self, time: u64, out: &mut Vec<Exchange>) {
        let doubtful = self.doubtful;
        for pending in self.waiting.take_where(|_, pending| pending.detail.order <= doubtful) {
            self.lost(pending, time, out);
        }
    }

    fn lost(&mut self, pending: Pending<CqlDetail>, time: u64, out: &mut Vec<Exchange>) {
        self.losses.unpaired_requests += 1;
        pending.tell(time, Outcome::ResponseLost, out);
    }
}

impl Parser for CqlParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.mode == Mode::Unknown && chunk.run_start {
            let mode = Mode::of(stream, chunk.bytes);
            self.begin(mode, true);
        }
        let Self { mode, requests, responses, state } = self;
        let side = match stream {
            Stream::ToServer => requests,
            Stream::ToClient => responses,
        };
        if matches!(mode, Mode::Unknown | Mode::Unreadable) {
            side.unparsed(chunk.length);
            return;
        }
        side.chunk(chunk, &mut |event| match (event, stream) {
            (Event::Envelope(frame), Stream::ToServer) => state.request(frame, out),
            (Event::Envelope(frame), Stream::ToClient) => state.response(frame, out),
            (Event::Lost, Stream::ToServer) => state.give_up_doubtful(chunk.at.time, out),
            (Event::Lost, Stream::ToClient) => state.doubtful = state.order,
        });
        // Nobody sends more before the other end has read READY.
        if state.started && *mode == Mode::Bare {
            let next = if state.compression { Mode::Unreadable } else { Mode::Segments };
            self.begin(next, false);
        }
    }

    fn stream_end(&mut self, _stream: Stream, _at: Moment, _out: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.state.give_up_doubtful(at.time, out);
        self.state.waiting.tell_all(at.time, Outcome::of(cause), out);
    }

    fn tick(&mut self, _now: u64, _out: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        match self.mode {
            Mode::Unreadable => Interest::Nothing,
            _ => {
                Interest::Frames { quiet_until: [self.requests.quiet_until(), self.responses.quiet_until()] }
            }
        }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.state.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.responses.take_losses());
        losses
    }
}
