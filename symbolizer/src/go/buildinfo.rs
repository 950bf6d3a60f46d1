//! What Go's linker writes about a program: `.go.buildinfo`.
//!
//! 32 bytes at a multiple of 16, in a section of that name or, where section headers are missing, near the
//! start of a data segment: the magic (14 bytes), the pointer size, flags. Since Go 1.18 (flag 2) the version and
//! the module information follow as strings with their length as a varint before them; before it two pointers
//! to Go strings follow. Source: Go's `debug/buildinfo`.

use object::ReadRef;

use super::Version;
use crate::{
    elf::Image,
    source::{Data, Source},
};

const MAGIC: &[u8] = b"\xff Go buildinf:";
const HEADER: usize = 32;
const ALIGN: usize = 16;
const FLAG_BIG_ENDIAN: u8 = 1;
const FLAG_INLINE: u8 = 2;

/// How much of each data segment is searched.
const SEARCH: usize = 1 << 20;
const MAX_SEGMENTS: usize = 16;
const MAX_VERSION: u64 = 1 << 10;
const MAX_MODULES: u64 = 1 << 20;
const MAX_ENTRIES: usize = 4096;

/// What Go's linker wrote about a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildInfo {
    /// The tool chain as it names itself: `go1.22.5`.
    pub version: String,
    /// The import path of the main package.
    pub path: Option<String>,
    /// The main module.
    pub module: Option<Module>,
    /// The modules it was built from, with replacements applied.
    pub dependencies: Vec<Module>,
    /// `CGO_ENABLED=1`, `-ldflags=-s -w`, `vcs.revision=…`
    pub settings: Vec<(String, String)>,
}

/// A Go module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its path.
    pub path: String,
    /// Its version: `v1.81.0`, `(devel)`.
    pub version: String,
}

impl BuildInfo {
    /// The version in parts, if it says one.
    pub fn parsed_version(&self) -> Option<super::version::Parsed> {
        Version::of_toolchain(&self.version)
    }
}

/// Finds and reads the build information.
pub(crate) fn find(image: &Image, data: Data<'_>) -> Option<BuildInfo> {
    if let Some(section) = image.section(".go.buildinfo") {
        // The section's address is a multiple of 16 and so is its offset: the magic stands at its start.
        return read(image, data, section.offset);
    }
    let mut buffer = Vec::new();
    let mut search = |writable| {
        let segments = image.segments.iter().filter(|s| s.writable == writable && !s.executable);
        segments.take(MAX_SEGMENTS).find_map(|segment| {
            let size = segment.size.min(data.source().left(segment.offset));
            buffer.resize(SEARCH.min(usize::try_from(size).unwrap_or(SEARCH)), 0);
            scan(image, data, segment.offset, &mut buffer)
        })
    };
    search(true).or_else(|| search(false))
}

fn scan(image: &Image, data: Data<'_>, start: u64, buffer: &mut [u8]) -> Option<BuildInfo> {
    let len = Source::fill(data.source(), start, buffer);
    memchr::memmem::find_iter(&buffer[..len], MAGIC)
        .filter(|at| at % ALIGN == 0)
        .take(16)
        .find_map(|at| read(image, data, start.checked_add(at as u64)?))
}

fn read(image: &Image, data: Data<'_>, at: u64) -> Option<BuildInfo> {
    let header = data.read_bytes_at(at, HEADER as u64).ok()?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    let (pointer_size, flags) = (header[14], header[15]);
    let (version, modules) = if flags & FLAG_INLINE != 0 {
        let version_at = at.checked_add(HEADER as u64)?;
        let (version, modules_at) = inline_string(data, version_at, MAX_VERSION)?;
        // Beyond the bound the modules are left out; the version is what matters.
        (version, inline_string(data, modules_at, MAX_MODULES).map_or_else(String::new, |(text, _)| text))
    } else {
        let word = Word { size: pointer_size, big: flags & FLAG_BIG_ENDIAN != 0 };
        let pointer = |index: usize| word.read(header.get(16 + index * usize::from(word.size)..)?);
        let version = go_string(image, data, word, pointer(0)?, MAX_VERSION)?;
        let modules = pointer(1).and_then(|p| go_string(image, data, word, p, MAX_MODULES));
        (version, modules.unwrap_or_default())
    };
    if !(version.starts_with("go") || version.starts_with("devel")) {
        return None;
    }
    let mut info = BuildInfo { version, ..BuildInfo::default() };
    read_modules(&mut info, &modules);
    Some(info)
}

