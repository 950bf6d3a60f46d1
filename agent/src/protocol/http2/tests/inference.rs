//! What is taken for HTTP/2, and what is not.

use super::super::frame::*;
use super::super::infer::infer;
use super::support::*;
use crate::protocol::Inference::{self, Likely, Maybe, No, Yes};
use crate::protocol::Run;
use crate::protocol::Stream::{ToClient, ToServer};

fn of(bytes: &[u8], opening: bool) -> Inference {
    let bytes = &bytes[..bytes.len().min(512)];
    infer(&Run { bytes, passed: bytes.len() as u64, opening, stream: None })
}

#[test]
fn openings() {
    for length in 1..=24 {
        assert_eq!(of(&PREFACE[..length], true), if length < 16 { Maybe } else { Yes(ToServer) });
    }
    assert_eq!(of(&preface(), true), Yes(ToServer));
    assert_eq!(of(b"PRI * HTTP/1.1\r\n\r\n", true), No);
    assert_eq!(of(&settings(), true), Likely(ToClient));
    assert_eq!(of(&settings()[..5], true), Maybe);
    assert_eq!(of(&settings(), false), Maybe);
}

/// In the middle: a header block tells which way it goes.
#[test]
fn middle() {
    assert_eq!(of(&get(7, "/"), false), Yes(ToServer));
    assert_eq!(of(&ok(7, "x"), false), Yes(ToClient));
    assert_eq!(of(&[data(5, true, "rest of it"), ok(7, "x")].concat(), false), Yes(ToClient));
    assert_eq!(
        of(&[frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]), call(9, "/s/M")].concat(), false),
        Yes(ToServer)
    );
    assert_eq!(of(&headers(7, true, &["grpc-status: 0"]), false), Yes(ToClient));
    // All fields hidden.
    assert_eq!(of(&headers(7, true, &["#62", "#63"]), false), Maybe);
    // A long block.
    let long = headers(
        7,
        true,
        &[
            "#2",
            "#6",
            "#4",
            &format!("a: {}", "x".repeat(120)),
            &format!("b: {}", "y".repeat(120)),
            &format!("c: {}", "x".repeat(120)),
            &format!("d: {}", "y".repeat(120)),
            &format!("e: {}", "y".repeat(120)),
        ],
    );
    assert_eq!(of(&long, false), Yes(ToServer));
}

/// What only looks like it.
#[test]
fn others() {
    for other in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03",
        b"*1\r\n$4\r\nPING\r\n",
        // PostgreSQL's request for TLS, Kafka's request, MySQL's greeting, a reply of ZooKeeper.
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\0\0\x01\x01\0\x03\0\x07\0\0\0\x01\0\x09python",
        b"\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"J\0\0\0\x0a5.5.5-10.11",
        &[0; 64],
        &[0xff; 64],
        &data(0, false, "x"),
        &frame(HEADERS, END_HEADERS, 2, &[0x88]),
        &frame(HEADERS, END_HEADERS, 1, &[0x88, 0x80]),
        &frame(HEADERS, END_HEADERS, 1, &[0x88, 0x82]),
        &frame(HEADERS, 0xff, 1, &[0x88]),
        &frame(PING, 0, 0, &[0; 7]),
        &frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        &frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 7]),
        &[ok(1, "x"), vec![1; 9]].concat(),
    ] {
        for opening in [false, true] {
            let found = of(other, opening);
            let too_short = other.len() < HEADER && found == Maybe;
            assert!(found == No || too_short, "{found:?} {other:02x?}");
        }
    }
}
