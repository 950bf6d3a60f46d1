//! What is kept of a command, and how it reads in OpenTelemetry's words.
//!
//! There are no conventions for memcached beyond those for databases. Keys and values are never told. A miss is no
//! error, nor is a condition that did not hold (`NOT_STORED`, `EXISTS`): `remora.memcached.result` tells them.

use std::borrow::Cow;

use crate::protocol::{
    Attribute, Description, Detail, Exchange, Instrument, Outcome, Reading, Role, Scene, Statements, Value,
};

use super::text::{Answer, Mark};

/// Arguments that `db.query.text` shows.
const MOST_ARGUMENTS: u32 = 16;

const KEYS: &[&str] = &[
    "db.system.name",
    "db.operation.name",
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

static COMMANDS: &[&Instrument] = &[&CLIENT_DURATION, &SERVER_DURATION];

/// How a command finds its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Text { answer: Answer, mark: Option<Mark> },
    Binary { code: u8, opaque: u32 },
}

/// A command and, later, its response.
#[derive(Debug)]
pub(super) struct MemcachedDetail {
    pub operation: &'static str,
    pub expect: Expect,
    /// Words behind the operation; 0 in the binary protocol.
    pub arguments: u32,
    pub statements: Statements,
    /// Keys that it asked for.
    pub keys: u32,
    /// Values that came; `None` if that is not known.
    pub hits: Option<u32>,
    /// Only what is out of the ordinary answers it.
    pub quiet: bool,
    /// Nothing answers it.
    pub silent: bool,
    /// What the response said.
    pub result: Option<&'static str>,
    /// An error that the server signalled.
    pub error: Option<&'static str>,
}

impl MemcachedDetail {
    fn is_binary(&self) -> bool {
        matches!(self.expect, Expect::Binary { .. })
    }

    /// `db.query.text`
    fn text(&self) -> Option<String> {
        if self.statements == Statements::Off || self.is_binary() {
            return None;
        }
        let shown = self.arguments.min(MOST_ARGUMENTS);
        let mut text = String::with_capacity(self.operation.len() + 2 * shown as usize + 4);
        text.push_str(self.operation);
        for _ in 0..shown {
            text.push_str(" ?");
        }
        if shown < self.arguments {
            text.push_str(" …");
        }
        Some(text)
    }
}

impl Detail for MemcachedDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out: Vec<Attribute> = Vec::with_capacity(16);
        let mut word = |key, word: &'static str| out.push((key, Value::Text(Cow::Borrowed(word))));
        word("db.system.name", "memcached");
        word("db.operation.name", self.operation);
        word("remora.memcached.protocol", if self.is_binary() { "binary" } else { "text" });
        if let Some(result) = self.result {
            word("remora.memcached.result", result);
        }
        if let Some(text) = self.text() {
            out.push(("db.query.text", Value::Text(text.into())));
        }
        if let Some(hits) = self.hits.filter(|_| self.keys > 0) {
            out.push(("remora.memcached.hits", Value::Integer(hits.into())));
            out.push(("remora.memcached.misses", Value::Integer(self.keys.saturating_sub(hits).into())));
        }
        if self.silent {
            out.push(("remora.memcached.no_reply", Value::Flag(true)));
        }
        scene.addresses(&mut out);
        let error = fail(self.error, exchange.outcome, &mut out);
        Description {
            name: self.operation.to_owned(),
            attributes: out,
            error,
            instruments: COMMANDS,
            ..Description::default()
        }
    }
}

/// `db.response.status_code`, `error.type`, `remora.outcome`, and the span's status.
fn fail(
    error: Option<&'static str>,
    outcome: Outcome,
    out: &mut Vec<Attribute>,
) -> Option<Cow<'static, str>> {
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
        (Some(code), _) => {
            out.push(("db.response.status_code", Value::Text(Cow::Borrowed(code))));
            out.push(("error.type", Value::Text(Cow::Borrowed(code))));
            Some(Cow::Borrowed(""))
        }
        (None, Some(kind)) => {
            out.push(("error.type", Value::Text(Cow::Borrowed(kind))));
            Some(Cow::Borrowed("the connection ended before the response"))
        }
        (None, None) => None,
    }
}
