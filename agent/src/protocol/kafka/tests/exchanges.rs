//! Exchanges of each kind, whole.

use super::super::Kafka;
use super::support::*;
use crate::protocol::testing::drive::{describe, line};
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{Kind, Role, Signals, Stream};

const ID: [u8; 16] = [0xff; 16];

fn same(expected: &str, got: &str) -> bool {
    expected == got
}

/// One record with a trace context goes to a partition; then three to another.
#[test]
fn sends() {
    let one = batch(0, 1, 0, &record(b"", b"v", &[]));
    let talk = Conversation::new()
        .client(produce(1, -1, &[("orders", &[(3, one)])]))
        .server(produced(1, &[("orders", &[(3, 0, 41)])]))
        .client(produce(2, 1, &[("orders", &[(3, batch(0, 3, 1, &[0; 99]))])]))
        .server(produced(2, &[("orders", &[(3, 0, 42)])]));
    assert_eq!(
        told(&talk),
        [
            "send orders messaging.system=kafka messaging.operation.name=send messaging.operation.type=send \
             messaging.destination.name=orders messaging.destination.partition.id=3 \
             messaging.batch.message_count=1 remora.kafka.records.size=69 messaging.kafka.offset=41 \
             messaging.client.id=app remora.kafka.api=Produce remora.kafka.api_version=7 remora.kafka.acks=-1",
            "send orders messaging.system=kafka messaging.operation.name=send messaging.operation.type=send \
             messaging.destination.name=orders messaging.destination.partition.id=3 \
             messaging.batch.message_count=3 remora.kafka.records.size=160 messaging.client.id=app \
             remora.kafka.api=Produce remora.kafka.api_version=7 remora.kafka.acks=1",
        ]
    );
    checks::every_split(&Alone, &talk);
    checks::every_prefix(&Alone, &talk);
    checks::every_late_start(&Alone, &talk, same);
}

/// Several topics have no one name; an error of one of their partitions is the exchange's.
#[test]
fn many_destinations() {
    let records = || batch(0, 2, 0, &[0; 9]);
    let talk = Conversation::new()
        .client(produce(1, -1, &[("a", &[(0, records()), (1, records())]), ("b", &[(0, records())])]))
        .server(produced(1, &[("a", &[(0, 0, 1), (1, 6, -1)]), ("b", &[(0, 3, -1)])]))
        .client(produce(2, -1, &[("a", &[(0, records()), (1, records())])]))
        .server(produced(2, &[("a", &[(0, 0, 1), (1, 0, 1)])]));
    let told = told(&talk);
    assert_eq!(
        told[0],
        "send messaging.system=kafka messaging.operation.name=send messaging.operation.type=send \
         remora.kafka.topics=2 remora.kafka.partitions=3 messaging.batch.message_count=6 \
         remora.kafka.records.size=210 messaging.client.id=app remora.kafka.api=Produce \
         remora.kafka.api_version=7 remora.kafka.acks=-1 remora.kafka.errors=2 \
         error.type=NOT_LEADER_OR_FOLLOWER error"
    );
    assert!(told[1].starts_with("send a "), "{}", told[1]);
    assert!(told[1].contains(" remora.kafka.partitions=2 messaging.batch.message_count=4 "), "{}", told[1]);
}

/// Without acknowledgement there is no response: it ends as soon as it is sent.
#[test]
fn without_acknowledgement() {
    let records = || batch(0, 2, 0, &[0; 9]);
    let talk = Conversation::new()
        .client(produce(1, 0, &[("a", &[(0, records())])]))
        .client(produce(2, 0, &[("a", &[(0, records())])]))
        .client(heartbeat(3))
        .server(beaten(3, 0));
    let told = told(&talk);
    assert_eq!(told.len(), 3);
    assert!(told[0].starts_with("send a ") && told[0].ends_with("remora.kafka.acks=0"), "{}", told[0]);
    assert!(told[2].starts_with("kafka.Heartbeat "), "{}", told[2]);
}

/// A large Produce is passed by position behind its first batch's header; with two partitions, its messages stay unknown.
#[test]
fn large() {
    let large = batch(0, 500, 0, &vec![7; 200_000]);
    let small = batch(0, 1, 0, &[0; 9]);
    let whole = produce(1, -1, &[("a", &[(0, large.clone())])]);
    let two = produce(2, -1, &[("a", &[(0, large), (1, small)])]);
    let talk = Conversation::new()
        .piece(Stream::ToServer, &whole[..1000], whole.len() as u64 - 1000)
        .server(produced(1, &[("a", &[(0, 0, 1)])]))
        .client(two)
        .server(produced(2, &[("a", &[(0, 0, 1), (1, 0, 1)])]));
    let told = told(&talk);
    assert!(told[0].contains(" messaging.batch.message_count=500 "), "{}", told[0]);
    assert!(!told[1].contains("message_count"), "{}", told[1]);
    assert!(told[1].starts_with("send a "), "{}", told[1]);
}

