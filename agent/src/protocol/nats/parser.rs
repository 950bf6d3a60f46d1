//! One connection: messages each way, and which of them belong together.
//!
//! A message is told when it has passed. But one published with an inbox to reply to is a request, told when a message
//! comes there; and one received with a subject to reply to is being worked on until something is published there: an
//! answer, or an acknowledgement. Both are found by that subject, whatever passes between. What waits too long is told
//! as what it is: a request that timed out, a message received.
//!
//! In verbose mode each command is answered in order with `+OK` or `-ERR`; after a loss these are not heeded any more.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::{ById, Insert, Pending};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream, text};

use super::detail::{NatsDetail, Operation};
use super::subject;
use super::wire::{self, Headers, Line, Lines, Message};

/// Requests, and messages that are worked on, of each kind; those beyond are told at once.
const MOST_WAITING: usize = 4096;
/// Commands of a verbose connection that wait for `+OK`.
const MOST_CONFIRMING: usize = 4096;
/// Subscriptions with wildcards or queue groups that are remembered.
const MOST_SUBSCRIPTIONS: usize = 1024;
/// How long a request waits for its reply, and a message for its acknowledgement (`JetStream` waits 30 s, too).
/// Nanoseconds.
const PATIENCE: u64 = 30_000_000_000;
/// How often that is looked at. Nanoseconds.
const INTERVAL: u64 = 1_000_000_000;
/// Bytes of the server's complaints that are kept.
const MOST_ERROR: usize = 64;

/// A subscription.
#[derive(Debug)]
struct Subscription {
    /// With wildcards, if it has any.
    template: Option<Box<str>>,
    group: Option<Box<str>>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct NatsParser {
    to_server: Frames,
    to_client: Frames,
    /// Each command is answered; `None` if that is not known.
    verbose: Option<bool>,
    /// Commands that wait for `+OK`; `None` for those that are not told, or not then.
    confirming: VecDeque<Option<Pending<NatsDetail>>>,
    /// By a hash of the inbox.
    requests: ById<u64, NatsDetail>,
    /// By a hash of the subject to reply to.
    working: ById<u64, NatsDetail>,
    /// By a hash of their id.
    subscriptions: FxHashMap<u64, Subscription>,
    /// When messages to the client were last lost.
    lost: Option<u64>,
    looked: u64,
    losses: Losses,
}

impl NatsParser {
    pub fn new(midstream: bool) -> Self {
        Self {
            to_server: Frames::new(midstream),
            to_client: Frames::new(midstream),
            verbose: None,
            confirming: VecDeque::new(),
            requests: ById::new(MOST_WAITING),
            working: ById::new(MOST_WAITING),
            subscriptions: FxHashMap::default(),
            lost: None,
            looked: 0,
            losses: Losses::default(),
        }
    }

    /// A line of either stream; false if its frame holds none.
    fn line(&mut self, stream: Stream, frame: &Frame<'_>, out: &mut Vec<Exchange>) -> bool {
        let bytes = frame.bytes();
        let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        let (line, payload) = bytes.split_at(end);
        let Some(line) = wire::line(line, stream) else { return false };
        match line {
            Line::Message(message) => {
                let headers = payload.get(..message.headers as usize).unwrap_or(payload);
                let headers = if message.headers > 0 { wire::headers(headers) } else { Headers::default() };
                match stream {
                    Stream::ToServer => self.published(&message, headers, payload, frame, out),
                    Stream::ToClient => self.delivered(&message, headers, frame, out),
                }
            }
            Line::Connect { verbose } => {
                self.verbose = Some(verbose);
                self.confirm(None, out);
            }
            Line::Subscribe { subject, queue, sid } => {
                self.subscribe(subject, queue, sid);
                self.confirm(None, out);
            }
            Line::Unsubscribe { sid, after } => {
                if !after {
                    self.subscriptions.remove(&subject::hash(sid));
                }
                self.confirm(None, out);
            }
            Line::Ok => {
                if let Some(Some(done)) = self.confirming.pop_front() {
                    done.tell(frame.end.time, Outcome::Complete, out);
                }
            }
            Line::Error(error) => self.error(error, frame, out),
            Line::Info | Line::Ping | Line::Pong => {}
        }
        true
    }

    fn subscribe(&mut self, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
        // Of what comes by an inbox, only its own subject says what it is.
        let wild = subject.len() > 1
            && !subject::is_inbox(subject)
            && subject.iter().any(|byte| matches!(byte, b'*' | b'>'));
        if !wild && queue.is_none() || self.subscriptions.len() >= MOST_SUBSCRIPTIONS {
            return;
        }
        let subscription = Subscription {
            template: wild.then(|| subject::bounded(subject)),
            group: queue.map(subject::bounded),
        };
        self.subscriptions.insert(subject::hash(sid), subscription);
    }

