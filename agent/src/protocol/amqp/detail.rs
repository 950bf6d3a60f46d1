//! What is kept of an exchange, and how it reads in OpenTelemetry's words (semantic conventions for messaging and for
//! RabbitMQ).
//!
//! Where they leave room:
//!
//! - A message that a consumer has to acknowledge is told from its delivery to its acknowledgement, as `process`: that is
//!   how long the application had it. One that needs none is told as `receive`, for as long as it took to pass.
//! - A publish is told until the broker confirmed it, where the channel has confirms, else for as long as it took to pass.
//! - On the broker's end of a connection the same exchanges are of the kind `SERVER`.
//! - `error.type` is the constant that the specification has for a reply code, in lower case, or `nack` or `reject`.

use std::borrow::Cow;
use std::sync::Arc;

use super::method::{BASIC, Method};
use super::names;
use crate::protocol::instruments::messaging::{OTHERS, PROCESSES, RECEIVES, SENDS};
use crate::protocol::{
    Attribute, Description, Detail, Exchange, Instrument, Kind, Outcome, Role, Scene, TraceParent, Value,
};

/// What became of a message that was to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settlement {
    Ack,
    Nack,
    Reject,
    /// The channel was closed first: the broker will deliver it again, or a publisher does not know.
    Unsettled,
}

/// A reply code and its text, as `close` and `return` carry them.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub code: u16,
    pub text: Box<str>,
}

/// A message, or a method and its answer.
#[derive(Debug)]
pub(super) struct AmqpDetail {
    pub method: &'static Method,
    /// An exchange, or the source of a binding.
    pub exchange: Box<str>,
    pub key: Box<str>,
    /// A queue, or what else a method is about.
    pub queue: Option<Arc<str>>,
    /// What the method was called with.
    pub bits: u8,
    pub tag: Option<u64>,
    pub redelivered: bool,
    /// Bytes of the message.
    pub body: Option<u64>,
    pub message: Option<Box<str>>,
    pub correlation: Option<Box<str>>,
    pub parent: Option<TraceParent>,
    /// It has to be settled: a delivery or a publish whose end is an acknowledgement.
    pub settles: bool,
    pub settlement: Option<Settlement>,
    pub reply: Option<Reply>,
    /// `get-empty`
    pub empty: bool,
}

impl AmqpDetail {
    pub fn new(method: &'static Method) -> Self {
        Self {
            method,
            exchange: Box::default(),
            key: Box::default(),
            queue: None,
            bits: 0,
            tag: None,
            redelivered: false,
            body: None,
            message: None,
            correlation: None,
            parent: None,
            settles: false,
            settlement: None,
            reply: None,
            empty: false,
        }
    }

    fn is_message(&self) -> bool {
        self.method.class == BASIC && matches!(self.method.id, 40 | 50 | 60 | 70)
    }

