//! The binary protocol (memcached's `doc/protocol-binary.txt`): 24 bytes, then extras, key and value.

use crate::protocol::frames::Measure;

/// First byte of a request.
pub(super) const REQUEST: u8 = 0x80;
/// First byte of a response.
pub(super) const RESPONSE: u8 = 0x81;
/// Bytes of a header.
pub(super) const HEADER: usize = 24;
/// Keys are no longer.
const MOST_KEY: u16 = 250;
/// An item is no longer, with its key.
const MOST_BODY: u32 = 1 << 30;

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub name: &'static str,
    /// Only what is out of the ordinary answers it.
    pub quiet: bool,
    /// It asks for a value.
    pub reads: bool,
    /// Lengths of the extras that its request may have.
    extras: &'static [u8],
    /// Lengths of the extras that its response may have.
    answers: &'static [u8],
    /// Whether it has a key; `None` if it may.
    key: Option<bool>,
}

const fn row(
    name: &'static str,
    quiet: bool,
    reads: bool,
    extras: &'static [u8],
    answers: &'static [u8],
    key: Option<bool>,
) -> Operation {
    Operation { name, quiet, reads, extras, answers, key }
}

/// By their codes; section 3.4.
static OPERATIONS: &[(u8, Operation)] = &[
    (0x00, row("get", false, true, &[0], &[0, 4], Some(true))),
    (0x01, row("set", false, false, &[8], &[0], Some(true))),
    (0x02, row("add", false, false, &[8], &[0], Some(true))),
    (0x03, row("replace", false, false, &[8], &[0], Some(true))),
    (0x04, row("delete", false, false, &[0], &[0], Some(true))),
    (0x05, row("increment", false, false, &[20], &[0], Some(true))),
    (0x06, row("decrement", false, false, &[20], &[0], Some(true))),
    (0x07, row("quit", false, false, &[0], &[0], Some(false))),
    (0x08, row("flush", false, false, &[0, 4], &[0], Some(false))),
    (0x09, row("getq", true, true, &[0], &[0, 4], Some(true))),
    (0x0a, row("noop", false, false, &[0], &[0], Some(false))),
    (0x0b, row("version", false, false, &[0], &[0], Some(false))),
    (0x0c, row("getk", false, true, &[0], &[0, 4], Some(true))),
    (0x0d, row("getkq", true, true, &[0], &[0, 4], Some(true))),
    (0x0e, row("append", false, false, &[0], &[0], Some(true))),
    (0x0f, row("prepend", false, false, &[0], &[0], Some(true))),
    (0x10, row("stat", false, false, &[0], &[0], None)),
    (0x11, row("setq", true, false, &[8], &[0], Some(true))),
    (0x12, row("addq", true, false, &[8], &[0], Some(true))),
    (0x13, row("replaceq", true, false, &[8], &[0], Some(true))),
    (0x14, row("deleteq", true, false, &[0], &[0], Some(true))),
    (0x15, row("incrementq", true, false, &[20], &[0], Some(true))),
    (0x16, row("decrementq", true, false, &[20], &[0], Some(true))),
    (0x17, row("quitq", true, false, &[0], &[0], Some(false))),
    (0x18, row("flushq", true, false, &[0, 4], &[0], Some(false))),
    (0x19, row("appendq", true, false, &[0], &[0], Some(true))),
    (0x1a, row("prependq", true, false, &[0], &[0], Some(true))),
    (0x1b, row("verbosity", false, false, &[4], &[0], Some(false))),
    (0x1c, row("touch", false, false, &[4], &[0, 4], Some(true))),
    (0x1d, row("gat", false, true, &[4], &[0, 4], Some(true))),
    (0x1e, row("gatq", true, true, &[4], &[0, 4], Some(true))),
    (0x20, row("sasl list mechs", false, false, &[0], &[0], Some(false))),
    (0x21, row("sasl auth", false, false, &[0], &[0], Some(true))),
    (0x22, row("sasl step", false, false, &[0], &[0], Some(true))),
    (0x23, row("gatk", false, true, &[4], &[0, 4], Some(true))),
    (0x24, row("gatkq", true, true, &[4], &[0, 4], Some(true))),
];

/// `stat`: many responses, the last of which has no key.
pub(super) const STAT: u8 = 0x10;
/// `quit` and `quitq`.
pub(super) const QUIT: [u8; 2] = [0x07, 0x17];

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub response: bool,
    pub code: u8,
    pub key: u16,
    pub extras: u8,
    /// 0 in a request, but for clients that know of partitions.
    pub status: u16,
    pub body: u32,
    pub opaque: u32,
}

