use super::*;
use crate::test_support::{attribute, metrics, resource, span};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use serde_json::{Value as Json, json};

fn scope() -> Scope {
    Scope { name: "remora".into(), version: "1.2".into(), schema_url: "https://schema".into() }
}

fn close(encoding: Encoding, records: Vec<SpanRecord>) -> Bytes {
    let mut batch = SpanBatch::new(encoding, &scope());
    add_all(&mut batch, records);
    batch.close()
}

fn add_all<G: Gather>(batch: &mut G, records: Vec<G::Record>) {
    for record in records {
        batch.encode(record);
        batch.add();
    }
}

/// What one would build with the generated types.
fn expected(records: &[SpanRecord]) -> ExportTraceServiceRequest {
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    for record in records {
        let proto = Some(record.resource.proto().clone());
        let at = resource_spans
            .iter()
            .position(|group| group.resource == proto && group.schema_url == record.resource.schema_url());
        let group = match at {
            Some(at) => &mut resource_spans[at],
            None => {
                resource_spans.push(ResourceSpans {
                    resource: proto,
                    schema_url: record.resource.schema_url().to_owned(),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(InstrumentationScope {
                            name: "remora".into(),
                            version: "1.2".into(),
                            ..InstrumentationScope::default()
                        }),
                        schema_url: "https://schema".into(),
                        spans: Vec::new(),
                    }],
                });
                resource_spans.last_mut().unwrap()
            }
        };
        group.scope_spans[0].spans.push(record.span.clone());
    }
    ExportTraceServiceRequest { resource_spans }
}

/// A batch is byte for byte what encoding the whole request gives, with one group a resource whoever made it.
#[test]
fn protobuf_is_that_of_the_request() {
    let mut records: Vec<SpanRecord> = (0..100).map(span).collect();
    let with_schema = Arc::new(Resource::new(resource("service 1").proto().clone(), "https://resource"));
    records.push(SpanRecord { resource: with_schema, span: span(100).span });
    records.push(SpanRecord {
        resource: Arc::new(Resource::new(Default::default(), "")),
        span: Span::default(),
    });
    let body = close(Encoding::Protobuf, records.clone());
    let request = expected(&records);
    assert_eq!(request.resource_spans.len(), 5);
    assert_eq!(ExportTraceServiceRequest::decode(body.clone()).unwrap(), request);
    assert_eq!(body.as_ref(), request.encode_to_vec());
}

/// The size that is kept is never less than the request's, and close to it.
#[test]
fn size_is_an_upper_bound() {
    for count in [1, 2, 10, 1_000] {
        let mut batch = SpanBatch::new(Encoding::Protobuf, &scope());
        add_all(&mut batch, (0..count).map(span).collect());
        let (bytes, body) = (batch.bytes(), batch.close());
        assert!(
            bytes >= body.len() && bytes <= body.len() + count as usize + 3 * 32,
            "{bytes} {}",
            body.len()
        );
    }
    let mut batch = MetricsBatch::new(Encoding::Protobuf, &scope());
    add_all(&mut batch, vec![metrics(0, 5), metrics(1, 5)]);
    assert_eq!(batch.bytes(), batch.close().len());
}

/// A batch that was closed is empty and is filled anew, also by a record that was encoded before.
#[test]
fn closing_empties() {
    let mut batch = SpanBatch::new(Encoding::Protobuf, &scope());
    batch.encode(span(0));
    batch.add();
    batch.encode(span(3));
    let small = batch.cost();
    batch.close();
    assert_eq!(batch.bytes(), 0);
    assert!(batch.cost() > small);
    batch.add();
    assert_eq!(ExportTraceServiceRequest::decode(batch.close()).unwrap(), expected(&[span(3)]));
    assert!(batch.close().is_empty());
}

/// An encoded record that is not added is forgotten.
#[test]
fn encoding_alone_adds_nothing() {
    let mut batch = SpanBatch::new(Encoding::Protobuf, &scope());
    batch.encode(span(0));
    batch.encode(span(1));
    batch.add();
    assert_eq!(ExportTraceServiceRequest::decode(batch.close()).unwrap(), expected(&[span(1)]));
}

