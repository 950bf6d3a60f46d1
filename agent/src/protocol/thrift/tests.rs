//! Messages as Thrift's libraries write them, and what goes wrong with them.

use super::Thrift;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{Inference, Losses, Protocol, Run, Stream};

const CALL: u8 = 1;
const REPLY: u8 = 2;
const EXCEPTION: u8 = 3;
const ONE_WAY: u8 = 4;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Strict,
    Old,
    Compact,
}

fn varint(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn message(encoding: Encoding, kind: u8, name: &str, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = (name.len() as u32).to_be_bytes();
    let head = match encoding {
        Encoding::Strict => {
            [&[0x80, 1, 0, kind], &length[..], name.as_bytes(), &sequence.to_be_bytes()].concat()
        }
        Encoding::Old => [&length[..], name.as_bytes(), &[kind], &sequence.to_be_bytes()].concat(),
        Encoding::Compact => {
            let head = [0x82, kind << 5 | 1];
            [&head[..], &varint(sequence), &varint(name.len() as u32), name.as_bytes()].concat()
        }
    };
    [&head[..], body].concat()
}

/// `{1: "hello", 2: 7, 3: {1: [1, 2, 3]}, 4: {"a": true}, 5: 1.5, 6: [{1: "x"}]}`
fn arguments(encoding: Encoding) -> Vec<u8> {
    if encoding == Encoding::Compact {
        let text = [&[0x18, 5][..], b"hello"].concat();
        let nested = [0x1c, 0x19, 0x35, 2, 4, 6, 0];
        let map = [0x1b, 1, 0x81, 1, b'a', 1];
        let double = [&[0x17][..], &1.5f64.to_le_bytes()].concat();
        let structs = [0x19, 0x1c, 0x18, 1, b'x', 0];
        return [&text[..], &[0x15, 14], &nested, &map, &double, &structs, &[0]].concat();
    }
    let text = [&[11, 0, 1, 0, 0, 0, 5][..], b"hello"].concat();
    let number = [8, 0, 2, 0, 0, 0, 7];
    let list = [15, 0, 1, 8, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    let nested = [&[12, 0, 3][..], &list, &[0]].concat();
    let map = [13, 0, 4, 11, 2, 0, 0, 0, 1, 0, 0, 0, 1, b'a', 1];
    let double = [&[4, 0, 5][..], &1.5f64.to_be_bytes()].concat();
    let structs = [15, 0, 6, 12, 0, 0, 0, 1, 11, 0, 1, 0, 0, 0, 1, b'x', 0];
    [&text[..], &number, &nested, &map, &double, &structs, &[0]].concat()
}

/// The result: a text.
fn success(encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Compact => vec![0x08, 0, 2, b'o', b'k', 0],
        _ => vec![11, 0, 0, 0, 0, 0, 2, b'o', b'k', 0],
    }
}

/// The first declared exception, with a text.
fn declared(encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Compact => vec![0x1c, 0x18, 2, b'n', b'o', 0, 0],
        _ => vec![12, 0, 1, 11, 0, 1, 0, 0, 0, 2, b'n', b'o', 0, 0],
    }
}

/// `Unknown method`
fn unknown_method(encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Compact => vec![0x18, 3, b'b', b'a', b'd', 0x15, 2, 0],
        _ => vec![11, 0, 1, 0, 0, 0, 3, b'b', b'a', b'd', 8, 0, 2, 0, 0, 0, 1, 0],
    }
}

fn framed(message: Vec<u8>) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], &message].concat()
}

/// The header transport; the protocol's number and no transforms.
fn header(encoding: Encoding, sequence: u32, message: Vec<u8>) -> Vec<u8> {
    let protocol = if encoding == Encoding::Compact { 2 } else { 0 };
    let fixed = [&[0x0f, 0xff, 0, 0][..], &sequence.to_be_bytes(), &[0, 1], &[protocol, 0, 0, 0]].concat();
    framed([&fixed[..], &message].concat())
}

fn conversation(encoding: Encoding, wrap: &dyn Fn(Vec<u8>) -> Vec<u8>) -> Conversation {
    let message =
        |kind, name: &str, sequence, body: &[u8]| wrap(message(encoding, kind, name, sequence, body));
    Conversation::new()
        .client(message(CALL, "Shop:order", 1, &arguments(encoding)))
        .server(message(REPLY, "order", 1, &success(encoding)))
        .client(message(CALL, "ping", 2, &[0]))
        .server(message(REPLY, "ping", 2, &[0]))
        .client(message(ONE_WAY, "forget", 3, &arguments(encoding)))
        .client(message(CALL, "refuse", 4, &[0]))
        .server(message(REPLY, "refuse", 4, &declared(encoding)))
        .client(message(CALL, "nothing", 5, &[0]))
        .server(message(EXCEPTION, "nothing", 5, &unknown_method(encoding)))
}

