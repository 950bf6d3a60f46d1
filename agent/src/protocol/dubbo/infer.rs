//! Recognising the protocol by a run's first bytes.

use super::header::{HEADER, Header, may_begin};
use super::values::{Serialization, Values};
use crate::protocol::{Inference, Run};

/// A header, a body that begins as its kind does, and behind it another header if anything.
pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    if !may_begin(bytes) {
        return Inference::No;
    }
    if bytes.len() < HEADER {
        return if run.passed == bytes.len() as u64 { Inference::Maybe } else { Inference::No };
    }
    let Some(header) = Header::read(bytes) else { return Inference::No };
    if bytes.get(HEADER + header.length..).is_some_and(|next| !may_begin(next)) {
        return Inference::No;
    }
    // Either end sends heartbeats: they do not say who is who.
    if header.event {
        return if header.length <= 64 { Inference::Likely(header.stream()) } else { Inference::No };
    }
    let body = &bytes[HEADER..];
    if header.request && header.serialization != Serialization::Other && !body.is_empty() {
        // Dubbo's version: digits and dots.
        let version = Values::new(header.serialization, body).text();
        return match version {
            Some(version) if version.iter().all(|byte| byte.is_ascii_graphic()) => {
                Inference::Yes(header.stream())
            }
            None if body.len() < 16 && header.length > body.len() => Inference::Maybe,
            _ => Inference::No,
        };
    }
    Inference::Yes(header.stream())
}
