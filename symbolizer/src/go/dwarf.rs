//! The layout of Go structures as DWARF tells it.
//!
//! Go's linker puts all types into one compile unit called `runtime`. Only units of that name are decoded, in
//! them only structures are looked at, and of the others nothing is kept. DWARF 2 to 5, plain or compressed
//! (`.zdebug_*` as well as `SHF_COMPRESSED`, zlib and Zstandard).

use gimli::{
    AttributeValue, DebugAbbrev, DebugInfo, DebugInfoOffset, EndianSlice, EntriesRaw, Operation, Reader,
    RunTimeEndian, UnitHeader,
};

use super::fields::{COUNT, FIELDS, Layout};
use crate::{Error, debug::Debug, elf::Image, source::Data};

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Go's own has less than 1 KiB, tables of C code linked in by cgo may follow.
const MAX_ABBREV: u64 = 1 << 20;
/// Units of the package `runtime`: one, and one more for each of its assembly files.
const MAX_RUNTIME_UNITS: usize = 1024;
/// A unit's length and name, as far as it takes to know them: the longest header (24 bytes), an abbreviation
/// code, the name.
const START: u64 = 24 + 2 + 8;

/// Reads the layout; `Ok(None)` if the file has no DWARF.
pub(crate) fn layout(image: &Image, data: Data<'_>) -> Result<Option<Layout>, Error> {
    let Some(mut info) = Debug::section(image, data, "debug_info")? else { return Ok(None) };
    let Some(mut abbrev) = Debug::section(image, data, "debug_abbrev")? else { return Ok(None) };
    let endian = image.endian();
    let abbrev = DebugAbbrev::new(abbrev.part(0, MAX_ABBREV)?, endian);

    let mut found = Layout::default();
    let mut at = 0;
    let mut left = MAX_RUNTIME_UNITS;
    loop {
        let start = info.part(at, at.saturating_add(START))?;
        // 12 bytes hold a unit's length in either format.
        if left == 0 || start.len() < 12 {
            break;
        }
        // Go writes the name in place, as the first attribute.
        let is_runtime = memchr::memmem::find(start, b"runtime\0").is_some();
        let end = unit_length(start, endian)
            .and_then(|length| at.checked_add(length))
            .ok_or_else(|| Error::Dwarf("a unit of no plausible length".into()))?;
        if is_runtime {
            left -= 1;
            let bytes = info.part(at, end)?;
            if (bytes.len() as u64) < end - at {
                return Err(Error::Dwarf("a unit is cut short".into()));
            }
            let unit = DebugInfo::new(bytes, endian).header_from_offset(DebugInfoOffset(0))?;
            search(&unit, &abbrev, &mut found)?;
            // All types stand in one unit.
            if found.of("runtime.g", "goid").is_some() {
                break;
            }
        }
        at = end;
    }
    if found == Layout::default() {
        return Err(Error::Dwarf("it does not describe Go's runtime.g".into()));
    }
    Ok(Some(found))
}

/// The length of a unit with its header, from its first bytes (DWARF 5, section 7.4).
fn unit_length(bytes: &[u8], endian: RunTimeEndian) -> Option<u64> {
    let mut reader = EndianSlice::new(bytes, endian);
    let (length, format) = reader.read_initial_length().ok()?;
    (length as u64).checked_add(format.initial_length_size().into())
}

/// Looks for all structures in a unit.
fn search(
    unit: &UnitHeader<Slice<'_>>,
    abbrev: &DebugAbbrev<Slice<'_>>,
    found: &mut Layout,
) -> Result<(), Error> {
    let abbreviations = unit.abbreviations(abbrev)?;
    let mut entries = unit.entries_raw(&abbreviations, None)?;
    while !entries.is_empty() {
        let Some(entry) = entries.read_abbreviation()? else { continue };
        if entry.tag() != gimli::DW_TAG_structure_type {
            entries.skip_attributes(entry.attributes())?;
            continue;
        }
        let mut first = None;
        for specification in entry.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            if let (gimli::DW_AT_name, AttributeValue::String(name)) = (attribute.name(), attribute.value()) {
                first = FIELDS.iter().position(|f| f.structure.as_bytes() == name.slice());
            }
        }
        if let (Some(first), true) = (first, entry.has_children()) {
            members(&mut entries, first, found)?;
        }
    }
    Ok(())
}

/// Takes the offsets of a structure's members, whose fields stand from `first` on; leaves `entries` behind its
/// last child.
fn members(entries: &mut EntriesRaw<'_, Slice<'_>>, first: usize, found: &mut Layout) -> Result<(), Error> {
    let structure = FIELDS[first].structure;
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
            && let Some(index) = (first..COUNT)
                .take_while(|&i| FIELDS[i].structure == structure)
                .find(|&i| FIELDS[i].member.as_bytes() == field)
        {
            found.set(index, offset);
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
