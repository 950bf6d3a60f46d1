//! OTLP/HTTP against a real server: what it sees on the wire, and what becomes of the numbers.

mod common;

use common::{HttpCollector, config, expected, expected_names, metrics, names, scope, spans, start, until};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use remora_exporters::{Dropped, Exporter};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Traces and metrics arrive at their paths, with the headers, exactly as they were handed over.
#[tokio::test]
async fn protobuf() {
    let collector = HttpCollector::default();
    let address = collector.listen().await;
    let mut config = config("{}");
    let endpoint = format!("http://{address}/base/");
    config
        .apply_env(|name| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
            "OTEL_EXPORTER_OTLP_HEADERS" => Some("api-key=a%20secret,x-tenant=7".to_owned()),
            _ => None,
        })
        .unwrap();
    let exporter = Exporter::start(config, scope()).unwrap();
    exporter.spans(spans(0..5));
    until(&exporter, |s| s.traces.exported == 5).await;
    exporter.metrics(metrics());
    let statistics = until(&exporter, |s| s.metrics.exported == 3).await;
    assert_eq!((statistics.traces.requests_sent, statistics.metrics.requests_sent), (1, 1));

    let seen = collector.seen();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        assert_eq!(request.method, "POST");
        assert_eq!(request.header("content-type"), "application/x-protobuf");
        assert_eq!(request.header("content-encoding"), "");
        assert_eq!(request.header("api-key"), "a secret");
        assert_eq!(request.header("x-tenant"), "7");
        assert!(request.header("user-agent").starts_with("Remora-OTLP-Exporter/"));
    }
    assert_eq!((seen[0].path.as_str(), seen[1].path.as_str()), ("/base/v1/traces", "/base/v1/metrics"));
    let request = ExportTraceServiceRequest::decode(seen[0].content()).unwrap();
    assert_eq!(request.resource_spans, expected(0..5));
    assert_eq!(request.resource_spans.len(), 2);
    let request = ExportMetricsServiceRequest::decode(seen[1].content()).unwrap();
    assert_eq!(request.resource_metrics, metrics());
}

/// A compressed body says so and decompresses to the same; a signal's own endpoint is used as it is.
#[tokio::test]
async fn gzip_and_own_endpoint() {
    let collector = HttpCollector::default();
    let address = collector.listen().await;
    let exporter = start(&format!(
        "{{ otlp: {{ compression: gzip }}, traces: {{ endpoint: 'http://{address}/spans' }} }}"
    ));
    exporter.spans(spans(0..1_000));
    until(&exporter, |s| s.traces.exported == 1_000).await;
    let seen = collector.seen();
    assert_eq!((seen.len(), seen[0].path.as_str()), (1, "/spans"));
    assert_eq!(seen[0].header("content-encoding"), "gzip");
    assert!(seen[0].body.len() < seen[0].content().len() / 4);
    let request = ExportTraceServiceRequest::decode(seen[0].content()).unwrap();
    assert_eq!(request.resource_spans, expected(0..1_000));
}

/// The JSON protocol sends OTLP/JSON and reads a JSON answer.
#[tokio::test]
async fn json() {
    let answer = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#.to_vec();
    let collector = HttpCollector::new([(200, vec![("content-type", "application/json".into())], answer)]);
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}', protocol: http/json }}"));
    exporter.spans(spans(0..5));
    let statistics = until(&exporter, |s| s.traces.queued == 0 && s.traces.received == 5).await;
    assert_eq!((statistics.traces.exported, statistics.traces.dropped.rejected), (3, 2));
    let seen = collector.seen();
    assert_eq!(seen[0].header("content-type"), "application/json");
    let request: ExportTraceServiceRequest = serde_json::from_slice(&seen[0].content()).unwrap();
    assert_eq!(request.resource_spans, expected(0..5));
}

/// Partial success is counted for each signal and not tried again.
#[tokio::test]
async fn partial_success() {
    let traces = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess { rejected_spans: 4, error_message: "full".into() }),
    };
    let points = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: 1,
            error_message: "old".into(),
        }),
    };
    let collector =
        HttpCollector::new([(200, vec![], traces.encode_to_vec()), (200, vec![], points.encode_to_vec())]);
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}' }}"));
    exporter.spans(spans(0..10));
    until(&exporter, |s| s.traces.exported == 6).await;
    exporter.metrics(metrics());
    let statistics = until(&exporter, |s| s.metrics.exported == 2).await;
    assert_eq!(statistics.traces.dropped, Dropped { rejected: 4, ..Dropped::default() });
    assert_eq!(statistics.metrics.dropped, Dropped { rejected: 1, ..Dropped::default() });
    assert_eq!(statistics.traces.last_error.as_deref(), Some("4 rejected: full"));
    assert_eq!(collector.seen().len(), 2);
}

