//! Conversations, made up and recorded.

use super::Mqtt;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{Inference, Losses, Protocol, Run, Stream};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn packet(first: u8, rest: &[&[u8]]) -> Vec<u8> {
    let rest = rest.concat();
    let mut bytes = vec![first];
    let mut left = rest.len();
    loop {
        let more = if left > 0x7f { 0x80 } else { 0 };
        bytes.push(u8::try_from(left & 0x7f).unwrap() | more);
        left >>= 7;
        if left == 0 {
            break;
        }
    }
    bytes.extend(rest);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn connect(level: u8) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { b"\x05\x11\0\0\0\x3c" } else { b"" };
    packet(0x10, &[&text("MQTT"), &[level, 2, 0, 60], properties, &text("me")])
}

fn connack(level: u8, code: u8) -> Vec<u8> {
    packet(0x20, &[&[0, code], if level == 5 { b"\0" } else { b"" }])
}

/// In version 5 with a user property.
fn publish(level: u8, quality: u8, topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let mut properties = Vec::new();
    if level == 5 {
        properties = [&b"\x26"[..], &text("traceparent"), &text(PARENT)].concat();
        properties.insert(0, u8::try_from(properties.len()).unwrap());
    }
    packet(0x30 | quality << 1, &[&text(topic), if quality > 0 { &id } else { &[] }, &properties, payload])
}

fn answer(first: u8, id: u16, rest: &[u8]) -> Vec<u8> {
    packet(first, &[&id.to_be_bytes(), rest])
}

fn subscribe(level: u8, id: u16, filters: &[&str]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(|filter| [&text(filter)[..], &[1]].concat()).collect();
    packet(0x82, &[&id.to_be_bytes(), if level == 5 { b"\0" } else { b"" }, &filters])
}

fn begin(level: u8) -> Conversation {
    Conversation::new().client(connect(level)).server(connack(level, 0))
}

fn whole(level: u8) -> Conversation {
    let five: &[u8] = if level == 5 { b"\0" } else { b"" };
    begin(level)
        .client(subscribe(level, 1, &["sensors/+/state", "b"]))
        .server(answer(0x90, 1, &[five, b"\x01\x01"].concat()))
        .client(publish(level, 0, "sensors/kitchen/state", 0, b"on"))
        .server(publish(level, 0, "sensors/kitchen/state", 0, b"on"))
        .client(publish(level, 1, "sensors/4711/state", 2, b"off"))
        .server([answer(0x40, 2, b""), publish(level, 1, "sensors/4711/state", 2, b"off")].concat())
        .client([answer(0x40, 2, b""), publish(level, 2, "a", 3, b"")].concat())
        .server(answer(0x50, 3, b""))
        .client(answer(0x62, 3, b""))
        .server(answer(0x70, 3, b""))
        .client(packet(0xc0, &[]))
        .server(packet(0xd0, &[]))
        .server(publish(level, 2, "b", 9, &[0; 300]))
        .client(answer(0x50, 9, b""))
        .server(answer(0x62, 9, b""))
        .client(answer(0x70, 9, b""))
        .client(packet(0xa2, &[&[0, 7], five, &text("b")]))
        .server(answer(0xb0, 7, if level == 5 { b"\0\0" } else { b"" }))
        .client(packet(0xe0, &[]))
}

fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&Mqtt, conversation, false);
    assert_eq!(played.losses, Losses::default());
    brief(&played.told)
}

/// Without what all have.
fn brief(told: &[String]) -> Vec<String> {
    let left_out = [
        "messaging.system",
        "messaging.operation",
        "network.",
        "messaging.destination.template",
        "messaging.client",
    ];
    let words = |line: &String| {
        line.split(' ')
            .filter(|word| !left_out.iter().any(|key| word.starts_with(key)))
            .map(|word| word.trim_start_matches("messaging.").trim_start_matches("remora.mqtt."))
            .collect::<Vec<_>>()
            .join(" ")
    };
    told.iter().map(words).collect()
}

