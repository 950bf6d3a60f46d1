//! What the workload `exchange` does, as far as tests know it beforehand.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::{Selection, Tier};

/// Bytes of the body of a request.
#[must_use]
pub fn request_length(i: usize) -> usize {
    i * 377 % 3000 + 1
}

/// Bytes of the body of a response; every seventh is larger than sockets' buffers.
#[must_use]
pub fn response_length(i: usize) -> usize {
    if i % 7 == 6 { 300_000 } else { i * 531 % 5000 + 1 }
}

/// Whether a tier has hooks on every way that bytes take through a socket, so that nothing is seen late.
#[must_use]
pub fn sees_all(tier: Tier) -> bool {
    matches!(tier, Tier::Fentry | Tier::Kprobe)
}

/// What is wrong with one end's spans of a run of `count` exchanges, if anything.
#[must_use]
pub fn faults(end: &Selection<'_>, write: &str, read: &str, count: usize) -> String {
    let mut faults = String::new();
    let spans = end.clone().in_order();
    if spans.len() != count {
        let _ = write!(faults, "{} spans; ", spans.len());
    }
    for (i, span) in spans.iter().enumerate() {
        let size = |of: &str| span.integer(&format!("http.{of}.body.size"));
        let (sent, received) = (Some(request_length(i) as i64), Some(response_length(i) as i64));
        let expected = (format!("/{write}/{read}/{i}"), Some(200), sent, received);
        let told = (span.target(), span.code(), size("request"), size("response"));
        if told != expected || span.status == 2 {
            let _ = write!(faults, "{told:?} with status {} for {expected:?}; ", span.status);
        }
    }
    faults
}

/// What is wrong with one end's spans of a run whose messages are not all seen: there may be too few of them, and they
/// may say little, but nothing that is not so.
#[must_use]
pub fn untruths(end: &Selection<'_>, write: &str, read: &str, count: usize) -> String {
    let mut faults = String::new();
    let mut told = BTreeSet::new();
    for span in end.iter() {
        let target = span.target();
        let number = target.strip_prefix(&format!("/{write}/{read}/")).and_then(|number| number.parse().ok());
        let Some(i) = number.filter(|i| *i < count && told.insert(*i)) else {
            let _ = write!(faults, "{target} was not requested, or not again; ");
            continue;
        };
        let size = |of: &str, right: usize| {
            span.integer(&format!("http.{of}.body.size")).is_none_or(|size| size == right as i64)
        };
        let right = size("request", request_length(i)) && size("response", response_length(i));
        if !right || span.code().is_some_and(|code| code != 200) || span.status == 2 {
            let _ = write!(faults, "{span}; ");
        }
    }
    faults
}
