//! AMQP 0-9-1: RabbitMQ and pika.

use std::collections::BTreeMap;
use std::time::Duration;

use remora_tests::peers::amqp::{has_rabbitmq, rabbitmq};
use remora_tests::peers::{go, python, python_has};
use remora_tests::{Agent, Kind, Netns, Place, Recording, Selection, wait_for};

const PORT: u16 = 5672;
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes: more than two frames, and few.
const LARGE: i64 = 300_000;
const SMALL: i64 = 20;

/// How many spans have each name.
fn names(spans: &Selection<'_>) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for span in spans.iter() {
        *names.entry(span.name.clone()).or_default() += 1;
    }
    names
}

/// What `everything.py` does.
const EVERYTHING: [(&str, usize); 22] = [
    ("cancel", 2),
    ("channel.close", 1),
    ("channel.open", 2),
    ("confirm.select", 1),
    ("connection.close", 1),
    ("connection.open", 1),
    ("consume (anonymous)", 1),
    ("consume billing", 1),
    ("deliver (anonymous)", 2),
    ("deliver billing", 5),
    ("exchange.declare orders", 1),
    ("get billing", 2),
    ("publish (anonymous)", 2),
    ("publish billing", 1),
    ("publish orders", 6),
    ("qos", 1),
    ("queue.bind billing", 1),
    ("queue.declare (anonymous)", 1),
    ("queue.declare billing", 1),
    ("queue.declare missing", 1),
    ("queue.delete billing", 1),
    ("queue.purge billing", 1),
];

/// One end's spans of `everything.py`.
#[track_caller]
fn everything(spans: &Selection<'_>, size: i64) {
    let expected: BTreeMap<String, usize> =
        EVERYTHING.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(names(spans), expected);
    let of = |name: &str| spans.clone().filter(name, |span| span.name == name);
    let settled = |name: &str, settlement: &str| of(name).with("remora.messaging.settlement", settlement);
    let routed = settled("publish orders", "ack").filter("routed", |span| span.status != 2).exactly(5);
    let _ = routed
        .each_has("messaging.system", "rabbitmq")
        .each_has("messaging.operation.type", "send")
        .each("a parent", |span| span.parent == "00f067aa0ba902b7")
        .filter("large", |span| span.integer("messaging.message.body.size") == Some(size))
        .exactly(1)
        .each_has("messaging.destination.name", "orders:eu.4")
        .each_has("messaging.rabbitmq.message.delivery_tag", 5);
    let _ = of("publish orders").with("error.type", "no-route").exactly(1);
    let processed = of("deliver billing").each_has("messaging.operation.type", "process");
    let _ = processed.with("messaging.destination.name", "orders:eu.0:billing").exactly(1);
    let _ = settled("deliver billing", "ack").exactly(3).each("no error", |span| span.status != 2);
    let _ = settled("deliver billing", "nack").exactly(1).each_has("error.type", "nack");
    let _ = settled("deliver billing", "reject").exactly(1).each_has("error.type", "reject");
    let _ = of("deliver (anonymous)").each_has("messaging.operation.type", "receive");
    let _ = of("get billing").with("messaging.message.body.size", 8).exactly(1);
    let _ = of("queue.declare missing")
        .each_has("error.type", "not-found")
        .each_has("remora.amqp.reply_code", 404);
    let _ = spans.clone().filter("errors", |span| span.status == 2).exactly(4);
    let _ = spans.clone().none_has("remora.outcome");
}

/// What the client in Go does with 100 messages: these, each published and delivered, and seven methods.
const MANY: usize = 2 * 100 + 7;

/// Many wait for their confirmation at once, and are acknowledged ten at a time.
#[track_caller]
fn pipelined(spans: &Selection<'_>) {
    for (name, kind) in [("publish many", "send"), ("deliver many", "process")] {
        let of = spans.clone().filter(name, |span| span.name == name).exactly(100);
        let of = of.each_has("remora.messaging.settlement", "ack").each_has("messaging.operation.type", kind);
        let mut tags: Vec<_> =
            of.iter().map(|span| span.integer("messaging.rabbitmq.message.delivery_tag")).collect();
        tags.sort_unstable();
        assert!(tags.into_iter().eq((1..=100).map(Some)), "{name}: each number once");
    }
}

