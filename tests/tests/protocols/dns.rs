//! DNS: dig, the resolvers of libc, Go and Node, and dnsmasq.

use remora_tests::peers::dns::{PORT, dig, dnsmasq, resolving};
use remora_tests::{
    Agent, Netns, Place, Recording, Selection, Tier, built, each_tier, go_program, installed, python_server,
    workload,
};

each_tier!(lookups, resolvers, sockets_older_than_the_agent, nobody_answers);

/// Ways to ask of `dns/client.py`, and one over TCP.
const ASKED: usize = 7;

fn present() -> bool {
    let present = installed("/usr/sbin/dnsmasq") && installed("dig");
    if !present {
        println!("skipped: dnsmasq or dig is not installed");
    }
    present
}

fn of(spans: &Selection<'_>, kind: &str, transport: &str) -> usize {
    let spans = spans.clone().with("remora.dns.question.type", kind);
    spans.with("network.transport", transport).len()
}

/// Each question of dig is told at both ends, with what became of it.
fn lookups(tier: Tier) {
    if !present() {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = dnsmasq(&net, &place);
    let agent = Agent::watch(&net).tier(tier).start();
    for question in [
        &["shop.example", "A"][..],
        &["shop.example", "AAAA"],
        &["_http._tcp.example", "SRV", "+norecurse"],
        &["missing.example", "A"],
        &["shop.example", "A", "+tcp"],
        // The datagram is too small, so it asks again over TCP.
        &["big.example", "TXT", "+noedns"],
    ] {
        let _ = dig(&net).args(question).run().ok();
    }
    let spans = agent.stop();
    let (client, server) = (spans.client(PORT).service("dig"), spans.server(PORT).service("dnsmasq"));
    for side in [&client, &server] {
        let side = side.clone().exactly(7);
        assert_eq!((of(&side, "A", "udp"), of(&side, "A", "tcp"), of(&side, "AAAA", "udp")), (2, 1, 1));
        assert_eq!((of(&side, "TXT", "udp"), of(&side, "TXT", "tcp")), (1, 1));
        let _ = side
            .clone()
            .filter("truncated", |span| span.get("remora.dns.truncated").is_some())
            .exactly(1)
            .each_has("network.transport", "udp");
        let missing = side.clone().with("dns.question.name", "missing.example").only();
        assert_eq!(missing.text("remora.dns.response.code"), "NXDOMAIN");
        let _ = side.each("the peer", |span| span.text("network.peer.address") == "127.0.0.1");
    }
    let shop = client.clone().with("dns.question.name", "shop.example").exactly(3);
    let _ = shop
        .filter("A", |span| span.name == "DNS A")
        .exactly(2)
        .each("the address", |span| format!("{:?}", span.get("dns.answers")).contains("127.0.0.1"));
    let srv = client.clone().filter("SRV", |span| span.name == "DNS SRV").only();
    assert!(format!("{:?}", srv.get("remora.dns.records")).contains("SRV shop.example:8080"), "{srv:?}");
    let _ = client.with("error.type", "NXDOMAIN").exactly(1);
    let _ = server.none_has("error.type");
    let _ = spans.all().exactly(14);
}

/// libc asks for both kinds of addresses in one call; the name that was looked up is the server's name then.
fn resolvers(tier: Tier) {
    if !present() {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = dnsmasq(&net, &place);
    let _web = python_server(&net, "127.0.0.1", 8080);
    let agent = Agent::watch(&net).tier(tier).start();
    let script = "import socket; print(socket.getaddrinfo('shop.example', 80))";
    let _ = resolving(&net, &place, "timeout:2", &format!("python3 -c \"{script}\"")).run().ok();
    let _ = resolving(&net, &place, "timeout:2", "curl -s http://shop.example:8080/hello").run().ok();
    // Its own question goes to a server that it knows by name.
    let _ = resolving(&net, &place, "timeout:2", "dig @ns.example +tries=1 shop.example").run().ok();
    let mut asked = 5;
    if installed("node") {
        let script = "require('dns').resolve4('shop.example', (e, a) => { if (e) throw e })";
        let _ = resolving(&net, &place, "timeout:2", &format!("node -e \"{script}\"")).run().ok();
        asked += 1;
    }
    if installed("go") {
        // Built by this very call.
        let _ = go_program(&net);
        let path = built("go-http.built/go-http");
        let command = format!("env GODEBUG=netdns=go {} fetch http://shop.example:8080", path.display());
        let go = resolving(&net, &place, "timeout:2", &command).input("GET /hello 0\n");
        let _ = go.run().ok();
        asked += 2;
    }
    let spans = agent.stop();
    let client = spans.client(PORT);
    for name in ["python", "curl"] {
        let both = client.clone().service(name).exactly(2);
        assert_eq!((of(&both, "A", "udp"), of(&both, "AAAA", "udp")), (1, 1), "{name}");
    }
    let named = client.clone().with("server.address", "ns.example").exactly(1);
    let _ = named.each_has("dns.question.name", "shop.example").each_has("network.peer.address", "127.0.0.1");
    for side in [client, spans.server(PORT)] {
        let _ = side.with("dns.question.name", "shop.example").exactly(asked);
    }
    let _ = spans.all().none_has("remora.outcome");
}

/// Connections and sockets that are older than the agent, and every way to send and receive a datagram.
fn sockets_older_than_the_agent(tier: Tier) {
    if !present() {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = dnsmasq(&net, &place);
    let mut client = net.program("python3").arg(workload("dns/client.py")).in_steps();
    client.step();
    let agent = Agent::watch(&net).tier(tier).start();
    for _ in 0..3 {
        client.step();
    }
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let side = side.exactly(3 * (ASKED + 1)).each_has("dns.question.name", "shop.example");
        let side = side.each_has("network.peer.address", "127.0.0.1");
        assert_eq!((of(&side, "A", "udp"), of(&side, "A", "tcp")), (3 * ASKED, 3));
        let _ = side.none_has("error.type");
    }
    let _ = spans.all().exactly(6 * (ASKED + 1));
    assert_eq!(spans.coverage.get("unreadable_datagrams"), 0);
    assert_eq!(spans.coverage.get("unaddressed_datagrams"), 0);
}

/// A query that is sent again is one exchange, told when nobody waits for it any more.
fn nobody_answers(tier: Tier) {
    if !present() {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let script = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                  s.bind(('127.0.0.1', 53))\nprint('ready', flush=True)\ninput()";
    let _silent = net.program("python3").args(["-c", script]).in_steps();
    let agent = Agent::watch(&net).tier(tier).start();
    let script = "import socket\ntry:\n  socket.getaddrinfo('shop.example', 80, socket.AF_INET)\nexcept OSError:\n  pass";
    let client =
        resolving(&net, &place, "timeout:1 attempts:2", &format!("python3 -c \"{script}\"")).run().ok();
    let spans = agent.stop();
    let _ = spans
        .client(PORT)
        .by(client.process)
        .exactly(1)
        .each_has("remora.dns.transmissions", 2)
        .each_has("remora.outcome", "process_gone");
    let _ = spans.all().exactly(1);
}

/// What was recorded is told again.
#[test]
fn recorded() {
    if !present() {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = dnsmasq(&net, &place);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let _ =
        dig(&net).args(["+tcp", "shop.example", "A", "_http._tcp.example", "SRV", "+keepopen"]).run().ok();
    let _ = dig(&net).args(["shop.example", "AAAA", "missing.example", "A"]).run().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep("dns", PORT, 0, "dns-dig-tcp", "dig asks dnsmasq for an address over TCP");
    recording.keep("dns", PORT, 1, "dns-dig-udp", "dig asks dnsmasq for an address");
    let spans = recording.replay();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let side = side.exactly(4);
        assert_eq!((of(&side, "A", "tcp"), of(&side, "SRV", "tcp"), of(&side, "AAAA", "udp")), (1, 1, 1));
    }
    // The first answer over TCP is lost at the client's end, and nothing else.
    let lossy =
        recording.losing(|piece| piece.open.remote_port == PORT && piece.read && piece.number <= 2).replay();
    let _ = lossy.server(PORT).exactly(4);
    let _ =
        lossy.client(PORT).exactly(4).filter("lost", |span| span.get("remora.outcome").is_some()).exactly(1);
}
