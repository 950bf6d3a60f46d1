//! What is kept of a message, and how it reads in OpenTelemetry's words.
//!
//! Attributes by the semantic conventions for messaging. Where they leave room:
//!
//! - A request and its reply are one `CLIENT` span from the one to the other. Its receiver's `CONSUMER` span
//!   lasts until it answers, or acknowledges.
//! - The broker's ends are `SERVER` spans: `publish`, `request` and `deliver`.
//! - The span's name has the destination's template: the subscription's subject if it has wildcards, `_INBOX.*`, or
//!   the subject with its ids as `*`.

use std::borrow::Cow;

use crate::protocol::{
    Attribute, Description, Detail, Exchange, Instrument, Kind, Outcome, Reading, Role, Scene, TraceParent,
    Value,
};

const KEYS: &[&str] = &[
    "messaging.system",
    "messaging.operation.name",
    "messaging.destination.template",
    "error.type",
    "server.address",
    "server.port",
];

static DURATION: Instrument = Instrument {
    name: "messaging.client.operation.duration",
    unit: "s",
    description: "Duration of messaging operation initiated by a producer or consumer client",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

static SENT: Instrument = Instrument {
    name: "messaging.client.sent.messages",
    unit: "{message}",
    description: "Number of messages producer attempted to send to the broker",
    role: Some(Role::Client),
    reading: Reading::One,
    keys: KEYS,
};

static CONSUMED: Instrument = Instrument {
    name: "messaging.client.consumed.messages",
    unit: "{message}",
    description: "Number of messages that were delivered to the application",
    role: Some(Role::Client),
    reading: Reading::One,
    keys: KEYS,
};

static PROCESSED: Instrument = Instrument {
    name: "messaging.process.duration",
    unit: "s",
    description: "Duration of processing operation",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

static SERVER_DURATION: Instrument = Instrument {
    name: "remora.messaging.server.operation.duration",
    unit: "s",
    description: "Duration of operations as the broker saw them",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: KEYS,
};

static SENDING: &[&Instrument] = &[&DURATION, &SENT, &SERVER_DURATION];
static RECEIVING: &[&Instrument] = &[&CONSUMED, &SERVER_DURATION];
static PROCESSING: &[&Instrument] = &[&CONSUMED, &PROCESSED, &SERVER_DURATION];
static OTHER: &[&Instrument] = &[&DURATION, &SERVER_DURATION];

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Publish,
    /// Published, and answered.
    Request,
    Receive,
    /// Received, and answered or acknowledged.
    Process,
    /// Acknowledged, of a message that was not seen.
    Acknowledge,
    /// The server said that something is wrong.
    Error,
}

/// A message, a request with its reply, or an error.
#[derive(Debug)]
pub(super) struct NatsDetail {
    pub operation: Operation,
    pub subject: Box<str>,
    /// What its name has in common with others.
    pub template: Box<str>,
    /// The queue group that it was received by.
    pub group: Option<Box<str>>,
    /// Bytes of the payload.
    pub body: u64,
    /// Bytes of the reply's payload.
    pub reply_body: Option<u64>,
    /// What stood in a reply's first line.
    pub status: Option<u16>,
    /// How a message of `JetStream` was acknowledged.
    pub ack: Option<&'static str>,
    pub parent: Option<TraceParent>,
    pub id: Option<Box<str>>,
    /// What the server said was wrong, without names.
    pub error: Option<Box<str>>,
}

impl NatsDetail {
    /// The operation's name and type, and the span's kind.
    fn words(&self, role: Role) -> (&'static str, Option<&'static str>, Kind) {
        match (self.operation, role) {
            (Operation::Publish, Role::Client) => ("publish", Some("send"), Kind::Producer),
            (Operation::Publish, Role::Server) => ("publish", None, Kind::ByRole),
            (Operation::Request, Role::Client) => ("request", Some("send"), Kind::ByRole),
            (Operation::Request, Role::Server) => ("request", None, Kind::ByRole),
            (Operation::Receive, Role::Client) => ("receive", Some("receive"), Kind::Consumer),
            (Operation::Process, Role::Client) => ("process", Some("process"), Kind::Consumer),
            (Operation::Receive | Operation::Process, Role::Server) => ("deliver", None, Kind::ByRole),
            (Operation::Acknowledge, _) => ("ack", Some("settle"), Kind::ByRole),
            (Operation::Error, _) => ("error", None, Kind::ByRole),
        }
    }

    /// `error.type`: as the server said it, or the status of a reply.
    fn failure(&self, outcome: Outcome) -> Option<(Cow<'static, str>, &'static str)> {
        match (&self.error, self.status) {
            (Some(error), _) => Some((error.to_string().into(), "")),
            (None, Some(503)) => Some(("503".into(), "no responders")),
            (None, Some(status)) if status >= 400 => Some((status.to_string().into(), "")),
            _ => outcome
                .error_type()
                .map(|kind| (kind.into(), "the connection ended, or nobody answered in time")),
        }
    }
}

impl Detail for NatsDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let (name, kind_of_operation, kind) = self.words(scene.role);
        let mut out: Vec<Attribute> = Vec::with_capacity(18);
        let mut text = |key, text: Cow<'static, str>| out.push((key, Value::Text(text)));
        text("messaging.system", "nats".into());
        text("messaging.operation.name", name.into());
        if let Some(kind) = kind_of_operation {
            text("messaging.operation.type", kind.into());
        }
        if !self.subject.is_empty() {
            text("messaging.destination.name", self.subject.to_string().into());
            text("messaging.destination.template", self.template.to_string().into());
        }
        if let Some(group) = &self.group {
            text("messaging.consumer.group.name", group.to_string().into());
        }
        if let Some(id) = &self.id {
            text("messaging.message.id", id.to_string().into());
        }
        if let Some(ack) = self.ack {
            text("remora.nats.ack", ack.into());
        }
        if let Some(status) = self.status {
            text("remora.nats.status", status.to_string().into());
        }
        if super::subject::is_inbox(self.subject.as_bytes()) {
            out.push(("messaging.destination.temporary", Value::Flag(true)));
        }
        if self.operation != Operation::Error {
            let size = |bytes: u64| Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX));
            out.push(("messaging.message.body.size", size(self.body)));
            if let Some(reply) = self.reply_body {
                out.push(("remora.nats.reply.body.size", size(reply)));
            }
        }
        scene.addresses(&mut out);
        let word = match exchange.outcome {
            Outcome::Complete => None,
            Outcome::ConnectionClosed(_) => Some("connection_closed"),
            Outcome::ProcessGone => Some("process_gone"),
            Outcome::ResponseLost => Some("response_lost"),
            Outcome::Unfinished => Some("unfinished"),
            Outcome::TimedOut => Some("timed_out"),
        };
        if let Some(word) = word {
            out.push(("remora.outcome", Value::Text(word.into())));
        }
        let error = self.failure(exchange.outcome).map(|(kind, sentence)| {
            out.push(("error.type", Value::Text(kind)));
            Cow::Borrowed(sentence)
        });
        Description {
            name: if self.template.is_empty() {
                name.to_owned()
            } else {
                format!("{name} {}", self.template)
            },
            attributes: out,
            error,
            parent: self.parent.clone(),
            kind,
            instruments: match self.operation {
                Operation::Publish | Operation::Request => SENDING,
                Operation::Receive => RECEIVING,
                Operation::Process => PROCESSING,
                Operation::Acknowledge | Operation::Error => OTHER,
            },
            ..Description::default()
        }
    }
}
