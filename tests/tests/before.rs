//! Connections from before the agent: known when it is ready, with the end that each is, and whole from the first request.

use remora_tests::{Agent, Netns, Place, Running, Spans, Tier, Value, each_tier, python, python_server};

const PORT: u16 = 8080;
const POOL: usize = 50;

each_tier!(
    first_request,
    first_request_by_ipv6,
    first_request_by_unix_socket,
    an_idle_pool,
    without_iterators,
    a_child_serves,
    a_second_agent
);

fn earlier(net: &Netns, arguments: &[&str]) -> Running {
    python(net, "earlier.py").args(arguments).in_steps()
}

/// A pool of idle connections between two processes, of which the accepting one no longer listens.
fn pool(net: &Netns) -> [Running; 2] {
    let (port, count) = (PORT.to_string(), POOL.to_string());
    let mut server = earlier(net, &["accept", &port, &count]);
    let client = earlier(net, &["connect", &port, &count]);
    server.step();
    [client, server]
}

/// How many connections the ready line tells of.
fn told_at_start(log: &str) -> Option<usize> {
    let ready = log.lines().find(|line| line.contains("ready"))?;
    let (_, behind) = ready.split_once("connections=")?;
    behind.split_whitespace().next()?.parse().ok()
}

/// What the metric tells of connections at that end to `PORT`.
fn connections(spans: &Spans, role: &str) -> i64 {
    let with: [(&str, Value); 2] = [("remora.role", role.into()), ("server.port", i64::from(PORT).into())];
    spans.metrics.total("remora.network.connections", &with)
}

fn all_connections(spans: &Spans) -> i64 {
    spans.metrics.total("remora.network.connections", &[])
}

/// A client and a server that were connected before, used or not, and neither forked nor connected since.
fn first_request(tier: Tier) {
    for used in [0, 2] {
        let net = Netns::new();
        let server = python_server(&net, "127.0.0.1", PORT);
        let mut client = earlier(&net, &["client", &format!("127.0.0.1:{PORT}")]);
        (0..used).for_each(|_| client.step());
        let agent = Agent::watch(&net).tier(tier).start();
        assert_eq!(told_at_start(&agent.log()), Some(2), "{}", agent.log());
        client.step();
        let spans = agent.stop();
        let target = format!("/hello?{used}");
        let told = spans.server(PORT).service("py_server").by(server.id()).only();
        assert_eq!((told.target(), told.code()), (target.clone(), Some(200)), "{told}");
        assert_eq!(told.text("network.peer.address"), "127.0.0.1");
        let told = spans.client(PORT).service("earlier").by(client.id()).only();
        assert_eq!((told.target(), told.code()), (target, Some(200)), "{told}");
        assert_eq!(told.text("network.peer.address"), "127.0.0.1");
        let _ = spans.all().exactly(2);
        assert_eq!((connections(&spans, "client"), connections(&spans, "server")), (1, 1));
        assert_eq!((all_connections(&spans), spans.coverage.get("connections")), (2, 2));
    }
}

fn first_request_by_ipv6(tier: Tier) {
    let net = Netns::new();
    let server = python_server(&net, "::1", PORT);
    let mut client = earlier(&net, &["client", &format!("::1:{PORT}")]);
    let agent = Agent::watch(&net).tier(tier).start();
    assert_eq!(told_at_start(&agent.log()), Some(2), "{}", agent.log());
    client.step();
    let spans = agent.stop();
    for (told, process) in [(spans.server(PORT), server.id()), (spans.client(PORT), client.id())] {
        let told = told.by(process).only();
        assert_eq!(
            (told.target(), told.text("network.peer.address")),
            ("/hello?0".to_owned(), "::1"),
            "{told}"
        );
    }
    let _ = spans.all().exactly(2);
    assert_eq!((connections(&spans, "client"), connections(&spans, "server")), (1, 1));
}

fn first_request_by_unix_socket(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    let path = place.join("server.sock");
    let server = python(&net, "py_server.py").arg("unix").arg(&path).listen_unix(&path);
    let mut client = earlier(&net, &["client", &path.to_string_lossy()]);
    let agent = Agent::watch(&net).tier(tier).start();
    assert_eq!(told_at_start(&agent.log()), Some(2), "{}", agent.log());
    client.step();
    let spans = agent.stop();
    for (end, service, process) in [("local", "py_server", server.id()), ("peer", "earlier", client.id())] {
        let told = spans.all().by(process).service(service).only();
        assert_eq!(told.text(&format!("network.{end}.address")), path.to_string_lossy(), "{told}");
        assert_eq!(told.target(), "/hello?0");
    }
    let _ = spans.all().exactly(2);
}

