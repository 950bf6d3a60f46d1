//! The end of a struct, found without keeping it: chunk by chunk, passing by position what has a known length.

use super::head::Encoding;
use super::varint::{self, Varint};

/// Structs and containers in each other; what is deeper is no message.
const MOST_DEPTH: usize = 64;

/// Types of the binary protocol. The compact protocol's are translated to them.
mod kind {
    pub const STOP: u8 = 0;
    pub const BOOL: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const DOUBLE: u8 = 4;
    pub const I16: u8 = 6;
    pub const I32: u8 = 8;
    pub const I64: u8 = 10;
    pub const STRING: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const MAP: u8 = 13;
    pub const SET: u8 = 14;
    pub const LIST: u8 = 15;
    pub const UUID: u8 = 16;
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Struct,
    /// Elements of one type, or keys and values by turns, that are left.
    Elements {
        types: [u8; 2],
        left: u64,
    },
}

/// What is read next, in pieces if need be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// So many bytes of no interest.
    Skip(u64),
    /// What the level above asks for.
    Next,
    /// The length of a text.
    Length,
    /// A number of variable length.
    Number,
    /// A list's type and length.
    List,
    /// A map's types and length.
    Map,
}

/// The walk through one struct.
#[derive(Debug)]
pub(super) struct Skip {
    compact: bool,
    levels: Vec<Level>,
    item: Item,
    /// The beginning of an item that was cut by the end of a chunk.
    part: [u8; 16],
    filled: usize,
}

/// A struct cannot be like this.
#[derive(Debug)]
pub(super) struct Malformed;

impl Skip {
    pub fn new() -> Self {
        Self { compact: false, levels: Vec::new(), item: Item::Next, part: [0; 16], filled: 0 }
    }

    /// A struct begins.
    pub fn begin(&mut self, encoding: Encoding) {
        self.compact = encoding == Encoding::Compact;
        self.levels.clear();
        self.levels.push(Level::Struct);
        self.item = Item::Next;
        self.filled = 0;
    }

    /// Bytes that pass before anything of interest comes.
    pub fn quiet(&self) -> u64 {
        if let Item::Skip(length) = self.item { length } else { 0 }
    }

    pub fn is_over(&self) -> bool {
        self.levels.is_empty() && matches!(self.item, Item::Next | Item::Skip(0))
    }

    /// Bytes pass that were not captured: how many belong to the struct for certain. The place is lost if that is not all
    /// of them.
    pub fn hole(&mut self, length: u64) -> u64 {
        let Item::Skip(left) = &mut self.item else { return 0 };
        let passed = length.min(*left);
        *left -= passed;
        passed
    }

