//! The server's side of a connection.

use super::body::{Body, Chunked, Cursor, Extent, Part, Progress};
use super::head::{self, Response};
use super::infer::{self, Match};
use super::parser::{Active, Http1Parser, Kind, Pending, tell};
use super::requests::{Successor, successor};
use super::side::{Gathered, State};
use crate::protocol::http::{Call, Upgraded};
use crate::protocol::{Exchange, Moment, Outcome, Rest};

impl Http1Parser {
    pub(super) fn read_responses(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<Exchange>) {
        while !cursor.is_done() && self.successor.is_none() {
            match &mut self.responses.state {
                State::Off => return,
                State::Lost => self.look_for_response(cursor, out),
                State::Body(Body::Unframed)
                    if cursor.at_start() && infer::response(cursor.data) == Match::Yes =>
                {
                    self.end_unframed(out);
                }
                State::Body(Body::Unframed | Body::UntilClose) => {
                    let part = cursor.pass_to(cursor.end);
                    self.read_response(part);
                    self.responses.passed(cursor);
                }
                State::Body(Body::Length { end }) => {
                    let end = *end;
                    let part = cursor.pass_to(end);
                    self.read_response(part);
                    self.responses.passed(cursor);
                    if cursor.position == end {
                        let size = end - self.responses.body;
                        self.complete(Some(size), cursor, out);
                    }
                }
                State::Body(Body::Chunked(body)) => {
                    let mut call =
                        self.active.as_mut().and_then(|active| active.request.detail.call.as_mut());
                    let progress = body.advance(cursor, |part| read_response(&mut call, part));
                    let size = body.content;
                    self.responses.passed(cursor);
                    match progress {
                        Progress::More => {}
                        Progress::Done => {
                            self.budget.needed(cursor.position - self.responses.beginning.position);
                            self.complete(Some(size), cursor, out);
                        }
                        Progress::Hole => {
                            self.budget.body_cut();
                            self.response_has_no_end(cursor, out);
                        }
                        Progress::Garbage => {
                            self.losses.resynchronised += 1;
                            self.response_has_no_end(cursor, out);
                        }
                    }
                }
                State::Boundary | State::Head => self.read_response_head(cursor, out),
            }
        }
    }

    fn read_response(&mut self, part: Part<'_>) {
        let mut call = self.active.as_mut().and_then(|active| active.request.detail.call.as_mut());
        read_response(&mut call, part);
    }

    /// Finds out, with the place in the server's stream lost, whether this chunk begins a response.
    fn look_for_response(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<Exchange>) {
        if cursor.turn && cursor.at_start() {
            self.answer_half_a_head(cursor.at.time, out);
        }
        if self.waiting.is_empty() {
            if cursor.at_start() && infer::response(cursor.data) == Match::Yes {
                self.losses.unpaired_responses += 1;
                if let Some(head) =
                    head::response(cursor.data).filter(|head| head.status == 101 && cursor.turn)
                {
                    self.switch(head.upgrade.map_or(Successor::Unknown, successor));
                }
            }
        } else if cursor.turn && self.responses.finds_message(cursor) {
            self.responses.state = State::Boundary;
            return;
        } else {
            return self.lose_responses(cursor, out);
        }
        self.losses.unparsed_bytes += cursor.left();
        cursor.skip_all();
    }

    fn read_response_head(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<Exchange>) {
        let (bytes, whole) = match self.responses.gather(cursor) {
            Gathered::More => return,
            Gathered::Hole => return self.lose_responses(cursor, out),
            Gathered::Garbage => {
                self.losses.unparsed_bytes += self.responses.discard();
                return self.lose_responses(cursor, out);
            }
            Gathered::Whole(bytes) => (bytes, true),
            Gathered::Cut(bytes) => {
                self.budget.cut();
                (bytes, false)
            }
            Gathered::TooLong(bytes) => {
                self.losses.over_limit += 1;
                self.losses.resynchronised += 1;
                (bytes, false)
            }
        };
        self.responses.passed(cursor);
        match head::response(bytes.get()) {
            Some(head) => self.begin_response(&head, whole, cursor, out),
            None => {
                self.losses.unparsed_bytes += bytes.get().len() as u64;
                self.lose_responses(cursor, out);
            }
        }
        self.responses.recycle(bytes);
    }

