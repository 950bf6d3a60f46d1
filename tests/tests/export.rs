//! Export: collectors that are down, slow or unwilling, the real one, and that the agent does not watch itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remora_tests::{
    Agent, AgentBuilder, Answer, Client, Collector, Netns, Place, Running, Sink, Span, Spans, nginx, wait_for,
};

const PORT: u16 = 8080;
const ADDRESS: &str = "127.0.0.1:8080";
/// Where the test's own collector listens.
const COLLECTOR: u16 = 4318;
const PATIENCE: Duration = Duration::from_secs(30);

fn server(net: &Netns, place: &Place) -> Running {
    nginx(net, place, PORT, &format!("server {{ listen {ADDRESS}; location / {{ return 200 'hello\n'; }} }}"))
}

/// An agent that lives in the namespace that it watches, and exports to a port of it.
fn exporting(net: &Netns, protocol: &str, port: u16) -> AgentBuilder {
    Agent::exporting(net, "otlp")
        .living_in(net)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
}

/// Makes requests on a new connection; no two targets of a test program are the same.
fn requests(net: &Netns, count: usize) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let mut client = Client::connect(net, ADDRESS);
    for _ in 0..count {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        assert_eq!(client.get(&format!("/export?{number}")).status, 200);
    }
}

/// Ends the agent and returns its log; it must end in time and well whatever the collector does.
fn end(mut agent: Agent) -> String {
    agent.process().signal(libc::SIGTERM);
    let started = std::time::Instant::now();
    let ended = wait_for(Duration::from_secs(20), || agent.process().ended().is_some());
    let taken = started.elapsed();
    let log = agent.log();
    assert!(
        ended && taken <= Duration::from_secs(2) * remora_tests::patience(),
        "{taken:?} after SIGTERM\n{log}"
    );
    assert!(agent.process().ended().is_some_and(|status| status.success()), "{log}");
    log
}

/// Lines of the log about trouble with the collector; a repeated trouble is told once.
fn complaints(log: &str) -> usize {
    log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count()
}

/// Exactly `count` spans a side, each target once, and nothing of the agent's own conversation with the collector.
#[track_caller]
fn exactly(spans: &[Span], count: usize, collector: &[u16]) {
    for kind in [remora_tests::Kind::Server, remora_tests::Kind::Client] {
        let of_kind: Vec<&Span> = spans
            .iter()
            .filter(|span| span.kind == kind && span.server_port() == Some(i64::from(PORT)))
            .collect();
        let targets: BTreeSet<String> = of_kind.iter().map(|span| span.target()).collect();
        assert_eq!((of_kind.len(), targets.len()), (count, count), "{kind:?} spans and their targets");
    }
    for span in spans {
        let port = span.server_port().unwrap_or(0);
        assert!(
            !collector.iter().any(|own| i64::from(*own) == port),
            "the agent told of its own export: {span}"
        );
    }
}

/// Everything arrives once, over HTTP with protobuf, and the agent does not tell of itself.
#[test]
fn http_protobuf() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let collector = Collector::start(&net, &format!("127.0.0.1:{COLLECTOR}"), &[], Answer::Accept);
    let agent = exporting(&net, "http/protobuf", COLLECTOR).start();
    requests(&net, 100);
    assert!(wait_for(PATIENCE, || collector.spans().len() >= 200), "{}", agent.log());
    // What the agent told of its export would come with the next batch, so there is a next one.
    let offers = collector.offers();
    requests(&net, 1);
    assert!(wait_for(PATIENCE, || collector.offers() > offers), "{}", agent.log());
    let log = end(agent);
    let spans = collector.spans();
    assert_eq!(spans.len(), 202, "{log}");
    exactly(&spans, 101, &[COLLECTOR]);
    assert!(collector.deliveries().iter().any(|delivery| delivery.path == "/v1/metrics"), "metrics came");
    assert_eq!(complaints(&log), 0, "{log}");
}

/// Nobody listens: one sentence, no end, and what is lost is counted.
#[test]
fn collector_is_down() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let mut agent = exporting(&net, "http/protobuf", COLLECTOR).start();
    requests(&net, 50);
    assert!(wait_for(PATIENCE, || complaints(&agent.log()) > 0), "{}", agent.log());
    let told = agent.log();
    assert!(told.contains("127.0.0.1:4318"), "says where: {told}");
    // Goes on for some tries, without telling it again.
    for _ in 0..5 {
        requests(&net, 50);
    }
    assert!(agent.process().ended().is_none());
    let log = end(agent);
    assert!(complaints(&log) <= 3, "tells it again and again:\n{log}");
    assert!(log.contains("dropped"), "counts what was lost:\n{log}");
}

/// The same over gRPC.
#[test]
fn collector_is_down_grpc() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let agent = exporting(&net, "grpc", 4317).start();
    requests(&net, 50);
    assert!(wait_for(PATIENCE, || complaints(&agent.log()) > 0), "{}", agent.log());
    let log = end(agent);
    assert!(log.contains("127.0.0.1:4317") && complaints(&log) <= 3, "{log}");
}

/// A collector that comes late gets everything.
#[test]
fn collector_comes_late() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let agent = exporting(&net, "http/protobuf", COLLECTOR).start();
    requests(&net, 50);
    assert!(wait_for(PATIENCE, || complaints(&agent.log()) > 0), "{}", agent.log());
    let collector = Collector::start(&net, &format!("127.0.0.1:{COLLECTOR}"), &[], Answer::Accept);
    assert!(wait_for(PATIENCE, || collector.spans().len() >= 100), "{}", agent.log());
    let _ = end(agent);
    exactly(&collector.spans(), 50, &[COLLECTOR]);
}

