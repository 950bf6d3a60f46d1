//! Reading Jute, ZooKeeper's encoding: big-endian numbers, and bytes behind their length (-1 for null).

use super::operation::{Operation, Part, operation};

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end here; the message goes on.
    Cut,
    /// No message looks so.
    Bad,
}

/// A message of which perhaps only the beginning is here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire<'a> {
    bytes: &'a [u8],
    length: u64,
}

impl<'a> Wire<'a> {
    /// The beginning of something of `length` bytes.
    pub fn new(bytes: &'a [u8], length: u64) -> Self {
        let here = length.min(bytes.len() as u64) as usize;
        Self { bytes: &bytes[..here], length }
    }

    pub fn is_at_end(&self) -> bool {
        self.length == 0
    }

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

    fn pass(&mut self, length: u64) -> Result<(), Stop> {
        if length > self.length {
            return Err(Stop::Bad);
        }
        self.bytes = &self.bytes[length.min(self.bytes.len() as u64) as usize..];
        self.length -= length;
        Ok(())
    }

    /// A number of four bytes.
    pub fn int(&mut self) -> Result<i32, Stop> {
        let bytes = self.take(4)?.first_chunk().ok_or(Stop::Cut)?;
        Ok(i32::from_be_bytes(*bytes))
    }

    /// A number of eight bytes.
    pub fn long(&mut self) -> Result<i64, Stop> {
        let bytes = self.take(8)?.first_chunk().ok_or(Stop::Cut)?;
        Ok(i64::from_be_bytes(*bytes))
    }

    /// A length; `None` for null.
    fn size(&mut self) -> Result<Option<u64>, Stop> {
        match self.int()? {
            -1 => Ok(None),
            size => u64::try_from(size).map(Some).map_err(|_| Stop::Bad),
        }
    }

    /// A path: it begins with a slash.
    pub fn path(&mut self) -> Result<&'a [u8], Stop> {
        let size = self.size()?.filter(|size| (1..=self.length).contains(size)).ok_or(Stop::Bad)?;
        match self.bytes.first() {
            None => Err(Stop::Cut),
            Some(b'/') => self.take(size),
            Some(_) => Err(Stop::Bad),
        }
    }

    fn nullable(&mut self) -> Result<(), Stop> {
        self.size()?.map_or(Ok(()), |size| self.pass(size))
    }

    fn vector(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        let many = self.size()?.unwrap_or(0);
        // Each element has at least a length.
        if many > self.length / 4 {
            return Err(Stop::Bad);
        }
        (0..many).try_for_each(|_| element(self))
    }

    /// Passes a request's parts; its path.
    pub fn parts(&mut self, parts: &[Part]) -> Result<Option<&'a [u8]>, Stop> {
        let mut path = None;
        self.parts_into(parts, &mut path)?;
        Ok(path)
    }

    fn parts_into(&mut self, parts: &[Part], path: &mut Option<&'a [u8]>) -> Result<(), Stop> {
        for part in parts {
            match part {
                Part::Path => *path = Some(self.path()?),
                Part::Text | Part::Buffer => self.nullable()?,
                Part::Acls => self.vector(|wire| {
                    wire.pass(4)?;
                    wire.nullable()?;
                    wire.nullable()
                })?,
                Part::Texts => self.vector(Self::nullable)?,
                Part::Bytes(size) => self.pass(u64::from(*size))?,
            }
        }
        Ok(())
    }
}

/// What a request's body says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Body<'a> {
    pub path: Option<&'a [u8]>,
    /// Operations in a multi; `None` if they were not all seen.
    pub operations: Option<u64>,
}

/// Reads a request's body; with what ended that, if it was not the body's end.
pub(super) fn body<'a>(wire: &mut Wire<'a>, operation: &Operation) -> (Body<'a>, Result<(), Stop>) {
    let mut body = Body::default();
    let read = if operation.is_multi() {
        multi(wire).map(|many| body.operations = Some(many))
    } else {
        wire.parts_into(operation.parts, &mut body.path)
    };
    (body, read)
}

/// Several operations, each behind a header: its code, whether it is the last, an error code. How many.
fn multi(wire: &mut Wire<'_>) -> Result<u64, Stop> {
    let mut many = 0;
    loop {
        let code = wire.int()?;
        let done = wire.take(1)?[0];
        wire.pass(4)?;
        match (done, operation(code)) {
            (1, _) => return Ok(many),
            (0, Some(operation)) if !operation.is_multi() => {
                wire.parts(operation.parts)?;
                many += 1;
            }
            _ => return Err(Stop::Bad),
        }
    }
}

/// The error of the first operation of a multi that failed, out of its response: if one fails, there are errors only.
pub(super) fn multi_error(wire: &mut Wire<'_>) -> Option<i32> {
    const ERROR: i32 = -1;
    loop {
        let code = wire.int().ok()?;
        let done = wire.take(1).ok()?[0];
        wire.int().ok()?;
        if done != 0 || code != ERROR {
            return None;
        }
        let error = wire.int().ok()?;
        if error != 0 && error != super::error::RUNTIME_INCONSISTENCY {
            return Some(error);
        }
    }
}
