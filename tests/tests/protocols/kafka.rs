//! Kafka by its newest broker and the last before 4.0, with the clients of Java, librdkafka and kafka-python.

use remora_tests::peers::kafka::{Generation, broker, java_client};
use remora_tests::{Agent, Kind, Netns, Place, Recording, Selection, Spans, peers};

const PORT: u16 = 9092;

fn address() -> String {
    format!("127.0.0.1:{PORT}")
}

/// Spans of one kind that a client told of its conversation with the broker.
fn told<'a>(spans: &'a Spans, kind: Kind, client: &str) -> Selection<'a> {
    spans.all().of_kind(kind).on(PORT).with("messaging.client.id", client)
}

/// How many messages they tell of in all.
fn messages(spans: &Selection<'_>) -> i64 {
    spans.iter().map(|span| span.integer("messaging.batch.message_count").expect("a count")).sum()
}

/// A topic's name or, where no connection told it, its id; never both.
fn named(spans: Selection<'_>) -> Selection<'_> {
    spans.each("a topic's name or its id", |span| {
        (span.text("messaging.destination.name") == "orders")
            != (span.text("remora.kafka.topic_id").len() == 22)
    })
}

#[track_caller]
fn nothing_lost(spans: &Spans) {
    for counter in ["unpaired_requests", "unpaired_responses", "resynchronised", "over_limit"] {
        assert_eq!(spans.coverage.get(counter), 0, "{counter}");
    }
}

/// The number of the longest conversation with these bytes.
fn longest_with(recording: &Recording, bytes: &str) -> usize {
    let conversations = recording.conversations("kafka", PORT);
    let found = conversations.iter().enumerate().filter(|(_, text)| text.contains(bytes));
    found.max_by_key(|(_, text)| text.len()).expect("a conversation").0
}

/// The newest broker and Java client: topics by id, transactions, no acknowledgements, both kinds of groups.
#[test]
fn newest() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_broker) = broker(&net, &place, PORT, Generation::Four) else { return };
    let Some(java) = java_client(&net) else { return };
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let _ = java.arg(address()).arg("orders").run().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    for (client, name, comment) in [
        ("java-txn", "kafka-java-transaction", "the Java client, 4.4: three messages in a transaction"),
        (
            "java-classic",
            "kafka-java-consumer",
            "the Java client, 4.4: a member of a group reads and commits",
        ),
    ] {
        recording.keep("kafka", PORT, longest_with(&recording, client), name, comment);
    }

    let whole = recording.replay();
    nothing_lost(&whole);
    for (client, count, acks) in [("java-producer", 20, -1), ("java-fast", 10, 0), ("java-txn", 3, -1)] {
        let sent = told(&whole, Kind::Producer, client).exactly(count);
        let sent = sent.each("its name", |span| span.name == "send orders");
        let sent = sent.each_has("messaging.batch.message_count", 1).each_has("remora.kafka.acks", acks);
        let _ = sent.each_has("messaging.destination.partition.id", "0").none_has("error.type");
        let _ = told(&whole, Kind::Server, client).with("remora.kafka.api", "Produce").exactly(count);
    }
    for kind in [Kind::Producer, Kind::Server] {
        let large = told(&whole, kind, "java-large").with("remora.kafka.api", "Produce").exactly(1);
        let _ = large.each_has("error.type", "MESSAGE_TOO_LARGE").each("an error", |span| span.status == 2);
    }
    for (client, group) in [("java-classic", "java-classic-group"), ("java-modern", "java-modern-group")] {
        let received = told(&whole, Kind::Consumer, client);
        let received = received.each("its name", |span| span.name == "receive orders");
        assert_eq!(messages(&received), 33, "{client}");
        let commits =
            told(&whole, Kind::Client, client).with("messaging.operation.type", "settle").exactly(1);
        let _ = commits
            .each_has("messaging.consumer.group.name", group)
            .each("its name", |span| span.name == "commit orders");
    }
    let beats = told(&whole, Kind::Client, "java-modern").with("remora.kafka.api", "ConsumerGroupHeartbeat");
    assert!(!beats.is_empty(), "no heartbeats of the new protocol");
    let ends = told(&whole, Kind::Client, "java-txn").with("remora.kafka.api", "EndTxn").exactly(1);
    let _ = ends.each_has("remora.kafka.committed", remora_tests::Value::Flag(true));
    let made = told(&whole, Kind::Client, "java-admin").with("remora.kafka.api", "CreateTopics").exactly(1);
    let _ = made.each_has("messaging.destination.name", "orders");

    // The agent comes behind the first four exchanges of each connection.
    let late = recording.clone().late(PORT, 8).replay();
    let sent = named(told(&late, Kind::Producer, "java-producer"));
    // What else was asked on the connection before the first message differs from run to run.
    assert!((16..20).contains(&sent.len()), "{} of 20", sent.len());
    let _ =
        told(&late, Kind::Server, "java-producer").with("remora.kafka.api", "Produce").exactly(sent.len());

    // What the broker answers the tenth message with is lost at the client's end.
    let mut sent = 0;
    let lossy = recording.losing(|piece| {
        // Produce, version 13, by this client.
        let produce = piece.bytes.get(4..8) == Some(&[0, 0, 0, 13])
            && piece.bytes.get(14..27) == Some(b"java-producer");
        let client = piece.open.remote_port == PORT;
        sent += usize::from(client && !piece.read && produce);
        client && piece.read && sent == 10
    });
    let lossy = lossy.replay();
    let sent = named(told(&lossy, Kind::Producer, "java-producer").exactly(20));
    let _ = sent.with("remora.outcome", "response_lost").exactly(1);
    let _ = told(&lossy, Kind::Server, "java-producer").with("remora.kafka.api", "Produce").exactly(20);
    assert_eq!(lossy.coverage.get("unpaired_requests"), 1);
}

