//! Conversations, made up and recorded.

use super::Amqp;
use super::framing::{FRAME_END, HEAD};
use super::properties::tests::header;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{End, Inference, Losses, Protocol, Run, Stream};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    bytes.push(FRAME_END);
    bytes
}

fn short(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}

/// A method frame: class, method, and its arguments.
fn method(channel: u16, class: u16, id: u16, arguments: &[&[u8]]) -> Vec<u8> {
    let mut payload = class.to_be_bytes().to_vec();
    payload.extend(id.to_be_bytes());
    payload.extend(arguments.concat());
    frame(1, channel, &payload)
}

fn content(channel: u16, size: usize, parent: Option<&str>) -> Vec<u8> {
    let mut bytes = frame(2, channel, &header(size as u64, parent));
    // Bodies may come in several frames.
    for part in vec![b'x'; size].chunks(5) {
        bytes.extend(frame(3, channel, part));
    }
    bytes
}

fn publish(channel: u16, exchange: &str, key: &str, size: usize) -> Vec<u8> {
    let mut bytes = method(channel, 60, 40, &[&[0, 0], &short(exchange), &short(key), &[1]]);
    bytes.extend(content(channel, size, Some(PARENT)));
    bytes
}

fn deliver(channel: u16, consumer: &str, tag: u64, key: &str) -> Vec<u8> {
    let arguments: [&[u8]; 5] = [&short(consumer), &tag.to_be_bytes(), &[0], &short("orders"), &short(key)];
    let mut bytes = method(channel, 60, 60, &arguments);
    bytes.extend(content(channel, 3, None));
    bytes
}

fn ack(channel: u16, tag: u64, multiple: bool) -> Vec<u8> {
    method(channel, 60, 80, &[&tag.to_be_bytes(), &[u8::from(multiple)]])
}

fn opened(conversation: Conversation, channel: u16) -> Conversation {
    conversation.client(method(channel, 20, 10, &[&short("")])).server(method(channel, 20, 11, &[&[0; 4]]))
}

fn begin() -> Conversation {
    let start = [&[0, 9][..], &[0; 4], &[0, 0, 0, 5], b"PLAIN", &[0; 4]];
    let start_ok = [&[0; 4][..], &short("PLAIN"), &[0, 0, 0, 1, 0], &short("en_US")];
    let open = Conversation::new()
        .client(super::framing::PROTOCOL_HEADER)
        .server(method(0, 10, 10, &start))
        .client(method(0, 10, 11, &start_ok))
        .server(method(0, 10, 30, &[&[7, 255], &[0, 2, 0, 0], &[0, 60]]))
        .client(
            [
                method(0, 10, 31, &[&[7, 255], &[0, 2, 0, 0], &[0, 60]]),
                method(0, 10, 40, &[&short("/"), &[0, 0]]),
            ]
            .concat(),
        )
        .server(method(0, 10, 41, &[&short("")]));
    opened(open, 1)
}

fn closed(conversation: Conversation) -> Conversation {
    conversation.client(method(0, 10, 50, &[&[0, 200], &short("bye"), &[0; 4]])).server(method(
        0,
        10,
        51,
        &[],
    ))
}

fn heartbeat() -> Vec<u8> {
    frame(8, 0, &[])
}

/// Declares, binds, consumes, publishes with confirms, gets.
fn whole() -> Conversation {
    let consume = [&[0, 0][..], &short("billing"), &short("me"), &[0], &[0; 4]];
    let conversation = begin()
        .client(method(1, 50, 10, &[&[0, 0], &short("billing"), &[0], &[0; 4]]))
        .server(method(1, 50, 11, &[&short("billing"), &[0; 8]]))
        .client(method(1, 60, 20, &consume))
        .server(method(1, 60, 21, &[&short("me")]))
        .client(method(1, 85, 10, &[&[0]]))
        .server(method(1, 85, 11, &[]))
        .client([publish(1, "orders", "eu.1", 12), publish(1, "orders", "eu.2", 0)].concat())
        .server([deliver(1, "me", 1, "eu.1"), heartbeat(), deliver(1, "me", 2, "eu.2")].concat())
        .client([ack(1, 1, false), heartbeat()].concat())
        .server(ack(1, 2, true))
        .client(method(1, 60, 120, &[&2_u64.to_be_bytes(), &[2]]))
        .client(method(1, 60, 70, &[&[0, 0], &short("billing"), &[0]]))
        .server(method(1, 60, 72, &[&short("")]));
    closed(conversation)
}

fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&Amqp, conversation, false);
    assert_eq!(played.losses, Losses::default());
    played.told
}

/// Without what all have.
fn brief(told: &[String]) -> Vec<String> {
    let left_out =
        ["messaging.system", "messaging.operation.name", "network.", "messaging.destination.template"];
    let words = |line: &String| {
        line.split(' ')
            .filter(|word| !left_out.iter().any(|key| word.starts_with(key)))
            .map(|word| word.trim_start_matches("messaging."))
            .collect::<Vec<_>>()
            .join(" ")
    };
    told.iter().map(words).collect()
}

/// Everything that goes well.
#[test]
fn goes_well() {
    assert_eq!(
        brief(&told(&whole())),
        [
            "connection.open",
            "channel.open",
            "queue.declare billing destination.name=billing",
            "consume billing destination.name=billing",
            "confirm.select",
            "deliver billing operation.type=process destination.name=orders:eu.1:billing \
             rabbitmq.destination.routing_key=eu.1 rabbitmq.message.delivery_tag=1 message.body.size=3 \
             message.id=mid message.conversation_id=corr remora.messaging.settlement=ack",
            "publish orders operation.type=send destination.name=orders:eu.1 \
             rabbitmq.destination.routing_key=eu.1 rabbitmq.message.delivery_tag=1 message.body.size=12 \
             message.id=mid message.conversation_id=corr remora.messaging.settlement=ack",
            "publish orders operation.type=send destination.name=orders:eu.2 \
             rabbitmq.destination.routing_key=eu.2 rabbitmq.message.delivery_tag=2 message.body.size=0 \
             message.id=mid message.conversation_id=corr remora.messaging.settlement=ack",
            "deliver billing operation.type=process destination.name=orders:eu.2:billing \
             rabbitmq.destination.routing_key=eu.2 rabbitmq.message.delivery_tag=2 message.body.size=3 \
             message.id=mid message.conversation_id=corr remora.messaging.settlement=nack error.type=nack error",
            "get billing operation.type=receive destination.name=billing batch.message_count=0",
            "connection.close remora.amqp.reply_code=200",
        ]
    );
}

