//! Go programs: which tool chain built them, and where its runtime keeps what identifies a goroutine.

mod buildinfo;
mod dwarf;
mod table;
mod version;

use std::{fmt, path::Path};

pub(crate) use buildinfo::find as find_build_info;
pub use buildinfo::{BuildInfo, Module};
pub use table::{Answer, Table};
pub use version::{Parsed, Stage, Version};

use crate::{
    Error, Machine,
    elf::Image,
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

/// Where [`Offsets`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The table: this very version was measured.
    Measured,
    /// The table: the versions measured around this one agree.
    Between,
    /// The binary's own DWARF.
    Dwarf,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Measured => "the table, where this version was measured",
            Source::Between => "the table, where the measured versions around this one agree",
            Source::Dwarf => "its own DWARF",
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

/// The offsets as the binary's DWARF tells them, whatever the table says.
///
/// # Errors
/// [`Error::Dwarf`] if the binary has none.
pub fn offsets_from_dwarf(path: &Path) -> Result<Offsets, Error> {
    let file = File::open(path)?;
    dwarf_in(file.data())
}

/// [`offsets_from_dwarf`] for a file that is already in memory.
///
/// # Errors
/// As there.
pub fn offsets_from_dwarf_bytes(bytes: &[u8]) -> Result<Offsets, Error> {
    dwarf_in(File::bytes(bytes).data())
}

fn dwarf_in(data: Data<'_>) -> Result<Offsets, Error> {
    let image = Image::parse(data)?;
    dwarf::offsets(&image, data)?.ok_or_else(|| Error::Dwarf("the binary has none".into()))
}

fn offsets_in(data: Data<'_>) -> Result<(Offsets, Source), Error> {
    let image = Image::parse(data)?;
    let info = find_build_info(&image, data).ok_or(Error::NotGo)?;
    if !matches!(image.machine, Machine::X86_64 | Machine::Aarch64) || !image.is_64 {
        return Err(Error::GoMachine(image.machine));
    }
    let why = match from_table(&info, image.machine)? {
        Ok(answer) => return Ok(answer),
        Err(why) => why,
    };
    match dwarf::offsets(&image, data)? {
        Some(offsets) => Ok((offsets, Source::Dwarf)),
        None => Err(why),
    }
}

/// The outer error is final; the inner one is for DWARF to overrule.
fn from_table(info: &BuildInfo, machine: Machine) -> Result<Result<(Offsets, Source), Error>, Error> {
    let version = info.version.clone();
    let Some(parsed) = info.parsed_version() else {
        return Ok(Err(Error::GoNotInTable { version, why: "it does not say which release it is" }));
    };
    let first_with_register = Version { stage: Stage::Beta(0), ..Version::new(1, 17, 0) };
    if machine == Machine::X86_64 && parsed.version < first_with_register {
        return Err(Error::GoTooOld(version));
    }
    if parsed.modified {
        return Ok(Err(Error::GoNotInTable { version, why: "it is not a release of Go's own" }));
    }
    let table = Table::embedded()?;
    Ok(match table.look_up(parsed.version) {
        Answer::Measured(offsets) => Ok((offsets, Source::Measured)),
        Answer::Between(offsets) => Ok((offsets, Source::Between)),
        Answer::Older => Err(Error::GoNotInTable { version, why: "it is older than what was measured" }),
        Answer::Unsure => Err(Error::GoNotInTable { version, why: "the versions measured around it differ" }),
        Answer::Newer => {
            let newest = table.newest().map_or_else(String::new, |v| format!("Go {v}"));
            Err(Error::GoNewerThanTable { version, newest })
        }
    })
}

#[cfg(test)]
mod tests;
