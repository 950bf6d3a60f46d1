//! Streams: each carries one exchange (RFC 9113, 8.1).
//!
//! A stream's number is never used again on its connection, so what a response belongs to is never in doubt, whatever was
//! lost. What a loss leaves open is whether a response was in it: such a stream is given [`DOUBT`] to show that it goes on.

use rustc_hash::FxHashMap;

use crate::protocol::grpc::{Call, GrpcDetail};
use crate::protocol::http::{HttpDetail, Reset};
use crate::protocol::{Exchange, Moment, Outcome, Stream as Direction};

/// Bytes that the streams of one connection may hold.
const MOST_HELD: usize = 32 << 20;
/// A stream of which nothing is heard for so long after a loss has ended in it. Nanoseconds.
pub const DOUBT: u64 = 5_000_000_000;
/// Calls that last are told once in this time. Nanoseconds.
pub const PART: u64 = 60_000_000_000;

/// A request, and what there is of its response.
#[derive(Debug)]
pub struct Stream {
    /// First byte of the request.
    pub start: Moment,
    /// First byte of the response, nanoseconds.
    pub first_byte: Option<u64>,
    pub detail: Box<HttpDetail>,
    pub call: Option<Box<Call>>,
    /// Bytes of the request's and the response's contents; `None` once some were lost.
    pub bodies: [Option<u64>; 2],
    /// The client has said all.
    pub request_ended: bool,
    /// Since when it may have ended without our having seen it.
    doubt: Option<u64>,
    /// Bytes of memory when it began, about.
    weight: usize,
    /// Parts that were told.
    parts: u32,
    /// Where the next one begins. Nanoseconds.
    part_from: u64,
}

impl Stream {
    pub fn new(start: Moment, detail: Box<HttpDetail>, call: Option<Box<Call>>) -> Self {
        let weight = size_of::<Self>() + detail.weight() + call.as_ref().map_or(0, |call| call.weight());
        Self {
            part_from: start.time,
            start,
            first_byte: None,
            detail,
            call,
            bodies: [Some(0); 2],
            request_ended: false,
            doubt: None,
            weight,
            parts: 0,
        }
    }

    /// Contents of a message pass; the first of them are here.
    pub fn contents(&mut self, direction: Direction, bytes: &[u8], passed: u64) {
        if let Some(size) = &mut self.bodies[direction as usize] {
            *size += passed;
        }
        if let Some(call) = &mut self.call {
            match direction {
                Direction::ToServer => call.requests.pass(bytes, passed),
                Direction::ToClient => call.responses.pass(bytes, passed),
            }
        }
        if let Some(call) = &mut self.detail.call {
            let cut = (bytes.len() as u64) < passed;
            match direction {
                Direction::ToServer => {
                    call.request(bytes);
                    if cut {
                        call.request_cut();
                    }
                }
                Direction::ToClient => {
                    call.response(bytes);
                    if cut {
                        call.response_cut();
                    }
                }
            }
        }
    }

    /// Bytes of the contents that pass next of which nothing is needed.
    pub fn quiet(&self, direction: Direction) -> u64 {
        let read = self.detail.call.as_ref().is_some_and(|call| match direction {
            Direction::ToServer => call.reads_request(),
            Direction::ToClient => call.reads_response(),
        });
        match (&self.call, direction) {
            _ if read => 0,
            (None, _) => u64::MAX,
            (Some(call), Direction::ToServer) => call.requests.quiet(),
            (Some(call), Direction::ToClient) => call.responses.quiet(),
        }
    }

    /// It goes on.
    pub fn heard(&mut self) {
        self.doubt = None;
    }

    /// Bytes of one direction were lost, perhaps some of it.
    fn lose(&mut self, direction: Direction, now: u64) {
        self.bodies[direction as usize] = None;
        match (&mut self.call, direction) {
            (Some(call), Direction::ToServer) => call.requests.lose(),
            (Some(call), Direction::ToClient) => call.responses.lose(),
            (None, _) => {}
        }
        match (&mut self.detail.call, direction) {
            (Some(call), Direction::ToServer) => call.request_cut(),
            (Some(call), Direction::ToClient) => call.response_cut(),
            (None, _) => {}
        }
        if direction == Direction::ToClient {
            self.doubt = Some(now);
        }
    }

    /// Tells it.
    fn tell(mut self, mut end: u64, mut outcome: Outcome, out: &mut Vec<Exchange>) -> Outcome {
        let ended = outcome == Outcome::Complete || self.detail.reset.is_some();
        let call = self.call.take().filter(|call| call.is_one());
        let status = self.detail.status.is_some();
        if let Some(since) = self.doubt.filter(|_| !ended) {
            // What was lost was the end of a response that is known; or of a call, whose status stood there.
            if status && call.is_none() {
                outcome = Outcome::Complete;
                end = since;
            } else {
                outcome = Outcome::ResponseLost;
            }
        }
        // Its end was seen, its head was not.
        let answered = status || call.as_ref().is_some_and(|call| call.status.is_some());
        if outcome == Outcome::Complete && !answered {
            outcome = Outcome::ResponseLost;
        }
        let [request, response] = self.bodies;
        // Half a body is no size.
        self.detail.request_body = request.filter(|_| self.request_ended || outcome != Outcome::Complete);
        self.detail.response_body = response.filter(|_| self.first_byte.is_some());
        let start = self.start.time;
        let first_byte = self.first_byte.map(|time| time.max(start));
        let end = end.max(first_byte.unwrap_or(start));
        let detail: Box<dyn crate::protocol::Detail> = match call {
            Some(call) => {
                let part = if self.parts > 0 { self.parts + 1 } else { 0 };
                Box::new(GrpcDetail { http: *self.detail, call: *call, part, last: true })
            }
            None => self.detail,
        };
        out.push(Exchange { start: self.start, first_byte, end, outcome, detail });
        outcome
    }

