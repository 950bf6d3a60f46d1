//! Go's table of functions, `runtime.pclntab`: the runtime itself unwinds by it, so no stripping takes it away.
//!
//! A header, then the functions' names, compilation units, files, tables of numbers, and at last the functions:
//!
//! ```text
//! pclntable:  first: pairs (start of the function, place of its _func), ascending, and the end of the last function;
//!             then:  the _func structures; each begins with the function's start and the place of its name
//! ```
//!
//! | magic | Go | starts of functions |
//! |---|---|---|
//! | `0xfffffffa` | 1.16, 1.17 | addresses |
//! | `0xfffffff0` | 1.18, 1.19 | 32-bit offsets from the start of the text |
//! | `0xfffffff1` | 1.20 and newer | the same |
//!
//! Source: Go's `runtime/symtab.go`, `internal/abi/symtab.go`, `debug/gosym/pclntab.go`.

use std::path::Path;

use object::elf;

use super::text;
use crate::{
    Error,
    elf::Image,
    functions::names::Names,
    source::{Data, Source, Window},
    witness::Span,
};

/// More functions than any program has. A kubelet has about 100,000.
const MAX_FUNCTIONS: u64 = 1 << 22;
/// The first bytes of a header: magic, two zeros, the smallest instruction, the size of a pointer.
const START: usize = 8;
/// Magics that are no table and are looked at all the same.
const MAX_CANDIDATES: usize = 4096;
/// Functions taken of the names that are looked for: Go has one of a name, or two for two calling conventions.
const MAX_FOUND: usize = 4096;
/// The longest name of a function that is read. Names of instantiated generics can be long.
const MAX_NAME: usize = 16 << 10;

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Go 1.16 and 1.17.
    Go116,
    /// Go 1.18 and newer.
    Go118,
}

/// A table of functions that was found and is sound.
#[derive(Debug)]
pub(crate) struct PcLnTab {
    header: Header,
    /// What the functions' starts count from.
    text: u64,
    /// Where addresses in the table are zero in the file: the starts of all functions, and the end of the last.
    relocated: Option<Vec<u64>>,
    by_pattern: bool,
    /// Where it stands from what functions' starts count; `None` if that follows from relocations all over the file.
    stands: Option<Vec<Span>>,
}

/// The header of a table, with places in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    format: Format,
    /// The size of a pointer.
    word: u64,
    /// The address of the table.
    pub address: u64,
    /// Functions.
    pub count: u64,
    /// The address at which the text begins, if the table says so.
    pub text: Option<u64>,
    /// Where it stands, and how long it is.
    pub stands: Span,
    names: u64,
    names_size: u64,
    functions: u64,
    functions_address: u64,
    /// What can belong to the table after `functions`.
    functions_room: u64,
}

/// A function of the table that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The index of its name.
    pub name: u16,
    /// Its first address.
    pub start: u64,
    /// The first address of the next function.
    pub end: u64,
    /// Where its start and end stand, the place of its name, and its name.
    pub stands: [Span; 3],
}

/// A function of a Go program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoFunction {
    /// Its first address as linked.
    pub start: u64,
    /// The first address of the next function.
    pub end: u64,
    /// Its name, with the import path of its package.
    pub name: String,
}

impl PcLnTab {
    /// It has no section of its own.
    pub(crate) fn by_pattern(&self) -> bool {
        self.by_pattern
    }

    /// Where it stands from what functions' starts count, if that is known.
    pub(crate) fn stands(&self) -> Option<&[Span]> {
        self.stands.as_deref()
    }
}

/// Calls `each` with every function of a Go program, by address. For a few functions by name, `inspect` is cheaper.
///
/// # Errors
/// The file cannot be read, is not ELF, or has no table that is understood ([`Error::NoPcLnTab`]).
pub fn functions(path: &Path, each: impl FnMut(GoFunction)) -> Result<(), Error> {
    all(&Source::open(path)?, each)
}

