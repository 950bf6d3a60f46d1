//! Where messages begin and end, with all bytes there.

use super::support::*;
use crate::protocol::{End, Interest, Losses, Stream};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// One request after the other on one connection.
#[test]
fn keep_alive() {
    let mut c = Connection::new();
    c.client(get("/a")).server(OK).client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /a 200 2 @1-2-2", "GET /b 200 2 @3-4-4"]);
    assert_eq!(c.losses(), Losses::default());
    c.end(End::Orderly);
    assert_eq!(c.take(), [""; 0]);
}

/// 10,000 requests in flight, in one run and in pieces.
#[test]
fn ten_thousand_in_flight() {
    for step in [usize::MAX, 1000] {
        let mut c = Connection::new();
        let requests: String = (0..10_000).map(|i| get(&format!("/{i}"))).collect();
        let responses: String = (0..10_000)
            .map(|i| format!("HTTP/1.1 200 OK\r\nContent-Length: {i}\r\n\r\n{}", "x".repeat(i)))
            .collect();
        for piece in requests.as_bytes().chunks(step) {
            c.client(piece);
        }
        assert!(matches!(c.parser.interest(), Interest::Frames { .. }));
        for piece in responses.as_bytes().chunks(step) {
            c.server(piece);
        }
        assert_eq!(c.told.len(), 10_000);
        for (i, exchange) in c.told.iter().enumerate() {
            let seen = Seen::new(exchange);
            assert_eq!((seen.path, seen.response_body), (format!("/{i}"), Some(i as i64)));
        }
        assert_eq!(c.losses(), Losses::default());
    }
}

/// More requests than the limit: the first ones are paired, the rest counted, and after a silence all is
/// well.
#[test]
fn in_flight_limit() {
    let settings = super::super::Settings { max_in_flight: 3, ..Default::default() };
    let mut c = Connection::with(settings, false);
    let five: String = (0..5).map(|i| get(&format!("/{i}"))).collect();
    c.client(five).server(OK.repeat(5));
    assert_eq!(c.take(), ["GET /0 200 2 @1-2-2", "GET /1 200 2 @1-2-2", "GET /2 200 2 @1-2-2"]);
    assert_eq!(
        c.losses(),
        Losses { over_limit: 2, unpaired_responses: 1, unparsed_bytes: 42, ..Losses::default() }
    );
    c.client(get("/x")).server(OK);
    assert_eq!(c.take(), ["GET /x - ? @3---3 ResponseLost"]);
    c.losses();
    c.time += 5000;
    c.client(get("/y")).server(OK);
    assert_eq!(c.take(), ["GET /y 200 2 @5005-5006-5006"]);
    assert_eq!(c.losses(), Losses::default());
}

/// Chunked bodies with extensions, upper-case sizes, empty and full trailers, both ways.
#[test]
fn chunked() {
    let mut c = Connection::new();
    c.client("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=\"a;b\"\r\nhello\r\n");
    c.client("A \r\n0123456789\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n");
    c.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3\r\nabc\r\n")
        .server("0\r\n")
        .server("\r\n");
    c.client(get("/b")).server(OK);
    let seen = Seen::new(&c.told[0]);
    assert_eq!((seen.request_body, seen.response_body), (Some(15), Some(3)));
    assert_eq!(c.take(), ["POST /a 200 3 @1-3-5", "GET /b 200 2 @6-7-7"]);
    assert_eq!(c.losses(), Losses::default());
}

/// Transfer-Encoding wins over Content-Length; identical lengths are one; an unknown coding lasts until the
/// close.
#[test]
fn which_framing() {
    let mut c = Connection::new();
    c.client("POST /a HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    c.server(
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    );
    c.client("POST /b HTTP/1.1\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi");
    c.server("HTTP/1.1 200 OK\r\nContent-Length:2\r\ncontent-length: 2\r\n\r\nhi");
    c.client(get("/c")).server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhihi");
    c.stream_end(Stream::ToClient);
    assert_eq!(c.take(), ["POST /a 200 1 @1-2-2", "POST /b 200 2 @3-4-4", "GET /c 200 4 @5-6-6"]);
    assert_eq!(c.losses(), Losses::default());
}

/// Conflicting lengths: the response is told, its end is where the next request begins.
#[test]
fn conflicting_lengths() {
    let mut c = Connection::new();
    c.client(get("/a"))
        .server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi")
        .server("!");
    c.client("POST /b HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: x\r\n\r\nyy").server(OK);
    c.client(get("/c")).server(OK);
    assert_eq!(c.take(), ["GET /a 200 ? @1-2-3", "POST /b 200 2 @4-5-5", "GET /c 200 2 @6-7-7"]);
    assert_eq!(c.losses(), Losses { resynchronised: 2, ..Losses::default() });
}