fn fetch(id: i32, replica: i32, topics: &[[u8; 16]]) -> Vec<u8> {
    let mut rest = body().int32(500).int32(1).int32(1 << 20).int8(0).int32(0).int32(-1).many(topics.len());
    for topic in topics {
        rest = rest
            .raw(topic)
            .many(1)
            .int32(0)
            .int32(0)
            .int64(17)
            .int32(-1)
            .int64(-1)
            .int32(1 << 20)
            .tags()
            .tags();
    }
    rest = rest.many(0).compact("");
    let rest = if replica < 0 {
        rest.tags()
    } else {
        // The replica's state, a tagged field.
        rest.varint(1).varint(1).varint(13).int32(replica).int64(1).tags()
    };
    request(1, 15, id, true, rest)
}

fn fetched(id: i32, topics: &[([u8; 16], Vec<u8>)]) -> Vec<u8> {
    let mut rest = body().int32(0).int16(0).int32(0).many(topics.len());
    for (topic, records) in topics {
        rest = rest.raw(topic).many(1).int32(0).int16(0).int64(20).int64(20).int64(0).many(0).int32(-1);
        rest = rest.varint(records.len() as u64 + 1).raw(records).tags().tags();
    }
    response(id, true, rest.tags())
}

fn metadata(id: i32, name: &str, topic: [u8; 16]) -> (Vec<u8>, Vec<u8>) {
    let ask = body().many(1).raw(&[0; 16]).compact(name).tags().int8(1).int8(0).tags();
    let brokers =
        body().int32(0).many(1).int32(1).compact("host").int32(9092).tags().tags().compact("id").int32(1);
    let answer =
        brokers.many(1).int16(0).compact(name).raw(&topic).int8(0).many(1).int16(0).int32(0).int32(1);
    let answer = answer.int32(0).many(1).int32(1).many(1).int32(1).many(0).tags().int32(0).tags().tags();
    (request(3, 12, id, true, ask), response(id, true, answer))
}

/// A topic's id has a name as soon as the connection told it; before, it is told as an id. A fetch without records is no
/// consumer's operation, and neither is a follower's.
#[test]
fn topics_by_id() {
    let records = [batch(17, 2, 0, &[0; 30]), batch(19, 1, 0, &[0; 30])].concat();
    let (ask, answer) = metadata(3, "orders", ID);
    let talk = Conversation::new()
        .client(fetch(1, -1, &[ID]))
        .server(fetched(1, &[(ID, vec![])]))
        .client(fetch(2, -1, &[ID]))
        .server(fetched(2, &[(ID, records.clone())]))
        .client(ask)
        .server(answer)
        .client(fetch(4, -1, &[]))
        .server(fetched(4, &[(ID, records.clone()), ([1; 16], vec![])]))
        .client(fetch(5, 2, &[ID]))
        .server(fetched(5, &[(ID, records)]));
    let told = told(&talk);
    assert_eq!(
        told[0],
        "kafka.Fetch messaging.system=kafka messaging.operation.name=Fetch \
         remora.kafka.topic_id=_____________________w messaging.destination.partition.id=0 \
         messaging.batch.message_count=0 messaging.kafka.offset=17 messaging.client.id=app \
         remora.kafka.api=Fetch remora.kafka.api_version=15"
    );
    assert_eq!(
        told[1],
        "receive messaging.system=kafka messaging.operation.name=receive messaging.operation.type=receive \
         remora.kafka.topic_id=_____________________w messaging.destination.partition.id=0 \
         messaging.batch.message_count=3 remora.kafka.records.size=182 messaging.client.id=app \
         remora.kafka.api=Fetch remora.kafka.api_version=15"
    );
    assert!(
        told[2].starts_with("kafka.Metadata ") && told[2].contains("destination.name=orders "),
        "{}",
        told[2]
    );
    assert!(told[3].starts_with("receive orders "), "{}", told[3]);
    assert!(told[3].contains("partition.id=0 messaging.batch.message_count=3 "), "{}", told[3]);
    assert!(told[4].starts_with("kafka.Fetch "), "{}", told[4]);
    assert!(told[4].contains("remora.kafka.follower=true"), "{}", told[4]);
    checks::every_split(&Alone, &talk);
    checks::every_prefix(&Alone, &talk);
}

