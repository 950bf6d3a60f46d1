//! A connection: two streams of packets, and what waits for an acknowledgement.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::detail::{MqttDetail, Operation, Version};
use super::packet::{Connect, Filters, Head, Kind, Packets, Publish, Start};
use super::properties::{self, Properties};
use super::{reasons, topic};
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::{ById, Insert, Pending};
use crate::protocol::text::bounded;
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream};

/// What may wait for an acknowledgement. A message is about 400 bytes.
const MAX_WAITING: usize = 8192;
/// Topic aliases of one direction that are known.
const MAX_ALIASES: usize = 1024;
/// Filters with wildcards that are known.
const MAX_FILTERS: usize = 64;
/// Bytes kept of a topic or filter.
const MAX_TOPIC: usize = 512;
/// Bytes kept of a client's identifier.
const MAX_CLIENT: usize = 128;
/// Bytes kept of a reason.
const MAX_REASON: usize = 256;

/// Whose packet identifier, and which.
type Key = (bool, u16);

/// Client's identifiers count apart from the server's.
fn key(publisher: Stream, id: u16) -> Key {
    (publisher == Stream::ToServer, id)
}

/// A connection.
#[derive(Debug)]
pub(super) struct MqttParser {
    streams: [Frames; 2],
    version: Version,
    client: Option<Arc<str>>,
    connect: Option<Pending<MqttDetail>>,
    waiting: ById<Key, MqttDetail>,
    aliases: [FxHashMap<u16, Arc<str>>; 2],
    filters: Vec<Arc<str>>,
    losses: Losses,
    ended: bool,
}

fn side(stream: Stream) -> usize {
    usize::from(stream == Stream::ToClient)
}

impl MqttParser {
    pub fn new(midstream: bool) -> Self {
        Self {
            streams: [Frames::new(midstream), Frames::new(midstream)],
            version: Version::Unknown,
            client: None,
            connect: None,
            waiting: ById::new(MAX_WAITING),
            aliases: [FxHashMap::default(), FxHashMap::default()],
            filters: Vec::new(),
            losses: Losses::default(),
            ended: false,
        }
    }

    fn detail(&self, operation: Operation) -> MqttDetail {
        MqttDetail::new(operation, self.version, self.client.clone())
    }

    /// False if it is no packet.
    fn packet(&mut self, stream: Stream, frame: &Frame<'_>, out: &mut Vec<Exchange>) -> bool {
        let bytes = frame.bytes();
        let Start::Head(head) = Head::read(bytes) else { return frame.cut };
        let rest = &bytes[head.size..];
        match head.kind {
            Kind::Connect => self.connect(frame, rest),
            Kind::Connack => self.connected(frame, rest, out),
            Kind::Publish => return self.publish(stream, frame, &head, rest, out),
            Kind::Puback | Kind::Pubrec | Kind::Pubcomp => self.acknowledged(stream, frame, &head, rest, out),
            Kind::Subscribe | Kind::Unsubscribe => self.subscribe(frame, &head, rest, out),
            Kind::Suback | Kind::Unsuback => self.subscribed(frame, &head, rest, out),
            Kind::Disconnect => self.disconnect(frame, rest, out),
            Kind::Auth => self.version = Version::Five,
            Kind::Pubrel | Kind::Pingreq | Kind::Pingresp => {}
        }
        true
    }

    fn connect(&mut self, frame: &Frame<'_>, rest: &[u8]) {
        let Some(connect) = Connect::read(rest) else { return };
        self.version = if connect.level == 5 { Version::Five } else { Version::Three };
        self.client = Some(bounded(connect.client, MAX_CLIENT).into());
        self.connect = Some(Pending::new(frame.start, self.detail(Operation::Connect)));
    }

    fn connected(&mut self, frame: &Frame<'_>, rest: &[u8], out: &mut Vec<Exchange>) {
        let Some(mut connect) = self.connect.take() else {
            self.losses.unpaired_responses += 1;
            return;
        };
        let [_, code, behind @ ..] = rest else {
            return self.lose(connect, frame.end.time, out);
        };
        connect.detail.reason = *code;
        if self.version == Version::Five {
            connect.detail.error = reasons::five(*code);
            if let Some(properties) = properties::read(behind) {
                connect.detail.text = properties.reason.map(|text| bounded(text, MAX_REASON));
                if let Some(client) = properties.client {
                    self.client = Some(bounded(client, MAX_CLIENT).into());
                    connect.detail.client.clone_from(&self.client);
                }
            }
        } else {
            connect.detail.error = reasons::three(*code);
        }
        connect.first_byte = Some(frame.start.time);
        connect.tell(frame.end.time, Outcome::Complete, out);
    }

    fn lose(&mut self, request: Pending<MqttDetail>, end: u64, out: &mut Vec<Exchange>) {
        self.losses.unpaired_requests += 1;
        request.tell(end, Outcome::ResponseLost, out);
    }

