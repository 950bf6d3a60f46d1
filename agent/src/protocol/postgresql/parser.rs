//! One connection: requests and their answers.
//!
//! Pairing rests on order alone; see [`Doubt`] for what is made of that in the middle of a connection and after losses.

use std::sync::Arc;

use super::message::{Backend, CANCEL_REQUEST, Frontend, GSSENC_REQUEST, HEADER, SSL_REQUEST, u32_at};
use super::steps::{Kind, Refusal, Step, Steps};
use super::{SYSTEM, backend, frontend};
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::Pending;
use crate::protocol::sql::detail::{Failure, SqlDetail};
use crate::protocol::sql::doubt::Doubt;
use crate::protocol::sql::prepared::{Names, Prepared};
use crate::protocol::sql::{Dialect, Statement};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Statements, Stream};

/// What was refused before the client had sent the Sync behind it.
struct Refused {
    /// It, if no Execute had come that it belongs to.
    pending: Option<(Pending<SqlDetail>, bool)>,
}

/// The state of a connection.
pub(super) struct Connection {
    statements: Statements,
    dialect: Dialect,
    requests: Frames,
    answers: Frames,
    steps: Steps,
    prepared: Names,
    portals: Names,
    namespace: Option<Arc<str>>,
    /// When the first message of the present Execute passed.
    unit: Option<Moment>,
    /// When the first answer to it did.
    first_answer: Option<u64>,
    /// DataRow messages of the present command.
    rows: u64,
    /// The present command copies data out.
    copy_out: bool,
    /// The answer to SSLRequest or GSSENCRequest is to come.
    letter: bool,
    unreadable: bool,
    cancel: Option<Pending<SqlDetail>>,
    /// Requests were lost: no more are believed before the client begins a new run.
    requests_lost: bool,
    /// Answers were lost; likewise.
    answers_lost: bool,
    /// The server refused something, and passes over what comes before the next Sync.
    refused: Option<Refused>,
    /// The agent came in the middle, and the server has not spoken since: what the client sends may be the rest of a
    /// pipeline whose beginning was not seen.
    first_run: bool,
    doubt: Doubt,
    losses: Losses,
}

impl Connection {
    pub fn new(statements: Statements, midstream: bool) -> Self {
        Self {
            statements,
            dialect: Dialect::POSTGRESQL,
            requests: Frames::new(midstream),
            answers: Frames::new(midstream),
            steps: Steps::default(),
            prepared: Names::statements(),
            portals: Names::portals(),
            namespace: None,
            unit: None,
            first_answer: None,
            rows: 0,
            copy_out: false,
            letter: false,
            unreadable: false,
            cancel: None,
            requests_lost: false,
            answers_lost: false,
            refused: None,
            first_run: midstream,
            doubt: Doubt::new(midstream),
            losses: Losses::default(),
        }
    }

    // === requests ===

    fn request(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        if frame.turn {
            self.turn(frame.start.time, out);
        }
        let message = frame.bytes();
        let Some(&kind) = message.first() else { return };
        let start = frame.start;
        match kind {
            0 => self.opening(frame, out),
            b'Q' => {
                let statement = self.read(&message[HEADER.min(message.len())..], frame.cut);
                let detail = self.detail(Some(Prepared::new(statement)));
                self.push(frame, out, Step::exchange(Kind::Query, Pending::new(start, detail)));
                self.unit = None;
            }
            b'F' => {
                let detail = SqlDetail { command: Some("FUNCTION CALL"), ..self.detail(None) };
                self.push(frame, out, Step::exchange(Kind::Function, Pending::new(start, detail)));
                self.unit = None;
            }
            b'P' => {
                let start = *self.unit.get_or_insert(start);
                let parsed = frontend::name(message)
                    .map(|(name, query)| (name, Prepared::new(self.read(query, frame.cut))));
                let statement = parsed.as_ref().map(|(_, prepared)| Arc::clone(&prepared.statement));
                match parsed {
                    Some((name, prepared)) => {
                        let kept = self.prepared.insert(name, Some(prepared));
                        self.losses.over_limit += u64::from(!kept);
                    }
                    // Which of them was replaced is not known.
                    None => self.prepared.clear(),
                }
                self.push(frame, out, Step::new(Kind::Parse, start, statement));
            }
            b'B' => {
                let start = *self.unit.get_or_insert(start);
                let names = frontend::name(message)
                    .and_then(|(portal, rest)| Some((portal, super::message::text(rest)?.0)));
                let mut statement = None;
                if let Some((portal, name)) = names {
                    let prepared = self.prepared.use_one(name);
                    statement = prepared.as_ref().map(|prepared| Arc::clone(&prepared.statement));
                    let kept = self.portals.insert(portal, prepared);
                    self.losses.over_limit += u64::from(!kept);
                } else {
                    self.portals.clear();
                }
                self.push(frame, out, Step::new(Kind::Bind, start, statement));
            }
            b'D' => {
                let start = *self.unit.get_or_insert(start);
                let prepared = frontend::object(message).and_then(|(statement, name)| {
                    if statement { &mut self.prepared } else { &mut self.portals }.get_mut(name)
                });
                let statement = prepared.map(|prepared| Arc::clone(&prepared.statement));
                self.push(frame, out, Step::new(Kind::Describe, start, statement));
            }
            b'C' => {
                if let Some((statement, name)) = frontend::object(message) {
                    if statement { &mut self.prepared } else { &mut self.portals }.remove(name);
                }
                self.push(frame, out, Step::new(Kind::Close, start, None));
            }
            b'E' => {
                let start = self.unit.take().unwrap_or(start);
                let portal = frontend::name(message).and_then(|(name, _)| self.portals.use_one(name));
                let detail = self.detail(portal);
                self.push(frame, out, Step::exchange(Kind::Execute, Pending::new(start, detail)));
            }
            b'S' => {
                self.unit = None;
                self.push(frame, out, Step::new(Kind::Sync, start, None));
            }
            // Where nothing is waited for, the data's end changes nothing.
            b'c' | b'f' if !self.steps.is_empty() => {
                self.push(frame, out, Step::new(Kind::CopyEnd, start, None))
            }
            _ => {}
        }
    }

