//! Recognising Kafka by its requests.
//!
//! A response has little of its own: a size and a number. So the other stream decides: a request has a key and
//! a version that exist, a printable client id that fits, and a body that its layout reads up to its very last byte.

use super::framing::{MAX_REQUEST, SIZE, size};
use super::header::{self, Header, Read};
use super::summary::Summary;
use super::wire::{Stop, walk};
use super::{api, schema};
use crate::protocol::{Inference, Run, Stream};

/// The largest request without records that is believed.
const MAX_SMALL: u64 = 1 << 20;

/// Bytes of a body whose end is not here that are believed: fewer may be anything.
const ENOUGH: usize = 32;
/// Bytes before the client id.
const FIXED: usize = 10;

/// What a run says.
pub(super) fn infer(run: &Run<'_>) -> Inference {
    let Some(size) = size(run.bytes) else {
        return if run.passed < SIZE && run.bytes.first() == Some(&0) {
            Inference::Maybe
        } else {
            Inference::No
        };
    };
    if !(10..=MAX_REQUEST).contains(&size) {
        return Inference::No;
    }
    let here = &run.bytes[SIZE as usize..];
    let more = run.passed < SIZE + size && run.passed == run.bytes.len() as u64;
    match header::read(here, size) {
        Read::Header(header) => request(&header, here, size, run, more),
        Read::More if more => Inference::Maybe,
        Read::More | Read::Foreign => Inference::No,
    }
}

fn request(header: &Header<'_>, here: &[u8], size: u64, run: &Run<'_>, more: bool) -> Inference {
    let yes = Inference::Yes(Stream::ToServer);
    if !header.is_known() || header.correlation < 0 || (header.key != api::PRODUCE && size > MAX_SMALL) {
        return Inference::No;
    }
    // Several requests may have been sent at once.
    let behind = here.get(size as usize..).unwrap_or_default();
    if !behind.is_empty() && !follows(behind) {
        return Inference::No;
    }
    let named = header.client.len() > 1;
    let Some([layout, _]) = header.api.and_then(|api| api.layouts) else {
        // Nothing is known of the body but its tagged fields, of which there are none.
        let flat = !header.is_flexible() || here.get(10 + header.client.len()) == Some(&0);
        return if named && flat && run.passed >= SIZE + size { yes } else { Inference::No };
    };
    match read(header, layout) {
        Ok(true) => yes,
        Ok(false) | Err(Stop::Bad) => Inference::No,
        Err(Stop::Cut) if named && here.len() >= FIXED + header.client.len() + ENOUGH => yes,
        Err(Stop::Cut) if more => Inference::Maybe,
        Err(Stop::Cut) => Inference::No,
    }
}

/// Whether the body ends where its layout does.
fn read(header: &Header<'_>, layout: schema::Layout) -> Result<bool, Stop> {
    let mut body = header.body;
    let mut summary = Summary::new();
    let flexible = header.is_flexible();
    if flexible {
        body.tags(&[], header.version, &mut summary)?;
    }
    let read = walk(&mut body, layout, header.version, flexible, &mut summary);
    if summary.acks.is_some_and(|acks| !(-1..=1).contains(&acks)) {
        return Err(Stop::Bad);
    }
    read.map(|()| body.is_at_end())
}

/// Could a request begin so?
fn follows(bytes: &[u8]) -> bool {
    match size(bytes) {
        None => bytes[0] < 0x10,
        Some(size) => {
            (8..=MAX_REQUEST).contains(&size)
                && !matches!(header::read(&bytes[SIZE as usize..], size), Read::Foreign)
        }
    }
}
