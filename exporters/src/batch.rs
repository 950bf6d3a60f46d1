//! Batches: records are encoded as they come, and a request is put together from the encoded pieces.
//!
//! A span is encoded once, into the bytes of its resource's group; what waits is therefore small, its size is known,
//! and a retry sends the same bytes again. Nothing is cloned, and the request's envelope (`ResourceSpans`,
//! `ScopeSpans`) is written around the groups when the batch is closed. The result is byte for byte what encoding
//! the whole `ExportTraceServiceRequest` would give.

use crate::resource::Resource;
use crate::signal::Signal;
use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::sync::Arc;

/// A span and who it belongs to.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    /// Who it belongs to: one shared object for all spans of a service.
    pub resource: Arc<Resource>,
    /// The span, as OTLP has it.
    pub span: Span,
}

/// The instrumentation scope all spans are exported under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The scope's name, such as `remora`.
    pub name: String,
    /// Its version, or empty.
    pub version: String,
    /// The schema the spans' attributes follow (a URL), or empty.
    pub schema_url: String,
}

/// What a queue carries.
pub(crate) trait Record: Send + 'static {
    /// The batch that gathers these records.
    type Batch: Gather<Record = Self>;

    /// How many spans or data points this is.
    fn items(&self) -> u64;

    /// Cuts what is too large for one request, where that can be done.
    fn split(chunk: Vec<Self>, _max_bytes: usize) -> Vec<Self>
    where
        Self: Sized,
    {
        chunk
    }
}

impl Record for SpanRecord {
    type Batch = SpanBatch;

    fn items(&self) -> u64 {
        1
    }
}

impl Record for ResourceMetrics {
    type Batch = MetricsBatch;

    fn split(chunk: Vec<Self>, max_bytes: usize) -> Vec<Self> {
        crate::split::split(chunk, max_bytes)
    }

    fn items(&self) -> u64 {
        let metrics = self.scope_metrics.iter().flat_map(|scope| &scope.metrics);
        let points = |data: &Data| match data {
            Data::Gauge(data) => data.data_points.len(),
            Data::Sum(data) => data.data_points.len(),
            Data::Histogram(data) => data.data_points.len(),
            Data::ExponentialHistogram(data) => data.data_points.len(),
            Data::Summary(data) => data.data_points.len(),
        };
        metrics.filter_map(|metric| metric.data.as_ref()).map(|data| points(data) as u64).sum()
    }
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    /// One JSON object.
    Json,
    /// One JSON object and a line feed.
    JsonLine,
}

/// A batch that is being filled.
pub(crate) trait Gather: Send + 'static {
    type Record;
    const SIGNAL: Signal;

    fn new(encoding: Encoding, scope: &Scope) -> Self;

    /// Encodes a record, to be [added](Self::add) or forgotten.
    fn encode(&mut self, record: Self::Record);

    /// How many bytes the encoded record would add to this batch.
    fn cost(&self) -> usize;

    /// Adds the encoded record.
    fn add(&mut self);

    /// How many bytes [`close`](Self::close) would give, or a little less than that.
    fn bytes(&self) -> usize;

    /// Gives the request's bytes and leaves the batch empty.
    fn close(&mut self) -> Bytes;
}

// Protobuf tags, all of wire type 2 (length-delimited).
const REQUEST_RESOURCE: u8 = 0x0a; // Export*ServiceRequest.resource_* = 1
const RESOURCE: u8 = 0x0a; // ResourceSpans.resource = 1
const SCOPE_SPANS: u8 = 0x12; // ResourceSpans.scope_spans = 2
const SCOPE: u8 = 0x0a; // ScopeSpans.scope = 1
const SPAN: u8 = 0x12; // ScopeSpans.spans = 2
const SCHEMA_URL: u8 = 0x1a; // ResourceSpans.schema_url = 3, ScopeSpans.schema_url = 3

/// An upper bound for the tags and lengths of one group's envelope.
const ENVELOPE: usize = 32;

