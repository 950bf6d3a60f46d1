//! What is kept of an exchange, and how it reads in OpenTelemetry's words (semantic conventions for messaging).
//!
//! The conventions have no names for MQTT; ours are the packets', and for what a client gets `receive` (quality of service
//! 0, for as long as it took to pass) or `process` (until the client acknowledged it). On the broker's end the same
//! exchanges are of the kind `SERVER`.

use std::borrow::Cow;
use std::sync::Arc;

use crate::protocol::instruments::messaging::{OTHERS, PROCESSES, RECEIVES, SENDS};
use crate::protocol::{
    Attribute, Description, Detail, Exchange, Kind, Outcome, Role, Scene, TraceParent, Value,
};

/// Which version a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Unknown,
    /// 3.1 or 3.1.1
    Three,
    Five,
}

/// What an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Connect,
    Disconnect,
    /// The client's message.
    Publish,
    /// The server's message.
    Deliver,
    Subscribe,
    Unsubscribe,
}

/// A message, or a request and its answer.
#[derive(Debug)]
pub(super) struct MqttDetail {
    pub operation: Operation,
    pub version: Version,
    pub client: Option<Arc<str>>,
    /// A topic or a filter.
    pub topic: Option<Arc<str>>,
    /// What of it goes into the span's name, if it is not it.
    pub template: Option<Arc<str>>,
    pub quality: u8,
    pub retained: bool,
    /// Times that the message was sent again.
    pub again: u32,
    /// Filters of a subscription.
    pub filters: usize,
    /// Bytes of the payload.
    pub body: Option<u64>,
    pub parent: Option<TraceParent>,
    pub error: Option<Cow<'static, str>>,
    /// The reason code, if it is an error.
    pub reason: u8,
    pub text: Option<Box<str>>,
}

impl MqttDetail {
    pub fn new(operation: Operation, version: Version, client: Option<Arc<str>>) -> Self {
        Self {
            operation,
            version,
            client,
            topic: None,
            template: None,
            quality: 0,
            retained: false,
            again: 0,
            filters: 0,
            body: None,
            parent: None,
            error: None,
            reason: 0,
            text: None,
        }
    }

    fn names(&self) -> (&'static str, Option<&'static str>) {
        match self.operation {
            Operation::Connect => ("connect", None),
            Operation::Disconnect => ("disconnect", None),
            Operation::Publish => ("publish", Some("send")),
            Operation::Deliver if self.quality == 0 => ("receive", Some("receive")),
            Operation::Deliver => ("process", Some("process")),
            Operation::Subscribe => ("subscribe", None),
            Operation::Unsubscribe => ("unsubscribe", None),
        }
    }

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
        let error = self.error.clone().or(outcome.error_type().map(Cow::Borrowed))?;
        if self.error.is_some() {
            out.push(("remora.mqtt.reason_code", Value::Integer(self.reason.into())));
        }
        out.push(("error.type", Value::Text(error)));
        Some(self.text.as_deref().map_or(Cow::Borrowed(""), |text| Cow::Owned(text.to_owned())))
    }
}

impl Detail for MqttDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let (operation, kind) = self.names();
        let mut out: Vec<Attribute> = Vec::with_capacity(20);
        out.push(("messaging.system", Value::Text("mqtt".into())));
        out.push(("messaging.operation.name", Value::Text(operation.into())));
        if let Some(kind) = kind {
            out.push(("messaging.operation.type", Value::Text(kind.into())));
        }
        let mut name = operation.to_owned();
        if let Some(topic) = &self.topic {
            let template = self.template.as_deref().unwrap_or(topic);
            out.push(("messaging.destination.name", Value::Text(topic.to_string().into())));
            out.push(("messaging.destination.template", Value::Text(template.to_owned().into())));
            name.push(' ');
            name.push_str(template);
        }
        if let Some(client) = self.client.as_deref().filter(|client| !client.is_empty()) {
            out.push(("messaging.client.id", Value::Text(client.to_owned().into())));
        }
        if let Some(body) = self.body {
            out.push(("messaging.message.body.size", Value::Integer(body.try_into().unwrap_or(i64::MAX))));
        }
        let message = matches!(self.operation, Operation::Publish | Operation::Deliver);
        if message {
            out.push(("remora.mqtt.qos", Value::Integer(self.quality.into())));
            if self.retained {
                out.push(("remora.mqtt.retained", Value::Flag(true)));
            }
            if self.again > 0 {
                out.push(("remora.mqtt.resends", Value::Integer(self.again.into())));
            }
        }
        if self.filters > 1 {
            out.push(("remora.mqtt.filters", Value::Integer(self.filters.try_into().unwrap_or(i64::MAX))));
        }
        scene.addresses(&mut out);
        out.push(("network.protocol.name", Value::Text("mqtt".into())));
        match self.version {
            Version::Unknown => {}
            Version::Three => out.push(("network.protocol.version", Value::Text("3.1.1".into()))),
            Version::Five => out.push(("network.protocol.version", Value::Text("5".into()))),
        }
        let error = self.fail(exchange.outcome, &mut out);
        Description {
            name,
            attributes: out,
            error,
            parent: self.parent.clone(),
            kind: match (scene.role, self.operation) {
                (Role::Client, Operation::Publish) => Kind::Producer,
                (Role::Client, Operation::Deliver) => Kind::Consumer,
                _ => Kind::ByRole,
            },
            instruments: match kind {
                Some("send") => SENDS,
                Some("process") => PROCESSES,
                Some(_) => RECEIVES,
                None => OTHERS,
            },
            ..Description::default()
        }
    }
}
