//! From exchanges to spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use remora_exporters::{Exporter, Resource, SpanRecord};
use rustc_hash::FxHashMap;

use super::Ids;
use super::otlp::{self, pair};
use crate::identity::{Identity, Store};
use crate::protocol::{Description, Kind, Role, Scene, Signals, Unit, Value};
use crate::stream::{Sink, Told};

/// Spans that are handed over at once at most.
const BATCH: usize = 512;
/// Processes whose resource is kept at hand.
const MOST_RESOURCES: usize = 4096;

/// Makes spans of a shard's exchanges and hands them to the exporter.
pub struct Spans {
    exporter: Exporter,
    store: Arc<Store>,
    ids: Ids,
    /// Wall clock minus `CLOCK_MONOTONIC`, nanoseconds.
    clock_offset: Arc<AtomicI64>,
    resources: FxHashMap<u32, (Arc<Identity>, Arc<Resource>)>,
    batch: Vec<SpanRecord>,
}

impl Spans {
    /// Spans of the processes in `store`, for `exporter`.
    #[must_use]
    pub fn new(exporter: Exporter, store: Arc<Store>, ids: Ids, clock_offset: Arc<AtomicI64>) -> Self {
        Self { exporter, store, ids, clock_offset, resources: FxHashMap::default(), batch: Vec::new() }
    }

    /// The resource of a process as it was at `time`.
    fn resource(&mut self, process: u32, time: u64) -> Arc<Resource> {
        let identity = self.store.identity_at(process, time);
        if let Some((known, resource)) = self.resources.get(&process)
            && Arc::ptr_eq(known, &identity)
        {
            return Arc::clone(resource);
        }
        if self.resources.len() >= MOST_RESOURCES {
            self.resources.clear();
        }
        let resource = otlp::resource(&identity);
        self.resources.insert(process, (identity, Arc::clone(&resource)));
        resource
    }

    fn wall(&self, time: u64) -> u64 {
        time.saturating_add_signed(self.clock_offset.load(Relaxed))
    }
}

impl Sink for Spans {
    fn tell(&mut self, told: Told<'_>) {
        let Told { exchange, connection, number } = told;
        let role = connection.role.unwrap_or(Role::Client);
        let scene = Scene { role, local: &connection.local, remote: &connection.remote };
        let description = exchange.detail.describe(&exchange, &scene);
        if description.signals == Signals::Metrics {
            return;
        }
        let Description { name, attributes, error, parent, kind, instruments: _, signals: _ } = description;

        let mut pairs = Vec::with_capacity(attributes.len() + 3);
        pairs.extend(attributes.into_iter().map(|(key, value)| pair(key, value)));
        unit(exchange.start.unit, &mut pairs);
        let (trace_id, parent_span_id, flags, trace_state) = match parent {
            Some(parent) => {
                pairs.push(pair("remora.link.evidence", Value::Text("header".into())));
                (
                    parent.trace.to_vec(),
                    parent.span.to_vec(),
                    u32::from(parent.flags),
                    parent.state.map(String::from).unwrap_or_default(),
                )
            }
            None => (self.ids.trace(connection.id, number).to_vec(), Vec::new(), 1, String::new()),
        };
        let span = Span {
            trace_id,
            span_id: self.ids.span(connection.id, number).to_vec(),
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
        let resource = self.resource(exchange.start.unit.process, exchange.start.time);
        self.batch.push(SpanRecord { resource, span });
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.exporter.spans(std::mem::take(&mut self.batch));
        }
    }
}

/// Who executed it.
fn unit(unit: Unit, pairs: &mut Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) {
    pairs.push(pair("thread.id", Value::Integer(unit.thread.into())));
    if unit.goroutine != 0 {
        pairs.push(pair("remora.goroutine", Value::Integer(unit.goroutine.cast_signed())));
    }
}
