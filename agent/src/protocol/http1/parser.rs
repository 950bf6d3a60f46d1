//! One connection: its two sides, and the pairing of what they say.
//!
//! Responses come in the order of their requests (RFC 9112, 9.3), so pairing is a queue, and all the care
//! goes into not pairing when a loss made the order uncertain:
//!
//! - A lost response with exactly one request waiting is that request's ([`Outcome::ResponseLost`]).
//! - With more waiting it is not known how many responses were lost. All of them are told as lost, and the
//!   parser is in [doubt](Http1Parser::doubt): requests are told without their responses until the connection
//!   is idle again.
//! - Bytes lost where a request should have begun may hide any number of requests. Those that wait already
//!   are paired; the later ones are in doubt.
//!
//! When is a connection idle again? A client that does not pipeline sends a request only when it has its last
//! response, so a request that begins a run says so. A client that pipelines says nothing by that; after a
//! loss only [`QUIET`] does. A client is taken for one that does not pipeline until it has been seen to: two
//! requests in one piece, or a response that begins while two requests wait. So one case cannot be told: a
//! client that pipelines for the first time in bytes that were lost, or before the connection was first seen,
//! and keeps requests in flight ever after. And where the place was lost, a body that begins like a head is
//! taken for one.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use super::body::{Body, Cursor};
use super::budget::Budget;
use super::requests::Successor;
use super::side::{Side, State};
use crate::protocol::http::{HttpDetail, Shared, Upgraded};
use crate::protocol::{
    Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Rest, Stream, Upgrade,
};

/// Bytes that waiting requests may hold on one connection.
const MAX_HELD: usize = 32 << 20;
/// So long a connection of a client that pipelines must be silent (nanoseconds) before it is taken to be
/// idle.
const QUIET: u64 = 5_000_000_000;
/// After so many requests, each sent with none waiting, a client is taken not to pipeline any more.
const SERIAL: u32 = 64;

/// What a request's method means for its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing special.
    Other,
    /// `HEAD`: no body.
    Head,
    /// `CONNECT`: a tunnel.
    Connect,
}

/// A request that waits for its response.
#[derive(Debug)]
pub(super) struct Pending {
    pub id: u64,
    pub start: Moment,
    /// The chunk of the connection that it began with.
    pub order: u64,
    pub kind: Kind,
    /// What the connection would become.
    pub upgrade: Option<Successor>,
    pub detail: Box<HttpDetail>,
}

/// A response under way.
#[derive(Debug)]
pub(super) struct Active {
    pub request: Pending,
    pub first_byte: u64,
    /// Its head was not captured.
    pub lost: bool,
}

/// The parser of one connection.
pub(super) struct Http1Parser {
    pub(super) shared: Arc<Shared>,
    pub(super) requests: Side,
    pub(super) responses: Side,
    pub(super) waiting: VecDeque<Pending>,
    /// Bytes that `waiting` holds.
    pub(super) held: usize,
    pub(super) active: Option<Active>,
    /// Identity of the last request that began.
    pub(super) last_request: u64,
    /// That request's client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// Chunks of the connection so far.
    chunks: u64,
    /// The last of them that was the server's.
    pub(super) last_response: u64,
    /// New requests cannot be paired.
    pub(super) doubt: bool,
    /// There may be requests behind those that wait.
    pub(super) barrier: bool,
    /// Calls were made whose bodies say what they are.
    reads_bodies: bool,
    /// The client pipelines.
    pub(super) pipelined: bool,
    /// Requests in a row that were sent with none waiting.
    serial: u32,
    last_stream: Option<Stream>,
    last_time: u64,
    pub(super) budget: Budget,
    pub(super) losses: Losses,
    /// The connection is no longer HTTP/1.
    pub(super) successor: Option<Successor>,
    /// The request that asked for that.
    pub(super) upgraded: Option<Upgraded>,
    /// What passed behind the response that allowed it.
    pub(super) rest: Option<Rest>,
}

