//! Recognising ZooKeeper by its requests: an operation that exists, a body that ends where the message does, a path that
//! begins with a slash. Of four-letter words, both the word and an answer to it are asked for.

use super::framing::{MAX_MESSAGE, SIZE, connect, header, size};
use super::operation::PING;
use super::wire::{Stop, body};
use super::word;
use crate::protocol::{Inference, Run, Stream};

/// The largest request that is believed before the protocol is known.
const MAX_REQUEST: u64 = 4 << 20;

/// The longest first message: with a password of 64 bytes, where there are 16.
const MAX_CONNECT: u64 = 28 + 64 + 1;

/// What a run says.
pub(super) fn infer(run: &Run<'_>) -> Inference {
    let whole = run.passed == run.bytes.len() as u64;
    if run.opening && whole && word::answers(run.bytes) {
        return Inference::Likely(Stream::ToClient);
    }
    if run.opening && whole && word::may_be(run.bytes) {
        return match run.bytes.len() {
            0..4 => Inference::Maybe,
            _ if word::alone(run.bytes, run.passed) => Inference::Likely(Stream::ToServer),
            _ => Inference::No,
        };
    }
    let Some(size) = size(run.bytes) else {
        return if whole && run.bytes.first() == Some(&0) { Inference::Maybe } else { Inference::No };
    };
    if !(8..=MAX_REQUEST.min(MAX_MESSAGE)).contains(&size) {
        return Inference::No;
    }
    let here = &run.bytes[SIZE as usize..];
    let more = whole && run.passed < SIZE + size;
    match request(here, size, run) {
        Ok(true) => Inference::Yes(Stream::ToServer),
        Err(Stop::Cut) if more => Inference::Maybe,
        Ok(false) | Err(_) => Inference::No,
    }
}

fn request(here: &[u8], size: u64, run: &Run<'_>) -> Result<bool, Stop> {
    // The first message of a connection has no header.
    if run.opening && MAX_CONNECT >= size {
        match connect(here, size) {
            Ok(connect) => return Ok(connect.timeout > 0),
            Err(Stop::Cut) => return Err(Stop::Cut),
            Err(Stop::Bad) => {}
        }
    }
    let (_, operation, mut wire) = header(here, size)?;
    let (body, read) = body(&mut wire, operation);
    match (read, body.path) {
        (Ok(()), _) if !wire.is_at_end() => Ok(false),
        // A ping is twelve bytes that nothing else has; other requests without a body have too few of their own.
        (Ok(()), None) if operation.parts.is_empty() && !operation.is_multi() => Ok(operation.code == PING),
        (Ok(()), path) => Ok(path.is_none_or(is_path)),
        // More data than is shown: the path was seen to its end.
        (Err(Stop::Cut), Some(path)) if is_path(path) && path.len() > 1 => Ok(true),
        (Err(stop), _) => Err(stop),
    }
}

/// What a client library takes for a path.
fn is_path(path: &[u8]) -> bool {
    path.first() == Some(&b'/')
        && std::str::from_utf8(path).is_ok_and(|path| !path.chars().any(char::is_control))
}
