//! Reading a message by its layout (the protocol guide's "Protocol Primitive Types"; KIP-482 for the compact ones).

use super::schema::{Field, Layout, Meaning, Shape};

/// Why reading ended before the layout did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end here; the message goes on.
    Cut,
    /// No message of this layout looks so.
    Bad,
}

/// The value of a field that means something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// A number.
    Number(i64),
    /// Text, not null.
    Text(&'a [u8]),
    /// An id.
    Id(&'a [u8; 16]),
    /// An array of so many elements begins.
    Many(u64),
    /// Records: what is here of them, and how many bytes they have.
    Records(&'a [u8], u64),
}

/// Takes what the reader finds.
pub(super) trait Visit<'a> {
    /// A field that means something, or records.
    fn value(&mut self, meaning: Meaning, value: Value<'a>);
}

/// A message of which perhaps only the beginning is here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire<'a> {
    /// What is left of the bytes that are here.
    bytes: &'a [u8],
    /// What is left of the message, at least as much.
    length: u64,
}

impl<'a> Wire<'a> {
    /// The beginning of something of `length` bytes.
    pub fn new(bytes: &'a [u8], length: u64) -> Self {
        let here = length.min(bytes.len() as u64) as usize;
        Self { bytes: &bytes[..here], length }
    }

    /// Everything has been read.
    pub fn is_at_end(&self) -> bool {
        self.length == 0
    }

    /// So many bytes.
    pub fn take(&mut self, length: u64) -> Result<&'a [u8], Stop> {
        if length > self.length {
            return Err(Stop::Bad);
        }
        let (taken, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| self.bytes.split_at_checked(length))
            .ok_or(Stop::Cut)?;
        self.bytes = rest;
        self.length -= length;
        Ok(taken)
    }

    /// Passes so many bytes; what is here of them.
    fn pass(&mut self, length: u64) -> Result<&'a [u8], Stop> {
        if length > self.length {
            return Err(Stop::Bad);
        }
        let here = length.min(self.bytes.len() as u64) as usize;
        let (passed, rest) = self.bytes.split_at(here);
        self.bytes = rest;
        self.length -= length;
        Ok(passed)
    }

    /// A number of at most eight bytes.
    pub fn number(&mut self, size: u8) -> Result<i64, Stop> {
        let bytes = self.take(size.into())?;
        let negative = bytes.first().is_some_and(|&byte| byte >= 0x80);
        Ok(bytes.iter().fold(if negative { -1 } else { 0 }, |all, &byte| all << 8 | i64::from(byte)))
    }

    /// An unsigned varint of at most 32 bits.
    pub fn varint(&mut self) -> Result<u64, Stop> {
        let mut all = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            all |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if all <= u64::from(u32::MAX) { Ok(all) } else { Err(Stop::Bad) };
            }
        }
        Err(Stop::Bad)
    }

    /// A length; `None` for null. A length that `size` bytes write where nothing is compact.
    fn length(&mut self, size: u8, flexible: bool) -> Result<Option<u64>, Stop> {
        if flexible {
            return Ok(self.varint()?.checked_sub(1));
        }
        match self.number(size)? {
            -1 => Ok(None),
            length => u64::try_from(length).map(Some).map_err(|_| Stop::Bad),
        }
    }

    /// Text, or null.
    pub fn text(&mut self, flexible: bool) -> Result<Option<&'a [u8]>, Stop> {
        self.length(2, flexible)?.map(|length| self.take(length)).transpose()
    }

    /// The tagged fields at the end of a structure; those that the layout knows are read.
    pub fn tags(&mut self, layout: Layout, version: i16, visit: &mut impl Visit<'a>) -> Result<(), Stop> {
        let many = self.varint()?;
        if many > self.length {
            return Err(Stop::Bad);
        }
        for _ in 0..many {
            let tag = self.varint()?;
            let size = self.varint()?;
            let known =
                layout.iter().filter(|field| field.is_in(version)).find_map(|field| match field.shape {
                    Shape::Tagged(its, fields) if u64::from(its) == tag => Some(fields),
                    _ => None,
                });
            let inner = self.pass(size)?;
            if let Some(fields) = known {
                let mut inner = Wire { bytes: inner, length: size };
                walk(&mut inner, fields, version, true, visit)?;
            }
        }
        Ok(())
    }
}

/// Reads a structure, and its tagged fields if the version is `flexible`.
pub(super) fn walk<'a>(
    wire: &mut Wire<'a>,
    layout: Layout,
    version: i16,
    flexible: bool,
    visit: &mut impl Visit<'a>,
) -> Result<(), Stop> {
    fields(wire, layout, version, flexible, visit)?;
    if flexible { wire.tags(layout, version, visit) } else { Ok(()) }
}

fn fields<'a>(
    wire: &mut Wire<'a>,
    layout: Layout,
    version: i16,
    flexible: bool,
    visit: &mut impl Visit<'a>,
) -> Result<(), Stop> {
    layout
        .iter()
        .filter(|field| field.is_in(version))
        .try_for_each(|field| one(wire, field, version, flexible, visit))
}

fn one<'a>(
    wire: &mut Wire<'a>,
    field: &Field,
    version: i16,
    flexible: bool,
    visit: &mut impl Visit<'a>,
) -> Result<(), Stop> {
    let tell = |visit: &mut _, value| {
        if field.meaning != Meaning::Nothing {
            Visit::value(visit, field.meaning, value);
        }
    };
    match field.shape {
        Shape::Number(size) => tell(visit, Value::Number(wire.number(size)?)),
        Shape::Uuid => {
            if let Ok(id) = wire.take(16)?.try_into() {
                tell(visit, Value::Id(id));
            }
        }
        Shape::Text => {
            if let Some(text) = wire.text(flexible)? {
                tell(visit, Value::Text(text));
            }
        }
        Shape::Bytes => {
            if let Some(length) = wire.length(4, flexible)? {
                wire.pass(length)?;
            }
        }
        Shape::Records => {
            if let Some(length) = wire.length(4, flexible)? {
                let here = wire.pass(length)?;
                visit.value(field.meaning, Value::Records(here, length));
            }
        }
        Shape::Array(element) => {
            for _ in 0..many(wire, flexible, |many| tell(visit, Value::Many(many)))? {
                walk(wire, element, version, flexible, visit)?;
            }
        }
        Shape::Primitives(element) => {
            for _ in 0..many(wire, flexible, |many| tell(visit, Value::Many(many)))? {
                fields(wire, element, version, flexible, visit)?;
            }
        }
        Shape::Structure(fields) => walk(wire, fields, version, flexible, visit)?,
        Shape::Optional(fields) => {
            if wire.number(1)? >= 0 {
                walk(wire, fields, version, flexible, visit)?;
            }
        }
        Shape::Tagged(..) => {}
    }
    Ok(())
}

/// How many elements follow. Each has at least one byte, so there are no more than bytes.
fn many(wire: &mut Wire<'_>, flexible: bool, tell: impl FnOnce(u64)) -> Result<u64, Stop> {
    let Some(many) = wire.length(4, flexible)? else { return Ok(0) };
    if many > wire.length {
        return Err(Stop::Bad);
    }
    tell(many);
    Ok(many)
}
