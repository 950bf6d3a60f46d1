//! Recognising Thrift by a run's first bytes.

use super::head::{self, Encoding, Found, Transport};
use super::skip;
use crate::protocol::{Inference, Run, Stream};

/// A name shorter than this could be chance where little else is said.
const LONG_NAME: usize = 3;

/// A head, a struct that may begin so, and a length that agrees with what passed.
pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    let head = match head::read(bytes) {
        Found::Head(head) => head,
        // Nobody writes parts of a head but the frame's length.
        Found::More if bytes.len() as u64 == run.passed && bytes.len() < 64 => return Inference::Maybe,
        Found::More | Found::Foreign => return Inference::No,
    };
    let Some(kind) = head.kind else {
        // Compressed: a magic number and a plausible header.
        return Inference::Likely(Stream::ToServer);
    };
    let stream = kind.stream();
    let Some(&first) = bytes.get(head.body) else {
        return if run.passed == bytes.len() as u64 { Inference::Maybe } else { Inference::No };
    };
    if !skip::may_begin(head.encoding, first) {
        return Inference::No;
    }
    // Behind a frame comes another.
    if let Some(length) = head.length
        && let Some(next) = bytes.get(length as usize..)
        && head::read(next) == Found::Foreign
    {
        return Inference::No;
    }
    let magic = head.encoding == Encoding::Binary && bytes[start(&head)] == 0x80;
    let framed = head.transport != Transport::Unframed;
    if magic || framed || head.name.len() >= LONG_NAME {
        Inference::Yes(stream)
    } else {
        Inference::Likely(stream)
    }
}

/// Where the message itself begins, behind what the transport puts in front.
fn start(head: &head::Head) -> usize {
    match head.transport {
        Transport::Unframed => 0,
        Transport::Framed => 4,
        // Strict binary heads have their name's length behind four bytes.
        Transport::Header => head.name.start.saturating_sub(8),
    }
}
