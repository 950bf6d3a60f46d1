//! Metrics of services: exact counts over real traffic, in both temporalities, on standard output and through the real
//! collector; connections of unknown protocols and encrypted ones.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use remora_tests::{
    Agent, Client, Data, Metrics, Netns, Place, Point, Program, Running, Sink, Tier, Value, each_tier, nginx,
    python, remora, serve, wait_for,
};

each_tier!(unknown_protocol, encrypted);

const PORT: u16 = 8080;
const ADDRESS: &str = "127.0.0.1:8080";
const PATIENCE: Duration = Duration::from_secs(30);
const SERVER: &str = "http.server.request.duration";
const CLIENT: &str = "http.client.request.duration";
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";

fn web(net: &Netns, place: &Place) -> Running {
    let server = format!(
        "server {{ listen {ADDRESS}; location / {{ return 200 'hello\n'; }} location /no {{ return 404; }} }}"
    );
    nginx(net, place, PORT, &server)
}

fn requests(client: &mut Client, target: &str, count: usize) {
    for _ in 0..count {
        let _ = client.get(target);
    }
}

fn of_status(status: i64) -> [(&'static str, Value); 1] {
    [("http.response.status_code", Value::Integer(status))]
}

/// The only process among points.
#[track_caller]
fn only<'a>(points: &[&'a Point]) -> &'a Point {
    let [point] = points else { panic!("{} points: {points:#?}", points.len()) };
    point
}

/// Each request is in one histogram of either end, whatever the temporality, over several intervals with silence between
/// them.
fn counts_exactly(temporality: &str) {
    let (net, place) = (Netns::new(), Place::new());
    let _server = web(&net, &place);
    let agent = Agent::watch(&net)
        .env(TEMPORALITY, temporality)
        .args(["--metrics-interval", "300", "--shards", "4"])
        .start();
    let mut client = Client::connect(&net, ADDRESS);
    for (round, count) in [40, 1, 17].into_iter().enumerate() {
        requests(&mut client, &format!("/item/{round}"), count);
        requests(&mut client, "/no", 3);
        let expected: i64 = [40, 41, 58][round];
        let come = || agent.so_far().metrics.total(SERVER, &of_status(200)) >= expected;
        assert!(wait_for(PATIENCE, come), "{}", agent.so_far().metrics.summary());
    }
    let mut last = Client::connect(&net, ADDRESS);
    requests(&mut last, "/last", 5);
    let told = agent.stop();
    let metrics = &told.metrics;
    metrics.consistent();
    for name in [SERVER, CLIENT] {
        assert_eq!(metrics.total(name, &of_status(200)), 63, "{}", metrics.summary());
        assert_eq!(metrics.total(name, &of_status(404)), 9, "{}", metrics.summary());
        assert_eq!(metrics.total(name, &[]), 72, "{}", metrics.summary());
        let points: Vec<&Point> = metrics.points().iter().filter(|point| point.name == name).collect();
        assert!(points.iter().all(|point| point.unit == "s" && point.delta == (temporality == "delta")));
    }
    let nginx = metrics.last(SERVER, &of_status(200));
    assert!(nginx.iter().all(|point| point.service() == "nginx" && point.process() > 0));
    let text = |text: &str| Value::Text(text.to_owned());
    for point in &nginx {
        for (key, value) in
            [("http.request.method", "GET"), ("url.scheme", "http"), ("network.protocol.version", "1.1")]
        {
            assert_eq!(point.attributes.get(key), Some(&text(value)), "{point:#?}");
        }
        assert!(
            !point.attributes.contains_key("error.type") && !point.attributes.contains_key("client.port")
        );
    }
    let failed = only(&metrics.last(CLIENT, &of_status(404))[..1]);
    assert_eq!(failed.attributes.get("error.type"), Some(&text("404")));
    assert_eq!(failed.attributes.get("server.address"), Some(&text("test")));
    exemplars(metrics, &told);
    traffic(metrics);
    assert_eq!(told.coverage.get("overflowed_readings") + told.coverage.get("dropped_readings"), 0);
}

