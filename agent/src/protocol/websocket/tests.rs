//! Connections from their upgrade to their end.

use super::parser::PART;
use super::*;
use crate::protocol::http::{Settings, Shared};
use crate::protocol::http1::Http1;
use crate::protocol::testing::drive::describe;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{End, Interest, Losses, Role, Stream};

fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(bit | length as u8),
        length @ 126..65536 => {
            frame.push(bit | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(bit | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend(payload);
    }
    frame
}

fn client(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, true, payload.as_ref())
}

fn server(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, false, payload.as_ref())
}

const REQUEST: &[u8] =
    b"GET /chat/7?token=x HTTP/1.1\r\nHost: h:81\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A connection behind its upgrade, with what the server sent at once.
fn upgraded(rest: &[u8]) -> Driver {
    let mut http = Driver::new(&Http1::with(&Shared::new(Settings::default(), false)), false);
    http.chunk(Stream::ToServer, REQUEST, 0);
    http.time += 1_000_000;
    http.chunk(Stream::ToClient, &[RESPONSE, rest].concat(), 0);
    assert_eq!((http.told.len(), http.parser.interest()), (1, Interest::Upgraded));
    let mut upgrade = http.parser.take_upgrade();
    let behind = upgrade.rest[1].take().map_or(Vec::new(), |rest| rest.bytes);
    assert_eq!(behind, rest);
    let mut driver = Driver::of(WebSocket.upgraded(&mut upgrade).unwrap());
    driver.time = http.time;
    if !behind.is_empty() {
        driver.chunk(Stream::ToClient, &behind, 0);
    }
    driver
}

fn words(line: &str) -> String {
    let usual = ["network.", "url.scheme", "user_agent", "client.", "traceparent"];
    line.split(' ')
        .filter(|word| !usual.iter().any(|usual| word.starts_with(usual)))
        .collect::<Vec<_>>()
        .join(" ")
}

fn talk() -> Conversation {
    Conversation::new()
        .client(
            [client(0x81, "hi"), client(0x01, "in "), client(0x89, "ping"), client(0x80, "parts")].concat(),
        )
        .server([server(0x8a, "ping"), server(0x82, [7; 300])].concat())
        .server(server(0xc1, [1; 70_000]))
        .client(client(0x88, [&1000_u16.to_be_bytes()[..], b"bye"].concat()))
        .server(server(0x88, 1000_u16.to_be_bytes()))
}

const TOLD: &str = "websocket url.full=http://h:81/chat/7?token=REDACTED remora.websocket.client.messages=2 \
    remora.websocket.client.bytes=10 remora.websocket.server.messages=3 remora.websocket.server.bytes=70305 \
    remora.websocket.closed_by=client remora.websocket.close_code=1000";

/// Messages of both ends, the first behind the upgrade's head.
#[test]
fn whole() {
    let mut driver = upgraded(&server(0x81, "hello"));
    driver.play(&talk());
    assert_eq!(driver.parser.interest(), Interest::Nothing);
    let exchange = &driver.told[0];
    assert_eq!(exchange.start.time, 1_001_000_000);
    let description = describe(exchange, Role::Server);
    assert_eq!((description.name.as_str(), description.error), ("websocket", None));
    assert!(description.parent.is_some());
    assert!(description.attributes.iter().any(|(key, _)| *key == "http.route"));
    let played = driver.finish();
    assert_eq!(
        (words(&played.told[0]).as_str(), played.told.len(), played.losses),
        (TOLD, 1, Losses::default())
    );
}

/// However the bytes are cut.
#[test]
fn every_split() {
    checks::every_split(&WebSocket, &talk());
    checks::every_prefix(&WebSocket, &talk());
    checks::garbage(&WebSocket, &[talk()]);
}

/// How a connection ends: with a code, without one, or without a word.
#[test]
fn ends() {
    let told = |conversation: Conversation, cause| {
        let mut driver = upgraded(b"");
        driver.play(&conversation);
        driver.end(cause);
        let line = words(&driver.take()[0]);
        line.split_once("server.bytes=0 ").unwrap().1.to_owned()
    };
    let closing = |code: u16| Conversation::new().server(server(0x88, code.to_be_bytes()));
    assert_eq!(
        told(closing(1011), End::Orderly),
        "remora.websocket.closed_by=server remora.websocket.close_code=1011 error.type=1011 error"
    );
    assert_eq!(
        told(closing(4001), End::Broken(104)),
        "remora.websocket.closed_by=server remora.websocket.close_code=4001"
    );
    assert_eq!(
        told(Conversation::new().client(client(0x88, "")), End::Orderly),
        "remora.websocket.closed_by=client"
    );
    assert_eq!(
        told(Conversation::new(), End::Broken(104)),
        "remora.outcome=connection_closed error.type=connection_reset error the connection ended without a closing frame"
    );
    assert_eq!(told(Conversation::new(), End::Forgotten), "remora.outcome=unfinished");
}

/// Payloads are not asked for. What is lost of them is nothing, what is lost of headers leaves the counts of that end
/// unknown.
#[test]
fn losses() {
    let mut driver = upgraded(b"");
    driver.chunk(Stream::ToClient, &server(0x82, [0; 50_000])[..100], 0);
    assert_eq!(driver.parser.interest(), Interest::Frames { quiet_until: [0, 50_003] });
    driver.chunk(Stream::ToClient, b"", 49_904);
    driver.chunk(Stream::ToServer, b"", 100);
    driver.chunk(Stream::ToServer, &client(0x81, "x"), 0);
    driver.chunk(Stream::ToServer, &client(0x88, 1001_u16.to_be_bytes()), 0);
    let played = driver.finish();
    assert_eq!(
        words(&played.told[0]),
        "websocket url.full=http://h:81/chat/7?token=REDACTED remora.websocket.server.messages=1 \
         remora.websocket.server.bytes=50000 remora.websocket.closed_by=client remora.websocket.close_code=1001"
    );
    assert_eq!(played.losses.resynchronised, 1);
}

/// A connection that lasts is told every minute.
#[test]
fn parts() {
    let mut driver = upgraded(b"");
    for _ in 0..2 {
        driver.chunk(Stream::ToClient, &server(0x81, "tick"), 0);
        driver.pass(PART);
    }
    driver.end(End::Orderly);
    let times: Vec<_> = driver.told.iter().map(|told| (told.start.time, told.end)).collect();
    assert_eq!((times.len(), times[1].0, times[2].0), (3, times[0].1, times[0].0));
    let lines = driver.take();
    assert!(
        lines[1].ends_with("server.messages=2 remora.websocket.server.bytes=8 remora.stream.part=2"),
        "{lines:?}"
    );
    assert!(lines[2].contains("remora.stream.part=3 remora.outcome=connection_closed"), "{lines:?}");
}
