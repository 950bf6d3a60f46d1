//! Go's table of functions, in a section of its own and where only its pattern can be found; the functions that it names
//! are disassembled.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use remora_symbolizer::{Inspection, go};
use support::{Part, READ, RUN, elf, plant};

const TEXT: u64 = 0x40_1000;
const NAMES: &[u8] = b"runtime.main\0crypto/tls.(*Conn).Read\0";

/// A table as Go 1.20 and newer have it: two functions.
fn seed() -> Vec<u8> {
    let mut table = 0xffff_fff1_u32.to_le_bytes().to_vec();
    table.extend([0, 0, 1, 8]);
    let names = 72;
    let rest = names + NAMES.len() as u64;
    table.extend([2, 1, TEXT, names, rest, rest + 1, rest + 2, rest + 3].map(u64::to_le_bytes).concat());
    table.extend(NAMES);
    table.extend([0; 3]);
    // Starts and places, the end, then the starts with the places of their names.
    table.extend([0_u32, 20, 32, 32, 64, 0, 0, 0, 32, 13, 0].map(u32::to_le_bytes).concat());
    table
}

fuzz_target!(init: { plant("small", &[&[0], seed().as_slice()].concat()); }, |data: &[u8]| {
    let Some((&shape, table)) = data.split_first() else { return };
    // Code that has been through the fuzzer, too: the end of the input.
    let code = [&table[table.len().saturating_sub(64)..], &[0xc3; 64]].concat();
    let info = [b"\xff Go buildinf:\x08\x02".as_slice(), &[0; 16], b"\x08go1.22.5\0"].concat();
    let name = if shape & 1 == 0 { ".gopclntab" } else { ".other" };
    let file = elf(&[
        Part { name: ".text", load: Some((TEXT, RUN)), flags: 0, bytes: &code },
        Part { name, load: Some((0x60_0000, READ)), flags: 0, bytes: table },
        Part { name: ".go.buildinfo", load: Some((0x50_0000, READ)), flags: 0, bytes: &info },
    ]);
    let _ = go::functions_bytes(&file, |function| assert!(function.start < function.end));
    if let Ok(inspection) = Inspection::of_bytes(&file) {
        for function in &inspection.functions {
            let returns = function.returns.iter().flat_map(|returns| returns.places());
            assert!(returns.clone().all(|&at| at >= function.offset && at < function.offset + function.size));
        }
    }
});
