//! One channel: its synchronous methods, the contents under way, and what waits to be settled.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::detail::{AmqpDetail, Reply, Settlement};
use super::method::{Arguments, BASIC, Call, Method};
use super::properties::Properties;
use super::settling::{Room, Settle, Settling};
use crate::protocol::pairing::{InOrder, Pending};
use crate::protocol::text::bounded;
use crate::protocol::{Moment, Outcome, Stream};

/// Synchronous methods that may wait on a channel; clients send one after the other.
const MAX_METHODS: usize = 64;
/// Consumers of a channel that are known.
const MAX_CONSUMERS: usize = 256;
/// Deliveries to consumers of unknown mode that are remembered by number.
const MAX_RECENT: usize = 64;
/// A channel on which nothing passed for so long after a confirmation has no publish that waits for one. Nanoseconds.
const QUIET: u64 = 1_000_000_000;
/// Longest name or identifier: a short string.
const MAX_NAME: usize = 255;

/// Whether a consumer acknowledges what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Manual,
    Automatic,
    /// It was there before us, and has not acknowledged anything since.
    Unknown,
}

#[derive(Debug)]
struct Consumer {
    queue: Option<Arc<str>>,
    mode: Mode,
    number: u32,
}

/// The numbers of a channel's publishes (RabbitMQ's publisher confirms).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confirms {
    Off,
    /// The next publish has this number.
    On {
        next: u64,
    },
    /// Publishes passed that we did not see. `acked` is the highest number confirmed since, and when (0 if none).
    Unknown {
        acked: u64,
        at: u64,
        published: bool,
    },
}

/// What is to be done with a message when it is complete.
#[derive(Clone, Copy, Debug)]
enum After {
    Tell,
    /// A publish with this number.
    Confirm(u64),
    /// A delivery.
    Settle(u64),
    /// It belongs to something else.
    Drop,
}

/// A method whose content is under way.
#[derive(Debug)]
struct Content {
    message: Pending<AmqpDetail>,
    after: After,
    /// Bytes that are still to come; `None` before the header.
    left: Option<u64>,
}

/// A channel.
#[derive(Debug)]
pub(super) struct Channel {
    methods: InOrder<AmqpDetail>,
    /// Synchronous methods were sent before the one before was answered.
    pipelines: bool,
    /// Methods or answers were lost while several waited: nothing is paired until the client speaks anew.
    doubt: bool,
    /// The answer of the one that waits may have been lost.
    shaky: bool,
    content: [Option<Content>; 2],
    confirms: Confirms,
    unconfirmed: Settling,
    consumers: FxHashMap<Box<str>, Consumer>,
    consumed: u32,
    recent: VecDeque<(u64, u32)>,
    deliveries: Settling,
    /// A close that the server began.
    closing: Option<Pending<AmqpDetail>>,
}

/// A method and its place.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub call: Call<'a>,
    pub stream: Stream,
    /// First byte.
    pub start: Moment,
    /// Last byte, nanoseconds.
    pub end: u64,
    /// It began a run.
    pub turn: bool,
}

fn side(stream: Stream) -> usize {
    usize::from(stream == Stream::ToClient)
}

fn name(bytes: &[u8]) -> Box<str> {
    bounded(bytes, MAX_NAME)
}

impl Channel {
    /// A channel that was opened before our eyes, or not.
    pub fn new(known: bool) -> Self {
        Self {
            methods: InOrder::new(MAX_METHODS),
            pipelines: false,
            doubt: false,
            shaky: false,
            content: [None, None],
            confirms: if known {
                Confirms::Off
            } else {
                Confirms::Unknown { acked: 0, at: 0, published: true }
            },
            unconfirmed: Settling::default(),
            consumers: FxHashMap::default(),
            consumed: 0,
            recent: VecDeque::new(),
            deliveries: Settling::default(),
            closing: None,
        }
    }

