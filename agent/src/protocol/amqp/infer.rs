//! Recognising AMQP 0-9-1 by its first bytes.
//!
//! A client begins with the protocol header, a server with `connection.start`. In the middle, a run begins with a method: its
//! class and number, its channel, arguments that fill the frame exactly and the octet behind them leave no room for anything
//! else. Most methods are sent by one side only; where either may, the next frame is asked.

use super::framing::{FRAME_END, HEAD, Head, Kind, PROTOCOL_HEADER};
use super::method::{self, Sender};
use crate::protocol::{Inference, Run, Stream};

/// Frames of a run that are looked at.
const FRAMES: usize = 8;
/// A method whose end is not in sight is believed up to this size: one with a table of arguments.
const MAX_METHOD: u32 = 64 * 1024;

pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    if bytes[0] == b'A' {
        return match bytes.get(..8) {
            Some(header) if header == PROTOCOL_HEADER => Inference::Yes(Stream::ToServer),
            None if PROTOCOL_HEADER.starts_with(bytes) => Inference::Maybe,
            _ => Inference::No,
        };
    }
    frames(bytes, run)
}

fn frames(bytes: &[u8], run: &Run<'_>) -> Inference {
    let mut rest = bytes;
    let mut exact = false;
    for _ in 0..FRAMES {
        if rest.is_empty() {
            break;
        }
        let Some(head) = rest.first_chunk::<HEAD>() else {
            return if exact || matches!(rest[0], 1 | 8) { Inference::Maybe } else { Inference::No };
        };
        let Some(head) = Head::read(head) else { return Inference::No };
        let Some(payload) = rest[HEAD..].get(..head.size as usize) else {
            return unfinished(&head, &rest[HEAD..], exact);
        };
        match rest.get(HEAD + payload.len()) {
            Some(&FRAME_END) => {}
            Some(_) => return Inference::No,
            None => return Inference::Maybe,
        }
        match head.kind {
            Kind::Heartbeat => {}
            Kind::Method => {
                let Some(call) = method::read(payload) else { return Inference::No };
                if !call.exact || !call.method.fits_channel(head.channel) {
                    return Inference::No;
                }
                match (call.method.from, run.stream) {
                    (Sender::Client, _) => return Inference::Yes(Stream::ToServer),
                    (Sender::Server, _) => return Inference::Yes(Stream::ToClient),
                    (Sender::Either, Some(stream)) => return Inference::Yes(stream),
                    (Sender::Either, None) => exact = true,
                }
            }
            // A run does not begin with them, unless its beginning was not seen.
            Kind::Header | Kind::Body if !exact => return Inference::No,
            Kind::Header | Kind::Body => {}
        }
        rest = &rest[HEAD + payload.len() + 1..];
    }
    Inference::Maybe
}

/// A frame that goes on behind the prefix.
fn unfinished(head: &Head, payload: &[u8], exact: bool) -> Inference {
    if head.kind != Kind::Method || head.size > MAX_METHOD {
        return if exact { Inference::Maybe } else { Inference::No };
    }
    match payload {
        [] | [_] | [_, _] | [_, _, _] => Inference::Maybe,
        [c0, c1, m0, m1, ..] => {
            let class = u16::from_be_bytes([*c0, *c1]);
            let known = method::Method::find(class, u16::from_be_bytes([*m0, *m1]));
            let Some(known) = known.filter(|method| method.fits_channel(head.channel)) else {
                return Inference::No;
            };
            match (method::read(payload), known.from) {
                // Everything but a table has been read.
                (Some(_), Sender::Client) if payload.len() >= 64 => Inference::Yes(Stream::ToServer),
                (Some(_), Sender::Server) if payload.len() >= 64 => Inference::Yes(Stream::ToClient),
                _ => Inference::Maybe,
            }
        }
    }
}