/// Each exemplar is a span that was told, and its value the span's duration.
fn exemplars(metrics: &Metrics, told: &remora_tests::Spans) {
    let spans: BTreeMap<(String, String), f64> = told
        .all()
        .iter()
        .map(|span| ((span.trace.clone(), span.id.clone()), span.duration().as_secs_f64()))
        .collect();
    let mut seen = 0;
    for point in metrics.points().iter().filter(|point| point.name == SERVER) {
        let Data::Histogram { min, max, .. } = point.data else { panic!("{point:#?}") };
        assert!(point.exemplars.len() <= 1);
        for (trace, span, value) in &point.exemplars {
            let duration = spans[&(trace.clone(), span.clone())];
            assert!((duration - value).abs() < 1e-6, "{duration} {point:#?}");
            assert!((min..=max).contains(value));
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} exemplars");
}

/// The edges between the two ends: two connections, as many bytes received at one end as sent at the other.
fn traffic(metrics: &Metrics) {
    let of = |role: &str| [("remora.role", Value::from(role))];
    for role in ["client", "server"] {
        assert_eq!(metrics.total("remora.network.connections", &of(role)), 2, "{}", metrics.summary());
    }
    let bytes = |role: &str, direction: &str| {
        let with = [("remora.role", Value::from(role)), ("network.io.direction", direction.into())];
        metrics.total("remora.network.io", &with)
    };
    assert!(bytes("client", "transmit") > 72 * 30, "{}", metrics.summary());
    assert_eq!(bytes("client", "transmit"), bytes("server", "receive"), "{}", metrics.summary());
    assert_eq!(bytes("client", "receive"), bytes("server", "transmit"), "{}", metrics.summary());
    for point in metrics.last("remora.network.io", &of("client")) {
        for (key, value) in [
            ("server.address", Value::from("127.0.0.1")),
            ("network.peer.address", "127.0.0.1".into()),
            ("server.port", i64::from(PORT).into()),
            ("network.protocol.name", "http".into()),
            ("network.transport", "tcp".into()),
        ] {
            assert_eq!(point.attributes.get(key), Some(&value), "{point:#?}");
        }
        assert_eq!(point.attributes.len(), 7, "{point:#?}");
    }
}

#[test]
fn cumulative() {
    counts_exactly("cumulative");
}

#[test]
fn delta() {
    counts_exactly("delta");
}

/// Fixed boundaries, if they are asked for.
#[test]
fn explicit_buckets() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = web(&net, &place);
    let agent = Agent::watch(&net)
        .env("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram")
        .start();
    requests(&mut Client::connect(&net, ADDRESS), "/", 25);
    let told = agent.stop();
    assert_eq!(told.metrics.total(SERVER, &[]), 25);
    let explicit = |point: &Point| matches!(point.data, Data::Histogram { explicit: true, .. });
    assert!(told.metrics.last(SERVER, &[]).into_iter().all(explicit));
}

/// Attribute sets beyond the limit are one set, nothing is lost, and it is counted.
#[test]
fn overflow() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = web(&net, &place);
    let agent = Agent::watch(&net)
        .config("metrics: { cardinality_limit: 3 }\nhttp: { routes: [/a, /b, /c, /d, /e] }\n")
        .start();
    let mut client = Client::connect(&net, ADDRESS);
    for target in ["/a", "/b", "/c", "/d", "/e", "/a", "/e"] {
        requests(&mut client, target, 10);
    }
    let told = agent.stop();
    let overflow = [("otel.metric.overflow", Value::Flag(true))];
    assert_eq!(told.metrics.total(SERVER, &[]), 70, "{}", told.metrics.summary());
    assert_eq!(told.metrics.total(SERVER, &overflow), 30, "{}", told.metrics.summary());
    assert_eq!(told.metrics.last(SERVER, &[]).len(), 4);
    // The client's, too: it has as many templates as the server has routes.
    assert_eq!(told.metrics.total(CLIENT, &overflow), 30, "{}", told.metrics.summary());
    assert_eq!(told.coverage.get("overflowed_readings"), 60);
}