    /// Tells the part of a lasting call that ends now.
    fn tell_part(&mut self, now: u64, out: &mut Vec<Exchange>) {
        let Some(call) = self.call.as_ref().filter(|call| call.certain) else { return };
        self.parts += 1;
        let detail = GrpcDetail {
            http: (*self.detail).clone(),
            call: (**call).clone(),
            part: self.parts,
            last: false,
        };
        let start = Moment { time: self.part_from, ..self.start };
        self.part_from = now;
        let outcome = Outcome::Unfinished;
        out.push(Exchange { start, first_byte: None, end: now, outcome, detail: Box::new(detail) });
    }
}

/// The streams of a connection that are open.
#[derive(Debug)]
pub struct Streams {
    open: FxHashMap<u32, Stream>,
    held: usize,
    limit: usize,
    /// When something may be to be told next. Nanoseconds.
    due: u64,
}

impl Streams {
    /// None yet, and never more than `limit`.
    pub fn new(limit: usize) -> Self {
        Self { open: FxHashMap::default(), held: 0, limit, due: u64::MAX }
    }

    /// Adds one, unless there are too many.
    #[must_use]
    pub fn insert(&mut self, id: u32, stream: Stream) -> bool {
        if self.open.len() >= self.limit || self.held + stream.weight > MOST_HELD {
            return false;
        }
        if stream.call.is_some() {
            self.due = self.due.min(stream.start.time.saturating_add(PART));
        }
        self.held += stream.weight;
        self.open.insert(id, stream);
        true
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.get_mut(&id)
    }

    pub fn peek(&self, id: u32) -> Option<&Stream> {
        self.open.get(&id)
    }

    fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        self.held = self.held.saturating_sub(stream.weight);
        Some(stream)
    }

    /// Tells one; whether its response was lost.
    pub fn end(&mut self, id: u32, end: u64, outcome: Outcome, out: &mut Vec<Exchange>) -> bool {
        self.remove(id).is_some_and(|stream| stream.tell(end, outcome, out) == Outcome::ResponseLost)
    }

    /// Tells one that was given up; whether there was one.
    pub fn reset(&mut self, id: u32, end: u64, reset: Reset, out: &mut Vec<Exchange>) -> bool {
        let Some(mut stream) = self.remove(id) else { return false };
        stream.detail.reset = Some(reset);
        stream.tell(end, Outcome::ConnectionClosed(0), out);
        true
    }

    /// Tells all, oldest first; how many responses were lost.
    pub fn end_all(&mut self, end: u64, outcome: Outcome, out: &mut Vec<Exchange>) -> u64 {
        self.end_where(end, outcome, |_, _| true, out)
    }

    fn end_where(
        &mut self,
        end: u64,
        outcome: Outcome,
        mut leaves: impl FnMut(u32, &Stream) -> bool,
        out: &mut Vec<Exchange>,
    ) -> u64 {
        let mut lost = 0;
        for id in self.ids(&mut leaves) {
            lost += u64::from(self.end(id, end, outcome, out));
        }
        lost
    }

    /// Those for which it holds, oldest first.
    pub fn ids(&self, holds: &mut dyn FnMut(u32, &Stream) -> bool) -> Vec<u32> {
        let mut ids: Vec<u32> =
            self.open.iter().filter(|(id, stream)| holds(**id, stream)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Bytes of one direction were lost, of any of them.
    pub fn lose(&mut self, direction: Direction, now: u64) {
        for stream in self.open.values_mut() {
            stream.lose(direction, now);
        }
        if direction == Direction::ToClient && !self.open.is_empty() {
            self.due = self.due.min(now.saturating_add(DOUBT));
        }
    }

    /// Whether [`tick`](Self::tick) may tell something some day.
    pub fn is_waiting(&self) -> bool {
        self.due != u64::MAX && !self.open.is_empty()
    }

    /// Tells parts of calls that last, and streams that must have ended in a loss; how many those are.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) -> u64 {
        if now < self.due {
            return 0;
        }
        let over = |stream: &Stream| stream.doubt.is_some_and(|since| now.saturating_sub(since) >= DOUBT);
        let lost = self.end_where(now, Outcome::ResponseLost, |_, stream| over(stream), out);
        let mut due = u64::MAX;
        let lasting =
            self.ids(&mut |_, stream| stream.call.is_some() && now.saturating_sub(stream.part_from) >= PART);
        for id in lasting {
            if let Some(stream) = self.open.get_mut(&id) {
                stream.tell_part(now, out);
                stream.part_from = now;
            }
        }
        for stream in self.open.values() {
            if stream.call.is_some() {
                due = due.min(stream.part_from.saturating_add(PART));
            }
            if let Some(since) = stream.doubt {
                due = due.min(since.saturating_add(DOUBT));
            }
        }
        self.due = due;
        lost
    }
}
