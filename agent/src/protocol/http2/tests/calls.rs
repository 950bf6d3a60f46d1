//! gRPC.

use super::super::frame::*;
use super::super::streams::PART;
use super::support::*;
use crate::protocol::testing::drive::{describe, line};
use crate::protocol::testing::{Conversation, Driver};
use crate::protocol::{End, Role, Stream};

fn unary(status: u32) -> Conversation {
    Conversation::new()
        .client([preface(), call(1, "/shop.v1.Cart/Add"), data(1, true, message(b"apple"))].concat())
        .server([settings(), called(1), data(1, false, message(b"ok")), trailers(1, status)].concat())
}

/// Calls of all kinds: messages and bytes of each direction.
#[test]
fn kinds() {
    assert_eq!(
        told(&unary(0)),
        ["shop.v1.Cart/Add rpc.system.name=grpc rpc.method=shop.v1.Cart/Add network.transport=tcp \
          network.protocol.name=http network.protocol.version=2 remora.rpc.request.messages=1 remora.rpc.request.bytes=5 \
          remora.rpc.response.messages=1 remora.rpc.response.bytes=2 rpc.response.status_code=OK"]
    );
    let stream = [message(b"a"), message(b""), message(&[7; 300])].concat();
    let conversation = Conversation::new()
        .client([preface(), call(1, "/s/Up"), data(1, false, &stream[..8])].concat())
        .client(data(1, true, &stream[8..]))
        .server([settings(), called(1), data(1, false, &stream[..3]), data(1, false, &stream[3..])].concat())
        .server(trailers(1, 0));
    assert_eq!(
        shorts(&told(&conversation)),
        ["s/Up rpc.method=s/Up remora.rpc.request.messages=3 remora.rpc.request.bytes=301 \
          remora.rpc.response.messages=3 remora.rpc.response.bytes=301 rpc.response.status_code=OK"]
    );
}

/// What is an error, and whose.
#[test]
fn statuses() {
    let of = |conversation: &Conversation, role| {
        let mut driver = Driver::new(&*HTTP2, false);
        driver.play(conversation);
        driver.end(End::Orderly);
        let description = describe(&driver.told[0], role);
        let find = |key| {
            let found = description.attributes.iter().find(|(name, _)| *name == key);
            found.map_or(String::new(), |(_, value)| match value {
                crate::protocol::Value::Text(text) => text.to_string(),
                _ => String::new(),
            })
        };
        (find("rpc.response.status_code"), find("error.type"), description.error.map(String::from))
    };
    let words = |status: &str, error: &str, message: Option<&str>| {
        (status.to_owned(), error.to_owned(), message.map(str::to_owned))
    };
    assert_eq!(of(&unary(5), Role::Client), words("NOT_FOUND", "NOT_FOUND", Some("no luck")));
    assert_eq!(of(&unary(5), Role::Server), words("NOT_FOUND", "", None));
    assert_eq!(of(&unary(13), Role::Server), words("INTERNAL", "INTERNAL", Some("no luck")));
    let request = || Conversation::new().client([preface(), call(1, "/s/M")].concat()).server(settings());
    // Trailers only.
    let only =
        request().server(headers(1, true, &["#8", "content-type: application/grpc", "grpc-status: 12"]));
    assert_eq!(of(&only, Role::Server), words("UNIMPLEMENTED", "UNIMPLEMENTED", Some("")));
    // A proxy's answer.
    let proxy = request().server(headers(1, true, &[":status: 503", "content-type: text/html"]));
    assert_eq!(of(&proxy, Role::Client), words("UNAVAILABLE", "UNAVAILABLE", Some("")));
    // No status at all.
    let none = request().server([called(1), headers(1, true, &["x: y"])].concat());
    assert_eq!(of(&none, Role::Client), words("UNKNOWN", "UNKNOWN", Some("")));
    // Given up.
    let cancelled = request().client(frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
    let sentence = Some("the client reset the stream: CANCEL");
    assert_eq!(of(&cancelled, Role::Client), words("CANCELLED", "CANCELLED", sentence));
    assert_eq!(of(&cancelled, Role::Server), words("CANCELLED", "", None));
    let head =
        headers(1, true, &["#3", "#6", ":path: /s/M", "content-type: application/grpc", "grpc-timeout: 1m"]);
    let late = Conversation::new().client([preface(), head].concat()).server(settings()).client(frame(
        RST_STREAM,
        0,
        1,
        &8_u32.to_be_bytes(),
    ));
    assert_eq!(of(&late, Role::Client), words("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", sentence));
    // Broken.
    let broken = Some("the connection ended before a response");
    assert_eq!(of(&request(), Role::Client), words("", "connection_closed", broken));
}

/// A call that lasts is told every minute, and once more as a whole.
#[test]
fn parts() {
    let mut driver = Driver::new(&*HTTP2, false);
    driver.play(&Conversation::new().client([preface(), call(1, "/s/Watch")].concat()).server(called(1)));
    for _ in 0..2 {
        driver.pass(PART / 2 + 1_000_000_000);
        driver.chunk(Stream::ToClient, &data(1, false, message(b"news")), 0);
        driver.pass(PART / 2);
    }
    driver.chunk(Stream::ToClient, &trailers(1, 0), 0);
    let times: Vec<_> = driver.told.iter().map(|told| (told.start.time, told.end)).collect();
    assert_eq!(times.len(), 3);
    assert_eq!((times[1].0, times[2].0), (times[0].1, times[0].0));
    assert!(times[2].1 >= times[1].1);
    let part = |i: usize| describe(&driver.told[i], Role::Server);
    assert_eq!((part(0).instruments.len(), part(2).instruments.len(), part(0).error), (0, 2, None));
    let line = |i: usize| short(&line(&driver.told[i], Role::Client));
    let so_far = |n: u32| {
        format!(
            "s/Watch rpc.method=s/Watch remora.rpc.request.messages=0 remora.rpc.request.bytes=0 \
             remora.rpc.response.messages={n} remora.rpc.response.bytes={}",
            4 * n
        )
    };
    assert_eq!(line(0), so_far(1) + " remora.stream.part=1");
    assert_eq!(line(1), so_far(2) + " remora.stream.part=2");
    assert_eq!(line(2), so_far(2) + " remora.stream.part=3 rpc.response.status_code=OK");
}

/// The agent comes when everything that is said twice was said: the call is known by its form, not its name.
#[test]
fn late() {
    let request = |id| {
        [headers(id, false, &["#3", "#6", "#63", "#62", "#64", "#65"]), data(id, true, message(b"apple"))]
            .concat()
    };
    let response = |id| {
        [
            headers(id, false, &["#8", "#62"]),
            data(id, false, message(b"ok")),
            headers(id, true, &["#63", "#64"]),
        ]
        .concat()
    };
    let conversation =
        Conversation::new().client(request(7)).server(response(7)).client(request(9)).server(
            [headers(9, false, &["#8", "content-type: application/json"]), data(9, true, "{}")].concat(),
        );
    let played = Driver::whole(&*HTTP2, &conversation, true);
    assert_eq!(
        shorts(&played.told),
        [
            "grpc remora.rpc.request.messages=1 remora.rpc.request.bytes=5 remora.rpc.response.messages=1 \
             remora.rpc.response.bytes=2 remora.http.unknown_fields=7",
            "POST http.response.status_code=200 http.request.body.size=10 http.response.body.size=2 \
             remora.http.unknown_fields=4",
        ]
    );
}
