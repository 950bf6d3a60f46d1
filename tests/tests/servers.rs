//! Real servers in several languages, each with the client of its language: every exchange is told once by each end.

use remora_tests::{
    Agent, Body, Netns, Outcome, Place, Program, Running, Schedule, Selection, Spans, Tier, apache,
    each_tier, go_program, installed, nginx, node, python, python_server, rust_http,
};

const PORT: u16 = 8080;

each_tier!(
    nginx_serves_files,
    nginx_passes_on_to_a_backend,
    apache_with_its_event_module,
    python_http_server,
    node_http,
    go_net_http,
    rust_axum
);

/// What is the same for every span of HTTP over loopback.
#[track_caller]
fn over_loopback<'a>(spans: Selection<'a>, service: &str, process: u32) -> Selection<'a> {
    spans
        .each_has("service.name", service)
        .each_has("process.pid", i64::from(process))
        .each_has("network.transport", "tcp")
        .each_has("network.peer.address", "127.0.0.1")
        .each_has("url.scheme", "http")
        .each("some thread", |span| span.integer("thread.id").is_some_and(|thread| thread > 0))
        .each("a time to first byte", |span| {
            let duration = span.duration().as_secs_f64();
            span.seconds("remora.time_to_first_byte").is_some_and(|time| (0.0..=duration).contains(&time))
        })
}

/// Who is at an end of a connection.
#[derive(Clone, Copy)]
struct Who<'a> {
    service: &'a str,
    process: u32,
}

/// Exactly the schedule, told by both ends.
#[track_caller]
fn both_ends(spans: &Spans, schedule: &Schedule, outcomes: &[Outcome], server: Who<'_>, client: Who<'_>) {
    let port = i64::from(PORT);
    over_loopback(spans.server(PORT), server.service, server.process)
        .tell(schedule, outcomes)
        .each_has("network.local.address", "127.0.0.1")
        .each_has("network.local.port", port)
        .each_has("client.address", "127.0.0.1")
        .each_has("server.address", "127.0.0.1")
        .each_has("server.port", port)
        .each("a client port", |span| span.integer("network.peer.port").is_some_and(|port| port > 1024));
    over_loopback(spans.client(PORT), client.service, client.process)
        .tell(schedule, outcomes)
        .each_has("network.peer.port", port)
        .each_has("server.address", "127.0.0.1")
        .each_has("server.port", port);
    let _ = spans.all().exactly(2 * schedule.len());
}

/// Starts `client` on a schedule while an agent watches.
fn watch(net: &Netns, tier: Tier, schedule: &Schedule, client: Program) -> (Spans, Vec<Outcome>, u32) {
    let agent = Agent::watch(net).tier(tier).start();
    let (outcomes, finished) = schedule.run(client);
    (agent.stop(), outcomes, finished.process)
}

fn base() -> String {
    format!("http://127.0.0.1:{PORT}")
}

fn hyper_client(net: &Netns) -> Program {
    rust_http(net).arg("fetch").arg(format!("127.0.0.1:{PORT}"))
}

/// The only worker of a server with a master.
fn worker(server: &Running) -> u32 {
    let children = server.children();
    assert_eq!(children.len(), 1, "workers: {children:?}");
    children[0]
}

/// Files, some of them large enough for sendfile, and answers without a file, on one connection.
fn nginx_serves_files(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    place.write("www/file", [b'f'; 1000]);
    place.write("www/large", vec![b'l'; 300_000]);
    place.write("www/folder/x", "");
    let server = nginx(
        &net,
        &place,
        PORT,
        &format!("server {{ listen 127.0.0.1:{PORT}; location = /old {{ return 302 /file; }} }}"),
    );
    let schedule = Schedule::default()
        .add(20, "GET", "/file", 200, Body::None)
        .add(5, "GET", "/large", 200, Body::None)
        .add(5, "HEAD", "/large", 200, Body::None)
        .add(5, "GET", "/missing", 404, Body::None)
        .add(3, "GET", "/old", 302, Body::None)
        .add(3, "GET", "/folder", 301, Body::None)
        .add(3, "POST", "/file", 405, Body::Sized(10))
        .add(5, "GET", "/file", 200, Body::None);
    let (spans, outcomes, client) = watch(&net, tier, &schedule, hyper_client(&net));
    let server = Who { service: "nginx", process: worker(&server) };
    both_ends(&spans, &schedule, &outcomes, server, Who { service: "rust-http", process: client });
    let _ = spans.server(PORT).each_has("user_agent.original", "rust-http/1");
    let _ = spans.client(PORT).each_has("network.protocol.version", "1.1").none_has("remora.goroutine");
}