/// A message's context is told as its parent.
#[test]
fn parent() {
    let mut driver = Driver::new(&Amqp, false);
    driver.play(&begin().client(publish(1, "", "queue", 1)));
    let publish = driver.told.last().unwrap();
    let description = crate::protocol::testing::drive::describe(publish, crate::protocol::Role::Client);
    assert_eq!(description.name, "publish queue");
    assert_eq!(description.parent.unwrap().span, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
}

/// What servers refuse.
#[test]
fn errors() {
    let close = |class: u16, id: u16| {
        let arguments: [&[u8]; 4] =
            [&404_u16.to_be_bytes(), &short("NOT_FOUND"), &class.to_be_bytes(), &id.to_be_bytes()];
        method(1, 20, 40, &arguments)
    };
    let close_ok = method(1, 20, 41, &[]);
    let find = |conversation: &Conversation, start: &str| {
        let told = brief(&told(conversation));
        let found: Vec<_> = told.iter().filter(|line| line.starts_with(start)).cloned().collect();
        assert_eq!(found.len(), 1, "{told:#?}");
        found[0].clone()
    };
    let not_found = "remora.amqp.reply_code=404 error.type=not-found error NOT_FOUND";

    // A synchronous method.
    let passive = begin()
        .client(method(1, 50, 10, &[&[0, 0], &short("none"), &[1], &[0; 4]]))
        .server(close(50, 10))
        .client(close_ok.clone());
    assert_eq!(find(&passive, "queue"), format!("queue.declare none destination.name=none {not_found}"));
    assert!(told(&passive).iter().all(|line| !line.starts_with("channel.close")));

    // A publish that nobody waits for.
    let publish_one =
        begin().client(publish(1, "none", "", 1)).server(close(60, 40)).client(close_ok.clone());
    assert_eq!(find(&publish_one, "channel.close"), format!("channel.close {not_found}"));

    // A publish with confirms, then one that comes back, and one that the server refuses.
    let confirms = || begin().client(method(1, 85, 10, &[&[0]])).server(method(1, 85, 11, &[]));
    let refused = confirms().client(publish(1, "none", "", 1)).server(close(60, 40)).client(close_ok);
    assert!(find(&refused, "publish").ends_with(&format!("settlement=none {not_found}")));
    let mut back = method(1, 60, 50, &[&312_u16.to_be_bytes(), &short("NO_ROUTE"), &short("a"), &short("k")]);
    back.extend(content(1, 1, None));
    let returned = confirms()
        .client(publish(1, "a", "k", 1))
        .server([back.clone(), ack(1, 1, false)].concat())
        .client(publish(1, "a", "k", 1))
        .server(method(1, 60, 120, &[&2_u64.to_be_bytes(), &[0]]));
    let publishes: Vec<_> = brief(&told(&returned)).split_off(3);
    assert_eq!(publishes.len(), 2);
    assert!(
        publishes[0]
            .ends_with("settlement=ack remora.amqp.reply_code=312 error.type=no-route error NO_ROUTE")
    );
    assert!(publishes[1].ends_with("settlement=nack error.type=nack error"));
    // Without confirms, a return stands alone.
    let alone = begin().client(publish(1, "a", "k", 1)).server(back);
    assert!(find(&alone, "return").ends_with("reply_code=312 error.type=no-route error NO_ROUTE"));

    // A password that is wrong.
    let refused = Conversation::new()
        .client(super::framing::PROTOCOL_HEADER)
        .server(method(0, 10, 10, &[&[0, 9], &[0; 4], &[0; 4], &[0; 4]]))
        .server(method(0, 10, 50, &[&403_u16.to_be_bytes(), &short("ACCESS_REFUSED"), &[0; 4]]))
        .client(method(0, 10, 51, &[]));
    assert_eq!(
        brief(&told(&refused)),
        ["connection.open remora.amqp.reply_code=403 error.type=access-refused error ACCESS_REFUSED"]
    );
}

/// Queues that the server named share a span name.
#[test]
fn anonymous() {
    let declared = begin().client(method(1, 50, 10, &[&[0, 0], &short(""), &[4], &[0; 4]])).server(method(
        1,
        50,
        11,
        &[&short("amq.gen-JzTY20BRgKO"), &[0; 8]],
    ));
    let told = brief(&told(&declared));
    assert_eq!(
        told[2],
        "queue.declare (anonymous) destination.name=amq.gen-JzTY20BRgKO destination.anonymous=true"
    );
}

/// Deliveries that nobody acknowledges, by a consumer that said so, and by one that did not.
#[test]
fn unsettled() {
    let consume =
        |tag: &str, bits: u8| method(1, 60, 20, &[&[0, 0], &short("q"), &short(tag), &[bits | 8], &[0; 4]]);
    let conversation = closed(
        begin()
            .client([consume("auto", 2), consume("manual", 0)].concat())
            .server([deliver(1, "auto", 1, "a"), deliver(1, "manual", 2, "m")].concat()),
    );
    let told = brief(&told(&conversation));
    let deliveries: Vec<_> = told.iter().filter(|line| line.starts_with("deliver")).collect();
    assert!(deliveries[0].contains("operation.type=receive") && !deliveries[0].contains("settlement"));
    assert!(deliveries[1].contains("operation.type=process") && deliveries[1].ends_with("settlement=none"));

    let mut driver = Driver::new(&Amqp, false);
    driver.play(&begin().client(consume("m", 0)).server(deliver(1, "m", 1, "k")));
    driver.take();
    driver.end(End::Broken(104));
    assert!(driver.take()[0].contains("remora.outcome=connection_closed remora.messaging.settlement=none"));
}

/// In the middle of a connection, publishes are told as they pass until it is known which number they have, and deliveries
/// until somebody acknowledges one.
#[test]
fn late() {
    let mut driver = Driver::new(&Amqp, true);
    let told = |driver: &mut Driver| brief(&driver.take());
    driver.chunk(Stream::ToServer, &publish(1, "e", "1", 1), 0);
    assert!(told(&mut driver)[0].ends_with("conversation_id=corr"));
    driver.chunk(Stream::ToClient, &ack(1, 41, false), 0);
    driver.time += 1_000_000_000;
    driver.chunk(Stream::ToServer, &publish(1, "e", "2", 1), 0);
    assert!(told(&mut driver).is_empty());
    driver.chunk(Stream::ToClient, &ack(1, 42, false), 0);
    assert!(told(&mut driver)[0].contains("delivery_tag=42"));
    // Another publish passed unseen after all.
    driver.chunk(Stream::ToServer, &publish(1, "e", "3", 1), 0);
    driver.chunk(Stream::ToClient, &ack(1, 44, false), 0);
    assert!(told(&mut driver)[0].contains("outcome=response_lost"));

    driver.chunk(Stream::ToClient, &deliver(2, "c", 7, "k"), 0);
    assert!(told(&mut driver)[0].contains("operation.type=receive"));
    driver.chunk(Stream::ToServer, &ack(2, 7, false), 0);
    driver.chunk(Stream::ToClient, &deliver(2, "c", 8, "k"), 0);
    assert!(told(&mut driver).is_empty());
    driver.chunk(Stream::ToServer, &ack(2, 8, false), 0);
    assert!(told(&mut driver)[0].contains("operation.type=process"));
    // An answer without its question.
    driver.chunk(Stream::ToClient, &method(2, 60, 11, &[]), 0);
    assert_eq!(driver.finish().losses.unpaired_responses, 1);
}

/// An agent that comes late knows neither queues nor numbers; and a loss makes numbers unknown.
fn same(expected: &str, got: &str) -> bool {
    let known = |line: &str| {
        let words = line.split(' ').filter(|word| {
            ["messaging.message.body", "messaging.rabbitmq.destination", "messaging.system"]
                .iter()
                .any(|key| word.starts_with(key))
        });
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let name = |line: &str| line.split(' ').next().map(str::to_owned);
    // Of a request that was not seen, the server's refusal is.
    if got.starts_with("channel.close") && got.contains("error.type=not-found") {
        return expected.contains("error.type=not-found");
    }
    name(expected) == name(got) && known(expected) == known(got)
}

#[test]
fn everywhere() {
    let made_up = whole();
    checks::every_split(&Amqp, &made_up);
    let mut conversations = vec![made_up];
    for mut recorded in Conversation::recorded(Some("amqp")) {
        checks::every_split(&Amqp, &recorded);
        // Who does not know which publish comes back tells of that by itself: one exchange more.
        let returned =
            |bytes: &[u8]| bytes.get(HEAD..).is_some_and(|payload| payload.starts_with(&[0, 60, 0, 50]));
        recorded.pieces.retain(|piece| !returned(&piece.bytes));
        conversations.push(recorded);
    }
    for conversation in &conversations {
        checks::every_prefix(&Amqp, conversation);
        checks::every_late_start(&Amqp, conversation, same);
        checks::every_gap(&Amqp, conversation, same);
    }
    checks::garbage(&Amqp, &conversations);
}

/// What is AMQP 0-9-1 and what is not.
#[test]
fn inference() {
    let infer =
        |bytes: &[u8], stream| Amqp.infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream });
    let yes = |stream| Inference::Yes(stream);
    assert_eq!(infer(b"AMQP\0\0\x09\x01", None), yes(Stream::ToServer));
    assert_eq!(infer(b"AMQP\0\0", None), Inference::Maybe);
    assert_eq!(infer(b"AMQP\0\x01\0\0", None), Inference::No);
    assert_eq!(infer(&publish(3, "e", "k", 9), None), yes(Stream::ToServer));
    assert_eq!(infer(&deliver(3, "c", 9, "k"), None), yes(Stream::ToClient));
    assert_eq!(infer(&[heartbeat(), publish(3, "e", "k", 9)].concat(), None), yes(Stream::ToServer));
    assert_eq!(infer(&heartbeat(), None), Inference::Maybe);
    assert_eq!(infer(&ack(3, 1, false), None), Inference::Maybe);
    assert_eq!(infer(&ack(3, 1, false), Some(Stream::ToServer)), yes(Stream::ToServer));
    assert_eq!(infer(&content(3, 9, None), None), Inference::No);
    // A method of the connection on a channel, one that there is not, one that is too long, one without its end.
    assert_eq!(infer(&method(1, 10, 51, &[]), None), Inference::No);
    assert_eq!(infer(&method(1, 60, 41, &[]), None), Inference::No);
    assert_eq!(infer(&method(1, 60, 11, &[&[0]]), None), Inference::No);
    let mut broken = method(1, 60, 11, &[]);
    *broken.last_mut().unwrap() = 0;
    assert_eq!(infer(&broken, None), Inference::No);
    for cut in 1..publish(1, "exchange", "key", 1).len().min(20) {
        assert_eq!(infer(&publish(1, "exchange", "key", 1)[..cut], None), Inference::Maybe, "{cut}");
    }
}