    /// Takes bytes of the struct; how many, which is less than all if it ends with them.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut rest = bytes;
        while !self.is_over() {
            if let Item::Skip(left) = self.item {
                let passed = left.min(rest.len() as u64);
                rest = &rest[passed as usize..];
                self.item = if passed == left { Item::Next } else { Item::Skip(left - passed) };
                if passed < left {
                    break;
                }
                continue;
            }
            // What was cut is completed in the small buffer.
            let before = self.filled;
            let taken = if before > 0 {
                let more = rest.len().min(self.part.len() - before);
                self.part[before..before + more].copy_from_slice(&rest[..more]);
                let part = self.part;
                self.read(&part[..before + more])?
            } else {
                self.read(rest)?
            };
            match taken {
                Some(taken) => {
                    rest = &rest[taken.saturating_sub(before).min(rest.len())..];
                    self.filled = 0;
                }
                None => {
                    let more = rest.len().min(self.part.len() - before);
                    if more == 0 && !rest.is_empty() {
                        return Err(Malformed);
                    }
                    self.part[before..before + more].copy_from_slice(&rest[..more]);
                    self.filled = before + more;
                    rest = &rest[more..];
                    break;
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Reads one item from `bytes`; how many it has, `None` if it is not all there.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        match self.item {
            Item::Skip(_) => Ok(Some(0)),
            Item::Next => self.next(bytes),
            Item::Number => Ok(self.number(bytes)?.map(|(_, taken)| {
                self.item = Item::Next;
                taken
            })),
            Item::Length => {
                let Some((length, taken)) = self.length(bytes)? else { return Ok(None) };
                self.item = Item::Skip(length);
                Ok(Some(taken))
            }
            Item::List => {
                let Some(&first) = bytes.first() else { return Ok(None) };
                let (element, count) = if self.compact {
                    let element = translate(first & 0x0f)?;
                    if first >> 4 != 15 {
                        (element, Some((u64::from(first >> 4), 0)))
                    } else {
                        (element, self.number(&bytes[1..])?)
                    }
                } else {
                    (first, self.length(&bytes[1..])?)
                };
                let Some((count, taken)) = count else { return Ok(None) };
                self.elements([element, element], count)?;
                Ok(Some(1 + taken))
            }
            Item::Map => {
                let (types, count, taken) = if self.compact {
                    let Some((count, taken)) = self.number(bytes)? else { return Ok(None) };
                    if count == 0 {
                        self.item = Item::Next;
                        return Ok(Some(taken));
                    }
                    let Some(&types) = bytes.get(taken) else { return Ok(None) };
                    ([translate(types >> 4)?, translate(types & 0x0f)?], count, taken + 1)
                } else {
                    let Some(&[key, value]) = bytes.first_chunk() else { return Ok(None) };
                    let Some((count, taken)) = self.length(&bytes[2..])? else { return Ok(None) };
                    ([key, value], count, taken + 2)
                };
                self.elements(types, count.saturating_mul(2))?;
                Ok(Some(taken))
            }
        }
    }

    /// What the level above asks for.
    fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let compact = self.compact;
        match self.levels.last_mut() {
            None => Ok(Some(0)),
            Some(Level::Struct) => {
                let Some(&field) = bytes.first() else { return Ok(None) };
                if field == kind::STOP {
                    self.levels.pop();
                    return Ok(Some(1));
                }
                if !compact {
                    // The type, and the field's number.
                    if bytes.len() < 3 {
                        known(field)?;
                        return Ok(None);
                    }
                    self.value(field)?;
                    return Ok(Some(3));
                }
                let taken = if field >> 4 == 0 {
                    match self.number(&bytes[1..])? {
                        Some((_, taken)) => 1 + taken,
                        None => return Ok(None),
                    }
                } else {
                    1
                };
                // A field's truth is its type.
                if !matches!(field & 0x0f, 1 | 2) {
                    self.value(translate(field & 0x0f)?)?;
                }
                Ok(Some(taken))
            }
            Some(Level::Elements { left: 0, .. }) => {
                self.levels.pop();
                Ok(Some(0))
            }
            Some(Level::Elements { types, left }) => {
                let sizes = types.map(|each| size(each, compact));
                let which = types[usize::from(*left % 2 == 1 && types[0] != types[1])];
                if let [Some(key), Some(value)] = sizes {
                    // Keys and values are as many.
                    let both = (*left / 2).saturating_mul(key + value).saturating_add((*left % 2) * key);
                    *left = 0;
                    self.item = Item::Skip(both);
                } else {
                    *left -= 1;
                    self.value(which)?;
                }
                Ok(Some(0))
            }
        }
    }

    /// A value of this type comes next.
    fn value(&mut self, which: u8) -> Result<(), Malformed> {
        known(which)?;
        if let Some(size) = size(which, self.compact) {
            self.item = Item::Skip(size);
            return Ok(());
        }
        self.item = match which {
            kind::STRING => Item::Length,
            kind::LIST | kind::SET => Item::List,
            kind::MAP => Item::Map,
            kind::STRUCT => {
                self.push(Level::Struct)?;
                Item::Next
            }
            // Numbers of the compact protocol.
            _ => Item::Number,
        };
        Ok(())
    }

    fn elements(&mut self, types: [u8; 2], left: u64) -> Result<(), Malformed> {
        if left > 0 {
            known(types[0])?;
            known(types[1])?;
            self.push(Level::Elements { types, left })?;
        }
        self.item = Item::Next;
        Ok(())
    }

    fn push(&mut self, level: Level) -> Result<(), Malformed> {
        if self.levels.len() >= MOST_DEPTH {
            return Err(Malformed);
        }
        self.levels.push(level);
        Ok(())
    }

    /// The length of a text or a container.
    fn length(&self, bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
        if self.compact {
            return self.number(bytes);
        }
        let Some(four) = bytes.first_chunk() else { return Ok(None) };
        let length = i32::from_be_bytes(*four);
        u64::try_from(length).map(|length| Some((length, 4))).map_err(|_| Malformed)
    }

    fn number(&self, bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
        match varint::read(bytes) {
            Varint::Number(number, taken) => Ok(Some((number, taken))),
            Varint::More => Ok(None),
            Varint::Bad => Err(Malformed),
        }
    }
}

/// Bytes of a value, if all of its type have the same.
fn size(which: u8, compact: bool) -> Option<u64> {
    Some(match which {
        kind::BOOL | kind::BYTE => 1,
        kind::DOUBLE => 8,
        kind::UUID => 16,
        kind::I16 if !compact => 2,
        kind::I32 if !compact => 4,
        kind::I64 if !compact => 8,
        _ => return None,
    })
}

fn known(which: u8) -> Result<(), Malformed> {
    match which {
        2..=4 | 6 | 8 | 10..=16 => Ok(()),
        _ => Err(Malformed),
    }
}

/// The type that the compact protocol calls so.
fn translate(which: u8) -> Result<u8, Malformed> {
    Ok(match which {
        1 | 2 => kind::BOOL,
        3 => kind::BYTE,
        4 => kind::I16,
        5 => kind::I32,
        6 => kind::I64,
        7 => kind::DOUBLE,
        8 => kind::STRING,
        9 => kind::LIST,
        10 => kind::SET,
        11 => kind::MAP,
        12 => kind::STRUCT,
        13 => kind::UUID,
        _ => return Err(Malformed),
    })
}

/// Could a struct begin with this byte?
pub(super) fn may_begin(encoding: Encoding, first: u8) -> bool {
    match encoding {
        Encoding::Binary => first == kind::STOP || known(first).is_ok(),
        Encoding::Compact => first == kind::STOP || translate(first & 0x0f).is_ok(),
        Encoding::Compressed => true,
    }
}
