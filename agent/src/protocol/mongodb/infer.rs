//! Recognising MongoDB by a run's first bytes.

use super::framing::{Body, HEADER, Header, body};
use crate::protocol::{Inference, Run, Stream};

/// A header, and a body that begins as the header says. Who asks is told by `responseTo`, which only replies have.
pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    if bytes.len() < HEADER {
        // The third byte of a length is small, the fourth 0 to 2.
        let possible = bytes.get(3).is_none_or(|&high| high <= 2);
        return if possible { Inference::Maybe } else { Inference::No };
    }
    let Some(header) = Header::read(bytes) else { return Inference::No };
    let stream = if header.response_to == 0 { Stream::ToServer } else { Stream::ToClient };
    match body(header, &bytes[HEADER..]) {
        // Two messages of one run follow each other exactly.
        Body::Fits => match bytes.get(header.length..) {
            Some(next) if next.len() >= HEADER && Header::read(next).is_none() => Inference::No,
            _ => Inference::Yes(stream),
        },
        Body::Short if run.passed >= header.length as u64 => Inference::No,
        Body::Short => Inference::Maybe,
        Body::Foreign => Inference::No,
    }
}
