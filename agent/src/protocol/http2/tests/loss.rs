//! Late attach, and bytes that were lost.

use super::super::frame::*;
use super::super::streams::DOUBT;
use super::support::*;
use crate::protocol::testing::{Conversation, Driver};
use crate::protocol::{Losses, Stream};

/// In the middle: responses without requests are counted, requests are told with what they say themselves.
#[test]
fn late() {
    let first = headers(5, true, &["#2", "#6", "+:path: /new", "#62", "#70"]);
    let conversation = Conversation::new()
        .server([data(1, true, "rest"), ok(3, "old")].concat())
        .client(first)
        .server(
            [frame(SETTINGS, ACK, 0, b""), headers(5, false, &["#8", "#62"]), data(5, true, "x")].concat(),
        )
        .client(headers(7, true, &["#2", "#6", "#62", "#63", "#71"]))
        .server([headers(7, true, &["#70"])].concat());
    let played = Driver::whole(&*HTTP2, &conversation, true);
    assert_eq!(
        shorts(&played.told),
        [
            "GET url.full=http://10.0.0.1:8080/new http.response.status_code=200 http.response.body.size=1 \
             remora.http.unknown_fields=2",
            "GET url.full=http://10.0.0.1:8080/new remora.http.unknown_fields=3 remora.outcome=response_lost",
        ]
    );
    assert_eq!(played.losses, Losses { unpaired_responses: 1, unpaired_requests: 1, ..Losses::default() });
}

/// A hole in a body is nothing. One in a head hides who was answered: they have some seconds to show that they go on.
#[test]
fn holes() {
    let mut driver = Driver::new(&*HTTP2, false);
    driver.play(&Conversation::new().client([preface(), get(1, "/a"), get(3, "/b"), get(5, "/c")].concat()));
    driver.chunk(Stream::ToClient, &settings(), 0);
    let body = [headers(1, false, &["#8"]), data(1, true, "x".repeat(1000))].concat();
    driver.chunk(Stream::ToClient, &body[..20], body.len() as u64 - 20);
    assert_eq!(
        shorts(&driver.take()),
        ["GET url.full=http://h:81/a http.response.status_code=200 http.response.body.size=1000"]
    );
    let lost = [ok(3, "gone"), headers(5, false, &["#8"])].concat();
    driver.chunk(Stream::ToClient, &lost[..4], lost.len() as u64 - 4);
    driver.chunk(Stream::ToServer, &get(7, "/d"), 0);
    driver.chunk(Stream::ToClient, &[data(5, true, "end"), ok(7, "")].concat(), 0);
    assert_eq!(
        shorts(&driver.take()),
        [
            "GET url.full=http://h:81/c remora.outcome=response_lost",
            "GET url.full=http://h:81/d http.response.status_code=200 http.response.body.size=0",
        ]
    );
    driver.pass(DOUBT + 1_000_000_000);
    assert_eq!(shorts(&driver.take()), ["GET url.full=http://h:81/b remora.outcome=response_lost"]);
    assert!(!driver.parser.waiting());
    assert_eq!((driver.losses.resynchronised, driver.losses.unpaired_requests), (1, 2));
}

/// The end of a response that is known is lost: it ended then. A call's status stood there, and is not known.
#[test]
fn lost_ends() {
    let mut driver = Driver::new(&*HTTP2, false);
    driver.play(
        &Conversation::new().client([preface(), get(1, "/a"), call(3, "/s/M")].concat()).server(settings()),
    );
    driver.chunk(
        Stream::ToClient,
        &[headers(1, false, &["#8"]), called(3), data(1, false, "begin")].concat(),
        0,
    );
    driver.chunk(Stream::ToClient, b"", 50_000);
    let lost_at = driver.time;
    driver.pass(DOUBT + 1_000_000_000);
    assert_eq!((driver.told.len(), driver.told[0].end), (2, lost_at));
    assert_eq!(
        shorts(&driver.take()),
        [
            "GET url.full=http://h:81/a http.response.status_code=200",
            "s/M rpc.method=s/M remora.rpc.request.messages=0 remora.rpc.request.bytes=0 remora.outcome=response_lost",
        ]
    );
}

/// Requests that were lost leave responses without any; those behind them are exact, but for what the table held.
#[test]
fn lost_requests() {
    let mut driver = Driver::new(&*HTTP2, false);
    let first = headers(1, true, &["#2", "#6", "+:path: /a", "+:authority: h"]);
    driver.play(
        &Conversation::new().client([preface(), first].concat()).server([settings(), ok(1, "")].concat()),
    );
    driver.chunk(Stream::ToServer, b"", get(3, "/lost").len() as u64);
    driver.chunk(Stream::ToClient, &ok(3, "whose?"), 0);
    driver.chunk(Stream::ToServer, &headers(5, true, &["#2", "#6", "#63", "#62"]), 0);
    driver.chunk(Stream::ToClient, &ok(5, ""), 0);
    let played = driver.finish();
    assert_eq!(
        shorts(&played.told)[1..],
        ["GET http.response.status_code=200 http.response.body.size=0 remora.http.unknown_fields=2"]
    );
    assert_eq!(played.losses.unpaired_responses, 1);
}

/// A block that is none, and one whose parts are not in a row.
#[test]
fn nonsense() {
    for wrong in [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20]),
        [frame(HEADERS, END_STREAM, 1, &[0x82]), get(3, "/b")].concat(),
        frame(HEADERS, END_HEADERS | PADDED, 1, &[0xff, 0x82, 0x84]),
        frame(SETTINGS, 0, 1, b""),
        frame(WINDOW_UPDATE, 0, 1, b"12345"),
        vec![0, 0, 1, DATA, 0, 0, 0, 0, 0, b'x'],
    ] {
        let conversation = Conversation::new()
            .client([preface(), wrong].concat())
            .server(settings())
            .client(get(5, "/c"))
            .server(ok(5, ""));
        let played = Driver::whole(&*HTTP2, &conversation, false);
        assert!(played.losses.resynchronised > 0, "{played:?}");
        assert_eq!(played.told.iter().filter(|told| told.contains("/c")).count(), 1, "{played:?}");
    }
}