/// A collector that takes requests and never answers does not hold up the agent's end.
#[test]
fn collector_hangs() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let collector = Collector::start(&net, &format!("127.0.0.1:{COLLECTOR}"), &[], Answer::Hang);
    let agent = exporting(&net, "http/protobuf", COLLECTOR).start();
    requests(&net, 50);
    assert!(wait_for(PATIENCE, || collector.offers() > 0), "{}", agent.log());
    let log = end(agent);
    assert!(log.contains("dropped"), "counts what was lost:\n{log}");
}

/// A collector that takes its time gets everything once, and nothing is told of trouble.
#[test]
fn collector_is_slow() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let collector = Collector::start(&net, &format!("127.0.0.1:{COLLECTOR}"), &[], Answer::Slowly(700));
    let agent = exporting(&net, "http/protobuf", COLLECTOR).start();
    for _ in 0..4 {
        let offers = collector.offers();
        requests(&net, 25);
        assert!(wait_for(PATIENCE, || collector.offers() > offers), "{}", agent.log());
    }
    assert!(wait_for(PATIENCE, || collector.spans().len() >= 200), "{}", agent.log());
    let log = end(agent);
    exactly(&collector.spans(), 100, &[COLLECTOR]);
    assert_eq!(complaints(&log), 0, "{log}");
}

/// 503 and 429 mean "again", and `Retry-After` when; in the end each span has come once.
#[test]
fn collector_asks_for_patience() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let script = [Answer::Refuse(503), Answer::Refuse(429), Answer::Later(1), Answer::Refuse(502)];
    let collector = Collector::start(&net, &format!("127.0.0.1:{COLLECTOR}"), &script, Answer::Accept);
    let agent = exporting(&net, "http/protobuf", COLLECTOR).start();
    requests(&net, 50);
    assert!(wait_for(PATIENCE, || collector.spans().len() >= 100), "{}", agent.log());
    let log = end(agent);
    exactly(&collector.spans(), 50, &[COLLECTOR]);
    assert!((1..=3).contains(&complaints(&log)), "{log}");
}

/// 400 means "never": it is not tried again, it is said once and counted.
#[test]
fn collector_refuses() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let collector = Collector::start(&net, &format!("127.0.0.1:{COLLECTOR}"), &[], Answer::Refuse(400));
    let mut agent = exporting(&net, "http/protobuf", COLLECTOR).start();
    for _ in 0..3 {
        let offers = collector.offers();
        requests(&net, 20);
        assert!(wait_for(PATIENCE, || collector.offers() > offers), "{}", agent.log());
    }
    assert!(agent.process().ended().is_none());
    let log = end(agent);
    let ids: Vec<String> =
        collector.deliveries().into_iter().flat_map(|delivery| delivery.spans).map(|span| span.id).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "a refused span was offered again");
    assert_eq!(ids.len(), 120);
    assert!((1..=3).contains(&complaints(&log)), "{log}");
    assert!(log.contains("400") && log.contains("dropped"), "{log}");
}

/// The real OpenTelemetry Collector takes all of it and hands it on unharmed.
fn real_collector(protocol: &str, port: u16) {
    const COUNT: usize = 500;
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let Some(sink) = Sink::start(&net) else { return };
    let agent = exporting(&net, protocol, port).start();
    requests(&net, COUNT);
    let of_server = || {
        let spans = sink.out.spans();
        spans.into_iter().filter(|span| span.server_port() == Some(i64::from(PORT))).collect::<Vec<_>>()
    };
    assert!(
        wait_for(PATIENCE, || of_server().len() >= 2 * COUNT),
        "{} came\n{}",
        of_server().len(),
        agent.log()
    );
    let log = end(agent);
    assert_eq!(complaints(&log), 0, "{log}");
    let spans = of_server();
    exactly(&spans, COUNT, &[]);
    for span in &spans {
        assert_eq!(span.code(), Some(200), "{span}");
        assert_eq!(span.text("http.request.method"), "GET", "{span}");
        assert_eq!(span.integer("http.response.body.size"), Some(6), "{span}");
        assert!(!span.text("host.name").is_empty() && span.process() > 0, "{span}");
        let of_nginx = span.kind == remora_tests::Kind::Server;
        assert_eq!(span.service() == "nginx", of_nginx, "{span}");
    }
    // The collector's own conversation with its backend is a service's like any other; that with the agent is not.
    for span in sink.out.spans() {
        let port = span.server_port().unwrap_or(0);
        assert!(
            port == i64::from(PORT) || port == i64::from(Sink::OUT),
            "the agent told of its own export: {span}"
        );
    }
    assert!(wait_for(PATIENCE, || !sink.out.coverage().is_empty()), "the agent's counters came, too");
    assert!(sink.out.coverage().get("segments") >= 4 * COUNT as i64);
}

#[test]
fn real_collector_over_grpc() {
    real_collector("grpc", Sink::GRPC);
}

#[test]
fn real_collector_over_http() {
    real_collector("http/protobuf", Sink::HTTP);
}

/// What is written to standard output is whole lines of OTLP/JSON and nothing else, while the agent runs, too.
#[test]
fn standard_output() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = server(&net, &place);
    let agent = Agent::start(&net);
    requests(&net, 30);
    let come = |spans: &Spans| spans.all().len() == 60;
    assert!(wait_for(Duration::from_secs(10), || come(&agent.so_far())), "spans come while the agent runs");
    let spans = agent.stop();
    let _ = spans.all().exactly(60);
    assert!(
        spans.log.lines().any(|line| line.contains("coverage") || line.contains("segments")),
        "{}",
        spans.log
    );
}