    fn opening(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let message = frame.bytes();
        match u32_at(message, 4) {
            Some(SSL_REQUEST | GSSENC_REQUEST) => self.letter = true,
            Some(CANCEL_REQUEST) => {
                let detail = SqlDetail { command: Some("CANCEL"), ..self.detail(None) };
                self.cancel = Some(Pending::new(frame.start, detail));
            }
            _ => {
                let database = frontend::database(message);
                self.namespace = database.map(|name| String::from_utf8_lossy(name).into());
                let detail = SqlDetail { command: Some("CONNECT"), ..self.detail(None) };
                self.push(frame, out, Step::exchange(Kind::Startup, Pending::new(frame.start, detail)));
            }
        }
    }

    fn read(&self, text: &[u8], cut: bool) -> Statement {
        let (query, open) = frontend::query(text);
        Statement::read_in(self.dialect, query, cut || open, self.statements)
    }

    fn detail(&self, prepared: Option<Prepared>) -> SqlDetail {
        let (statement, parent) =
            prepared.map_or((None, None), |prepared| (Some(prepared.statement), prepared.parent));
        SqlDetail {
            system: SYSTEM,
            namespace: self.namespace.clone(),
            statement,
            parent,
            ..SqlDetail::default()
        }
    }

    fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>, mut step: Step) {
        if self.requests_lost {
            return;
        }
        if self.refused.is_some() && !self.passed_over(frame, out, &mut step) {
            return;
        }
        // Clients do not send a Query before they have all answers to what they sent before.
        step.uncertain = self.first_run && !(step.kind == Kind::Query && self.steps.is_empty());
        if !self.steps.push(step) {
            self.losses.over_limit += 1;
            self.requests_lost = true;
        }
    }

    /// Takes a step that the server passes over; true if it is the Sync that it waits for.
    fn passed_over(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>, step: &mut Step) -> bool {
        let earlier = self.refused.as_mut().and_then(|refused| refused.pending.take());
        if step.kind == Kind::Sync {
            self.refused = None;
            if let Some((pending, uncertain)) = earlier {
                self.tell(pending, uncertain, frame.start.time, out);
            }
            return true;
        }
        match (step.pending.take(), earlier) {
            // The Execute of what was refused.
            (Some(mut pending), Some((earlier, uncertain))) => {
                pending.start = earlier.start;
                pending.detail.failure = earlier.detail.failure;
                pending.detail.severity = earlier.detail.severity;
                self.tell(pending, uncertain, frame.end.time, out);
            }
            (Some(mut pending), None) => {
                pending.detail.failure = Some(Failure::Aborted);
                self.tell(pending, false, frame.end.time, out);
            }
            (None, earlier) => {
                if let Some(refused) = &mut self.refused {
                    refused.pending = earlier;
                }
            }
        }
        false
    }

    /// What was refused has no Execute that was seen.
    fn tell_refused(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if let Some((pending, uncertain)) = self.refused.take().and_then(|refused| refused.pending) {
            self.tell(pending, uncertain, now, out);
        }
    }

    /// The client begins to speak.
    fn turn(&mut self, now: u64, out: &mut Vec<Exchange>) {
        self.unit = None;
        if self.requests_lost || self.answers_lost {
            self.doubt.raise(self.steps.syncs());
            self.losses.unpaired_requests += self.steps.tell_all(now, Outcome::ResponseLost, out);
            self.tell_refused(now, out);
            (self.requests_lost, self.answers_lost) = (false, false);
            self.forget_answer();
        } else if self.steps.is_empty() {
            self.doubt.clean_turn(out);
        }
    }

    // === answers ===

    fn answer(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let message = frame.bytes();
        let Some(&kind) = message.first() else { return };
        if std::mem::take(&mut self.letter) && frame.length == 1 {
            // `N` goes on in clear.
            if kind != b'N' {
                self.unreadable = true;
                self.losses.unreadable += 1;
            }
            return;
        }
        match kind {
            b'S' => {
                if let Some((b"standard_conforming_strings", value)) = backend::parameter(message) {
                    self.dialect.backslash_escapes = value == b"off";
                }
                return;
            }
            b'A' | b'N' | b'K' | b'R' | b'v' => return,
            _ => {}
        }
        let (time, end) = (frame.start.time, frame.end.time);
        let Some(front) = self.steps.front_mut().filter(|_| !self.answers_lost) else {
            self.unasked(kind, message);
            return;
        };
        let answered = front.answered;
        let front = front.kind;
        self.first_answer.get_or_insert(time);
        match (kind, front) {
            (b'Z', Kind::Query | Kind::Function | Kind::Startup) => {
                self.finish(end, out);
                self.forget_answer();
            }
            (b'Z', Kind::Execute) if answered => {
                self.finish(end, out);
                let _ = self.steps.front();
                let _ = self.steps.pop();
                self.forget_answer();
            }
            (b'Z', Kind::Sync) => {
                let _ = self.steps.pop();
                self.forget_answer();
            }
            (b'E', Kind::Query | Kind::Function | Kind::Startup) => self.fail(message),
            (b'E', Kind::Execute) if answered => self.fail(message),
            // What is committed by a Sync may fail after everything was answered.
            (b'E', Kind::Sync) => {}
            (b'E', _) => self.refuse(message, end, out),
            _ if answered => self.out_of_step(out, end),
            (b'1', Kind::Parse)
            | (b'2', Kind::Bind)
            | (b'3', Kind::Close)
            | (b'T' | b'n', Kind::Describe) => {
                let _ = self.steps.pop();
            }
            (b't', Kind::Describe) | (b'V', Kind::Function) | (b'T' | b'I', Kind::Query) => {}
            (b'D', Kind::Query | Kind::Execute) => self.rows += 1,
            (b'd' | b'c', Kind::Query | Kind::Execute) => {}
            (b'G', Kind::Query | Kind::Execute) => self.steps.copy_begins(),
            (b'H' | b'W', Kind::Query | Kind::Execute) => self.copy_out = kind == b'H',
            (b'C', Kind::Query) => self.count(backend::tag(message)),
            (b'C', Kind::Execute) => {
                self.count(backend::tag(message));
                self.executed(end, out);
            }
            (b'I' | b's', Kind::Execute) => {
                self.count(backend::Done::Other);
                self.executed(end, out);
            }
            _ => self.out_of_step(out, end),
        }
    }

    /// Takes what the tag of a command counted into the request that is being answered.
    fn count(&mut self, done: backend::Done) {
        let rows = std::mem::take(&mut self.rows);
        let copy_out = std::mem::take(&mut self.copy_out);
        let Some(pending) = self.steps.front_mut().and_then(|step| step.pending.as_mut()) else { return };
        let detail = &mut pending.detail;
        match done {
            backend::Done::Returned(rows) => detail.add_returned(rows),
            backend::Done::Copied(rows) if copy_out => detail.add_returned(rows),
            backend::Done::Affected(rows) | backend::Done::Copied(rows) => detail.add_affected(rows),
            backend::Done::Other => {}
        }
        // `RETURNING`, a part of a portal, and what else has rows.
        if rows > 0 && !matches!(done, backend::Done::Returned(_)) {
            detail.add_returned(rows);
        }
    }

    /// An Execute is over, but what a Sync right behind it commits may still fail.
    fn executed(&mut self, end: u64, out: &mut Vec<Exchange>) {
        if self.steps.sync_follows() {
            if let Some(step) = self.steps.front_mut() {
                step.answered = true;
            }
        } else {
            self.finish(end, out);
            self.first_answer = None;
        }
    }

    /// The first step is over.
    fn finish(&mut self, end: u64, out: &mut Vec<Exchange>) {
        let Some(Step { kind, pending: Some(mut pending), uncertain, .. }) = self.steps.pop() else {
            return;
        };
        if kind == Kind::Startup && pending.detail.failure.is_none() {
            return;
        }
        pending.first_byte = self.first_answer;
        self.tell(pending, uncertain, end, out);
    }

    fn tell(&mut self, mut pending: Pending<SqlDetail>, uncertain: bool, end: u64, out: &mut Vec<Exchange>) {
        if uncertain {
            // Nothing of an answer that may be another's.
            let detail = &mut pending.detail;
            (detail.returned_rows, detail.affected_rows) = (None, None);
            (detail.failure, detail.severity) = (None, None);
            pending.first_byte = None;
            self.losses.unpaired_requests += 1;
            pending.tell(end, Outcome::ResponseLost, out);
            return;
        }
        self.losses.unpaired_requests += self.doubt.tell(pending, end, out);
    }

    fn fail(&mut self, message: &[u8]) {
        if let Some(pending) = self.steps.front_mut().and_then(|step| step.pending.as_mut()) {
            let (failure, severity) = backend::error(message);
            pending.detail.failure.get_or_insert(failure);
            pending.detail.severity = severity;
        }
    }

    fn refuse(&mut self, message: &[u8], end: u64, out: &mut Vec<Exchange>) {
        let (failure, severity) = backend::error(message);
        let first_byte = self.first_answer.unwrap_or(end);
        let refusal = Refusal { failure, severity, first_byte, end };
        let namespace = self.namespace.clone();
        let detail = |statement| SqlDetail { system: SYSTEM, namespace, statement, ..SqlDetail::default() };
        let mut told = Vec::new();
        let refused =
            self.steps.refuse(&refusal, detail, |pending, uncertain| told.push((pending, uncertain)));
        for (pending, uncertain) in told {
            self.tell(pending, uncertain, end, out);
        }
        if self.steps.has_sync() {
            if let Some((pending, uncertain)) = refused {
                self.tell(pending, uncertain, end, out);
            }
        } else {
            self.refused = Some(Refused { pending: refused });
        }
        self.forget_answer();
    }

    fn forget_answer(&mut self) {
        self.first_answer = None;
        self.rows = 0;
        self.copy_out = false;
    }

    /// An answer that nobody asked for, as far as we saw.
    fn unasked(&mut self, kind: u8, message: &[u8]) {
        match kind {
            // The server may end a connection at any time.
            b'E' if backend::error(message).1.is_some() => {}
            b'Z' => {
                self.losses.unpaired_responses += 1;
                if !self.answers_lost {
                    self.losses.unpaired_requests += self.doubt.unasked();
                }
            }
            _ => {}
        }
    }

    /// An answer that does not fit its request.
    fn out_of_step(&mut self, out: &mut Vec<Exchange>, now: u64) {
        self.losses.resynchronised += 1;
        self.losses.unpaired_requests += self.doubt.wrong();
        self.losses.unpaired_requests += self.steps.tell_all(now, Outcome::ResponseLost, out);
        (self.requests_lost, self.answers_lost) = (true, true);
        self.forget_answer();
    }
}

