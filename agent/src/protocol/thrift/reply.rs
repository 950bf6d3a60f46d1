//! What the struct of a reply says.

use super::head::{Encoding, Head, Kind};
use super::varint::{self, Varint};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Field 0, or none: the result.
    Result,
    /// One of the exceptions that the method declares: the number of its field.
    Declared(i16),
    /// An exception of Thrift itself (`TApplicationException`): its type.
    Application(i32),
    /// It failed; how was not captured.
    Failed,
    /// Not captured, or compressed.
    Unknown,
}

/// Reads a reply of which these bytes were captured, the head with them.
pub(super) fn read(head: &Head, bytes: &[u8]) -> Answer {
    let body = bytes.get(head.body..).unwrap_or_default();
    match head.kind {
        Some(Kind::Reply) => match field(head.encoding, body) {
            None => Answer::Unknown,
            Some(None | Some(Field { number: 0, .. })) => Answer::Result,
            Some(Some(declared)) => Answer::Declared(declared.number),
        },
        Some(Kind::Exception) => application(head.encoding, body).map_or(Answer::Failed, Answer::Application),
        _ => Answer::Unknown,
    }
}

/// A field of a struct.
struct Field<'a> {
    number: i16,
    /// Its type, as the protocol numbers types.
    kind: u8,
    /// What follows its head.
    value: &'a [u8],
}

/// The first field; `Some(None)` if there is no field.
fn field(encoding: Encoding, bytes: &[u8]) -> Option<Option<Field<'_>>> {
    let &first = bytes.first()?;
    if first == 0 {
        return Some(None);
    }
    match encoding {
        Encoding::Binary => {
            let number = i16::from_be_bytes(*bytes.get(1..)?.first_chunk()?);
            Some(Some(Field { number, kind: first, value: &bytes[3..] }))
        }
        Encoding::Compact => {
            let (number, taken) = match first >> 4 {
                0 => zigzag(&bytes[1..])?,
                delta => (i64::from(delta), 0),
            };
            let number = i16::try_from(number).ok()?;
            Some(Some(Field { number, kind: first & 0x0f, value: &bytes[1 + taken..] }))
        }
        Encoding::Compressed => None,
    }
}

/// The type of a `TApplicationException`: field 2, behind the message in field 1 if there is one.
fn application(encoding: Encoding, bytes: &[u8]) -> Option<i32> {
    const BINARY_TEXT: u8 = 11;
    let first = field(encoding, bytes)??;
    let Field { number, kind, value } = match (encoding, first.number) {
        (_, 2) => first,
        (Encoding::Binary, 1) if first.kind == BINARY_TEXT => {
            let length = u32::from_be_bytes(*first.value.first_chunk()?) as usize;
            field(encoding, first.value.get(4..)?.get(length..)?)??
        }
        (Encoding::Compact, 1) => {
            let Varint::Number(length, taken) = varint::read(first.value) else { return None };
            let rest = first.value.get(taken..)?.get(usize::try_from(length).ok()?..)?;
            let second = field(encoding, rest)??;
            // Numbers count from the field before, unless they are written out.
            let before = if rest[0] >> 4 == 0 { 0 } else { first.number };
            Field { number: second.number.checked_add(before)?, ..second }
        }
        _ => return None,
    };
    match encoding {
        Encoding::Binary if number == 2 && kind == 8 => Some(i32::from_be_bytes(*value.first_chunk()?)),
        Encoding::Compact if number == 2 && kind == 5 => {
            zigzag(value).and_then(|(number, _)| i32::try_from(number).ok())
        }
        _ => None,
    }
}

fn zigzag(bytes: &[u8]) -> Option<(i64, usize)> {
    match varint::read(bytes) {
        Varint::Number(number, taken) => Some(((number >> 1) as i64 ^ -((number & 1) as i64), taken)),
        _ => None,
    }
}

/// The name of a `TApplicationException`'s type.
pub(super) fn application_name(kind: i32) -> &'static str {
    match kind {
        1 => "UNKNOWN_METHOD",
        2 => "INVALID_MESSAGE_TYPE",
        3 => "WRONG_METHOD_NAME",
        4 => "BAD_SEQUENCE_ID",
        5 => "MISSING_RESULT",
        6 => "INTERNAL_ERROR",
        7 => "PROTOCOL_ERROR",
        8 => "INVALID_TRANSFORM",
        9 => "INVALID_PROTOCOL",
        10 => "UNSUPPORTED_CLIENT_TYPE",
        _ => "UNKNOWN",
    }
}
