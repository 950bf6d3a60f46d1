//! A statement's exchange in OpenTelemetry's words, the same for every database that speaks SQL.
//!
//! Attributes, names and status follow the semantic conventions for database client spans (stable). Where they leave room:
//!
//! - A server's span reads as a client's; its metric is `remora.db.server.operation.duration`.
//! - `db.operation.name` and `db.collection.name` come out of the text, as `db.query.summary` does; the collection is told
//!   only if it is the only one.
//! - What an error says is never told, as it may quote literals: `db.response.status_code` and `error.type` have its code.
//! - `remora.statement` is `unknown` where a statement was prepared before the agent came, so that its text is not known.

use std::borrow::Cow;
use std::sync::Arc;

use super::Statement;
use crate::protocol::instruments::database;
use crate::protocol::{Attribute, Description, Detail, Exchange, Outcome, Scene, TraceParent, Value};

/// What a database answered instead of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An error whose code was not captured.
    Unknown,
    /// SQLSTATE.
    State([u8; 5]),
    /// The database's own number, and SQLSTATE if it was told.
    Number(u16, Option<[u8; 5]>),
    /// It was not executed, because a statement before it had failed.
    Aborted,
}

/// A statement, or a command of the protocol, and what became of it.
#[derive(Debug, Default)]
pub struct SqlDetail {
    /// `db.system.name`
    pub system: &'static str,
    /// `db.namespace`
    pub namespace: Option<Arc<str>>,
    /// The statement; `None` if it is not known, or if there is none.
    pub statement: Option<Arc<Statement>>,
    /// The command of the protocol, of what is no statement.
    pub command: Option<&'static str>,
    /// Trace context that came with it.
    pub parent: Option<TraceParent>,
    /// Rows of its results.
    pub returned_rows: Option<u64>,
    /// Rows that it inserted, updated, deleted or copied.
    pub affected_rows: Option<u64>,
    /// It failed.
    pub failure: Option<Failure>,
    /// `remora.db.severity`, if it is not the usual one.
    pub severity: Option<&'static str>,
}

impl SqlDetail {
    /// Counts rows of a result.
    pub fn add_returned(&mut self, rows: u64) {
        self.returned_rows = Some(self.returned_rows.unwrap_or(0).saturating_add(rows));
    }

    /// Counts rows that were changed.
    pub fn add_affected(&mut self, rows: u64) {
        self.affected_rows = Some(self.affected_rows.unwrap_or(0).saturating_add(rows));
    }

    /// `error.type` and `db.response.status_code`.
    fn fail(&self, outcome: Outcome, out: &mut Vec<Attribute>) -> Option<Cow<'static, str>> {
        if let Some(word) = outcome_word(outcome) {
            out.push(("remora.outcome", Value::Text(Cow::Borrowed(word))));
        }
        let Some(failure) = self.failure else {
            let kind = outcome.error_type()?;
            out.push(("error.type", Value::Text(Cow::Borrowed(kind))));
            return Some(Cow::Borrowed(match outcome {
                Outcome::ProcessGone => "the process ended before the response was complete",
                _ => "the connection ended before the response was complete",
            }));
        };
        let state = |state: &[u8; 5]| String::from_utf8_lossy(state).into_owned();
        let code = match &failure {
            Failure::State(code) => Some(state(code)),
            Failure::Number(number, sqlstate) => {
                if let Some(sqlstate) = sqlstate {
                    out.push(("remora.db.sqlstate", Value::Text(state(sqlstate).into())));
                }
                Some(number.to_string())
            }
            Failure::Unknown | Failure::Aborted => None,
        };
        if let Some(severity) = self.severity {
            out.push(("remora.db.severity", Value::Text(Cow::Borrowed(severity))));
        }
        let kind = match code {
            Some(code) => {
                out.push(("db.response.status_code", Value::Text(code.clone().into())));
                Cow::Owned(code)
            }
            None if failure == Failure::Aborted => Cow::Borrowed("pipeline_aborted"),
            None => Cow::Borrowed("_OTHER"),
        };
        out.push(("error.type", Value::Text(kind)));
        // The code speaks for itself.
        Some(Cow::Borrowed(""))
    }
}

impl Detail for SqlDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out: Vec<Attribute> = Vec::with_capacity(16);
        out.push(("db.system.name", Value::Text(Cow::Borrowed(self.system))));
        scene.addresses(&mut out);
        if let Some(namespace) = &self.namespace {
            out.push(("db.namespace", Value::Text(namespace.to_string().into())));
        }
        let mut name = self.command.unwrap_or_default();
        if let Some(statement) = &self.statement {
            let texts = [
                ("db.operation.name", Some(&statement.operation)),
                ("db.query.summary", Some(&statement.summary)),
                ("db.collection.name", statement.collection.as_ref()),
                ("db.query.text", statement.text.as_ref()),
            ];
            for (key, text) in texts {
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    out.push((key, Value::Text(text.to_string().into())));
                }
            }
            name = &statement.summary;
        } else if let Some(command) = self.command {
            out.push(("db.operation.name", Value::Text(Cow::Borrowed(command))));
        } else {
            out.push(("remora.statement", Value::Text(Cow::Borrowed("unknown"))));
        }
        for (key, rows) in [
            ("db.response.returned_rows", self.returned_rows),
            ("remora.db.affected_rows", self.affected_rows),
        ] {
            if let Some(rows) = rows {
                out.push((key, Value::Integer(i64::try_from(rows).unwrap_or(i64::MAX))));
            }
        }
        if let Some(first) = exchange.first_byte {
            let seconds = first.saturating_sub(exchange.start.time) as f64 / 1e9;
            out.push(("remora.time_to_first_byte", Value::Float(seconds)));
        }
        let error = self.fail(exchange.outcome, &mut out);
        Description {
            name: if name.is_empty() { self.system } else { name }.to_owned(),
            attributes: out,
            error,
            parent: self.parent.clone(),
            instruments: database::STATEMENTS,
            ..Description::default()
        }
    }
}

fn outcome_word(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Complete => None,
        Outcome::ConnectionClosed(_) => Some("connection_closed"),
        Outcome::ProcessGone => Some("process_gone"),
        Outcome::ResponseLost => Some("response_lost"),
        Outcome::Unfinished => Some("unfinished"),
        Outcome::TimedOut => Some("timed_out"),
    }
}
