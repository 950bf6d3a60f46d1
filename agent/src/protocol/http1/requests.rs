//! The client's side of a connection.

use super::body::{Body, Chunked, Cursor, Extent, Part, Progress};
use super::head::{self, Request};
use super::infer::{self, Match};
use super::parser::{Http1Parser, Kind, Pending};
use super::side::{Gathered, State};
use crate::protocol::http::{self, Call, HttpDetail};
use crate::protocol::{Exchange, Moment, Unit};

impl Http1Parser {
    pub(super) fn read_requests(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<Exchange>) {
        while !cursor.is_done() {
            if self.body_was_left_out(cursor) {
                self.requests.state = State::Boundary;
            } else if self.head_was_none(cursor) {
                self.losses.unparsed_bytes += self.requests.discard();
                self.lose_requests();
            }
            let found = matches!(self.requests.state, State::Lost | State::Body(Body::Unframed))
                && self.requests.finds_message(cursor);
            match &mut self.requests.state {
                State::Off => return,
                State::Lost if found => self.requests.state = State::Boundary,
                State::Lost => {
                    self.losses.unparsed_bytes += cursor.left();
                    cursor.skip_all();
                }
                State::Body(Body::Unframed) if cursor.turn && found => {
                    self.requests.state = State::Boundary;
                    self.requests.tentative = true;
                }
                State::Body(Body::Unframed | Body::UntilClose) => cursor.skip_all(),
                State::Body(Body::Length { end }) => {
                    let end = *end;
                    let part = cursor.pass_to(end);
                    if let Some(call) = self.request_detail().and_then(|detail| detail.call.as_mut()) {
                        read_request(call, part);
                    }
                    if cursor.position == end {
                        self.requests.state = State::Boundary;
                    }
                }
                State::Body(Body::Chunked(_)) => match self.advance_request(cursor) {
                    (Progress::More, _) => {}
                    (Progress::Done, size) => {
                        self.budget.needed(cursor.position - self.requests.run);
                        self.requests.state = State::Boundary;
                        if let Some(detail) = self.request_detail() {
                            detail.request_body = Some(size);
                        }
                    }
                    (Progress::Hole, _) => {
                        self.budget.body_cut();
                        self.request_has_no_end();
                    }
                    (Progress::Garbage, _) => {
                        self.losses.resynchronised += 1;
                        self.request_has_no_end();
                    }
                },
                State::Boundary | State::Head => self.read_request_head(cursor, out),
            }
        }
    }

    /// Goes on in a chunked body; how many bytes of data it had so far.
    fn advance_request(&mut self, cursor: &mut Cursor<'_>) -> (Progress, u64) {
        // Out of the request that is elsewhere in the parser, and back again.
        let mut call = self.request_detail().and_then(|detail| detail.call.take());
        let State::Body(Body::Chunked(body)) = &mut self.requests.state else { return (Progress::More, 0) };
        let progress = body.advance(cursor, |part| {
            if let Some(call) = &mut call {
                read_request(call, part);
            }
        });
        let size = body.content;
        if let Some(detail) = self.request_detail() {
            detail.call = call;
        }
        (progress, size)
    }

