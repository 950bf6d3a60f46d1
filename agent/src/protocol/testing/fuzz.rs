//! What every fuzz target does with its input: bytes that say how a connection is cut, what is missing of it, and what
//! passes. Nothing may panic, and times must be in order.

use super::{Conversation, Driver};
use crate::protocol::{End, Interest, Protocol, Run, Stream};

/// Drives a protocol with arbitrary input.
///
/// Each step begins with a byte: bit 0 is the direction, bit 1 a hole behind the bytes (its length in the next two bytes),
/// bit 2 silence, bit 3 the end of the stream; the upper four bits and the next byte are the number of bytes.
pub fn drive(protocol: &dyn Protocol, input: &[u8]) {
    let Some((&first, mut rest)) = input.split_first() else { return };
    let mut driver = match protocol.datagram_parser() {
        Some(parser) if first & 2 != 0 => Driver::of(parser),
        _ => Driver::new(protocol, first & 1 != 0),
    };
    while let [head, low, behind @ ..] = rest {
        let stream = if head & 1 == 0 { Stream::ToServer } else { Stream::ToClient };
        let length = usize::from(head >> 4) << 8 | usize::from(*low);
        let (bytes, behind) = behind.split_at(length.min(behind.len()));
        rest = behind;
        let mut missing = 0;
        if head & 2 != 0
            && let [high, low, behind @ ..] = rest
        {
            missing = u64::from(u16::from_be_bytes([*high, *low]));
            rest = behind;
        }
        if !bytes.is_empty() {
            let passed = bytes.len() as u64 + missing;
            let run = Run { bytes: &bytes[..bytes.len().min(512)], passed, opening: false, stream: None };
            let _ = (protocol.infer(&run), protocol.infer_datagram(&run));
        }
        driver.time += 1_000;
        driver.chunk(stream, bytes, missing);
        if driver.parser.interest() == Interest::Upgraded {
            let _ = driver.parser.take_upgrade();
            break;
        }
        if head & 4 != 0 {
            driver.pass(200_000_000);
        }
        if head & 8 != 0 {
            driver.stream_end(stream);
        }
    }
    driver.end(if first & 4 == 0 { End::Orderly } else { End::Broken(104) });
    let _ = driver.take();
}

/// The input of [`drive`] that plays a conversation.
#[must_use]
pub fn seed(conversation: &Conversation) -> Vec<u8> {
    const MOST: usize = 0xfff;
    let mut input = vec![u8::from(conversation.datagrams) << 1];
    for piece in &conversation.pieces {
        let direction = u8::from(piece.stream == Stream::ToClient);
        let mut chunks = piece.bytes.chunks(MOST).peekable();
        while let Some(chunk) = chunks.next() {
            let missing = u16::try_from(piece.missing).unwrap_or(u16::MAX);
            let hole = missing > 0 && chunks.peek().is_none();
            input.push(((chunk.len() >> 8) as u8 * 16) | (u8::from(hole) << 1) | direction);
            input.push(chunk.len() as u8);
            input.extend_from_slice(chunk);
            if hole {
                input.extend_from_slice(&missing.to_be_bytes());
            }
        }
    }
    input
}
