//! What clients are told to request, in a form that each workload client reads, and what they measured.

use std::time::Duration;

use crate::{Finished, Program};

/// A request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// None.
    None,
    /// So many bytes, announced by `Content-Length`.
    Sized(usize),
    /// So many bytes in chunks.
    Chunked(usize),
}

impl Body {
    /// Bytes of payload.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Body::None => 0,
            Body::Sized(length) | Body::Chunked(length) => length,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// One request and what the answer must be.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// Path and query, unlike those of every other request of the schedule.
    pub target: String,
    /// Its body.
    pub body: Body,
    /// The status that the server is known to answer.
    pub status: u16,
    /// The answer's body comes in chunks.
    pub chunked: bool,
    /// The server is known to take at least so long.
    pub at_least: Duration,
}

/// What a client saw of one request.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The response's status.
    pub status: u16,
    /// Bytes of the response's body.
    pub bytes: u64,
    /// Before the request, nanoseconds since 1970.
    pub start: u64,
    /// After the last byte of the response, nanoseconds since 1970.
    pub end: u64,
}

/// Requests in order.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// The requests.
    pub requests: Vec<Request>,
}

impl Schedule {
    /// Adds `count` requests to a path; a query makes each unlike the others.
    #[must_use]
    pub fn add(mut self, count: usize, method: &'static str, path: &str, status: u16, body: Body) -> Self {
        for _ in 0..count {
            let target = format!("{path}?i={}", self.requests.len());
            let chunked = path.starts_with("/chunked/");
            let at_least = Duration::ZERO;
            self.requests.push(Request { method, target, body, status, chunked, at_least });
        }
        self
    }

    /// Adds `count` requests that take the server some time.
    #[must_use]
    pub fn slow(mut self, count: usize, milliseconds: u64) -> Self {
        let from = self.requests.len();
        self = self.add(count, "GET", &format!("/slow/{milliseconds}"), 200, Body::None);
        for request in &mut self.requests[from..] {
            // Timers may fire a little early (event loops round to milliseconds).
            request.at_least = Duration::from_millis(milliseconds.saturating_sub(2));
        }
        self
    }

    /// What all workload servers know how to answer.
    #[must_use]
    pub fn standard() -> Self {
        Self::default()
            .add(10, "GET", "/hello", 200, Body::None)
            .add(5, "GET", "/bytes/20000", 200, Body::None)
            .add(3, "GET", "/bytes/0", 200, Body::None)
            .add(3, "GET", "/missing", 404, Body::None)
            .add(2, "GET", "/status/503", 503, Body::None)
            .add(3, "POST", "/echo", 200, Body::Sized(100))
            .add(2, "POST", "/echo", 200, Body::Sized(40_000))
            .add(3, "GET", "/chunked/3000", 200, Body::None)
            .slow(2, 120)
            .add(2, "GET", "/hello", 200, Body::None)
    }

    /// The same with request bodies in chunks.
    #[must_use]
    pub fn with_chunked_requests(self) -> Self {
        self.add(3, "POST", "/echo", 200, Body::Chunked(5000))
    }

    /// How many requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Lets a workload client make the requests; checks what it got.
    #[must_use]
    pub fn run(&self, client: Program) -> (Vec<Outcome>, Finished) {
        let lines = self.requests.iter().map(|request| {
            let body = match request.body {
                Body::None => "-".to_owned(),
                Body::Sized(length) => length.to_string(),
                Body::Chunked(length) => format!("chunked:{length}"),
            };
            format!("{} {} {body}\n", request.method, request.target)
        });
        let finished = client.input(lines.collect::<String>()).run().ok();
        let outcomes: Vec<Outcome> = finished.output.lines().map(outcome).collect();
        assert_eq!(outcomes.len(), self.len(), "answers\n{}\n{}", finished.output, finished.errors);
        for (request, outcome) in self.requests.iter().zip(&outcomes) {
            assert_eq!(outcome.status, request.status, "status of {}", request.target);
        }
        (outcomes, finished)
    }
}

/// `STATUS BYTES START END`
fn outcome(line: &str) -> Outcome {
    let fields: Vec<u64> = line.split(' ').map_while(|field| field.parse().ok()).collect();
    let [status, bytes, start, end] = fields[..] else { panic!("not an outcome: {line}") };
    Outcome { status: u16::try_from(status).expect("status"), bytes, start, end }
}
