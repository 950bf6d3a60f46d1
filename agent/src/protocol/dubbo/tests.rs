//! Messages as Dubbo writes them, and what goes wrong with them.

use super::Dubbo;
use crate::protocol::testing::drive::{describe, line};
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{Inference, Losses, Protocol, Role, Run};

const HESSIAN2: u8 = 2;
const FASTJSON: u8 = 6;
const FASTJSON2: u8 = 23;
const CALL: u8 = 0xc0;
const ONE_WAY: u8 = 0x80;
const EVENT: u8 = 0x20;
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn message(flags: u8, status: u8, id: i64, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[0xda, 0xbb, flags, status][..], &id.to_be_bytes(), &length, body].concat()
}

fn text(serialization: u8, text: &str) -> Vec<u8> {
    let length = text.len() as u8;
    match serialization {
        FASTJSON => format!("\"{text}\"\n").into_bytes(),
        FASTJSON2 if length < 48 => [&[0, 0, 0, length + 1, 0x49 + length][..], text.as_bytes()].concat(),
        FASTJSON2 => [&[0, 0, 0, length + 3, 0x79, 0x38, length][..], text.as_bytes()].concat(),
        _ if length < 32 => [&[length][..], text.as_bytes()].concat(),
        _ => [&[0x30, length][..], text.as_bytes()].concat(),
    }
}

fn call(serialization: u8, flags: u8, id: i64, method: &str) -> Vec<u8> {
    let texts = [
        "2.0.2",
        "org.example.warehouse.StockServiceInterface",
        "1.0.0",
        method,
        "Ljava/lang/String;",
        "secret",
    ];
    let mut body: Vec<u8> = texts.iter().flat_map(|each| text(serialization, each)).collect();
    body.push(b'H');
    body.extend(text(HESSIAN2, "traceparent"));
    body.extend(text(HESSIAN2, TRACE));
    message(flags | serialization, 0, id, &body)
}

fn number(serialization: u8, number: u8) -> Vec<u8> {
    match serialization {
        FASTJSON => vec![b'0' + number, b'\n'],
        FASTJSON2 => vec![0, 0, 0, 1, number],
        _ => vec![0x90 + number],
    }
}

fn result(serialization: u8, id: i64) -> Vec<u8> {
    message(serialization, 20, id, &[number(serialization, 4), text(serialization, "secret")].concat())
}

fn thrown(serialization: u8, id: i64) -> Vec<u8> {
    let class = text(HESSIAN2, "org.example.OutOfStock");
    let object = match serialization {
        FASTJSON => b"{\"message\":\"secret\"}\n".to_vec(),
        FASTJSON2 => [&[0, 0, 0, 24, 0x92, 0x49 + 22][..], &class[1..]].concat(),
        _ => [&b"C"[..], &class, b"\x91\x07message`\x06secret"].concat(),
    };
    message(serialization, 20, id, &[number(serialization, 3), object].concat())
}

fn heartbeat(request: bool, id: i64) -> Vec<u8> {
    message(
        if request { CALL | EVENT | HESSIAN2 } else { EVENT | HESSIAN2 },
        if request { 0 } else { 20 },
        id,
        b"N",
    )
}

fn conversation(serialization: u8) -> Conversation {
    Conversation::new()
        .client([call(serialization, CALL, 1, "take"), call(serialization, CALL, 2, "count")].concat())
        .server([result(serialization, 2), thrown(serialization, 1)].concat())
        .client(heartbeat(true, 3))
        .server(heartbeat(false, 3))
        .server(heartbeat(true, 1))
        .client(heartbeat(false, 1))
        .client(call(serialization, ONE_WAY, 4, "forget"))
        .client(call(serialization, CALL, 5, "nothing"))
        .server(message(serialization, 60, 5, &text(serialization, "no such service")))
}

fn all() -> Vec<Conversation> {
    [HESSIAN2, FASTJSON, FASTJSON2].map(conversation).to_vec()
}

#[test]
fn tells() {
    for (serialization, class) in
        [(HESSIAN2, "org.example.OutOfStock"), (FASTJSON, "_OTHER"), (FASTJSON2, "org.example.OutOfStock")]
    {
        let played = Driver::whole(&Dubbo, &conversation(serialization), false);
        assert_eq!(played.losses, Losses::default());
        let line = |method: &str, rest: &str| {
            let name = format!("org.example.warehouse.StockServiceInterface/{method}");
            format!("{name} rpc.system.name=dubbo rpc.method={name} remora.dubbo.service.version=1.0.0{rest}")
        };
        assert_eq!(
            played.told,
            [
                line("count", " rpc.response.status_code=OK"),
                line("take", &format!(" rpc.response.status_code=OK error.type={class} error")),
                line("forget", " remora.one_way=true"),
                line(
                    "nothing",
                    " rpc.response.status_code=SERVICE_NOT_FOUND error.type=SERVICE_NOT_FOUND error"
                ),
            ],
            "{serialization}"
        );
    }
}

/// Trace context is found behind the arguments; what is the client's fault is no error of the server.
#[test]
fn context_and_roles() {
    let mut driver = Driver::new(&Dubbo, false);
    driver.play(&conversation(HESSIAN2));
    let nothing = &driver.told[3];
    assert!(line(nothing, Role::Client).ends_with("error"));
    assert!(!line(nothing, Role::Server).ends_with("error"));
    let parent = describe(nothing, Role::Server).parent.expect("a parent");
    assert_eq!(parent.span, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
}

#[test]
fn survives() {
    let mut every: Vec<_> = Conversation::recorded(None)
        .into_iter()
        .filter(|conversation| conversation.protocol == "dubbo")
        .collect();
    every.extend(all());
    for conversation in &every {
        checks::every_split(&Dubbo, conversation);
        checks::every_prefix(&Dubbo, conversation);
        checks::every_late_start(&Dubbo, conversation, |whole, got| whole == got);
        checks::every_gap(&Dubbo, conversation, knows_less);
    }
    checks::garbage(&Dubbo, &every);
}

/// With bytes missing, names may be.
fn knows_less(whole: &str, got: &str) -> bool {
    got.split(' ').all(|part| matches!(part, "dubbo" | "error.type=_OTHER") || whole.contains(part))
}

/// What is written in another way is told without its name.
#[test]
fn other_serializations() {
    const KRYO: u8 = 8;
    let conversation = Conversation::new()
        .client(message(CALL | KRYO, 0, 1, b"\x01\x02\x03"))
        .server(message(KRYO, 20, 1, b"\x04\x05"));
    let told = Driver::whole(&Dubbo, &conversation, false).told;
    assert_eq!(
        told,
        ["dubbo rpc.system.name=dubbo rpc.response.status_code=OK remora.unreadable=serialization"]
    );
}

#[test]
fn inference() {
    let infer =
        |bytes: &[u8]| Dubbo.infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream: None });
    for conversation in all() {
        for piece in conversation.pieces {
            let event = piece.bytes[2] & EVENT != 0;
            match infer(&piece.bytes) {
                Inference::Likely(_) => assert!(event),
                found => assert_eq!(found, Inference::Yes(piece.stream), "{piece:?}"),
            }
            assert_eq!(infer(&piece.bytes[..3]), Inference::Maybe);
        }
    }
    let mut foreign = call(HESSIAN2, CALL, 1, "take");
    foreign[3] = 1;
    assert_eq!(infer(&foreign), Inference::No);
    assert_eq!(infer(b"\xda\xbbabcdefghijklmnopqrst"), Inference::No);
    assert_eq!(infer(&[0; 64]), Inference::No);
}
