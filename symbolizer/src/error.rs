//! Why something could not be read from a binary.

use std::{io, path::PathBuf};

/// Why something could not be read from a binary.
///
/// Each message is a sentence a user of `remora doctor` can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, a pipe, a device: only regular files are read.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// The file does not begin as an ELF file does.
    #[error("not an ELF file")]
    NotElf,
    /// The file begins as an ELF file, but what it says of itself does not hold.
    #[error("malformed or truncated ELF file: {0}")]
    Malformed(&'static str),
    /// The file would have to be read beyond the bound on memory.
    #[error("{what} has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The part that is too large.
        what: &'static str,
        /// Its size, bytes.
        size: u64,
        /// The bound, bytes.
        limit: u64,
    },
    /// Go's table of functions was not found, or is of a format that is not known.
    #[error("no table of functions (pclntab) of Go 1.16 or newer")]
    NoPcLnTab,
    /// There is no Go build information in the binary.
    #[error("not a Go binary")]
    NotGo,
    /// Go on a machine where the register that holds `g` is not known.
    #[error("Go on {0}: only x86-64 and AArch64 keep g in a known register")]
    GoMachine(crate::Machine),
    /// On x86-64, Go before 1.17 keeps `g` in thread-local storage, not in a register.
    #[error("{0} keeps g in thread-local storage; x86-64 needs Go 1.17 or newer")]
    GoTooOld(String),
    /// No DWARF, and a version that came after the table was made.
    #[error(
        "newer than the table: {version} (the table ends with {newest}), and the binary has no DWARF; \
         run `cargo xtask go-offsets`"
    )]
    GoNewerThanTable {
        /// The version of the binary.
        version: String,
        /// The newest version in the table.
        newest: String,
    },
    /// No DWARF, and a version which the table does not answer for.
    #[error("{version} is not in the table ({why}), and the binary has no DWARF")]
    GoNotInTable {
        /// The version of the binary.
        version: String,
        /// Why the table does not answer for it.
        why: &'static str,
    },
    /// A field of a module's structure: the table goes by Go's versions.
    #[error("it changes with the version of its module: only DWARF knows it, and the binary has none")]
    GoModule,
    /// The embedded table could not be read: a fault of the build.
    #[error("line {line} of the table of Go offsets: {why}")]
    GoTable {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is DWARF, but not what was looked for, or it is malformed.
    #[error("DWARF: {0}")]
    Dwarf(String),
}

impl From<gimli::Error> for Error {
    fn from(error: gimli::Error) -> Self {
        Error::Dwarf(error.to_string())
    }
}