    /// `messaging.operation.type`, if the conventions have one for it.
    fn operation_type(&self) -> Option<&'static str> {
        match self.method.id {
            _ if self.method.class != BASIC => None,
            40 => Some("send"),
            60 if self.settles => Some("process"),
            60 | 70 => Some("receive"),
            _ => None,
        }
    }

    fn kind(&self, role: Role) -> Kind {
        match (role, self.method.id) {
            (Role::Client, 40) if self.is_message() => Kind::Producer,
            (Role::Client, 60 | 70) if self.is_message() => Kind::Consumer,
            _ => Kind::ByRole,
        }
    }

    fn instruments(&self) -> &'static [&'static Instrument] {
        match self.operation_type() {
            Some("send") => SENDS,
            Some("process") => PROCESSES,
            Some(_) if !self.empty => RECEIVES,
            _ => OTHERS,
        }
    }

    /// Destination attributes; gives what the span's name has of them.
    fn destination(&self, out: &mut Vec<Attribute>) -> Option<String> {
        let queue = self.queue.as_deref();
        if !self.is_message() && self.exchange.is_empty() && queue.is_none_or(str::is_empty) {
            return None;
        }
        let (template, anonymous) = names::template(&self.exchange, &self.key, queue);
        let name = names::destination(&self.exchange, &self.key, queue);
        out.push(("messaging.destination.name", text(name)));
        out.push(("messaging.destination.template", text(template.to_owned())));
        if anonymous {
            out.push(("messaging.destination.anonymous", Value::Flag(true)));
        }
        if !self.key.is_empty() {
            out.push(("messaging.rabbitmq.destination.routing_key", text(self.key.to_string())));
        }
        Some(template.to_owned())
    }

    /// `error.type`, what else says how it ended, and the span's status.
    fn fail(&self, outcome: Outcome, out: &mut Vec<Attribute>) -> Option<Cow<'static, str>> {
        let word = match outcome {
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
        let settlement = self.settlement.map(|settlement| match settlement {
            Settlement::Ack => "ack",
            Settlement::Nack => "nack",
            Settlement::Reject => "reject",
            Settlement::Unsettled => "none",
        });
        if let Some(settlement) = settlement {
            out.push(("remora.messaging.settlement", Value::Text(settlement.into())));
        }
        if let Some(reply) = &self.reply {
            out.push(("remora.amqp.reply_code", Value::Integer(reply.code.into())));
        }
        // 200 is success: a connection or channel that was closed in good order.
        let reply = self.reply.as_ref().filter(|reply| reply.code != 200);
        let (error, message) = match (reply, self.settlement) {
            (Some(reply), _) => (error_type(reply.code), Cow::Owned(reply.text.to_string())),
            (None, Some(Settlement::Nack)) => (Cow::Borrowed("nack"), Cow::Borrowed("")),
            (None, Some(Settlement::Reject)) => (Cow::Borrowed("reject"), Cow::Borrowed("")),
            (None, _) => (Cow::Borrowed(outcome.error_type()?), Cow::Borrowed("")),
        };
        out.push(("error.type", Value::Text(error)));
        Some(message)
    }
}

/// The specification's constants (1.2).
fn error_type(code: u16) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        311 => "content-too-large",
        312 => "no-route",
        313 => "no-consumers",
        320 => "connection-forced",
        402 => "invalid-path",
        403 => "access-refused",
        404 => "not-found",
        405 => "resource-locked",
        406 => "precondition-failed",
        501 => "frame-error",
        502 => "syntax-error",
        503 => "command-invalid",
        504 => "channel-error",
        505 => "unexpected-frame",
        506 => "resource-error",
        530 => "not-allowed",
        540 => "not-implemented",
        541 => "internal-error",
        other => return Cow::Owned(other.to_string()),
    })
}

fn text(text: String) -> Value {
    Value::Text(Cow::Owned(text))
}

impl Detail for AmqpDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out: Vec<Attribute> = Vec::with_capacity(20);
        out.push(("messaging.system", Value::Text("rabbitmq".into())));
        out.push(("messaging.operation.name", Value::Text(self.method.name.into())));
        if let Some(kind) = self.operation_type() {
            out.push(("messaging.operation.type", Value::Text(kind.into())));
        }
        let destination = self.destination(&mut out);
        if let Some(tag) = self.tag.and_then(|tag| i64::try_from(tag).ok()) {
            out.push(("messaging.rabbitmq.message.delivery_tag", Value::Integer(tag)));
        }
        if let Some(body) = self.body {
            out.push(("messaging.message.body.size", Value::Integer(body.try_into().unwrap_or(i64::MAX))));
        }
        for (key, id) in [
            ("messaging.message.id", &self.message),
            ("messaging.message.conversation_id", &self.correlation),
        ] {
            if let Some(id) = id {
                out.push((key, text(id.to_string())));
            }
        }
        if self.redelivered {
            out.push(("remora.messaging.redelivered", Value::Flag(true)));
        }
        if self.empty {
            out.push(("messaging.batch.message_count", Value::Integer(0)));
        }
        scene.addresses(&mut out);
        out.push(("network.protocol.name", Value::Text("amqp".into())));
        out.push(("network.protocol.version", Value::Text("0-9-1".into())));
        let error = self.fail(exchange.outcome, &mut out);
        let mut name = self.method.name.to_owned();
        if let Some(destination) = destination {
            name.push(' ');
            name.push_str(&destination);
        }
        Description {
            name,
            attributes: out,
            error,
            parent: self.parent.clone(),
            kind: self.kind(scene.role),
            instruments: self.instruments(),
            ..Description::default()
        }
    }
}