/// Everything that goes well, in both versions.
#[test]
fn goes_well() {
    for level in [4, 5] {
        assert_eq!(
            told(&whole(level)),
            [
                "connect",
                "subscribe sensors/+/state destination.name=sensors/+/state filters=2",
                "publish sensors/kitchen/state destination.name=sensors/kitchen/state message.body.size=2 qos=0",
                "receive sensors/+/state destination.name=sensors/kitchen/state message.body.size=2 qos=0",
                "publish sensors/+/state destination.name=sensors/4711/state message.body.size=3 qos=1",
                "process sensors/+/state destination.name=sensors/4711/state message.body.size=3 qos=1",
                "publish a destination.name=a message.body.size=0 qos=2",
                "process b destination.name=b message.body.size=300 qos=2",
                "unsubscribe b destination.name=b",
            ],
            "level {level}"
        );
    }
    let mut driver = Driver::new(&Mqtt, false);
    driver.play(&whole(5));
    let parents = driver.told.iter().filter(|exchange| {
        crate::protocol::testing::drive::describe(exchange, crate::protocol::Role::Client).parent.is_some()
    });
    assert_eq!(parents.count(), 6);
    assert!(driver.take()[0].contains("messaging.client.id=me"));
}

/// What brokers refuse.
#[test]
fn errors() {
    let refused =
        |level, code| told(&Conversation::new().client(connect(level)).server(connack(level, code)));
    assert_eq!(refused(4, 5), ["connect reason_code=5 error.type=not_authorized error"]);
    assert_eq!(refused(5, 0x86), ["connect reason_code=134 error.type=bad_user_name_or_password error"]);

    let subscribed = begin(4).client(subscribe(4, 1, &["a", "b"])).server(answer(0x90, 1, b"\x01\x80"));
    assert!(told(&subscribed)[1].ends_with("filters=2 reason_code=128 error.type=unspecified_error error"));

    let quota = [&b"\x97\x06\x1f"[..], &text("full")[..3], b"ll"].concat();
    let quota = [&quota[..3], &text("ful")[..]].concat();
    let published = begin(5)
        .client(publish(5, 1, "a", 1, b""))
        .server(answer(0x40, 1, &quota))
        .client(publish(5, 2, "a", 2, b""))
        .server(answer(0x50, 2, b"\x87"))
        .server(packet(0xe0, &[&[0x8e, 0]]));
    let told = told(&published);
    assert!(told[1].ends_with("reason_code=151 error.type=quota_exceeded error ful"), "{told:#?}");
    assert!(told[2].ends_with("reason_code=135 error.type=not_authorized error"));
    assert_eq!(told[3], "disconnect reason_code=142 error.type=session_taken_over error");
}

/// A message that is sent again is the same message.
#[test]
fn duplicates() {
    let mut again = publish(4, 1, "a", 5, b"x");
    again[0] |= 8;
    let conversation =
        begin(4).client(publish(4, 1, "a", 5, b"x")).client(again.clone()).server(answer(0x40, 5, b""));
    assert_eq!(
        told(&conversation)[1..],
        ["publish a destination.name=a message.body.size=1 qos=1 resends=1"]
    );
    // On a new connection, all that is known is that it was sent before.
    let conversation = begin(4).client(again).server(answer(0x40, 5, b""));
    assert!(told(&conversation)[1].ends_with("resends=1"));
}

/// Topic aliases, known and unknown.
#[test]
fn aliases() {
    let aliased = |topic: &str, alias: u8| packet(0x30, &[&text(topic), &[3, 0x23, 0, alias], b"payload"]);
    let conversation = begin(5)
        .client([aliased("long/topic", 1), aliased("", 1), aliased("other", 1), aliased("", 1)].concat())
        .server(aliased("", 1));
    let told = told(&conversation);
    assert_eq!(told[2], "publish long/topic destination.name=long/topic message.body.size=7 qos=0");
    assert_eq!(told[4], "publish other destination.name=other message.body.size=7 qos=0");
    assert_eq!(told[5], "receive message.body.size=7 qos=0");
}

