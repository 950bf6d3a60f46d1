//! Frames to say, and what was told of them.

use std::sync::LazyLock;

use super::super::Http2;
use super::super::frame::*;
use crate::protocol::http::{Settings, Shared};
use crate::protocol::testing::{Conversation, Driver};

pub static HTTP2: LazyLock<Http2> = LazyLock::new(|| Http2::new(&Shared::new(Settings::default(), false)));

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A block of field lines: `+name: value` is added to the table, `#N` is an index.
pub fn block(lines: &[&str]) -> Vec<u8> {
    let mut block = Vec::new();
    let string = |text: &str, block: &mut Vec<u8>| {
        assert!(text.len() < 127);
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    };
    for line in lines {
        if let Some(index) = line.strip_prefix('#') {
            block.push(0x80 | index.parse::<u8>().unwrap());
            continue;
        }
        let (kind, line) = line.strip_prefix('+').map_or((0, *line), |line| (0x40, line));
        let (name, value) = line[1..].split_once(": ").unwrap();
        block.push(kind);
        string(&format!("{}{name}", &line[..1]), &mut block);
        string(value, &mut block);
    }
    block
}

pub fn headers(stream: u32, end: bool, lines: &[&str]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | u8::from(end), stream, &block(lines))
}

pub fn data(stream: u32, end: bool, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, u8::from(end), stream, bytes.as_ref())
}

/// `GET PATH`, whole.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, true, &["#2", "#6", &format!(":path: {path}"), ":authority: h:81"])
}

/// 200 with a body.
pub fn ok(stream: u32, body: &str) -> Vec<u8> {
    [headers(stream, false, &["#8", "content-type: text/plain"]), data(stream, true, body)].concat()
}

pub fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64")
}

pub fn preface() -> Vec<u8> {
    [PREFACE, &settings()].concat()
}

/// A message of gRPC.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![0];
    message.extend((bytes.len() as u32).to_be_bytes());
    message.extend(bytes);
    message
}

pub fn call(stream: u32, path: &str) -> Vec<u8> {
    let path = format!(":path: {path}");
    headers(
        stream,
        false,
        &["#3", "#6", &path, ":authority: h:81", "+content-type: application/grpc", "te: trailers"],
    )
}

pub fn called(stream: u32) -> Vec<u8> {
    headers(stream, false, &["#8", "+content-type: application/grpc"])
}

pub fn trailers(stream: u32, status: u32) -> Vec<u8> {
    headers(stream, true, &[&format!("grpc-status: {status}"), "+grpc-message: no%20luck"])
}

/// What is told of a conversation, and nothing may be lost.
pub fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&*HTTP2, conversation, false);
    assert_eq!(played.losses, Default::default());
    played.told
}

/// A span's words without those that all spans have here.
pub fn short(line: &str) -> String {
    let usual = [
        "network.transport=",
        "network.protocol.",
        "url.scheme=",
        "http.request.method=",
        "rpc.system.name=",
        "client.",
    ];
    let words = line.split(' ').filter(|word| !usual.iter().any(|usual| word.starts_with(usual)));
    words.collect::<Vec<_>>().join(" ")
}

pub fn shorts(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| short(line)).collect()
}
