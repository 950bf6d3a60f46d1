//! What the tests share: records, a scripted HTTP server, and waiting for numbers.
#![allow(dead_code)]

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource as Proto;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use remora_exporters::{Config, Exporter, Resource, Scope, SpanRecord, Statistics};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

pub fn scope() -> Scope {
    Scope { name: "remora".into(), version: "0.1".into(), schema_url: String::new() }
}

/// A configuration from YAML, with short waits.
pub fn config(yaml: &str) -> Config {
    let mut config: Config = serde_norway::from_str(yaml).unwrap();
    config.batch.schedule_delay.get_or_insert(Duration::from_millis(5));
    config.retry.initial_interval = Duration::from_millis(20);
    config.retry.max_interval = Duration::from_millis(50);
    config
}

pub fn start(yaml: &str) -> Exporter {
    Exporter::start(config(yaml), scope()).unwrap()
}

pub fn resource(service: &str) -> Proto {
    let value = Some(AnyValue { value: Some(Value::StringValue(service.to_owned())) });
    Proto {
        attributes: vec![KeyValue { key: "service.name".into(), value, ..KeyValue::default() }],
        ..Proto::default()
    }
}

/// Spans of two services in turn.
pub fn spans(numbers: std::ops::Range<u64>) -> Vec<SpanRecord> {
    let services = ["cart", "shop"].map(|service| Arc::new(Resource::from(resource(service))));
    numbers
        .map(|number| SpanRecord {
            resource: Arc::clone(&services[(number % 2) as usize]),
            span: Span {
                trace_id: (u128::from(number) << 64 | 0x0123_4567).to_be_bytes().to_vec(),
                span_id: (number + 1).to_be_bytes().to_vec(),
                name: format!("GET /{number}"),
                kind: 2,
                start_time_unix_nano: 1_700_000_000_000_000_000,
                end_time_unix_nano: 1_700_000_000_000_000_000 + number,
                ..Span::default()
            },
        })
        .collect()
}

/// What a collector should get for `spans`, if they come in one request.
pub fn expected(numbers: std::ops::Range<u64>) -> Vec<ResourceSpans> {
    let mut groups: Vec<ResourceSpans> = Vec::new();
    for record in spans(numbers) {
        let proto = record.resource.proto();
        let at =
            groups.iter().position(|group| group.resource.as_ref() == Some(proto)).unwrap_or_else(|| {
                let scope = InstrumentationScope {
                    name: "remora".into(),
                    version: "0.1".into(),
                    ..Default::default()
                };
                let scope_spans = vec![ScopeSpans { scope: Some(scope), ..ScopeSpans::default() }];
                groups.push(ResourceSpans {
                    resource: Some(proto.clone()),
                    scope_spans,
                    ..Default::default()
                });
                groups.len() - 1
            });
        groups[at].scope_spans[0].spans.push(record.span);
    }
    groups
}

/// The names of all spans, sorted by number.
pub fn names<'a>(requests: impl IntoIterator<Item = &'a Vec<ResourceSpans>>) -> Vec<String> {
    let scopes = requests.into_iter().flatten().flat_map(|group| &group.scope_spans);
    let mut names: Vec<String> =
        scopes.flat_map(|scope| &scope.spans).map(|span| span.name.clone()).collect();
    names.sort_by_key(|name| name[5..].parse::<u64>().unwrap());
    names
}

pub fn expected_names(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("GET /{number}")).collect()
}

/// A gauge with three data points.
pub fn metrics() -> Vec<ResourceMetrics> {
    let point = |value| NumberDataPoint {
        time_unix_nano: 1_700_000_000_000_000_000,
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    };
    let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point(1), point(2), point(-3)] }));
    let metrics = vec![Metric { name: "queue".into(), data, ..Metric::default() }];
    vec![ResourceMetrics {
        resource: Some(resource("shop")),
        scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    }]
}

/// Waits until the numbers are as wanted. Fails with the numbers if that takes ten seconds.
pub async fn until(exporter: &Exporter, what: impl Fn(&Statistics) -> bool) -> Statistics {
    let start = Instant::now();
    loop {
        let statistics = exporter.statistics();
        if what(&statistics) {
            return statistics;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{statistics:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body, decompressed if it says that it is compressed.
    pub fn content(&self) -> Bytes {
        if self.header("content-encoding") != "gzip" {
            return self.body.clone();
        }
        let mut content = Vec::new();
        flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut content).unwrap();
        content.into()
    }
}

/// An answer: status, headers, body.
pub type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// A collector over HTTP that notes what it sees, and answers as it is told and then with success.
#[derive(Clone, Default)]
pub struct HttpCollector {
    pub seen: Arc<Mutex<Vec<Seen>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl HttpCollector {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Self { seen: Arc::default(), answers }
    }

    /// Listens on a free port.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.serve(listener);
        address
    }

    pub fn serve(&self, listener: TcpListener) {
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.connection(stream);
            }
        });
    }

    pub fn connection(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let this = self.clone();
        let service = hyper::service::service_fn(move |request| this.clone().answer(request));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let at = Instant::now();
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (method, path) = (head.method.to_string(), head.uri.to_string());
        self.seen.lock().unwrap().push(Seen { at, method, path, headers: head.headers, body });
        let (status, headers, body) =
            self.answers.lock().unwrap().pop_front().unwrap_or((200, Vec::new(), Vec::new()));
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        Ok(response.body(Full::from(body)).unwrap())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}