    fn read_request_head(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<Exchange>) {
        let (bytes, whole) = match self.requests.gather(cursor) {
            Gathered::More => return,
            Gathered::Hole => return self.lose_requests(),
            Gathered::Garbage => {
                self.losses.unparsed_bytes += self.requests.discard() + cursor.left();
                cursor.skip_all();
                return self.lose_requests();
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
        match head::request(bytes.get(), whole).filter(|_| whole || self.requests.believes(bytes.get())) {
            Some(head) => self.begin_request(&head, whole, cursor, out),
            None => {
                self.losses.unparsed_bytes += bytes.get().len() as u64;
                self.lose_requests();
            }
        }
        self.requests.recycle(bytes);
    }

    fn begin_request(
        &mut self,
        head: &Request<'_>,
        whole: bool,
        cursor: &Cursor<'_>,
        out: &mut Vec<Exchange>,
    ) {
        let side = &mut self.requests;
        let tentative = std::mem::take(&mut side.tentative);
        side.body = cursor.position;
        if whole && side.beginning.turn {
            self.budget.needed(cursor.position - side.run);
        }
        let extent = if whole { head.framing.request() } else { Extent::Unknown };
        if whole && extent == Extent::Unknown {
            self.losses.resynchronised += 1;
        }
        self.requests.state = match extent {
            Extent::None | Extent::Length(0) => State::Boundary,
            Extent::Length(length) => {
                State::Body(Body::Length { end: cursor.position.saturating_add(length) })
            }
            Extent::Chunked => State::Body(Body::Chunked(Chunked::default())),
            Extent::UntilClose | Extent::Unknown => State::Body(Body::Unframed),
        };
        let mut request = self.pending(head, cursor.at.unit);
        if let Extent::Length(length) = extent {
            request.detail.request_body = Some(length);
        }
        self.accept(request, tentative, !whole, cursor.at.time, out);
        if self.requests.is_unframed() {
            self.request_has_no_end();
        }
    }

    /// A request that waits for its response. Whoever read (or wrote) its head to the end is at work on it; the first byte
    /// may have been another's, as with Go's servers, which keep a goroutine looking for it.
    fn pending(&mut self, head: &Request<'_>, unit: Unit) -> Pending {
        self.last_request += 1;
        self.expects_continue = head.expects_continue;
        let kind = match head.method {
            b"HEAD" => Kind::Head,
            b"CONNECT" => Kind::Connect,
            _ => Kind::Other,
        };
        Pending {
            id: self.last_request,
            start: Moment { unit, ..self.requests.beginning.at },
            order: self.requests.beginning.order,
            kind,
            upgrade: head.upgrade.map(successor),
            detail: Box::new(HttpDetail::new(&self.shared, &head.kept())),
        }
    }

    /// The end of the request under way cannot be seen. A client that pipelines may have sent more behind it.
    fn request_has_no_end(&mut self) {
        self.requests.state = State::Body(Body::Unframed);
        if self.pipelined {
            self.losses.resynchronised += 1;
            self.doubt = true;
            self.barrier = true;
        }
    }

    /// The place in the client's stream is lost.
    fn lose_requests(&mut self) {
        self.losses.resynchronised += u64::from(!self.requests.tentative);
        self.requests.state = State::Lost;
        self.requests.tentative = true;
        self.doubt = true;
        self.barrier |= !self.waiting.is_empty();
    }

    /// A head under way will not be finished: the server answered it, or the stream is over. What there is of
    /// it becomes a request.
    pub(super) fn cut_request_head(&mut self, now: u64, out: &mut Vec<Exchange>) {
        let Some(bytes) = self.requests.take_partial() else { return };
        self.requests.state = State::Body(Body::Unframed);
        match head::request(&bytes, false).filter(|_| self.requests.believes(&bytes)) {
            Some(head) => {
                let tentative = std::mem::take(&mut self.requests.tentative);
                let request = self.pending(&head, self.requests.beginning.at.unit);
                self.accept(request, tentative, true, now, out);
            }
            None => self.losses.unparsed_bytes += bytes.len() as u64,
        }
    }

    /// The last request that began, if it has not been told yet.
    pub(super) fn request_detail(&mut self) -> Option<&mut HttpDetail> {
        let id = self.last_request;
        let active = self.active.as_mut().map(|active| &mut active.request);
        self.waiting
            .back_mut()
            .into_iter()
            .chain(active)
            .find(|request| request.id == id)
            .map(|it| &mut *it.detail)
    }

    /// What was gathered was the end of something else: the client's next run begins with a head of its own.
    fn head_was_none(&self, cursor: &Cursor<'_>) -> bool {
        self.requests.state == State::Head
            && cursor.sure
            && cursor.at_start()
            // Line ends go on with the head that was gathered: they are the end of its last line.
            && !matches!(cursor.data, [b'\r' | b'\n', ..])
            && infer::request(cursor.data) == Match::Yes
            && infer::is_standard(infer::method(cursor.data))
    }

    /// A client that waited for `100 Continue` and got a final status may leave the body out (RFC 9110,
    /// 10.1.1, does not allow it on a connection that goes on, but it happens).
    fn body_was_left_out(&mut self, cursor: &Cursor<'_>) -> bool {
        self.expects_continue
            && cursor.turn
            && cursor.at_start()
            && cursor.position == self.requests.body
            && self.requests.is_framed()
            && infer::request(cursor.data) == Match::Yes
            && self.request_detail().is_none()
    }
}

fn read_request(call: &mut Call, part: Part<'_>) {
    call.request(part.bytes);
    if part.cut {
        call.request_cut();
    }
}

/// What a connection goes on as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Successor {
    /// Nothing that is known.
    Unknown,
    /// The protocol with this upgrade token.
    Protocol(&'static str),
}

/// What a connection is after it switched to the protocol named by an `Upgrade` field.
pub(super) fn successor(upgrade: &[u8]) -> Successor {
    let name =
        upgrade.split(|byte| matches!(byte, b',' | b'/' | b';')).next().unwrap_or_default().trim_ascii();
    for known in ["websocket", "h2c"] {
        if http::is(name, known.as_bytes()) {
            return Successor::Protocol(known);
        }
    }
    Successor::Unknown
}
