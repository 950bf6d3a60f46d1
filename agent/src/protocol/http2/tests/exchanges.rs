//! Requests and responses.

use super::super::frame::*;
use super::support::*;
use crate::protocol::http::{Reset, Settings, Shared};
use crate::protocol::http1::Http1;
use crate::protocol::testing::drive::describe;
use crate::protocol::testing::{Conversation, Driver};
use crate::protocol::{End, Interest, Protocol, Role, Stream, Value};

/// A span of each end, whole.
#[test]
fn attributes() {
    let lines = [
        ":method: PUT",
        "#6",
        ":path: /users/42?token=t",
        ":authority: shop:81",
        "user-agent: curl",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate: a=1",
    ];
    let mut driver = Driver::new(&*HTTP2, false);
    driver.play(
        &Conversation::new()
            .client([preface(), headers(1, false, &lines), data(1, true, "abc")].concat())
            .server([settings(), headers(1, false, &[":status: 503"]), data(1, true, "gone")].concat()),
    );
    let exchange = driver.told.remove(0);
    assert_eq!(exchange.first_byte, Some(exchange.end));
    let told = |role| {
        let description = describe(&exchange, role);
        let mut attributes: Vec<String> = description
            .attributes
            .iter()
            .map(|(key, value)| match value {
                Value::Text(text) => format!("{key}={text}"),
                Value::Integer(number) => format!("{key}={number}"),
                other => format!("{key}={other:?}"),
            })
            .collect();
        attributes.sort();
        (description.name, attributes, description.parent, description.error, description.instruments.len())
    };
    let (name, attributes, parent, error, instruments) = told(Role::Server);
    assert_eq!((name.as_str(), error.as_deref(), instruments), ("PUT /users/{id}", Some(""), 2));
    assert_eq!(parent.unwrap().state.as_deref(), Some("a=1"));
    assert_eq!(
        attributes,
        [
            "client.address=10.0.0.2",
            "client.port=50000",
            "error.type=503",
            "http.request.body.size=3",
            "http.request.method=PUT",
            "http.response.body.size=4",
            "http.response.status_code=503",
            "http.route=/users/{id}",
            "network.local.address=10.0.0.1",
            "network.local.port=8080",
            "network.peer.address=10.0.0.2",
            "network.peer.port=50000",
            "network.protocol.version=2",
            "network.transport=tcp",
            "remora.time_to_first_byte=Float(0.001)",
            "server.address=shop",
            "server.port=81",
            "url.path=/users/42",
            "url.query=token=REDACTED",
            "url.scheme=http",
            "user_agent.original=curl",
        ]
    );
    let (name, attributes, ..) = told(Role::Client);
    assert_eq!(name, "PUT");
    assert!(
        attributes.contains(&"url.full=http://shop:81/users/42?token=REDACTED".to_owned()),
        "{attributes:?}"
    );
}

/// Streams that overlap, interim responses, trailers, padding, priorities, blocks in several frames.
#[test]
fn framing() {
    let head = block(&["#2", "#6", ":path: /e", "x: y"]);
    let padded = [&[2, 0, 0, 0, 1, 200][..], &head, &[0, 0]].concat();
    let whole = frame(HEADERS, 0, 7, &head[..4]);
    let conversation = Conversation::new()
        .client([preface(), get(1, "/a"), get(3, "/b")].concat())
        .server([settings(), frame(SETTINGS, ACK, 0, b""), headers(3, false, &[":status: 103"])].concat())
        .server([headers(3, false, &["#13"]), headers(1, false, &["#8"])].concat())
        .server(
            [data(1, false, "one"), data(3, true, "not"), frame(DATA, PADDED, 1, b"\x03two\0\0\0")].concat(),
        )
        .client(frame(HEADERS, END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY, 5, &padded))
        .client(
            [frame(PRIORITY, 0, 7, &[0; 5]), whole, frame(CONTINUATION, END_HEADERS, 7, &head[4..])].concat(),
        )
        .client([data(7, false, "up"), headers(7, true, &["x-checksum: 1"])].concat())
        .server([frame(0xee, 0xff, 3, b"grease"), headers(1, true, &["x-checksum: 6"])].concat())
        .server([headers(5, true, &["#9"]), ok(7, "")].concat());
    assert_eq!(
        shorts(&told(&conversation)),
        [
            "GET url.full=http://h:81/b http.response.status_code=404 http.response.body.size=3 error.type=404 error",
            "GET url.full=http://h:81/a http.response.status_code=200 http.response.body.size=6",
            "GET url.full=http://10.0.0.1:8080/e http.response.status_code=204",
            "GET url.full=http://10.0.0.1:8080/e http.response.status_code=200 http.request.body.size=2 \
             http.response.body.size=0",
        ]
    );
}