/// Metrics go as they came, in both encodings.
#[test]
fn metrics_as_they_came() {
    let records = vec![metrics(0, 2), metrics(1, 3)];
    let request = ExportMetricsServiceRequest { resource_metrics: records.clone() };
    let mut batch = MetricsBatch::new(Encoding::Protobuf, &scope());
    add_all(&mut batch, records.clone());
    assert_eq!(batch.close().as_ref(), request.encode_to_vec());
    let mut batch = MetricsBatch::new(Encoding::JsonLine, &scope());
    add_all(&mut batch, records);
    let line = batch.close();
    assert_eq!(line.last(), Some(&b'\n'));
    assert_eq!(serde_json::from_slice::<ExportMetricsServiceRequest>(&line).unwrap(), request);
    let json: Json = serde_json::from_slice(&line).unwrap();
    let point = &json["resourceMetrics"][1]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"][2];
    assert_eq!(point["asInt"], "2");
    assert_eq!(point["timeUnixNano"], "1700000000000000000");
}

/// JSON parses back to the same request, on one line.
#[test]
fn json_is_that_of_the_request() {
    let records: Vec<SpanRecord> = (0..10).map(span).collect();
    for encoding in [Encoding::Json, Encoding::JsonLine] {
        let body = close(encoding, records.clone());
        let feeds = body.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(feeds, usize::from(encoding == Encoding::JsonLine));
        assert_eq!(serde_json::from_slice::<ExportTraceServiceRequest>(&body).unwrap(), expected(&records));
    }
    assert_eq!(close(Encoding::Json, Vec::new()).as_ref(), br#"{"resourceSpans":[]}"#);
}

/// The OTLP/JSON mapping: ids in hexadecimal, 64-bit numbers as strings, enumerations as numbers, names in
/// lowerCamelCase, bytes in base64.
#[test]
fn json_mapping() {
    let mut record = span(258);
    record.span.parent_span_id = vec![1; 8];
    record.span.attributes.push(attribute("bytes", Value::BytesValue(vec![0, 255])));
    record.span.attributes.push(attribute("double", Value::DoubleValue(0.5)));
    let json: Json = serde_json::from_slice(&close(Encoding::Json, vec![record])).unwrap();
    let group = &json["resourceSpans"][0];
    assert_eq!(
        group["resource"]["attributes"][0],
        json!({"key": "service.name", "value": {"stringValue": "service 0"}})
    );
    let scope_spans = &group["scopeSpans"][0];
    assert_eq!(scope_spans["scope"]["name"], "remora");
    assert_eq!(scope_spans["schemaUrl"], "https://schema");
    let span = &scope_spans["spans"][0];
    assert_eq!(span["traceId"], "abababababababababababababababab");
    assert_eq!(span["spanId"], "0000000000000102");
    assert_eq!(span["parentSpanId"], "0101010101010101");
    assert_eq!(span["kind"], 2);
    assert_eq!(span["startTimeUnixNano"], "1700000000000000258");
    assert_eq!(span["status"]["code"], 2);
    assert_eq!(span["attributes"][0]["value"], json!({"intValue": "-9223372036854775808"}));
    assert_eq!(span["attributes"][1]["value"], json!({"boolValue": true}));
    assert_eq!(span["attributes"][2]["value"], json!({"bytesValue": "AP8="}));
    assert_eq!(span["attributes"][3]["value"], json!({"doubleValue": 0.5}));
}

/// Data points of every kind are counted; a metric without data counts none.
#[test]
fn data_points_are_counted() {
    let mut record = metrics(0, 3);
    assert_eq!(record.items(), 3);
    record.scope_metrics[0].metrics.push(Default::default());
    record.scope_metrics.push(metrics(1, 4).scope_metrics.remove(0));
    assert_eq!(record.items(), 7);
    assert_eq!(ResourceMetrics::default().items(), 0);
}
