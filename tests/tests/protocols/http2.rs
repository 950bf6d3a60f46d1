//! HTTP/2 in clear text: Node, Go, hyper, nginx, nghttpx, h2load, curl.

use std::time::Duration;

use remora_tests::{
    Agent, Netns, Place, Recording, Running, Selection, Span, installed, nginx, peers, rust_h2, wait_for,
    workload,
};

const PORT: u16 = 8082;
/// nghttpx hands on to here.
const BEHIND: u16 = 8083;
/// Bytes of a body in many frames.
const LARGE: i64 = 50_000;

fn node_server(net: &Netns) -> Running {
    net.program("node").arg(workload("http2/server.js")).arg(PORT.to_string()).listen(PORT)
}

/// Posts so many bytes in each round.
fn node_client(net: &Netns, bytes: i64) -> Running {
    let program = net.program("node").arg(workload("http2/client.js"));
    program.args([PORT.to_string(), bytes.to_string()]).in_steps()
}

fn go_server(net: &Netns) -> Option<Running> {
    Some(net.program(peers::go("http2")?).arg("serve").arg(PORT.to_string()).listen(PORT))
}

/// Posts so many bytes in each round.
fn go_client(net: &Netns, bytes: i64) -> Running {
    let program = net.program(peers::go("http2").expect("built")).arg("fetch");
    program.args([PORT.to_string(), bytes.to_string()]).in_steps()
}

/// nginx with HTTP/2 in clear text and prior knowledge.
fn nginx2(net: &Netns, place: &Place) -> Running {
    let server =
        format!("server {{ listen 127.0.0.1:{PORT} http2; location / {{ return 200 'hello\n'; }} }}");
    nginx(net, place, PORT, &server)
}

fn paths(spans: &Selection<'_>) -> usize {
    spans.clone().filter("an item", |span| span.target().contains("/items/1")).len()
}

/// Waits until the agent knows both ends of the connection: from then on it sees all of it.
fn known(agent: &Agent) {
    assert!(wait_for(Duration::from_secs(20), || agent.told() >= 2), "{} told", agent.told());
}

/// What each end told of `rounds` of Node's or Go's client.
fn rounds(spans: &Selection<'_>, rounds: usize, body: i64) {
    let all = spans.clone().exactly(13 * rounds).each_has("network.protocol.version", "2");
    assert_eq!(paths(&all), 8 * rounds);
    let of = |path: &'static str| {
        all.clone().filter(path, move |span| span.target().contains(path)).exactly(rounds)
    };
    let echo = of("/echo").each_has("http.request.method", "POST").each_has("http.response.body.size", body);
    let _ = echo.each_has("http.request.body.size", body).each_has("http.response.status_code", 200);
    let _ = of("/trailers").each_has("http.response.body.size", 13).none_has("error.type");
    let _ = of("/status/404").each_has("http.response.status_code", 404);
    let _ = of("/status/503").each_has("error.type", "503");
    let _ = of("/never").each_has("error.type", "CANCEL").each_has("remora.outcome", "reset");
}

#[test]
fn node_from_the_beginning() {
    let net = Netns::new();
    if !installed("node") {
        return;
    }
    let _server = node_server(&net);
    let agent = Agent::start(&net);
    let mut client = node_client(&net, LARGE);
    known(&agent);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    rounds(&ours(spans.client(PORT)), 2, LARGE);
    rounds(&ours(spans.server(PORT)), 2, LARGE);
    let items = spans.server(PORT).filter("items", |span| span.target().contains("/items/"));
    let _ = items.each("named", |span| span.name == "GET /items/{id}");
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
    assert_eq!(spans.coverage.get("unparsed_bytes"), 0, "{}", spans.coverage);
}

#[test]
fn node_from_the_middle() {
    let net = Netns::new();
    if !installed("node") {
        return;
    }
    let _server = node_server(&net);
    let mut client = node_client(&net, 100);
    client.step();
    let agent = Agent::start(&net);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        // nghttp2 keeps no paths in its table; a 503 was said before and is not known.
        let all = side.exactly(26);
        assert_eq!(paths(&all), 16);
        let status = all.clone().filter("503", |span| span.target().contains("/status/503")).exactly(2);
        let _ = status.none_has("http.response.status_code");
        let _ = all.filter("unknown", |span| span.integer("remora.http.unknown_fields").is_some());
    }
}

#[test]
fn go_from_the_beginning() {
    let net = Netns::new();
    let Some(_server) = go_server(&net) else { return };
    let agent = Agent::start(&net);
    let mut client = go_client(&net, LARGE);
    known(&agent);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let warm = side.clone().filter("the first", |span| span.target().ends_with("/items/0"));
        assert_eq!(warm.len(), 1);
        rounds(&ours(side), 2, LARGE);
    }
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
}