/// What one connection is told, others name their topics by, also one whose response came after; what nobody was told stays
/// an id, and no other agent's connections know it.
#[test]
fn topics_of_other_connections() {
    const OTHER: [u8; 16] = [1; 16];
    let records = || batch(17, 2, 0, &[0; 30]);
    let kafka = Kafka::default();
    let [mut asking, mut fetching] = [false, true].map(|midstream| Driver::new(&kafka, midstream));
    let (ask, answer) = metadata(1, "orders", ID);
    let commit = body().compact("group").int32(3).compact("m").tags().many(1).raw(&ID);
    let commit = commit.many(1).int32(0).int64(9).int32(-1).tags().tags().tags().tags();
    let committed = body().int32(0).many(1).raw(&ID).many(1).int32(0).int16(0).tags().tags().tags();

    fetching.chunk(Stream::ToServer, &fetch(1, -1, &[ID]), 0);
    fetching.chunk(Stream::ToClient, &fetched(1, &[(ID, records())]), 0);
    fetching.chunk(Stream::ToServer, &request(8, 10, 2, true, commit), 0);
    asking.chunk(Stream::ToServer, &ask, 0);
    asking.chunk(Stream::ToClient, &answer, 0);
    fetching.chunk(Stream::ToClient, &response(2, true, committed), 0);
    for (id, topic) in [(3, ID), (4, OTHER)] {
        fetching.chunk(Stream::ToServer, &fetch(id, -1, &[topic]), 0);
        fetching.chunk(Stream::ToClient, &fetched(id, &[(topic, records())]), 0);
    }
    let told = fetching.finish().told;
    assert!(told[0].contains(" remora.kafka.topic_id=_____________________w "), "{}", told[0]);
    assert!(told[1].starts_with("commit orders "), "{}", told[1]);
    assert!(told[2].starts_with("receive orders "), "{}", told[2]);
    assert!(told[2].contains(" messaging.destination.name=orders "), "{}", told[2]);
    assert!(!told[2].contains("topic_id"), "{}", told[2]);
    assert!(told[3].contains(" remora.kafka.topic_id=AQEBAQEBAQEBAQEBAQEBAQ "), "{}", told[3]);

    let talk = Conversation::new().client(fetch(1, -1, &[ID])).server(fetched(1, &[(ID, records())]));
    assert!(Driver::whole(&kafka, &talk, false).told[0].starts_with("receive orders "));
    assert!(Driver::whole(&Alone, &talk, false).told[0].starts_with("receive messaging"));
}

/// The marker of a transaction's end is no message; a fetch that failed is no empty one.
#[test]
fn fetches_without_messages() {
    let failed = body().int32(0).int16(0).int32(0).many(1).raw(&ID).many(1).int32(0).int16(100);
    let failed = failed.int64(-1).int64(-1).int64(-1).many(0).int32(-1).many(0).tags().tags().tags();
    let talk = Conversation::new()
        .client(fetch(1, -1, &[ID]))
        .server(fetched(1, &[(ID, batch(20, 1, 0x20, &[0; 9]))]))
        .client(fetch(2, -1, &[ID]))
        .server(response(2, true, failed));
    let mut driver = Driver::new(&Alone, false);
    driver.play(&talk);
    let mut out = Vec::new();
    std::mem::swap(&mut out, &mut driver.told);
    let descriptions: Vec<_> = out.iter().map(|exchange| describe(exchange, Role::Client)).collect();
    assert_eq!(descriptions[0].signals, Signals::Metrics);
    assert_eq!(descriptions[0].instruments.len(), 1);
    assert_eq!(descriptions[1].signals, Signals::SpanAndMetrics);
    assert_eq!(descriptions[1].instruments.len(), 2);
    assert!(line(&out[1], Role::Client).ends_with("error.type=UNKNOWN_TOPIC_ID error"));
}

/// A message's trace context is its producer span's parent, at the broker, too.
#[test]
fn parents() {
    const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let one = record(b"", b"v", &[(b"traceparent", PARENT)]);
    let talk = Conversation::new()
        .client(produce(1, -1, &[("a", &[(0, batch(0, 1, 0, &one))])]))
        .server(produced(1, &[("a", &[(0, 0, 41)])]))
        .client(produce(2, -1, &[("a", &[(0, batch(0, 2, 0, &[&one[..], &one].concat()))])]))
        .server(produced(2, &[("a", &[(0, 0, 42)])]));
    let mut driver = Driver::new(&Alone, false);
    driver.play(&talk);
    for role in [Role::Client, Role::Server] {
        let kinds = if role == Role::Client { Kind::Producer } else { Kind::ByRole };
        let [first, second] = [0, 1].map(|index| describe(&driver.told[index], role));
        assert_eq!((first.kind, second.kind), (kinds, kinds));
        assert_eq!(first.parent.map(|parent| parent.span[0]), Some(0));
        assert_eq!(second.parent, None);
    }
}