/// In the middle of a connection the version is learnt.
#[test]
fn late() {
    let mut driver = Driver::new(&Mqtt, true);
    driver.chunk(Stream::ToServer, &packet(0x30, &[&text("a"), b"\0payload"]), 0);
    driver.chunk(Stream::ToClient, &packet(0x30, &[&text("b"), b"\0"]), 0);
    driver.chunk(Stream::ToServer, &publish(5, 0, "c", 0, b"payload"), 0);
    driver.chunk(Stream::ToServer, &packet(0x30, &[&text("d"), b"\0payload"]), 0);
    let told = driver.take();
    assert!(told[..2].iter().all(|line| !line.contains("version") && !line.contains("body.size")));
    assert!(told[2..].iter().all(|line| line.contains("version=5") && line.contains("body.size=7")));
    driver.chunk(Stream::ToClient, &answer(0x40, 1, b""), 0);
    assert_eq!(driver.finish().losses.unpaired_responses, 1);
    let mut driver = Driver::new(&Mqtt, true);
    driver.chunk(Stream::ToServer, &subscribe(4, 1, &["#"]), 0);
    driver.chunk(Stream::ToClient, &answer(0x90, 1, b"\x01"), 0);
    assert!(driver.take()[0].contains("version=3.1.1"));
}

/// An agent that comes late knows neither version, client nor filters; of a packet that is cut off, not the topic.
fn same(expected: &str, got: &str) -> bool {
    let value = |line: &str, key: &str| {
        let found = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        found.map(str::to_owned)
    };
    let both = |key: &str| (value(expected, key), value(got, key));
    let (expected_topic, topic) = both("messaging.destination.name");
    let (expected_qos, qos) = both("remora.mqtt.qos");
    let (expected_operation, operation) = both("messaging.operation.name");
    expected_operation == operation && expected_qos == qos && (topic.is_none() || topic == expected_topic)
}

#[test]
fn everywhere() {
    let mut conversations = vec![whole(4), whole(5)];
    conversations.extend(Conversation::recorded(Some("mqtt")));
    for conversation in &conversations {
        checks::every_split(&Mqtt, conversation);
        checks::every_prefix(&Mqtt, conversation);
        checks::every_late_start(&Mqtt, conversation, same);
        checks::every_gap(&Mqtt, conversation, same);
    }
    checks::garbage(&Mqtt, &conversations);
}

/// What is MQTT and what is not.
#[test]
fn inference() {
    let infer =
        |bytes: &[u8], stream| Mqtt.infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream });
    let to_server = Inference::Yes(Stream::ToServer);
    for level in [4, 5] {
        let connect = connect(level);
        assert_eq!(infer(&connect, None), to_server);
        for cut in 1..connect.len() {
            assert_eq!(infer(&connect[..cut], None), Inference::Maybe, "{cut}");
        }
        assert_eq!(infer(&connack(level, 0), None), Inference::Likely(Stream::ToClient));
        assert_eq!(infer(&subscribe(level, 1, &["a/b"]), None), to_server);
        let publish = publish(level, 1, "a/b", 7, b"payload");
        assert_eq!(infer(&publish, None), Inference::Maybe);
        assert_eq!(infer(&publish, Some(Stream::ToServer)), to_server);
        assert_eq!(infer(&[&publish[..], &packet(0xc0, &[])].concat(), None), to_server);
        assert_eq!(infer(&[&publish[..], b"\0"].concat(), Some(Stream::ToServer)), Inference::No);
    }
    assert_eq!(infer(b"\xc0\0", None), Inference::Likely(Stream::ToServer));
    assert_eq!(infer(b"\xd0\0", None), Inference::Likely(Stream::ToClient));
    assert_eq!(infer(b"\xd0\0", Some(Stream::ToServer)), Inference::No);
    assert_eq!(infer(b"\x40\x02\0\x01", Some(Stream::ToClient)), Inference::Likely(Stream::ToClient));
    for other in [
        &b"\x10\x10\0\x04MQTX\x04\x02\0\x3c\0\x04abcd"[..],
        b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03",
        b"123 get\r\n",
    ] {
        assert_eq!(infer(other, None), Inference::No, "{other:?}");
    }
}