#[test]
fn go_from_the_middle() {
    let net = Netns::new();
    let Some(_server) = go_server(&net) else { return };
    let mut client = go_client(&net, 100);
    client.step();
    let agent = Agent::start(&net);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        // Each path of an item is new; `/echo` and the like are in Go's table from before, and are not known.
        let all =
            side.exactly(26).each("counted", |span| span.integer("remora.http.unknown_fields").is_some());
        assert_eq!(paths(&all), 16);
        let _ = all.with("error.type", "CANCEL").exactly(2);
    }
}

/// Without the request that the clients begin with.
fn ours(spans: Selection<'_>) -> Selection<'_> {
    spans.filter("the rounds", |span| !span.target().ends_with("/items/0"))
}

/// The rounds of one recorded client, whole, and when its end does not see what answers the fourth item.
fn lose_an_answer(recording: Recording) {
    let whole = recording.replay();
    rounds(&ours(whole.client(PORT)), 1, 100);
    rounds(&ours(whole.server(PORT)), 1, 100);
    let answers = |bytes: &[u8]| bytes.windows(10).any(|part| part == b"items/1003");
    let lossy =
        recording.losing(|piece| piece.open.remote_port == PORT && piece.read && answers(piece.bytes));
    let spans = lossy.replay();
    rounds(&ours(spans.server(PORT)), 1, 100);
    let clients = ours(spans.client(PORT)).exactly(13);
    let wrong = |span: &Span| span.code() == Some(200) && span.target().contains("/status");
    let _ = clients.clone().filter("with another's answer", wrong).exactly(0);
    // Either its head was lost, or only its body.
    let lost = clients.filter("the fourth", |span| span.target().ends_with("/items/1003")).only();
    let without = lost.text("remora.outcome") == "response_lost" && lost.code().is_none();
    assert!(without || lost.integer("http.response.body.size").is_none(), "{lost:?}");
}

#[test]
fn node_recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    if !installed("node") {
        return;
    }
    let _server = node_server(&net);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut client = node_client(&net, 100);
    client.step();
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep(
        "http2",
        PORT,
        0,
        "http2-node",
        "Node asks Node: many at once, with trailers, failing, given up",
    );
    lose_an_answer(recording);
}

#[test]
fn go_recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = go_server(&net) else { return };
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut client = go_client(&net, 100);
    client.step();
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep(
        "http2",
        PORT,
        0,
        "http2-go",
        "Go asks Go: many at once, with trailers, failing, given up",
    );
    lose_an_answer(recording);
}

/// Two of the pieces that h2load read are lost: each request is told once, and none with another's answer.
#[test]
fn h2load_recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    if !installed("h2load") {
        return;
    }
    let _server = nginx2(&net, &place);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let load =
        net.program("h2load").args(["-n300", "-c1", "-m5"]).arg(format!("http://127.0.0.1:{PORT}/load"));
    let _ = load.run().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    let _ = recording.replay().client(PORT).exactly(300).each_has("http.response.status_code", 200);
    let mut reads = 0;
    let lossy = recording.losing(|piece| {
        let answer = piece.open.remote_port == PORT && piece.read;
        reads += usize::from(answer);
        answer && (reads == 20 || reads == 40)
    });
    let spans = lossy.replay();
    let _ = spans.server(PORT).exactly(300).each_has("http.response.status_code", 200);
    let clients = spans.client(PORT).exactly(300);
    let lost = clients.clone().with("remora.outcome", "response_lost");
    assert!((1..=10).contains(&lost.len()), "{}", lost.len());
    let _ = lost.none_has("http.response.status_code").none_has("error.type");
    let told = clients.filter("answered", |span| span.get("remora.outcome").is_none());
    let _ = told.each_has("http.response.status_code", 200);
}

#[test]
fn hyper() {
    let net = Netns::new();
    let _server = rust_h2(&net).args(["serve", &PORT.to_string()]).listen(PORT);
    let agent = Agent::start(&net);
    let mut client = rust_h2(&net).args(["fetch", &PORT.to_string()]).in_steps();
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let all = side
            .exactly(16)
            .each_has("http.response.status_code", 200)
            .each_has("http.response.body.size", 11);
        assert_eq!(paths(&all), 16);
    }
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
}

