//! Control packets (MQTT 5, 2 and 3): a byte of type and flags, the length of the rest, the rest.

use super::properties;
use crate::protocol::Stream;
use crate::protocol::frames::{Framing, Measure};

/// Bytes of a packet that are read: topic and properties, or the first filters.
const WANTED: usize = 4096;

/// Control packet types (2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    Auth,
}

impl Kind {
    /// By the first byte, whose flags have to be as they are reserved (2.1.3).
    fn of(first: u8) -> Option<Self> {
        let quality = first >> 1 & 3;
        let duplicate = first & 8 != 0;
        Some(match (first >> 4, first & 15) {
            (1, 0) => Kind::Connect,
            (2, 0) => Kind::Connack,
            (3, _) if quality < 3 && !(quality == 0 && duplicate) => Kind::Publish,
            (4, 0) => Kind::Puback,
            (5, 0) => Kind::Pubrec,
            (6, 2) => Kind::Pubrel,
            (7, 0) => Kind::Pubcomp,
            (8, 2) => Kind::Subscribe,
            (9, 0) => Kind::Suback,
            (10, 2) => Kind::Unsubscribe,
            (11, 0) => Kind::Unsuback,
            (12, 0) => Kind::Pingreq,
            (13, 0) => Kind::Pingresp,
            (14, 0) => Kind::Disconnect,
            (15, 0) => Kind::Auth,
            _ => return None,
        })
    }

    /// The only stream that it can come on, if there is one.
    pub fn stream(self) -> Option<Stream> {
        match self {
            Kind::Connect | Kind::Subscribe | Kind::Unsubscribe | Kind::Pingreq => Some(Stream::ToServer),
            Kind::Connack | Kind::Suback | Kind::Unsuback | Kind::Pingresp => Some(Stream::ToClient),
            _ => None,
        }
    }

    /// What may follow the fixed header, in bytes.
    fn fits(self, rest: u32) -> bool {
        const ANY: u32 = 268_435_455;
        // Reasons and properties; more of them is no answer.
        const SOME: u32 = 65_536;
        let (least, most) = match self {
            Kind::Connect => (10, ANY),
            Kind::Publish => (2, ANY),
            Kind::Subscribe => (6, ANY),
            Kind::Unsubscribe => (5, ANY),
            Kind::Suback => (3, SOME),
            Kind::Connack | Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp | Kind::Unsuback => {
                (2, SOME)
            }
            Kind::Pingreq | Kind::Pingresp => (0, 0),
            Kind::Disconnect | Kind::Auth => (0, SOME),
        };
        (least..=most).contains(&rest)
    }
}

/// A fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub kind: Kind,
    /// The first byte.
    pub first: u8,
    /// Bytes of the fixed header.
    pub size: usize,
    /// Bytes behind it.
    pub rest: u32,
}

/// What the first bytes of a packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Head(Head),
    More,
    Foreign,
}

impl Head {
    pub fn read(bytes: &[u8]) -> Start {
        let Some((&first, behind)) = bytes.split_first() else { return Start::More };
        let Some(kind) = Kind::of(first) else { return Start::Foreign };
        match variable(behind) {
            Some((rest, size)) if kind.fits(rest) => Start::Head(Self { kind, first, size: size + 1, rest }),
            None if behind.len() < 4 && behind.iter().all(|byte| *byte >= 0x80) => Start::More,
            _ => Start::Foreign,
        }
    }

    /// Bytes of the whole packet.
    pub fn length(&self) -> u64 {
        self.size as u64 + u64::from(self.rest)
    }
}

/// A variable byte integer (1.5.5) and the bytes that it takes; `None` if it is not whole, or longer than it has to be.
pub(super) fn variable(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (*byte != 0 || index == 0).then_some((value, index + 1));
        }
    }
    None
}

/// Reads numbers and strings (1.5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    pub fn short(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A string, or binary data.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(length.into())
    }
}

/// A `PUBLISH` (3.3), up to its packet identifier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publish<'a> {
    pub duplicate: bool,
    pub quality: u8,
    pub retained: bool,
    pub topic: &'a [u8],
    /// 0 of quality of service 0.
    pub id: u16,
    /// What is here of the rest: properties, if it is version 5, and payload.
    pub behind: &'a [u8],
    /// Bytes of the rest.
    pub length: u64,
}

impl<'a> Publish<'a> {
    /// Reads what follows a fixed header; `None` if too little is here, or if it is none.
    pub fn read(head: &Head, rest: &'a [u8]) -> Option<Self> {
        let quality = head.first >> 1 & 3;
        let mut reader = Reader(rest);
        let topic = reader.string()?;
        let id = if quality > 0 { reader.short().filter(|id| *id != 0)? } else { 0 };
        let before = 2 + topic.len() as u64 + if quality > 0 { 2 } else { 0 };
        let length = u64::from(head.rest).checked_sub(before)?;
        is_text(topic).then_some(Self {
            duplicate: head.first & 8 != 0,
            quality,
            retained: head.first & 1 != 0,
            topic,
            id,
            behind: reader.0,
            length,
        })
    }
}

/// UTF-8 without control characters, and without the wildcards that a topic name must not have (4.7.1).
fn is_text(topic: &[u8]) -> bool {
    !topic.iter().any(|byte| matches!(byte, 0..=31 | 127 | b'+' | b'#')) && std::str::from_utf8(topic).is_ok()
}

