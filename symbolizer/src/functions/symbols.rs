//! Functions and data out of symbol tables (`.symtab`, `.dynsym`), read front to back.

use object::elf;

use super::names::Names;
use crate::{
    elf::{Image, Section},
    source::{Source, Window},
    witness::Span,
};

/// Symbols of the names looked for that are taken.
const MAX_FOUND: usize = 4096;

/// A symbol that was looked for, and that this file defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// The index of its name.
    pub name: u16,
    pub kind: elf::SymbolType,
    pub address: u64,
    pub size: u64,
    /// Where it stands, and its name.
    pub stands: [Span; 2],
}

/// The symbols of these names in the table of this kind (`SHT_SYMTAB` or `SHT_DYNSYM`).
pub(crate) fn find(
    image: &Image,
    source: &Source<'_>,
    kind: elf::SectionType,
    names: &Names<'_>,
) -> Vec<Symbol> {
    let mut found = Vec::new();
    if names.is_empty() {
        return found;
    }
    for table in image.sections.iter().filter(|s| s.kind == kind) {
        if let Some(strings) = image.sections.get(table.link) {
            in_table(image, source, table, strings, names, &mut found);
        }
    }
    found
}

fn in_table(
    image: &Image,
    source: &Source<'_>,
    table: &Section,
    strings: &Section,
    names: &Names<'_>,
    found: &mut Vec<Symbol>,
) {
    let places = names.find(source, strings.offset, strings.size);
    if places.is_empty() {
        return;
    }
    // Elf64_Sym: name 4, info 1, other 1, section 2, value 8, size 8.
    // Elf32_Sym: name 4, value 4, size 4, info 1, other 1, section 2.
    let (entry, info, section, value, size, word) =
        if image.is_64 { (24, 4, 6, 8, 16, 8) } else { (16, 12, 14, 4, 8, 4) };
    let mut window = Window::new(source);
    for index in 0..table.size / entry {
        let Some(bytes) =
            table.offset.checked_add(index * entry).and_then(|at| window.get(at, entry as usize))
        else {
            return;
        };
        let name_at = image.word(&bytes[..4]).unwrap_or(0);
        let Some(&name) = places.get(&name_at) else { continue };
        // Section 0: defined elsewhere.
        if bytes[section..section + 2] == [0, 0] {
            continue;
        }
        let word = |at: usize| image.word(&bytes[at..at + word]).unwrap_or(0);
        let kind = elf::SymbolType(bytes[info] & 0xf);
        let stands = [
            Span::new(table.offset + index * entry, entry),
            Span::new(strings.offset.saturating_add(name_at), names.len_of(name) + 1),
        ];
        found.push(Symbol { name, kind, address: word(value), size: word(size), stands });
        if found.len() >= MAX_FOUND {
            return;
        }
    }
}
