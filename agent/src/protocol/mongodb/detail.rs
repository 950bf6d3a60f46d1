//! What is kept of an exchange, and how it reads in OpenTelemetry's words.
//!
//! By the semantic conventions for MongoDB: `db.response.status_code` is the error's number, `error.type` its name where
//! the server says it. A greeting (`hello`, and `isMaster` of old) is told but not counted by the metrics: drivers let the
//! server hold it back until something changes.

use std::borrow::Cow;

use super::reply::Reply;
use super::request::Request;
use crate::protocol::instruments::database;
use crate::protocol::{Description, Detail, Exchange, Instrument, Scene, Value};

/// A request and, later, its reply.
#[derive(Debug)]
pub(super) struct MongoDetail {
    /// What was asked for.
    pub request: Request,
    /// What the reply said; of several replies, the last.
    pub reply: Reply,
    /// The requests' order on the connection.
    pub order: u64,
}

impl MongoDetail {
    pub fn new(request: Request, order: u64) -> Self {
        Self { request, reply: Reply::default(), order }
    }

    /// Takes over what a reply says; the batches of several add up.
    pub fn answered(&mut self, reply: Reply) {
        let before = self.reply.rows;
        self.reply = reply;
        if let Some(before) = before {
            self.reply.rows = self.reply.rows.map(|rows| rows.saturating_add(before));
        }
    }

    /// It asks who the server is, and perhaps to be told when that changes.
    pub fn is_greeting(&self) -> bool {
        matches!(self.request.operation.as_deref(), Some("hello" | "isMaster" | "ismaster"))
    }

    /// Documents, updates or deletes, if there are several.
    fn batch_size(&self) -> Option<i64> {
        let inserted = || {
            let whole = self.request.operation.as_deref() == Some("insert") && self.reply.code.is_none();
            self.reply.written.filter(|_| whole)
        };
        self.request.batch.map(i64::from).or_else(inserted).filter(|&many| many > 1)
    }
}

impl Detail for MongoDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let (request, reply) = (&self.request, &self.reply);
        let mut out = Vec::with_capacity(16);
        out.push(("db.system.name", Value::Text("mongodb".into())));
        for (key, text) in [
            ("db.operation.name", &request.operation),
            ("db.collection.name", &request.collection),
            ("db.namespace", &request.namespace),
            ("db.query.text", &request.text),
        ] {
            if let Some(text) = text {
                out.push((key, Value::Text(text.to_string().into())));
            }
        }
        if let Some(many) = self.batch_size() {
            out.push(("db.operation.batch.size", Value::Integer(many)));
        }
        if let Some(rows) = reply.rows {
            out.push(("db.response.returned_rows", Value::Integer(i64::try_from(rows).unwrap_or(i64::MAX))));
        }
        if let Some(compressor) = request.compressor {
            out.push(("remora.unreadable", Value::Text("compressed".into())));
            out.push(("remora.mongodb.compressor", Value::Text(compressor.into())));
        }
        scene.addresses(&mut out);
        let failed = reply.ok == Some(false) || reply.code.is_some();
        let failure = failed.then(|| match (&reply.code_name, reply.code) {
            (Some(name), _) => Cow::Owned(name.to_string()),
            (None, Some(code)) => Cow::Owned(code.to_string()),
            (None, None) => Cow::Borrowed("_OTHER"),
        });
        if let Some(code) = reply.code {
            out.push(("db.response.status_code", Value::Text(code.to_string().into())));
        }
        let error = exchange.outcome.describe(failure, &mut out);
        let name = match (&request.operation, request.collection.as_ref().or(request.namespace.as_ref())) {
            (Some(operation), Some(target)) => format!("{operation} {target}"),
            (Some(operation), None) => operation.to_string(),
            (None, _) => "mongodb".to_owned(),
        };
        let instruments: &'static [&'static Instrument] =
            if self.is_greeting() { &[] } else { database::STATEMENTS };
        Description { name, attributes: out, error, instruments, ..Description::default() }
    }
}
