//! Questions to spans, and complaints that say what came instead.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use crate::{Body, Coverage, Kind, Metrics, Outcome, Schedule, Span, Value, patience};

/// Everything that one agent told.
#[derive(Debug)]
pub struct Spans {
    all: Vec<Span>,
    /// The agent's own counters.
    pub coverage: Coverage,
    /// The services' metrics.
    pub metrics: Metrics,
    /// The agent's log.
    pub log: String,
}

impl Spans {
    pub(crate) fn new(all: Vec<Span>, coverage: Coverage, metrics: Metrics, log: String) -> Self {
        let ids: HashSet<&str> = all.iter().map(|span| span.id.as_str()).collect();
        assert_eq!(ids.len(), all.len(), "two spans have the same id");
        Self { all, coverage, metrics, log }
    }

    /// All spans.
    #[must_use]
    pub fn all(&self) -> Selection<'_> {
        Selection { what: "all spans".to_owned(), spans: self.all.iter().collect(), of: self }
    }

    /// Server spans of whoever listens on `port`.
    #[must_use]
    pub fn server(&self, port: u16) -> Selection<'_> {
        self.all().of_kind(Kind::Server).on(port)
    }

    /// Client spans of requests to `port`.
    #[must_use]
    pub fn client(&self, port: u16) -> Selection<'_> {
        self.all().of_kind(Kind::Client).on(port)
    }
}

/// Some spans, and what they have in common.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    what: String,
    spans: Vec<&'a Span>,
    of: &'a Spans,
}

impl<'a> Selection<'a> {
    /// Those for which `keep` holds; `what` says which these are.
    #[must_use]
    pub fn filter(mut self, what: &str, keep: impl Fn(&Span) -> bool) -> Self {
        self.what = format!("{}, {what}", self.what);
        self.spans.retain(|span| keep(span));
        self
    }

