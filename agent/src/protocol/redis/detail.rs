//! What is kept of a command or a pushed message, and how it reads in OpenTelemetry's words.
//!
//! Attributes by the semantic conventions for Redis. Where they leave room:
//!
//! - The span's name and `db.operation.name` are in upper case, however the client spelt the command.
//! - Commands sent together (a pipeline) and the commands of a transaction each have a span; `EXEC` tells
//!   `db.operation.batch.size`.
//! - An error that a queued command met is told on `EXEC`, which brings the replies.
//! - `error.type` is the error's prefix; the rest of an error can hold arguments and is not told.

use std::borrow::Cow;

use crate::protocol::{
    Attribute, Description, Detail, Exchange, Instrument, Kind, Outcome, Reading, Role, Scene, Statements,
    Value,
};

use super::commands::Command;
use super::request::Request;

/// Arguments that `db.query.text` shows.
const MOST_ARGUMENTS: u32 = 16;

const KEYS: &[&str] = &[
    "db.system.name",
    "db.operation.name",
    "db.namespace",
    "db.response.status_code",
    "error.type",
    "server.address",
    "server.port",
];

static CLIENT_DURATION: Instrument = Instrument {
    name: "db.client.operation.duration",
    unit: "s",
    description: "Duration of database client operations",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

static SERVER_DURATION: Instrument = Instrument {
    name: "remora.db.server.operation.duration",
    unit: "s",
    description: "Duration of operations as the database server saw them",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: KEYS,
};

static CONSUMED: Instrument = Instrument {
    name: "messaging.client.consumed.messages",
    unit: "{message}",
    description: "Number of messages that were delivered to the application",
    role: Some(Role::Client),
    reading: Reading::One,
    keys: &["messaging.system", "messaging.operation.name", "server.address", "server.port"],
};

static COMMANDS: &[&Instrument] = &[&CLIENT_DURATION, &SERVER_DURATION];
static MESSAGES: &[&Instrument] = &[&CONSUMED];

/// A command and, later, its reply.
#[derive(Debug)]
pub(super) struct RedisDetail {
    pub command: Option<&'static Command>,
    operation: Cow<'static, str>,
    arguments: u32,
    /// What its first argument says, where that has a meaning of its own.
    pub word: Option<Box<str>>,
    text: Option<Box<str>>,
    statements: Statements,
    /// Confirmations that are to come, of a SUBSCRIBE or UNSUBSCRIBE.
    pub confirmations: u32,
    /// The database that it worked on.
    pub namespace: Option<u32>,
    pub queued: bool,
    /// The client had said that it wants no reply.
    pub silent: bool,
    /// A transaction that did not run because a watched key had changed.
    pub aborted: bool,
    /// Commands of a transaction.
    pub batch: Option<u64>,
    /// The error's prefix; empty if it has none.
    pub error: Option<Box<str>>,
    pub unknown_command: bool,
}

impl RedisDetail {
    pub fn new(request: Request, statements: Statements) -> Self {
        Self {
            command: request.command,
            operation: request.operation,
            arguments: request.arguments,
            word: request.word,
            text: request.text,
            statements,
            confirmations: 0,
            namespace: None,
            queued: false,
            silent: false,
            aborted: false,
            batch: None,
            error: None,
            unknown_command: false,
        }
    }

    /// As the client named it.
    pub fn operation_name(&self) -> &str {
        &self.operation
    }

    /// Words behind the operation's.
    pub fn arguments(&self) -> u32 {
        self.arguments
    }

    /// The operation; what the server does not know has no name, since there is no end of such names.
    fn operation(&self) -> Cow<'static, str> {
        match (self.unknown_command, self.command) {
            (false, _) => self.operation.clone(),
            (true, Some(command)) => Cow::Borrowed(command.name),
            (true, None) => Cow::Borrowed("_OTHER"),
        }
    }

    /// `db.query.text`
    fn text(&self, operation: &str) -> Option<String> {
        match (self.statements, &self.text) {
            (Statements::Off, _) => None,
            (_, Some(text)) => Some(text.to_string()),
            (_, None) => {
                let shown = self.arguments.min(MOST_ARGUMENTS);
                let mut text = String::with_capacity(operation.len() + 2 * shown as usize + 4);
                text.push_str(operation);
                for _ in 0..shown {
                    text.push_str(" ?");
                }
                if shown < self.arguments {
                    text.push_str(" …");
                }
                Some(text)
            }
        }
    }
}

