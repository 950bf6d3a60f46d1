//! What is kept of an exchange, and how it reads in OpenTelemetry's words.
//!
//! There is no convention for ZooKeeper; it is told as a database (`db.system.name` is `zookeeper`), whose collections are
//! places in the tree of nodes: a path with `*` for what varies. That `exists` finds nothing is an answer, no error.

use std::borrow::Cow;

use super::error;
use super::operation::{EXISTS, Operation, PING};
use crate::protocol::{
    Attribute, Description, Detail, Exchange, Instrument, Kind, Outcome, Reading, Role, Scene, Signals, Value,
};

const KEYS: &[&str] = &[
    "db.system.name",
    "db.operation.name",
    "db.collection.name",
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

static EVENTS: Instrument = Instrument {
    name: "remora.zookeeper.events",
    unit: "{event}",
    description: "Number of watch events",
    role: None,
    reading: Reading::One,
    keys: &["db.collection.name", "remora.zookeeper.event", "server.address", "server.port"],
};

static ASKED: &[&Instrument] = &[&CLIENT_DURATION, &SERVER_DURATION];
static NOTIFIED: &[&Instrument] = &[&EVENTS];

/// What happened to a node (`Watcher.Event.EventType`).
fn event(code: i32) -> &'static str {
    match code {
        -1 => "None",
        1 => "NodeCreated",
        2 => "NodeDeleted",
        3 => "NodeDataChanged",
        4 => "NodeChildrenChanged",
        5 => "DataWatchRemoved",
        6 => "ChildWatchRemoved",
        7 => "PersistentWatchRemoved",
        _ => "unknown",
    }
}

/// What an exchange is, apart from an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// An operation.
    #[default]
    Operation,
    /// A watch was triggered; with the event's type.
    Event(i32),
    /// A four-letter word.
    Word(&'static str),
}

/// A request and, later, its response.
#[derive(Debug)]
pub(super) struct Zk {
    pub operation: &'static Operation,
    pub sort: Sort,
    pub xid: i32,
    pub path: Option<Box<str>>,
    /// Operations in a multi.
    pub operations: Option<u64>,
    /// The transaction that the response is of.
    pub zxid: Option<i64>,
    /// Not 0.
    pub error: Option<i32>,
    /// Session of a connect.
    pub session: Option<i64>,
}

impl Zk {
    pub fn new(operation: &'static Operation, xid: i32) -> Self {
        Self {
            operation,
            sort: Sort::Operation,
            xid,
            path: None,
            operations: None,
            zxid: None,
            error: None,
            session: None,
        }
    }

    fn name(&self) -> &'static str {
        match self.sort {
            Sort::Operation => self.operation.name,
            Sort::Event(_) => "watch",
            Sort::Word(word) => word,
        }
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
            let name = error::name(code);
            out.push(("db.response.status_code", Value::Text(name.clone())));
            if self.operation.code == EXISTS && code == error::NO_NODE {
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

impl Detail for Zk {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out: Vec<Attribute> = Vec::with_capacity(14);
        let mut put = |key, value| out.push((key, value));
        let name = self.name();
        put("db.system.name", Value::Text("zookeeper".into()));
        put("db.operation.name", Value::Text(name.into()));
        if let Some(path) = &self.path {
            put("db.collection.name", Value::Text(path.to_string().into()));
        }
        if let Some(operations) = self.operations {
            put("db.operation.batch.size", Value::Integer(i64::try_from(operations).unwrap_or(i64::MAX)));
        }
        if let Sort::Event(code) = self.sort {
            put("remora.zookeeper.event", Value::Text(event(code).into()));
        }
        if let Some(session) = self.session {
            put("remora.zookeeper.session", Value::Text(format!("{session:#x}").into()));
        }
        if let Some(zxid) = self.zxid {
            put("remora.zookeeper.zxid", Value::Integer(zxid));
        }
        scene.addresses(&mut out);
        let error = self.fail(exchange.outcome, &mut out);
        let ping = self.operation.code == PING && self.sort == Sort::Operation;
        Description {
            name: match (&self.path, self.sort) {
                (_, Sort::Event(code)) => format!("{name} {}", event(code)),
                (Some(path), _) => format!("{name} {path}"),
                (None, _) => name.to_owned(),
            },
            attributes: out,
            kind: match (self.sort, scene.role) {
                (Sort::Event(_), Role::Client) => Kind::Consumer,
                (Sort::Event(_), Role::Server) => Kind::Producer,
                _ => Kind::ByRole,
            },
            instruments: match self.sort {
                Sort::Event(_) => NOTIFIED,
                _ => ASKED,
            },
            // A session's sign of life is nobody's work.
            signals: if ping && error.is_none() { Signals::Metrics } else { Signals::SpanAndMetrics },
            error,
            ..Description::default()
        }
    }
}