/// [`functions`] for a file that is already in memory.
///
/// # Errors
/// As there.
pub fn functions_bytes(bytes: &[u8], each: impl FnMut(GoFunction)) -> Result<(), Error> {
    all(&Source::bytes(bytes), each)
}

fn all(source: &Source<'_>, mut each: impl FnMut(GoFunction)) -> Result<(), Error> {
    let image = Image::parse(source.data())?;
    let table = locate(&image, source.data()).ok_or(Error::NoPcLnTab)?;
    let mut names = Window::new(source);
    walk(&table, &image, source, |Entry { start, end, name, .. }| {
        let at = table.header.names + u64::from(name);
        let bytes = names.up_to(at, MAX_NAME);
        let name = &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())];
        each(GoFunction { start, end, name: String::from_utf8_lossy(name).into_owned() });
        true
    });
    Ok(())
}

/// The functions of these names.
pub(crate) fn find(table: &PcLnTab, image: &Image, source: &Source<'_>, names: &Names<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let places = names.find(source, table.header.names, table.header.names_size);
    if places.is_empty() {
        return found;
    }
    walk(table, image, source, |Entry { start, end, name: name_at, pair, structure }| {
        let name_at = u64::from(name_at);
        if let Some(&name) = places.get(&name_at) {
            let field = table.header.field();
            let stands = [
                Span::new(pair, 3 * field),
                Span::new(structure, field + 4),
                Span::new(table.header.names + name_at, names.len_of(name) + 1),
            ];
            found.push(Found { name, start, end, stands });
        }
        found.len() < MAX_FOUND
    });
    found
}

/// A function as it is come by.
struct Entry {
    start: u64,
    end: u64,
    /// The place of its name in the table of names.
    name: u32,
    /// The places in the file of its pair and its structure.
    pair: u64,
    structure: u64,
}

/// Calls `each` with every function until it says no.
fn walk(table: &PcLnTab, image: &Image, source: &Source<'_>, mut each: impl FnMut(Entry) -> bool) {
    let header = &table.header;
    let (mut pairs, mut structures) = (Window::new(source), Window::new(source));
    // _func begins with the start of the function, in the table's own format.
    let name_at = header.field();
    for index in 0..header.count {
        let Some((start, structure)) = header.pair(image, &mut pairs, index) else { return };
        let Some((end, _)) = header.pair(image, &mut pairs, index + 1) else { return };
        let (start, end) = match &table.relocated {
            Some(starts) => match starts.get(index as usize..=index as usize + 1) {
                Some(&[start, end]) => (start, end),
                _ => return,
            },
            None => (table.text.wrapping_add(start), table.text.wrapping_add(end)),
        };
        if structure >= header.functions_room {
            continue;
        }
        let structure = header.functions + structure;
        let name = structures.get(structure + name_at, 4).and_then(|bytes| image.word(bytes));
        let Some(name) = name else { return };
        let pair = header.functions + index * 2 * header.field();
        let plausible = start < end && name < header.names_size;
        if plausible && !each(Entry { start, end, name: name as u32, pair, structure }) {
            return;
        }
    }
}