impl Detail for RedisDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let operation = self.operation();
        let mut out: Vec<Attribute> = Vec::with_capacity(16);
        out.push(("db.system.name", Value::Text(Cow::Borrowed("redis"))));
        out.push(("db.operation.name", Value::Text(operation.clone())));
        if let Some(text) = self.text(&operation) {
            out.push(("db.query.text", Value::Text(text.into())));
        }
        if let Some(namespace) = self.namespace {
            let text = if namespace == 0 { Cow::Borrowed("0") } else { namespace.to_string().into() };
            out.push(("db.namespace", Value::Text(text)));
        }
        if let (Some(command), Some(word)) = (self.command, &self.word)
            && command.role == super::commands::Role::Procedure
        {
            out.push(("db.stored_procedure.name", Value::Text(word.to_string().into())));
        }
        // One operation is no batch.
        if let Some(batch) = self.batch.filter(|&batch| batch != 1) {
            out.push(("db.operation.batch.size", Value::Integer(batch.cast_signed())));
        }
        for (key, flag) in [
            ("remora.redis.queued", self.queued),
            ("remora.redis.aborted", self.aborted),
            ("remora.redis.no_reply", self.silent),
        ] {
            if flag {
                out.push((key, Value::Flag(true)));
            }
        }
        scene.addresses(&mut out);
        let error = fail(self.error.as_deref(), exchange.outcome, &mut out);
        Description {
            name: operation.into_owned(),
            attributes: out,
            error,
            instruments: COMMANDS,
            ..Description::default()
        }
    }
}

/// `db.response.status_code`, `error.type`, `remora.outcome`, and the span's status.
fn fail(error: Option<&str>, outcome: Outcome, out: &mut Vec<Attribute>) -> Option<Cow<'static, str>> {
    let word = match outcome {
        Outcome::Complete => None,
        Outcome::ConnectionClosed(_) => Some("connection_closed"),
        Outcome::ProcessGone => Some("process_gone"),
        Outcome::ResponseLost => Some("response_lost"),
        Outcome::Unfinished => Some("unfinished"),
        Outcome::TimedOut => Some("timed_out"),
    };
    if let Some(word) = word {
        out.push(("remora.outcome", Value::Text(Cow::Borrowed(word))));
    }
    match (error, outcome.error_type()) {
        (Some(""), _) => {
            out.push(("error.type", Value::Text(Cow::Borrowed("_OTHER"))));
            Some(Cow::Borrowed(""))
        }
        (Some(prefix), _) => {
            out.push(("db.response.status_code", Value::Text(prefix.to_owned().into())));
            out.push(("error.type", Value::Text(prefix.to_owned().into())));
            Some(Cow::Borrowed(""))
        }
        (None, Some(kind)) => {
            out.push(("error.type", Value::Text(Cow::Borrowed(kind))));
            Some(Cow::Borrowed("the connection ended before the reply"))
        }
        (None, None) => None,
    }
}

/// A message that the server pushed to a subscriber. Its channel is an argument of somebody's command, and as such not
/// told.
#[derive(Debug)]
pub(super) struct MessageDetail {
    /// Bytes of the push: kind, channel and message.
    pub length: u64,
}

impl Detail for MessageDetail {
    fn describe(&self, _: &Exchange, scene: &Scene<'_>) -> Description {
        let (kind, name) = match scene.role {
            Role::Client => (Kind::Consumer, "receive"),
            Role::Server => (Kind::ByRole, "deliver"),
        };
        let mut out: Vec<Attribute> = Vec::with_capacity(10);
        out.push(("messaging.system", Value::Text(Cow::Borrowed("redis"))));
        out.push(("messaging.operation.name", Value::Text(Cow::Borrowed(name))));
        if scene.role == Role::Client {
            out.push(("messaging.operation.type", Value::Text(Cow::Borrowed("receive"))));
        }
        let size = i64::try_from(self.length).unwrap_or(i64::MAX);
        out.push(("messaging.message.envelope.size", Value::Integer(size)));
        scene.addresses(&mut out);
        Description {
            name: name.to_owned(),
            attributes: out,
            kind,
            instruments: MESSAGES,
            ..Description::default()
        }
    }
}