/// The real OpenTelemetry Collector takes them and hands them on unharmed.
fn real_collector(temporality: &str, protocol: &str, port: u16) {
    let (net, place) = (Netns::new(), Place::new());
    let _server = web(&net, &place);
    let Some(sink) = Sink::start(&net) else { return };
    let agent = Agent::exporting(&net, "otlp")
        .living_in(&net)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env(TEMPORALITY, temporality)
        .args(["--metrics-interval", "300"])
        .start();
    let mut client = Client::connect(&net, ADDRESS);
    let nginx = [("service.name", Value::from("nginx"))];
    for expected in [120, 240] {
        requests(&mut client, "/x", 120);
        let come = || sink.out.metrics().total(SERVER, &nginx) >= expected;
        assert!(wait_for(PATIENCE, come), "{}\n{}", sink.out.metrics().summary(), agent.log());
    }
    let mut agent = agent;
    agent.process().signal(libc::SIGTERM);
    assert!(wait_for(PATIENCE, || agent.process().ended().is_some()));
    let metrics = sink.out.metrics();
    metrics.consistent();
    assert_eq!(metrics.total(SERVER, &nginx), 240, "{}", metrics.summary());
    // What the client named it in `Host`.
    let mine = [("server.address", Value::from("test"))];
    assert_eq!(metrics.total(CLIENT, &mine), 240, "{}", metrics.summary());
    assert!(metrics.last(SERVER, &nginx).iter().all(|point| point.delta == (temporality == "delta")));
}

#[test]
fn real_collector_cumulative_over_grpc() {
    real_collector("cumulative", "grpc", Sink::GRPC);
}

#[test]
fn real_collector_delta_over_http() {
    real_collector("delta", "http/protobuf", Sink::HTTP);
}

/// A recording gives the same metrics each time, at the times at which things happened.
#[test]
fn replay() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = web(&net, &place);
    let file = place.join("recording");
    let recorder = Agent::record(&net, &file).start();
    let began = remora_tests::unix_nanos();
    let mut client = Client::connect(&net, ADDRESS);
    for _ in 0..3 {
        requests(&mut client, "/x", 50);
        std::thread::sleep(Duration::from_millis(150));
    }
    drop(client);
    let ended = remora_tests::unix_nanos();
    let _ = recorder.stop();
    let told: Vec<Metrics> = (0..2)
        .map(|_| {
            let replay = Program::new(remora()).arg("replay").arg(&file);
            let finished = replay.args(["--export", "stdout", "--metrics-interval", "100"]).run().ok();
            remora_tests::Spans::read(&finished.output, finished.errors).metrics
        })
        .collect();
    told[0].consistent();
    assert_eq!(told[0].total(SERVER, &[]), 150, "{}", told[0].summary());
    let points = |metrics: &Metrics| {
        let of_name = metrics.points().iter().filter(|point| point.name == SERVER);
        of_name.map(|point| (point.start, point.time, point.data.clone())).collect::<Vec<_>>()
    };
    assert_eq!(points(&told[0]), points(&told[1]));
    assert!(points(&told[0]).len() >= 4, "an export each interval of the recording");
    const SECOND: u64 = 1_000_000_000;
    for (start, time, _) in points(&told[0]) {
        assert!(start + SECOND > began && time < ended + 5 * SECOND, "{began} {start} {time} {ended}");
    }
}

/// What the workload's client tells of its connections, added up.
struct Asked {
    sent: i64,
    received: i64,
}

fn ask(net: &Netns, port: u16, connections: usize, turns: usize, certificate: Option<&str>) -> Asked {
    let mut program = python(net, "nonsense.py").args(["ask", "127.0.0.1", &port.to_string()]);
    program = program.arg(connections.to_string()).arg(turns.to_string());
    if let Some(certificate) = certificate {
        program = program.arg(certificate);
    }
    let finished = program.run().ok();
    let mut asked = Asked { sent: 0, received: 0 };
    for line in finished.output.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        asked.sent += line["sent"].as_i64().expect("sent");
        asked.received += line["received"].as_i64().expect("received");
    }
    asked
}

