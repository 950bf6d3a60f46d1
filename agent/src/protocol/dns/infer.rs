//! Inference: a whole message must make sense, to its last byte.

use super::codes::{self, OPT};
use super::message::{Flaw, HEADER, Header, Question, Record};
use crate::protocol::{Inference, Run, Stream};

/// Bytes of the shortest message: a question about the root.
const SHORTEST: u64 = 17;
/// Records that a message is believed to have.
const MOST_RECORDS: u32 = 1024;
/// Bytes of the length in front of a message on TCP.
pub(super) const LENGTH: usize = 2;

/// A datagram is a message.
pub(super) fn datagram(run: &Run<'_>) -> Inference {
    judge(run.bytes, run.passed)
}

/// On TCP each message stands behind its length.
pub(super) fn stream(run: &Run<'_>) -> Inference {
    let Some((length, rest)) = run.bytes.split_first_chunk::<LENGTH>() else { return Inference::Maybe };
    let length = u64::from(u16::from_be_bytes(*length));
    let rest = &rest[..rest.len().min(length as usize)];
    // What is not here may still come, or was not captured.
    match judge(rest, length) {
        // Who asks waits, or asks on at once; nobody sends half a question.
        Inference::Maybe if run.passed > length + LENGTH as u64 => Inference::No,
        inference => inference,
    }
}

/// What a message of `length` bytes that begins with these says.
pub(super) fn judge(message: &[u8], length: u64) -> Inference {
    if !(SHORTEST..=65_535).contains(&length) {
        return Inference::No;
    }
    let Some(header) = Header::read(message) else { return Inference::Maybe };
    let [questions, answers, authorities, additional] = header.counts;
    let query = !header.is_response();
    if header.opcode() != 0
        || !header.is_plausible()
        || questions != 1
        || header.code() > 10
        || header.records() > MOST_RECORDS
        || (query && (answers != 0 || authorities != 0 || additional > 2))
    {
        return Inference::No;
    }
    let whole = message.len() as u64 >= length;
    let question = match Question::read(message) {
        Ok(question) => question,
        Err(Flaw::Cut) if !whole => return Inference::Maybe,
        Err(_) => return Inference::No,
    };
    let is_asked = question.kind != OPT && codes::known_kind(question.kind).is_some();
    if !is_asked || !matches!(question.class, 1 | 3) || is_netbios(&message[HEADER..question.end]) {
        return Inference::No;
    }
    let mut at = question.end;
    let mut extended = false;
    for number in 0..header.records() {
        match Record::read(message, at) {
            Ok(record) => {
                let in_front = number < u32::from(answers) + u32::from(authorities);
                // Only what stands at the end describes the message itself.
                let of_message = matches!(record.kind, OPT | 249 | 250);
                if record.kind == 0 || (in_front && record.kind == OPT) || (query && !of_message) {
                    return Inference::No;
                }
                extended |= record.kind == OPT;
                at = record.data.end;
            }
            Err(Flaw::Cut) if !whole && header.wants_recursion() => {
                return if query { Inference::Maybe } else { Inference::Yes(Stream::ToClient) };
            }
            Err(_) => return Inference::No,
        }
        if at as u64 > length {
            return Inference::No;
        }
    }
    // Multicast DNS has the id 0, and LLMNR neither asks for recursion nor has EDNS.
    if at as u64 != length || !(header.wants_recursion() || (extended && header.id != 0)) {
        return Inference::No;
    }
    Inference::Yes(if query { Stream::ToServer } else { Stream::ToClient })
}

/// A NetBIOS name (RFC 1001, 14.1): one label of 32 letters from A to P, and perhaps a scope.
fn is_netbios(question: &[u8]) -> bool {
    question[0] == 32
        && question.get(1..33).is_some_and(|label| label.iter().all(|byte| (b'A'..=b'P').contains(byte)))
}
