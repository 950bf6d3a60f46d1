//! Collectors: one whose answers a test decides, and the real one.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::{Coverage, Metrics, Netns, Place, Running, Span, repository};

/// What a [`Collector`] does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Takes it.
    Accept,
    /// Refuses it with this status.
    Refuse(u16),
    /// Refuses it with 503 and says to come again after so many seconds.
    Later(u32),
    /// Takes it, and says so after so many milliseconds.
    Slowly(u64),
    /// Reads it and never answers.
    Hang,
}

/// A request that a [`Collector`] got.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The path: `/v1/traces` or `/v1/metrics`.
    pub path: String,
    /// What it was answered.
    pub answer: Answer,
    /// Its spans, if it was about spans.
    pub spans: Vec<Span>,
}

/// An OTLP/HTTP endpoint (protobuf and JSON) of the test itself, inside its namespace.
#[derive(Debug)]
pub struct Collector {
    listener: TcpListener,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    script: VecDeque<Answer>,
    then: Answer,
    deliveries: Vec<Delivery>,
    coverage: Coverage,
    metrics: Metrics,
    connections: Vec<TcpStream>,
    faults: Vec<String>,
}

impl Collector {
    /// Listens on `address`; answers requests about spans by `script`, and after its end all with `then`.
    #[must_use]
    pub fn start(netns: &Netns, address: &str, script: &[Answer], then: Answer) -> Self {
        let listener = netns.enter(|| TcpListener::bind(address)).expect("listen");
        let state = Arc::new(Mutex::new(State {
            script: script.iter().copied().collect(),
            then,
            deliveries: Vec::new(),
            coverage: Coverage::default(),
            metrics: Metrics::default(),
            connections: Vec::new(),
            faults: Vec::new(),
        }));
        let accepting = listener.try_clone().expect("clone");
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            // Ends when the listener is shut down.
            while let Ok((stream, _)) = accepting.accept() {
                lock(&shared).connections.push(stream.try_clone().expect("clone"));
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || while converse(&stream, &shared) {});
            }
        });
        Self { listener, state }
    }

    /// What came, in order.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        let state = lock(&self.state);
        assert!(state.faults.is_empty(), "the collector could not read: {:#?}", state.faults);
        state.deliveries.clone()
    }

    /// The spans that it accepted.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let taken = |answer| matches!(answer, Answer::Accept | Answer::Slowly(_));
        let accepted = self.deliveries().into_iter().filter(|delivery| taken(delivery.answer));
        accepted.flat_map(|delivery| delivery.spans).collect()
    }

    /// How often spans were offered to it.
    #[must_use]
    pub fn offers(&self) -> usize {
        self.deliveries().iter().filter(|delivery| delivery.path == "/v1/traces").count()
    }

    /// The agent's counters (from JSON only, as the real collector passes them on).
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        lock(&self.state).coverage.clone()
    }

    /// The services' metrics, likewise.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        lock(&self.state).metrics.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // SAFETY: an open socket; wakes the thread in `accept`.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        for connection in &lock(&self.state).connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one request and answers it; says whether another may follow.
fn converse(stream: &TcpStream, state: &Mutex<State>) -> bool {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return false;
    }
    let (mut length, mut json) = (0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            Some(("content-type", value)) => json = value.trim().starts_with("application/json"),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return false;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = take(state, path, &body, json);
    let reply = match answer {
        Answer::Accept => "200 OK\r\n".to_owned(),
        Answer::Slowly(milliseconds) => {
            std::thread::sleep(Duration::from_millis(milliseconds));
            "200 OK\r\n".to_owned()
        }
        Answer::Refuse(status) => format!("{status} Refused\r\n"),
        Answer::Later(seconds) => format!("503 Later\r\nRetry-After: {seconds}\r\n"),
        // Until one of both sides closes the connection.
        Answer::Hang => return reader.read(&mut [0]).is_ok_and(|read| read > 0),
    };
    let kind = if json { "application/json" } else { "application/x-protobuf" };
    let body = if json { "{}" } else { "" };
    let reply =
        format!("HTTP/1.1 {reply}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut writer = stream;
    writer.write_all(reply.as_bytes()).is_ok()
}

fn take(state: &Mutex<State>, path: String, body: &[u8], json: bool) -> Answer {
    let mut state = lock(state);
    let traces = path == "/v1/traces";
    let answer = if !traces { Answer::Accept } else { state.script.pop_front().unwrap_or(state.then) };
    let mut spans = Vec::new();
    if let Err(fault) = read(&mut state, traces, body, json, &mut spans) {
        state.faults.push(format!("{path}: {fault}"));
    }
    state.deliveries.push(Delivery { path, answer, spans });
    answer
}

fn read(state: &mut State, traces: bool, body: &[u8], json: bool, to: &mut Vec<Span>) -> Result<(), String> {
    let request = if json {
        serde_json::from_slice(body).map_err(|error| error.to_string())?
    } else if traces {
        let request = ExportTraceServiceRequest::decode(body).map_err(|error| error.to_string())?;
        serde_json::to_value(request).map_err(|error| error.to_string())?
    } else {
        return Ok(());
    };
    Span::parse(&request, to)?;
    state.coverage.parse(&request)?;
    state.metrics.parse(&request)
}

/// The real OpenTelemetry Collector, which passes on what it gets to a [`Collector`] as JSON.
#[derive(Debug)]
pub struct Sink {
    /// What came out of it.
    pub out: Collector,
    _place: Place,
    _running: Running,
}

impl Sink {
    /// Where it takes OTLP over gRPC.
    pub const GRPC: u16 = 4317;
    /// Where it takes OTLP over HTTP.
    pub const HTTP: u16 = 4318;
    /// Where it hands on what it got.
    pub const OUT: u16 = 4999;

    /// Starts it inside a namespace, if it was built (`cargo xtask setup`); else says that the test is skipped.
    #[must_use]
    pub fn start(netns: &Netns) -> Option<Self> {
        let program = repository().join(".cache/otelcol/otelcol");
        if !program.exists() {
            println!("skipped: no OpenTelemetry Collector at {}: cargo xtask setup", program.display());
            return None;
        }
        let place = Place::new();
        let settings = place.write(
            "collector.yaml",
            format!(
                "receivers:
  otlp:
    protocols:
      grpc: {{endpoint: '127.0.0.1:{}'}}
      http: {{endpoint: '127.0.0.1:{}'}}
processors: {{batch: {{timeout: 100ms}}}}
exporters:
  otlphttp: {{endpoint: 'http://127.0.0.1:{}', encoding: json, compression: none}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [otlphttp]}}
    metrics: {{receivers: [otlp], processors: [batch], exporters: [otlphttp]}}
",
                Self::GRPC,
                Self::HTTP,
                Self::OUT
            ),
        );
        let out = Collector::start(netns, &format!("127.0.0.1:{}", Self::OUT), &[], Answer::Accept);
        let mut running = netns.program(program).arg("--config").arg(settings).listen(Self::GRPC);
        running.wait_until("says that it is ready", |process| {
            std::fs::read(format!("/proc/{process}/fd/2"))
                .is_ok_and(|log| String::from_utf8_lossy(&log).contains("Everything is ready"))
        });
        Some(Self { out, _place: place, _running: running })
    }
}
