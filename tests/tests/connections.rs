//! Connections that are older than the agent, change hands, share descriptor numbers, or are not TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use remora_tests::{
    Agent, Body, Client, Kind, Netns, Place, Program, Running, Schedule, Tier, built, each_tier, go_program,
    installed, nginx, node, patience, python, python_server,
};

const PORT: u16 = 8080;
const ADDRESS: &str = "127.0.0.1:8080";

each_tier!(
    open_before_the_agent,
    agent_comes_within_a_download,
    agent_comes_between_request_and_response,
    descriptors_are_reused,
    prefork_servers,
    unix_sockets,
    turns_of_an_unknown_protocol
);

fn nginx_with(net: &Netns, place: &Place, locations: &str) -> Running {
    nginx(net, place, PORT, &format!("server {{ listen {ADDRESS}; {locations} }}"))
}

/// Keep-alive connections of several servers, used before and after: the first request after `ready` has a full span.
fn open_before_the_agent(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    let _nginx = nginx_with(&net, &place, "location / { return 200 'hello\n'; }");
    let _python = python_server(&net, "127.0.0.1", PORT + 1);
    let mut ports = vec![PORT, PORT + 1];
    let mut servers = Vec::new();
    if installed("node") {
        servers
            .push(node(&net, "node_server.js").arg("127.0.0.1").arg((PORT + 2).to_string()).listen(PORT + 2));
        ports.push(PORT + 2);
    }
    if installed("go") {
        let address = format!("127.0.0.1:{}", PORT + 3);
        servers.push(go_program(&net).args(["serve", &address]).listen(PORT + 3));
        ports.push(PORT + 3);
    }
    let mut clients: Vec<Client> =
        ports.iter().map(|port| Client::connect(&net, &format!("127.0.0.1:{port}"))).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        // Some were used before, some are silent until the agent is there.
        for _ in 0..i % 2 * 3 {
            assert_eq!(client.get("/hello?before").status, 200);
        }
    }
    let agent = Agent::watch(&net).tier(tier).start();
    for client in &mut clients {
        for number in 0..5 {
            assert_eq!(client.get(&format!("/hello?{number}")).status, 200);
        }
    }
    let local: Vec<u16> = clients.iter().map(Client::port).collect();
    drop(clients);
    let spans = agent.stop();
    for (port, local) in ports.iter().zip(local) {
        let _ = spans.server(*port).each_has("network.peer.port", i64::from(local));
        for side in [spans.server(*port), spans.client(*port)] {
            let targets: Vec<String> = side
                .exactly(5)
                .each_has("http.response.status_code", 200)
                .each_has("http.response.body.size", 6)
                .in_order()
                .iter()
                .map(|span| span.target())
                .collect();
            assert_eq!(targets, (0..5).map(|i| format!("/hello?{i}")).collect::<Vec<_>>(), "port {port}");
        }
    }
    let _ = spans.server(PORT).each_has("service.name", "nginx");
    let _ = spans.all().exactly(10 * ports.len());
}

/// Attached in the middle of a body: the response before is nobody's, the request behind it is whole.
fn agent_comes_within_a_download(tier: Tier) {
    const SIZE: usize = 30_000_000;
    let (net, place) = (Netns::new(), Place::new());
    place.write("www/large", vec![b'l'; SIZE]);
    let _server = nginx_with(&net, &place, "");
    let mut client = Client::connect(&net, ADDRESS);
    // The sockets' buffers hold a part of it only: the server is still sending when the agent comes.
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    let agent = Agent::watch(&net).tier(tier).start();
    assert_eq!(client.reply().body.len(), SIZE);
    for number in 0..5 {
        assert_eq!(client.get(&format!("/missing?{number}")).status, 404);
    }
    drop(client);
    let spans = agent.stop();
    let _ = spans.server(PORT).with("http.response.status_code", 404).exactly(5);
    let _ = spans.client(PORT).with("http.response.status_code", 404).exactly(5);
    let _ = spans.all().exactly(10);
}

/// A response whose request was before our time makes no span, and does not pair with the next request.
fn agent_comes_between_request_and_response(tier: Tier) {
    let net = Netns::new();
    let mut server = python_server(&net, "127.0.0.1", PORT);
    let mut client = Client::connect(&net, ADDRESS);
    let wait = 6000 * patience();
    client.send(format!("GET /slow/{wait} HTTP/1.1\r\nHost: test\r\n\r\n"));
    // A thread of its own serves the connection: the request was read.
    server.wait_until("serves", |id| {
        std::fs::read_dir(format!("/proc/{id}/task")).is_ok_and(|threads| threads.count() > 1)
    });
    let agent = Agent::watch(&net).tier(tier).start();
    assert_eq!(client.reply().body, b"slow\n");
    for number in 0..3 {
        assert_eq!(client.get(&format!("/hello?{number}")).status, 200);
    }
    drop(client);
    let spans = agent.stop();
    for side in [spans.server(PORT), spans.client(PORT)] {
        let _ = side
            .exactly(3)
            .each("to a request after ready", |span| span.target().starts_with("/hello?"))
            .each("not as long as the one before", |span| {
                span.duration() < Duration::from_secs(3) * patience()
            });
    }
    assert_eq!(spans.coverage.get("unpaired_responses"), 2, "one at each end\n{}", spans.coverage);
}