    /// Those of one kind.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        self.filter(&format!("{kind:?}"), |span| span.kind == kind)
    }

    /// Those whose server listens on a port.
    #[must_use]
    pub fn on(self, port: u16) -> Self {
        self.filter(&format!("port {port}"), |span| span.server_port() == Some(i64::from(port)))
    }

    /// Those of a process.
    #[must_use]
    pub fn by(self, process: u32) -> Self {
        self.filter(&format!("process {process}"), |span| span.process() == process)
    }

    /// Those of a service.
    #[must_use]
    pub fn service(self, name: &str) -> Self {
        self.filter(&format!("service {name}"), |span| span.service() == name)
    }

    /// Those with an attribute, of the span or its resource.
    #[must_use]
    pub fn with(self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.filter(&format!("{key} = {value}"), |span| span.get(key) == Some(&value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The spans themselves.
    pub fn iter(&self) -> impl Iterator<Item = &'a Span> + '_ {
        self.spans.iter().copied()
    }

    /// The spans in the order of their start.
    #[must_use]
    pub fn in_order(mut self) -> Vec<&'a Span> {
        self.spans.sort_by_key(|span| span.start);
        self.spans
    }

    /// Panics unless there are exactly `count`.
    #[track_caller]
    pub fn exactly(self, count: usize) -> Self {
        let found = self.len();
        assert!(
            found == count,
            "{count} expected, {found} found: {}\n{}",
            self.what,
            self.context(&self.spans)
        );
        self
    }

    /// The only one; panics if there is none or are several.
    #[must_use]
    #[track_caller]
    pub fn only(self) -> &'a Span {
        self.exactly(1).spans[0]
    }

    /// Panics unless `holds` for each.
    #[track_caller]
    pub fn each(self, claim: &str, holds: impl Fn(&Span) -> bool) -> Self {
        let bad: Vec<&Span> = self.iter().filter(|span| !holds(span)).collect();
        let (all, count) = (self.len(), bad.len());
        assert!(
            bad.is_empty(),
            "{count} of {all} are not so: {claim} ({})\n{}",
            self.what,
            self.context(&bad)
        );
        self
    }

    /// Panics unless each has an attribute, of the span or its resource, with this value.
    #[track_caller]
    pub fn each_has(self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.each(&format!("{key} = {value}"), |span| span.get(key) == Some(&value))
    }

    /// Panics if one has an attribute.
    #[track_caller]
    pub fn none_has(self, key: &str) -> Self {
        self.each(&format!("no {key}"), |span| span.get(key).is_none())
    }

    /// Panics unless these are exactly the exchanges of a schedule: one span a request, with its method, target,
    /// status, sizes and error, and within the times that the client measured.
    #[track_caller]
    pub fn tell(self, schedule: &Schedule, outcomes: &[Outcome]) -> Self {
        // Clocks are read on both sides of system calls, between which a thread may wait for a processor, and the agent turns
        // monotonic into wall-clock time.
        let tolerance = 5_000_000 * u64::from(patience());
        let mut by_request: BTreeMap<(String, String), Vec<&Span>> = BTreeMap::new();
        for span in self.iter() {
            by_request
                .entry((span.text("http.request.method").to_owned(), span.target()))
                .or_default()
                .push(span);
        }
        let mut faults = String::new();
        // Sizes of requests and of responses that are not known.
        let mut unknown = (0, 0);
        assert_eq!(outcomes.len(), schedule.requests.len(), "the client did not make all requests");
        for (request, outcome) in schedule.requests.iter().zip(outcomes) {
            let key = (request.method.to_owned(), request.target.clone());
            let found = by_request.remove(&key).unwrap_or_default();
            let [span] = found[..] else {
                let _ = writeln!(faults, "{} {}: {} spans", request.method, request.target, found.len());
                continue;
            };
            let mut expect = |what: &str, fine: bool| {
                if !fine {
                    let _ = writeln!(faults, "{what} expected of {span}");
                }
            };
            let status = i64::from(request.status);
            expect(&format!("status {status}"), span.code() == Some(status));
            let (sent, received) = (request.body.len() as i64, outcome.bytes as i64);
            let chunked = matches!(request.body, Body::Chunked(_));
            let told = size(span, "request", chunked, sent, &mut unknown.0);
            expect(&format!("request body size {sent}"), told == sent);
            if request.method != "HEAD" {
                let told = size(span, "response", request.chunked, received, &mut unknown.1);
                expect(&format!("response body size {received}"), told == received);
            }
            expect("a complete exchange", span.get("remora.outcome").is_none());
            let wrong = status >= 500 || (status >= 400 && span.kind == Kind::Client);
            expect(&format!("error status {wrong}"), (span.status == 2) == wrong);
            let kind = if wrong { status.to_string() } else { String::new() };
            expect(&format!("error.type {kind:?}"), span.text("error.type") == kind);
            expect(
                &format!("within what the client measured, {} to {}", outcome.start, outcome.end),
                span.start + tolerance >= outcome.start && span.end <= outcome.end + tolerance,
            );
            expect(&format!("at least {:?}", request.at_least), span.duration() >= request.at_least);
        }
        for ((method, target), spans) in by_request {
            let _ = writeln!(faults, "{method} {target}: {} spans too many", spans.len());
        }
        let shown: String = faults.lines().take(80).fold(String::new(), |all, line| all + line + "\n");
        assert!(faults.is_empty(), "{}: not what was requested:\n{shown}{}", self.what, self.context(&[]));
        self
    }

    /// Counts by kind of everything the agent told, and the first of `bad`.
    fn context(&self, bad: &[&Span]) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for span in &self.of.all {
            let port = span.server_port().map_or("-".to_owned(), |port| port.to_string());
            let code =
                span.code().map_or_else(|| span.text("error.type").to_owned(), |code| code.to_string());
            let key = format!("{:?} :{port} {} {:?} {code}", span.kind, span.service(), span.name);
            *counts.entry(key).or_default() += 1;
        }
        let mut text = format!("the agent told {} spans:\n", self.of.all.len());
        for (key, count) in counts.iter().take(40) {
            let _ = writeln!(text, "  {count:6} {key}");
        }
        let _ = write!(text, "and counted:\n{}", self.of.coverage);
        for span in bad.iter().take(5) {
            let _ = write!(text, "{span}");
        }
        text
    }
}

/// The size of a body as a span tells it. Of a chunked body only its bytes tell the size, and after many small messages
/// too few may have been copied once; so the first time that there is none, the expected one is taken.
fn size(span: &Span, of: &str, chunked: bool, expected: i64, unknown: &mut usize) -> i64 {
    match span.integer(&format!("http.{of}.body.size")) {
        Some(size) => size,
        None if chunked && *unknown == 0 => {
            *unknown += 1;
            expected
        }
        None => 0,
    }
}

/// Whether two spans tell the same, apart from times and identity.
impl Span {
    /// What does not depend on when and by which agent it was seen.
    #[must_use]
    pub fn essence(&self) -> String {
        let attributes: Vec<String> = self
            .attributes
            .iter()
            .filter(|(key, _)| *key != "remora.time_to_first_byte")
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("{:?} {} {} {} {attributes:?}", self.kind, self.service(), self.process(), self.name)
    }

    /// Whether the duration lies between two bounds.
    #[must_use]
    pub fn lasts(&self, at_least: Duration, at_most: Duration) -> bool {
        (at_least..=at_most).contains(&self.duration())
    }
}
