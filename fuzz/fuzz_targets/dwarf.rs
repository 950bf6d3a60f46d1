//! DWARF that describes Go's structures: plain, and compressed in each way.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use remora_symbolizer::go;
use support::{Part, elf, plant};

const SHF_COMPRESSED: u64 = 1 << 11;

/// The abbreviations, with their length before them, and one unit of DWARF 4 with `runtime.g`.
fn seed() -> Vec<u8> {
    let abbreviations = [
        &[1, 0x11, 1, 0x03, 0x08, 0, 0][..], // compile_unit with children: name (string)
        &[2, 0x13, 1, 0x03, 0x08, 0, 0],     // structure_type with children: name
        &[3, 0x0d, 0, 0x03, 0x08, 0x38, 0x0f, 0, 0], // member: name, data_member_location (udata)
        &[4, 0x0d, 0, 0x03, 0x08, 0x38, 0x0a, 0, 0], // member: the same as block1
        &[0],
    ]
    .concat();
    let unit = [
        &[4, 0, 0, 0, 0, 0, 8][..],
        b"\x01runtime\0",
        b"\x02runtime.g\0",
        b"\x03goid\0\x98\x01",
        b"\x04stack\0\x02\x23\x00",
        &[0, 0],
    ]
    .concat();
    let length = (unit.len() as u32).to_le_bytes();
    [&[0, abbreviations.len() as u8], abbreviations.as_slice(), &length, &unit].concat()
}

fuzz_target!(init: { plant("small", &seed()); }, |data: &[u8]| {
    let [shape, length, rest @ ..] = data else { return };
    let (abbreviations, info) = rest.split_at(usize::from(*length).min(rest.len()));
    // As it is, or as what stands behind a header says that it is compressed.
    let head = |method: u8| [&[method], [0; 7].as_slice(), &(64_u64 << 10).to_le_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    let (name, flags, header) = match shape % 4 {
        0 => (".debug_info", 0, Vec::new()),
        1 => (".debug_info", SHF_COMPRESSED, head(1)),
        2 => (".debug_info", SHF_COMPRESSED, head(2)),
        _ => (".zdebug_info", 0, [b"ZLIB".as_slice(), &(64_u64 << 10).to_be_bytes()].concat()),
    };
    let file = elf(&[
        Part { name: ".debug_abbrev", load: None, flags: 0, bytes: abbreviations },
        Part { name, load: None, flags, bytes: &[&header, info].concat() },
    ]);
    let _ = go::layout_from_dwarf_bytes(&file);
});
