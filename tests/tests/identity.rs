//! No span carries another connection's bytes, whatever is done to descriptors.
//!
//! The workload `identity` (`tests/workloads/identity`) gives every request and response its connection's own name, in each
//! part that a span tells of: addresses and ports, target, host, user agent, trace id, status and length. So each part
//! must agree with all others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use remora_tests::{Agent, Coverage, Kind, Netns, Place, Span, Tier, built, each_tier};

each_tier!(no_span_has_anothers_bytes);

/// Threads that open, duplicate, pass and close.
const THREADS: &str = "200";

/// Spans that the workload gives rise to on one connection, at most.
const MOST_OF_A_CONNECTION: usize = 12;

/// How long they do: `REMORA_STRESS_SECONDS`, or 5.
fn seconds() -> u64 {
    let asked = std::env::var("REMORA_STRESS_SECONDS").ok();
    asked.map_or(5, |seconds| seconds.parse().expect("REMORA_STRESS_SECONDS is a number"))
}

/// What the workload says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Nothing hindered it.
    Exact,
    /// A call that carried it ended under a number that meant another connection by then.
    Raced,
    /// It was not answered.
    Cut,
}

/// A request, as its target names it.
#[derive(Clone, Copy, Debug)]
struct Request<'a> {
    target: &'a str,
    family: &'a str,
    server: i64,
    client: i64,
    serial: u64,
    number: u64,
    status: i64,
    answer: i64,
    length: i64,
}

impl<'a> Request<'a> {
    fn of(target: &'a str) -> Option<Self> {
        let parts: Vec<&str> = target.strip_prefix('/')?.split('/').collect();
        let [family, server, client, serial, number, status, answer, length] = parts[..] else { return None };
        Some(Self {
            target,
            family,
            server: server.parse().ok()?,
            client: client.parse().ok()?,
            serial: serial.parse().ok()?,
            number: number.parse().ok()?,
            status: status.parse().ok()?,
            answer: answer.parse().ok()?,
            length: length.parse().ok()?,
        })
    }

    /// What of a span is not this request's own; nothing if all is.
    fn faults(&self, span: &Span, answered: bool) -> String {
        let mut faults = String::new();
        let mut expect = |what: &str, fine: bool| {
            if !fine {
                let _ = write!(faults, " {what}");
            }
        };
        let Request { serial, number, .. } = *self;
        if self.family == "unix" {
            let end = if span.kind == Kind::Server { "local" } else { "peer" };
            let path = span.text(&format!("network.{end}.address"));
            expect("path", path.ends_with(&format!("/{serial}.sock")));
        } else {
            let (near, far) = if span.kind == Kind::Server {
                (self.server, self.client)
            } else {
                (self.client, self.server)
            };
            expect("peer's port", span.integer("network.peer.port") == Some(far));
            let local = span.integer("network.local.port");
            expect("own port", local == Some(near) || (local.is_none() && span.kind == Kind::Client));
            let address = if self.family == "tcp6" { "::1" } else { "127.0.0.1" };
            expect("peer's address", span.text("network.peer.address") == address);
        }
        expect("host", span.text("server.address") == format!("c{serial}.r{number}"));
        expect("user agent", span.text("user_agent.original") == self.target);
        expect("trace", span.trace == format!("{serial:016x}{:016x}", number + 1));
        let method = if self.length > 0 { "POST" } else { "GET" };
        expect("method", span.text("http.request.method") == method);
        let size = |of: &str| span.integer(&format!("http.{of}.body.size")).unwrap_or(0);
        if answered || span.code().is_some() {
            expect("status", answered && span.code() == Some(self.status));
            expect("answer's length", size("response") == self.answer);
            expect("length", size("request") == self.length);
            expect("outcome", span.get("remora.outcome").is_none());
        }
        faults
    }
}

