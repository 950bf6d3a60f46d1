//! Recognising MQTT by its first bytes.
//!
//! `CONNECT` names itself. Everything else is short and binary, so packets are believed when they fill the run exactly:
//! `SUBSCRIBE` and `PUBLISH` have text whose length is said twice; of what has not, both ends have to agree.
//! Either end publishes and acknowledges: which is the server, these do not tell.

use super::packet::{Head, Kind, Start, is_good};
use crate::protocol::{Inference, Run, Stream};

/// Packets of a run that are looked at.
const PACKETS: usize = 16;

pub(super) fn infer(run: &Run<'_>) -> Inference {
    let mut left = run.bytes;
    let mut stream = run.stream;
    let mut strong = false;
    let mut packets = 0;
    while !left.is_empty() && packets < PACKETS {
        let head = match Head::read(left) {
            Start::Head(head) => head,
            Start::More => return Inference::Maybe,
            Start::Foreign => return Inference::No,
        };
        let rest = &left[head.size..];
        let whole = rest.len() as u64 >= u64::from(head.rest);
        let rest = &rest[..rest.len().min(head.rest as usize)];
        if !is_good(&head, rest) {
            // More of it may make it good, unless nothing is missing.
            let foreign = match (head.kind, rest) {
                (Kind::Connect, [_, _, _, _, _, _, _, _, ..]) => !begins_connect(rest),
                // A topic longer than its packet.
                (Kind::Publish, [high, low, ..]) => {
                    u32::from(u16::from_be_bytes([*high, *low])) + 2 > head.rest
                }
                _ => false,
            };
            return if whole || foreign { Inference::No } else { Inference::Maybe };
        }
        match (head.kind.stream(), stream) {
            (Some(said), Some(known)) if said != known => return Inference::No,
            (Some(said), None) => stream = Some(said),
            _ => {}
        }
        strong |= match head.kind {
            Kind::Connect => return Inference::Yes(Stream::ToServer),
            // The text is at least as long as the numbers before it.
            Kind::Publish => rest.len() >= 2 && rest[0] == 0 && rest[1] >= 3,
            Kind::Subscribe | Kind::Unsubscribe => whole,
            _ => false,
        };
        packets += 1;
        if !whole {
            // A long message: the rest of it is not here.
            let long = head.kind == Kind::Publish && run.bytes.len() >= 256;
            return if long { likely(stream) } else { Inference::Maybe };
        }
        left = &left[head.size + rest.len()..];
    }
    let exact = left.is_empty() && run.passed == run.bytes.len() as u64;
    match stream {
        Some(stream) if exact && strong => Inference::Yes(stream),
        _ if exact || packets >= PACKETS => likely(stream),
        _ => Inference::Maybe,
    }
}

fn likely(stream: Option<Stream>) -> Inference {
    stream.map_or(Inference::Maybe, Inference::Likely)
}

fn begins_connect(rest: &[u8]) -> bool {
    rest.starts_with(b"\0\x04MQTT") || rest.starts_with(b"\0\x06MQIsdp")
}
