//! Apache Thrift's Python clients with its servers in Python (all transports and protocols) and Java.

use remora_tests::peers::thrift::{KINDS, client, generate, java_server, python_server};
use remora_tests::{Agent, Netns, Place, Recording, Selection, Spans};

const PORT: u16 = 9090;

/// What one end told of `rounds` of calls to one server. Python's clients multiplex services with the fourth.
fn told(side: &Selection<'_>, kind: (&str, &str), multiplexed: bool, rounds: usize) {
    let side = side.clone().with("rpc.system.name", "apache_thrift").exactly(5 * rounds);
    let side = side.each_has("remora.thrift.transport", kind.0).each_has("remora.thrift.protocol", kind.1);
    let method = |name: &str, count: usize| {
        let name = if multiplexed { format!("Shop/{name}") } else { name.to_owned() };
        let found = side.clone().with("rpc.method", &*name).exactly(count);
        found.each("named", |span| span.name == name)
    };
    let _ = method("order", 2 * rounds).none_has("error.type").none_has("remora.outcome");
    let refused = method("refuse", rounds).each_has("error.type", "declared_exception");
    let _ = refused.each_has("remora.thrift.exception.field", 1).each("an error", |span| span.status == 2);
    let _ = method("forget", rounds)
        .each("one-way", |span| span.get("remora.one_way").is_some())
        .none_has("error.type");
    let _ = method("nothing", rounds).each_has("error.type", "UNKNOWN_METHOD");
}

fn python(spans: &Spans, rounds: usize) {
    for (port, kind) in (PORT..).zip(KINDS) {
        for side in [spans.client(port), spans.server(port)] {
            told(&side, kind, port == PORT + 3, rounds);
        }
    }
    for lost in ["unpaired_responses", "unpaired_requests"] {
        assert_eq!(spans.coverage.get(lost), 0, "{lost}\n{}", spans.coverage);
    }
}

#[test]
fn agent_first() {
    let (net, place) = (Netns::new(), Place::new());
    if !generate(&place) {
        return;
    }
    let _server = python_server(&net, &place, PORT);
    const JAVA: u16 = 9190;
    let java = java_server(&net, JAVA);
    let agent = Agent::start(&net);
    let mut clients = client(&net, &place, PORT, "python");
    clients.step();
    clients.step();
    let _ = clients.last_step().ok();
    if java.is_some() {
        let mut clients = client(&net, &place, JAVA, "java");
        clients.step();
        let _ = clients.last_step().ok();
    }
    let spans = agent.stop();
    python(&spans, 2);
    if java.is_some() {
        for side in [spans.client(JAVA), spans.server(JAVA)] {
            told(&side, ("framed", "binary"), false, 1);
        }
        for side in [spans.client(JAVA + 1), spans.server(JAVA + 1)] {
            told(&side, ("unframed", "compact"), false, 1);
        }
    }
}

#[test]
fn agent_in_the_middle() {
    let (net, place) = (Netns::new(), Place::new());
    if !generate(&place) {
        return;
    }
    let _server = python_server(&net, &place, PORT);
    let mut clients = client(&net, &place, PORT, "python");
    clients.step();
    let agent = Agent::start(&net);
    clients.step();
    let _ = clients.last_step().ok();
    python(&agent.stop(), 1);
}

#[test]
fn recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    if !generate(&place) {
        return;
    }
    let _server = python_server(&net, &place, PORT);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut clients = client(&net, &place, PORT, "python");
    clients.step();
    let _ = clients.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    for (index, port) in (PORT..PORT + KINDS.len() as u16).enumerate() {
        let (transport, protocol) = KINDS[index];
        let style = if index == 1 { "old" } else { protocol };
        let name = format!("thrift-python-{transport}-{style}");
        recording.keep("thrift", port, 0, &name, "Apache Thrift in Python, client and server");
    }
    python(&recording.replay(), 1);

    // The exceptions' replies are lost at the client's end, whole.
    let refused = |bytes: &[u8]| bytes.windows(6).any(|part| part == b"refuse") && bytes.len() < 300;
    let ours = PORT..PORT + KINDS.len() as u16;
    let lossy = recording
        .losing(|piece| piece.read && ours.contains(&piece.open.remote_port) && refused(piece.bytes));
    let spans = lossy.replay();
    for (port, kind) in (PORT..).zip(KINDS) {
        told(&spans.server(port), kind, port == PORT + 3, 1);
        let clients = spans.client(port).with("rpc.system.name", "apache_thrift").exactly(5);
        let _ = clients.with("remora.outcome", "response_lost").exactly(1).none_has("error.type");
    }
    assert_eq!(spans.coverage.get("unpaired_requests"), KINDS.len() as i64);
}