    fn publish(
        &mut self,
        stream: Stream,
        frame: &Frame<'_>,
        head: &Head,
        rest: &[u8],
        out: &mut Vec<Exchange>,
    ) -> bool {
        let operation = if stream == Stream::ToServer { Operation::Publish } else { Operation::Deliver };
        let end = frame.end.time;
        let Some(publish) = Publish::read(head, rest) else {
            // What is cut off is a message all the same.
            let cut = frame.cut || rest.len() < head.rest as usize;
            if cut {
                let mut detail = self.detail(operation);
                detail.quality = head.first >> 1 & 3;
                self.lose(Pending::new(frame.start, detail), end, out);
            }
            return cut;
        };
        let key = key(stream, publish.id);
        if publish.duplicate
            && let Some(sent) = self.waiting.get_mut(key)
            && sent.detail.operation == operation
        {
            sent.detail.again += 1;
            return true;
        }
        let read = self.properties(&publish);
        let mut detail = self.detail(operation);
        let alias = read.as_ref().and_then(|read| read.alias);
        detail.topic = self.topic(stream, publish.topic, alias);
        detail.template = detail.topic.as_deref().and_then(|topic| self.template(operation, topic));
        detail.quality = publish.quality;
        detail.retained = publish.retained;
        detail.again = u32::from(publish.duplicate);
        detail.body = match (self.version, &read) {
            (Version::Unknown, _) | (Version::Five, None) => None,
            (_, read) => publish.length.checked_sub(read.as_ref().map_or(0, |read| read.size as u64)),
        };
        detail.parent = read.and_then(|read| read.parent());
        let message = Pending::new(frame.start, detail);
        if publish.quality == 0 {
            message.tell(end, Outcome::Complete, out);
        } else {
            self.wait(key, message, end, out);
        }
        true
    }