/// Spans, grouped by resource.
#[derive(Debug)]
pub(crate) struct SpanBatch {
    encoding: Encoding,
    /// The scope, encoded.
    scope: Vec<u8>,
    scope_schema_url: String,
    groups: Vec<Group>,
    by_resource: FxHashMap<Arc<Resource>, usize>,
    bytes: usize,
    /// The encoded record that is not yet added, and whose it is.
    encoded: Vec<u8>,
    resource: Option<Arc<Resource>>,
    group: Option<usize>,
}

#[derive(Debug)]
struct Group {
    resource: Arc<Resource>,
    spans: Vec<u8>,
}

impl Gather for SpanBatch {
    type Record = SpanRecord;
    const SIGNAL: Signal = Signal::Traces;

    fn new(encoding: Encoding, scope: &Scope) -> Self {
        let proto = InstrumentationScope {
            name: scope.name.clone(),
            version: scope.version.clone(),
            ..InstrumentationScope::default()
        };
        let encoded_scope = match encoding {
            Encoding::Protobuf => proto.encode_to_vec(),
            Encoding::Json | Encoding::JsonLine => to_json(&proto),
        };
        Self {
            encoding,
            scope: encoded_scope,
            scope_schema_url: scope.schema_url.clone(),
            groups: Vec::new(),
            by_resource: FxHashMap::default(),
            bytes: 0,
            encoded: Vec::new(),
            resource: None,
            group: None,
        }
    }

    fn encode(&mut self, record: SpanRecord) {
        self.encoded.clear();
        match self.encoding {
            Encoding::Protobuf => put_message(&mut self.encoded, SPAN, &record.span),
            Encoding::Json | Encoding::JsonLine => put_json(&mut self.encoded, &record.span),
        }
        // Spans of one service tend to come together.
        self.group = match self.groups.last() {
            Some(last) if Arc::ptr_eq(&last.resource, &record.resource) => Some(self.groups.len() - 1),
            _ => self.by_resource.get(&record.resource).copied(),
        };
        self.resource = Some(record.resource);
    }

    fn cost(&self) -> usize {
        let group = match (&self.resource, self.group) {
            (Some(resource), None) => self.envelope(resource),
            _ => 0,
        };
        self.encoded.len() + 1 + group
    }