    /// A method arrived.
    pub fn method(&mut self, arrival: &Arrival<'_>, room: &mut Room<'_>) {
        let Arrival { call: Call { method, arguments, .. }, stream, end, .. } = *arrival;
        self.cut_content(stream, end, room);
        match (method.class, method.id, stream) {
            (BASIC, 40, _) => self.publish(arrival),
            (BASIC, 50, _) => self.returned(arrival),
            (BASIC, 60, _) => self.deliver(arrival),
            (BASIC, 71, _) => self.got(arrival, room),
            (BASIC, 80 | 120, Stream::ToClient) => self.confirmed(arrival, room),
            (BASIC, 80 | 90 | 120, Stream::ToServer) => self.acknowledged(arrival, room),
            // `cancel` and `flow` of the server's want no answer that anybody waits for.
            (BASIC, 30, Stream::ToClient) => _ = self.consumers.remove(&name(arguments.texts[0])),
            (BASIC, 31, Stream::ToServer) | (20, 20 | 21, _) => {}
            _ if method.answer.is_some() => self.asked(arrival, room),
            _ => self.answered(arrival, room),
        }
    }

    fn message(&self, arrival: &Arrival<'_>, exchange: &[u8], key: &[u8]) -> Pending<AmqpDetail> {
        let mut detail = AmqpDetail::new(arrival.call.method);
        detail.exchange = name(exchange);
        detail.key = name(key);
        Pending::new(arrival.start, detail)
    }

    fn begin(&mut self, arrival: &Arrival<'_>, message: Pending<AmqpDetail>, after: After) {
        self.content[side(arrival.stream)] = Some(Content { message, after, left: None });
    }

    fn publish(&mut self, arrival: &Arrival<'_>) {
        let Arguments { texts: [exchange, key, ..], bits, .. } = arrival.call.arguments;
        let mut message = self.message(arrival, exchange, key);
        message.detail.bits = bits;
        if let Confirms::Unknown { acked, at, published } = &mut self.confirms {
            let rested = *acked > 0 && !*published && arrival.start.time.saturating_sub(*at) >= QUIET;
            *published = true;
            if rested {
                self.confirms = Confirms::On { next: *acked + 1 };
            }
        }
        let after = match &mut self.confirms {
            Confirms::On { next } => {
                message.detail.settles = true;
                message.detail.tag = Some(*next);
                *next += 1;
                After::Confirm(*next - 1)
            }
            _ => After::Tell,
        };
        self.begin(arrival, message, after);
    }

    /// A message that could not be routed comes back, before it is confirmed if it is.
    fn returned(&mut self, arrival: &Arrival<'_>) {
        const MANDATORY: u8 = 1;
        let Arguments { texts: [text, exchange, key, _], shorts: [code, ..], .. } = arrival.call.arguments;
        let reply = Reply { code, text: name(text) };
        let mut message = self.message(arrival, exchange, key);
        let published = self.unconfirmed.find(|waiting| {
            waiting.bits & MANDATORY != 0
                && waiting.reply.is_none()
                && waiting.exchange == message.detail.exchange
                && waiting.key == message.detail.key
        });
        match published {
            Some(published) => {
                published.detail.reply = Some(reply);
                self.begin(arrival, message, After::Drop);
            }
            None => {
                message.detail.reply = Some(reply);
                self.begin(arrival, message, After::Tell);
            }
        }
    }

    fn deliver(&mut self, arrival: &Arrival<'_>) {
        let Arguments { texts: [consumer, exchange, key, _], tag, bits, .. } = arrival.call.arguments;
        let mut message = self.message(arrival, exchange, key);
        message.detail.tag = Some(tag);
        message.detail.redelivered = bits & 1 != 0;
        // Its name as it is kept; another one only if that differs from what was sent.
        let consumer = match std::str::from_utf8(consumer) {
            Ok(text) if !text.bytes().any(|byte| byte.is_ascii_control()) => Cow::Borrowed(text),
            _ => Cow::Owned(name(consumer).into()),
        };
        if !self.consumers.contains_key(&*consumer) {
            self.consume(Box::from(&*consumer), None, Mode::Unknown);
        }
        let mut after = After::Tell;
        if let Some(consumer) = self.consumers.get(&*consumer) {
            message.detail.queue = consumer.queue.clone();
            match consumer.mode {
                Mode::Manual => {
                    message.detail.settles = true;
                    after = After::Settle(tag);
                }
                Mode::Automatic => {}
                Mode::Unknown => {
                    if self.recent.len() >= MAX_RECENT {
                        self.recent.pop_front();
                    }
                    self.recent.push_back((tag, consumer.number));
                }
            }
        }
        self.begin(arrival, message, after);
    }