    fn begin_response(
        &mut self,
        head: &Response<'_>,
        whole: bool,
        cursor: &Cursor<'_>,
        out: &mut Vec<Exchange>,
    ) {
        self.answer_half_a_head(cursor.at.time, out);
        // RFC 9110, 15.2: any number of interim responses come before the final one.
        if head.status < 200 && head.status != 101 {
            if !whole {
                self.lose_responses(cursor, out);
            } else if self.waiting.is_empty() {
                self.responses.state = State::Lost;
                self.responses.tentative = true;
            } else {
                self.responses.state = State::Boundary;
            }
            return;
        }
        let Some(mut request) = self.take_answered() else {
            self.losses.unpaired_responses += 1;
            self.responses.state = State::Lost;
            self.responses.tentative = true;
            if head.status == 101 {
                self.switch(head.upgrade.map_or(Successor::Unknown, successor));
            }
            return;
        };
        if !self.waiting.is_empty() || self.barrier {
            self.saw_pipelining();
        }
        self.responses.tentative = false;
        self.responses.body = cursor.position;
        if whole && self.responses.beginning.turn && self.waiting.is_empty() {
            self.budget.needed(cursor.position - self.responses.run);
        }
        request.detail.answered(head.status, head::version(head.minor), &head.fields);
        let to_head = request.kind == Kind::Head;
        let tunnel = request.kind == Kind::Connect && head.status / 100 == 2;
        let upgrade = head.upgrade.map(successor).or(request.upgrade);
        self.active = Some(Active { request, first_byte: self.responses.beginning.at.time, lost: false });
        if head.status == 101 {
            // RFC 9110, 15.2.2
            return self.upgrade(upgrade.unwrap_or(Successor::Unknown), cursor, out);
        }
        if tunnel {
            // RFC 9110, 9.3.6
            self.complete(None, cursor, out);
            return self.switch(Successor::Unknown);
        }
        let extent = if whole { head.framing.response(head.status, to_head) } else { Extent::Unknown };
        self.responses.state = match extent {
            Extent::None => return self.complete(None, cursor, out),
            Extent::Length(0) => return self.complete(Some(0), cursor, out),
            Extent::Length(length) => {
                State::Body(Body::Length { end: cursor.position.saturating_add(length) })
            }
            Extent::Chunked => State::Body(Body::Chunked(Chunked::default())),
            Extent::UntilClose => State::Body(Body::UntilClose),
            Extent::Unknown => {
                self.losses.resynchronised += u64::from(whole);
                return self.response_has_no_end(cursor, out);
            }
        };
    }

    /// The request that is answered by the response whose head is here. What began before a request is no
    /// response to it.
    fn take_answered(&mut self) -> Option<Pending> {
        let began = self.responses.beginning.order;
        self.waiting.front().filter(|request| request.order < began)?;
        self.next_waiting()
    }

    /// With no request waiting but a head under way the server answers that: it has not seen its end (408,
    /// 431), or we have not.
    fn answer_half_a_head(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if self.waiting.is_empty() && self.active.is_none() && !self.is_overtaken() {
            self.cut_request_head(now, out);
        }
    }

    /// The response under way is complete.
    fn complete(&mut self, size: Option<u64>, cursor: &Cursor<'_>, out: &mut Vec<Exchange>) {
        self.responses.state = State::Boundary;
        if let Some(mut active) = self.active.take() {
            active.request.detail.response_body = size;
            tell(active.request, Some(active.first_byte), cursor.at.time, Outcome::Complete, out);
        }
    }

    /// The end of the response under way cannot be seen. If other requests wait, their responses may have
    /// begun already.
    fn response_has_no_end(&mut self, cursor: &Cursor<'_>, out: &mut Vec<Exchange>) {
        self.responses.state = State::Body(Body::Unframed);
        self.losses.resynchronised += u64::from(self.pipelined);
        if !self.waiting.is_empty() {
            self.end_unframed(out);
            self.give_up_waiting(cursor.at.time, out);
        }
    }

    /// A response should be here, but what is here is not captured, or is none.
    fn lose_responses(&mut self, cursor: &Cursor<'_>, out: &mut Vec<Exchange>) {
        self.answer_half_a_head(cursor.at.time, out);
        self.losses.resynchronised += u64::from(!self.responses.tentative || !self.waiting.is_empty());
        self.responses.state = State::Lost;
        self.responses.tentative = true;
        if self.waiting.len() > 1 {
            return self.give_up_waiting(cursor.at.time, out);
        }
        if let Some(request) = self.next_waiting() {
            self.responses.state = State::Body(Body::Unframed);
            self.responses.beginning.position = cursor.position;
            self.responses.passed(cursor);
            self.active = Some(Active { request, first_byte: cursor.at.time, lost: true });
        }
    }

    /// The server's stream is over in the middle of a head.
    pub(super) fn cut_response_head(&mut self, cause: Outcome, now: u64, out: &mut Vec<Exchange>) {
        let Some(bytes) = self.responses.take_partial() else { return };
        let Some(head) = head::response(&bytes).filter(|head| head.status >= 200) else { return };
        if let Some(mut request) = self.take_answered() {
            request.detail.answered(head.status, head::version(head.minor), &head.fields);
            tell(request, Some(self.responses.beginning.at.time), now, cause, out);
        }
    }

    /// The response under way allows another protocol, which begins behind it. That it is HTTP/2 is not the answer yet
    /// (RFC 7540, 3.2): it comes on stream 1.
    fn upgrade(&mut self, successor: Successor, cursor: &Cursor<'_>, out: &mut Vec<Exchange>) {
        if successor == Successor::Protocol("h2c") {
            let request = self.active.take().map(|active| active.request);
            self.upgraded = request.map(|request| Upgraded { start: request.start, detail: request.detail });
        } else {
            if let (Successor::Protocol(_), Some(active)) = (successor, &self.active) {
                let start = Moment { time: active.first_byte, ..active.request.start };
                self.upgraded = Some(Upgraded { start, detail: active.request.detail.clone() });
            }
            self.complete(None, cursor, out);
        }
        self.rest = (!cursor.is_done()).then(|| Rest {
            at: cursor.at,
            position: cursor.position,
            length: cursor.left(),
            bytes: cursor.data.to_vec(),
        });
        self.switch(successor);
    }

    /// The connection goes on in another protocol.
    fn switch(&mut self, successor: Successor) {
        self.successor = Some(successor);
        self.requests.state = State::Off;
        self.responses.state = State::Off;
    }
}

fn read_response(call: &mut Option<&mut Box<Call>>, part: Part<'_>) {
    if let Some(call) = call {
        call.response(part.bytes);
        if part.cut {
            call.response_cut();
        }
    }
}