fn all() -> Vec<(&'static str, &'static str, Conversation)> {
    let mut all = Vec::new();
    for encoding in [Encoding::Strict, Encoding::Old, Encoding::Compact] {
        let name = if encoding == Encoding::Compact { "compact" } else { "binary" };
        all.push((name, "unframed", conversation(encoding, &|message| message)));
        all.push((name, "framed", conversation(encoding, &framed)));
        if encoding != Encoding::Old {
            all.push((
                name,
                "header",
                conversation(encoding, &|message| {
                    // The header has the sequence number, too.
                    let sequence = match &message[..] {
                        [0x80, _, _, _, _, _, _, length, rest @ ..] => rest[usize::from(*length) + 3],
                        other => other[2],
                    };
                    header(encoding, sequence.into(), message)
                }),
            ));
        }
    }
    all
}

#[test]
fn tells() {
    for (encoding, transport, conversation) in all() {
        let played = Driver::whole(&Thrift, &conversation, false);
        assert_eq!(played.losses, Losses::default(), "{encoding} {transport}");
        let line = |name: &str, rest: &str| {
            format!(
                "{name} rpc.system.name=apache_thrift rpc.method={name} remora.thrift.transport={transport} \
                 remora.thrift.protocol={encoding}{rest}"
            )
        };
        assert_eq!(
            played.told,
            [
                line("Shop/order", ""),
                line("ping", ""),
                line("forget", " remora.one_way=true"),
                line("refuse", " remora.thrift.exception.field=1 error.type=declared_exception error"),
                line("nothing", " rpc.response.status_code=UNKNOWN_METHOD error.type=UNKNOWN_METHOD error"),
            ]
        );
    }
}

#[test]
fn survives() {
    let mut every: Vec<_> = Conversation::recorded(None)
        .into_iter()
        .filter(|conversation| conversation.protocol == "thrift")
        .collect();
    every.extend(all().into_iter().map(|(_, _, conversation)| conversation));
    for conversation in &every {
        checks::every_split(&Thrift, conversation);
        checks::every_prefix(&Thrift, conversation);
        checks::every_late_start(&Thrift, conversation, |whole, got| whole == got);
        checks::every_gap(&Thrift, conversation, knows_less);
    }
    checks::garbage(&Thrift, &every);
}

/// Of an exception, it may be known only that it is one.
fn knows_less(whole: &str, got: &str) -> bool {
    whole == got || got.strip_suffix(" error.type=_OTHER error").is_some_and(|rest| whole.starts_with(rest))
}

/// A long text in an unframed call passes without being captured, and so does what was promised of a frame.
#[test]
fn holes() {
    let mut body = [11, 0, 1, 0, 1, 0, 0].to_vec();
    body.extend(vec![b'x'; 0x1_0000]);
    body.push(0);
    for wrap in [(|message| message) as fn(Vec<u8>) -> Vec<u8>, framed] {
        let call = wrap(message(Encoding::Strict, CALL, "store", 0, &body));
        let mut driver = Driver::new(&Thrift, false);
        driver.chunk(Stream::ToServer, &call[..100], call.len() as u64 - 101);
        driver.chunk(Stream::ToServer, &call[call.len() - 1..], 0);
        driver.chunk(Stream::ToClient, &wrap(message(Encoding::Strict, REPLY, "store", 0, &[0])), 0);
        let played = driver.finish();
        assert_eq!(played.losses, Losses::default());
        assert_eq!(played.told.len(), 1);
        assert!(!played.told[0].contains("outcome"), "{played:?}");
    }
}

/// Where calls with one number overlap, nothing is paired after a loss.
#[test]
fn overlapping() {
    let call = framed(message(Encoding::Strict, CALL, "get", 0, &[0]));
    let reply = framed(message(Encoding::Strict, REPLY, "get", 0, &success(Encoding::Strict)));
    let mut driver = Driver::new(&Thrift, false);
    driver.chunk(Stream::ToServer, &[call.clone(), call.clone(), call.clone()].concat(), 0);
    driver.chunk(Stream::ToClient, &reply, 0);
    driver.chunk(Stream::ToClient, b"", reply.len() as u64);
    driver.chunk(Stream::ToServer, &call, 0);
    driver.chunk(Stream::ToClient, &reply, 0);
    driver.chunk(Stream::ToClient, &reply, 0);
    let played = driver.finish();
    assert_eq!(played.told.iter().filter(|told| !told.contains("outcome")).count(), 1, "{played:#?}");
    assert_eq!((played.losses.unpaired_requests, played.losses.unpaired_responses), (3, 2));
}

#[test]
fn inference() {
    let infer =
        |bytes: &[u8]| Thrift.infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream: None });
    for (encoding, transport, conversation) in all() {
        for piece in conversation.pieces {
            assert_eq!(infer(&piece.bytes), Inference::Yes(piece.stream), "{encoding} {transport} {piece:?}");
            assert_eq!(infer(&piece.bytes[..4]), Inference::Maybe, "{encoding} {transport} {piece:?}");
        }
    }
    // MQTT subscribes with the compact protocol's first byte; PostgreSQL and Kafka begin with lengths.
    let subscribe = b"\x82\x21\x00\x0a\x00\x1csensors/temperature/kitchen1\x00";
    let startup = b"\0\0\0\x08\0\x03\0\0";
    let kafka = b"\0\0\0\x10\0\x03\0\x01\0\0\0\x01\0\x03abc\0\0\0\0";
    for foreign in [&subscribe[..], startup, kafka, b"GET / HTTP/1.1\r\n\r\n", &[0; 64]] {
        assert_eq!(infer(foreign), Inference::No, "{foreign:?}");
    }
}
