//! One connection: requests, and the responses that name them by correlation id.
//!
//! A broker answers a connection's requests in their order (the protocol guide's "Network"); the id is what proves
//! it. So a response ends the request that it names; those before it have lost theirs.

use std::sync::Arc;

use super::api;
use super::detail::Kafka;
use super::framing::{Requests, Responses, SIZE};
use super::header::{self, Header, Read};
use super::summary::{Learner, Summary};
use super::topics::Topics;
use super::wire::{Value, Visit, Wire, walk};
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::{InOrder, Pending};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream};

/// Requests in flight. Clients have 5 by default, librdkafka as many as it likes.
const MAX_IN_FLIGHT: usize = 1024;
/// SASL tokens in flight.
const MAX_TOKENS: u32 = 16;

/// The parser of one connection.
pub(super) struct KafkaParser {
    requests: Frames,
    responses: Frames,
    waiting: InOrder<Kafka>,
    topics: Topics,
    client: Option<Arc<str>>,
    /// Version 0 of the SASL handshake was asked for: tokens without headers may follow.
    handshake: bool,
    /// Tokens that wait for one in return.
    tokens: u32,
    /// The responses' place is confirmed.
    sure: bool,
    losses: Losses,
}

impl KafkaParser {
    /// `topics`: what is known of their names.
    pub fn new(topics: Topics, midstream: bool) -> Self {
        Self {
            requests: Frames::new(midstream),
            responses: Frames::new(midstream),
            waiting: InOrder::new(MAX_IN_FLIGHT),
            topics,
            client: None,
            handshake: false,
            tokens: 0,
            sure: !midstream,
            losses: Losses::default(),
        }
    }

    fn request(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let bytes = frame.bytes().get(SIZE as usize..).unwrap_or_default();
        let Read::Header(header) = header::read(bytes, frame.length - SIZE) else {
            self.tokens = (self.tokens + 1).min(MAX_TOKENS);
            return;
        };
        // Whoever sends requests has authenticated.
        self.handshake = header.key == api::SASL_HANDSHAKE && header.version == 0;
        self.tokens = 0;

        let mut summary = Summary::new();
        let mut body = header.body;
        let whole = match header.api.filter(|_| header.is_known()).and_then(|api| api.layouts) {
            Some([layout, _]) => {
                let flexible = header.is_flexible();
                let tags = if flexible { body.tags(&[], header.version, &mut Ignore) } else { Ok(()) };
                tags.and_then(|()| walk(&mut body, layout, header.version, flexible, &mut summary)).is_ok()
            }
            None => false,
        };
        let client = self.client(&header);
        let mut detail = Kafka::new(&header, &summary, whole, &mut self.topics, client);
        detail.cut = frame.cut;
        let one_way = detail.one_way;
        let request = Pending::new(frame.start, detail);
        if one_way {
            request.tell(frame.end.time, Outcome::Complete, out);
        } else if self.waiting.push(request).is_err() {
            self.losses.over_limit += 1;
        }
    }

    /// The client's id, kept once for all its requests.
    fn client(&mut self, header: &Header<'_>) -> Option<Arc<str>> {
        let same = self.client.as_deref().unwrap_or_default().as_bytes() == header.client;
        if !same {
            let client = String::from_utf8_lossy(header.client);
            self.client = (!client.is_empty()).then(|| Arc::from(&*client));
        }
        self.client.clone()
    }

    fn response(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        if self.tokens > 0 {
            self.tokens -= 1;
            return;
        }
        let mut body = Wire::new(frame.bytes(), frame.length);
        let (Ok(_), Ok(correlation)) = (body.number(4), body.number(4)) else { return };
        let named = self.waiting.find(|request| i64::from(request.detail.correlation) == correlation);
        let Some(before) = named else {
            self.losses.unpaired_responses += 1;
            return;
        };
        self.sure = true;
        for _ in 0..before {
            let Some(lost) = self.waiting.pop() else { break };
            self.losses.unpaired_requests += 1;
            lost.tell(frame.start.time, Outcome::ResponseLost, out);
        }
        let Some(mut request) = self.waiting.pop() else { return };
        request.first_byte = Some(frame.start.time);
        let outcome = self.answer(&mut request.detail, body, frame);
        request.tell(frame.end.time, outcome, out);
    }

    fn answer(&mut self, detail: &mut Kafka, mut body: Wire<'_>, frame: &Frame<'_>) -> Outcome {
        let api = api::api(detail.key).filter(|api| detail.version <= api.newest);
        let Some((api, [_, layout])) = api.and_then(|api| Some((api, api.layouts?))) else {
            return Outcome::Complete;
        };
        let mut summary = Summary::new();
        let flexible = api.is_flexible(detail.version);
        let tags = if flexible && detail.key != api::API_VERSIONS {
            body.tags(&[], detail.version, &mut Ignore)
        } else {
            Ok(())
        };
        let read = tags.and_then(|()| match detail.key {
            api::METADATA | api::CREATE_TOPICS | api::DESCRIBE_TOPIC_PARTITIONS => {
                let mut learner = Learner { summary: &mut summary, topics: &mut self.topics };
                walk(&mut body, layout, detail.version, flexible, &mut learner)
            }
            _ => walk(&mut body, layout, detail.version, flexible, &mut summary),
        });
        detail.answered(&summary, read.is_ok(), &mut self.topics);
        let lost = frame.cut && (!summary.answered || detail.lacks_records());
        if lost {
            self.losses.unpaired_requests += 1;
            return Outcome::ResponseLost;
        }
        Outcome::Complete
    }
}

/// Takes no interest.
struct Ignore;

impl Visit<'_> for Ignore {
    fn value(&mut self, _meaning: super::schema::Meaning, _value: Value<'_>) {}
}

impl Parser for KafkaParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let mut input = Input::new(chunk);
        match stream {
            Stream::ToServer => loop {
                let framing = Requests { tokens: self.handshake };
                match self.requests.next(&mut input, &framing) {
                    Some(Next::Frame(frame)) => {
                        self.request(&frame, out);
                        self.requests.recycle(frame);
                    }
                    Some(Next::Lost) => {}
                    None => break,
                }
            },
            Stream::ToClient => loop {
                let framing = Responses { waiting: &self.waiting, tokens: self.tokens, sure: self.sure };
                match self.responses.next(&mut input, &framing) {
                    Some(Next::Frame(frame)) => {
                        self.response(&frame, out);
                        self.responses.recycle(frame);
                    }
                    Some(Next::Lost) => self.sure = false,
                    None => break,
                }
            },
        }
    }

    fn stream_end(&mut self, stream: Stream, at: Moment, out: &mut Vec<Exchange>) {
        if stream == Stream::ToClient {
            self.waiting.tell_all(at.time, Outcome::ConnectionClosed(0), out);
        }
    }

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.waiting.tell_all(at.time, Outcome::of(cause), out);
    }

    fn tick(&mut self, _now: u64, _out: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        Interest::Frames { quiet_until: [self.requests.quiet_until(), self.responses.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.responses.take_losses());
        losses
    }
}
