//! What is kept of an exchange, and how it reads in OpenTelemetry's words.
//!
//! By the semantic conventions for messaging and for Kafka. Where they leave room:
//!
//! - A Produce is a producer's `send`, a Fetch that brought records a consumer's `receive`, an OffsetCommit settles;
//!   every other API is a client's call by its name, and to the broker all of them are.
//! - A Fetch waits at the broker until there are records, or for as long as the consumer allows. One that ended without
//!   is no operation on messages: it is counted (`remora.kafka.empty_fetches`), and becomes no span.
//! - A destination and a partition are told if there is exactly one.
//! - A group's coordinator answers `MEMBER_ID_REQUIRED` and `REBALANCE_IN_PROGRESS` as steps of every rebalance: told as
//!   `remora.kafka.signal`, no error.

use std::borrow::Cow;
use std::sync::Arc;

use super::api::{self, Api};
use super::header::Header;
use super::summary::{Summary, Topic};
use super::topics::{self, Id, Topics};
use super::{errors, instruments};
use crate::protocol::{
    Attribute, Description, Detail, Exchange, Kind, Outcome, Role, Scene, Signals, TraceParent, Value,
    context, text,
};

/// Longest group id that is kept. Bytes.
const MAX_GROUP: usize = 255;
/// Longest name of a SASL mechanism that is kept (RFC 4422, 3.1: 20).
const MAX_MECHANISM: usize = 32;

/// A topic, by what is known of it.
#[derive(Debug)]
pub(super) enum Named {
    Name(Arc<str>),
    Id(Id),
}

/// What a response to Fetch brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fetched {
    /// Not known.
    #[default]
    Unknown,
    Nothing,
    Records,
}

/// A request and, later, its response.
#[derive(Debug, Default)]
pub(super) struct Kafka {
    pub key: i16,
    pub version: i16,
    pub correlation: i32,
    /// There will be no response.
    pub one_way: bool,
    api: Option<&'static Api>,
    client: Option<Arc<str>>,
    group: Option<Box<str>>,
    topic: Option<Named>,
    /// 0 if it is not known, or does not apply.
    topics: u64,
    partition: Option<i32>,
    partitions: u64,
    acks: Option<i16>,
    follower: bool,
    mechanism: Option<Box<str>>,
    committed: Option<bool>,
    messages: Option<u64>,
    bytes: u64,
    offset: Option<i64>,
    fetched: Fetched,
    error: Option<i16>,
    errors: u32,
    parent: Option<TraceParent>,
    /// Bytes of the request that were wanted are missing.
    pub cut: bool,
}

impl Kafka {
    /// A request; `summary` of its body, of which all was read if it is `whole`.
    pub fn new(
        header: &Header<'_>,
        summary: &Summary<'_>,
        whole: bool,
        known: &mut Topics,
        client: Option<Arc<str>>,
    ) -> Self {
        let filled = &summary.filled;
        let produce = header.key == api::PRODUCE;
        let mut detail = Self {
            key: header.key,
            version: header.version,
            correlation: header.correlation,
            one_way: produce && summary.acks == Some(0),
            api: header.api,
            client,
            group: summary.group().map(|group| text::bounded(group, MAX_GROUP)),
            acks: summary.acks,
            follower: summary.follower,
            mechanism: summary.mechanism.map(|mechanism| text::bounded(mechanism, MAX_MECHANISM)),
            committed: summary.committed,
            ..Self::default()
        };
        // A list of lists may go on behind what was read.
        if whole || !matches!(header.key, api::OFFSET_FETCH | api::ADD_PARTITIONS_TO_TXN) {
            detail.topics = summary.topics;
            if summary.topics == 1 {
                detail.topic = named(summary.topic, known);
                detail.partitions = summary.partitions;
                detail.partition = summary.partition.filter(|_| summary.partitions == 1);
            } else if whole {
                detail.partitions = summary.partitions;
            }
        }
        if produce {
            // One partition is whole as soon as its batch's header was seen.
            let all = whole || (summary.topics == 1 && summary.partitions == 1);
            detail.messages = filled.messages.filter(|_| all && filled.partitions > 0);
            detail.bytes = filled.bytes;
            if detail.messages == Some(1) {
                detail.parent = filled.context.and_then(|(parent, state)| context::parent(parent, state));
            }
        } else if header.key == api::FETCH && detail.partition.is_some() {
            detail.offset = summary.offset;
        }
        detail
    }

