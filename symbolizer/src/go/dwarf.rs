//! The layout of `runtime.g` as DWARF tells it.
//!
//! Go's linker puts all types into the compile units called `runtime`. Only those are decoded, in them only
//! structures are looked at, and `.debug_info` is decompressed no further than the answer needs.
//! DWARF 4 and 5, plain or compressed (`.zdebug_*` as well as `SHF_COMPRESSED`).

use gimli::{
    AttributeValue, DebugAbbrev, DebugInfo, DebugInfoOffset, EndianSlice, EntriesRaw, Operation, Reader,
    RunTimeEndian, UnitHeader,
};

use super::Offsets;
use crate::{Error, debug::Inflated, elf::Image, source::Data};

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Go's own has less than 1 KiB, tables of C code linked in by cgo may follow.
const MAX_ABBREV: usize = 1 << 20;
/// Units of the package `runtime`: one, and one more for each of its assembly files.
const MAX_RUNTIME_UNITS: usize = 1024;

/// Reads the layout; `Ok(None)` if the binary has no DWARF.
pub(crate) fn offsets(image: &Image, data: Data<'_>) -> Result<Option<Offsets>, Error> {
    let Some(mut info) = Inflated::section(image, data, "debug_info")? else { return Ok(None) };
    let Some(mut abbrev) = Inflated::section(image, data, "debug_abbrev")? else { return Ok(None) };
    let endian = image.endian();
    let known = abbrev.ensure(MAX_ABBREV)?.min(MAX_ABBREV);
    let abbrev = DebugAbbrev::new(&abbrev.bytes()[..known], endian);

    let mut layout = Layout::default();
    let mut at = 0;
    let mut left = MAX_RUNTIME_UNITS;
    // 12 bytes hold a unit's length in either format.
    while left > 0 && info.ensure(at + 12)? >= at + 12 {
        let end = unit_length(&info.bytes()[at..], endian)
            .and_then(|length| at.checked_add(length))
            .ok_or_else(|| Error::Dwarf("a unit of no plausible length".into()))?;
        if may_be_runtime(&mut info, at, end)? {
            left -= 1;
            if info.ensure(end)? < end {
                return Err(Error::Dwarf("a unit is cut short".into()));
            }
            let unit = DebugInfo::new(info.bytes(), endian).header_from_offset(DebugInfoOffset(at))?;
            search(&unit, &abbrev, &mut layout)?;
            if layout.is_known() {
                break;
            }
        }
        at = end;
    }
    layout.offsets().map(Some)
}

/// The length of a unit with its header, from its first bytes (DWARF 5, section 7.4).
fn unit_length(bytes: &[u8], endian: RunTimeEndian) -> Option<usize> {
    let mut reader = EndianSlice::new(bytes, endian);
    let (length, format) = reader.read_initial_length().ok()?;
    length.checked_add(format.initial_length_size().into())
}

/// Whether a unit begins with the name `runtime`, which Go writes in place as the first attribute.
fn may_be_runtime(info: &mut Inflated<'_>, at: usize, end: usize) -> Result<bool, Error> {
    /// The longest header (24 bytes), an abbreviation code, the name.
    const START: usize = 24 + 2 + 8;
    let end = end.min(at.saturating_add(START));
    let known = info.ensure(end)?.min(end);
    Ok(memchr::memmem::find(&info.bytes()[at..known], b"runtime\0").is_some())
}

/// What was found so far, bytes from the start of the structure.
#[derive(Default)]
struct Layout {
    /// Of `runtime.g`.
    stack: Option<u32>,
    goid: Option<u32>,
    parent_goid: Option<u32>,
    /// Of `runtime.stack`.
    lo: Option<u32>,
    hi: Option<u32>,
}

impl Layout {
    fn is_known(&self) -> bool {
        self.stack.is_some() && self.goid.is_some() && self.lo.is_some() && self.hi.is_some()
    }