    fn consume(&mut self, tag: Box<str>, queue: Option<Arc<str>>, mode: Mode) {
        if self.consumers.len() < MAX_CONSUMERS {
            self.consumed = self.consumed.wrapping_add(1);
            self.consumers.insert(tag, Consumer { queue, mode, number: self.consumed });
        }
    }

    /// The server confirms publishes, or refuses them.
    fn confirmed(&mut self, arrival: &Arrival<'_>, room: &mut Room<'_>) {
        let settle = settle(arrival);
        match &mut self.confirms {
            Confirms::On { next } if settle.tag < *next => {
                self.unconfirmed.settle(settle, room);
            }
            Confirms::On { .. } => {
                // A number that was never given: the count is wrong.
                self.forget_numbers(arrival.end, room);
            }
            Confirms::Off => self.confirms = Confirms::Unknown { acked: 0, at: 0, published: true },
            Confirms::Unknown { .. } => {
                // What was published before the numbers were forgotten.
                self.unconfirmed.settle(settle, room);
            }
        }
        if let Confirms::Unknown { acked, at, published } = &mut self.confirms {
            *acked = settle.tag.max(*acked);
            (*at, *published) = (settle.time, false);
        }
    }

    fn forget_numbers(&mut self, end: u64, room: &mut Room<'_>) {
        room.losses.unpaired_requests += self.unconfirmed.tell_all(end, Outcome::ResponseLost, room, |_| {});
        if self.confirms != Confirms::Off {
            self.confirms = Confirms::Unknown { acked: 0, at: 0, published: true };
        }
    }

    /// The client settles deliveries.
    fn acknowledged(&mut self, arrival: &Arrival<'_>, room: &mut Room<'_>) {
        let settle = settle(arrival);
        let found = self.deliveries.settle(settle, room);
        if !found
            && let Some(&(_, number)) = self.recent.iter().find(|(tag, _)| *tag == settle.tag)
            && let Some(consumer) = self.consumers.values_mut().find(|consumer| consumer.number == number)
        {
            consumer.mode = Mode::Manual;
            self.recent.retain(|(_, other)| *other != number);
        }
    }

    fn asked(&mut self, arrival: &Arrival<'_>, room: &mut Room<'_>) {
        let Arrival { call: Call { method, arguments, .. }, stream, start, end, turn } = *arrival;
        let detail = called(method, &arguments);
        if stream == Stream::ToClient {
            // Only `close` is left.
            self.close(Pending::new(start, detail), &arguments, end, room);
            return;
        }
        match (method.class, method.id) {
            (85, 10) if !matches!(self.confirms, Confirms::On { .. }) => {
                self.confirms = Confirms::On { next: 1 };
            }
            (BASIC, 20) if !method.waits(&arguments) => self.consume_ok(&detail, arguments.texts[1]),
            (BASIC, 30) => _ = self.consumers.remove(&name(arguments.texts[0])),
            _ => {}
        }
        let mut request = Pending::new(start, detail);
        if !method.waits(&arguments) {
            request.tell(end, Outcome::Complete, room.out);
            return;
        }
        if self.doubt && !turn {
            room.losses.unpaired_requests += 1;
            request.tell(end, Outcome::ResponseLost, room.out);
            return;
        }
        self.doubt = false;
        if std::mem::take(&mut self.shaky) {
            room.losses.unpaired_requests += self.methods.tell_all(end, Outcome::ResponseLost, room.out);
        }
        self.pipelines |= !self.methods.is_empty();
        request.detail.bits = arguments.bits;
        if let Err(request) = self.methods.push(request) {
            room.losses.over_limit += 1;
            request.tell(end, Outcome::ResponseLost, room.out);
        }
    }

