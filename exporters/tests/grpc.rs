//! OTLP/gRPC against tonic's server.

mod common;

use common::{expected, expected_names, metrics, names, spans, start, until};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use remora_exporters::Dropped;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

/// A call as the server saw it.
type Seen = (Instant, MetadataMap, Vec<ResourceSpans>);

#[derive(Clone, Default)]
struct Collector {
    traces: Arc<Mutex<Vec<Seen>>>,
    metrics: Arc<Mutex<Vec<ResourceMetrics>>>,
    answers: Arc<Mutex<VecDeque<Result<ExportTraceServiceResponse, Status>>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.traces.lock().unwrap().push((Instant::now(), metadata, message.resource_spans));
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| Ok(ExportTraceServiceResponse::default())).map(Response::new)
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics.lock().unwrap().extend(request.into_inner().resource_metrics);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Collector {
    fn new(answers: impl IntoIterator<Item = Result<ExportTraceServiceResponse, Status>>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Self { answers, ..Self::default() }
    }

    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.serve(listener);
        address
    }

    fn serve(&self, listener: TcpListener) {
        let traces = TraceServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip);
        let metrics = MetricsServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip);
        let server = Server::builder().add_service(traces).add_service(metrics);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    }

    fn traces(&self) -> Vec<Seen> {
        self.traces.lock().unwrap().clone()
    }
}

/// `google.rpc.Status` with a `RetryInfo` of so many milliseconds, less than a second.
fn retry_info(code: u8, milliseconds: u32) -> Vec<u8> {
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag << 3 | 2, u8::try_from(content.len()).unwrap()][..], content].concat()
    }
    let mut nanos = vec![2 << 3];
    let mut value = milliseconds * 1_000_000;
    while value >= 0x80 {
        nanos.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    nanos.push(value as u8);
    let any = [field(1, b"type.googleapis.com/google.rpc.RetryInfo"), field(2, &field(1, &nanos))].concat();
    [vec![1 << 3, code], field(3, &any)].concat()
}

/// Both signals arrive exactly as they were handed over, with the headers and the timeout, plain and compressed.
#[tokio::test]
async fn exact() {
    for compression in ["none", "gzip"] {
        let collector = Collector::default();
        let address = collector.listen().await;
        let exporter = start(&format!(
            "otlp: {{ endpoint: '{address}', insecure: true, protocol: grpc, compression: {compression}, \
             timeout: 7s, headers: {{ api-key: secret }} }}"
        ));
        exporter.spans(spans(0..1_000));
        exporter.metrics(metrics());
        let statistics = until(&exporter, |s| s.traces.exported == 1_000 && s.metrics.exported == 3).await;
        assert_eq!((statistics.traces.requests_sent, statistics.traces.requests_failed), (1, 0));
        let seen = collector.traces();
        assert_eq!(seen.len(), 1);
        let (_, metadata, resource_spans) = &seen[0];
        assert_eq!(*resource_spans, expected(0..1_000));
        assert_eq!(metadata.get("api-key").unwrap(), "secret");
        assert_eq!(metadata.get("grpc-timeout").unwrap(), "7000m");
        assert!(metadata.get("user-agent").unwrap().to_str().unwrap().starts_with("Remora-OTLP-Exporter/"));
        let encoding = metadata.get("grpc-encoding").map_or("none", |value| value.to_str().unwrap());
        assert_eq!(encoding, compression);
        assert_eq!(*collector.metrics.lock().unwrap(), metrics());
    }
}

