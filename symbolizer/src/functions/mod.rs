//! Where the functions are that can be probed.

pub(crate) mod names;
mod returns;
pub(crate) mod symbols;

use std::fmt;

use names::Names;
use object::elf;

use crate::{
    debug_file::DebugFile,
    elf::Image,
    go::pclntab::{self, PcLnTab},
    probes::{PROBES, Places, Probe},
    source::Source,
    witness::Span,
};

/// By which evidence a function is where it is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The symbol table (`.symtab`).
    Symbol,
    /// The dynamic symbol table (`.dynsym`).
    DynamicSymbol,
    /// The symbol table of the separate debug file.
    DebugFile,
    /// Go's table of functions, in a section of its own.
    PcLnTab,
    /// Go's table of functions, found by its pattern.
    PcLnTabPattern,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::Symbol => "symbol",
            Evidence::DynamicSymbol => "dynamic symbol",
            Evidence::DebugFile => "debug file's symbol",
            Evidence::PcLnTab => "pclntab",
            Evidence::PcLnTabPattern => "pclntab (by pattern)",
        })
    }
}

/// A function that can be probed, in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Which.
    pub probe: &'static Probe,
    /// Its address as linked.
    pub address: u64,
    /// Its place in the file, bytes: where a uprobe on its first instruction goes.
    pub offset: u64,
    /// Its length, bytes, as the evidence has it; 0 if it does not tell.
    pub size: u64,
    /// By which evidence.
    pub evidence: Evidence,
    /// Where it returns; `None` where that is not needed or, as for C, not how its end is probed.
    pub returns: Option<ReturnSites>,
}

/// Where a function returns, as places in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnSites {
    /// Its RET instructions, ascending. These are all of its ends.
    All(Vec<u64>),
    /// Its RET instructions, ascending; it can also leave by a jump to another function.
    AndJumps(Vec<u64>),
    /// They cannot be told, and why.
    Unknown(&'static str),
}

impl ReturnSites {
    /// The places of the RET instructions.
    pub fn places(&self) -> &[u64] {
        match self {
            ReturnSites::All(places) | ReturnSites::AndJumps(places) => places,
            ReturnSites::Unknown(_) => &[],
        }
    }
}

/// A function that has been found, before it was looked at.
struct Place {
    probe: &'static Probe,
    address: u64,
    size: u64,
    evidence: Evidence,
    /// Where in the file the evidence stands.
    stands: Vec<Span>,
}

/// Finds the functions of [`PROBES`]; ordered as they are there. With each the places in the file from which it follows.
///
/// A function of Go is looked for in Go's own table first: it is there whatever was stripped. Others, and Go's where
/// that table is not understood, in the symbol tables, the file's own first.
pub(crate) fn find(
    image: &Image,
    source: &Source<'_>,
    table: Option<&PcLnTab>,
    debug_file: Option<&DebugFile>,
) -> Vec<(Function, Vec<Span>)> {
    let mut places: Vec<Place> = Vec::new();
    if let Some(table) = table {
        let evidence = if table.by_pattern() { Evidence::PcLnTabPattern } else { Evidence::PcLnTab };
        let (wanted, names) = missing(&places, |probe| probe.library.is_go());
        for found in pclntab::find(table, image, source, &Names::new(&names)) {
            places.push(Place {
                probe: wanted[usize::from(found.name)],
                address: found.start,
                size: found.end - found.start,
                evidence,
                stands: found.stands.to_vec(),
            });
        }
    }
    let is_go = table.is_some();
    let own = Some((image, source));
    for (evidence, kind, file) in [
        (Evidence::Symbol, elf::SHT_SYMTAB, own),
        (Evidence::DynamicSymbol, elf::SHT_DYNSYM, own),
        (Evidence::DebugFile, elf::SHT_SYMTAB, debug_file.map(|f| (&f.image, &f.source))),
    ] {
        let Some((image, source)) = file else { continue };
        let (wanted, names) = missing(&places, |probe| !(is_go && probe.library.is_go()));
        for symbol in symbols::find(image, source, kind, &Names::new(&names)) {
            if symbol.kind == elf::STT_FUNC {
                let probe = wanted[usize::from(symbol.name)];
                let own = evidence != Evidence::DebugFile;
                let stands = if own { symbol.stands.to_vec() } else { Vec::new() };
                places.push(Place { probe, address: symbol.address, size: symbol.size, evidence, stands });
            }
        }
    }
    let mut functions: Vec<_> = places
        .into_iter()
        .filter_map(|place| {
            let function = look(image, source, &place)?;
            let mut stands = place.stands;
            if function.returns.is_some() {
                stands.push(Span::new(function.offset, function.size));
            }
            Some((function, stands))
        })
        .collect();
    functions.sort_by_key(|(f, _)| (index(f.probe), f.address));
    // A symbol may be there more than once (versions, aliases).
    functions.dedup_by_key(|(f, _)| (index(f.probe), f.address));
    functions
}

fn index(probe: &Probe) -> usize {
    PROBES.iter().position(|p| std::ptr::eq(p, probe)).unwrap_or(PROBES.len())
}

/// The functions that were not found yet, with their names.
fn missing(found: &[Place], wanted: impl Fn(&Probe) -> bool) -> (Vec<&'static Probe>, Vec<&'static str>) {
    let missing = |probe: &&Probe| wanted(probe) && !found.iter().any(|place| place.probe == *probe);
    PROBES.iter().filter(missing).map(|probe| (probe, probe.function)).unzip()
}

/// Looks at a function's code; `None` if it does not stand where something can run.
fn look(image: &Image, source: &Source<'_>, place: &Place) -> Option<Function> {
    let (offset, room) = image.code_offset(place.address)?;
    let is_go = place.probe.library.is_go();
    let returns = (is_go && place.probe.places == Places::EntryAndReturns)
        .then(|| return_sites(image, source, place, offset, room));
    Some(Function {
        probe: place.probe,
        address: place.address,
        offset,
        size: place.size,
        evidence: place.evidence,
        returns,
    })
}

fn return_sites(image: &Image, source: &Source<'_>, place: &Place, offset: u64, room: u64) -> ReturnSites {
    if place.size == 0 {
        return ReturnSites::Unknown("its length is not known");
    }
    if place.size > room.min(source.left(offset)) || place.size > returns::MAX_CODE {
        return ReturnSites::Unknown("it is longer than a function can be, or than the file");
    }
    let mut code = vec![0; place.size as usize];
    if source.fill(offset, &mut code) < code.len() {
        return ReturnSites::Unknown("its code is cut short");
    }
    match returns::find(image.machine, &code, place.address) {
        Ok(found) => {
            let places = found.places.iter().map(|at| offset + at).collect();
            if found.leaves_by_jump { ReturnSites::AndJumps(places) } else { ReturnSites::All(places) }
        }
        Err(why) => ReturnSites::Unknown(why),
    }
}

#[cfg(test)]
mod tests;