/// Filters of a `SUBSCRIBE` or `UNSUBSCRIBE`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters<'a> {
    pub first: &'a [u8],
    pub count: usize,
    /// What was read, to the end, is version 5.
    pub five: bool,
    all: &'a [u8],
    options: usize,
}

impl<'a> Filters<'a> {
    /// Reads all of them, behind the packet identifier; `None` if that is not exactly what is here.
    pub fn read(rest: &'a [u8], options: bool) -> Option<Self> {
        let read = |five: bool| {
            let all = match five {
                true => &rest[properties::read(rest).filter(|read| read.whole)?.size..],
                false => rest,
            };
            let mut filters = Self { first: &[], count: 0, five, all, options: usize::from(options) };
            let mut left = all;
            while !left.is_empty() {
                let (filter, behind) = filters.next(left)?;
                if filters.count == 0 {
                    filters.first = filter;
                }
                filters.count += 1;
                left = behind;
            }
            (filters.count > 0).then_some(filters)
        };
        read(false).or_else(|| read(true))
    }

    fn next(&self, left: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let mut reader = Reader(left);
        let filter = reader.string()?;
        let good = !filter.is_empty()
            && !filter.iter().any(|byte| matches!(byte, 0..=31 | 127))
            && std::str::from_utf8(filter).is_ok();
        let options = reader.take(self.options)?;
        // Quality of service 3, and reserved bits (3.8.3.1).
        (good && options.iter().all(|options| options & 0xc0 == 0 && options & 3 < 3))
            .then_some((filter, reader.0))
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut left = self.all;
        std::iter::from_fn(move || {
            let (filter, behind) = self.next(left)?;
            left = behind;
            Some(filter)
        })
    }
}

/// The framing of one stream.
pub(super) struct Packets(pub Stream);

impl Packets {
    fn head(&self, bytes: &[u8]) -> Start {
        match Head::read(bytes) {
            Start::Head(head) if head.kind.stream().is_some_and(|stream| stream != self.0) => Start::Foreign,
            start => start,
        }
    }
}

impl Framing for Packets {
    fn measure(&self, bytes: &[u8]) -> Measure {
        match self.head(bytes) {
            Start::Head(head) => Measure::Message { length: head.length(), wanted: WANTED },
            Start::More => Measure::More,
            Start::Foreign => Measure::Foreign,
        }
    }

    /// A packet that is good, and of a whole one what follows too.
    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        let mut left = bytes;
        for _ in 0..4 {
            let Start::Head(head) = self.head(left) else { return false };
            let here = left.len().min(usize::try_from(head.length()).unwrap_or(usize::MAX));
            let rest = &left[head.size..here];
            if !is_good(&head, rest) {
                return false;
            }
            let whole = rest.len() == head.rest as usize;
            left = &left[here..];
            if left.is_empty() {
                // Elsewhere than at a run's beginning it may be anything that looks like a packet.
                return whole || turn;
            }
        }
        true
    }
}

/// Does what is here of a packet look as it should?
pub(super) fn is_good(head: &Head, rest: &[u8]) -> bool {
    let whole = rest.len() == head.rest as usize;
    let identified = || matches!(rest, [high, low, ..] if [*high, *low] != [0, 0]);
    match head.kind {
        Kind::Connect => Connect::read(rest).is_some(),
        Kind::Connack => matches!(rest, [0 | 1, ..]),
        Kind::Publish => Publish::read(head, rest).is_some_and(|publish| !publish.topic.is_empty()),
        Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp => {
            identified() && (head.rest == 2 || whole && is_reason(&rest[2..]))
        }
        Kind::Subscribe | Kind::Unsubscribe => {
            identified() && (!whole || Filters::read(&rest[2..], head.kind == Kind::Subscribe).is_some())
        }
        Kind::Suback | Kind::Unsuback => identified(),
        Kind::Pingreq | Kind::Pingresp => true,
        Kind::Disconnect | Kind::Auth => rest.is_empty() || is_reason(rest),
    }
}

/// A reason code, and perhaps properties (version 5).
fn is_reason(rest: &[u8]) -> bool {
    match rest {
        [_] => true,
        [_, properties @ ..] => {
            properties::read(properties).is_some_and(|read| read.whole && read.size == properties.len())
        }
        [] => false,
    }
}

/// A `CONNECT` (3.1), up to the client's identifier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connect<'a> {
    /// 3, 4 (which is 3.1.1) or 5.
    pub level: u8,
    /// Empty if the server is to choose one.
    pub client: &'a [u8],
}

impl<'a> Connect<'a> {
    pub fn read(rest: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(rest);
        let name = reader.string()?;
        let level = reader.byte()?;
        // The highest bit says that a bridge speaks.
        let known = matches!((name, level & 0x7f), (b"MQTT", 4 | 5) | (b"MQIsdp", 3));
        let flags = reader.byte().filter(|flags| known && flags & 1 == 0)?;
        let _ = (flags, reader.short()?);
        if level & 0x7f == 5 {
            let read = properties::read(reader.0).filter(|read| read.whole)?;
            reader.take(read.size)?;
        }
        // What comes behind it may be too long to be here: a will, a password.
        Some(Self { level: level & 0x7f, client: reader.string()? })
    }
}