    /// Takes the method that `answer` answers. Those before it, whose answers did not come, are told as lost.
    fn take_asked(&mut self, answer: &Method, end: u64, room: &mut Room<'_>) -> Option<Pending<AmqpDetail>> {
        while let Some(request) = self.methods.pop() {
            self.shaky = false;
            if request.detail.method.is_answered_by(answer) {
                return Some(request);
            }
            room.losses.unpaired_requests += 1;
            request.tell(end, Outcome::ResponseLost, room.out);
        }
        room.losses.unpaired_responses += 1;
        None
    }

    fn answered(&mut self, arrival: &Arrival<'_>, room: &mut Room<'_>) {
        let Arrival { call: Call { method, arguments, .. }, stream, start, end, .. } = *arrival;
        if stream == Stream::ToServer {
            // The client agrees to a close.
            if let Some(mut closing) = self.closing.take() {
                closing.first_byte = Some(start.time);
                closing.tell(end, Outcome::Complete, room.out);
            }
            return;
        }
        let Some(mut request) = self.take_asked(method, end, room) else { return };
        request.first_byte = Some(start.time);
        match (method.class, method.id) {
            (50, 11) => request.detail.queue = Some(name(arguments.texts[0]).into()),
            (BASIC, 21) => self.consume_ok(&request.detail, arguments.texts[0]),
            (BASIC, 72) => request.detail.empty = true,
            _ => {}
        }
        request.tell(end, Outcome::Complete, room.out);
    }

    fn consume_ok(&mut self, asked: &AmqpDetail, tag: &[u8]) {
        const NO_ACK: u8 = 2;
        let mode = if asked.bits & NO_ACK == 0 { Mode::Manual } else { Mode::Automatic };
        self.consume(name(tag), asked.queue.clone(), mode);
    }

    /// `get-ok`: a message follows.
    fn got(&mut self, arrival: &Arrival<'_>, room: &mut Room<'_>) {
        let Arguments { texts: [exchange, key, ..], tag, bits, .. } = arrival.call.arguments;
        let Some(mut request) = self.take_asked(arrival.call.method, arrival.end, room) else { return };
        request.first_byte = Some(arrival.start.time);
        request.detail.exchange = name(exchange);
        request.detail.key = name(key);
        request.detail.tag = Some(tag);
        request.detail.redelivered = bits & 1 != 0;
        self.begin(arrival, request, After::Tell);
    }

    /// The header of the content under way.
    pub fn header(
        &mut self,
        stream: Stream,
        properties: Option<Properties<'_>>,
        end: u64,
        room: &mut Room<'_>,
    ) {
        let Some(content) = &mut self.content[side(stream)] else { return };
        let (Some(properties), None) = (properties, content.left) else {
            self.cut_content(stream, end, room);
            return;
        };
        let detail = &mut content.message.detail;
        detail.body = Some(properties.body);
        detail.message = properties.message.map(name);
        detail.correlation = properties.correlation.map(name);
        detail.parent = properties.parent;
        content.left = Some(properties.body);
        if properties.body == 0 {
            self.complete(stream, end, room);
        }
    }

    /// A body of the content under way.
    pub fn body(&mut self, stream: Stream, size: u32, end: u64, room: &mut Room<'_>) {
        let Some(content) = &mut self.content[side(stream)] else { return };
        match content.left {
            Some(left) if left > u64::from(size) => content.left = Some(left - u64::from(size)),
            Some(left) if left == u64::from(size) => self.complete(stream, end, room),
            _ => self.cut_content(stream, end, room),
        }
    }

    fn complete(&mut self, stream: Stream, end: u64, room: &mut Room<'_>) {
        let Some(Content { message, after, .. }) = self.content[side(stream)].take() else { return };
        match after {
            After::Tell => message.tell(end, Outcome::Complete, room.out),
            After::Confirm(tag) => self.unconfirmed.push(tag, message, end, room),
            After::Settle(tag) => self.deliveries.push(tag, message, end, room),
            After::Drop => {}
        }
    }

    /// A content's rest is missing.
    fn cut_content(&mut self, stream: Stream, end: u64, room: &mut Room<'_>) {
        if let Some(content) = self.content[side(stream)].take()
            && !matches!(content.after, After::Drop)
        {
            room.losses.unpaired_requests += 1;
            content.message.tell(end, Outcome::ResponseLost, room.out);
        }
    }

