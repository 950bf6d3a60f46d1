//! Renders the table of Go offsets from measured binaries; `cargo xtask go-offsets` calls it.
//!
//! Arguments: the table there is, then VERSION=BINARY for each new measurement. A version measured on several
//! machines must have the same values on all. Standard output: the table without comments.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use remora_symbolizer::go::{Answer, Offsets, Table, Version, offsets_from_dwarf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let known = arguments.next().ok_or("usage: go_table TABLE VERSION=BINARY…")?;
    let known =
        Table::parse(&fs::read_to_string(known)?).map_err(|(line, why)| format!("line {line}: {why}"))?;
    let mut measurements = BTreeMap::<Version, Offsets>::new();
    for argument in arguments {
        let (version, binary) = argument.split_once('=').ok_or("expected VERSION=BINARY")?;
        let version = Version::parse(version).ok_or_else(|| format!("{version} is no version"))?;
        let offsets = offsets_from_dwarf(Path::new(binary)).map_err(|e| format!("{binary}: {e}"))?;
        let first = *measurements.entry(version).or_insert(offsets);
        if first != offsets {
            return Err(format!("{version}: {first:?} on one machine, {offsets:?} on another").into());
        }
    }
    for &version in known.measured() {
        if let Answer::Measured(offsets) = known.look_up(version) {
            measurements.entry(version).or_insert(offsets);
        }
    }
    print!("{}", Table::of_measurements(measurements.into_iter().collect()));
    Ok(())
}
