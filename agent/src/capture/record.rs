//! Records as user space reads them.

use remora_abi::Plain;
use remora_abi::record::{
    CLOSE, Close, DATAGRAM, Datagram, EXEC, EXIT, Exec, Exit, FAILED, FORK, Failed, Fork, Header, OPEN, Open,
    RESET, Reset, SAMPLE, SEGMENT, Sample, Segment, USER,
};

/// [`Header::kind`]: [`ProcessFacts`](crate::identity::ProcessFacts) of an exec event follow as JSON.
pub const USER_EXEC: u32 = USER;
/// [`Header::kind`]: facts that `/proc` told of a process follow as JSON.
pub const USER_FACTS: u32 = USER + 1;

/// A record and its payload, borrowed from the bytes that it was read from.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// Bytes moved; the captured ones follow.
    Segment(Segment, &'a [u8]),
    /// A UDP datagram; its captured bytes follow.
    Datagram(Datagram, &'a [u8]),
    /// A connection's first segment is about to come.
    Open(&'a [u8]),
    /// A connection is over.
    Close(Close),
    /// What TCP knows of a connection.
    Sample(Sample),
    /// A connection was broken off.
    Reset(Reset),
    /// A connection came to nothing.
    Failed(Failed),
    /// A process runs a new program; argument and environment blocks follow.
    Exec(Exec, &'a [u8], &'a [u8]),
    /// A process was forked.
    Fork(Fork),
    /// A process ended.
    Exit(Exit),
    /// Facts of a process as JSON: `true` if they are those of an exec event.
    Facts(bool, &'a [u8]),
}

impl<'a> Record<'a> {
    /// Reads a record. `None` if the bytes are too short for what they say they are, or of an unknown kind.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::read(bytes)?;
        let payload = |fixed: usize| bytes.get(fixed..)?.get(..header.payload as usize);
        Some(match header.kind {
            SEGMENT => Record::Segment(Segment::read(bytes)?, payload(size_of::<Segment>())?),
            DATAGRAM => Record::Datagram(Datagram::read(bytes)?, payload(size_of::<Datagram>())?),
            OPEN => Record::Open(bytes.get(..size_of::<Open>())?),
            CLOSE => Record::Close(Close::read(bytes)?),
            SAMPLE => Record::Sample(Sample::read(bytes)?),
            RESET => Record::Reset(Reset::read(bytes)?),
            FAILED => Record::Failed(Failed::read(bytes)?),
            EXEC => {
                let exec = Exec::read(bytes)?;
                let payload = payload(size_of::<Exec>())?;
                let (arguments, environment) = payload.split_at_checked(exec.arguments as usize)?;
                Record::Exec(exec, arguments, environment)
            }
            FORK => Record::Fork(Fork::read(bytes)?),
            EXIT => Record::Exit(Exit::read(bytes)?),
            USER_EXEC => Record::Facts(true, payload(size_of::<Header>())?),
            USER_FACTS => Record::Facts(false, payload(size_of::<Header>())?),
            _ => return None,
        })
    }

    /// The part of `bytes` that belongs to the record: what the ring buffer gives may be longer.
    #[must_use]
    pub fn trim(bytes: &[u8]) -> Option<&[u8]> {
        let header = Header::read(bytes)?;
        let fixed = match header.kind {
            SEGMENT => size_of::<Segment>(),
            DATAGRAM => size_of::<Datagram>(),
            OPEN => size_of::<Open>(),
            CLOSE => size_of::<Close>(),
            SAMPLE => size_of::<Sample>(),
            RESET => size_of::<Reset>(),
            FAILED => size_of::<Failed>(),
            EXEC => size_of::<Exec>(),
            FORK => size_of::<Fork>(),
            EXIT => size_of::<Exit>(),
            USER_EXEC | USER_FACTS => size_of::<Header>(),
            _ => return None,
        };
        bytes.get(..fixed.checked_add(header.payload as usize)?)
    }

    /// When it happened.
    #[must_use]
    pub fn time(bytes: &[u8]) -> Option<u64> {
        Header::read(bytes).map(|header| header.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No prefix of a record is taken for the record.
    #[test]
    fn prefixes_are_refused() {
        let segment = Segment { header: Header { kind: SEGMENT, payload: 3, time: 7 }, ..Segment::default() };
        let mut bytes = segment.as_bytes().to_vec();
        bytes.extend_from_slice(b"abc");
        for end in 0..bytes.len() {
            assert!(Record::read(&bytes[..end]).is_none(), "{end}");
        }
        let Some(Record::Segment(read, payload)) = Record::read(&bytes) else { panic!() };
        assert_eq!((read, payload), (segment, &b"abc"[..]));
        bytes.extend_from_slice(b"behind");
        assert_eq!(Record::trim(&bytes).map(<[u8]>::len), Some(size_of::<Segment>() + 3));
    }

    /// Lengths that lie are refused, not believed.
    #[test]
    fn lying_lengths_are_refused() {
        let exec =
            Exec { header: Header { kind: EXEC, payload: 2, time: 0 }, arguments: 9, ..Exec::default() };
        let mut bytes = exec.as_bytes().to_vec();
        bytes.extend_from_slice(b"ab");
        assert!(Record::read(&bytes).is_none());
        let header = Header { kind: SEGMENT, payload: u32::MAX, time: 0 };
        assert!(Record::read(Segment { header, ..Segment::default() }.as_bytes()).is_none());
        assert!(Record::read(Header { kind: 4711, ..header }.as_bytes()).is_none());
    }
}