impl Parser for Connection {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.unreadable {
            return;
        }
        self.doubt.passing(chunk.at.time);
        let mut input = Input::new(chunk);
        match stream {
            Stream::ToServer => {
                while let Some(next) = self.requests.next(&mut input, &Frontend) {
                    match next {
                        Next::Frame(frame) => {
                            self.request(&frame, out);
                            self.requests.recycle(frame);
                        }
                        Next::Lost => {
                            self.requests_lost = true;
                            self.prepared.clear();
                            self.portals.clear();
                        }
                    }
                }
                self.requests_lost |= !self.requests.is_in_place();
            }
            Stream::ToClient => {
                while let Some(next) = self.answers.next(&mut input, &Backend { letter: self.letter }) {
                    match next {
                        Next::Frame(frame) => {
                            self.answer(&frame, out);
                            self.answers.recycle(frame);
                        }
                        Next::Lost => self.answers_lost = true,
                    }
                    if self.unreadable {
                        return;
                    }
                }
                self.first_run = false;
                self.answers_lost |= !self.answers.is_in_place();
            }
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.tell_refused(at.time, out);
        self.doubt.end(out);
        if let Some(cancel) = self.cancel.take() {
            // There is no answer but the connection's end.
            cancel.tell(at.time, Outcome::Complete, out);
        }
        if self.answers_lost {
            self.losses.unpaired_requests += self.steps.tell_all(at.time, Outcome::ResponseLost, out);
        } else {
            let _ = self.steps.tell_all(at.time, Outcome::of(cause), out);
        }
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if self.waiting() {
            self.doubt.tick(now, out);
        }
    }

    fn waiting(&self) -> bool {
        self.doubt.holds() && self.steps.is_empty()
    }

    fn interest(&self) -> Interest {
        if self.unreadable {
            return Interest::Nothing;
        }
        Interest::Frames { quiet_until: [self.requests.quiet_until(), self.answers.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.answers.take_losses());
        losses
    }
}