/// Idle connections are counted before they carry a byte; what they carry later has its end, though nobody listens on the
/// port any more and no protocol is known.
fn an_idle_pool(tier: Tier) {
    let net = Netns::new();
    let [mut client, mut server] = pool(&net);
    let agent = Agent::watch(&net).tier(tier).start();
    assert_eq!(told_at_start(&agent.log()), Some(2 * POOL), "{}", agent.log());
    client.step();
    server.step();
    let spans = agent.stop();
    pool_is_told(&spans);
    let coverage = &spans.coverage;
    assert_eq!((coverage.get("ambiguous"), coverage.get("gap_bytes")), (0, 0), "{coverage}");
}

fn pool_is_told(spans: &Spans) {
    let summary = spans.metrics.summary();
    for (role, direction) in [("client", "transmit"), ("server", "receive")] {
        assert_eq!(connections(spans, role), POOL as i64, "{role}\n{summary}");
        let with: [(&str, Value); 3] = [
            ("remora.role", role.into()),
            ("server.port", i64::from(PORT).into()),
            ("network.io.direction", direction.into()),
        ];
        assert_eq!(spans.metrics.total("remora.network.io", &with), 3 * POOL as i64, "{role}\n{summary}");
    }
    assert_eq!(all_connections(spans), 2 * POOL as i64, "{summary}");
    assert_eq!(spans.coverage.get("connections"), 2 * POOL as i64);
}

/// Where the kernel's iterators are not to be had, `/proc` tells how many there are, and each is told with its first bytes.
fn without_iterators(tier: Tier) {
    let net = Netns::new();
    let [mut client, mut server] = pool(&net);
    let agent = Agent::watch(&net).tier(tier).config("probes: { iterators: false }\n").start();
    assert_eq!(told_at_start(&agent.log()), Some(2 * POOL), "{}", agent.log());
    assert!(
        agent.log().contains("told with their first bytes: `probes.iterators` is false"),
        "{}",
        agent.log()
    );
    client.step();
    server.step();
    pool_is_told(&agent.stop());
}

/// A connection that a parent holds beside the child that uses it is one connection, and the child's, also when the parent
/// ends before it is used.
fn a_child_serves(tier: Tier) {
    let net = Netns::new();
    let mut parent = earlier(&net, &["inherit", &PORT.to_string()]);
    let mut client = earlier(&net, &["client", &format!("127.0.0.1:{PORT}")]);
    parent.step();
    let child = parent.children()[0];
    let agent = Agent::watch(&net).tier(tier).start();
    assert_eq!(told_at_start(&agent.log()), Some(2), "{}", agent.log());
    let _ = parent.last_step().ok();
    // Longer than the agent gives the connections of a process that has ended.
    std::thread::sleep(std::time::Duration::from_millis(500));
    client.step();
    let spans = agent.stop();
    let served = spans.server(PORT).by(child).only();
    assert_eq!((served.target(), served.code()), ("/hello?0".to_owned(), Some(200)), "{served}");
    let _ = spans.client(PORT).by(client.id()).exactly(1);
    let _ = spans.all().exactly(2);
    assert_eq!((connections(&spans, "client"), connections(&spans, "server")), (1, 1));
    assert_eq!(spans.coverage.get("connections"), 2);
}

/// An agent that comes after another knows the same connections, and each request is told by one of them.
fn a_second_agent(tier: Tier) {
    let net = Netns::new();
    let _server = python_server(&net, "127.0.0.1", PORT);
    let mut client = earlier(&net, &["client", &format!("127.0.0.1:{PORT}")]);
    for run in 0..2 {
        let agent = Agent::watch(&net).tier(tier).start();
        assert_eq!(told_at_start(&agent.log()), Some(2), "{}", agent.log());
        client.step();
        let spans = agent.stop();
        for told in [spans.server(PORT).only(), spans.client(PORT).only()] {
            assert_eq!(told.target(), format!("/hello?{}", 2 * run), "{told}");
        }
        assert_eq!(all_connections(&spans), 2);
        // Nobody is there to tell of it.
        client.step();
    }
}
