//! NATS with nats-py: messages, requests, headers, and a stream's acknowledgements.

use std::time::Duration;

use remora_tests::peers::{self, nats::nats};
use remora_tests::{Agent, Kind, Netns, Place, Recording, Running, Spans, wait_for};

const PORT: u16 = 4222;
/// Most of what both ends tell of a round.
const ROUND: usize = 80;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn clients(net: &Netns, size: u32) -> Running {
    peers::python(net, "nats/clients.py").args([u32::from(PORT), size].map(|n| n.to_string())).in_steps()
}

/// A round, and one with a large message once the agent knows the protocol: before that it copies a part only.
fn two_rounds(client: &mut Running, agent: &Agent) {
    client.step();
    let known = wait_for(Duration::from_secs(30), || agent.told() >= ROUND);
    assert!(known, "{} of {ROUND} spans came", agent.told());
    client.step();
}

/// What both ends told of `rounds`.
fn rounds(spans: &Spans, rounds: usize) {
    let client = |name: &'static str, count: usize| {
        let all = spans.all().on(PORT).filter("client", |span| span.kind != Kind::Server);
        let found = all.filter(name, |span| span.name == name).exactly(count * rounds);
        found.each_has("messaging.system", "nats").none_has("remora.outcome")
    };
    let server = |name: &'static str, count: usize| {
        spans
            .server(PORT)
            .filter(name, |span| span.name == name)
            .exactly(count * rounds)
            .none_has("remora.outcome")
    };
    let producers = client("publish events.*", 10).each("producer", |span| span.kind == Kind::Producer);
    let _ = producers.each_has("messaging.message.body.size", 5).each_has("messaging.operation.type", "send");
    let _ = client("publish events.large", 1);
    let traced = client("publish events.traced", 1).each("with a parent", |span| span.trace == TRACE);
    let _ = traced.each_has("messaging.message.body.size", 1);
    let consumers = client("receive events.*", 12).each("consumer", |span| span.kind == Kind::Consumer);
    let _ = consumers.filter("with a parent", |span| span.trace == TRACE).exactly(rounds);
    let requests = client("request help", 5).each("client", |span| span.kind == Kind::Client);
    let _ = requests.each_has("remora.nats.reply.body.size", 2).none_has("error.type");
    let answers = client("process help", 5).each("consumer", |span| span.kind == Kind::Consumer);
    let _ = answers.each_has("messaging.consumer.group.name", "helpers");
    let _ =
        client("request nobody", 1).each_has("error.type", "503").each("an error", |span| span.status == 2);
    let _ = client("request jobs.new", 3);
    let _ = client("process jobs.new", 3).each_has("remora.nats.ack", "ack");
    let _ = client("ack $JS.ACK.*", 3).each_has("messaging.operation.type", "settle");
    let _ = server("publish events.*", 10);
    let _ = server("deliver events.*", 12);
    let _ = server("request help", 5);
    let _ = server("deliver help", 5);
    let _ = server("request nobody", 1).each_has("error.type", "503");
    let _ = server("deliver jobs.new", 3);
}

#[test]
fn agent_first() {
    if !peers::python_has("nats") {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = nats(&net, &place, PORT);
    let agent = Agent::start(&net);
    let mut client = clients(&net, 300_000);
    two_rounds(&mut client, &agent);
    let _ = client.last_step().ok();
    let spans = agent.stop();
    rounds(&spans, 2);
    let _ = spans
        .server(PORT)
        .filter("set up", |span| span.name == "request $JS.API.STREAM.CREATE.JOBS")
        .exactly(1);
    assert_eq!(spans.coverage.get("unpaired_requests"), 0);
}

/// The connections and subscriptions were there before the agent came.
#[test]
fn agent_in_the_middle() {
    if !peers::python_has("nats") {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = nats(&net, &place, PORT);
    let mut client = clients(&net, 300_000);
    let agent = Agent::start(&net);
    two_rounds(&mut client, &agent);
    let _ = client.last_step().ok();
    let spans = agent.stop();
    let named = |name: &'static str| spans.all().on(PORT).filter(name, |span| span.name == name);
    for (name, count) in [
        ("publish events.*", 20 * 2),
        ("publish events.large", 2 * 2),
        ("receive events.*", 20),
        ("receive events.large", 2),
        ("request help", 10 * 2),
        ("process help", 10),
        ("request nobody", 2 * 2),
        ("request jobs.new", 6 * 2),
        ("process jobs.new", 6),
    ] {
        let _ =
            named(name).exactly(count).none_has("remora.outcome").none_has("messaging.consumer.group.name");
    }
}

/// Bytes are missing: what was lost is not told, what follows is right.
#[test]
fn recorded_and_lost() {
    if !peers::python_has("nats") {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = nats(&net, &place, PORT);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut client = clients(&net, 300);
    client.step();
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    for (index, name) in ["asker", "answerer", "stream"].into_iter().enumerate() {
        recording.keep("nats", PORT, index, &format!("nats-{name}"), "nats-py");
    }
    let whole = recording.replay();
    let named = |spans: &Spans, name: &'static str| {
        spans.all().on(PORT).filter(name, |span| span.name == name && span.kind != Kind::Server).len()
    };
    assert_eq!((named(&whole, "request help"), named(&whole, "process help")), (5, 5));

    // The client's end does not see that nobody answers.
    let has = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let lossy = recording
        .losing(|piece| piece.read && piece.open.remote_port == PORT && has(piece.bytes, b"NATS/1.0 503"))
        .replay();
    assert_eq!((named(&lossy, "request help"), named(&lossy, "process help")), (5, 5));
    let nobody = lossy.all().on(PORT).filter("nobody", |span| span.name == "request nobody");
    let _ =
        nobody.clone().with("error.type", "503").exactly(1).each("server", |span| span.kind == Kind::Server);
    let _ = nobody.with("remora.outcome", "response_lost").exactly(1).none_has("error.type");
}