impl Http1Parser {
    pub fn new(shared: Arc<Shared>, midstream: bool) -> Self {
        Self {
            shared,
            requests: Side::new(Stream::ToServer, midstream),
            responses: Side::new(Stream::ToClient, midstream),
            waiting: VecDeque::new(),
            held: 0,
            active: None,
            last_request: 0,
            expects_continue: false,
            chunks: 0,
            last_response: 0,
            doubt: midstream,
            barrier: false,
            reads_bodies: false,
            pipelined: false,
            serial: 0,
            last_stream: None,
            last_time: 0,
            budget: Budget::new(),
            losses: Losses::default(),
            successor: None,
            upgraded: None,
            rest: None,
        }
    }

    /// Queues a request, if its response will be recognisable. It is not if its head was `cut` and the
    /// server's bytes passed before that was seen: they may have been the response.
    pub(super) fn accept(
        &mut self,
        request: Pending,
        tentative: bool,
        cut: bool,
        now: u64,
        out: &mut Vec<Exchange>,
    ) {
        self.end_unframed(out);
        let begun = self.requests.beginning;
        let idle = self.waiting.is_empty() && self.active.is_none();
        let weight = request.detail.weight();
        if self.waiting.len() >= self.shared.settings.max_in_flight || self.held + weight > MAX_HELD {
            self.losses.over_limit += 1;
            self.doubt = true;
            self.barrier = true;
            self.pipelined = true;
            return;
        }
        let overtaken = cut && self.is_overtaken();
        if overtaken {
            self.doubt = true;
            self.barrier |= !self.waiting.is_empty();
        }
        if self.doubt {
            let settled = begun.silence >= QUIET || (begun.turn && !self.pipelined);
            if overtaken || !(idle && settled) {
                self.losses.unpaired_requests += 1;
                tell(request, None, now, Outcome::ResponseLost, out);
                return;
            }
            self.doubt = false;
            self.barrier = false;
        }
        if idle {
            self.serial += 1;
            if self.serial >= SERIAL {
                self.pipelined = false;
            }
        } else {
            self.serial = 0;
            // In one piece with the request before it, which has no response yet.
            self.pipelined |= !self.waiting.is_empty() && !tentative && begun.position > begun.chunk;
        }
        self.reads_bodies |= request.detail.call.as_ref().is_some_and(|call| call.reads_request());
        self.held += weight;
        self.waiting.push_back(request);
    }

    /// Bytes of the server's passed since the head under way began.
    pub(super) fn is_overtaken(&self) -> bool {
        self.last_response > self.requests.beginning.order
    }

    /// The next request in order.
    pub(super) fn next_waiting(&mut self) -> Option<Pending> {
        let request = self.waiting.pop_front()?;
        self.held = self.held.saturating_sub(request.detail.weight());
        Some(request)
    }

    /// All waiting requests lose their responses: it is not known any more which is whose.
    pub(super) fn give_up_waiting(&mut self, now: u64, out: &mut Vec<Exchange>) {
        self.losses.unpaired_requests += self.waiting.len() as u64;
        while let Some(request) = self.next_waiting() {
            tell(request, None, now, Outcome::ResponseLost, out);
        }
        self.doubt = true;
        self.pipelined = true;
        self.serial = 0;
    }

    /// The client was seen to pipeline.
    pub(super) fn saw_pipelining(&mut self) {
        self.pipelined = true;
        self.serial = 0;
    }

    /// A response whose end could not be seen is over.
    pub(super) fn end_unframed(&mut self, out: &mut Vec<Exchange>) {
        if !self.responses.is_unframed() {
            return;
        }
        self.responses.state = State::Lost;
        self.responses.tentative = true;
        let Some(active) = self.active.take() else { return };
        // Would a larger budget have shown its end?
        self.budget.needed(self.responses.seen - self.responses.beginning.position);
        let outcome = if active.lost {
            self.losses.unpaired_requests += 1;
            Outcome::ResponseLost
        } else {
            Outcome::Complete
        };
        tell(active.request, Some(active.first_byte), self.responses.last, outcome, out);
    }