/// The last broker before 4.0, with older versions of requests, topics by name, and many messages at once.
#[test]
fn older() {
    let (net, place) = (Netns::new(), Place::new());
    if !(peers::python_has("kafka") && peers::python_has("confluent_kafka")) {
        return;
    }
    let Some(_broker) = broker(&net, &place, PORT, Generation::Three) else { return };
    // librdkafka looks for addresses of a family only if there is one that is not the loopback's.
    let _ = net.program("ip").args(["address", "add", "10.0.0.1/32", "dev", "lo"]).run().ok();
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let _ = peers::python(&net, "kafka/librdkafka.py").arg(address()).arg("payments").run().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep(
        "kafka",
        PORT,
        longest_with(&recording, "rd-group"),
        "kafka-librdkafka-consumer",
        "librdkafka: a member of a group reads and commits",
    );
    let whole = recording.replay();
    nothing_lost(&whole);
    // A topic that has just been made may have no leader yet: the client sends again.
    let refused = |span: &remora_tests::Span| span.text("error.type") == "NOT_LEADER_OR_FOLLOWER";
    let sent = told(&whole, Kind::Producer, "librdkafka");
    let sent = sent.filter("that were taken", |span| !refused(span)).exactly(21);
    let sent = sent.each("its name", |span| span.name == "send payments");
    let _ = sent.clone().with("messaging.batch.message_count", 1).exactly(20);
    let _ = sent.with("messaging.batch.message_count", 10).exactly(1);
    let received = told(&whole, Kind::Consumer, "librdkafka");
    assert_eq!(messages(&received), 30);
    let _ = received.each("its name", |span| span.name == "receive payments");

    // kafka-python, with an agent that comes when five of twenty messages were sent.
    let client = peers::python(&net, "kafka/kafka_python.py").arg(address()).arg("orders").in_steps();
    let agent = Agent::start(&net);
    let client = client.last_step();
    let process = client.process;
    let _ = client.ok();
    let late = agent.stop();
    let sent = told(&late, Kind::Producer, "kafka-python").by(process).exactly(15);
    let _ =
        sent.each("its name", |span| span.name == "send orders").each_has("messaging.batch.message_count", 1);
    let received = told(&late, Kind::Consumer, "kafka-python");
    assert_eq!(messages(&received), 20);
    let _ = received.each("its name", |span| span.name == "receive orders");
    let commit =
        told(&late, Kind::Client, "kafka-python").with("messaging.operation.name", "commit").exactly(1);
    let _ = commit
        .each_has("messaging.consumer.group.name", "python-group")
        .each("its name", |span| span.name == "commit orders");
}
