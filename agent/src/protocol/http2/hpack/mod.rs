//! Header compression (RFC 7541), for a listener who may not have heard the beginning.
//!
//! Each stream's field lines refer to a table that its earlier ones filled. References count from the newest entry, so
//! what was added since we came is exact, however much lies behind it: what was said before, or in bytes that were lost, is
//! unknown, and a field that refers to it is told as [`Name::Unknown`]. Nothing is guessed.
//!
//! No name is kept as text, and values only of fields that someone needs: no cookie and no credential stays here.

mod huffman;
mod static_table;

use std::collections::VecDeque;

use static_table::ENTRIES;

use super::fields::Name;

/// The table's size until the encoder says otherwise (RFC 9113, 6.5.2).
const DEFAULT_SIZE: usize = 4096;
/// Bytes of a table that are kept at most, as the RFC counts them; entries behind that are unknown.
const MOST: usize = 64 * 1024;
/// As much of a table whose size was agreed before we came.
const MOST_UNTOLD: usize = 16 * 1024;
/// What an entry costs beside its text (RFC 7541, 4.1).
const OVERHEAD: usize = 32;

/// A block that is no header block. What follows on its stream refers to a table that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// An entry of the dynamic table.
#[derive(Debug)]
struct Entry {
    name: Name,
    name_length: usize,
    /// Empty if nobody needs it.
    value: Box<[u8]>,
    size: usize,
}

/// The decoder of one stream.
#[derive(Debug)]
pub struct Decoder {
    /// Newest first.
    table: VecDeque<Entry>,
    size: usize,
    limit: usize,
    /// There may be older entries which we do not know.
    partial: bool,
    scratch: Vec<u8>,
}

/// What is left of a block.
struct Block<'a> {
    rest: &'a [u8],
}

/// How a block ended.
enum Stop {
    /// It goes on where we see nothing.
    Cut,
    Invalid,
}