#[test]
fn rabbitmq_and_pika() {
    if !has_rabbitmq() || !python_has("pika") {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let server = rabbitmq(&net, &place, PORT);
    let port = PORT.to_string();
    let mut steps = python(&net, "amqp/steps.py").arg(&port).in_steps();
    let file = place.join("run.remora");
    let (agent, recorder) = (Agent::start(&net), Agent::record(&net, &file).start());
    let client = |size: i64| python(&net, "amqp/everything.py").arg(&port).arg(size.to_string());
    // What passes before the agent knows that it is AMQP is copied in part only.
    let large = client(LARGE).in_steps();
    assert!(wait_for(PATIENCE, || agent.told() >= 2), "both ends have not told of the connection");
    let large = large.last_step().ok().process;
    let small = client(SMALL).run().ok().process;
    let many = go("amqp").map(|client| net.program(client).args([&port, "100"]).run().ok().process);
    let early = steps.id();
    steps.step();
    let _ = steps.last_step().ok();
    let _ = recorder.stop();
    let spans = agent.stop();
    drop(server);

    // Both ends of a connection that was there from its beginning.
    let clients = spans.all().by(large);
    everything(&clients, LARGE);
    everything(&spans.all().by(small), SMALL);
    let _ = clients.clone().of_kind(Kind::Producer).exactly(9);
    let _ = clients.of_kind(Kind::Consumer).exactly(9);
    let brokers = spans.all().of_kind(Kind::Server).on(PORT).service("beam.smp");
    let late = |spans: Selection<'_>| {
        let of = |name: &str| spans.clone().filter(name, |span| span.name == name);
        let _ = of("publish work").exactly(10).each_has("messaging.operation.type", "send");
        let _ = of("deliver work").with("messaging.operation.type", "process").exactly(0);
        let of_consumer = |span: &remora_tests::Span| span.name.starts_with("deliver");
        // Until the first is acknowledged nobody knows that they are to be.
        let deliveries = spans.clone().filter("deliver", of_consumer).exactly(10);
        assert!(!deliveries.clone().with("messaging.operation.type", "receive").is_empty());
        let _ = of("qos").exactly(1);
        let _ = of("connection.close").exactly(1);
        spans.none_has("remora.outcome").len()
    };
    // The client that was there before, and the broker's end of both.
    let count = late(spans.all().by(early));
    let total: usize = EVERYTHING.iter().map(|(_, count)| count).sum();
    let _ = brokers.exactly(2 * total + count + many.map_or(0, |_| MANY));
    if let Some(many) = many {
        pipelined(&spans.all().by(many).exactly(MANY));
    }

    let recording = Recording::read(&file);
    recording.keep("amqp", PORT, 1, "amqp-rabbitmq", "pika 1.4 does everything once with RabbitMQ 3.10");
    everything(&recording.replay().all().by(small), SMALL);

    // One confirmation is lost at the client's end: a publish without an end, and nothing else.
    let confirmation = |bytes: &[u8]| bytes.starts_with(&[1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80]);
    let mut lost = 0;
    let lossy = recording.losing(|piece| {
        let lose = piece.open.process == small && piece.read && confirmation(piece.bytes) && lost == 0;
        lost += usize::from(lose);
        lose
    });
    assert_eq!(lost, 1);
    let lossy = lossy.replay();
    let clients = lossy.all().by(small).exactly(total);
    let _ = clients
        .with("remora.outcome", "response_lost")
        .exactly(1)
        .each("a publish", |span| span.name == "publish orders");
    assert_eq!(lossy.coverage.get("unpaired_requests"), 1);
}