/// 200 threads open, duplicate, pass over unix sockets, leave to children and close descriptors, also those of calls that
/// other threads are blocked in.
fn no_span_has_anothers_bytes(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    // Each connection has a server of its own, of which metrics would be made.
    let agent =
        Agent::watch(&net).tier(tier).config("metrics: {cardinality_limit: 10, max_series: 100}\n").start();
    let seconds = seconds();
    let workload = net.program(built("identity"));
    let workload = workload.arg(place.path()).args([THREADS, &seconds.to_string()]).start();
    let finished = workload.finish(Duration::from_secs(60 + 20 * seconds)).ok();
    let spans = agent.stop();

    let mut requests = BTreeMap::new();
    for line in finished.output.lines() {
        let [class, client, server, target] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let class = match class {
            "exact" => Class::Exact,
            "raced" => Class::Raced,
            _ => Class::Cut,
        };
        let processes: [u32; 2] = [client, server].map(|id| id.parse().expect("a process"));
        assert!(requests.insert(target, (class, processes)).is_none(), "two requests are {target}");
    }
    assert!(requests.len() > 100, "only {} requests", requests.len());

    let mut faults = Faults::default();
    let mut told: BTreeMap<(&str, Kind), u32> = BTreeMap::new();
    let mut missing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for span in spans.all().iter() {
        let target = span.target();
        let Some((target, (class, [client, server]))) = requests.get_key_value(target.as_str()) else {
            faults.add("nobody's", span);
            continue;
        };
        let Some(request) = Request::of(target) else { panic!("{target}") };
        let lost = span.text("remora.outcome") == "response_lost";
        let wrong = request.faults(span, *class != Class::Cut && !lost);
        if !wrong.is_empty() {
            faults.add(&format!("another's{wrong}, {class:?}"), span);
        }
        let process = if span.kind == Kind::Server { *server } else { *client };
        if span.process() != process && process != 0 {
            faults.add(&format!("not of process {process}"), span);
        }
        if lost {
            missing.entry(format!("{class:?} {:?}: no response", span.kind)).or_default().push(target);
        }
        *told.entry((*target, span.kind)).or_default() += 1;
    }
    for (target, (class, _)) in &requests {
        for kind in [Kind::Client, Kind::Server] {
            let count = told.get(&(*target, kind)).copied().unwrap_or(0);
            if count > 1 {
                missing.entry(format!("{class:?} {kind:?}: {count} spans")).or_default().push(target);
            } else if count == 0 && *class != Class::Cut {
                missing.entry(format!("{class:?} {kind:?}: no span")).or_default().push(target);
            }
        }
    }
    // What is missing is explained by a counter: a full ring buffer, on a busy machine; memory that could not be read, or a
    // program that the kernel skipped or a return that it did not tell, after which some more of the same connection may be
    // lost.
    let lost: usize =
        missing.iter().filter(|(what, _)| what.contains(": no ")).map(|(_, targets)| targets.len()).sum();
    let single: i64 = ["read_fault", "skipped_programs", "missed_returns"]
        .map(|name| spans.coverage.get(name))
        .iter()
        .sum();
    let unreadable = usize::try_from(single).expect("a number");
    if spans.coverage.get("ring_full") > 0 || lost <= unreadable * MOST_OF_A_CONNECTION {
        missing.retain(|what, _| !what.contains(": no "));
    }
    for (what, targets) in &missing {
        let some = targets.iter().take(10).copied().collect::<Vec<_>>().join("\n    ");
        let _ = writeln!(faults.text, "{what}: {}\n    {some}", targets.len());
    }
    faults.none(requests.len(), &spans.coverage);
}

/// What was wrong, and the first examples of it.
#[derive(Default)]
struct Faults {
    count: usize,
    /// How many there are of each kind.
    kinds: BTreeMap<String, usize>,
    text: String,
}

impl Faults {
    fn add(&mut self, what: &str, span: &Span) {
        self.count += 1;
        let family = span.target().split('/').nth(1).unwrap_or_default().to_owned();
        *self.kinds.entry(format!("{family}: {what}")).or_default() += 1;
        if self.count <= 10 {
            let _ = write!(self.text, "{what}: {span}");
        }
    }

    #[track_caller]
    fn none(&self, requests: usize, coverage: &Coverage) {
        let (count, kinds, text) = (self.count, &self.kinds, &self.text);
        assert!(
            text.is_empty(),
            "of {requests} requests, {count} spans are wrong\n{text}\n{coverage}\n{kinds:#?}"
        );
    }
}
