//! Values of a body, one behind the other: Hessian 2 (`hessian.caucho.com`, "Hessian 2.0 Serialization Protocol", 5), JSON
//! lines (Fastjson, Gson), or JSONB behind its length (Fastjson 2).

/// How values are written (`org.apache.dubbo.common.serialize.Constants`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serialization {
    Hessian2,
    JsonLines,
    Jsonb,
    /// One that is not read.
    Other,
}

impl Serialization {
    /// The one with this number.
    pub fn of(number: u8) -> Option<Self> {
        Some(match number {
            2 => Serialization::Hessian2,
            6 | 16 => Serialization::JsonLines,
            23 => Serialization::Jsonb,
            // Java, compacted Java, native Java, Kryo, FST, native Hessian, Avro, Protostuff, MessagePack, Protobuf (as
            // JSON, and as it is), Kryo 5 and others.
            1 | 3..=5 | 7..=15 | 17..=22 | 24..=31 => Serialization::Other,
            _ => return None,
        })
    }
}

/// What is left of a body. Everything gives `None` where the bytes end, or are something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    serialization: Serialization,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    pub fn new(serialization: Serialization, bytes: &'a [u8]) -> Self {
        Self { serialization, bytes }
    }

    /// A text; an empty one for null.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        match self.serialization {
            Serialization::Hessian2 => self.hessian_text(),
            Serialization::JsonLines => {
                let line = self.line()?;
                if line == b"null" {
                    return Some(&[]);
                }
                line.strip_prefix(b"\"")?.strip_suffix(b"\"")
            }
            Serialization::Jsonb => {
                let mut value = self.behind_length()?;
                jsonb_text(&mut value)
            }
            Serialization::Other => None,
        }
    }

    /// A small number.
    pub fn small(&mut self) -> Option<u8> {
        match self.serialization {
            Serialization::Hessian2 => {
                let (&first, rest) = self.bytes.split_first()?;
                self.bytes = rest;
                (0x90..=0xbf).contains(&first).then(|| first - 0x90)
            }
            Serialization::JsonLines => match self.line()? {
                [digit @ b'0'..=b'9'] => Some(digit - b'0'),
                _ => None,
            },
            Serialization::Jsonb => match self.behind_length()? {
                // An integer, or a byte.
                [number @ 0..=47] | [0xbd, number] => Some(*number),
                _ => None,
            },
            Serialization::Other => None,
        }
    }

    /// The class of the object that comes next.
    pub fn class(&mut self) -> Option<&'a [u8]> {
        const HESSIAN_CLASS: u8 = b'C';
        const HESSIAN_TYPED_MAP: u8 = b'M';
        const JSONB_TYPED: u8 = 0x92;
        match self.serialization {
            Serialization::Hessian2 => {
                let (&first, rest) = self.bytes.split_first()?;
                self.bytes = rest;
                matches!(first, HESSIAN_CLASS | HESSIAN_TYPED_MAP).then(|| self.hessian_text()).flatten()
            }
            Serialization::Jsonb => {
                // The object may be longer than what was read.
                let rest = self.bytes.get(4..)?;
                let (&first, mut rest) = rest.split_first()?;
                (first == JSONB_TYPED).then(|| jsonb_text(&mut rest)).flatten()
            }
            Serialization::JsonLines | Serialization::Other => None,
        }
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.bytes)?;
        let line = &self.bytes[..end];
        self.bytes = &self.bytes[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn behind_length(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(*self.bytes.first_chunk()?) as usize;
        let rest = &self.bytes[4..];
        let value = rest.get(..length)?;
        self.bytes = &rest[length..];
        Some(value)
    }

    /// One chunk: names are short. Lengths count UTF-16 units.
    fn hessian_text(&mut self) -> Option<&'a [u8]> {
        let (&first, rest) = self.bytes.split_first()?;
        let (units, rest) = match first {
            b'N' => (0, rest),
            0x00..=0x1f => (usize::from(first), rest),
            0x30..=0x33 => {
                let (&low, rest) = rest.split_first()?;
                (usize::from(first - 0x30) << 8 | usize::from(low), rest)
            }
            b'S' => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
            _ => return None,
        };
        let mut length = 0;
        let mut left = units;
        while left > 0 {
            let (bytes, taken) = match *rest.get(length)? {
                0x00..=0x7f => (1, 1),
                0xc0..=0xdf => (2, 1),
                0xe0..=0xef => (3, 1),
                0xf0..=0xf7 => (4, 2),
                _ => return None,
            };
            length += bytes;
            left = left.saturating_sub(taken);
        }
        let text = rest.get(..length)?;
        self.bytes = &rest[length..];
        Some(text)
    }
}

/// A text in JSONB: short ASCII, or ASCII or UTF-8 behind its length.
fn jsonb_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    const NULL: u8 = 0xaf;
    const SHORT_ASCII: u8 = 0x49;
    const LONGEST_SHORT: u8 = 0x78;
    const ASCII: u8 = 0x79;
    const UTF8: u8 = 0x7a;
    let (&first, rest) = bytes.split_first()?;
    let (length, rest) = match first {
        NULL => (0, rest),
        SHORT_ASCII..=LONGEST_SHORT => (usize::from(first - SHORT_ASCII), rest),
        ASCII | UTF8 => {
            let (&length, rest) = rest.split_first()?;
            match length {
                0..=47 => (usize::from(length), rest),
                // The first of two bytes.
                0x38..=0x3f => {
                    let (&low, rest) = rest.split_first()?;
                    (usize::from(length - 0x38) << 8 | usize::from(low), rest)
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    let text = rest.get(..length)?;
    *bytes = &rest[length..];
    Some(text)
}