    /// Takes over what its response says, of which all was read if it is `whole`.
    pub fn answered(&mut self, summary: &Summary<'_>, whole: bool, known: &mut Topics) {
        self.error = summary.error;
        self.errors = summary.errors;
        // Another connection may have been told it since.
        if let Some(Named::Id(id)) = self.topic
            && let Some(name) = known.name(&id)
        {
            self.topic = Some(Named::Name(name));
        }
        match self.key {
            api::PRODUCE if self.partition.is_some() && summary.error.is_none() => {
                self.offset = summary.offset.filter(|offset| *offset >= 0 && self.messages == Some(1));
            }
            api::FETCH | api::SHARE_FETCH => self.fetched(summary, whole, known),
            _ => {}
        }
    }

    /// A response to Fetch passed, and it is not known whether there were records in it.
    pub fn lacks_records(&self) -> bool {
        matches!(self.key, api::FETCH | api::SHARE_FETCH)
            && self.fetched == Fetched::Unknown
            && self.error.is_none()
    }

    /// The response tells which of the topics that were asked for there were records of; what is cut off, not how many.
    fn fetched(&mut self, summary: &Summary<'_>, whole: bool, known: &mut Topics) {
        let filled = &summary.filled;
        // The end of a transaction is no message.
        if filled.partitions == 0 || (whole && filled.messages == Some(0)) {
            if whole {
                self.fetched = Fetched::Nothing;
                self.messages = Some(0);
            }
            return;
        }
        self.fetched = Fetched::Records;
        self.bytes = filled.bytes;
        let one_topic = filled.topics == 1 && (whole || summary.topics == 1);
        let one_partition = one_topic && filled.partitions == 1 && (whole || summary.partitions == 1);
        self.messages = filled.messages.filter(|_| whole || one_partition);
        self.topics = if one_topic { 1 } else { summary.topics.max(filled.topics) };
        self.partitions = if one_partition { 1 } else { summary.partitions.max(filled.partitions) };
        self.topic = one_topic.then(|| named(filled.topic, known)).flatten();
        self.partition = one_partition.then_some(filled.partition);
        self.offset = filled.offset.filter(|_| self.messages == Some(1));
    }

    fn name(&self) -> Cow<'static, str> {
        match self.api {
            Some(api) => Cow::Borrowed(api.name),
            None => Cow::Owned(format!("Api{}", self.key)),
        }
    }

    /// What it is to a client of the broker: the operation's name and type, and the span's kind.
    fn operation(&self) -> Option<(&'static str, &'static str, Kind)> {
        match self.key {
            api::PRODUCE => Some(("send", "send", Kind::Producer)),
            api::FETCH | api::SHARE_FETCH if self.fetched == Fetched::Records && !self.follower => {
                Some(("receive", "receive", Kind::Consumer))
            }
            api::OFFSET_COMMIT => Some(("commit", "settle", Kind::ByRole)),
            _ => None,
        }
    }

    fn instruments(&self) -> &'static [&'static crate::protocol::Instrument] {
        match (self.key, self.fetched) {
            (api::PRODUCE, _) => instruments::PRODUCED,
            (api::FETCH | api::SHARE_FETCH, Fetched::Nothing) if self.error.is_none() => instruments::WAITED,
            (api::FETCH | api::SHARE_FETCH, Fetched::Records) if !self.follower => instruments::RECEIVED,
            _ => instruments::OTHER,
        }
    }

    /// A long poll that found nothing is one of many, and tells of nobody's work.
    fn signals(&self) -> Signals {
        if self.fetched == Fetched::Nothing && self.error.is_none() {
            Signals::Metrics
        } else {
            Signals::SpanAndMetrics
        }
    }

    /// A step of the group protocol rather than an error.
    fn is_signal(&self, code: i16) -> bool {
        const REBALANCE_IN_PROGRESS: i16 = 27;
        const MEMBER_ID_REQUIRED: i16 = 79;
        matches!(
            (self.key, code),
            (api::JOIN_GROUP, MEMBER_ID_REQUIRED)
                | (api::JOIN_GROUP | api::SYNC_GROUP | api::HEARTBEAT, REBALANCE_IN_PROGRESS)
        )
    }

    fn fail(&self, outcome: Outcome, out: &mut Vec<Attribute>) -> Option<Cow<'static, str>> {
        if let Some(word) = match outcome {
            Outcome::Complete => None,
            Outcome::ConnectionClosed(_) => Some("connection_closed"),
            Outcome::ProcessGone => Some("process_gone"),
            Outcome::ResponseLost => Some("response_lost"),
            Outcome::Unfinished => Some("unfinished"),
            Outcome::TimedOut => Some("timed_out"),
        } {
            out.push(("remora.outcome", Value::Text(word.into())));
        }
        if let Some(code) = self.error {
            let name = errors::name(code);
            if self.is_signal(code) {
                out.push(("remora.kafka.signal", Value::Text(name)));
                return None;
            }
            out.push(("error.type", Value::Text(name)));
            return Some(Cow::Borrowed(""));
        }
        let broken = outcome.error_type()?;
        out.push(("error.type", Value::Text(broken.into())));
        Some(Cow::Borrowed("the connection ended before a response"))
    }
}