    /// Messages of a stream were lost.
    pub fn lost(&mut self, stream: Stream, end: u64, room: &mut Room<'_>) {
        self.cut_content(stream, end, room);
        let mut told = match stream {
            Stream::ToServer => {
                self.forget_numbers(end, room);
                self.deliveries.tell_all(end, Outcome::ResponseLost, room, |_| {})
            }
            Stream::ToClient => self.unconfirmed.tell_all(end, Outcome::ResponseLost, room, |_| {}),
        };
        if self.pipelines || self.methods.len() > 1 {
            told += self.methods.tell_all(end, Outcome::ResponseLost, room.out);
            self.doubt = true;
        } else if stream == Stream::ToClient {
            self.shaky = !self.methods.is_empty();
        }
        room.losses.unpaired_requests += told;
    }

    /// The server closes the channel, or the connection: what waits fails with it.
    fn close(
        &mut self,
        mut closing: Pending<AmqpDetail>,
        arguments: &Arguments<'_>,
        end: u64,
        room: &mut Room<'_>,
    ) {
        let reply = closing.detail.reply.clone();
        let [_, class, id] = arguments.shorts;
        let blamed = self.methods.front_mut().is_some_and(|front| front.detail.method.is(class, id))
            || ((class, id) == (BASIC, 40) && self.unconfirmed.find(|_| true).is_some());
        closing.first_byte = None;
        self.end(end, Outcome::Complete, reply.as_ref(), room);
        if !blamed {
            self.closing = Some(closing);
        }
    }

    /// Nothing more comes on it: the reply says why, if the server closed it.
    pub fn end(&mut self, end: u64, outcome: Outcome, reply: Option<&Reply>, room: &mut Room<'_>) {
        let failed = |detail: &mut AmqpDetail| detail.reply = detail.reply.take().or(reply.cloned());
        let unsettled = |detail: &mut AmqpDetail| detail.settlement = Some(Settlement::Unsettled);
        for stream in [Stream::ToServer, Stream::ToClient] {
            if let Some(content) = self.content[side(stream)].take()
                && !matches!(content.after, After::Drop)
            {
                content.message.tell(end, outcome, room.out);
            }
        }
        while let Some(mut request) = self.methods.pop() {
            failed(&mut request.detail);
            request.tell(end, outcome, room.out);
        }
        self.unconfirmed.tell_all(end, outcome, room, |detail| {
            failed(detail);
            unsettled(detail);
        });
        self.deliveries.tell_all(end, outcome, room, unsettled);
        if let Some(closing) = self.closing.take() {
            closing.tell(end, outcome, room.out);
        }
    }
}

fn settle(arrival: &Arrival<'_>) -> Settle {
    let Arguments { tag, bits, .. } = arrival.call.arguments;
    let (multiple, how) = match arrival.call.method.id {
        80 => (bits & 1 != 0, Settlement::Ack),
        90 => (false, Settlement::Reject),
        _ => (bits & 1 != 0, Settlement::Nack),
    };
    Settle { tag, multiple, how, time: arrival.end }
}

/// What a synchronous method's arguments tell.
pub(super) fn called(method: &'static Method, arguments: &Arguments<'_>) -> AmqpDetail {
    let mut detail = AmqpDetail::new(method);
    let [first, second, third, _] = arguments.texts;
    detail.bits = arguments.bits;
    match (method.class, method.id) {
        // exchange.declare, exchange.delete
        (40, 10 | 20) => detail.exchange = name(first),
        // exchange.bind, exchange.unbind: the destination is what changes.
        (40, _) => {
            detail.exchange = name(first);
            detail.key = name(third);
        }
        // queue.bind, queue.unbind
        (50, 20 | 50) => {
            detail.queue = Some(name(first).into());
            detail.exchange = name(second);
            detail.key = name(third);
        }
        // queue.declare, purge, delete; consume; get
        (50, _) | (BASIC, 20 | 70) => detail.queue = Some(name(first).into()),
        _ => {}
    }
    if method.answer.is_some() && matches!((method.class, method.id), (10, 50) | (20, 40)) {
        detail.reply = Some(Reply { code: arguments.shorts[0], text: name(first) });
    }
    detail
}
