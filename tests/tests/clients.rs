//! Real clients and many of them: curl, wrk, processes that are gone before anybody looks.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use remora_tests::{
    Agent, Kind, Netns, Place, Tier, built, each_tier, nginx, node, python, python_server, rust_http,
    wait_for,
};

const PORT: u16 = 8080;

each_tier!(wrk_is_counted_exactly, a_thousand_short_lived_processes);

fn simple_nginx(net: &Netns, place: &Place) -> remora_tests::Running {
    let server = format!("server {{ listen 127.0.0.1:{PORT}; location / {{ return 200 'hello\n'; }} }}");
    nginx(net, place, PORT, &server)
}

/// A process a request, then a process with many requests on one connection.
#[test]
fn curl() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = simple_nginx(&net, &place);
    let agent = Agent::start(&net);
    let mut processes = HashSet::new();
    for i in 0..20 {
        let url = format!("http://127.0.0.1:{PORT}/single/{i}");
        processes.insert(i64::from(net.program("curl").args(["-s", &url]).run().ok().process));
    }
    let many: Vec<String> = (0..50).map(|i| format!("http://127.0.0.1:{PORT}/many/{i}")).collect();
    let together = net.program("curl").arg("-s").args(&many).run().ok().process;
    let spans = agent.stop();
    let _ = spans.server(PORT).service("nginx").exactly(70);
    let clients = spans.client(PORT).service("curl").exactly(70).each_has("http.response.body.size", 6);
    let _ = clients
        .clone()
        .each("curl's user agent", |span| span.text("user_agent.original").starts_with("curl/"));
    let single = clients.clone().filter("alone", |span| span.target().starts_with("/single/")).exactly(20);
    assert_eq!(single.iter().map(|span| i64::from(span.process())).collect::<HashSet<_>>(), processes);
    let targets: Vec<String> =
        clients.by(together).exactly(50).in_order().iter().map(|span| span.target()).collect();
    assert_eq!(targets, (0..50).map(|i| format!("/many/{i}")).collect::<Vec<_>>());
}

/// wrk's own count is that of the responses it read; a request that it gave up at its end is told as an error.
fn wrk_is_counted_exactly(tier: Tier) {
    const CONNECTIONS: usize = 8;
    let (net, place) = (Netns::new(), Place::new());
    let _server = simple_nginx(&net, &place);
    let agent = Agent::watch(&net).tier(tier).start();
    let url = format!("http://127.0.0.1:{PORT}/wrk");
    // A pause of 1 ms before each request: this test is about exactness, not about saturation.
    let script = place.write("pause.lua", "function delay() return 1 end\n");
    let arguments = ["-t2", &format!("-c{CONNECTIONS}"), "-d1s", "-s"];
    let finished = net.program("wrk").args(arguments).arg(script).arg(url).run().ok();
    let counted = finished.output.lines().find_map(|line| line.trim().split_once(" requests in "));
    let counted: usize = counted.expect("wrk's count").0.parse().expect("number");
    assert!(!finished.output.contains("Socket errors"), "{}", finished.output);
    let access = place.join("access.log");
    let mut served = 0;
    // nginx logs a request after it was served; it is done with wrk's last ones when the connections are gone.
    let quiet = wait_for(Duration::from_secs(5), || {
        let before = served;
        served = std::fs::read_to_string(&access).unwrap_or_default().lines().count();
        served >= counted && served == before
    });
    assert!(quiet, "nginx logged {served} of {counted}");
    let spans = agent.stop();
    let whole = |span: &remora_tests::Span| span.code() == Some(200) && span.text("error.type").is_empty();
    let clients = spans.client(PORT).service("wrk");
    let _ = clients.clone().filter("complete", whole).exactly(counted);
    let given_up =
        clients.filter("given up", |span| !whole(span)).each("told as an error", |span| span.status == 2);
    assert!(given_up.len() <= CONNECTIONS, "{} given up", given_up.len());
    let _ = spans.server(PORT).service("nginx").filter("complete", whole).exactly(served);
    for lost in ["ring_full", "unpaired_responses", "connections_full"] {
        assert_eq!(spans.coverage.get(lost), 0, "{lost}\n{}", spans.coverage);
    }
}

