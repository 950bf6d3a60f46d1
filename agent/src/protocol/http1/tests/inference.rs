//! What is taken for HTTP/1, and what is not.

use super::super::Http1;
use super::super::infer::{Match, request, response};
use crate::protocol::{Inference, Protocol, Run, Stream};

fn infer(prefix: &[u8]) -> Inference {
    let run = Run { bytes: prefix, passed: prefix.len() as u64, opening: true, stream: None };
    Http1::new(Default::default()).infer(&run)
}

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "GET / HTTP/1.",
    "GET /a?b=c HTTP/1.0\r\nHost: h\r\n\r\n",
    "\r\nPOST /x HTTP/1.1\r\n",
    "\r\n\r\nPOST /x HTTP/1.1\n",
    "OPTIONS * HTTP/1.1\r\n",
    "CONNECT example.com:443 HTTP/1.1\r\n",
    "CONNECT [::1]:443 HTTP/1.1\r\n",
    "GET http://example.com/ HTTP/1.1\r\n",
    "GET HTTPS://example.com/ HTTP/1.1\r\n",
    "PROPFIND /dav HTTP/1.1\r\n",
    "M-SEARCH * HTTP/1.1\r\n",
    "VERSION-CONTROL /dav HTTP/1.1\r\n",
    "UPDATEREDIRECTREF_ABCDEF /x HTTP/1.1\r\n",
    "get /lower HTTP/1.1\r\n",
    "GET /caf\u{e9} HTTP/1.1\r\n",
    "GET /a-long-target-that-goes-on-beyond-the-first-bytes-that-were-captured-of-it",
];

const RESPONSES: &[&str] =
    &["HTTP/1.1 200 OK\r\n", "HTTP/1.0 404", "HTTP/1.1 200\r\n", "HTTP/1.1 999 Odd\r\n"];

const OTHERS: &[&[u8]] = &[
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/2\r\n",
    b"GET / HTTP/1.2\r\n",
    b"GET / HTTP/1.10\r\n",
    b"GET /\r\n",
    b"GET  / HTTP/1.1\r\n",
    b"GET / \r\n",
    b"GET / http/1.1\r\n",
    b"GET\t/ HTTP/1.1\r\n",
    b"GET foo HTTP/1.1\r\n",
    b"GET ftp://h/ HTTP/1.1\r\n",
    b"GET http HTTP/1.1\r\n",
    b"GET http:// HTTP/1.1\r\n",
    b"GET *x HTTP/1.1\r\n",
    b"CONNECT example.com HTTP/1.1\r\n",
    b"CONNECT / HTTP/1.1\r\n",
    b"AMETHODOFMORETHANTWENTYFOUR / HTTP/1.1\r\n",
    b" GET / HTTP/1.1\r\n",
    b"HTTP/1.1 2000 OK\r\n",
    b"HTTP/1.1 20x OK\r\n",
    b"HTTP/1.1 020 OK\r\n",
    b"HTTP/2 200 OK\r\n",
    b"HTTP/0.9 200 OK\r\n",
    b"ICY 200 OK\r\n",
    b"RTSP/1.0 200 OK\r\n",
    b"OPTIONS * RTSP/1.0\r\n",
    b"DESCRIBE rtsp://h/ RTSP/1.0\r\n",
    b"INVITE sip:bob@example.com SIP/2.0\r\n",
    b"SIP/2.0 200 OK\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"+OK\r\n",
    b"-ERR unknown\r\n",
    b"PING\r\n",
    b"GET key\r\n",
    b"get key\r\n",
    b"SET /a b\r\n",
    b"GET /key another\r\n",
    b"VALUE /key 0 5\r\nhello\r\nEND\r\n",
    b"EHLO example.com\r\n",
    b"MAIL FROM:<a@example.com>\r\n",
    b"220 mail.example.com ESMTP\r\n",
    b"a001 LOGIN user password\r\n",
    b"* OK IMAP4rev1 ready\r\n",
    b"USER anonymous\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"CONNECT {\"verbose\":false}\r\n",
    b"PUB subject 5\r\nhello\r\n",
    b"INFO {\"server_id\":\"x\"}\r\n",
    b"J\0\0\0\x0a8.0.36\0\x08\0\0\0",
    b"\x1f\0\0\0\x03select 1",
    b"Q\0\0\0\x0dSELECT 1\0",
    b"R\0\0\0\x08\0\0\0\0",
    b"\0\0\0\x08\x04\xd2\x16\x2f",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    b"\x80\0\0\0\x1f\0\0\0\0\0\0\0\0",
    b"\0\0\0\x23\0\x12\0\x04\0\0\0\x01\0\x07rdkafka",
    b"\x10\x10\0\x04MQTT\x04\x02\0\x3c",
    b"AMQP\0\0\x09\x01",
    b"\xff\xff\xff\xff",
    b"{\"jsonrpc\":\"2.0\"}",
    b"<?xml version=\"1.0\"?>",
    b"hello, world",
];

/// Requests and responses are known, and every shorter prefix of them is at least possible.
#[test]
fn positives() {
    for (texts, stream) in [(REQUESTS, Stream::ToServer), (RESPONSES, Stream::ToClient)] {
        for text in texts {
            assert_eq!(infer(text.as_bytes()), Inference::Yes(stream), "{text:?}");
            let mut sure = false;
            for end in 0..text.len() {
                let inference = infer(&text.as_bytes()[..end]);
                assert_ne!(inference, Inference::No, "{:?}", &text.as_bytes()[..end]);
                assert!(!sure || inference == Inference::Yes(stream), "{:?}", &text.as_bytes()[..end]);
                sure = inference != Inference::Maybe;
            }
        }
    }
}

/// Other protocols are not, and no prefix of them is.
#[test]
fn negatives() {
    for bytes in OTHERS {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(infer(bytes), Inference::No, "{text:?}");
        for end in 0..bytes.len() {
            let inference = infer(&bytes[..end]);
            assert!(
                !matches!(inference, Inference::Yes(_)) || text.contains("HTTP/1."),
                "{:?}",
                &text[..end]
            );
        }
    }
}

/// Too short to tell.
#[test]
fn undecided() {
    for text in
        ["", "G", "GE", "GET", "GET ", "GET /", "GET /a?b", "H", "HTTP/1.1 20", "\r\n", "PROPFIND", "GET htt"]
    {
        assert_eq!(infer(text.as_bytes()), Inference::Maybe, "{text:?}");
    }
    // An unknown method needs its version; a target does not go on for ever.
    let long = |method: &str, length: usize| infer(format!("{method} /{}", "a".repeat(length)).as_bytes());
    assert_eq!(long("GET", 100), Inference::Yes(Stream::ToServer));
    assert_eq!(long("FROB", 100), Inference::Maybe);
    assert_eq!(long("FROB", 5000), Inference::No);
}

/// The two directions do not take each other's messages.
#[test]
fn directions() {
    for text in REQUESTS {
        assert_eq!(
            (request(text.as_bytes()), response(text.as_bytes())),
            (Match::Yes, Match::No),
            "{text:?}"
        );
    }
    for text in RESPONSES {
        assert_eq!(
            (request(text.as_bytes()), response(text.as_bytes())),
            (Match::No, Match::Yes),
            "{text:?}"
        );
    }
}