impl Header {
    /// The header at a place in the file, if there is a table there; `room` bytes follow in its segment.
    fn read(image: &Image, source: &Source<'_>, offset: u64, address: u64, room: u64) -> Option<Self> {
        let word = if image.is_64 { 8 } else { 4 };
        let mut bytes = [0; START + 8 * 8];
        let bytes = &mut bytes[..START + 8 * word as usize];
        if source.fill(offset, bytes) < bytes.len() {
            return None;
        }
        let format = match image.word(&bytes[..4])? {
            0xffff_fffa => Format::Go116,
            0xffff_fff0 | 0xffff_fff1 => Format::Go118,
            _ => return None,
        };
        if bytes[4..6] != [0, 0] || !matches!(bytes[6], 1 | 2 | 4) || u64::from(bytes[7]) != word {
            return None;
        }
        let (words, _) = bytes[START..].as_chunks::<8>();
        let words: Vec<u64> = match word {
            8 => words.iter().filter_map(|w| image.word(w)).collect(),
            _ => bytes[START..].chunks_exact(4).filter_map(|w| image.word(w)).collect(),
        };
        let &[count, _files, third, .., last] = words.as_slice() else { return None };
        let (size, text, places) = match format {
            Format::Go116 => (START as u64 + 7 * word, None, &words[2..7]),
            // Since Go 1.26 it is always 0.
            Format::Go118 => (START as u64 + 8 * word, Some(third).filter(|&text| text != 0), &words[3..8]),
        };
        let functions = if format == Format::Go116 { words[6] } else { last };
        // Names, units, files, numbers, functions: in this order.
        let in_order = places.is_sorted() && places[0] >= size && places[4] < room;
        if !in_order || !(1..=MAX_FUNCTIONS).contains(&count) {
            return None;
        }
        let header = Header {
            format,
            word,
            address,
            count,
            text,
            stands: Span::new(offset, size),
            names: offset.checked_add(places[0])?,
            names_size: places[1] - places[0],
            functions: offset.checked_add(functions)?,
            functions_address: address.checked_add(functions)?,
            functions_room: room - functions,
        };
        // Behind the pairs at least one structure.
        (header.pairs_size()? < header.functions_room).then_some(header)
    }

    /// The size of a field that holds the start of a function.
    fn field(&self) -> u64 {
        match self.format {
            Format::Go116 => self.word,
            Format::Go118 => 4,
        }
    }

    fn pairs_size(&self) -> Option<u64> {
        self.count.checked_mul(2)?.checked_add(1)?.checked_mul(self.field())
    }

    /// The start of a function as the table has it, and the place of its structure; of the function after the last, only
    /// the start is there.
    fn pair(&self, image: &Image, window: &mut Window<'_>, index: u64) -> Option<(u64, u64)> {
        let size = self.field() as usize;
        let at = self.functions.checked_add(index.checked_mul(2 * size as u64)?)?;
        let bytes = window.get(at, if index == self.count { size } else { 2 * size })?;
        Some((image.word(&bytes[..size])?, bytes.get(size..).and_then(|b| image.word(b)).unwrap_or(0)))
    }

    /// The first function's start and the last one's end as the table has them, if the functions ascend as far as it
    /// takes to believe it.
    pub(super) fn ends(&self, image: &Image, source: &Source<'_>) -> Option<(u64, u64)> {
        const LOOKED_AT: u64 = 64;
        let mut window = Window::of_size(source, 4096);
        let mut last: Option<(u64, u64)> = None;
        for index in 0..self.count.min(LOOKED_AT) {
            let pair = self.pair(image, &mut window, index)?;
            if pair.1 >= self.functions_room || last.is_some_and(|last| last.0 > pair.0 || last.1 >= pair.1) {
                return None;
            }
            last = Some(pair);
        }
        let first = self.pair(image, &mut window, 0)?.0;
        let end = self.pair(image, &mut window, self.count)?.0;
        (first < end || (first, end) == (0, 0)).then_some((first, end))
    }

    /// The functions' starts out of the relocations, for tables with addresses which are zero in the file.
    fn relocated(&self, image: &Image, data: Data<'_>) -> Option<Vec<u64>> {
        let size = 2 * self.word;
        let mut starts = vec![0; usize::try_from(self.count).ok()?.checked_add(1)?];
        let mut found = 0;
        image.relative_words(data, |address, value| {
            let Some(inside) = address.checked_sub(self.functions_address) else { return false };
            if inside % size == 0
                && let Some(start) = starts.get_mut((inside / size) as usize)
            {
                *start = value;
                found += 1;
            }
            false
        });
        (found == starts.len() && starts.is_sorted()).then_some(starts)
    }
}

