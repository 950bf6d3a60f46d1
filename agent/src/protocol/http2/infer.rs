//! Recognising HTTP/2.
//!
//! A client that begins says so in 24 bytes. In the middle of a connection, frames must follow each other from a run's
//! first byte on, each with a length, flags and a stream that its kind allows, and one of them must be HEADERS that is sound
//! as a header block and has a pseudo-header field of a request or a response: that also says which end sent it.

use super::fields::Name;
use super::frame::{
    ACK, CONTINUATION, END_HEADERS, HEADER, HEADERS, Header, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::hpack::Decoder;
use crate::protocol::{Inference, Run, Stream};

/// So many bytes of the preface are enough: no other protocol has this line.
const ENOUGH_PREFACE: usize = 16;

/// What the beginning of a run holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// Frames whose headers are there, and plausible.
    pub frames: u32,
    /// Something is not a frame.
    invalid: bool,
    /// A frame ends where the bytes do.
    pub ends_exactly: bool,
    /// Whose field lines were seen.
    pub direction: Option<Stream>,
    /// The first frame is the SETTINGS that a connection begins with.
    settings_first: bool,
}

impl Scan {
    pub fn is_sound(&self) -> bool {
        self.frames > 0 && !self.invalid
    }
}

/// Looks at the frames in `bytes`, the first of `passed`.
pub fn scan(bytes: &[u8], passed: u64) -> Scan {
    let mut found = Scan::default();
    let mut decoder = None;
    let mut at = 0_u64;
    loop {
        if at == passed {
            found.ends_exactly = true;
            return found;
        }
        let Some(rest) = usize::try_from(at).ok().and_then(|at| bytes.get(at..)) else { return found };
        let Some(header) = Header::read(rest) else { return found };
        let payload = &rest[HEADER..];
        let payload = &payload[..payload.len().min(header.length as usize)];
        if !header.is_plausible() || !is_sound(&header, payload) {
            found.invalid = true;
            return found;
        }
        found.settings_first |= found.frames == 0 && header.kind == SETTINGS && !header.has(ACK);
        if header.kind == HEADERS {
            let decoder = decoder.get_or_insert_with(|| Decoder::new(true));
            match direction(decoder, &header, payload) {
                Ok(direction) => found.direction = found.direction.or(direction),
                Err(()) => {
                    found.invalid = true;
                    return found;
                }
            }
        } else if header.kind == CONTINUATION && found.frames == 0 {
            // Sound, but it says nothing.
            found.invalid = true;
            return found;
        }
        found.frames += 1;
        at += HEADER as u64 + u64::from(header.length);
    }
}

/// Payloads of a fixed form (RFC 9113, 6.4, 6.5.2, 6.9).
fn is_sound(header: &Header, payload: &[u8]) -> bool {
    let word = |bytes: &[u8]| bytes.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
    match header.kind {
        RST_STREAM => word(payload).is_none_or(|code| code <= 0xd),
        WINDOW_UPDATE => word(payload).is_none_or(|increment| (1..1 << 31).contains(&increment)),
        SETTINGS => payload.chunks_exact(6).all(|setting| {
            let value = word(&setting[2..]).unwrap_or_default();
            match u16::from_be_bytes([setting[0], setting[1]]) {
                0 => false,
                2 | 8 => value <= 1,
                4 => value < 1 << 31,
                5 => (1 << 14..1 << 24).contains(&value),
                _ => true,
            }
        }),
        _ => true,
    }
}

/// Which end sends such a header block; nothing if it does not tell, an error if it is none.
fn direction(decoder: &mut Decoder, header: &Header, payload: &[u8]) -> Result<Option<Stream>, ()> {
    let whole = payload.len() == header.length as usize && header.has(END_HEADERS);
    let block = header.block(payload).ok_or(())?;
    let (mut of_requests, mut of_responses, mut regular, mut bad) = (0_u32, 0_u32, false, false);
    let valid = decoder.decode(block, whole, |name, value| match name {
        Name::Method | Name::Scheme | Name::Authority | Name::Path => {
            bad |= regular;
            of_requests += 1;
        }
        Name::Status => {
            bad |= regular || !matches!(value, [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']);
            of_responses += 1;
        }
        Name::GrpcStatus => {
            bad |= value.is_empty() || !value.iter().all(u8::is_ascii_digit);
            regular = true;
            of_responses += 1;
        }
        // It may be a pseudo-header field.
        Name::Unknown => {}
        _ => regular = true,
    });
    if bad || valid.is_err() || (of_requests > 0 && of_responses > 0) || of_requests > 4 || of_responses > 2 {
        return Err(());
    }
    // Of a block whose end is not here, one field is little.
    Ok(match (of_requests, of_responses) {
        (0, 0) => None,
        (1, 0) if !whole => None,
        (0, _) => Some(Stream::ToClient),
        _ => Some(Stream::ToServer),
    })
}

/// Does a run that begins so speak HTTP/2?
pub fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    let common = bytes.iter().zip(PREFACE).take_while(|(a, b)| a == b).count();
    if common == bytes.len().min(PREFACE.len()) {
        return if common >= ENOUGH_PREFACE { Inference::Yes(Stream::ToServer) } else { Inference::Maybe };
    }
    if bytes.len() < HEADER {
        // A length of less than 64 KiB and a kind: everything else is certainly none.
        let fits = bytes[0] == 0 && bytes.get(3).is_none_or(|&kind| kind <= CONTINUATION);
        return if fits { Inference::Maybe } else { Inference::No };
    }
    let found = scan(bytes, run.passed);
    if !found.is_sound() {
        return Inference::No;
    }
    match found.direction {
        Some(stream) => Inference::Yes(stream),
        // A server that does not wait for its client; or one whose client's bytes come later to us.
        None if run.opening && found.settings_first => Inference::Likely(Stream::ToClient),
        None => Inference::Maybe,
    }
}
