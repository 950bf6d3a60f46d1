//! What is told when bytes are missing.

use super::support::*;
use crate::protocol::{End, Interest, Losses, Stream};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A body of known length needs none of its bytes.
#[test]
fn body_not_captured() {
    let mut c = Connection::new();
    let post = "POST /a HTTP/1.1\r\nContent-Length: 5000\r\n\r\n".to_owned() + &"x".repeat(5000);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n".to_owned() + &"x".repeat(70_000);
    c.run(Stream::ToServer, post.as_bytes(), 100);
    c.run(Stream::ToClient, &answer.as_bytes()[..60_000], 1000)
        .hole(Stream::ToClient, answer.len() as u64 - 60_000);
    c.client(get("/b")).server(OK);
    assert_eq!(c.take(), ["POST /a 200 70000 @1-2-3", "GET /b 200 2 @4-5-5"]);
    assert_eq!(c.losses(), Losses::default());
}

/// The data of a chunked body need not be captured either, only its framing.
#[test]
fn chunk_data_not_captured() {
    let mut c = Connection::new();
    c.client(get("/a"))
        .server(CHUNKED.to_owned() + "1000\r\n")
        .hole(Stream::ToClient, 0x1000)
        .server("\r\n0\r\n\r\n");
    assert_eq!(c.take(), ["GET /a 200 4096 @1-2-4"]);
    assert_eq!(c.losses(), Losses::default());
}

/// A chunked response whose framing was not captured ends with its last byte before the next request, before
/// a silence, or before the end.
#[test]
fn chunked_without_end() {
    let begin = || {
        let mut c = Connection::new();
        c.client(get("/a")).server(CHUNKED.to_owned() + "5\r\nhel").hole(Stream::ToClient, 1000);
        c.hole(Stream::ToClient, 500);
        assert_eq!(c.take(), [""; 0]);
        assert!(c.parser.waiting());
        c
    };
    let told = ["GET /a 200 ? @1-2-4"];
    let mut c = begin();
    c.client(get("/b"));
    assert_eq!(c.take(), told);
    assert!(!c.parser.waiting());
    c.server(OK);
    assert_eq!(c.take(), ["GET /b 200 2 @5-6-6"]);
    assert_eq!(c.losses(), Losses::default());

    let mut c = begin();
    c.tick(1003);
    assert_eq!(c.take(), [""; 0]);
    c.tick(1004);
    assert_eq!(c.take(), told);
    assert!(!c.parser.waiting());
    c.client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /b 200 2 @5-6-6"]);

    for end in [End::Orderly, End::Broken(104), End::ProcessGone, End::Forgotten] {
        let mut c = begin();
        c.end(end);
        let expected = match end {
            End::Orderly => told[0].to_owned(),
            End::Broken(_) => "GET /a 200 ? @1-2-5 ConnectionClosed(104)".to_owned(),
            End::ProcessGone => "GET /a 200 ? @1-2-5 ProcessGone".to_owned(),
            End::Forgotten => "GET /a 200 ? @1-2-5 Unfinished".to_owned(),
        };
        assert_eq!(c.take(), [expected]);
    }
    let mut c = begin();
    c.stream_end(Stream::ToClient);
    assert_eq!(c.take(), told);
}

/// A connection whose messages have shown that they need little.
fn settled() -> Connection {
    let mut c = Connection::new();
    for _ in 0..256 {
        c.client(get("/")).server(OK);
    }
    assert_eq!((c.take().len(), c.budget()), (256, Some(1024)));
    c
}