    /// A command was sent: if the server confirms, it is told then. Else at once, if it is to be told.
    fn confirm(&mut self, command: Option<Pending<NatsDetail>>, out: &mut Vec<Exchange>) {
        if self.verbose == Some(true) && self.confirming.len() < MOST_CONFIRMING {
            self.confirming.push_back(command);
        } else if let Some(command) = command {
            let end = command.start.time;
            command.tell(end, Outcome::Complete, out);
        }
    }

    fn published(
        &mut self,
        message: &Message<'_>,
        headers: Headers,
        payload: &[u8],
        frame: &Frame<'_>,
        out: &mut Vec<Exchange>,
    ) {
        let key = subject::hash(message.subject);
        let ack = subject::is_ack(message.subject)
            .then(|| acknowledgement(payload.get(..message.total as usize).unwrap_or(payload)));
        // Work in progress: it is neither done nor given up.
        if ack == Some("progress") {
            self.confirm(None, out);
            return;
        }
        let inbox =
            message.reply.filter(|reply| subject::is_inbox(reply) && !subject::is_pull(message.subject));
        if let Some(mut done) = self.working.remove(key) {
            done.detail.operation = Operation::Process;
            done.detail.ack = ack;
            if ack.is_none() {
                done.detail.reply_body = Some(message.total - message.headers);
            }
            done.tell(frame.end.time, Outcome::Complete, out);
            if ack.is_none() || inbox.is_none() {
                self.confirm(None, out);
                return;
            }
        }
        let mut detail = detail(Operation::Publish, message, headers, None);
        detail.ack = ack;
        detail.operation = match (ack, inbox) {
            (Some(_), _) => Operation::Acknowledge,
            (None, Some(_)) => Operation::Request,
            (None, None) => Operation::Publish,
        };
        let pending = Pending::new(frame.start, detail);
        match inbox {
            None => self.confirm(Some(pending), out),
            Some(inbox) => {
                self.confirm(None, out);
                self.ask(inbox, pending, out);
            }
        }
    }

    /// It is told when something comes to its inbox.
    fn ask(&mut self, inbox: &[u8], pending: Pending<NatsDetail>, out: &mut Vec<Exchange>) {
        let start = pending.start.time;
        match self.requests.insert(subject::hash(inbox), pending) {
            Insert::Added => {}
            Insert::Replaced(older) => {
                self.losses.unpaired_requests += 1;
                older.tell(start, Outcome::ResponseLost, out);
            }
            Insert::Full(mut request) => {
                self.losses.over_limit += 1;
                if request.detail.operation == Operation::Request {
                    request.detail.operation = Operation::Publish;
                }
                request.tell(start, Outcome::Complete, out);
            }
        }
    }

    fn delivered(
        &mut self,
        message: &Message<'_>,
        headers: Headers,
        frame: &Frame<'_>,
        out: &mut Vec<Exchange>,
    ) {
        let status = headers.status;
        if let Some(mut request) = self.requests.remove(subject::hash(message.subject)) {
            request.detail.status = status;
            request.detail.reply_body = Some(message.total - message.headers);
            request.first_byte = Some(frame.start.time);
            request.tell(frame.end.time, Outcome::Complete, out);
            return;
        }
        // The server's word to a subscription, not a message: nothing there, no more to come, still alive.
        if status.is_some() {
            return;
        }
        let subscription = message.sid.and_then(|sid| self.subscriptions.get(&subject::hash(sid)));
        let received = Pending::new(frame.start, detail(Operation::Receive, message, headers, subscription));
        let Some(reply) = message.reply else {
            received.tell(frame.end.time, Outcome::Complete, out);
            return;
        };
        match self.working.insert(subject::hash(reply), received) {
            Insert::Added => {}
            // It came again, or somebody else answers there, too.
            Insert::Replaced(older) => tell_received(older, out),
            Insert::Full(message) => {
                self.losses.over_limit += 1;
                tell_received(message, out);
            }
        }
    }

