//! Is it MySQL? A run is read as a chain of packets: their lengths must fit, their numbers must follow each other, and their
//! contents must be what a command, a greeting or a response says.

use super::commands::Command;
use super::handshake::{self, capability};
use super::packet::{HEADER, Reader};
use crate::protocol::sql::begins_with_command;
use crate::protocol::{Inference, Run, Stream};

/// Bytes of a run that are looked at.
const MOST: usize = 512;

/// A packet of which at least a part is here.
struct Packet<'a> {
    number: u8,
    payload: &'a [u8],
    /// All of the payload is here.
    complete: bool,
}

/// Takes a packet off the beginning.
fn packet<'a>(rest: &mut &'a [u8]) -> Option<Packet<'a>> {
    let [a, b, c, number, behind @ ..] = *rest else { return None };
    let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
    let complete = behind.len() >= length;
    let (payload, after) = behind.split_at(length.min(behind.len()));
    *rest = after;
    Some(Packet { number: *number, payload, complete })
}

/// What a run's first bytes say.
pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = &run.bytes[..run.bytes.len().min(MOST)];
    if bytes.len() <= HEADER {
        // Enough to see that it is not: a first packet is number 0 or 1, and hardly a megabyte long.
        let fits =
            bytes.get(2).is_none_or(|high| *high < 16) && bytes.get(3).is_none_or(|number| *number <= 1);
        return if fits { Inference::Maybe } else { Inference::No };
    }
    let all = run.passed == run.bytes.len() as u64;
    match bytes[3] {
        0 => {
            if is_greeting(bytes, all) {
                return Inference::Yes(Stream::ToClient);
            }
            match client(bytes) {
                Some(true) => Inference::Yes(Stream::ToServer),
                Some(false) if all && ends_with_packet(bytes) => Inference::Likely(Stream::ToServer),
                _ => Inference::No,
            }
        }
        1 if is_login(bytes, all) => Inference::Yes(Stream::ToServer),
        1 => match server(bytes) {
            Some(true) => Inference::Yes(Stream::ToClient),
            Some(false) if all && ends_with_packet(bytes) => Inference::Likely(Stream::ToClient),
            _ => Inference::No,
        },
        _ => Inference::No,
    }
}

/// Do the client's packets begin so?
pub(super) fn is_client(bytes: &[u8]) -> bool {
    bytes.len() > HEADER && bytes[3] == 0 && client(&bytes[..bytes.len().min(MOST)]).is_some()
}

/// Do the server's packets begin so?
pub(super) fn is_server(bytes: &[u8]) -> bool {
    bytes.len() > HEADER && bytes[3] == 1 && server(&bytes[..bytes.len().min(MOST)]).is_some()
}

fn ends_with_packet(mut rest: &[u8]) -> bool {
    let mut complete = false;
    while let Some(packet) = packet(&mut rest) {
        complete = packet.complete;
    }
    complete && rest.is_empty()
}

fn is_greeting(mut rest: &[u8], all: bool) -> bool {
    let Some(first) = packet(&mut rest) else { return false };
    all && first.complete && rest.is_empty() && handshake::greeting(first.payload).is_some()
}

fn is_login(mut rest: &[u8], all: bool) -> bool {
    let Some(first) = packet(&mut rest) else { return false };
    let login = handshake::login(first.payload).filter(|_| all && first.complete && rest.is_empty());
    // Every client of this version wants one of these.
    login.is_some_and(|login| login.capabilities & (capability::SECURE_CONNECTION | capability::SSL) != 0)
}

/// Commands, one after another: `Some(true)` if nothing else looks so, `Some(false)` if little does.
fn client(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    let mut sure = false;
    while let Some(Packet { number, payload, complete }) = packet(&mut rest) {
        let (&code, body) = payload.split_first()?;
        if number != 0 {
            return None;
        }
        sure |= match Command::of(code)? {
            Command::Query | Command::Prepare => {
                // No attributes before the text, or none that are known here.
                let text = body.strip_prefix(b"\0\x01").unwrap_or(body);
                if !(is_text(text) && begins_with_command(text)) {
                    return None;
                }
                complete || text.len() >= 64
            }
            Command::Execute => {
                let mut reader = Reader(body);
                let (id, flags, times) = (reader.u32()?, reader.u8()?, reader.u32()?);
                if times != 1 || flags > 15 {
                    return None;
                }
                complete && (id < 1 << 24 || id == u32::MAX)
            }
            Command::InitDb if complete && body.len() <= 64 && !body.is_empty() && is_text(body) => false,
            Command::Ping | Command::Quit | Command::Statistics if complete && body.is_empty() => false,
            Command::Close | Command::Reset if complete && body.len() == 4 => false,
            Command::Fetch if complete && body.len() == 8 => false,
            Command::SendLongData if body.len() >= 6 => false,
            Command::Other("RESET CONNECTION") if complete && body.is_empty() => false,
            Command::BulkExecute if body.len() > 6 => false,
            _ => return None,
        };
    }
    rest.is_empty().then_some(sure).or(sure.then_some(true))
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r'))
}

/// A response's packets: as above.
fn server(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    let first = packet(&mut rest)?;
    let (&code, body) = first.payload.split_first()?;
    match code {
        0x00 if first.complete => {
            let mut reader = Reader(body);
            let prepared = first.payload.len() == 12 && body[8] == 0;
            if prepared && let Some(next) = packet(&mut rest) {
                return (next.number == 2 && is_definition(next.payload)).then_some(true);
            }
            let (affected, _last_id) = (reader.length_encoded()?, reader.length_encoded()?);
            // Autocommit or a transaction, and not many warnings.
            let (status, warnings) = (reader.u16()?, reader.u16()?);
            let plausible = status & 0x0003 != 0 && status < 0x8000 && warnings < 1000 && affected < 1 << 40;
            (rest.is_empty() && (prepared || plausible)).then_some(false)
        }
        0xff => {
            let mut reader = Reader(body);
            let number = reader.u16()?;
            let (mark, state) = reader.0.split_first()?;
            let state = state.get(..5)?;
            let coded =
                *mark == b'#' && state.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            (coded && (1000..10_000).contains(&number) && rest.is_empty()).then_some(true)
        }
        // A result: the number of columns, perhaps with a flag, and the columns.
        1..=0xfa if first.complete && body.len() <= 1 => {
            let next = packet(&mut rest)?;
            (next.number == 2 && is_definition(next.payload)).then_some(true)
        }
        _ => None,
    }
}

/// ColumnDefinition41 begins with the catalog, which is always `def`.
fn is_definition(payload: &[u8]) -> bool {
    payload.starts_with(b"\x03def")
}
