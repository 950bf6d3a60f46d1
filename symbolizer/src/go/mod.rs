//! Go programs: which tool chain built them, and where they keep what Remora has to read in them.

mod buildinfo;
mod dwarf;
mod fields;
pub(crate) mod pclntab;
mod table;
mod text;
mod version;

use std::{fmt, path::Path};

pub(crate) use buildinfo::find as find_build_info;
pub use buildinfo::{BuildInfo, Module};
pub use fields::{FIELDS, Field, Layout};
pub use pclntab::{GoFunction, functions, functions_bytes};
pub use table::{Answer, Table};
pub use version::{Parsed, Stage, Version};

use crate::{
    Error, Machine,
    debug_file::DebugFile,
    elf::Image,
    probes::Library,
    source::{Data, Source as File},
};

/// Offsets in `runtime.g`, bytes from where the register points that holds `g` (r14 on x86-64 since
/// Go 1.17, x28 on AArch64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offsets {
    /// `goid`, 8 bytes.
    pub goid: u32,
    /// `stack.lo`, 8 bytes: the lowest address of the goroutine's stack.
    pub stack_lo: u32,
    /// `stack.hi`, 8 bytes: the address just above the goroutine's stack.
    pub stack_hi: u32,
    /// `parentGoid`, 8 bytes: the goroutine that started this one; since Go 1.21.
    pub parent_goid: Option<u32>,
}

impl Offsets {
    /// The offsets in `runtime.g`, out of a layout that has them.
    pub fn of(layout: &Layout) -> Option<Self> {
        let stack = layout.of("runtime.g", "stack")?;
        Some(Offsets {
            goid: layout.of("runtime.g", "goid")?,
            stack_lo: stack.checked_add(layout.of("runtime.stack", "lo")?)?,
            stack_hi: stack.checked_add(layout.of("runtime.stack", "hi")?)?,
            parent_goid: layout.of("runtime.g", "parentGoid"),
        })
    }
}

/// Where an offset comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The table: this very version was measured.
    Measured,
    /// The table: the versions measured around this one agree.
    Between,
    /// The binary's own DWARF.
    Dwarf,
    /// The DWARF of its separate debug file.
    DebugFile,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Measured => "the table, where this version was measured",
            Source::Between => "the table, where the measured versions around this one agree",
            Source::Dwarf => "its own DWARF",
            Source::DebugFile => "the DWARF of its debug file",
        })
    }
}

/// The offsets for a Go binary.
///
/// The table comes first: it costs a lookup, and a test holds it equal to DWARF. DWARF decides for
/// versions the table does not answer for: newer ones, development versions and modified tool chains.
///
/// # Errors
/// Nothing is ever guessed: [`Error::NotGo`], [`Error::GoTooOld`], [`Error::GoMachine`],
/// [`Error::GoNewerThanTable`] and [`Error::GoNotInTable`] say why there is no answer.
pub fn offsets(path: &Path) -> Result<(Offsets, Source), Error> {
    let file = File::open(path)?;
    offsets_in(file.data())
}

/// [`offsets`] for a file that is already in memory.
///
/// # Errors
/// As there.
pub fn offsets_bytes(bytes: &[u8]) -> Result<(Offsets, Source), Error> {
    offsets_in(File::bytes(bytes).data())
}

/// The offset of `goid` for the executable of a process (`/proc/PID/exe`), if it is a Go program whose
/// layout is known.
///
/// Reads a few kilobytes when the version is in the table. Keep the result by device and inode.
pub fn goid_offset(exe: &Path) -> Option<u32> {
    offsets(exe).ok().map(|(offsets, _)| offsets.goid)
}

/// The layout as the binary's DWARF tells it, whatever the table says.
///
/// # Errors
/// [`Error::Dwarf`] if the binary has none.
pub fn layout_from_dwarf(path: &Path) -> Result<Layout, Error> {
    let file = File::open(path)?;
    dwarf_in(file.data())
}

/// [`layout_from_dwarf`] for a file that is already in memory.
///
/// # Errors
/// As there.
pub fn layout_from_dwarf_bytes(bytes: &[u8]) -> Result<Layout, Error> {
    dwarf_in(File::bytes(bytes).data())
}

fn dwarf_in(data: Data<'_>) -> Result<Layout, Error> {
    let image = Image::parse(data)?;
    dwarf::layout(&image, data)?.ok_or_else(|| Error::Dwarf("the binary has none".into()))
}

fn offsets_in(data: Data<'_>) -> Result<(Offsets, Source), Error> {
    let image = Image::parse(data)?;
    let info = find_build_info(&image, data).ok_or(Error::NotGo)?;
    let mut layout = Layout::default();
    let mut from = Source::Measured;
    for FieldOffset { field, offset } in field_offsets(&image, data, &info, None, &[Library::GoRuntime])? {
        match offset {
            Ok((offset, source)) => {
                let index = fields::index(field.structure, field.member).unwrap_or(usize::MAX);
                layout.set(index, Some(offset));
                // The weakest evidence among them.
                from = from.max(source);
            }
            // Who started a goroutine is good to know; which it is can be told without.
            Err(_) if field.member == "parentGoid" => {}
            Err(error) => return Err(error),
        }
    }
    match Offsets::of(&layout) {
        Some(offsets) => Ok((offsets, from)),
        None => Err(Error::Dwarf("it does not describe Go's runtime.g and runtime.stack".into())),
    }
}