/// Eight threads open, duplicate and close descriptors as fast as they can; no span may mix two connections.
fn descriptors_are_reused(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    // It reads byte by byte. A slow machine's agent cannot keep up with many of those, and nothing may be lost here.
    let each = 150 / patience().min(5) as usize;
    let finished = net.program(built("churn")).args([ADDRESS, "8", &each.to_string()]).run().ok();
    let targets: BTreeSet<&str> = finished.output.lines().collect();
    assert_eq!(targets.len(), 8 * (0..each).map(|number| number % 3 + 1).sum::<usize>());
    let spans = agent.stop();
    for side in [spans.server(PORT), spans.client(PORT)] {
        let side = side.exactly(targets.len()).by(finished.process);
        let side = side.each("the port and the size that its path carries", |span| {
            let target = span.target();
            let mut parts = target.rsplit('/').map(|part| part.parse::<i64>().ok());
            let (size, port) = (parts.next().flatten(), parts.next().flatten());
            let of_peer = span.kind == Kind::Client || span.integer("network.peer.port") == port;
            of_peer && size == Some(span.integer("http.response.body.size").unwrap_or(0))
        });
        let told: BTreeSet<String> = side.iter().map(|span| span.target()).collect();
        assert!(told.iter().map(String::as_str).eq(targets.iter().copied()), "a request is missing");
    }
}

/// A child that serves is the one that the span names, however it came by the connection.
fn prefork_servers(tier: Tier) {
    let net = Netns::new();
    let modes = ["prefork", "afterfork", "passed"];
    let servers: Vec<Running> = modes
        .iter()
        .zip(PORT..)
        .map(|(mode, port)| python(&net, "handover.py").arg(mode).arg(port.to_string()).listen(port))
        .collect();
    let agent = Agent::watch(&net).tier(tier).start();
    let mut expected: BTreeMap<(u16, String), u32> = BTreeMap::new();
    for port in (PORT..).take(modes.len()) {
        for connection in 0..20 {
            let mut client = Client::connect(&net, &format!("127.0.0.1:{port}"));
            for request in 0..3 {
                let target = format!("/{connection}/{request}");
                let body = String::from_utf8(client.get(&target).body).expect("text");
                expected.insert((port, target), body.trim().parse().expect("process id"));
            }
        }
    }
    let spans = agent.stop();
    for (port, server) in (PORT..).zip(&servers) {
        let of_port = spans.server(port).exactly(60).each("a child", |span| span.process() != server.id());
        for span in of_port.each_has("service.name", "handover").iter() {
            assert_eq!(expected.get(&(port, span.target())), Some(&span.process()), "{span}");
        }
        let _ = spans.client(port).exactly(60);
    }
    let _ = spans.all().exactly(360);
}

/// HTTP over unix sockets, with paths and with abstract names.
fn unix_sockets(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    let path = |name: &str| place.join(name);
    let text = |name: &str| path(name).to_string_lossy().into_owned();
    place.write("nginx/www/hello", "hello\n");
    let nginx_place = Place::new();
    nginx_place.write("www/hello", "hello\n");
    let listen = format!("server {{ listen unix:{}; }} server {{ listen {ADDRESS}; }}", text("nginx.sock"));
    let _nginx = nginx(&net, &nginx_place, PORT, &listen);
    let _python =
        python(&net, "py_server.py").arg("unix").arg(path("python.sock")).listen_unix(&path("python.sock"));
    let mut servers = vec![("nginx.sock", "nginx"), ("python.sock", "py_server")];
    let mut running = Vec::new();
    if installed("node") {
        let server = node(&net, "node_server.js").arg("unix").arg(path("node.sock"));
        running.push(server.listen_unix(&path("node.sock")));
        servers.push(("node.sock", "node_server"));
    }
    let agent = Agent::watch(&net).tier(tier).start();
    for (socket, _) in &servers {
        let urls: Vec<String> = (0..10).map(|i| format!("http://local/hello?{i}")).collect();
        let curl: Program = net.program("curl").args(["-s", "--unix-socket", &text(socket)]).args(&urls);
        assert_eq!(curl.run().ok().output, "hello\n".repeat(10));
    }
    let schedule = Schedule::standard().add(2, "POST", "/echo", 200, Body::Chunked(1000));
    let client = python(&net, "py_client.py").args(["unix", &text("python.sock")]);
    let (outcomes, client) = schedule.run(client);
    let spans = agent.stop();
    for (socket, service) in servers {
        let requests = if service == "py_server" { 10 + schedule.len() } else { 10 };
        let of_socket = spans.all().with("network.transport", "unix").filter(socket, |span| {
            let end = if span.kind == Kind::Server { "local" } else { "peer" };
            span.text(&format!("network.{end}.address")) == text(socket)
        });
        let servers = of_socket.clone().of_kind(Kind::Server).exactly(requests);
        let clients = of_socket.of_kind(Kind::Client).exactly(requests);
        let _ = servers.each_has("service.name", service);
        let _ = clients.service("curl").exactly(10).each_has("server.address", "local");
    }
    let _ = spans.all().by(client.process).tell(&schedule, &outcomes);
}

/// Of a connection that no protocol is known of, the beginnings of its turns are told and nothing is copied; what passes
/// meanwhile is no gap.
fn turns_of_an_unknown_protocol(tier: Tier) {
    const ROUNDS: usize = 300;
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).config("protocols:\n  network_spans: true\n").start();
    let _ = python(&net, "turns.py").args([PORT.to_string(), ROUNDS.to_string()]).run().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let _ = side.exactly(ROUNDS);
    }
    let coverage = &spans.coverage;
    // Both ends write and read 300 bytes a turn.
    assert_eq!(coverage.get("bytes"), 4 * 300 * ROUNDS as i64, "{coverage}");
    // It was copied until the pause.
    assert!(coverage.get("captured_bytes") <= 4 * 300 * 50, "{coverage}");
    assert_eq!((coverage.get("gap_bytes"), coverage.get("ambiguous")), (0, 0), "{coverage}");
}