/// A proxy tells two spans a request, with connections to its backend that close or stay.
fn nginx_passes_on_to_a_backend(tier: Tier) {
    const BACKEND: u16 = 9000;
    let (net, place) = (Netns::new(), Place::new());
    let backend = python_server(&net, "127.0.0.1", BACKEND);
    let server = nginx(
        &net,
        &place,
        PORT,
        &format!(
            "upstream backend {{ server 127.0.0.1:{BACKEND}; keepalive 4; }}
            server {{
                listen 127.0.0.1:{PORT};
                location / {{ proxy_pass http://127.0.0.1:{BACKEND}; }}
                location /bytes {{
                    proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';
                }}
            }}"
        ),
    );
    let schedule = Schedule::default()
        .add(15, "GET", "/hello", 200, Body::None)
        .add(15, "GET", "/bytes/5000", 200, Body::None)
        .add(5, "POST", "/echo", 200, Body::Sized(3000))
        .add(5, "GET", "/missing", 404, Body::None);
    let (spans, outcomes, client) =
        watch(&net, tier, &schedule, python(&net, "py_client.py").args(["requests", &base()]));
    let proxy = worker(&server);
    let requested = schedule.len();
    let _ = over_loopback(spans.client(PORT), "py_client", client).tell(&schedule, &outcomes);
    let _ = over_loopback(spans.server(PORT), "nginx", proxy).tell(&schedule, &outcomes);
    let _ = over_loopback(spans.client(BACKEND), "nginx", proxy).tell(&schedule, &outcomes);
    let _ = over_loopback(spans.server(BACKEND), "py_server", backend.id()).tell(&schedule, &outcomes);
    let _ = spans.all().exactly(4 * requested);
    let _ = spans.server(BACKEND).with("network.protocol.version", "1.1").exactly(15);
    let _ = spans.server(BACKEND).with("network.protocol.version", "1.0").exactly(requested - 15);
    let _ = spans
        .server(PORT)
        .each("a user agent", |span| span.text("user_agent.original").starts_with("python-requests/"));
}

/// Threads and an event loop; 300 KB go out with sendfile or mmap.
fn apache_with_its_event_module(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    place.write("www/file", [b'f'; 1000]);
    place.write("www/large", vec![b'l'; 300_000]);
    place.write("www/folder/x", "");
    let mut server = apache(&net, &place, PORT, "Redirect 302 /old /file");
    server.wait_until("has one worker", |id| {
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))
            .is_ok_and(|list| !list.trim().is_empty())
    });
    let schedule = Schedule::default()
        .add(20, "GET", "/file", 200, Body::None)
        .add(5, "GET", "/large", 200, Body::None)
        .add(5, "HEAD", "/large", 200, Body::None)
        .add(5, "GET", "/missing", 404, Body::None)
        .add(3, "GET", "/old", 302, Body::None)
        .add(3, "GET", "/folder", 301, Body::None)
        .add(5, "GET", "/file", 200, Body::None);
    let (spans, outcomes, client) = watch(&net, tier, &schedule, hyper_client(&net));
    let server = Who { service: "apache2", process: worker(&server) };
    both_ends(&spans, &schedule, &outcomes, server, Who { service: "rust-http", process: client });
}

/// A thread a connection; requests keeps its connection, urllib opens one a request.
fn python_http_server(tier: Tier) {
    let net = Netns::new();
    let server = python_server(&net, "127.0.0.1", PORT);
    for (client, agent) in [("requests", "python-requests/"), ("urllib", "Python-urllib/")] {
        let schedule = Schedule::standard();
        // Only `requests` sends bodies of unknown length.
        let schedule = if client == "requests" { schedule.with_chunked_requests() } else { schedule };
        let program = python(&net, "py_client.py").args([client, &base()]);
        let (spans, outcomes, process) = watch(&net, tier, &schedule, program);
        let server = Who { service: "py_server", process: server.id() };
        both_ends(&spans, &schedule, &outcomes, server, Who { service: "py_client", process });
        let _ = spans
            .server(PORT)
            .each("the client's user agent", |span| span.text("user_agent.original").starts_with(agent));
        let connections: std::collections::HashSet<_> =
            spans.server(PORT).iter().map(|span| span.integer("network.peer.port")).collect();
        let expected = if client == "requests" { 1 } else { schedule.len() };
        assert_eq!(connections.len(), expected, "connections of {client}");
    }
}

/// An event loop at both ends, chunked both ways, one kept connection.
fn node_http(tier: Tier) {
    if !installed("node") {
        return;
    }
    let net = Netns::new();
    let server = node(&net, "node_server.js").arg("127.0.0.1").arg(PORT.to_string()).listen(PORT);
    let schedule = Schedule::standard().with_chunked_requests();
    let (spans, outcomes, process) = watch(&net, tier, &schedule, node(&net, "node_client.js").arg(base()));
    let server = Who { service: "node_server", process: server.id() };
    both_ends(&spans, &schedule, &outcomes, server, Who { service: "node_client", process });
    let _ = spans.all().none_has("remora.goroutine");
}

/// Goroutines are known, at both ends, for every request.
fn go_net_http(tier: Tier) {
    if !installed("go") {
        return;
    }
    let net = Netns::new();
    let address = format!("127.0.0.1:{PORT}");
    let server = go_program(&net).args(["serve", &address]).listen(PORT);
    let schedule = Schedule::standard().with_chunked_requests();
    let (spans, outcomes, process) = watch(&net, tier, &schedule, go_program(&net).args(["fetch", &base()]));
    let server = Who { service: "go-http", process: server.id() };
    both_ends(&spans, &schedule, &outcomes, server, Who { service: "go-http", process });
    let _ = spans
        .all()
        .each("a goroutine", |span| span.integer("remora.goroutine").is_some_and(|goroutine| goroutine > 0));
    // One goroutine serves a connection, and net/http keeps the connection.
    let goroutines: std::collections::HashSet<_> =
        spans.server(PORT).iter().map(|span| span.integer("remora.goroutine")).collect();
    assert_eq!(goroutines.len(), 1, "goroutines of the server: {goroutines:?}");
    let _ = spans.server(PORT).each_has("user_agent.original", "Go-http-client/1.1");
}

/// Tokio's workers at both ends.
fn rust_axum(tier: Tier) {
    let net = Netns::new();
    let address = format!("127.0.0.1:{PORT}");
    let server = rust_http(&net).args(["serve", &address]).listen(PORT);
    let schedule = Schedule::standard().with_chunked_requests();
    let (spans, outcomes, process) = watch(&net, tier, &schedule, hyper_client(&net));
    let server = Who { service: "rust-http", process: server.id() };
    both_ends(&spans, &schedule, &outcomes, server, Who { service: "rust-http", process });
    let _ = spans.all().none_has("remora.goroutine");
}