/// A chunked body that the budget cut off raises the budget at once, to fall later to what bodies need; a body that is
/// larger than what can be had leaves no trace then.
#[test]
fn chunked_budget() {
    for (length, budget) in [(400, 1024), (1000, 2048), (6000, 8192), (12_000, 16_384), (20_000, 1024)] {
        let mut c = settled();
        let whole = CHUNKED.to_owned() + &"1\r\nx\r\n".repeat(length / 6) + "0\r\n\r\n";
        c.client(get("/a")).run(Stream::ToClient, whole.as_bytes(), whole.len().min(100));
        c.client(get("/b"));
        assert_eq!(c.take().len(), 1);
        assert_eq!(c.budget(), Some(16_384), "{length}");
        c.server(OK);
        for _ in 0..127 {
            c.client(get("/")).server(OK);
        }
        assert_eq!(c.budget(), Some(budget), "{length}");
    }
}

/// A head that was cut still gives what was seen of it, and asks for more next time.
#[test]
fn heads_cut() {
    let mut c = settled();
    c.run(Stream::ToServer, b"GET /path?q=1 HTTP/1.1\r\nHost: h\r\nCookie: long\r\n\r\n", 45);
    assert_eq!(c.budget(), Some(2048));
    c.run(Stream::ToClient, b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nX: yyyyyy\r\n\r\nhi", 40);
    assert_eq!(c.budget(), Some(4096));

    let mut c = Connection::new();
    let request = "GET /path?q=1 HTTP/1.1\r\nHost: h\r\nCookie: long\r\n\r\n";
    c.run(Stream::ToServer, request.as_bytes(), 45);
    let response =
        format!("HTTP/1.1 503 Busy\r\nServer: x\r\nContent-Length: 2\r\nX: {}\r\n\r\nhi", "y".repeat(99));
    c.run(Stream::ToClient, response.as_bytes(), 80);
    c.client(get("/b")).server(OK);
    let told = describe(&c.told[0], crate::protocol::Role::Server);
    assert_eq!(text(&told, "server.address").as_deref(), Some("h"));
    assert_eq!(c.take(), ["GET /path 503 ? @1-2-2", "GET /b 200 2 @3-4-4"]);
    assert_eq!(c.losses(), Losses::default());

    // Cut in the target: the path is not whole, and the route does not pretend that it is.
    for (captured, path, name) in [
        (15, "/api/users/", "GET /api/users/*"),
        (18, "/api/users/123", "GET /api/users/*"),
        (24, "/api/users/1234567", "GET /api/users/{id}"),
        (26, "/api/users/1234567", "GET /api/users/{id}"),
        (6, "/a", "GET /*"),
    ] {
        let mut c = Connection::new();
        c.run(Stream::ToServer, b"GET /api/users/1234567?a=b HTTP/1.1\r\n\r\n", captured).server(OK);
        let told = describe(&c.told[0], crate::protocol::Role::Server);
        assert_eq!((text(&told, "url.path").as_deref(), told.name.as_str()), (Some(path), name));
        assert_eq!(c.losses(), Losses::default());
    }
}

/// A response whose head was not captured is that of the only request that waits.
#[test]
fn response_head_lost() {
    let mut c = Connection::new();
    c.client(get("/a")).hole(Stream::ToClient, 500).hole(Stream::ToClient, 10).client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /a - ? @1-2-3 ResponseLost", "GET /b 200 2 @4-5-5"]);
    assert_eq!(c.losses(), Losses { unpaired_requests: 1, resynchronised: 1, ..Losses::default() });
    // By silence.
    c.client(get("/c")).hole(Stream::ToClient, 500).tick(2000);
    assert_eq!(c.take(), ["GET /c - ? @6-7-7 ResponseLost"]);
    // A response that begins in the same run is not that request's: there may have been another.
    c.client(get("/d")).hole(Stream::ToClient, 500).server(OK);
    assert_eq!(c.take(), ["GET /d - ? @8-9-9 ResponseLost"]);
    c.client(get("/e")).server(OK);
    assert_eq!(c.take(), ["GET /e 200 2 @11-12-12"]);
    assert_eq!(
        c.losses(),
        Losses {
            unpaired_requests: 2,
            unpaired_responses: 1,
            resynchronised: 2,
            unparsed_bytes: 40,
            ..Losses::default()
        }
    );
}

/// With several requests waiting nothing is certain after a lost response, not even after the client's next
/// run; a silence makes it so.
#[test]
fn pipelined_response_lost() {
    let mut c = Connection::new();
    c.client(get("/a") + &get("/b") + &get("/c")).server(OK).hole(Stream::ToClient, 20);
    assert_eq!(
        c.take(),
        ["GET /a 200 2 @1-2-2", "GET /b - ? @1---3 ResponseLost", "GET /c - ? @1---3 ResponseLost"]
    );
    c.server(OK).client(get("/d")).server(OK).client(get("/e"));
    assert_eq!(c.take(), ["GET /d - ? @5---5 ResponseLost", "GET /e - ? @7---7 ResponseLost"]);
    assert_eq!(
        c.losses(),
        Losses {
            unpaired_requests: 4,
            unpaired_responses: 2,
            resynchronised: 1,
            unparsed_bytes: 100,
            ..Losses::default()
        }
    );
    c.time += 4999;
    c.client(get("/f")).server(OK);
    assert_eq!(c.take(), ["GET /f 200 2 @5007-5008-5008"]);
}

/// A client that keeps two requests in flight, in separate pieces: the loss of a response shifts nothing.
#[test]
fn window_response_lost() {
    let mut c = Connection::new();
    c.client(get("/1")).client(get("/2"));
    assert!(matches!(c.parser.interest(), Interest::Frames { .. }));
    c.hole(Stream::ToClient, 40)
        .client(get("/3"))
        .server(OK)
        .client(get("/4"))
        .server(OK)
        .client(get("/5"))
        .server(OK);
    assert_eq!(
        c.take(),
        [
            "GET /1 - ? @1---3 ResponseLost",
            "GET /2 - ? @2---3 ResponseLost",
            "GET /3 - ? @4---4 ResponseLost",
            "GET /4 - ? @6---6 ResponseLost",
            "GET /5 - ? @8---8 ResponseLost",
        ]
    );
}

/// Bytes lost between requests may be requests: those before are paired, those behind not.
#[test]
fn pipelined_request_lost() {
    let mut c = Connection::new();
    c.client(get("/a")).hole(Stream::ToServer, 60).client(get("/c")).server(OK.repeat(3));
    assert_eq!(c.take(), ["GET /c - ? @3---3 ResponseLost", "GET /a 200 2 @1-4-4"]);
    c.client(get("/d")).server(OK);
    assert_eq!(c.take(), ["GET /d - ? @5---5 ResponseLost"]);
    c.time += 5000;
    c.client(get("/e")).server(OK);
    assert_eq!(c.take(), ["GET /e 200 2 @5007-5008-5008"]);
}

/// A lost request of a client that does not pipeline costs that exchange only, whether the hole is told in
/// its place or only before the next request.
#[test]
fn request_lost() {
    let mut c = Connection::new();
    c.client(get("/a")).server(OK).hole(Stream::ToServer, 60).server(OK).client(get("/c")).server(OK);
    assert_eq!(c.take(), ["GET /a 200 2 @1-2-2", "GET /c 200 2 @5-6-6"]);
    assert_eq!(
        c.losses(),
        Losses { unpaired_responses: 1, resynchronised: 1, unparsed_bytes: 62, ..Losses::default() }
    );
    let mut c = Connection::new();
    c.client(get("/a")).server(OK).chunk(Stream::ToClient, OK.as_bytes(), 40, Some(true));
    let c = c.hole(Stream::ToServer, 60).chunk(
        Stream::ToServer,
        get("/c").as_bytes(),
        get("/c").len() as u64,
        Some(true),
    );
    c.server(OK);
    assert_eq!(c.take(), ["GET /a 200 2 @1-2-2", "GET /c 200 2 @3-4-4"]);
}

/// The kernel says that a run begins, and the one before it was not seen: the response was lost, and the
/// client does not pipeline. The next response comes behind a hole that may hide more than one, so it is not
/// paired either.
#[test]
fn response_run_lost() {
    let mut c = Connection::new();
    let b = get("/b");
    c.client(get("/a"));
    c.time += 1;
    c.chunk(Stream::ToServer, b.as_bytes(), b.len() as u64, Some(true));
    assert_eq!(c.take(), ["GET /a - ? @1---2 ResponseLost"]);
    c.hole(Stream::ToClient, 40).chunk(Stream::ToClient, OK.as_bytes(), 40, Some(true));
    c.client(get("/c")).server(OK);
    assert_eq!(c.take(), ["GET /b - ? @2-3-3 ResponseLost", "GET /c 200 2 @4-5-5"]);
    assert_eq!(
        c.losses(),
        Losses {
            unpaired_requests: 2,
            unpaired_responses: 1,
            resynchronised: 1,
            unparsed_bytes: 40,
            ..Losses::default()
        }
    );
}

/// Without that, the two look like pipelining, and both are given up.
#[test]
fn response_run_lost_unseen() {
    let mut c = Connection::new();
    c.client(get("/a")).client(get("/b")).hole(Stream::ToClient, 40).server(OK);
    assert_eq!(c.take(), ["GET /a - ? @1---3 ResponseLost", "GET /b - ? @2---3 ResponseLost"]);
}

/// First seen in the middle of a body, of a head, between messages; responses whose requests were not seen
/// are counted.
#[test]
fn midstream() {
    let mut c = Connection::midstream();
    c.client("rest of a body").client(get("/mid")).server(OK).client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /mid - ? @2---2 ResponseLost", "GET /b 200 2 @4-5-5"]);
    assert_eq!(
        c.losses(),
        Losses { unpaired_requests: 1, unpaired_responses: 1, unparsed_bytes: 14 + 40, ..Losses::default() }
    );

    let mut c = Connection::midstream();
    c.server("ontent-Length: 3\r\n\r\nabc").client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /b 200 2 @2-3-3"]);
    assert_eq!(c.losses(), Losses { unparsed_bytes: 23, ..Losses::default() });

    let mut c = Connection::midstream();
    c.server(OK).client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /b 200 2 @2-3-3"]);
    assert_eq!(c.losses(), Losses { unpaired_responses: 1, unparsed_bytes: 40, ..Losses::default() });

    let mut c = Connection::midstream();
    c.server("x").client("G").client("ET /b HTTP/1.1\r\n\r\n").server("HTT").server(&OK[3..]);
    assert_eq!(c.take(), ["GET /b 200 2 @2-4-5"]);
    assert_eq!(c.losses(), Losses { unparsed_bytes: 1, ..Losses::default() });

    // The rest of a method is not taken for one.
    let mut c = Connection::midstream();
    c.client("ROPFIND /a HTTP/1.1\r\n\r\n").server(OK).client("PROPFIND /b HTTP/1.1\r\n\r\n").server(OK);
    assert_eq!(c.take(), ["_OTHER /b 200 2 @3-4-4"]);

    let mut c = Connection::midstream();
    c.server("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(c.parser.interest(), Interest::Upgraded);
}

/// Requests that the end of their connection leaves without a response.
#[test]
fn connection_ends() {
    let mut c = Connection::new();
    c.client(get("/a") + &get("/b"))
        .server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        .end(End::Broken(104));
    assert_eq!(
        c.take(),
        ["GET /a 200 4 @1-2-3 ConnectionClosed(104)", "GET /b - ? @1---3 ConnectionClosed(104)"]
    );
    let mut c = Connection::new();
    c.client(get("/a")).stream_end(Stream::ToServer).stream_end(Stream::ToClient).end(End::Orderly);
    assert_eq!(c.take(), ["GET /a - ? @1---3 ConnectionClosed(0)"]);
    // The client says that it has no more to ask; the response still comes.
    let mut c = Connection::new();
    c.client(get("/a")).stream_end(Stream::ToServer).server(OK).end(End::Orderly);
    assert_eq!(c.take(), ["GET /a 200 2 @1-3-3"]);
    // In the middle of heads.
    let mut c = Connection::new();
    c.client("POST /a HT").end(End::ProcessGone);
    assert_eq!(c.take(), ["POST /a - ? @1---2 ProcessGone"]);
    let mut c = Connection::new();
    c.client("POS").end(End::Orderly);
    assert_eq!(c.take(), [""; 0]);
    assert_eq!(c.losses(), Losses { unparsed_bytes: 3, ..Losses::default() });
    let mut c = Connection::new();
    c.client(get("/a")).server("HTTP/1.1 200 OK\r\nCont").end(End::Broken(32));
    assert_eq!(c.take(), ["GET /a 200 ? @1-2-3 ConnectionClosed(32)"]);
    let mut c = Connection::new();
    c.client(get("/a")).server("HTTP/1.1 200 OK\r\n\r\nabc").end(End::Broken(104));
    assert_eq!(c.take(), ["GET /a 200 3 @1-2-3 ConnectionClosed(104)"]);
    let mut c = Connection::new();
    c.client(get("/a")).server(CHUNKED.to_owned() + "5\r\nhel").stream_end(Stream::ToClient);
    assert_eq!(c.take(), ["GET /a 200 ? @1-2-3 ConnectionClosed(0)"]);
    assert_eq!(c.losses(), Losses::default());
    // What is over is over.
    c.client(get("/b")).server(OK).end(End::Orderly).client(get("/c"));
    assert_eq!(c.take(), ["GET /b - ? @4---6 ConnectionClosed(0)"]);
}

/// Garbage where a message should be loses the place, and the next message is found.
#[test]
fn garbage() {
    let mut c = Connection::new();
    c.client(get("/a")).server("not http at all").client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /a - ? @1-2-2 ResponseLost", "GET /b 200 2 @3-4-4"]);
    assert_eq!(c.losses(), Losses { unpaired_requests: 1, resynchronised: 1, ..Losses::default() });
    c.client("\x16\x03\x01 what").client(get("/c")).server(OK).client(get("/d")).server(OK);
    assert_eq!(c.take(), ["GET /c - ? @6---6 ResponseLost", "GET /d 200 2 @8-9-9"]);
    let mut c = Connection::new();
    c.client(get("/a")).server(CHUNKED.to_owned() + "xyz\r\n").client(get("/b")).server(OK);
    assert_eq!(c.take(), ["GET /a 200 ? @1-2-2", "GET /b 200 2 @3-4-4"]);
    assert_eq!(c.losses(), Losses { resynchronised: 1, ..Losses::default() });
}

/// A response that began before a request is not that request's, even if its head is cut off behind it.
#[test]
fn response_before_its_request() {
    for end in [false, true] {
        let mut c = Connection::new();
        c.hole(Stream::ToServer, 30).server("HTTP/1.1 200 OK\r\nCont").client(get("/b"));
        if end {
            c.end(End::Orderly);
            assert_eq!(c.take(), ["GET /b - ? @3---4 ConnectionClosed(0)"]);
        } else {
            c.hole(Stream::ToClient, 20).client(get("/c")).server(OK);
            assert_eq!(c.take(), ["GET /b - ? @3-4-4 ResponseLost", "GET /c 200 2 @5-6-6"]);
        }
    }
}

/// A request whose head was cut off and only afterwards told is not paired: its response may have passed.
#[test]
fn head_overtaken() {
    let mut c = Connection::new();
    c.client(get("/a") + "GET /b HTTP/1.1\r\nHo").server(OK).hole(Stream::ToServer, 10);
    c.chunk(Stream::ToServer, get("/c").as_bytes(), get("/c").len() as u64, Some(true)).server(OK);
    assert_eq!(c.take(), ["GET /a 200 2 @1-2-2", "GET /b - ? @1---3 ResponseLost", "GET /c 200 2 @3-4-4"]);
}