/// Finds the table of a Go program: by its section, else by its pattern.
pub(crate) fn locate(image: &Image, data: Data<'_>) -> Option<PcLnTab> {
    let source = data.source();
    let sections = [".gopclntab", ".data.rel.ro.gopclntab"];
    for section in sections.iter().filter_map(|name| image.section(name)) {
        if let Some(header) = Header::read(image, source, section.offset, section.address, section.size)
            && let Some(table) = check(image, data, header, false)
        {
            return Some(table);
        }
    }
    by_pattern(image, data)
}

/// Searches what is loaded but not run. The table is aligned to more than a pointer.
fn by_pattern(image: &Image, data: Data<'_>) -> Option<PcLnTab> {
    const ALIGN: u64 = 8;
    let source = data.source();
    let mut left = MAX_CANDIDATES;
    // Read-only parts first: only in position-independent programs are addresses in the table to be written.
    for writable in [false, true] {
        for segment in image.segments.iter().filter(|s| !s.executable && s.writable == writable) {
            let mut window = Window::of_size(source, 256 << 10);
            let mut at = 0;
            while at < segment.size {
                let Some(from) = segment.offset.checked_add(at) else { break };
                let want = (256_usize << 10).min(usize::try_from(segment.size - at).unwrap_or(usize::MAX));
                let bytes = window.up_to(from, want);
                let read = bytes.len();
                let candidates: Vec<u64> = candidates(bytes, image.little_endian)
                    .map(|place| at + place as u64)
                    .filter(|&at| segment.address.wrapping_add(at) % ALIGN == 0)
                    .take(left)
                    .collect();
                left -= candidates.len();
                for candidate in candidates {
                    let (offset, address) =
                        (segment.offset + candidate, segment.address.wrapping_add(candidate));
                    let room = segment.size - candidate;
                    if let Some(header) = Header::read(image, source, offset, address, room)
                        && let Some(table) = check(image, data, header, true)
                    {
                        return Some(table);
                    }
                }
                if read < want || read <= START || left == 0 {
                    break;
                }
                // A header may begin in the last bytes.
                at += if (read as u64) < segment.size - at { (read - START) as u64 } else { read as u64 };
            }
        }
    }
    None
}

/// Places where a header may begin.
fn candidates(bytes: &[u8], little_endian: bool) -> impl Iterator<Item = usize> {
    // The part of the magic that all formats share, and the zeros behind it.
    let (pattern, before): (&[u8], usize) =
        if little_endian { (&[0xff, 0xff, 0xff, 0, 0], 1) } else { (&[0xff, 0xff, 0xff], 0) };
    memchr::memmem::find_iter(bytes, pattern).filter_map(move |at| at.checked_sub(before))
}

/// Whether functions begin where the table says; that takes knowing where the text begins.
fn check(image: &Image, data: Data<'_>, header: Header, by_pattern: bool) -> Option<PcLnTab> {
    let source = data.source();
    let (first, end) = header.ends(image, source)?;
    let stands = Some(vec![header.stands]);
    let mut table = PcLnTab { header, text: 0, relocated: None, by_pattern, stands };
    let (start, end) = match header.format {
        Format::Go116 if end == 0 && image.file_type == elf::ET_DYN => {
            let starts = header.relocated(image, data)?;
            let ends = (*starts.first()?, *starts.last()?);
            table.relocated = Some(starts);
            table.stands = None;
            ends
        }
        Format::Go116 => (first, end),
        Format::Go118 => {
            let text = text::start(image, data, &header, first, end)?;
            table.text = text.address;
            match (&mut table.stands, text.stands) {
                (Some(spans), Some(span)) => spans.push(span),
                (spans, _) => *spans = None,
            }
            (table.text.checked_add(first)?, table.text.checked_add(end)?)
        }
    };
    // All functions stand in one segment that can be run.
    let (_, room) = image.code_offset(start)?;
    (start < end && end - start <= room).then_some(table)
}

#[cfg(test)]
#[path = "pclntab_tests.rs"]
mod tests;