    /// A run of the server's went by between two of the client's, and nothing of it was seen. With one
    /// request waiting it was the response to that one, and the client does not pipeline. The hole that it
    /// left comes before the next bytes of the server's; how many responses that hides will not be known.
    fn missed_response(&mut self, now: u64, out: &mut Vec<Exchange>) {
        let certain = self.requests.state == State::Boundary
            && matches!(self.responses.state, State::Boundary | State::Lost)
            && self.active.is_none()
            && self.waiting.len() == 1
            && !self.pipelined
            && !self.doubt;
        if certain && let Some(request) = self.next_waiting() {
            self.losses.unpaired_requests += 1;
            tell(request, None, now, Outcome::ResponseLost, out);
            self.responses.state = State::Lost;
            self.responses.tentative = true;
        }
    }

    /// Of the positions before which nothing is wanted, those of bodies that say nothing of a call.
    fn unread(&self, [requests, responses]: [u64; 2]) -> [u64; 2] {
        let active = self.active.as_ref().map(|active| &active.request);
        let last = self.waiting.back().or(active).and_then(|request| request.detail.call.as_ref());
        let answered = active.and_then(|request| request.detail.call.as_ref());
        [
            if last.is_some_and(|call| call.reads_request()) { 0 } else { requests },
            if answered.is_some_and(|call| call.reads_response()) { 0 } else { responses },
        ]
    }

    /// Does a run of the client's end a response whose end cannot be seen? Not if it goes on with a request
    /// that began before that response.
    fn ends_response(&self, cursor: &Cursor<'_>) -> bool {
        cursor.turn
            && match self.requests.state {
                State::Body(Body::Unframed) => cursor.data.is_empty() || self.requests.finds_message(cursor),
                State::Body(_) => false,
                _ => true,
            }
    }

    /// The server's stream is over; `cause` is what that means for responses that are not.
    fn finish(&mut self, cause: Outcome, orderly: bool, now: u64, out: &mut Vec<Exchange>) {
        if let State::Body(Body::Length { end }) = self.requests.state {
            let (body, position) = (self.requests.body, self.requests.position);
            if position < end
                && let Some(detail) = self.request_detail()
            {
                detail.request_body = Some(position.saturating_sub(body));
            }
        }
        self.cut_response_head(cause, now, out);
        if let Some(mut active) = self.active.take() {
            let size = self.responses.position.saturating_sub(self.responses.body);
            let first_byte = Some(active.first_byte);
            match self.responses.state {
                State::Body(Body::Unframed) if active.lost => {
                    self.losses.unpaired_requests += 1;
                    tell(active.request, first_byte, self.responses.last, Outcome::ResponseLost, out);
                }
                State::Body(Body::Unframed) if orderly => {
                    tell(active.request, first_byte, self.responses.last, Outcome::Complete, out);
                }
                State::Body(Body::UntilClose) if orderly => {
                    active.request.detail.response_body = Some(size);
                    tell(active.request, first_byte, self.responses.last, Outcome::Complete, out);
                }
                State::Body(Body::UntilClose | Body::Length { .. }) => {
                    active.request.detail.response_body = Some(size);
                    tell(active.request, first_byte, now, cause, out);
                }
                _ => tell(active.request, first_byte, now, cause, out),
            }
        }
        while let Some(request) = self.next_waiting() {
            tell(request, None, now, cause, out);
        }
        self.responses.state = State::Off;
    }

    /// The response's body comes slowly and in small pieces, so that seeing all of it is cheap and the only
    /// way to see its end (server-sent events, long polls).
    fn is_streaming(&self) -> bool {
        const SLOW_BYTES_PER_SECOND: u64 = 256 * 1024;
        const LONG: u64 = 100_000_000;
        let Some(active) = self.active.as_ref() else { return false };
        let elapsed = self.responses.last.saturating_sub(active.first_byte);
        matches!(self.responses.state, State::Body(Body::Chunked(_)))
            && elapsed >= LONG
            && u128::from(self.responses.position.saturating_sub(self.responses.body)) * 1_000_000_000
                < u128::from(SLOW_BYTES_PER_SECOND) * u128::from(elapsed)
    }
}