/// Every one has its name and its service, although it is gone before its first segment is read.
fn a_thousand_short_lived_processes(tier: Tier) {
    const COUNT: usize = 1000;
    const AT_ONCE: usize = 20;
    let (net, place) = (Netns::new(), Place::new());
    let _server = simple_nginx(&net, &place);
    let agent = Agent::watch(&net).tier(tier).start();
    let mut expected = BTreeMap::new();
    for batch in 0..COUNT / AT_ONCE {
        let running: Vec<_> = (0..AT_ONCE)
            .map(|i| {
                let target = format!("/short/{}", batch * AT_ONCE + i);
                // Two of three say who they are, in the two ways there are; the others are named by their program.
                let program = net.program(built("oneshot")).arg(format!("127.0.0.1:{PORT}")).arg(&target);
                let (program, service) = match i % 3 {
                    0 => (program, "oneshot".to_owned()),
                    1 => (program.env("OTEL_SERVICE_NAME", format!("shop-{i}")), format!("shop-{i}")),
                    _ => {
                        let attributes = format!("service.name=till-{i},deployment.environment.name=test");
                        (program.env("OTEL_RESOURCE_ATTRIBUTES", attributes), format!("till-{i}"))
                    }
                };
                (program.start(), target, service)
            })
            .collect();
        for (process, target, service) in running {
            let process = process.finish(Duration::from_secs(20)).ok().process;
            expected.insert(target, (service, process));
        }
    }
    let spans = agent.stop();
    let _ = spans.server(PORT).exactly(COUNT);
    let clients = spans.client(PORT).exactly(COUNT);
    let told: BTreeMap<_, _> =
        clients.iter().map(|span| (span.target(), (span.service().to_owned(), span.process()))).collect();
    let wrong: Vec<_> =
        expected.iter().filter(|(target, who)| told.get(*target) != Some(*who)).take(10).collect();
    let instead: Vec<_> = wrong.iter().map(|(target, _)| told.get(*target)).collect();
    assert!(wrong.is_empty(), "expected {wrong:#?}\ntold {instead:#?}");
    let _ = clients
        .each_has("process.executable.name", "oneshot")
        .each("an instance", |span| !span.text("service.instance.id").is_empty());
}

/// Services are called as they say; else by the script, not the interpreter.
#[test]
fn services_have_their_names() {
    let net = Netns::new();
    let port = |index: u16| PORT + index;
    let address = |index: u16| port(index).to_string();
    let python_server = |index: u16| python(&net, "py_server.py").arg("127.0.0.1").arg(address(index));
    let _servers = [
        python_server(0).listen(port(0)),
        python_server(1).env("OTEL_SERVICE_NAME", "cart").listen(port(1)),
        python_server(2)
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=ledger,service.version=1.2,team=blue%20one")
            .listen(port(2)),
        // The variable for the name alone wins.
        python_server(3)
            .env("OTEL_SERVICE_NAME", "till")
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,service.namespace=shop")
            .listen(port(3)),
        rust_http(&net).arg("serve").arg(format!("127.0.0.1:{}", port(4))).listen(port(4)),
        node(&net, "node_server.js").arg("127.0.0.1").arg(address(5)).listen(port(5)),
    ];
    let agent = Agent::start(&net);
    for index in 0..6 {
        let url = format!("http://127.0.0.1:{}/hello", port(index));
        let _ = net.program("curl").args(["-s", &url]).run().ok();
    }
    let spans = agent.stop();
    for (index, service) in
        ["py_server", "cart", "ledger", "till", "rust-http", "node_server"].iter().enumerate()
    {
        let span = spans.server(port(index as u16)).only();
        assert_eq!(span.service(), *service, "{span}");
    }
    let ledger = spans.server(port(2)).only();
    assert_eq!((ledger.text("service.version"), ledger.text("team")), ("1.2", "blue one"));
    assert_eq!(spans.server(port(3)).only().text("service.namespace"), "shop");
    let _ = spans
        .all()
        .each("a host", |span| !span.text("host.name").is_empty())
        .each("a process", |span| span.process() > 0 && !span.text("process.executable.name").is_empty())
        // A client may be gone before its path can be looked up.
        .of_kind(Kind::Server)
        .each("a path", |span| span.text("process.executable.path").starts_with('/'));
}

/// Both families, and IPv4 to a socket that listens on IPv6.
#[test]
fn addresses_of_all_kinds() {
    let net = Netns::new();
    let _servers = [
        python_server(&net, "127.0.0.1", PORT),
        python_server(&net, "::1", PORT + 1),
        python_server(&net, "::", PORT + 2),
    ];
    let agent = Agent::start(&net);
    let targets = [("127.0.0.1", PORT), ("[::1]", PORT + 1), ("127.0.0.1", PORT + 2), ("[::1]", PORT + 2)];
    for (address, port) in targets {
        for _ in 0..5 {
            let url = format!("http://{address}:{port}/hello");
            let _ = net.program("curl").args(["-s", &url]).run().ok();
        }
    }
    let spans = agent.stop();
    for (address, port) in targets {
        let plain = address.trim_matches(['[', ']']);
        for side in [spans.server(port), spans.client(port)] {
            let _ = side.with("network.peer.address", plain).exactly(5).each_has("server.address", plain);
        }
        let own = spans.server(port).with("network.peer.address", plain);
        let _ = own.each_has("network.local.address", plain).each_has("client.address", plain);
        let url = format!("http://{address}:{port}/hello");
        let _ = spans.client(port).with("network.peer.address", plain).each_has("url.full", url.as_str());
    }
    let _ = spans.all().exactly(40);
}