    /// Properties of a message, if it is version 5. If the version is not known, what reads as properties with a user's among
    /// them to their very end is taken for them, and tells the version.
    fn properties<'a>(&mut self, publish: &Publish<'a>) -> Option<Properties<'a>> {
        match self.version {
            Version::Three => return None,
            Version::Five => {}
            Version::Unknown => {
                let read = properties::read(publish.behind);
                let sure = publish.topic.is_empty() || read.is_some_and(|read| read.whole && read.user);
                if !sure {
                    return None;
                }
                self.version = Version::Five;
            }
        }
        properties::read(publish.behind)
    }

    fn topic(&mut self, stream: Stream, topic: &[u8], alias: Option<u16>) -> Option<Arc<str>> {
        let aliases = &mut self.aliases[side(stream)];
        if topic.is_empty() {
            return aliases.get(&alias?).cloned();
        }
        let topic: Arc<str> = bounded(topic, MAX_TOPIC).into();
        if let Some(alias) = alias
            && (aliases.len() < MAX_ALIASES || aliases.contains_key(&alias))
        {
            aliases.insert(alias, Arc::clone(&topic));
        }
        Some(topic)
    }

    /// What is the same for many topics, if it is not the topic.
    fn template(&self, operation: Operation, topic: &str) -> Option<Arc<str>> {
        if operation == Operation::Deliver
            && let Some(filter) = self.filters.iter().find(|filter| topic::matches(filter, topic))
        {
            return Some(Arc::clone(filter));
        }
        topic::template(topic).map(Arc::from)
    }

    fn wait(&mut self, key: Key, request: Pending<MqttDetail>, end: u64, out: &mut Vec<Exchange>) {
        match self.waiting.insert(key, request) {
            Insert::Added => {}
            Insert::Replaced(older) => self.lose(older, end, out),
            Insert::Full(request) => {
                self.losses.over_limit += 1;
                request.tell(end, Outcome::Unfinished, out);
            }
        }
    }

    /// Takes what waits for this answer.
    fn take(&mut self, key: Key, is: impl Fn(&MqttDetail) -> bool) -> Option<Pending<MqttDetail>> {
        if self.waiting.get_mut(key).is_some_and(|request| is(&request.detail)) {
            return self.waiting.remove(key);
        }
        self.losses.unpaired_responses += 1;
        None
    }

    /// `PUBACK`, `PUBREC`, `PUBCOMP` (3.4, 3.5, 3.7): identifier, and in version 5 a reason code and properties, which may be
    /// left out.
    fn acknowledged(
        &mut self,
        stream: Stream,
        frame: &Frame<'_>,
        head: &Head,
        rest: &[u8],
        out: &mut Vec<Exchange>,
    ) {
        let [high, low, behind @ ..] = rest else { return };
        if head.rest > 2 {
            self.version = Version::Five;
        }
        let key = key(stream.other(), u16::from_be_bytes([*high, *low]));
        let quality = if head.kind == Kind::Puback { 1 } else { 2 };
        let is = |detail: &MqttDetail| detail.quality == quality;
        let reason = behind.first().copied().unwrap_or(0);
        if head.kind == Kind::Pubrec && reason < 0x80 {
            if let Some(message) = self.waiting.get_mut(key).filter(|message| is(&message.detail)) {
                message.first_byte.get_or_insert(frame.start.time);
            }
            return;
        }
        let Some(mut message) = self.take(key, is) else { return };
        message.detail.version = self.version;
        message.detail.reason = reason;
        message.detail.error = reasons::five(reason);
        let read = behind.get(1..).and_then(properties::read);
        message.detail.text = read.and_then(|read| read.reason).map(|text| bounded(text, MAX_REASON));
        message.first_byte.get_or_insert(frame.start.time);
        message.tell(frame.end.time, Outcome::Complete, out);
    }

    fn subscribe(&mut self, frame: &Frame<'_>, head: &Head, rest: &[u8], out: &mut Vec<Exchange>) {
        let [high, low, behind @ ..] = rest else { return };
        let subscribes = head.kind == Kind::Subscribe;
        let mut detail = self.detail(if subscribes { Operation::Subscribe } else { Operation::Unsubscribe });
        if rest.len() == head.rest as usize
            && let Some(filters) = Filters::read(behind, subscribes)
        {
            self.version = if filters.five { Version::Five } else { Version::Three };
            detail.version = self.version;
            detail.filters = filters.count;
            let first: Arc<str> = bounded(filters.first, MAX_TOPIC).into();
            detail.template = self.template(detail.operation, &first);
            detail.topic = Some(first);
            for filter in filters.iter() {
                let filter = bounded(filter, MAX_TOPIC);
                let filter = topic::unshared(&filter);
                let known = self.filters.iter().position(|known| &**known == filter);
                match known {
                    Some(index) if !subscribes => _ = self.filters.swap_remove(index),
                    None if subscribes && self.filters.len() < MAX_FILTERS && filter.contains(['+', '#']) => {
                        self.filters.push(filter.into());
                    }
                    _ => {}
                }
            }
        }
        let key = key(Stream::ToServer, u16::from_be_bytes([*high, *low]));
        self.wait(key, Pending::new(frame.start, detail), frame.end.time, out);
    }

    /// `SUBACK` and `UNSUBACK` (3.9, 3.11): a code for each filter, in version 5 behind properties.
    fn subscribed(&mut self, frame: &Frame<'_>, head: &Head, rest: &[u8], out: &mut Vec<Exchange>) {
        let [high, low, behind @ ..] = rest else { return };
        let operation = if head.kind == Kind::Suback { Operation::Subscribe } else { Operation::Unsubscribe };
        let key = key(Stream::ToServer, u16::from_be_bytes([*high, *low]));
        let Some(mut request) = self.take(key, |detail| detail.operation == operation) else { return };
        let codes = match self.version {
            Version::Five => properties::read(behind).and_then(|read| behind.get(read.size..)),
            _ => Some(behind),
        };
        if let Some(bad) = codes.unwrap_or_default().iter().find(|code| **code >= 0x80) {
            request.detail.reason = *bad;
            request.detail.error = reasons::five(*bad);
        }
        request.first_byte = Some(frame.start.time);
        request.tell(frame.end.time, Outcome::Complete, out);
    }

    /// Told only if something is wrong: one end says why it leaves.
    fn disconnect(&mut self, frame: &Frame<'_>, rest: &[u8], out: &mut Vec<Exchange>) {
        let Some((reason, behind)) = rest.split_first() else { return };
        self.version = Version::Five;
        if *reason < 0x80 {
            return;
        }
        let mut detail = self.detail(Operation::Disconnect);
        detail.reason = *reason;
        detail.error = reasons::five(*reason);
        let read = properties::read(behind);
        detail.text = read.and_then(|read| read.reason).map(|text| bounded(text, MAX_REASON));
        Pending::new(frame.start, detail).tell(frame.end.time, Outcome::Complete, out);
    }

    /// Packets of a stream were lost: answers to what the other end sent, and what aliases mean.
    fn lost(&mut self, stream: Stream, end: u64, out: &mut Vec<Exchange>) {
        self.aliases[side(stream)].clear();
        let asked = stream == Stream::ToClient;
        for request in self.waiting.take_where(|(client, _), _| client == asked) {
            self.lose(request, end, out);
        }
        if stream == Stream::ToClient
            && let Some(connect) = self.connect.take()
        {
            self.lose(connect, end, out);
        }
    }
}

impl Parser for MqttParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.ended {
            return;
        }
        let mut input = Input::new(chunk);
        let framing = Packets(stream);
        while let Some(next) = self.streams[side(stream)].next(&mut input, &framing) {
            match next {
                Next::Frame(frame) => {
                    if !self.packet(stream, &frame, out) {
                        self.streams[side(stream)].give_up(&mut input);
                        self.lost(stream, chunk.at.time, out);
                    }
                    self.streams[side(stream)].recycle(frame);
                }
                Next::Lost => self.lost(stream, chunk.at.time, out),
            }
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.ended = true;
        let outcome = Outcome::of(cause);
        if let Some(connect) = self.connect.take() {
            connect.tell(at.time, outcome, out);
        }
        self.waiting.tell_all(at.time, outcome, out);
    }

    fn tick(&mut self, _: u64, _: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        if self.ended {
            return Interest::Nothing;
        }
        let [client, server] = &self.streams;
        Interest::Frames { quiet_until: [client.quiet_until(), server.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        self.streams.iter_mut().for_each(|frames| losses.add(frames.take_losses()));
        losses
    }
}
