//! Conversations in any pieces, from anywhere, with anything missing.

use super::super::frame::*;
use super::support::*;
use crate::protocol::testing::{Conversation, checks};

fn whole() -> Conversation {
    let head = block(&["#2", "#6", "+:path: /parts", "+:authority: h", "user-agent: test"]);
    let many: Vec<u8> = (0..5).flat_map(|i| get(21 + 2 * i, &format!("/many/{i}"))).collect();
    let answers: Vec<u8> = (0..5).rev().flat_map(|i| ok(21 + 2 * i, &"y".repeat(i as usize))).collect();
    Conversation::new()
        .client([preface(), get(1, "/one")].concat())
        .server([settings(), frame(SETTINGS, ACK, 0, b"")].concat())
        .client(frame(SETTINGS, ACK, 0, b""))
        .server(ok(1, "hello"))
        .client([call(3, "/s.S/M"), data(3, true, message(b"request"))].concat())
        .server([called(3), data(3, false, message(b"response")), trailers(3, 0)].concat())
        .client(
            [frame(HEADERS, END_STREAM, 5, &head[..3]), frame(CONTINUATION, END_HEADERS, 5, &head[3..])]
                .concat(),
        )
        .server(
            [
                headers(5, false, &["#8", "+content-type: text/html"]),
                frame(DATA, PADDED | END_STREAM, 5, b"\x02abc\0\0"),
            ]
            .concat(),
        )
        .client([call(7, "/s.S/Stream"), data(7, false, message(b"1"))].concat())
        .client([data(7, false, message(b"2")), frame(PING, 0, 0, &[0; 8])].concat())
        .server(
            [
                called(7),
                frame(PING, ACK, 0, &[0; 8]),
                data(7, false, [message(b"1"), message(b"2")].concat()),
            ]
            .concat(),
        )
        .client(data(7, true, b""))
        .server(trailers(7, 3))
        .client(many)
        .server(answers)
}

/// A span of a late or lossy connection says nothing that the whole does not; it may say less. A host that was said before
/// we came is told by its address.
pub fn same(expected: &str, got: &str) -> bool {
    if expected == got {
        return true;
    }
    let path = |url: &str| url.split('/').skip(3).collect::<Vec<_>>().join("/");
    got.split(' ').enumerate().all(|(i, word)| {
        let is_less =
            (i == 0 && matches!(word, "grpc" | "HTTP")) || word.starts_with("remora.http.unknown_fields");
        is_less
            || expected
                .split(' ')
                .any(|known| known == word || (word.starts_with("url.full=") && path(word) == path(known)))
    })
}

#[test]
fn every_way() {
    let whole = whole();
    checks::every_split(&*HTTP2, &whole);
    checks::every_prefix(&*HTTP2, &whole);
    checks::every_late_start(&*HTTP2, &whole, same);
    checks::every_gap(&*HTTP2, &whole, same);
}

#[test]
fn garbage() {
    checks::garbage(&*HTTP2, &[whole()]);
}
