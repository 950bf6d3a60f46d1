//! Record batches and message sets (Kafka's "Message Format"): how many messages, without reading them.
//!
//! Only headers are read; records are passed by position. What lies behind the captured part is not counted, and then
//! there is no number at all.

/// What record batches say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Batches<'a> {
    /// How many messages; `None` if that was not seen, or stands in compressed data.
    pub messages: Option<u64>,
    /// Offset of the first message.
    pub offset: Option<i64>,
    /// `traceparent` and `tracestate` of the only message, if it is not compressed.
    pub context: Option<(&'a [u8], Option<&'a [u8]>)>,
}

/// Offset and length that every batch and message begins with.
const PREFIX: u64 = 12;
/// Where the format's number stands.
const MAGIC: usize = 16;
/// Header of a batch of format 2.
const HEADER: usize = 61;
/// Bits of the attributes: the compression codec; a control batch (a transaction's end), which is no message.
const CODEC: u8 = 0x07;
const CONTROL: u8 = 0x20;

/// Reads batches of `length` bytes in all, of which `bytes` are the first.
pub(super) fn read(bytes: &[u8], length: u64) -> Batches<'_> {
    let mut told = Batches { messages: Some(0), ..Batches::default() };
    let mut at = 0;
    while at + PREFIX < length {
        let Some(batch) = usize::try_from(at).ok().and_then(|at| bytes.get(at..)) else {
            return Batches { messages: None, ..told };
        };
        let unknown = Batches { messages: None, ..told };
        let (Some(offset), Some(size), Some(&magic)) =
            (number::<8>(batch, 0), number::<4>(batch, 8), batch.get(MAGIC))
        else {
            return unknown;
        };
        let Ok(size) = u64::try_from(size) else { return unknown };
        let end = at + PREFIX + size;
        // A broker may cut off the last batch where the consumer's limit is.
        if end > length {
            break;
        }
        let (messages, first) = match magic {
            2 => {
                let Some(header) = batch.get(..HEADER) else { return unknown };
                let count = number::<4>(header, 57).and_then(|count| u64::try_from(count).ok());
                let (Some(count), true) = (count, PREFIX + size >= HEADER as u64) else { return unknown };
                if header[22] & CONTROL != 0 {
                    (0, None)
                } else {
                    if at == 0 && end == length && count == 1 && header[22] & CODEC == 0 {
                        told.context = context(&batch[HEADER..]);
                    }
                    (count, Some(offset))
                }
            }
            0 | 1 => match batch.get(MAGIC + 1) {
                Some(attributes) if attributes & CODEC == 0 => (1, Some(offset)),
                _ => return unknown,
            },
            _ => return unknown,
        };
        told.messages = told.messages.map(|all| all.saturating_add(messages));
        told.offset = told.offset.or(first);
        at = end;
    }
    told
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<i64> {
    let bytes = bytes.get(at..at + N)?;
    let negative = bytes.first().is_some_and(|&byte| byte >= 0x80);
    Some(bytes.iter().fold(if negative { -1 } else { 0 }, |all, &byte| all << 8 | i64::from(byte)))
}

/// The trace context in the headers of a record ("Record", "Record Header").
fn context(record: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    /// More headers than this are not looked through.
    const MOST: i64 = 64;
    let mut rest = record;
    varint(&mut rest)?;
    // Attributes.
    rest = rest.get(1..)?;
    varint(&mut rest)?;
    varint(&mut rest)?;
    nullable(&mut rest)?;
    nullable(&mut rest)?;
    let headers = varint(&mut rest)?;
    let (mut parent, mut state) = (None, None);
    for _ in 0..headers.clamp(0, MOST) {
        let key = nullable(&mut rest)?;
        let value = nullable(&mut rest)?;
        match key {
            b"traceparent" => parent = parent.or(Some(value)),
            b"tracestate" => state = state.or(Some(value)),
            _ => {}
        }
    }
    parent.map(|parent| (parent, state))
}

/// A signed varint, zig-zag.
fn varint(rest: &mut &[u8]) -> Option<i64> {
    let mut all = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        all |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some((all >> 1).cast_signed() ^ -((all & 1).cast_signed()));
        }
    }
    None
}

/// Bytes behind their length; empty if null.
fn nullable<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = varint(rest)?;
    let (taken, behind) = rest.split_at_checked(usize::try_from(length).unwrap_or(0))?;
    *rest = behind;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::super::tests::support::{batch, record};
    use super::*;

    fn counted(bytes: &[u8], length: u64) -> Option<u64> {
        read(bytes, length).messages
    }

    /// Batches are counted by their headers, wherever the captured part ends.
    #[test]
    fn batches() {
        let mut bytes = batch(100, 3, 0, &[0; 30]);
        bytes.extend(batch(103, 7, 2, &[0; 500]));
        let length = bytes.len() as u64;
        assert_eq!(read(&bytes, length), Batches { messages: Some(10), offset: Some(100), context: None });
        let second = bytes.len() - 500;
        assert_eq!(counted(&bytes[..second], length), Some(10));
        assert_eq!(counted(&bytes[..second - 1], length), None);
        assert_eq!(counted(&bytes[..20], length), None);
        // The second is cut off by the broker: it is none.
        assert_eq!(counted(&bytes[..second + 100], second as u64 + 100), Some(3));
        assert_eq!(counted(&[], 0), Some(0));
        // A transaction's end.
        assert_eq!(counted(&batch(0, 1, CONTROL, &[0; 9]), 70), Some(0));
    }

    /// Message sets of the older formats are counted unless they are compressed.
    #[test]
    fn message_sets() {
        let message = |magic: u8, attributes: u8| {
            let mut bytes = vec![0; 30];
            bytes[11] = 18;
            bytes[MAGIC] = magic;
            bytes[MAGIC + 1] = attributes;
            bytes
        };
        let two = [message(0, 0), message(1, 0)].concat();
        assert_eq!(counted(&two, 60), Some(2));
        assert_eq!(counted(&message(1, 1), 30), None);
        assert_eq!(counted(&message(9, 0), 30), None);
    }

    /// The trace context of an only, uncompressed record is found.
    #[test]
    fn contexts() {
        const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let one = record(b"k", b"value", &[(b"a", b"b"), (b"traceparent", PARENT), (b"tracestate", b"x=y")]);
        let bytes = batch(0, 1, 0, &one);
        let length = bytes.len() as u64;
        assert_eq!(read(&bytes, length).context, Some((PARENT, Some(&b"x=y"[..]))));
        assert_eq!(read(&bytes[..bytes.len() - 1], length).context, None);
        assert_eq!(read(&batch(0, 1, 1, &one), length).context, None);
        assert_eq!(read(&batch(0, 2, 0, &one), length).context, None);
    }
}