/// One end gives up a stream; the server refuses those that it has not looked at; the connection breaks.
#[test]
fn broken() {
    let mut driver = Driver::new(&*HTTP2, false);
    let paths: Vec<u8> = (0..6).flat_map(|i| get(1 + 2 * i, &format!("/{i}"))).collect();
    driver.play(&Conversation::new().client([preface(), paths].concat()).server(settings()));
    driver.play(
        &Conversation::new()
            .client(frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()))
            .server([headers(1, false, &["#8"]), headers(3, false, &["#8"])].concat())
            .server(frame(RST_STREAM, 0, 3, &2_u32.to_be_bytes()))
            .server(frame(GOAWAY, 0, 0, &[0, 0, 0, 7, 0, 0, 0, 0]))
            .server([ok(5, "late"), headers(7, false, &["#8"])].concat()),
    );
    driver.end(End::Broken(104));
    assert_eq!(driver.losses, Default::default());
    assert_eq!(
        shorts(&driver.take()),
        [
            "GET url.full=http://h:81/0 remora.outcome=reset error.type=CANCEL error the client reset the stream: CANCEL",
            "GET url.full=http://h:81/1 http.response.status_code=200 http.response.body.size=0 remora.outcome=reset \
             error.type=INTERNAL_ERROR error the server reset the stream: INTERNAL_ERROR",
            "GET url.full=http://h:81/4 remora.outcome=reset error.type=REFUSED_STREAM error the server reset the \
             stream: REFUSED_STREAM",
            "GET url.full=http://h:81/5 remora.outcome=reset error.type=REFUSED_STREAM error the server reset the \
             stream: REFUSED_STREAM",
            "GET url.full=http://h:81/2 http.response.status_code=200 http.response.body.size=4",
            "GET url.full=http://h:81/3 http.response.status_code=200 http.response.body.size=0 \
             remora.outcome=connection_closed error.type=connection_reset error the connection ended before the \
             response was complete",
        ]
    );
    let _ = Reset { by: Stream::ToServer, code: 0, name: error_name(99) };
}

/// A tunnel, and a CONNECT that is none.
#[test]
fn connect() {
    let conversation = Conversation::new()
        .client([preface(), headers(1, false, &[":method: CONNECT", ":authority: db:5432"])].concat())
        .server([settings(), headers(1, false, &["#8"]), data(1, true, "bytes")].concat())
        .client(headers(
            3,
            false,
            &[":method: CONNECT", ":protocol: websocket", "#6", ":path: /chat", ":authority: h"],
        ))
        .server(headers(3, true, &["#8"]));
    assert_eq!(
        shorts(&told(&conversation)),
        [
            "CONNECT url.full=//db:5432 http.response.status_code=200 http.response.body.size=5",
            "CONNECT url.full=http://h/chat http.response.status_code=200",
        ]
    );
}

/// HTTP/1 asks for HTTP/2: one span, which the HTTP/2 response ends.
#[test]
fn upgrade() {
    let shared = Shared::new(Settings::default(), false);
    let mut http1 = Driver::new(&Http1::with(&shared), false);
    http1.chunk(
        Stream::ToServer,
        b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
        0,
    );
    let response = [
        &b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"[..],
        &settings(),
    ];
    http1.time += 1_000_000;
    http1.chunk(Stream::ToClient, &response.concat(), 0);
    assert!(http1.told.is_empty());
    assert_eq!(http1.parser.interest(), Interest::Upgraded);
    let mut upgrade = http1.parser.take_upgrade();
    let rest = upgrade.rest[1].take().unwrap();
    assert_eq!(rest.bytes, settings());
    let mut driver = Driver::of(HTTP2.upgraded(&mut upgrade).unwrap());
    driver.chunk(Stream::ToClient, &rest.bytes, 0);
    driver.time += 2_000_000;
    driver.chunk(Stream::ToServer, &[preface(), get(3, "/next")].concat(), 0);
    driver.chunk(Stream::ToClient, &[ok(1, "hello"), ok(3, "")].concat(), 0);
    assert_eq!(driver.told[0].first_byte.unwrap() - driver.told[0].start.time, 2_000_000);
    assert_eq!(
        shorts(&driver.finish().told),
        [
            "GET url.full=http://h/up http.response.status_code=200 http.response.body.size=5",
            "GET url.full=http://h:81/next http.response.status_code=200 http.response.body.size=0",
        ]
    );
}

/// Bodies are not asked for; what is in flight is bounded.
#[test]
fn bounds() {
    let mut driver = Driver::new(&*HTTP2, false);
    driver.chunk(Stream::ToServer, &[preface(), get(1, "/a")].concat(), 0);
    let big = [headers(1, false, &["#8"]), frame(DATA, 0, 1, &[0; 16_384])].concat();
    driver.chunk(Stream::ToClient, &big[..100], 0);
    assert_eq!(driver.parser.interest(), Interest::Frames { quiet_until: [0, big.len() as u64] });
    driver.chunk(Stream::ToClient, b"", big.len() as u64 - 100);
    assert_eq!(driver.parser.interest(), Interest::Frames { quiet_until: [0, 0] });

    let settings = Settings { max_in_flight: 3, ..Settings::default() };
    let mut driver = Driver::new(&super::super::Http2::new(&Shared::new(settings, false)), false);
    let paths: Vec<u8> = (0..9).flat_map(|i| get(1 + 2 * i, "/")).collect();
    driver.chunk(Stream::ToServer, &[preface(), paths].concat(), 0);
    assert_eq!(driver.losses.over_limit, 6);
}
