//! ELF files, their build information and DWARF, and `/proc/PID/maps`: what the symbolizer reads of others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_symbolizer::{go, inspect_bytes, maps, tls};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(binary) = inspect_bytes(bytes) {
        let _ = binary.build_id_hex();
    }
    let _ = tls::scan_bytes(bytes);
    let _ = go::offsets_bytes(bytes);
    let _ = go::offsets_from_dwarf_bytes(bytes);
    let _ = tls::mapped(&maps::parse(bytes));
});