/// A string with its length before it, and where it ends.
fn inline_string(data: Data<'_>, at: u64, limit: u64) -> Option<(String, u64)> {
    let head = data.up_to(at, 10);
    let mut length: u64 = 0;
    for (i, byte) in head.iter().enumerate() {
        length |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            let start = at.checked_add(i as u64 + 1)?;
            if length > limit {
                return None;
            }
            return Some((text(data.read_bytes_at(start, length).ok()?), start + length));
        }
    }
    None
}

/// A word of the machine the program was built for.
#[derive(Clone, Copy)]
struct Word {
    size: u8,
    big: bool,
}

impl Word {
    fn read(self, bytes: &[u8]) -> Option<u64> {
        Some(match (self.size, self.big) {
            (4, false) => u32::from_le_bytes(*bytes.first_chunk()?).into(),
            (4, true) => u32::from_be_bytes(*bytes.first_chunk()?).into(),
            (8, false) => u64::from_le_bytes(*bytes.first_chunk()?),
            (8, true) => u64::from_be_bytes(*bytes.first_chunk()?),
            _ => return None,
        })
    }
}

/// The string at whose header (address, length) the pointer points.
fn go_string(image: &Image, data: Data<'_>, word: Word, pointer: u64, limit: u64) -> Option<String> {
    let size = u64::from(word.size);
    let (at, room) = image.file_offset(pointer)?;
    let header = data.read_bytes_at(at, (2 * size <= room).then_some(2 * size)?).ok()?;
    let (address, length) = (word.read(header)?, word.read(&header[usize::from(word.size)..])?);
    if length > limit {
        return None;
    }
    if length == 0 {
        return Some(String::new());
    }
    let (at, room) = image.file_offset(address)?;
    Some(text(data.read_bytes_at(at, (length <= room).then_some(length)?).ok()?))
}

fn text(bytes: &[u8]) -> String {
    // The module information stands between two markers of 16 arbitrary bytes.
    let marked = bytes.len() >= 33 && bytes[bytes.len() - 17] == b'\n';
    let inner = if marked { &bytes[16..bytes.len() - 16] } else { bytes };
    String::from_utf8_lossy(inner).into_owned()
}

fn read_modules(info: &mut BuildInfo, text: &str) {
    for line in text.lines().take(MAX_ENTRIES) {
        let (kind, rest) = line.split_once('\t').unwrap_or((line, ""));
        let mut fields = rest.split('\t');
        let mut module = || {
            let path = fields.next().filter(|p| !p.is_empty())?.to_owned();
            Some(Module { path, version: fields.next().unwrap_or_default().to_owned() })
        };
        match kind {
            "path" => info.path = Some(rest.to_owned()),
            "mod" => info.module = module(),
            "dep" => info.dependencies.extend(module()),
            "=>" => {
                // Replaces the module of the line before.
                let replaced = match info.dependencies.last_mut() {
                    Some(last) => Some(last),
                    None => info.module.as_mut(),
                };
                if let (Some(last), Some(by)) = (replaced, module()) {
                    last.version = by.version;
                }
            }
            "build" => {
                if let Some((key, value)) = rest.split_once('=') {
                    info.settings.push((unquote(key), unquote(value)));
                }
            }
            _ => {}
        }
    }
}

fn unquote(text: &str) -> String {
    let inner = text.strip_prefix(['"', '`']).and_then(|t| t.strip_suffix(['"', '`']));
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
#[path = "buildinfo_tests.rs"]
mod tests;