/// Bytes of an edge as one end tells them.
fn io(metrics: &Metrics, role: &str, port: u16, direction: &str) -> i64 {
    let with = [
        ("remora.role", Value::from(role)),
        ("server.port", Value::Integer(port.into())),
        ("network.io.direction", direction.into()),
    ];
    metrics.total("remora.network.io", &with)
}

fn edge(role: &str, port: u16) -> [(&'static str, Value); 2] {
    [("remora.role", Value::from(role)), ("server.port", Value::Integer(port.into()))]
}

/// Turns, bytes and connections of a protocol that nobody knows, at both ends.
#[track_caller]
fn exact(metrics: &Metrics, port: u16, connections: i64, turns: i64, asked: &Asked) {
    for role in ["client", "server"] {
        let of_role = edge(role, port);
        let summary = || format!("{role}\n{}", metrics.summary());
        assert_eq!(metrics.total("remora.network.turn.duration", &of_role), turns, "{}", summary());
        assert_eq!(metrics.total("remora.network.connections", &of_role), connections, "{}", summary());
        let ended = metrics.total("remora.network.connection.duration", &of_role);
        assert_eq!(ended, connections, "{}", summary());
        let (sent, received) =
            if role == "client" { ("transmit", "receive") } else { ("receive", "transmit") };
        assert_eq!(io(metrics, role, port, sent), asked.sent, "{}", summary());
        assert_eq!(io(metrics, role, port, received), asked.received, "{}", summary());
        for point in metrics.last("remora.network.turn.duration", &of_role) {
            let Data::Histogram { max, .. } = point.data else { panic!("{point:#?}") };
            assert!((0.0..10.0).contains(&max), "{point:#?}");
            let address = point.attributes.contains_key("server.address");
            assert_eq!(address, role == "client", "{point:#?}");
        }
    }
    metrics.consistent();
}

/// A home-made protocol: short connections, which end before the search for a protocol does, and long ones; over several
/// shards.
fn unknown_protocol(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).args(["--metrics-interval", "500", "--shards", "3"]).start();
    let _short = python(&net, "nonsense.py").args(["serve", "127.0.0.1", "9001"]).listen(9001);
    let _long = python(&net, "nonsense.py").args(["serve", "127.0.0.1", "9002"]).listen(9002);
    let short = ask(&net, 9001, 20, 3, None);
    let long = ask(&net, 9002, 2, 200, None);
    let told = agent.stop();
    let _ = told.all().exactly(0);
    exact(&told.metrics, 9001, 20, 60, &short);
    exact(&told.metrics, 9002, 2, 400, &long);
    // A tenth of the turns takes at least 2 ms.
    for role in ["client", "server"] {
        let points = told.metrics.last("remora.network.turn.duration", &edge(role, 9002));
        let Data::Histogram { sum, max, .. } = only(&points).data else { panic!("{points:#?}") };
        assert!(sum >= 0.08 && max >= 0.002, "{points:#?}");
    }
    assert_eq!(told.coverage.get("turns"), 920);
}

/// With TLS the bytes say nothing, but the turns are there: one more for the handshake.
fn encrypted(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    let (key, certificate) = (place.join("key.pem"), place.join("certificate.pem"));
    let _ = Program::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=DNS:test", "-days", "2", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .run()
        .ok();
    let agent = Agent::watch(&net).tier(tier).start();
    let server = python(&net, "nonsense.py").args(["serve", "127.0.0.1", "9443"]);
    let _server = server.arg(&certificate).arg(&key).listen(9443);
    let asked = ask(&net, 9443, 5, 30, Some(&certificate.to_string_lossy()));
    let told = agent.stop();
    let _ = told.all().exactly(0);
    exact(&told.metrics, 9443, 5, 5 * 31, &asked);
    let tls = [("network.protocol.name", Value::from("tls"))];
    assert_eq!(told.metrics.total("remora.network.turn.duration", &tls), 2 * 5 * 31);
    assert_eq!(told.coverage.get("encrypted_connections"), 10);
}