/// An unavailable collector is tried again, and gets the batch once it takes it.
#[tokio::test]
async fn unavailable_then_ok() {
    let refusals = [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted, Code::DataLoss];
    let collector = Collector::new(refusals.map(|code| Err(Status::new(code, "not now"))));
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}', protocol: grpc }}"));
    exporter.spans(spans(0..9));
    let statistics = until(&exporter, |s| s.traces.exported == 9).await;
    assert_eq!((statistics.traces.requests_sent, statistics.traces.requests_failed), (5, 4));
    assert_eq!(statistics.traces.dropped.total(), 0);
    assert_eq!(statistics.traces.last_error.as_deref(), Some("gRPC status DataLoss: not now"));
    assert!(collector.traces().iter().all(|(_, _, request)| *request == expected(0..9)));
}

/// The delay of a `RetryInfo` is kept, and makes an exhausted resource worth another try.
#[tokio::test]
async fn throttled() {
    let status = Status::with_details(Code::ResourceExhausted, "slow down", retry_info(8, 600).into());
    let collector = Collector::new([Err(status)]);
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}', protocol: grpc }}"));
    exporter.spans(spans(0..9));
    until(&exporter, |s| s.traces.exported == 9).await;
    let seen = collector.traces();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].0 - seen[0].0 >= Duration::from_millis(599));
}

/// What is not worth another try is dropped and counted: an exhausted resource without `RetryInfo`, a bad argument.
#[tokio::test]
async fn refused() {
    let collector = Collector::new(
        [Code::ResourceExhausted, Code::InvalidArgument].map(|code| Err(Status::new(code, "never"))),
    );
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}', protocol: grpc }}"));
    for (dropped, error) in [(4, "ResourceExhausted"), (8, "InvalidArgument")] {
        exporter.spans(spans(0..4));
        let statistics = until(&exporter, |s| s.traces.dropped.permanent == dropped).await;
        assert_eq!(statistics.traces.dropped, Dropped { permanent: dropped, ..Dropped::default() });
        assert_eq!(statistics.traces.last_error, Some(format!("gRPC status {error}: never")));
    }
    exporter.spans(spans(0..4));
    until(&exporter, |s| s.traces.exported == 4).await;
    assert_eq!(collector.traces().len(), 3);
}

/// Partial success is counted and not tried again.
#[tokio::test]
async fn partial_success() {
    let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".into() };
    let collector = Collector::new([Ok(ExportTraceServiceResponse { partial_success: Some(partial) })]);
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}', protocol: grpc }}"));
    exporter.spans(spans(0..9));
    let statistics = until(&exporter, |s| s.traces.exported == 6).await;
    assert_eq!(statistics.traces.dropped, Dropped { rejected: 3, ..Dropped::default() });
    assert_eq!(collector.traces().len(), 1);
}

/// A collector that comes up late gets everything once.
#[tokio::test]
async fn down_then_up() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let exporter = start(&format!(
        "{{ otlp: {{ endpoint: 'http://{address}', protocol: grpc }}, batch: {{ max_export_batch_size: 30 }} }}"
    ));
    exporter.spans(spans(0..100));
    until(&exporter, |s| s.traces.requests_failed >= 2).await;
    let collector = Collector::default();
    collector.serve(TcpListener::bind(address).await.unwrap());
    let statistics = until(&exporter, |s| s.traces.queued == 0).await;
    assert_eq!((statistics.traces.exported, statistics.traces.dropped.total()), (100, 0));
    let requests: Vec<_> = collector.traces().into_iter().map(|(_, _, request)| request).collect();
    assert_eq!(names(&requests), expected_names(0..100));
}

/// A server that speaks HTTP/1.1 only is a connection error in words, not a panic or a loss.
#[tokio::test]
async fn not_a_grpc_server() {
    let collector = common::HttpCollector::default();
    let address = collector.listen().await;
    let exporter = start(&format!("otlp: {{ endpoint: 'http://{address}', protocol: grpc }}"));
    exporter.spans(spans(0..4));
    until(&exporter, |s| s.traces.requests_failed >= 2).await;
    let statistics = exporter.shutdown(Duration::from_secs(1)).await;
    assert_eq!((statistics.traces.exported, statistics.traces.dropped.shutdown), (0, 4));
}
