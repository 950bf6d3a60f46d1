//! From exchanges to spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use remora_exporters::{Exporter, Resource, SpanRecord};

use super::Ids;
use super::otlp::pair;
use crate::protocol::{Description, Exchange, Kind, Role, Unit, Value};

/// Spans that are handed over at once at most.
const BATCH: usize = 512;

/// An exchange that has described itself.
#[derive(Debug)]
pub struct Described<'a> {
    /// It.
    pub exchange: &'a Exchange,
    /// The end of the connection on which it was observed.
    pub role: Role,
    /// In OpenTelemetry's words.
    pub description: Description,
    /// Of the process that took part.
    pub resource: Arc<Resource>,
    /// Its identity.
    pub context: Context,
}

/// The identity of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its trace.
    pub trace: [u8; 16],
    /// Itself.
    pub span: [u8; 8],
}

/// Makes spans of a shard's exchanges and hands them to the exporter.
pub struct Spans {
    exporter: Exporter,
    ids: Ids,
    /// Wall clock minus `CLOCK_MONOTONIC`, nanoseconds.
    clock_offset: Arc<AtomicI64>,
    batch: Vec<SpanRecord>,
}

impl Spans {
    /// Spans for `exporter`.
    #[must_use]
    pub fn new(exporter: Exporter, ids: Ids, clock_offset: Arc<AtomicI64>) -> Self {
        Self { exporter, ids, clock_offset, batch: Vec::new() }
    }

    /// The identity of the span of a connection's exchange.
    #[must_use]
    pub fn context(&self, connection: u64, number: u64, description: &Description) -> Context {
        let parent = description.parent.as_ref();
        let trace = parent.map_or_else(|| self.ids.trace(connection, number), |parent| parent.trace);
        Context { trace, span: self.ids.span(connection, number) }
    }

    /// Makes the span.
    pub fn tell(&mut self, described: Described<'_>) {
        let Described { exchange, role, description, resource, context } = described;
        let Description { name, attributes, error, parent, kind, instruments: _, signals: _ } = description;

        let mut pairs = Vec::with_capacity(attributes.len() + 3);
        pairs.extend(attributes.into_iter().map(|(key, value)| pair(key, value)));
        unit(exchange.start.unit, &mut pairs);
        let (parent_span_id, flags, trace_state) = match parent {
            Some(parent) => {
                pairs.push(pair("remora.link.evidence", Value::Text("header".into())));
                (
                    parent.span.to_vec(),
                    u32::from(parent.flags),
                    parent.state.map(String::from).unwrap_or_default(),
                )
            }
            None => (Vec::new(), 1, String::new()),
        };
        let span = Span {
            trace_id: context.trace.to_vec(),
            span_id: context.span.to_vec(),
            parent_span_id,
            trace_state,
            flags,
            name,
            kind: match (kind, role) {
                (Kind::ByRole, Role::Client) => SpanKind::Client,
                (Kind::ByRole, Role::Server) => SpanKind::Server,
                (Kind::Producer, _) => SpanKind::Producer,
                (Kind::Consumer, _) => SpanKind::Consumer,
            } as i32,
            start_time_unix_nano: self.wall(exchange.start.time),
            end_time_unix_nano: self.wall(exchange.end.max(exchange.start.time)),
            attributes: pairs,
            status: Some(error.map_or_else(Status::default, |message| Status {
                message: message.into_owned(),
                code: StatusCode::Error as i32,
            })),
            ..Span::default()
        };
        self.batch.push(SpanRecord { resource, span });
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// All that has gathered goes on its way.
    pub fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.exporter.spans(std::mem::take(&mut self.batch));
        }
    }

    fn wall(&self, time: u64) -> u64 {
        time.saturating_add_signed(self.clock_offset.load(Relaxed))
    }
}

/// Who executed it.
fn unit(unit: Unit, pairs: &mut Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) {
    pairs.push(pair("thread.id", Value::Integer(unit.thread.into())));
    if unit.goroutine != 0 {
        pairs.push(pair("remora.goroutine", Value::Integer(unit.goroutine.cast_signed())));
    }
}