    fn add(&mut self) {
        let cost = self.cost();
        let Some(resource) = self.resource.take() else { return };
        let index = self.group.unwrap_or_else(|| {
            self.by_resource.insert(Arc::clone(&resource), self.groups.len());
            self.groups.push(Group { resource, spans: Vec::new() });
            self.groups.len() - 1
        });
        if let Some(group) = self.groups.get_mut(index) {
            if self.encoding != Encoding::Protobuf && !group.spans.is_empty() {
                group.spans.push(b',');
            }
            group.spans.extend_from_slice(&self.encoded);
            self.bytes += cost;
        }
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn close(&mut self) -> Bytes {
        let mut body = Vec::with_capacity(self.bytes + ENVELOPE);
        match self.encoding {
            Encoding::Protobuf => self.groups.iter().for_each(|group| self.put_group(&mut body, group)),
            Encoding::Json | Encoding::JsonLine => {
                body.extend_from_slice(br#"{"resourceSpans":["#);
                for (at, group) in self.groups.iter().enumerate() {
                    if at > 0 {
                        body.push(b',');
                    }
                    self.put_json_group(&mut body, group);
                }
                end_json(&mut body, self.encoding);
            }
        }
        self.groups.clear();
        self.by_resource.clear();
        self.bytes = 0;
        // What is encoded but not yet added now needs a group of its own.
        self.group = None;
        Bytes::from(body)
    }
}

impl SpanBatch {
    fn envelope(&self, resource: &Resource) -> usize {
        // JSON repeats field names and writes the resource in more bytes than protobuf does.
        let names = if self.encoding == Encoding::Protobuf { 0 } else { 96 + resource.encoded().len() };
        let urls = self.scope_schema_url.len() + resource.schema_url().len();
        ENVELOPE + names + urls + resource.encoded().len() + self.scope.len()
    }

    fn put_group(&self, body: &mut Vec<u8>, group: &Group) {
        let (resource, schema_url) = (group.resource.encoded(), group.resource.schema_url());
        let scope_spans =
            field_len(self.scope.len()) + group.spans.len() + optional_field_len(&self.scope_schema_url);
        let resource_spans =
            field_len(resource.len()) + field_len(scope_spans) + optional_field_len(schema_url);
        put_tag(body, REQUEST_RESOURCE, resource_spans);
        put_tag(body, RESOURCE, resource.len());
        body.extend_from_slice(resource);
        put_tag(body, SCOPE_SPANS, scope_spans);
        put_tag(body, SCOPE, self.scope.len());
        body.extend_from_slice(&self.scope);
        body.extend_from_slice(&group.spans);
        put_optional(body, SCHEMA_URL, &self.scope_schema_url);
        put_optional(body, SCHEMA_URL, schema_url);
    }

    fn put_json_group(&self, body: &mut Vec<u8>, group: &Group) {
        body.extend_from_slice(br#"{"resource":"#);
        put_json(body, group.resource.proto());
        body.extend_from_slice(br#","scopeSpans":[{"scope":"#);
        body.extend_from_slice(&self.scope);
        body.extend_from_slice(br#","spans":["#);
        body.extend_from_slice(&group.spans);
        body.extend_from_slice(br#"],"schemaUrl":"#);
        put_json(body, &self.scope_schema_url);
        body.extend_from_slice(br#"}],"schemaUrl":"#);
        put_json(body, group.resource.schema_url());
        body.push(b'}');
    }
}

/// Metrics, each with its resource as it was handed over.
#[derive(Debug)]
pub(crate) struct MetricsBatch {
    encoding: Encoding,
    body: Vec<u8>,
    encoded: Vec<u8>,
}

impl Gather for MetricsBatch {
    type Record = ResourceMetrics;
    const SIGNAL: Signal = Signal::Metrics;

    fn new(encoding: Encoding, _: &Scope) -> Self {
        Self { encoding, body: Vec::new(), encoded: Vec::new() }
    }

    fn encode(&mut self, record: ResourceMetrics) {
        self.encoded.clear();
        match self.encoding {
            Encoding::Protobuf => put_message(&mut self.encoded, REQUEST_RESOURCE, &record),
            Encoding::Json | Encoding::JsonLine => put_json(&mut self.encoded, &record),
        }
    }

    fn cost(&self) -> usize {
        self.encoded.len() + 1
    }

    fn add(&mut self) {
        if self.encoding != Encoding::Protobuf && !self.body.is_empty() {
            self.body.push(b',');
        }
        self.body.extend_from_slice(&self.encoded);
    }

    fn bytes(&self) -> usize {
        self.body.len()
    }

    fn close(&mut self) -> Bytes {
        let body = std::mem::take(&mut self.body);
        match self.encoding {
            Encoding::Protobuf => Bytes::from(body),
            Encoding::Json | Encoding::JsonLine => {
                let mut request = Vec::with_capacity(body.len() + ENVELOPE);
                request.extend_from_slice(br#"{"resourceMetrics":["#);
                request.extend_from_slice(&body);
                end_json(&mut request, self.encoding);
                Bytes::from(request)
            }
        }
    }
}

fn end_json(body: &mut Vec<u8>, encoding: Encoding) {
    body.extend_from_slice(b"]}");
    if encoding == Encoding::JsonLine {
        body.push(b'\n');
    }
}

fn put_tag(body: &mut Vec<u8>, tag: u8, len: usize) {
    body.push(tag);
    encode_varint(len as u64, body);
}

fn put_message(body: &mut Vec<u8>, tag: u8, message: &impl Message) {
    body.push(tag);
    // A vector always has room, which is the only way this can fail.
    let _ = message.encode_length_delimited(body);
}

fn put_optional(body: &mut Vec<u8>, tag: u8, text: &str) {
    if !text.is_empty() {
        put_tag(body, tag, text.len());
        body.extend_from_slice(text.as_bytes());
    }
}

fn field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn optional_field_len(text: &str) -> usize {
    if text.is_empty() { 0 } else { field_len(text.len()) }
}

fn put_json(body: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let start = body.len();
    // Neither a vector nor the protocol's types can fail here; if they did, half a value must not stay behind.
    if serde_json::to_writer(&mut *body, value).is_err() {
        body.truncate(start);
        body.extend_from_slice(b"{}");
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::new();
    put_json(&mut json, value);
    json
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
