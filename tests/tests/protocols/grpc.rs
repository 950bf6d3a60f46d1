//! gRPC: grpcio, gRPC-Go, tonic, etcd.

use remora_tests::{Agent, Netns, Place, Program, Recording, Running, Selection, installed, peers, rust_h2};

const PORT: u16 = 50_051;

fn python_server(net: &Netns) -> Running {
    peers::python(net, "grpc/server.py").arg(PORT.to_string()).listen(PORT)
}

fn python_client(net: &Netns) -> Running {
    peers::python(net, "grpc/client.py").arg(PORT.to_string()).in_steps()
}

fn go(net: &Netns, mode: &str) -> Option<Program> {
    Some(net.program(peers::go("grpc")?).arg(mode).arg(PORT.to_string()))
}

/// What each end told of so many rounds.
fn rounds(spans: &Selection<'_>, rounds: usize, client: bool) {
    let all = spans.clone().exactly(6 * rounds).each_has("rpc.system.name", "grpc");
    let all = all.each("named", |span| span.name.starts_with("remora.test.Shop/"));
    let of = |method: &'static str, status: &'static str, [up, down]: [i64; 2]| {
        let found =
            all.clone().with("rpc.method", format!("remora.test.Shop/{method}").as_str()).exactly(rounds);
        let found = found.each_has("rpc.response.status_code", status);
        found.each_has("remora.rpc.request.messages", up).each_has("remora.rpc.response.messages", down)
    };
    let get = of("Get", "OK", [1, 1]).none_has("error.type");
    let _ = get.each("bytes", |span| {
        span.integer("remora.rpc.request.bytes").is_some_and(|n| (1000..1003).contains(&n))
    });
    let failed = of("Fail", "NOT_FOUND", [1, 0]);
    if client {
        let failed = failed.each_has("error.type", "NOT_FOUND");
        let _ = failed.each("an error", |span| span.status == 2);
        let _ = of("Slow", "DEADLINE_EXCEEDED", [1, 0]).each_has("error.type", "DEADLINE_EXCEEDED");
    } else {
        let _ = failed.none_has("error.type");
        let slow = all.clone().with("rpc.method", "remora.test.Shop/Slow").exactly(rounds);
        let _ = slow.each("timed", |span| span.get("remora.rpc.timeout").is_some());
    }
    let _ = of("Upload", "OK", [3, 1]);
    let _ = of("List", "OK", [1, 3]);
    let _ = of("Chat", "OK", [3, 3]);
}

#[test]
fn python_from_the_beginning() {
    let net = Netns::new();
    if !peers::python_has("grpc") {
        return;
    }
    let _server = python_server(&net);
    let agent = Agent::start(&net);
    let mut client = python_client(&net);
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    rounds(&spans.client(PORT), 2, true);
    rounds(&spans.server(PORT), 2, false);
    let get = spans.server(PORT).with("rpc.method", "remora.test.Shop/Get");
    let _ = get.each("the caller's trace", |span| span.trace == "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
}

/// What grpcio said before is in its table: calls are known by their form, and counted; their names are not.
#[test]
fn python_from_the_middle() {
    let net = Netns::new();
    if !peers::python_has("grpc") {
        return;
    }
    let _server = python_server(&net);
    let mut client = python_client(&net);
    client.step();
    let agent = Agent::start(&net);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let all = side.exactly(12).each_has("network.protocol.version", "2");
        let all = all.each("counted", |span| span.integer("remora.http.unknown_fields").is_some());
        let calls = all.filter("calls", |span| span.text("rpc.system.name") == "grpc");
        assert!(calls.len() >= 8, "{}", calls.len());
        let _ = calls.with("remora.rpc.request.messages", 3).exactly(4);
    }
}

#[test]
fn recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    if !peers::python_has("grpc") {
        return;
    }
    let _server = python_server(&net);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let client = python_client(&net);
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep(
        "http2",
        PORT,
        0,
        "http2-grpcio",
        "grpcio calls grpcio: unary, failing, too late, streaming",
    );
    rounds(&recording.replay().client(PORT), 1, true);
    // The client's end does not see a trailer.
    let lossy = recording.losing(|piece| {
        piece.open.remote_port == PORT
            && piece.read
            && piece.bytes.windows(12).any(|part| part == b"no such item")
    });
    let spans = lossy.replay();
    rounds(&spans.server(PORT), 1, false);
    let all = spans.client(PORT).exactly(6);
    let lost = all.clone().with("remora.outcome", "response_lost");
    assert!(!lost.is_empty());
    let _ = all.with("rpc.response.status_code", "NOT_FOUND").exactly(0);
}

#[test]
fn go_from_the_beginning() {
    let net = Netns::new();
    let Some(server) = go(&net, "serve") else { return };
    let _server = server.listen(PORT);
    let agent = Agent::start(&net);
    let mut client = go(&net, "call").expect("built").in_steps();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    rounds(&spans.client(PORT), 2, true);
    rounds(&spans.server(PORT), 2, false);
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
}

#[test]
fn go_from_the_middle() {
    let net = Netns::new();
    let Some(server) = go(&net, "serve") else { return };
    let _server = server.listen(PORT);
    let mut client = go(&net, "call").expect("built").in_steps();
    let agent = Agent::start(&net);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let _ = side.exactly(12).each("counted", |span| span.integer("remora.http.unknown_fields").is_some());
    }
}

#[test]
fn tonic() {
    let net = Netns::new();
    let _server = rust_h2(&net).args(["serve", &PORT.to_string()]).listen(PORT);
    let agent = Agent::start(&net);
    let mut client = rust_h2(&net).args(["call", &PORT.to_string()]).in_steps();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    rounds(&spans.client(PORT), 2, true);
    rounds(&spans.server(PORT), 2, false);
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
}

#[test]
fn etcd() {
    const CLIENTS: u16 = 2379;
    let (net, place) = (Netns::new(), Place::new());
    if !installed("etcd") || !installed("etcdctl") {
        return;
    }
    let url = format!("http://127.0.0.1:{CLIENTS}");
    let server = net.program("etcd").arg("--data-dir").arg(place.join("data"));
    let server = server.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    let _server = server.args(["--listen-peer-urls", "http://127.0.0.1:2380"]).listen(CLIENTS);
    let ctl = |arguments: &[&str]| {
        net.program("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &url])
            .args(arguments)
            .run()
            .ok()
            .output
    };
    let _ = ctl(&["put", "warm", "up"]);
    let agent = Agent::start(&net);
    for i in 0..5 {
        assert_eq!(ctl(&["put", &format!("key{i}"), "secret"]), "OK\n");
    }
    assert!(ctl(&["get", "key3"]).contains("secret"));
    let _ = ctl(&["lease", "grant", "100"]);
    let spans = agent.stop();
    for side in [spans.client(CLIENTS).service("etcdctl"), spans.server(CLIENTS).service("etcd")] {
        let of =
            |method: &str| side.clone().with("rpc.method", method).each_has("rpc.response.status_code", "OK");
        let _ = of("etcdserverpb.KV/Put").exactly(5).each_has("remora.rpc.request.messages", 1);
        let _ = of("etcdserverpb.KV/Range").exactly(1);
        let _ = of("etcdserverpb.Lease/LeaseGrant").exactly(1);
        let _ = side.filter("secrets", |span| format!("{span:?}").contains("secret")).exactly(0);
    }
}
