//! One connection: commands and replies, paired in their order.
//!
//! Each command has one reply, but for these:
//! - `SUBSCRIBE` and its kin are confirmed once for each channel; after that, messages come by themselves (arrays in
//!   RESP2, pushes in RESP3).
//! - `CLIENT REPLY OFF` and `SKIP` silence the server: such commands are told as they are sent.
//! - `MONITOR`, `SYNC` and `PSYNC` turn the connection into a feed, of which nothing more is read.
//!
//! When bytes are lost, the order is in doubt. What was sent before the lost commands keeps its replies; replies behind
//! lost ones belong to nobody. The order is known again when a client begins to speak after the server: everybody who
//! waits for answers has got them by then. On a connection that often shows otherwise (threads that share it send while
//! others wait), that takes a moment of silence. A reply of a type that its command never has tells that the order was
//! wrong, and puts it in doubt again.
//!
//! A reply may be seen before the end of its command, if the last bytes of that passed unseen: it waits for it.

use crate::protocol::frames::Input;
use crate::protocol::pairing::{InOrder, Pending};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Statements, Stream};

use super::commands::{Answer, Role};
use super::detail::{MessageDetail, RedisDetail};
use super::reply::{self, Replies, Reply, Subscription, Word};
use super::request::{self, Request, Requests};

/// Commands that wait for their replies at most; those beyond it are counted and not told.
const MOST_PENDING: usize = 32 * 1024;
/// A silence after which nobody is likely to be waiting. Nanoseconds.
const SILENCE: u64 = 20_000_000;
/// Times, more than the others, that a client spoke before it had all answers, from which on a connection is taken for
/// shared; and the most that are counted. A reply that passed unseen looks the same once.
const SHARED: u8 = 4;
const MOST_SHARED: u8 = 16;

/// What the client wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Replies,
    /// Nothing.
    Off,
    /// Not the reply to the next command.
    SkipNext,
}

/// Subscriptions of a connection, as the confirmations count them; `None` if it is not known how many there are.
#[derive(Debug)]
struct Subscriptions {
    channels: Option<u64>,
    patterns: Option<u64>,
    shards: Option<u64>,
}

impl Subscriptions {
    fn new(midstream: bool) -> Self {
        let none = (!midstream).then_some(0);
        Self { channels: none, patterns: none, shards: none }
    }

    fn of(&self, kind: Subscription) -> Option<u64> {
        match kind {
            Subscription::Channel => self.channels,
            Subscription::Pattern => self.patterns,
            Subscription::Shard => self.shards,
        }
    }

    /// A confirmation tells how many there are now: of channels and patterns together, or of shards' channels.
    fn confirmed(&mut self, kind: Subscription, total: Option<u64>) {
        let Some(total) = total else { return };
        if total == 0 && kind != Subscription::Shard {
            (self.channels, self.patterns) = (Some(0), Some(0));
        }
        match kind {
            Subscription::Channel => self.channels = self.patterns.map(|others| total.saturating_sub(others)),
            Subscription::Pattern => self.patterns = self.channels.map(|others| total.saturating_sub(others)),
            Subscription::Shard => self.shards = Some(total),
        }
    }