/// A group: its coordinator, and steps of a rebalance that are no errors.
#[test]
fn groups() {
    let find = body().int8(0).many(1).compact("group").tags();
    let found = body()
        .int32(0)
        .many(1)
        .compact("group")
        .int32(1)
        .compact("h")
        .int32(9)
        .int16(15)
        .tags()
        .tags()
        .tags();
    let join =
        body().compact("group").int32(1).int32(1).compact("").tags().compact("consumer").many(0).tags();
    let joined =
        |error| body().int32(0).int16(error).int32(-1).tags().tags().compact("").compact("m").many(0).tags();
    let commit = body().text("group").int32(3).text("m").null().int32(1).text("orders").int32(1);
    let commit = commit.int32(2).int64(100).int32(0).null();
    let talk = Conversation::new()
        .client(request(10, 4, 1, true, find))
        .server(response(1, true, found))
        .client(request(11, 7, 2, true, join))
        .server(response(2, true, joined(79)))
        .client(heartbeat(3))
        .server(beaten(3, 27))
        .client(heartbeat(4))
        .server(beaten(4, 25))
        .client(request(8, 7, 5, false, commit))
        .server(response(5, false, body().int32(0).int32(1).text("orders").int32(1).int32(2).int16(0)));
    let told = told(&talk);
    let group = "messaging.client.id=app messaging.consumer.group.name=group";
    let prefix =
        |name: &str| format!("kafka.{name} messaging.system=kafka messaging.operation.name={name} {group}");
    assert!(told[0].starts_with(&prefix("FindCoordinator")), "{}", told[0]);
    assert!(told[0].ends_with("error.type=COORDINATOR_NOT_AVAILABLE error"), "{}", told[0]);
    assert!(told[1].starts_with(&prefix("JoinGroup")), "{}", told[1]);
    assert!(told[1].ends_with("remora.kafka.signal=MEMBER_ID_REQUIRED"), "{}", told[1]);
    assert!(told[2].ends_with("remora.kafka.signal=REBALANCE_IN_PROGRESS"), "{}", told[2]);
    assert!(told[3].ends_with("error.type=UNKNOWN_MEMBER_ID error"), "{}", told[3]);
    assert!(told[4].starts_with("commit orders "), "{}", told[4]);
    assert!(told[4].contains("partition.id=2 messaging.client.id=app messaging.consumer.group.name=group"));
    checks::every_split(&Alone, &talk);
    checks::every_late_start(&Alone, &talk, same);
}

/// The first exchange of most connections has its own rule; tokens of the old SASL exchange have no headers at all.
#[test]
fn handshakes() {
    let ask = body().compact("kafka-clients").compact("4").tags();
    let talk = Conversation::new()
        .client(request(18, 3, 1, true, ask))
        .server(api_versions(1))
        .client(request(17, 0, 2, false, body().text("PLAIN")))
        .server(response(2, false, body().int16(0).int32(1).text("PLAIN")))
        .client(b"\x00\x00\x00\x0b\x00alice\x00word")
        .server(b"\x00\x00\x00\x00")
        .client(heartbeat(3))
        .server(beaten(3, 0));
    let told = told(&talk);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("kafka.ApiVersions "), "{}", told[0]);
    assert!(told[1].contains("remora.kafka.sasl_mechanism=PLAIN"), "{}", told[1]);
    assert!(told[2].starts_with("kafka.Heartbeat "), "{}", told[2]);
    assert!(!told.concat().contains("alice"));
    checks::every_split(&Alone, &talk);
}

/// An API or a version that the tables do not know is paired all the same.
#[test]
fn unknown_apis() {
    let talk = Conversation::new()
        .client(request(10_001, 0, 1, true, body().raw(b"xyz")))
        .server(response(1, true, body().raw(b"abc")))
        .client(request(12, 9, 2, true, body().raw(b"xyz")))
        .server(response(2, true, body().raw(b"abc")));
    let told = told(&talk);
    assert!(told[0].starts_with("kafka.Api10001 "), "{}", told[0]);
    assert!(told[1].starts_with("kafka.Heartbeat ") && told[1].ends_with("api_version=9"), "{}", told[1]);
}
