//! What a span costs, from the handle to the socket. Not run by default:
//! `cargo test --release -p remora-exporters --test throughput -- --ignored --nocapture`

mod common;

use common::{HttpCollector, config, resource, scope, until};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use remora_exporters::{Exporter, Resource, SpanRecord};
use std::sync::Arc;

const SPANS: u64 = 200_000;

/// A span as an HTTP server exchange gives it: a dozen attributes.
fn span(number: u64, resource: &Arc<Resource>) -> SpanRecord {
    let text = |text: &str| Value::StringValue(text.to_owned());
    let attributes = [
        ("http.request.method", text("GET")),
        ("http.response.status_code", Value::IntValue(200)),
        ("http.route", text("/api/v1/orders/{id}")),
        ("url.path", text("/api/v1/orders/123456")),
        ("url.scheme", text("http")),
        ("server.address", text("orders.default.svc.cluster.local")),
        ("server.port", Value::IntValue(8080)),
        ("client.address", text("10.42.7.199")),
        ("network.protocol.name", text("http")),
        ("network.protocol.version", text("1.1")),
        ("user_agent.original", text("Go-http-client/1.1")),
        ("remora.link.evidence", text("same goroutine")),
    ];
    let attributes = attributes.map(|(key, value)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    });
    let span = Span {
        trace_id: u128::from(number).to_be_bytes().to_vec(),
        span_id: number.to_be_bytes().to_vec(),
        parent_span_id: vec![1; 8],
        name: "GET /api/v1/orders/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_001_000_000,
        attributes: attributes.into(),
        ..Span::default()
    };
    SpanRecord { resource: Arc::clone(resource), span }
}

/// Processor time of this process in microseconds, user and system.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    // USER_HZ is 100 on every Linux a process can see.
    (ticks(11) + ticks(12)) * 10_000.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn cost_of_a_span() {
    for settings in
        ["protocol: http/protobuf", "protocol: http/protobuf, compression: gzip", "protocol: http/json"]
    {
        let collector = HttpCollector::default();
        let address = collector.listen().await;
        let mut config = config(&format!("otlp: {{ endpoint: 'http://{address}', {settings} }}"));
        config.batch.max_queue_size = 1 << 20;
        config.batch.max_queue_bytes = 1 << 30;
        let exporter = Exporter::start(config, scope()).unwrap();
        let resources: Vec<Arc<Resource>> = (0..20)
            .map(|service| Arc::new(Resource::from(resource(&format!("service {service}")))))
            .collect();
        let mut chunks: Vec<Vec<SpanRecord>> = Vec::new();
        for chunk in 0..SPANS / 64 {
            let spans = (chunk * 64..(chunk + 1) * 64).map(|n| span(n, &resources[(n % 20) as usize]));
            chunks.push(spans.collect());
        }
        let begin = cpu();
        for chunk in chunks {
            exporter.spans(chunk);
        }
        let statistics = until(&exporter, |s| s.traces.queued == 0).await;
        let spent = cpu() - begin;
        let bytes: usize = collector.seen().iter().map(|request| request.body.len()).sum();
        println!(
            "{settings}: {:.2} us of processor time and {} bytes a span, the server's part included; {} requests",
            spent / statistics.traces.exported as f64,
            bytes as u64 / statistics.traces.exported,
            statistics.traces.requests_sent
        );
    }
}