    fn error(&mut self, error: &[u8], frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        // What follows names subjects and users.
        let error = error.strip_prefix(b"'").unwrap_or(error);
        let error = error.strip_suffix(b"'").unwrap_or(error);
        let end =
            [&b" for "[..], b"\"", b" \""].iter().filter_map(|mark| memchr::memmem::find(error, mark)).min();
        let error = text::bounded(error[..end.unwrap_or(error.len())].trim_ascii(), MOST_ERROR);
        if let Some(Some(mut failed)) = self.confirming.pop_front() {
            failed.detail.error = Some(error);
            failed.tell(frame.end.time, Outcome::Complete, out);
            return;
        }
        let detail = NatsDetail {
            operation: Operation::Error,
            subject: "".into(),
            template: "".into(),
            group: None,
            body: 0,
            reply_body: None,
            status: None,
            ack: None,
            parent: None,
            id: None,
            error: Some(error),
        };
        Pending::new(frame.start, detail).tell(frame.end.time, Outcome::Complete, out);
    }

    fn lose(&mut self, stream: Stream, at: Moment, out: &mut Vec<Exchange>) {
        if stream == Stream::ToClient {
            self.lost = Some(at.time);
        } else {
            // Answers and acknowledgements may be among it.
            for message in self.working.take_where(|_, _| true) {
                tell_received(message, out);
            }
        }
        if self.verbose != Some(false) {
            self.verbose = None;
            for command in self.confirming.drain(..).flatten() {
                self.losses.unpaired_requests += 1;
                command.tell(at.time, Outcome::ResponseLost, out);
            }
        }
    }

    /// What became of a request that began at `start` and has no reply.
    fn unanswered(&mut self, start: u64, otherwise: Outcome) -> Outcome {
        if self.lost.is_some_and(|lost| lost >= start) {
            self.losses.unpaired_requests += 1;
            return Outcome::ResponseLost;
        }
        otherwise
    }
}

/// Nobody answered or acknowledged it, as far as is known.
fn tell_received(message: Pending<NatsDetail>, out: &mut Vec<Exchange>) {
    let end = message.start.time;
    message.tell(end, Outcome::Complete, out);
}

fn detail(
    operation: Operation,
    message: &Message<'_>,
    headers: Headers,
    subscription: Option<&Subscription>,
) -> NatsDetail {
    let subject = subject::bounded(message.subject);
    let wild = subscription.and_then(|subscription| subscription.template.as_deref());
    NatsDetail {
        operation,
        template: subject::template(wild.unwrap_or(&subject)),
        subject,
        group: subscription.and_then(|subscription| subscription.group.clone()),
        body: message.total - message.headers,
        reply_body: None,
        status: None,
        ack: None,
        parent: headers.parent,
        id: headers.id,
        error: None,
    }
}

/// What a payload says of a message of `JetStream`.
fn acknowledgement(payload: &[u8]) -> &'static str {
    let starts = |text: &[u8]| payload.starts_with(text);
    match () {
        () if starts(b"-NAK") => "nak",
        () if starts(b"+WPI") => "progress",
        () if starts(b"+TERM") => "term",
        () if starts(b"+NXT") => "next",
        () => "ack",
    }
}

impl Parser for NatsParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let mut input = Input::new(chunk);
        loop {
            let frames = if stream == Stream::ToServer { &mut self.to_server } else { &mut self.to_client };
            let Some(next) = frames.next(&mut input, &Lines(stream)) else { break };
            let read = match next {
                Next::Lost => false,
                Next::Frame(frame) => {
                    let read = self.line(stream, &frame, out);
                    let frames =
                        if stream == Stream::ToServer { &mut self.to_server } else { &mut self.to_client };
                    frames.recycle(frame);
                    if !read {
                        frames.give_up(&mut input);
                    }
                    read
                }
            };
            if !read {
                self.lose(stream, chunk.at, out);
            }
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        for message in self.working.take_where(|_, _| true) {
            tell_received(message, out);
        }
        for command in std::mem::take(&mut self.confirming).into_iter().flatten() {
            command.tell(at.time, Outcome::of(cause), out);
        }
        for request in self.requests.take_where(|_, _| true) {
            let outcome = self.unanswered(request.start.time, Outcome::of(cause));
            request.tell(at.time, outcome, out);
        }
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if now.saturating_sub(self.looked) < INTERVAL {
            return;
        }
        self.looked = now;
        let old = |_: u64, pending: &Pending<NatsDetail>| now.saturating_sub(pending.start.time) > PATIENCE;
        for message in self.working.take_where(old) {
            tell_received(message, out);
        }
        for request in self.requests.take_where(old) {
            let outcome = self.unanswered(request.start.time, Outcome::TimedOut);
            request.tell(now, outcome, out);
        }
    }

    fn waiting(&self) -> bool {
        !self.requests.is_empty() || !self.working.is_empty()
    }

    fn interest(&self) -> Interest {
        Interest::Frames { quiet_until: [self.to_server.quiet_until(), self.to_client.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.to_server.take_losses());
        losses.add(self.to_client.take_losses());
        losses
    }
}
