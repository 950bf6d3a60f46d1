//! What is kept of an exchange, and how it reads in OpenTelemetry's words.
//!
//! By the semantic conventions for Cassandra: `db.response.status_code` is the error's number, `error.type` its name. What
//! only opens or watches over a connection (STARTUP, OPTIONS, REGISTER, AUTH_RESPONSE) is told by that name, and not counted
//! by the metrics of operations.

use std::borrow::Cow;
use std::sync::Arc;

use super::envelope::OpCode;
use super::request::Request;
use super::response::{Response, error_name};
use crate::protocol::instruments::database;
use crate::protocol::{Description, Detail, Exchange, Instrument, Scene, Value};

/// A request and, later, its response.
#[derive(Debug)]
pub(super) struct CqlDetail {
    pub request: Request,
    /// The connection's keyspace when it was asked.
    pub keyspace: Option<Arc<str>>,
    /// The requests' order on the connection.
    pub order: u64,
    error: Option<i32>,
    rows: Option<i32>,
    table: Option<(Arc<str>, Arc<str>)>,
}

impl CqlDetail {
    pub fn new(request: Request, keyspace: Option<Arc<str>>, order: u64) -> Self {
        Self { request, keyspace, order, error: None, rows: None, table: None }
    }

    /// Takes over what a response says.
    pub fn answered(&mut self, response: &mut Response<'_>) {
        self.error = response.error;
        self.rows = response.rows;
        // The names in the result help only where the statement is not known.
        self.table = response.table.take().filter(|_| self.request.statement.is_none());
    }
}

impl Detail for CqlDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let request = &self.request;
        let statement = request.statement.as_deref();
        let mut out = Vec::with_capacity(20);
        let mut text = |key: &'static str, text: Option<&str>| {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                out.push((key, Value::Text(Cow::Owned(text.to_owned()))));
            }
        };
        text("db.system.name", Some("cassandra"));
        let code = request.code.name();
        let operation = match statement {
            Some(statement) if request.code != OpCode::Prepare && !statement.operation.is_empty() => {
                &*statement.operation
            }
            _ => code,
        };
        text("db.operation.name", Some(operation));
        let summary = statement.map(|statement| &*statement.summary).filter(|summary| !summary.is_empty());
        let table = self.table.as_ref();
        let collection = statement.and_then(|statement| statement.collection.as_deref());
        let collection = collection.or(table.map(|(_, table)| &**table));
        let keyspace =
            request.keyspace.as_ref().or(self.keyspace.as_ref()).or(table.map(|(keyspace, _)| keyspace));
        text("db.collection.name", collection);
        text("db.namespace", keyspace.map(|name| &**name));
        text("db.query.text", statement.and_then(|statement| statement.text.as_deref()));
        text("db.query.summary", summary);
        text("cassandra.consistency.level", request.consistency.and_then(consistency));
        let mut number = |key: &'static str, number: Option<i64>| {
            if let Some(number) = number {
                out.push((key, Value::Integer(number)));
            }
        };
        number("db.operation.batch.size", request.batch.map(i64::from).filter(|&many| many > 1));
        number("cassandra.page.size", request.page_size.map(i64::from));
        number("db.response.returned_rows", self.rows.map(i64::from));
        if request.unreadable {
            out.push(("remora.unreadable", Value::Text("compressed".into())));
        }
        scene.addresses(&mut out);
        if let Some(error) = self.error.filter(|&error| error >= 0) {
            out.push(("db.response.status_code", Value::Text(error.to_string().into())));
        }
        let failure = self.error.map(|error| Cow::Borrowed(error_name(error).unwrap_or("_OTHER")));
        let error = exchange.outcome.describe(failure, &mut out);
        let name = match (request.code, summary, collection) {
            (OpCode::Prepare, ..) => code.to_owned(),
            (_, Some(summary), _) => summary.to_owned(),
            (_, None, Some(collection)) => format!("{operation} {collection}"),
            (_, None, None) => operation.to_owned(),
        };
        let instruments: &'static [&'static Instrument] =
            if request.code.is_statement() { database::STATEMENTS } else { &[] };
        let parent = statement.and_then(|statement| statement.parent.clone());
        Description { name, attributes: out, error, parent, instruments, ..Description::default() }
    }
}

/// As the conventions spell it.
fn consistency(level: u16) -> Option<&'static str> {
    const NAMES: [&str; 11] = [
        "any",
        "one",
        "two",
        "three",
        "quorum",
        "all",
        "local_quorum",
        "each_quorum",
        "serial",
        "local_serial",
        "local_one",
    ];
    NAMES.get(usize::from(level)).copied()
}