/// A bad request is dropped and counted once, with the collector's words, and never sent again.
#[tokio::test]
async fn bad_request() {
    // google.rpc.Status { message: "bad span" }
    let status = [&[0x12, 8][..], b"bad span"].concat();
    let collector =
        HttpCollector::new([(400, vec![("content-type", "application/x-protobuf".into())], status)]);
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}' }}"));
    exporter.spans(spans(0..7));
    let statistics = until(&exporter, |s| s.traces.dropped.permanent > 0).await;
    assert_eq!(statistics.traces.dropped, Dropped { permanent: 7, ..Dropped::default() });
    assert_eq!(statistics.traces.last_error.as_deref(), Some("HTTP 400 Bad Request: bad span"));
    exporter.spans(spans(7..9));
    let statistics = until(&exporter, |s| s.traces.exported == 2).await;
    assert_eq!((statistics.traces.requests_sent, statistics.traces.requests_failed), (2, 1));
    assert_eq!(collector.seen().len(), 2);
}

/// An overloaded collector gets the same bytes again, not before it asked for them.
#[tokio::test]
async fn retry_after() {
    let collector = HttpCollector::new([
        (503, vec![("retry-after", "1".into())], b"busy".to_vec()),
        (429, vec![], vec![]),
        (502, vec![], vec![]),
        (504, vec![], vec![]),
    ]);
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}', compression: gzip }}"));
    exporter.spans(spans(0..3));
    let statistics = until(&exporter, |s| s.traces.exported == 3).await;
    assert_eq!((statistics.traces.requests_sent, statistics.traces.requests_failed), (5, 4));
    assert_eq!(statistics.traces.dropped.total(), 0);
    let seen = collector.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(999));
    assert!(seen.iter().all(|request| request.body == seen[0].body));
}

/// A collector that comes up late gets all that was held, once, and what found no room is counted exactly.
#[tokio::test]
async fn down_then_up() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let exporter = start(&format!(
        "{{ otlp: {{ endpoint: 'http://{address}' }}, batch: {{ max_queue_size: 100, max_export_batch_size: 30 }} }}"
    ));
    exporter.spans(spans(0..60));
    let statistics = until(&exporter, |s| s.traces.requests_failed >= 2).await;
    assert!(statistics.traces.last_error.unwrap().contains("Connection refused"));
    exporter.spans(spans(60..130));
    assert_eq!(exporter.statistics().traces.dropped, Dropped { queue_full: 30, ..Dropped::default() });
    let collector = HttpCollector::default();
    collector.serve(TcpListener::bind(address).await.unwrap());
    let statistics = until(&exporter, |s| s.traces.queued == 0).await;
    assert_eq!((statistics.traces.exported, statistics.traces.dropped.total()), (100, 30));
    let requests: Vec<_> = collector
        .seen()
        .iter()
        .map(|request| ExportTraceServiceRequest::decode(request.content()).unwrap().resource_spans)
        .collect();
    assert_eq!(names(&requests), expected_names(0..100));
}

/// A connection that breaks without an answer is tried again; so is one that hangs, after the timeout.
#[tokio::test]
async fn broken_and_hanging_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let collector = HttpCollector::default();
    let server = collector.clone();
    tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        let hanging = listener.accept().await.unwrap();
        server.connection(listener.accept().await.unwrap().0);
        drop(hanging);
    });
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}', timeout: 300ms }}"));
    exporter.spans(spans(0..3));
    let statistics = until(&exporter, |s| s.traces.requests_failed == 2).await;
    assert_eq!(statistics.traces.last_error.as_deref(), Some("no answer within 300 ms"));
    let statistics = until(&exporter, |s| s.traces.exported == 3).await;
    assert_eq!(statistics.traces.requests_sent, 3);
    assert_eq!(collector.seen().len(), 1);
}

/// Shutting down delivers what is held; when that cannot be, it ends in time and counts it.
#[tokio::test]
async fn shutdown() {
    let collector = HttpCollector::default();
    let address = collector.listen().await;
    let yaml = format!("{{ otlp: {{ endpoint: 'http://{address}' }}, batch: {{ schedule_delay: 1h }} }}");
    let exporter = start(&yaml);
    let other = exporter.clone();
    exporter.spans(spans(0..10));
    exporter.metrics(metrics());
    let statistics = exporter.shutdown(Duration::from_secs(5)).await;
    assert_eq!((statistics.traces.exported, statistics.metrics.exported), (10, 3));
    other.spans(spans(0..2));
    assert_eq!(other.statistics().traces.dropped, Dropped { shutdown: 2, ..Dropped::default() });

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}' }}"));
    exporter.spans(spans(0..10));
    let begin = Instant::now();
    let statistics = exporter.shutdown(Duration::from_millis(300)).await;
    assert!(begin.elapsed() < Duration::from_millis(600), "{:?}", begin.elapsed());
    assert_eq!(statistics.traces.dropped, Dropped { shutdown: 10, ..Dropped::default() });
    assert_eq!((statistics.traces.queued, statistics.traces.queued_bytes), (0, 0));
}
