//! BSON (bsonspec.org, 1.1), as far as it was captured: elements are read in place, one level at a time, and a document
//! that was cut ends where its bytes do. Crates that read BSON want whole documents.

/// A document, or an array, which is one whose names are numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document<'a> {
    /// Its elements, as far as they were captured.
    elements: &'a [u8],
    /// Bytes of it in all, with the length and the terminator.
    pub length: usize,
    /// All of it was captured.
    pub whole: bool,
}

impl<'a> Document<'a> {
    /// The shortest: a length and the terminator.
    const SHORTEST: usize = 5;

    /// The document that `bytes` begin with; `None` if they do not.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(int32(bytes)?).ok()?;
        if length < Self::SHORTEST {
            return None;
        }
        match bytes.get(..length) {
            Some(all) => {
                let (&terminator, rest) = all.split_last()?;
                (terminator == 0).then(|| Self { elements: &rest[4..], length, whole: true })
            }
            None => Some(Self { elements: &bytes[4..], length, whole: false }),
        }
    }

    /// Its elements in their order. The last may be cut.
    pub fn elements(self) -> Elements<'a> {
        Elements { rest: self.elements }
    }
}

/// See [`Document::elements`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

/// A name and a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// Its type, one of [`kind`].
    pub kind: u8,
    /// Its name.
    pub name: &'a [u8],
    /// Its value's bytes, as far as they were captured.
    pub value: &'a [u8],
    /// All of the value was captured.
    pub whole: bool,
}

/// Types of elements that somebody here asks for.
pub(super) mod kind {
    pub const DOUBLE: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const DOCUMENT: u8 = 0x03;
    pub const ARRAY: u8 = 0x04;
    pub const OBJECT_ID: u8 = 0x07;
    pub const BOOLEAN: u8 = 0x08;
    pub const DATE: u8 = 0x09;
    pub const NULL: u8 = 0x0a;
    pub const INT32: u8 = 0x10;
    pub const INT64: u8 = 0x12;
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        let end = memchr::memchr(0, rest)?;
        let (name, rest) = (&rest[..end], &rest[end + 1..]);
        let size = size(kind, rest);
        let (value, after, whole) = match size {
            Size::Bytes(size) if size <= rest.len() => (&rest[..size], &rest[size..], true),
            Size::Bytes(_) | Size::Cut => (rest, &rest[rest.len()..], false),
            Size::Unknown => {
                self.rest = &[];
                return None;
            }
        };
        self.rest = after;
        Some(Element { kind, name, value, whole })
    }
}

impl<'a> Element<'a> {
    /// A whole text.
    pub fn text(&self) -> Option<&'a str> {
        let all = (self.kind == kind::STRING && self.whole).then_some(self.value)?;
        std::str::from_utf8(all.get(4..all.len().checked_sub(1)?)?).ok()
    }

    /// A number of any type, without its fraction.
    pub fn integer(&self) -> Option<i64> {
        match self.kind {
            kind::INT32 => int32(self.value).map(i64::from),
            kind::INT64 => Some(i64::from_le_bytes(self.value.first_chunk().copied()?)),
            kind::DOUBLE => self.double().map(|number| number as i64),
            kind::BOOLEAN => self.value.first().copied().map(i64::from),
            _ => None,
        }
    }

    /// A floating-point number.
    pub fn double(&self) -> Option<f64> {
        (self.kind == kind::DOUBLE).then_some(())?;
        Some(f64::from_le_bytes(self.value.first_chunk().copied()?))
    }

    /// A document or an array.
    pub fn document(&self) -> Option<Document<'a>> {
        matches!(self.kind, kind::DOCUMENT | kind::ARRAY).then(|| Document::read(self.value)).flatten()
    }
}

enum Size {
    Bytes(usize),
    /// Cut before it says.
    Cut,
    /// No type has this number, or no value this length.
    Unknown,
}

/// Bytes of a value of type `kind` that begins with `rest`.
fn size(kind: u8, rest: &[u8]) -> Size {
    let prefixed = |more: usize| match int32(rest) {
        Some(length) => match usize::try_from(length) {
            Ok(length) => Size::Bytes(length + more),
            Err(_) => Size::Unknown,
        },
        None => Size::Cut,
    };
    match kind {
        0x06 | 0x0a | 0x7f | 0xff => Size::Bytes(0),
        0x08 => Size::Bytes(1),
        0x10 => Size::Bytes(4),
        0x01 | 0x09 | 0x11 | 0x12 => Size::Bytes(8),
        0x07 => Size::Bytes(12),
        0x13 => Size::Bytes(16),
        0x02 | 0x0d | 0x0e => prefixed(4),
        0x05 => prefixed(5),
        0x0c => prefixed(4 + 12),
        0x03 | 0x04 | 0x0f => match prefixed(0) {
            Size::Bytes(length) if length < Document::SHORTEST => Size::Unknown,
            size => size,
        },
        0x0b => {
            let pattern = memchr::memchr(0, rest).map(|end| end + 1);
            let options = pattern.and_then(|start| Some(start + memchr::memchr(0, &rest[start..])? + 1));
            options.map_or(Size::Cut, Size::Bytes)
        }
        _ => Size::Unknown,
    }
}

/// The little-endian number that `bytes` begin with.
pub(super) fn int32(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().map(|bytes| i32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mongodb::tests::{doc, int, text};

    /// Elements are read with their types, and every prefix gives a prefix of them.
    #[test]
    fn every_prefix() {
        let nested = doc(&[int("x", 7)]);
        let mut embedded = vec![kind::DOCUMENT];
        embedded.extend_from_slice(b"in\0");
        embedded.extend_from_slice(&nested);
        let regex = b"\x0br\0^a\0i\0".to_vec();
        let all = doc(&[text("find", "orders"), embedded, regex, int("limit", 3)]);
        let names = |bytes: &[u8]| -> Vec<String> {
            let elements = Document::read(bytes).map(Document::elements).into_iter().flatten();
            elements.map(|element| String::from_utf8_lossy(element.name).into_owned()).collect()
        };
        assert_eq!(names(&all), ["find", "in", "r", "limit"]);
        for length in 0..all.len() {
            let found = names(&all[..length]);
            assert_eq!(found, ["find", "in", "r", "limit"][..found.len()], "{length}");
        }
        let elements: Vec<_> = Document::read(&all).unwrap().elements().collect();
        assert_eq!(elements[0].text(), Some("orders"));
        assert_eq!(elements[1].document().unwrap().elements().next().unwrap().integer(), Some(7));
        assert_eq!(elements[3].integer(), Some(3));
    }

    /// Lengths that cannot be end the document.
    #[test]
    fn nonsense() {
        assert!(Document::read(b"\x04\0\0\0\0").is_none());
        assert!(Document::read(b"\xff\xff\xff\xff\0").is_none());
        let bad = doc(&[b"\x02a\0\xff\xff\xff\xffx\0".to_vec(), int("b", 1)]);
        assert_eq!(Document::read(&bad).unwrap().elements().count(), 0);
        let unknown = doc(&[b"\x77a\0".to_vec()]);
        assert_eq!(Document::read(&unknown).unwrap().elements().count(), 0);
    }
}
