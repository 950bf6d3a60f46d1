//! Content headers (specification, 2.3.5.2 and 4.2.6.1): a body's size, and a message's properties.

use super::method::Reader;
use crate::protocol::TraceParent;
use crate::protocol::context;

/// Entries of a headers table that are looked at.
const MAX_ENTRIES: usize = 64;

/// What is read of a content header.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    /// Bytes of the body.
    pub body: u64,
    /// `message-id`
    pub message: Option<&'a [u8]>,
    /// `correlation-id`
    pub correlation: Option<&'a [u8]>,
    /// `traceparent` of the headers.
    pub parent: Option<TraceParent>,
}

/// Reads the payload of a header frame, as far as it is here; `None` if not even the body's size is, or if it is none.
pub(super) fn read(payload: &[u8]) -> Option<Properties<'_>> {
    let mut reader = Reader(payload);
    let (class, weight) = (reader.short()?, reader.short()?);
    if class != super::method::BASIC || weight != 0 {
        return None;
    }
    let mut properties = Properties { body: reader.long_long()?, ..Properties::default() };
    // What is cut off is not known, what comes before it is.
    let _ = read_list(&mut reader, &mut properties);
    Some(properties)
}

fn read_list<'a>(reader: &mut Reader<'a>, out: &mut Properties<'a>) -> Option<()> {
    let flags = reader.short()?;
    // Bit 0 announces more flags; none are defined.
    if flags & 1 != 0 {
        return None;
    }
    let has = |bit: u16| flags & (1 << bit) != 0;
    for bit in [15, 14] {
        // content-type, content-encoding
        if has(bit) {
            reader.short_string()?;
        }
    }
    if has(13) {
        let length = reader.long()? as usize;
        let here = reader.0.len().min(length);
        out.parent = trace_parent(&reader.0[..here]);
        reader.take(length)?;
    }
    // delivery-mode, priority
    reader.take(usize::from(has(12)) + usize::from(has(11)))?;
    if has(10) {
        out.correlation = Some(reader.short_string()?);
    }
    for bit in [9, 8] {
        // reply-to, expiration
        if has(bit) {
            reader.short_string()?;
        }
    }
    if has(7) {
        out.message = Some(reader.short_string()?);
    }
    Some(())
}

/// `traceparent` (and `tracestate`) of a table.
fn trace_parent(table: &[u8]) -> Option<TraceParent> {
    let mut reader = Reader(table);
    let (mut parent, mut state) = (None, None);
    for _ in 0..MAX_ENTRIES {
        if reader.0.is_empty() {
            break;
        }
        let Some((name, value)) = entry(&mut reader) else { break };
        match value {
            Some(value) if name.eq_ignore_ascii_case(b"traceparent") => parent = Some(value),
            Some(value) if name.eq_ignore_ascii_case(b"tracestate") => state = Some(value),
            _ => {}
        }
    }
    context::parent(parent?, state)
}

/// One entry of a table: its name, and its value if that is a string.
fn entry<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let name = reader.short_string()?;
    let kind = reader.octet()?;
    // As RabbitMQ has them; where the specification differs, nobody follows it.
    let length = match kind {
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'd' | b'T' | b'L' => 8,
        b'V' => 0,
        b'S' | b'x' | b'A' | b'F' => reader.long()? as usize,
        _ => return None,
    };
    let value = reader.take(length)?;
    Some((name, matches!(kind, b'S' | b'x').then_some(value)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header with everything before `message-id`.
    pub fn header(body: u64, parent: Option<&str>) -> Vec<u8> {
        let mut table = b"\x05count".to_vec();
        table.extend(b"I\0\0\0\x07\x06nested");
        table.extend(b"F\0\0\0\x04\x01xt\x01");
        if let Some(parent) = parent {
            table.extend(b"\x0btraceparent");
            table.extend(b"S\0\0\0\x37");
            table.extend(parent.as_bytes());
        }
        let mut payload = vec![0, 60, 0, 0];
        payload.extend(body.to_be_bytes());
        payload.extend(0b1111_1111_1000_0000_u16.to_be_bytes());
        payload.extend(b"\x04text\x04gzip");
        payload.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
        payload.extend(table);
        payload.extend(b"\x02\x05\x04corr\x05reply\x0260\x03mid");
        payload
    }

    /// Everything that is wanted of it; cut anywhere, nothing else.
    #[test]
    fn reads() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let payload = header(7, Some(parent));
        let properties = read(&payload).unwrap();
        assert_eq!(properties.body, 7);
        assert_eq!(properties.correlation, Some(&b"corr"[..]));
        assert_eq!(properties.message, Some(&b"mid"[..]));
        assert_eq!(properties.parent.map(|parent| parent.flags), Some(1));
        for cut in 0..payload.len() {
            let cut = read(&payload[..cut]);
            assert!(cut.is_none_or(|properties| properties.body == 7 && properties.message.is_none()));
        }
        assert!(read(b"\0\x28\0\0\0\0\0\0\0\0\0\0\0\0").is_none());
    }
}
