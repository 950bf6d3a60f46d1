//! What an executable or a library is, from its file alone.

use std::{fmt, path::Path};

use object::elf;

use crate::{
    BuildId, Error,
    elf::Image,
    go,
    runtime::{self, Runtime},
    source::{Data, Source},
    tls::{self, TlsUse},
};

/// The machine a binary was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86-64, also with 32-bit pointers (x32).
    X86_64,
    /// AArch64.
    Aarch64,
    /// 32-bit x86.
    X86,
    /// 32-bit Arm.
    Arm,
    /// Another; its ELF machine number.
    Other(u16),
}

impl Machine {
    pub(crate) fn from_elf(machine: elf::Machine) -> Self {
        match machine {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Aarch64,
            elf::EM_386 => Machine::X86,
            elf::EM_ARM => Machine::Arm,
            elf::Machine(other) => Machine::Other(other),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Machine::X86_64 => write!(f, "x86-64"),
            Machine::Aarch64 => write!(f, "AArch64"),
            Machine::X86 => write!(f, "x86 (32 bit)"),
            Machine::Arm => write!(f, "Arm (32 bit)"),
            Machine::Other(number) => write!(f, "ELF machine {number}"),
        }
    }
}

/// How a binary gets its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linkage {
    /// All is inside.
    Static,
    /// A loader brings libraries.
    Dynamic,
}

/// What an executable or a library is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The machine it was built for.
    pub machine: Machine,
    /// 64-bit pointers and registers.
    pub is_64_bit: bool,
    /// Can be loaded at any address (PIE, or a shared library).
    pub position_independent: bool,
    /// How it gets its libraries.
    pub linkage: Linkage,
    /// The language or runtime, by evidence.
    pub runtime: Runtime,
    /// The GNU build id.
    pub build_id: Option<BuildId>,
    /// Go's own build id: hashes of what went in and came out.
    pub go_build_id: Option<String>,
    /// It has no symbol table (`.symtab`); dynamic symbols may be there.
    pub is_stripped: bool,
    /// It has DWARF (`.debug_info`).
    pub has_dwarf: bool,
    /// The libraries it asks the loader for, as written (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// TLS libraries among [`Self::needed`], and those inside that it exports. [`tls::scan`] finds
    /// statically linked ones that are not exported.
    pub tls: Vec<TlsUse>,
}

/// Looks at an executable or a shared library.
///
/// Reads headers, notes, dynamic symbols, and for native code up to 8 MiB of constants; the costs are a
/// few milliseconds at most. Keep the result by device and inode. [`Inspection`](crate::Inspection) tells more.
///
/// # Errors
/// The file cannot be read, or is not ELF.
pub fn inspect(path: &Path) -> Result<Binary, Error> {
    let source = Source::open(path)?;
    inspect_data(source.data())
}

/// The same for a file that is already in memory.
///
/// # Errors
/// The bytes are not ELF.
pub fn inspect_bytes(bytes: &[u8]) -> Result<Binary, Error> {
    let source = Source::bytes(bytes);
    inspect_data(source.data())
}

fn inspect_data(data: Data<'_>) -> Result<Binary, Error> {
    Ok(of_image(&Image::parse(data)?, data))
}

/// What a file is whose headers are known.
pub(crate) fn of_image(image: &Image, data: Data<'_>) -> Binary {
    let exports = runtime::Exports::of(image, data);
    let runtime = match go::find_build_info(image, data) {
        Some(info) => Runtime::Go(Box::new(info)),
        None => runtime::detect(image, data, &exports),
    };
    let mut tls: Vec<_> = image.needed.iter().filter_map(|name| tls::TlsUse::shared(name)).collect();
    if exports.ssl_read && !tls.iter().any(|t| t.library == tls::TlsLibrary::OpenSsl) {
        tls.push(TlsUse::inside(tls::TlsLibrary::OpenSsl));
    }
    let dynamic = image.interpreter || !image.needed.is_empty();
    Binary {
        machine: image.machine,
        is_64_bit: image.is_64,
        position_independent: image.file_type == elf::ET_DYN,
        linkage: if dynamic { Linkage::Dynamic } else { Linkage::Static },
        runtime,
        is_stripped: !image.sections.iter().any(|s| s.kind == elf::SHT_SYMTAB),
        has_dwarf: image.section(".debug_info").or(image.section(".zdebug_info")).is_some(),
        tls,
        needed: image.needed.clone(),
        build_id: image.build_id.clone(),
        go_build_id: image.go_build_id.clone(),
    }
}

#[cfg(test)]
#[path = "binary_tests.rs"]
mod tests;
