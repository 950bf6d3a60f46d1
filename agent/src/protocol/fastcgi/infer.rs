//! Recognising FastCGI by its first bytes.
//!
//! A web server begins with `BEGIN_REQUEST`, of which nearly every byte is fixed. An application answers with records of the
//! same request that fill the run, `END_REQUEST` the last; a longer answer is believed when its records follow each other.

use super::record::{HEAD, Head, Kind};
use crate::protocol::{Inference, Run};

/// Records of a run that are looked at.
const RECORDS: usize = 16;

pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    let mut left = bytes;
    let mut first: Option<Head> = None;
    let mut records = 0;
    while records < RECORDS {
        let Some(head) = left.first_chunk::<HEAD>() else {
            return partial(left, first, run, records);
        };
        let Some(head) = Head::read(head) else { return Inference::No };
        let here = &left[HEAD..];
        let content = &here[..here.len().min(head.content.into())];
        let opening = *first.get_or_insert(head);
        if !head.is_good(content) || head.kind.stream() != opening.kind.stream() {
            return Inference::No;
        }
        match head.kind {
            Kind::Begin | Kind::End if content.len() == 8 => return Inference::Yes(head.kind.stream()),
            Kind::Begin | Kind::End => return Inference::Maybe,
            // CGI variables, and nothing of them cut: names in capitals.
            _ => {}
        }
        records += 1;
        let length = usize::try_from(head.length()).unwrap_or(usize::MAX);
        let Some(behind) = left.get(length..) else {
            return inside(&opening, content, records);
        };
        left = behind;
    }
    first.map_or(Inference::No, |first| Inference::Yes(first.kind.stream()))
}

/// The prefix ends before, or in the middle of, a record's head.
fn partial(left: &[u8], first: Option<Head>, run: &Run<'_>, records: usize) -> Inference {
    let fits = match left {
        [] => true,
        [1] => true,
        [1, kind, ..] => (1..=11).contains(kind),
        _ => false,
    };
    match (fits, first) {
        (false, _) => Inference::No,
        (true, Some(first)) if left.is_empty() && run.passed == run.bytes.len() as u64 && records > 1 => {
            Inference::Likely(first.kind.stream())
        }
        (true, _) => Inference::Maybe,
    }
}

/// The prefix ends in a record's content: an answer that goes on is told by the head that it begins with.
fn inside(opening: &Head, content: &[u8], records: usize) -> Inference {
    let names: [&[u8]; 5] = [b"Status:", b"Content-type:", b"Content-Type:", b"X-Powered-By:", b"Location:"];
    let head =
        opening.kind == Kind::Stdout && records == 1 && names.iter().any(|name| content.starts_with(name));
    if head || records > 1 { Inference::Likely(opening.kind.stream()) } else { Inference::Maybe }
}