/// Large bodies in both directions: on a connection that is known, to the byte; on one that begins with them, faster than
/// the agent can ask for all of it, without their sizes.
#[test]
fn large_bodies() {
    const SIZE: i64 = 3_000_000;
    let (net, place) = (Netns::new(), Place::new());
    if !installed("node") {
        return;
    }
    let file = place.write("large", vec![b'l'; SIZE as usize]);
    let _server = node_server(&net);
    let agent = Agent::start(&net);
    let mut client = node_client(&net, SIZE);
    known(&agent);
    client.step();
    let _ = client.last_step().ok();
    let upload = format!("@{}", file.display());
    let url = format!("http://127.0.0.1:{PORT}/echo");
    for _ in 0..3 {
        let curl =
            net.program("curl").args(["-sS", "--http2-prior-knowledge", "-o", "/dev/null", "--data-binary"]);
        let _ = curl.args([&upload, &url]).run().ok();
    }
    let spans = agent.stop();
    let curl = |span: &remora_tests::Span| span.text("user_agent.original").starts_with("curl");
    for side in [spans.client(PORT), spans.server(PORT)] {
        rounds(&ours(side.clone()).filter("Node's", |span| !curl(span)), 1, SIZE);
        let all = side.filter("curl's", curl).exactly(3).each_has("http.response.status_code", 200);
        let _ = all.none_has("error.type").none_has("remora.outcome");
    }
}

/// nghttpx speaks HTTP/2 in front and HTTP/1 behind; curl upgrades to it, or knows.
#[test]
fn nghttpx_and_upgrades() {
    let (net, place) = (Netns::new(), Place::new());
    if !installed("nghttpx") {
        return;
    }
    let behind = format!("server {{ listen 127.0.0.1:{BEHIND}; location / {{ return 200 'hello\n'; }} }}");
    let _nginx = nginx(&net, &place, BEHIND, &behind);
    let proxy = net.program("nghttpx").args(["--workers=1", "--conf=/dev/null", "--errorlog-file=/dev/null"]);
    let proxy = proxy.arg(format!("--frontend=127.0.0.1,{PORT};no-tls"));
    let _proxy = proxy.arg(format!("--backend=127.0.0.1,{BEHIND}")).listen(PORT);
    let agent = Agent::start(&net);
    let url = |i: i32| format!("http://127.0.0.1:{PORT}/{i}");
    for (i, flag) in [(1, "--http2"), (2, "--http2-prior-knowledge"), (3, "--http1.1")] {
        let done = net.program("curl").args(["-sS", flag, "-w", "%{http_version}\n"]).arg(url(i)).run().ok();
        assert_eq!(done.output, if i == 3 { "hello\n1.1\n" } else { "hello\n2\n" });
    }
    // The rest of what curl asks for after an upgrade goes over the same connection.
    let done = net.program("curl").args(["-sS", "--http2"]).args([url(4), url(5)]).run().ok();
    assert_eq!(done.output, "hello\nhello\n");
    let spans = agent.stop();
    let _ = spans.server(BEHIND).exactly(5).each_has("network.protocol.version", "1.1");
    for side in [spans.client(PORT).service("curl"), spans.server(PORT).service("nghttpx")] {
        let all =
            side.exactly(5).each_has("http.response.status_code", 200).each_has("http.response.body.size", 6);
        let _ = all.clone().with("network.protocol.version", "1.1").exactly(1);
        let _ = all.with("network.protocol.version", "2").exactly(4);
    }
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
}

#[test]
fn h2load_and_nginx() {
    let (net, place) = (Netns::new(), Place::new());
    if !installed("h2load") {
        return;
    }
    let _server = nginx2(&net, &place);
    let agent = Agent::start(&net);
    let load =
        net.program("h2load").args(["-n1000", "-c4", "-m20"]).arg(format!("http://127.0.0.1:{PORT}/load"));
    let done = load.run().ok();
    assert!(done.output.contains("1000 succeeded"), "{}", done.output);
    let spans = agent.stop();
    for side in [spans.client(PORT).service("h2load"), spans.server(PORT).service("nginx")] {
        let all = side
            .exactly(1000)
            .each_has("http.response.status_code", 200)
            .each_has("http.response.body.size", 6);
        let _ = all.each("one path", |span| span.target().ends_with("/load"));
    }
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
}

/// The agent comes while connections are under load: what it tells is right, and it tells nearly all that follows.
#[test]
fn h2load_from_the_middle() {
    let (net, place) = (Netns::new(), Place::new());
    if !installed("h2load") {
        return;
    }
    let _server = nginx2(&net, &place);
    let load = net.program("h2load").args(["-D60", "-c2", "-m1", "--rps=20"]);
    let mut load = load.arg(format!("http://127.0.0.1:{PORT}/load")).start();
    let log = place.join("access.log");
    load.wait_until("some requests", |_| {
        std::fs::read_to_string(&log).is_ok_and(|log| log.lines().count() > 5)
    });
    let agent = Agent::start(&net);
    assert!(wait_for(Duration::from_secs(30), || agent.told() > 60), "{} told", agent.told());
    drop(load);
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        assert!(side.len() > 20, "{}", side.len());
        let all = side.each_has("network.protocol.version", "2").each_has("http.request.method", "GET");
        let answered = all.filter("answered", |span| span.code().is_some());
        let _ = answered.each_has("http.response.status_code", 200).each_has("http.response.body.size", 6);
    }
}
