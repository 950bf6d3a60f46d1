//! Renders the table of Go offsets from measured binaries; `cargo xtask go-offsets` calls it.
//!
//! Arguments: the table there is, then VERSION=BINARY for each new measurement. A version measured on several
//! machines must have the same values on all. Standard output: the table without comments.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use remora_symbolizer::go::{Layout, Offsets, Table, Version, layout_from_dwarf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let known = arguments.next().ok_or("usage: go_table TABLE VERSION=BINARY…")?;
    let known =
        Table::parse(&fs::read_to_string(known)?).map_err(|(line, why)| format!("line {line}: {why}"))?;
    let mut measurements = BTreeMap::<Version, Layout>::new();
    for argument in arguments {
        let (version, binary) = argument.split_once('=').ok_or("expected VERSION=BINARY")?;
        let version = Version::parse(version).ok_or_else(|| format!("{version} is no version"))?;
        let layout = layout_from_dwarf(Path::new(binary)).map_err(|e| format!("{binary}: {e}"))?.of_go();
        Offsets::of(&layout).ok_or_else(|| format!("{binary}: runtime.g is not described whole"))?;
        let first = *measurements.entry(version).or_insert(layout);
        if first != layout {
            return Err(format!("{version}: {first:?} on one machine, {layout:?} on another").into());
        }
    }
    for &version in known.measured() {
        if let Some(layout) = known.layout(version) {
            measurements.entry(version).or_insert(layout);
        }
    }
    print!("{}", Table::of_measurements(measurements.into_iter().collect()));
    Ok(())
}