/// Tells an exchange.
pub(super) fn tell(
    request: Pending,
    first_byte: Option<u64>,
    end: u64,
    outcome: Outcome,
    out: &mut Vec<Exchange>,
) {
    let start = request.start.time;
    let first_byte = first_byte.map(|time| time.max(start));
    let end = end.max(first_byte.unwrap_or(start));
    out.push(Exchange { start: request.start, first_byte, end, outcome, detail: request.detail });
}

impl Parser for Http1Parser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.successor.is_some() || chunk.length == 0 {
            return;
        }
        let same = self.last_stream == Some(stream);
        let silence = match self.last_stream {
            Some(_) => chunk.at.time.saturating_sub(self.last_time),
            None => u64::MAX,
        };
        let turn = chunk.run_start || !same;
        let sure = turn && self.last_stream.is_some();
        self.chunks += 1;
        let mut cursor = Cursor::new(chunk, turn, sure, silence, self.chunks);
        let side = match stream {
            Stream::ToServer => &mut self.requests,
            Stream::ToClient => &mut self.responses,
        };
        side.position = cursor.end;
        if turn {
            side.run = cursor.start;
        }
        match stream {
            Stream::ToServer => {
                if self.ends_response(&cursor) {
                    self.end_unframed(out);
                }
                if same && chunk.run_start {
                    self.missed_response(chunk.at.time, out);
                }
                self.read_requests(&mut cursor, out);
            }
            Stream::ToClient => {
                self.read_responses(&mut cursor, out);
                self.last_response = self.chunks;
            }
        }
        self.last_stream = Some(stream);
        self.last_time = self.last_time.max(chunk.at.time);
    }

    fn stream_end(&mut self, stream: Stream, at: Moment, out: &mut Vec<Exchange>) {
        if self.successor.is_some() {
            return;
        }
        match stream {
            Stream::ToServer => {
                self.cut_request_head(at.time, out);
                // What the head or body lacks will not come; the response still may.
                self.requests.state = State::Off;
            }
            Stream::ToClient => self.finish(Outcome::ConnectionClosed(0), true, at.time, out),
        }
    }

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        if self.successor.is_some() {
            return;
        }
        let outcome = Outcome::of(cause);
        self.cut_request_head(at.time, out);
        self.finish(outcome, cause == End::Orderly, at.time, out);
        self.requests.state = State::Off;
        self.successor = Some(Successor::Unknown);
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        let silence = self.shared.settings.silence_ms.saturating_mul(1_000_000);
        if self.waiting() && now.saturating_sub(self.responses.last) >= silence {
            self.end_unframed(out);
        }
    }

    fn waiting(&self) -> bool {
        self.responses.is_unframed() && self.active.is_some()
    }

    fn interest(&self) -> Interest {
        if let Some(successor) = self.successor {
            return match successor {
                Successor::Unknown => Interest::Nothing,
                Successor::Protocol(_) => Interest::Upgraded,
            };
        }
        let quiet_until = [self.requests.quiet_until(), self.responses.quiet_until()];
        if self.reads_bodies {
            return Interest::Frames { quiet_until: self.unread(quiet_until) };
        }
        // With several messages in a run, they begin anywhere.
        if self.pipelined || self.waiting.len() > 1 || self.is_streaming() {
            Interest::Frames { quiet_until }
        } else {
            Interest::Heads { budget: self.budget.get(), quiet_until }
        }
    }

    fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    fn take_upgrade(&mut self) -> Upgrade {
        let token = match self.successor {
            Some(Successor::Protocol(token)) => token.to_owned(),
            _ => String::new(),
        };
        let request = self.upgraded.take().map(|request| Box::new(request) as Box<dyn Any + Send>);
        Upgrade { token, rest: [None, self.rest.take()], request }
    }
}