/// Turns become spans only if the user asks for them.
#[test]
fn network_spans() {
    let net = Netns::new();
    let agent = Agent::watch(&net).config("protocols: { network_spans: true }\n").start();
    let _server = python(&net, "nonsense.py").args(["serve", "127.0.0.1", "9001"]).listen(9001);
    let asked = ask(&net, 9001, 1, 50, None);
    let told = agent.stop();
    exact(&told.metrics, 9001, 1, 50, &asked);
    for spans in [told.client(9001), told.server(9001)] {
        let _ = spans.exactly(50).each("network", |span| span.name == "network");
    }
}

/// Once it is known that nobody can read a connection, nothing of it is copied any more.
#[test]
fn unknown_costs_little() {
    let net = Netns::new();
    let agent = Agent::start(&net);
    let _server = python(&net, "nonsense.py").args(["serve", "127.0.0.1", "9001"]).listen(9001);
    let asked = ask(&net, 9001, 1, 3000, None);
    let told = agent.stop();
    exact(&told.metrics, 9001, 1, 3000, &asked);
    let (seen, copied) = (told.coverage.get("bytes"), told.coverage.get("captured_bytes"));
    // A busy machine may take a while to come to know.
    assert!(seen > 20_000_000 && copied < seen / 4, "{copied} of {seen} bytes were copied");
}

/// A long connection is told while it lasts.
#[test]
fn long_connection() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = web(&net, &place);
    let agent = Agent::watch(&net).args(["--metrics-interval", "200"]).start();
    let mut client = Client::connect(&net, ADDRESS);
    let received = |agent: &Agent| io(&agent.so_far().metrics, "client", PORT, "receive");
    requests(&mut client, "/x", 10);
    assert!(wait_for(PATIENCE, || received(&agent) > 0), "{}", agent.so_far().metrics.summary());
    let first = received(&agent);
    requests(&mut client, "/x", 10);
    assert!(wait_for(PATIENCE, || received(&agent) == 2 * first), "{}", agent.so_far().metrics.summary());
    let told = agent.stop();
    // The connection is still there when the agent ends: nothing is said of its end.
    assert!(told.metrics.last("remora.network.connection.duration", &edge("client", PORT)).is_empty());
    assert_eq!(told.metrics.total("remora.network.connections", &edge("client", PORT)), 1);
}

/// The agent comes in the middle: TCP's books say who asks, so every byte and every turn since then is told.
#[test]
fn late() {
    const TURN: i64 = 40;
    let net = Netns::new();
    let server = serve(&net, "127.0.0.1:9003", |mut stream| {
        let mut question = [0; 8];
        while stream.read_exact(&mut question).is_ok() {
            stream.write_all(&[0xe7; 1000]).expect("answer");
        }
    });
    let mut client = Client::connect(&net, "127.0.0.1:9003");
    let mut turns = |count: i64| {
        for _ in 0..count {
            client.send([0xe7; 8]);
            client.receive(&mut [0; 1000]);
        }
    };
    turns(5);
    let agent = Agent::watch(&net).args(["--metrics-interval", "200"]).start();
    turns(TURN);
    let bytes = |metrics: &Metrics, role: &str, direction: &str| io(metrics, role, 9003, direction);
    // In the middle of a connection the last answer is told with the next question, or at the end.
    let come = || bytes(&agent.so_far().metrics, "client", "receive") >= (TURN - 2) * 1000;
    assert!(wait_for(PATIENCE, come), "{}", agent.so_far().metrics.summary());
    drop(client);
    server.join().expect("server");
    let ended = || bytes(&agent.so_far().metrics, "client", "receive") == TURN * 1000;
    assert!(wait_for(PATIENCE, ended), "{}", agent.so_far().metrics.summary());
    let metrics = agent.stop().metrics;
    for (role, asked, answered) in [("client", "transmit", "receive"), ("server", "receive", "transmit")] {
        assert_eq!(bytes(&metrics, role, asked), TURN * 8, "{}", metrics.summary());
        assert_eq!(bytes(&metrics, role, answered), TURN * 1000, "{}", metrics.summary());
        let turns = metrics.total("remora.network.turn.duration", &edge(role, 9003));
        assert_eq!(turns, TURN, "{}", metrics.summary());
    }
}