impl Detail for Kafka {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out: Vec<Attribute> = Vec::with_capacity(20);
        let mut put = |key, value| out.push((key, value));
        let text = |text: &str| Value::Text(text.to_owned().into());
        let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let operation = self.operation().filter(|_| scene.role == Role::Client);

        put("messaging.system", Value::Text("kafka".into()));
        match operation {
            Some((name, kind, _)) => {
                put("messaging.operation.name", Value::Text(name.into()));
                put("messaging.operation.type", Value::Text(kind.into()));
            }
            None => put("messaging.operation.name", Value::Text(self.name())),
        }
        let mut destination = None;
        match &self.topic {
            Some(Named::Name(name)) => {
                put("messaging.destination.name", text(name));
                destination = Some(&**name);
            }
            Some(Named::Id(id)) => put("remora.kafka.topic_id", Value::Text(topics::print(id).into())),
            None => {}
        }
        if let Some(partition) = self.partition {
            put("messaging.destination.partition.id", Value::Text(partition.to_string().into()));
        }
        if self.topics > 1 {
            put("remora.kafka.topics", number(self.topics));
        }
        if self.partitions > 1 {
            put("remora.kafka.partitions", number(self.partitions));
        }
        if let Some(messages) = self.messages {
            put("messaging.batch.message_count", number(messages));
        }
        if self.bytes > 0 {
            put("remora.kafka.records.size", number(self.bytes));
        }
        if let Some(offset) = self.offset {
            put("messaging.kafka.offset", Value::Integer(offset));
        }
        if let Some(client) = &self.client {
            put("messaging.client.id", text(client));
        }
        if let Some(group) = &self.group {
            put("messaging.consumer.group.name", text(group));
        }
        put("remora.kafka.api", Value::Text(self.name()));
        put("remora.kafka.api_version", Value::Integer(self.version.into()));
        if let Some(acks) = self.acks {
            put("remora.kafka.acks", Value::Integer(acks.into()));
        }
        if self.follower {
            put("remora.kafka.follower", Value::Flag(true));
        }
        if let Some(mechanism) = &self.mechanism {
            put("remora.kafka.sasl_mechanism", text(mechanism));
        }
        if let Some(committed) = self.committed {
            put("remora.kafka.committed", Value::Flag(committed));
        }
        if self.errors > 1 {
            put("remora.kafka.errors", number(self.errors.into()));
        }
        if self.cut {
            put("remora.kafka.request_cut", Value::Flag(true));
        }
        scene.addresses(&mut out);
        let error = self.fail(exchange.outcome, &mut out);

        let name = match (operation, destination) {
            (Some((name, ..)), Some(destination)) => format!("{name} {destination}"),
            (Some((name, ..)), None) => name.to_owned(),
            (None, _) => format!("kafka.{}", self.name()),
        };
        Description {
            name,
            attributes: out,
            error,
            parent: self.parent.clone(),
            kind: operation.map_or(Kind::ByRole, |(_, _, kind)| kind),
            instruments: self.instruments(),
            signals: self.signals(),
        }
    }
}

/// A name rather than an id; an id's name if it was told.
fn named(topic: Topic<'_>, known: &mut Topics) -> Option<Named> {
    match topic {
        Topic { name: Some(name), .. } if !name.is_empty() => {
            Some(Named::Name(Arc::from(text::bounded(name, topics::MAX_NAME))))
        }
        Topic { id: Some(id), .. } if id != Id::default() => {
            Some(known.name(&id).map_or(Named::Id(id), Named::Name))
        }
        _ => None,
    }
}
