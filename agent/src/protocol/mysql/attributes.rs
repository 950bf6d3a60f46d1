//! Query attributes: named values before a COM_QUERY's text (dev.mysql.com, "COM_QUERY"; CLIENT_QUERY_ATTRIBUTES).
//!
//! MySQL's connectors put trace context into them. No other is looked at.

use super::packet::Reader;
use crate::protocol::TraceParent;
use crate::protocol::context;

/// Attributes that are passed over at most.
const MOST: u64 = 64;

/// The text behind the attributes and the trace context in them; `None` if they cannot be read.
pub(super) fn split(payload: &[u8]) -> Option<(&[u8], Option<TraceParent>)> {
    let mut reader = Reader(payload);
    let count = reader.length_encoded()?;
    if reader.length_encoded()? != 1 || count > MOST {
        return None;
    }
    if count == 0 {
        return Some((reader.0, None));
    }
    let nulls = reader.take((count as usize).div_ceil(8))?;
    if reader.u8()? != 1 {
        return None;
    }
    let mut types = [(0_u8, &b""[..]); MOST as usize];
    let types = &mut types[..count as usize];
    for attribute in types.iter_mut() {
        let [kind, _flags] = *reader.take(2)? else { return None };
        *attribute = (kind, reader.length_encoded_text()?);
    }
    let (mut parent, mut state) = (None, None);
    for (index, (kind, name)) in types.iter().enumerate() {
        if nulls[index / 8] & 1 << (index % 8) != 0 {
            continue;
        }
        let value = value(&mut reader, *kind)?;
        match *name {
            b"traceparent" => parent = Some(value),
            b"tracestate" => state = Some(value),
            _ => {}
        }
    }
    Some((reader.0, parent.and_then(|parent| context::parent(parent, state))))
}

/// A value in the binary protocol (dev.mysql.com, "Binary Protocol Value").
fn value<'a>(reader: &mut Reader<'a>, kind: u8) -> Option<&'a [u8]> {
    match kind {
        // Numbers of a fixed length
        0x01 => reader.take(1),
        0x02 | 0x0d => reader.take(2),
        0x03 | 0x04 | 0x09 => reader.take(4),
        0x05 | 0x08 => reader.take(8),
        0x06 => Some(b""),
        // Dates and times
        0x07 | 0x0a..=0x0c => {
            let length = reader.u8()?;
            reader.take(length.into())
        }
        _ => reader.length_encoded_text(),
    }
}