impl Header {
    /// Reads a header; `None` if it is cut off, or no message has such a one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let read_u16 = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let read_u32 =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let read = Self {
            response: header[0] == RESPONSE,
            code: header[1],
            key: read_u16(2),
            extras: header[4],
            status: read_u16(6),
            body: read_u32(8),
            opaque: read_u32(12),
        };
        let operation = operation(read.code)?;
        // Nothing but raw bytes was ever a data type.
        let fits = matches!(header[0], REQUEST | RESPONSE)
            && header[5] == 0
            && read.key <= MOST_KEY
            && read.body <= MOST_BODY
            && read.body >= u32::from(read.key) + u32::from(read.extras);
        let right = match read.response {
            true => operation.answers.contains(&read.extras) && error(read.status).is_some(),
            false => {
                operation.extras.contains(&read.extras)
                    && operation.key.is_none_or(|key| key == (read.key > 0))
                    && read.status < 1024
            }
        };
        (fits && right).then_some(read)
    }
}

/// Could a message begin so?
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let at = |index: usize| bytes.get(index).copied();
    let Some(code) = at(1) else { return true };
    operation(code).is_some_and(|operation| {
        let lengths = if at(0) == Some(RESPONSE) { operation.answers } else { operation.extras };
        // No key has more than 250 bytes.
        at(2).is_none_or(|key| key == 0)
            && at(4).is_none_or(|extras| lengths.contains(&extras))
            && at(5).is_none_or(|data_type| data_type == 0)
    })
}

/// The operation with this code.
pub(super) fn operation(code: u8) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|(known, _)| *known == code).map(|(_, operation)| operation)
}

/// What a status says: a word as the text protocol has it, and whether it is an error. `None` for no status at all.
pub(super) fn error(status: u16) -> Option<(&'static str, bool)> {
    Some(match status {
        0x00 => ("OK", false),
        0x01 => ("NOT_FOUND", false),
        0x02 => ("EXISTS", false),
        0x05 => ("NOT_STORED", false),
        0x21 => ("CONTINUE", false),
        0x03 => ("0x0003", true),
        0x04 => ("0x0004", true),
        0x06 => ("0x0006", true),
        0x07 => ("0x0007", true),
        0x08 => ("0x0008", true),
        0x09 => ("0x0009", true),
        0x20 => ("0x0020", true),
        0x81 => ("0x0081", true),
        0x82 => ("0x0082", true),
        0x83 => ("0x0083", true),
        0x84 => ("0x0084", true),
        0x85 => ("0x0085", true),
        0x86 => ("0x0086", true),
        _ => return None,
    })
}

/// Measures a message; `response` says of which stream.
pub(super) fn measure(bytes: &[u8], response: bool) -> Measure {
    if bytes.len() < HEADER {
        let first = if response { RESPONSE } else { REQUEST };
        return if bytes[0] == first { Measure::More } else { Measure::Foreign };
    }
    match Header::read(bytes) {
        Some(header) if header.response == response => {
            Measure::Message { length: HEADER as u64 + u64::from(header.body), wanted: HEADER }
        }
        _ => Measure::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(magic: u8, code: u8, key: u16, extras: u8, status: u16, body: u32) -> Vec<u8> {
        let mut bytes = vec![magic, code];
        bytes.extend(key.to_be_bytes());
        bytes.extend([extras, 0]);
        bytes.extend(status.to_be_bytes());
        bytes.extend(body.to_be_bytes());
        bytes.extend([0; 12]);
        bytes
    }

    #[test]
    fn headers() {
        assert!(Header::read(&bytes(REQUEST, 0x01, 3, 8, 0, 20)).is_some());
        assert!(Header::read(&bytes(RESPONSE, 0x00, 0, 4, 0, 9)).is_some());
        for wrong in [
            bytes(REQUEST, 0x01, 3, 0, 0, 20),
            bytes(REQUEST, 0x00, 0, 0, 0, 0),
            bytes(REQUEST, 0x00, 251, 0, 0, 300),
            bytes(REQUEST, 0x00, 5, 0, 0, 4),
            bytes(REQUEST, 0x55, 5, 0, 0, 5),
            bytes(RESPONSE, 0x00, 0, 0, 0x99, 0),
            bytes(0x82, 0x00, 0, 0, 0, 0),
        ] {
            assert_eq!(Header::read(&wrong), None, "{wrong:?}");
        }
        assert_eq!(
            measure(&bytes(REQUEST, 0x0a, 0, 0, 0, 0), false),
            Measure::Message { length: 24, wanted: 24 }
        );
        assert_eq!(measure(&bytes(REQUEST, 0x0a, 0, 0, 0, 0), true), Measure::Foreign);
    }
}