impl Decoder {
    /// The beginning of a stream; or, `midstream`, some place in it.
    pub fn new(midstream: bool) -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            limit: if midstream { MOST_UNTOLD } else { DEFAULT_SIZE },
            partial: midstream,
            scratch: Vec::new(),
        }
    }

    /// Blocks were lost, or parts of one: all that is in the table stands at places that are not known any more.
    pub fn lose(&mut self) {
        self.table.clear();
        self.size = 0;
        self.limit = MOST_UNTOLD.max(self.limit);
        self.partial = true;
    }

    /// Gives the field lines of a block. Of one that is not `whole`, those that were seen, and its end loses the table.
    ///
    /// # Errors
    /// The block is not valid; the lines before that have been given.
    pub fn decode(
        &mut self,
        block: &[u8],
        whole: bool,
        mut line: impl FnMut(Name, &[u8]),
    ) -> Result<(), Invalid> {
        let mut block = Block { rest: block };
        let mut first = true;
        while !block.rest.is_empty() {
            match self.line(&mut block, first, &mut line) {
                Ok(is_line) => first &= !is_line,
                Err(Stop::Cut) if !whole => break,
                Err(_) => {
                    self.lose();
                    return Err(Invalid);
                }
            }
        }
        if !whole {
            self.lose();
        }
        Ok(())
    }

    /// One representation (RFC 7541, 6); whether it was a field line.
    fn line(
        &mut self,
        block: &mut Block<'_>,
        first: bool,
        line: &mut impl FnMut(Name, &[u8]),
    ) -> Result<bool, Stop> {
        let Some(&kind) = block.rest.first() else { return Err(Stop::Cut) };
        match kind {
            // Indexed field.
            0x80.. => {
                let index = block.integer(7)?;
                match index.checked_sub(1).and_then(|index| ENTRIES.get(index)) {
                    Some((name, value)) => line(Name::of(name.as_bytes()), value.as_bytes()),
                    None => match self.entry(index)? {
                        Some(entry) => line(entry.name, &entry.value),
                        None => line(Name::Unknown, b""),
                    },
                }
                Ok(true)
            }
            // Size update: only before the first line.
            0x20..0x40 => {
                let size = block.integer(5)?;
                if !first {
                    return Err(Stop::Invalid);
                }
                self.limit = size.min(MOST);
                self.evict();
                Ok(false)
            }
            // Literals: with indexing, never indexed, without indexing.
            _ => {
                let indexed = kind & 0x40 != 0;
                let index = block.integer(if indexed { 6 } else { 4 })?;
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                let read = self.literal(block, index, indexed, &mut scratch, line);
                self.scratch = scratch;
                read.map(|()| true)
            }
        }
    }

    fn literal(
        &mut self,
        block: &mut Block<'_>,
        index: usize,
        indexed: bool,
        scratch: &mut Vec<u8>,
        line: &mut impl FnMut(Name, &[u8]),
    ) -> Result<(), Stop> {
        let (name, name_length) = match index {
            0 => {
                let name = block.string(scratch)?;
                if !is_name(name) {
                    return Err(Stop::Invalid);
                }
                (Name::of(name), name.len())
            }
            _ => match ENTRIES.get(index - 1) {
                Some((name, _)) => (Name::of(name.as_bytes()), name.len()),
                None => {
                    self.entry(index)?.map_or((Name::Unknown, 0), |entry| (entry.name, entry.name_length))
                }
            },
        };
        scratch.clear();
        let value = block.string(scratch)?;
        line(name, value);
        if indexed {
            let size = name_length + value.len() + OVERHEAD;
            let value = &value[..value.len().min(name.kept())];
            self.table.push_front(Entry { name, name_length, value: value.into(), size });
            self.size += size;
            self.evict();
        }
        Ok(())
    }

    /// An entry of the dynamic table, `None` if it is one that we do not know.
    fn entry(&self, index: usize) -> Result<Option<&Entry>, Stop> {
        let index = index.checked_sub(ENTRIES.len() + 1).ok_or(Stop::Invalid)?;
        match self.table.get(index) {
            Some(entry) => Ok(Some(entry)),
            // No real table has more entries than this.
            None if self.partial && index < (1 << 20) / OVERHEAD => Ok(None),
            None => Err(Stop::Invalid),
        }
    }

    /// RFC 7541, 4.3 and 4.4
    fn evict(&mut self) {
        while self.size > self.limit {
            let Some(entry) = self.table.pop_back() else { break };
            self.size -= entry.size;
            // A larger table than we keep, or one whose size we do not know, still has it.
            self.partial |= self.limit >= MOST;
        }
    }

    /// Bytes of memory, about.
    #[cfg(test)]
    pub fn weight(&self) -> usize {
        self.table.iter().map(|entry| entry.value.len() + size_of::<Entry>()).sum::<usize>()
            + self.scratch.capacity()
    }
}

/// RFC 9113, 8.2.1: no capitals, no white space, a colon only in front.
fn is_name(name: &[u8]) -> bool {
    let rest = name.strip_prefix(b":").unwrap_or(name);
    !rest.is_empty()
        && rest.iter().all(|&byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'A'..=b'Z' | b':'))
}

impl<'a> Block<'a> {
    /// RFC 7541, 5.1; with more bits than 32 nothing sensible can be meant.
    fn integer(&mut self, prefix: u32) -> Result<usize, Stop> {
        let most = (1_u64 << prefix) - 1;
        let (&first, mut rest) = self.rest.split_first().ok_or(Stop::Cut)?;
        let mut value = u64::from(first) & most;
        if value == most {
            for shift in (0..).step_by(7) {
                let (&byte, behind) = rest.split_first().ok_or(Stop::Cut)?;
                rest = behind;
                value += u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
                if shift >= 21 {
                    return Err(Stop::Invalid);
                }
            }
        }
        self.rest = rest;
        usize::try_from(value).map_err(|_| Stop::Invalid)
    }

    /// RFC 7541, 5.2
    fn string<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Stop>
    where
        'a: 's,
    {
        let coded = self.rest.first().ok_or(Stop::Cut)? & 0x80 != 0;
        let length = self.integer(7)?;
        let Some((string, rest)) = self.rest.split_at_checked(length) else {
            // The beginning of a string that is not, or not yet, here must be sound, too.
            if coded && !huffman::decode(self.rest, false, scratch) {
                return Err(Stop::Invalid);
            }
            return Err(Stop::Cut);
        };
        self.rest = rest;
        if !coded {
            return Ok(string);
        }
        if huffman::decode(string, true, scratch) { Ok(scratch) } else { Err(Stop::Invalid) }
    }
}

#[cfg(test)]
mod tests;