    fn field(&mut self, structure: Structure, name: &[u8]) -> Option<&mut Option<u32>> {
        match (structure, name) {
            (Structure::G, b"stack") => Some(&mut self.stack),
            (Structure::G, b"goid") => Some(&mut self.goid),
            (Structure::G, b"parentGoid") => Some(&mut self.parent_goid),
            (Structure::Stack, b"lo") => Some(&mut self.lo),
            (Structure::Stack, b"hi") => Some(&mut self.hi),
            _ => None,
        }
    }

    fn offsets(&self) -> Result<Offsets, Error> {
        let (Some(stack), Some(goid), Some(lo), Some(hi)) = (self.stack, self.goid, self.lo, self.hi) else {
            return Err(Error::Dwarf("it does not describe Go's runtime.g and runtime.stack".into()));
        };
        let sum = |a: u32, b: u32| a.checked_add(b).ok_or_else(|| Error::Dwarf("an absurd offset".into()));
        Ok(Offsets {
            goid,
            stack_lo: sum(stack, lo)?,
            stack_hi: sum(stack, hi)?,
            parent_goid: self.parent_goid,
        })
    }
}

/// The structures looked for.
#[derive(Clone, Copy)]
enum Structure {
    G,
    Stack,
}

/// Looks for both structures in a unit.
fn search(
    unit: &UnitHeader<Slice<'_>>,
    abbrev: &DebugAbbrev<Slice<'_>>,
    layout: &mut Layout,
) -> Result<(), Error> {
    let abbreviations = unit.abbreviations(abbrev)?;
    let mut entries = unit.entries_raw(&abbreviations, None)?;
    while !entries.is_empty() && !layout.is_known() {
        let Some(entry) = entries.read_abbreviation()? else { continue };
        if entry.tag() != gimli::DW_TAG_structure_type {
            entries.skip_attributes(entry.attributes())?;
            continue;
        }
        let mut structure = None;
        for specification in entry.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            if let (gimli::DW_AT_name, AttributeValue::String(name)) = (attribute.name(), attribute.value()) {
                structure = match name.slice() {
                    b"runtime.g" => Some(Structure::G),
                    b"runtime.stack" => Some(Structure::Stack),
                    _ => None,
                };
            }
        }
        if let (Some(structure), true) = (structure, entry.has_children()) {
            members(&mut entries, structure, layout)?;
        }
    }
    Ok(())
}

/// Takes the offsets of a structure's members; leaves `entries` behind its last child.
fn members(
    entries: &mut EntriesRaw<'_, Slice<'_>>,
    structure: Structure,
    layout: &mut Layout,
) -> Result<(), Error> {
    let depth = entries.next_depth();
    while !entries.is_empty() && entries.next_depth() >= depth {
        let Some(entry) = entries.read_abbreviation()? else { continue };
        let (mut field, mut offset) = (None, None);
        for specification in entry.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_name, AttributeValue::String(name)) => field = Some(name.slice()),
                (gimli::DW_AT_data_member_location, value) => offset = member_offset(value),
                _ => {}
            }
        }
        if let (gimli::DW_TAG_member, Some(field)) = (entry.tag(), field)
            && let Some(place) = layout.field(structure, field)
        {
            *place = offset;
        }
    }
    Ok(())
}

/// `DW_AT_data_member_location`: a number, or an expression that adds one (DWARF 5, section 5.7.6).
fn member_offset(value: AttributeValue<Slice<'_>>) -> Option<u32> {
    if let Some(value) = value.udata_value() {
        return u32::try_from(value).ok();
    }
    let AttributeValue::Exprloc(expression) = value else { return None };
    // The encoding does not matter to the operation that is understood.
    let encoding = gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 4 };
    let mut operations = expression.operations(encoding);
    match (operations.next(), operations.next()) {
        (Ok(Some(Operation::PlusConstant { value })), Ok(None)) => u32::try_from(value).ok(),
        _ => None,
    }
}