/// The offset of a field in a binary, with where it is known from, or why it is not.
#[derive(Debug)]
pub struct FieldOffset {
    /// The field.
    pub field: &'static Field,
    /// Bytes from the start of the structure, and who says so.
    pub offset: Result<(u32, Source), Error>,
}

/// The offsets of all fields of some libraries. Fields which the binary's version does not have are left out.
///
/// # Errors
/// What holds for all fields: [`Error::GoTooOld`], [`Error::GoMachine`].
pub(crate) fn field_offsets(
    image: &Image,
    data: Data<'_>,
    info: &BuildInfo,
    debug_file: Option<&DebugFile>,
    libraries: &[Library],
) -> Result<Vec<FieldOffset>, Error> {
    if !matches!(image.machine, Machine::X86_64 | Machine::Aarch64) || !image.is_64 {
        return Err(Error::GoMachine(image.machine));
    }
    let version = TableVersion::of(info, image.machine)?;
    let mut dwarf = Dwarf::new(image, data, debug_file);
    let mut all = Vec::new();
    for (index, field) in FIELDS.iter().enumerate() {
        if !libraries.contains(&field.library) {
            continue;
        }
        let offset = match version.look_up(index) {
            Ok(None) => continue,
            Ok(Some(known)) => Ok(known),
            Err(why) => match dwarf.layout() {
                Ok(Some((layout, source))) => match layout.get(index) {
                    Some(offset) => Ok((offset, source)),
                    None => continue,
                },
                Ok(None) => Err(why),
                Err(text) => Err(Error::Dwarf(text)),
            },
        };
        all.push(FieldOffset { field, offset });
    }
    Ok(all)
}

/// What the table can say of a binary's version.
struct TableVersion<'i> {
    text: &'i str,
    /// The version, or why there is no answer for it.
    version: Result<Version, &'static str>,
    table: &'static Table,
}

impl<'i> TableVersion<'i> {
    fn of(info: &'i BuildInfo, machine: Machine) -> Result<Self, Error> {
        let first_with_register = Version { stage: Stage::Beta(0), ..Version::new(1, 17, 0) };
        let version = match info.parsed_version() {
            None => Err("it does not say which release it is"),
            Some(parsed) if machine == Machine::X86_64 && parsed.version < first_with_register => {
                return Err(Error::GoTooOld(info.version.clone()));
            }
            Some(parsed) if parsed.modified => Err("it is not a release of Go's own"),
            Some(parsed) => Ok(parsed.version),
        };
        Ok(TableVersion { text: &info.version, version, table: Table::embedded()? })
    }

    /// The offset of a field; `None` if this version has no such field. The error is for DWARF to overrule.
    fn look_up(&self, index: usize) -> Result<Option<(u32, Source)>, Error> {
        let not = |why| Err(Error::GoNotInTable { version: self.text.to_owned(), why });
        if !FIELDS.get(index).is_some_and(Field::is_of_go) {
            return Err(Error::GoModule);
        }
        let version = match self.version {
            Ok(version) => version,
            Err(why) => return not(why),
        };
        match self.table.look_up(version, index) {
            Answer::Measured(offset) => Ok(Some((offset, Source::Measured))),
            Answer::Between(offset) => Ok(Some((offset, Source::Between))),
            Answer::Absent => Ok(None),
            Answer::Older => not("it is older than what was measured"),
            Answer::Unsure => not("the versions measured around it differ"),
            Answer::Newer => {
                let newest = self.table.newest().map_or_else(String::new, |v| format!("Go {v}"));
                Err(Error::GoNewerThanTable { version: self.text.to_owned(), newest })
            }
        }
    }
}

/// The DWARF of a binary or of its debug file, read when it is first asked for.
struct Dwarf<'a, 's> {
    image: &'a Image,
    data: Data<'s>,
    debug_file: Option<&'a DebugFile>,
    /// The layout; `None` if there is no DWARF; why it could not be read.
    known: Option<Result<Option<(Layout, Source)>, String>>,
}

impl<'a, 's> Dwarf<'a, 's> {
    fn new(image: &'a Image, data: Data<'s>, debug_file: Option<&'a DebugFile>) -> Self {
        Dwarf { image, data, debug_file, known: None }
    }

    fn layout(&mut self) -> Result<Option<(Layout, Source)>, String> {
        let Dwarf { image, data, debug_file, known } = self;
        known
            .get_or_insert_with(|| {
                let text = |error| match error {
                    Error::Dwarf(text) => text,
                    other => other.to_string(),
                };
                if let Some(layout) = dwarf::layout(image, *data).map_err(text)? {
                    return Ok(Some((layout, Source::Dwarf)));
                }
                let Some(file) = debug_file else { return Ok(None) };
                let layout = dwarf::layout(&file.image, file.source.data()).map_err(text)?;
                Ok(layout.map(|layout| (layout, Source::DebugFile)))
            })
            .clone()
    }
}

#[cfg(test)]
mod tests;