    /// There are some; `None` if that is not known.
    fn any(&self) -> Option<bool> {
        let all = [self.channels, self.patterns, self.shards];
        match all.iter().any(|count| count.is_some_and(|count| count > 0)) {
            true => Some(true),
            false => all.iter().all(Option::is_some).then_some(false),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct RedisParser {
    statements: Statements,
    requests: Requests,
    replies: Replies,
    pending: InOrder<RedisDetail>,
    /// Commands behind the pending ones that are not told.
    uncounted: u64,
    /// Commands behind the pending ones are not known, since this time.
    commands_lost: Option<u64>,
    /// Replies before the next one are not known, since this time.
    replies_lost: Option<u64>,
    /// How often commands have been sent while others waited, less how often not.
    shared: u8,
    /// A reply to the command that is under way.
    early: Option<Reply>,
    /// When the last chunk passed, and how long nothing had passed before the present one.
    last: u64,
    silence: u64,
    mode: Mode,
    /// The database, once all replies so far have been heeded.
    namespace: Option<u32>,
    /// The database that a transaction will have selected.
    selecting: Option<Box<str>>,
    /// SELECTs among the pending.
    selects: u32,
    subscriptions: Subscriptions,
    resp3: bool,
    /// It became a feed.
    over: bool,
    losses: Losses,
}

impl RedisParser {
    pub fn new(midstream: bool, statements: Statements) -> Self {
        Self {
            statements,
            requests: Requests::new(midstream, statements),
            replies: Replies::new(midstream),
            pending: InOrder::new(MOST_PENDING),
            uncounted: 0,
            commands_lost: midstream.then_some(0),
            replies_lost: None,
            shared: 0,
            early: None,
            last: 0,
            silence: 0,
            mode: Mode::Replies,
            namespace: (!midstream).then_some(0),
            selecting: None,
            selects: 0,
            subscriptions: Subscriptions::new(midstream),
            resp3: false,
            over: false,
            losses: Losses::default(),
        }
    }

    fn request(&mut self, request: Request, out: &mut Vec<Exchange>) {
        if request.turn {
            self.settle(request.start.time, out);
            if self.commands_lost.is_none() && self.replies_lost.is_none() {
                let alone = self.pending.is_empty() && self.uncounted == 0;
                let count = if alone { self.shared.saturating_sub(1) } else { self.shared + 1 };
                self.shared = count.min(MOST_SHARED);
            }
        }
        let (start, end) = (request.start, request.end);
        let mut detail = RedisDetail::new(request, self.statements);
        let role = detail.command.map_or(Role::Plain, |command| command.role);
        if role == Role::Replica && matches!(detail.word.as_deref(), Some("ACK" | "GETACK")) {
            self.become_feed();
            return;
        }
        detail.silent = self.is_silent(&detail, role);
        if self.commands_lost.is_some() || detail.silent {
            let outcome = if detail.silent { Outcome::Complete } else { Outcome::ResponseLost };
            self.losses.unpaired_requests += u64::from(!detail.silent);
            // A database selected unheard is not known.
            if role == Role::Select {
                self.namespace = None;
            }
            detail.namespace = self.namespace;
            Pending::new(start, detail).tell(end.time, outcome, out);
            return;
        }
        match role {
            Role::Subscribe => detail.confirmations = detail.arguments().max(1),
            Role::Unsubscribe => {
                let kind = subscription(&detail);
                let all = self.subscriptions.of(kind).unwrap_or(1).try_into().unwrap_or(u32::MAX);
                detail.confirmations = if detail.arguments() > 0 { detail.arguments() } else { all.max(1) };
            }
            Role::Select => self.selects += 1,
            _ => {}
        }
        if self.uncounted > 0 || self.pending.push(Pending::new(start, detail)).is_err() {
            self.uncounted += 1;
            self.losses.over_limit += 1;
        }
        if let Some(reply) = self.early.take() {
            self.reply(reply, out);
        }
    }

    /// `CLIENT REPLY`: does this command get none?
    fn is_silent(&mut self, detail: &RedisDetail, role: Role) -> bool {
        let wish = match (detail.operation_name(), detail.word.as_deref()) {
            ("CLIENT REPLY", wish) => wish,
            _ if role == Role::Reset => Some("ON"),
            _ => None,
        };
        match (wish, self.mode) {
            (Some("ON"), _) => self.mode = Mode::Replies,
            (Some("OFF"), _) => {
                self.mode = Mode::Off;
                return true;
            }
            (_, Mode::Off) => return true,
            (Some("SKIP"), _) => {
                self.mode = Mode::SkipNext;
                return true;
            }
            (_, Mode::SkipNext) => {
                self.mode = Mode::Replies;
                return true;
            }
            (_, Mode::Replies) => {}
        }
        false
    }

    /// A client began to speak at `start`: whatever was in doubt is over, if nobody else can be waiting.
    fn settle(&mut self, start: u64, out: &mut Vec<Exchange>) {
        if self.shared >= SHARED && self.silence < SILENCE {
            return;
        }
        if self.replies_lost.is_some_and(|since| since <= start) {
            self.replies_lost = None;
            self.losses.unpaired_requests += self.uncounted;
            self.uncounted = 0;
            self.losses.unpaired_requests += self.pending.tell_all(start, Outcome::ResponseLost, out);
            if self.selects > 0 || self.selecting.is_some() {
                (self.namespace, self.selecting, self.selects) = (None, None, 0);
            }
            self.commands_lost = self.commands_lost.filter(|&since| since > start);
        }
        let nobody_waits = self.pending.is_empty() && self.uncounted == 0;
        if nobody_waits && self.commands_lost.is_some_and(|since| since <= start) {
            self.commands_lost = None;
        }
    }

    fn reply(&mut self, reply: Reply, out: &mut Vec<Exchange>) {
        self.resp3 |= matches!(reply.kind, b'>' | b'%' | b'~' | b'_' | b',' | b'#' | b'(' | b'=' | b'!');
        if self.is_push(&reply) {
            self.push(&reply, out);
            return;
        }
        if reply.word == Some(Word::Replica) {
            self.become_feed();
            return;
        }
        if self.replies_lost.is_some() {
            self.losses.unpaired_responses += 1;
            return;
        }
        let Some(mut pending) = self.pending.pop() else {
            if self.uncounted > 0 {
                self.uncounted -= 1;
                return;
            }
            let begun = self.requests.under_way().is_some_and(|begun| begun.time <= reply.start.time);
            if begun && self.commands_lost.is_none() && self.early.is_none() {
                self.early = Some(reply);
            } else {
                self.losses.unpaired_responses += 1;
            }
            return;
        };
        if !fits(&pending.detail, &reply) {
            self.losses.resynchronised += 1;
            self.losses.unpaired_requests += 1;
            self.losses.unpaired_responses += 1;
            self.replies_lost = Some(reply.end.time);
            pending.tell(reply.end.time, Outcome::ResponseLost, out);
            return;
        }
        let detail = &mut *pending.detail;
        detail.namespace = self.namespace;
        detail.queued = reply.queued;
        detail.unknown_command = reply.unknown_command;
        detail.error = reply.error;
        let role = detail.command.map_or(Role::Plain, |command| command.role);
        let failed = detail.error.is_some();
        match role {
            Role::Select => {
                self.selects = self.selects.saturating_sub(1);
                match (failed, reply.queued) {
                    (true, _) => {}
                    (false, true) => self.selecting = detail.word.clone(),
                    (false, false) => self.namespace = database(detail.word.as_deref()),
                }
            }
            Role::Multi | Role::Discard => self.selecting = None,
            Role::Exec => {
                let selecting = self.selecting.take();
                if !failed && !reply.null {
                    detail.batch = reply.count;
                    detail.error = reply.inner_error;
                    if selecting.is_some() {
                        let all_ran = detail.error.is_none();
                        self.namespace = selecting.filter(|_| all_ran).and_then(|word| database(Some(&word)));
                    }
                }
                detail.aborted = reply.null;
            }
            Role::Reset if !failed => {
                self.namespace = Some(0);
                self.selecting = None;
                self.subscriptions = Subscriptions::new(false);
            }
            _ => {}
        }
        pending.first_byte = Some(reply.start.time);
        pending.tell(reply.end.time, Outcome::Complete, out);
        if matches!(role, Role::Monitor | Role::Sync) && !failed && !reply.queued {
            self.become_feed();
        }
    }

    /// Not the reply to a command. In RESP2, only the words of an array tell.
    fn is_push(&self, reply: &Reply) -> bool {
        if reply.kind == b'>' {
            return true;
        }
        if self.resp3 || reply.kind != b'*' || reply.null {
            return false;
        }
        let front = self.pending.front().and_then(|pending| pending.detail.command);
        match reply.word {
            Some(Word::Message) => self.subscriptions.any().unwrap_or_else(|| {
                front.is_none_or(|command| matches!(command.role, Role::Subscribe | Role::Unsubscribe))
            }),
            Some(Word::Subscribed(_)) => front.is_some_and(|command| command.role == Role::Subscribe),
            // Those beyond the first, if it was not known how many there would be.
            Some(Word::Unsubscribed(_)) => {
                reply.third.is_some() && front.is_none_or(|command| command.role == Role::Unsubscribe)
            }
            _ => false,
        }
    }

    fn push(&mut self, reply: &Reply, out: &mut Vec<Exchange>) {
        let (kind, role) = match reply.word {
            Some(Word::Message) => {
                let detail = Box::new(MessageDetail { length: reply.length });
                let end = reply.end.time;
                out.push(Exchange {
                    start: reply.start,
                    first_byte: None,
                    end,
                    outcome: Outcome::Complete,
                    detail,
                });
                return;
            }
            Some(Word::Subscribed(kind)) => (kind, Role::Subscribe),
            Some(Word::Unsubscribed(kind)) => (kind, Role::Unsubscribe),
            // Invalidations of client-side caching and the like.
            _ => return,
        };
        self.subscriptions.confirmed(kind, reply.third);
        if self.replies_lost.is_some() {
            return;
        }
        let Some(front) = self.pending.front_mut() else { return };
        let expected = front.detail.command.is_some_and(|command| command.role == role);
        if !expected || subscription(&front.detail) != kind {
            return;
        }
        front.first_byte.get_or_insert(reply.start.time);
        front.detail.namespace = self.namespace;
        front.detail.confirmations = front.detail.confirmations.saturating_sub(1);
        if front.detail.confirmations == 0
            && let Some(confirmed) = self.pending.pop()
        {
            confirmed.tell(reply.end.time, Outcome::Complete, out);
        }
    }

    /// What follows is no conversation.
    fn become_feed(&mut self) {
        self.over = true;
        self.losses.unpaired_requests += self.pending.len() as u64;
        self.pending = InOrder::new(0);
    }

    fn is_syncing(&self) -> bool {
        self.pending
            .front()
            .is_some_and(|front| front.detail.command.is_some_and(|command| command.role == Role::Sync))
    }
}

impl Parser for RedisParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        self.silence = chunk.at.time.saturating_sub(self.last);
        self.last = chunk.at.time;
        let mut input = Input::new(chunk);
        match stream {
            Stream::ToServer => {
                while !self.over
                    && let Some(event) = self.requests.next(&mut input)
                {
                    match event {
                        request::Event::Request(request) => self.request(request, out),
                        request::Event::Lost => {
                            self.commands_lost = Some(chunk.at.time);
                            self.losses.unpaired_responses += u64::from(self.early.take().is_some());
                            self.namespace = None;
                            self.selecting = None;
                        }
                    }
                }
            }
            Stream::ToClient => loop {
                let sync = self.is_syncing();
                if self.over {
                    break;
                }
                match self.replies.next(&mut input, sync) {
                    None => break,
                    Some(reply::Event::Reply(reply)) => self.reply(reply, out),
                    Some(reply::Event::Lost) => {
                        self.replies_lost = Some(chunk.at.time);
                        if self.subscriptions.any() != Some(false) {
                            self.subscriptions = Subscriptions::new(true);
                        }
                    }
                }
            },
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        if self.over {
            return;
        }
        let begun = self.replies.under_way().filter(|_| self.replies_lost.is_none());
        if let (Some(begun), Some(front)) = (begun, self.pending.front_mut()) {
            front.first_byte.get_or_insert(begun.time);
        }
        while let Some(mut pending) = self.pending.pop() {
            pending.detail.namespace = self.namespace.filter(|_| self.selects == 0);
            let outcome = match cause {
                _ if self.replies_lost.is_some() => Outcome::ResponseLost,
                // The answer to SHUTDOWN is that nobody is there any more.
                End::Orderly | End::ProcessGone if pending.detail.operation_name() == "SHUTDOWN" => {
                    Outcome::Complete
                }
                _ => Outcome::of(cause),
            };
            self.losses.unpaired_requests += u64::from(outcome == Outcome::ResponseLost);
            pending.tell(at.time, outcome, out);
        }
    }

    fn tick(&mut self, _: u64, _: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        match self.over {
            true => Interest::Nothing,
            false => {
                Interest::Frames { quiet_until: [self.requests.quiet_until(), self.replies.quiet_until()] }
            }
        }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.replies.take_losses());
        losses
    }
}

fn database(word: Option<&str>) -> Option<u32> {
    word.and_then(|word| word.parse().ok())
}

/// What a SUBSCRIBE or UNSUBSCRIBE is about.
fn subscription(detail: &RedisDetail) -> Subscription {
    match detail.operation_name() {
        "PSUBSCRIBE" | "PUNSUBSCRIBE" => Subscription::Pattern,
        "SSUBSCRIBE" | "SUNSUBSCRIBE" => Subscription::Shard,
        _ => Subscription::Channel,
    }
}

/// Can this be the reply to that command?
fn fits(detail: &RedisDetail, reply: &Reply) -> bool {
    let Some(command) = detail.command else { return true };
    let kind = reply.kind;
    if reply.error.is_some() || reply.queued {
        return true;
    }
    match command.answer {
        Answer::Any => true,
        Answer::Integer => matches!(kind, b':' | b'#'),
        Answer::Status => kind == b'+',
        Answer::Text => matches!(kind, b'$' | b'_' | b',' | b'=') || kind == b'*' && reply.null,
        Answer::StatusOrText => matches!(kind, b'+' | b'$' | b'_'),
        Answer::Aggregate => matches!(kind, b'*' | b'%' | b'~' | b'_'),
    }
}