/// HEAD, 204 and 304 have no body, whatever their fields say.
#[test]
fn no_body() {
    let mut c = Connection::new();
    c.client("HEAD /a HTTP/1.1\r\n\r\n").server("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    c.client(get("/b")).server("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n");
    c.client(get("/c")).server("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
    c.client(get("/d")).server(OK);
    assert_eq!(
        c.take(),
        ["HEAD /a 200 ? @1-2-2", "GET /b 204 ? @3-4-4", "GET /c 304 ? @5-6-6", "GET /d 200 2 @7-8-8"]
    );
    assert_eq!(c.losses(), Losses::default());
}

/// Interim responses are not the response, and the first byte is the final one's.
#[test]
fn interim() {
    let mut c = Connection::new();
    c.client("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    c.server("HTTP/1.1 100 Continue\r\n\r\n").client("body").server(OK);
    c.client(get("/b"))
        .server("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 P\r\n\r\n")
        .server(OK);
    assert_eq!(c.take(), ["PUT /a 200 2 @1-4-4", "GET /b 200 2 @5-7-7"]);
    assert_eq!(c.losses(), Losses::default());
}

/// A client that got a final status instead of `100 Continue` may go on without the body, or send it.
#[test]
fn body_left_out() {
    for body in [false, true] {
        let mut c = Connection::new();
        c.client("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 400\r\n\r\n");
        c.server("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
        c.client(["", &"b".repeat(400)][usize::from(body)].to_owned() + &get("/b")).server(OK);
        assert_eq!(c.take(), ["PUT /a 401 0 @1-2-2", "GET /b 200 2 @3-4-4"]);
        assert_eq!(c.losses(), Losses::default());
    }
}

/// A response may come before its request's body is over; the rest of the body is still skipped.
#[test]
fn early_response() {
    let mut c = Connection::new();
    c.client(format!("POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n{}", "x".repeat(40)));
    c.server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    c.client("GET / HTTP/1.1\r\n\r\n".to_owned() + &"x".repeat(42) + &get("/b")).server(OK);
    assert_eq!(c.take(), ["POST /a 413 0 @1-2-2", "GET /b 200 2 @3-4-4"]);
    assert_eq!(c.losses(), Losses::default());
}

/// A server that answers before the head is complete (408, 431) answers that request.
#[test]
fn answer_to_half_a_head() {
    let mut c = Connection::new();
    c.client("GET /slow HTTP/1.1\r\nHost: h\r\nX-")
        .server("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n");
    c.end(End::Orderly);
    assert_eq!(c.take(), ["GET /slow 408 0 @1-2-2"]);
    assert_eq!(c.losses(), Losses::default());
}

/// HTTP/1.0 and any response without a length last until the server closes; the duration ends with the last
/// byte.
#[test]
fn until_close() {
    let mut c = Connection::new();
    c.client("GET /a HTTP/1.0\r\n\r\n").server("HTTP/1.0 200 OK\r\n\r\nab").server("c");
    assert_eq!(c.take(), [""; 0]);
    c.stream_end(Stream::ToClient);
    assert_eq!(c.take(), ["GET /a 200 3 @1-2-3"]);
    c.end(End::Orderly);
    assert_eq!(c.take(), [""; 0]);

    let mut c = Connection::new();
    c.client(get("/a")).server("HTTP/1.1 200 OK\r\n\r\n").server("x").end(End::Orderly);
    assert_eq!(c.take(), ["GET /a 200 1 @1-2-3"]);
}

/// Empty lines before messages, lone line feeds, folded lines, odd spaces.
#[test]
fn tolerance() {
    let mut c = Connection::new();
    c.client("\r\n\nGET /a HTTP/1.1\nHost : h\nX:\n folded\nContent-Length:\r\n 2\n\nhi\r\n");
    c.server("\r\nHTTP/1.1 200\nContent-Length:\n\t2\n\nhi\r\n");
    c.client("\r\nGET  /b c  HTTP/1.1 \r\n\r\n").server(OK);
    let seen = Seen::new(&c.told[0]);
    assert_eq!(seen.request_body, Some(2));
    assert_eq!(c.take(), ["GET /a 200 2 @1-2-2", "GET /b c 200 2 @3-4-4"]);
    assert_eq!(c.losses(), Losses::default());
}

/// 101 ends the exchange and HTTP/1 with its head, named by the token of the response, or else of the
/// request.
#[test]
fn upgrades() {
    for (request, response, interest) in [
        ("websocket", "Upgrade: websocket\r\n", (Interest::Upgraded, "websocket")),
        ("WebSocket", "", (Interest::Upgraded, "websocket")),
        ("h2c, websocket", "Upgrade: h2c\r\n", (Interest::Upgraded, "h2c")),
        ("TLS/1.0", "Upgrade: TLS/1.0\r\n", (Interest::Nothing, "")),
    ] {
        let mut c = Connection::new();
        c.client(format!("GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: {request}\r\n\r\n"));
        c.server(format!("HTTP/1.1 101 Switching Protocols\r\n{response}\r\n\x01\x05hello"));
        // HTTP/2 answers the request itself.
        assert_eq!(c.take().len(), usize::from(interest.1 != "h2c"));
        assert_eq!(c.parser.interest(), interest.0);
        let upgrade = c.parser.take_upgrade();
        assert_eq!((&*upgrade.token, upgrade.request.is_some()), (interest.1, !interest.1.is_empty()));
        let [None, Some(rest)] = upgrade.rest else { panic!("not what follows the response") };
        assert_eq!((rest.position, rest.length, &*rest.bytes), (rest.position, 7, &b"\x01\x05hello"[..]));
        c.client("\x01\x05hello").server(OK).end(End::Broken(104));
        assert_eq!(c.take(), [""; 0]);
        assert_eq!(c.losses(), Losses::default());
    }
    // A server that does not want to.
    let mut c = Connection::new();
    c.client("GET /a HTTP/1.1\r\nUpgrade: h2c\r\n\r\n").server(OK).client(get("/b")).server(OK);
    assert_eq!(c.take().len(), 2);
    assert!(matches!(c.parser.interest(), Interest::Heads { .. }));
}

/// A tunnel begins behind the head of a 2xx to CONNECT; other answers are answers.
#[test]
fn connect() {
    let mut c = Connection::new();
    c.client("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")
        .server("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno");
    c.client("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")
        .server("HTTP/1.1 200 Established\r\nContent-Length: 9\r\n\r\n");
    c.client("\x16\x03\x01").server("\x16\x03\x03");
    assert_eq!(c.take(), ["CONNECT  407 2 @1-2-2", "CONNECT  200 ? @3-4-4"]);
    assert_eq!(c.parser.interest(), Interest::Nothing);
    assert_eq!(c.losses(), Losses::default());
}

/// The duration ends with the response's last byte, however slowly that comes.
#[test]
fn slow_body() {
    let mut c = Connection::new();
    c.client(get("/a")).server("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    for _ in 0..3 {
        c.time += 5000;
        assert!(!c.parser.waiting());
        c.tick(c.time).server("x");
    }
    assert_eq!(c.take(), ["GET /a 200 3 @1-2-15005"]);
}

/// A head of more than 64 KiB is told as far as it was read, and the place is found again.
#[test]
fn long_head() {
    let mut c = Connection::new();
    let head = format!("GET /a HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n", "c".repeat(70_000));
    for piece in head.as_bytes().chunks(1500) {
        c.client(piece);
    }
    c.server("HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n").client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /a 431 0 @1-48-48", "GET /b 200 2 @49-50-50"]);
    assert_eq!(c.losses(), Losses { over_limit: 1, resynchronised: 1, ..Losses::default() });

    let mut c = Connection::new();
    c.client(get("/a")).server(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "c".repeat(70_000)));
    c.client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /a 200 ? @1-2-2", "GET /b 200 2 @3-4-4"]);
    assert_eq!(c.losses(), Losses { over_limit: 1, resynchronised: 1, ..Losses::default() });
}

/// What is asked for: large bodies are left alone but for their last byte, heads get all there is at first.
#[test]
fn interest() {
    let mut c = Connection::new();
    let heads = |budget, server, client| Interest::Heads { budget, quiet_until: [server, client] };
    assert_eq!(c.parser.interest(), heads(16384, 0, 0));
    let head = "POST /a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n";
    c.client(head);
    assert_eq!(c.parser.interest(), heads(16384, head.len() as u64 + 999_999, 0));
    c.hole(Stream::ToServer, 990_000);
    assert_eq!(c.parser.interest(), heads(16384, 0, 0));
    c.hole(Stream::ToServer, 10_000);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n";
    c.server(head);
    assert_eq!(c.parser.interest(), heads(16384, 0, head.len() as u64 + 0x10_0000));
    c.hole(Stream::ToClient, 0x10_0000).server("\r\n0\r\n\r\n");
    assert_eq!(c.take(), ["POST /a 200 1048576 @1-4-6"]);
    assert_eq!(c.budget(), Some(16384));
    c.client(format!("GET /b HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(900)));
    assert_eq!(c.budget(), Some(16384));
    assert_eq!(c.losses(), Losses::default());
}

/// Slow streams of small chunks are watched byte by byte, fast ones are not.
#[test]
fn streaming_interest() {
    let mut c = Connection::new();
    c.client(get("/events")).server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(c.budget().is_some());
    for _ in 0..20 {
        c.time += 300;
        c.server("5\r\nevent\r\n");
    }
    assert_eq!(c.parser.interest(), Interest::Frames { quiet_until: [0, 0] });
    c.server("0\r\n\r\n");
    assert_eq!(c.take(), ["GET /events 200 100 @1-2-6023"]);
    assert!(c.budget().is_some());
}

/// A pipelining client gets `Frames`; after 64 requests without pipelining it gets `Heads` again.
#[test]
fn pipelining_interest() {
    let mut c = Connection::new();
    c.client(get("/a") + &get("/b"));
    assert!(matches!(c.parser.interest(), Interest::Frames { .. }));
    c.server(OK.repeat(2));
    for _ in 0..63 {
        c.client(get("/c")).server(OK);
        assert!(matches!(c.parser.interest(), Interest::Frames { .. }));
    }
    c.client(get("/c")).server(OK);
    assert!(matches!(c.parser.interest(), Interest::Heads { .. }));
    assert_eq!(c.take().len(), 66);
    assert_eq!(c.losses(), Losses::default());
}
