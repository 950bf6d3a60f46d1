//! Records (specification, 3.3): version, type, request id, length of content and of padding, a reserved byte.

use crate::protocol::Stream;
use crate::protocol::frames::{Framing, Measure};

/// Bytes before the content.
pub(super) const HEAD: usize = 8;
/// Bytes of `PARAMS` that are read of one record.
const PARAMS: usize = 16 * 1024;
/// Bytes of `STDOUT` that are read of one record while a response's head is awaited.
const STDOUT: usize = 4096;

/// Record types (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    Abort,
    End,
    Params,
    Stdin,
    Stdout,
    Stderr,
    Data,
    GetValues,
    Values,
    Unknown,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Kind::Begin,
            2 => Kind::Abort,
            3 => Kind::End,
            4 => Kind::Params,
            5 => Kind::Stdin,
            6 => Kind::Stdout,
            7 => Kind::Stderr,
            8 => Kind::Data,
            9 => Kind::GetValues,
            10 => Kind::Values,
            11 => Kind::Unknown,
            _ => return None,
        })
    }

    /// The stream that it comes on.
    pub fn stream(self) -> Stream {
        match self {
            Kind::Begin | Kind::Abort | Kind::Params | Kind::Stdin | Kind::Data | Kind::GetValues => {
                Stream::ToServer
            }
            Kind::End | Kind::Stdout | Kind::Stderr | Kind::Values | Kind::Unknown => Stream::ToClient,
        }
    }
}

/// The beginning of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub kind: Kind,
    pub id: u16,
    pub content: u16,
    padding: u8,
}

impl Head {
    /// Reads it; `None` if no record begins so.
    pub fn read(bytes: &[u8; HEAD]) -> Option<Self> {
        let [version, kind, id1, id0, length1, length0, padding, reserved] = *bytes;
        let kind = Kind::of(kind)?;
        let (id, content) = (u16::from_be_bytes([id1, id0]), u16::from_be_bytes([length1, length0]));
        let management = matches!(kind, Kind::GetValues | Kind::Values | Kind::Unknown);
        let fits = match kind {
            Kind::Begin | Kind::End | Kind::Unknown => content == 8,
            Kind::Abort => content == 0,
            _ => true,
        };
        (version == 1 && reserved == 0 && fits && (id == 0) == management).then_some(Self {
            kind,
            id,
            content,
            padding,
        })
    }

    /// Bytes of the whole record.
    pub fn length(&self) -> u64 {
        HEAD as u64 + u64::from(self.content) + u64::from(self.padding)
    }

    /// Is what is here of the content as it should be?
    pub fn is_good(&self, content: &[u8]) -> bool {
        match (self.kind, content) {
            // A role that there is, only the flag that there is, and nothing reserved (5.1).
            (Kind::Begin, [0, 1..=3, 0 | 1, 0, 0, 0, 0, 0, ..]) => true,
            (Kind::Begin, _) => content.len() < 8,
            // (5.5)
            (Kind::End, [_, _, _, _, 0..=3, _, _, _, ..]) => true,
            (Kind::End, _) => content.len() < 8,
            _ => true,
        }
    }
}

/// The framing of one stream; `heads` says whether a request waits for the head of its response.
pub(super) struct Records<F> {
    pub stream: Stream,
    pub heads: F,
}

impl<F: Fn(u16) -> bool> Framing for Records<F> {
    fn measure(&self, bytes: &[u8]) -> Measure {
        let Some(head) = bytes.first_chunk::<HEAD>() else {
            let fits = bytes[0] == 1 && bytes.get(1).is_none_or(|kind| Kind::of(*kind).is_some());
            return if fits { Measure::More } else { Measure::Foreign };
        };
        let Some(head) = Head::read(head).filter(|head| head.kind.stream() == self.stream) else {
            return Measure::Foreign;
        };
        let content = match head.kind {
            Kind::Params => PARAMS,
            Kind::Stdout if (self.heads)(head.id) => STDOUT,
            Kind::Begin | Kind::End => 8,
            _ => 0,
        };
        Measure::Message { length: head.length(), wanted: HEAD + content.min(head.content.into()) }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        let Some(head) = bytes.first_chunk::<HEAD>().and_then(Head::read) else { return false };
        let here = &bytes[HEAD..];
        let content = &here[..here.len().min(head.content.into())];
        if head.kind.stream() != self.stream || !head.is_good(content) {
            return false;
        }
        // What follows it is a record, too; where nothing does, only a run's beginning is believed.
        let behind = usize::try_from(head.length()).ok().and_then(|length| bytes.get(length..));
        match behind {
            Some([]) | None => turn,
            Some(behind) => {
                behind[0] == 1 && behind.first_chunk::<HEAD>().is_none_or(|next| Head::read(next).is_some())
            }
        }
    }
}
