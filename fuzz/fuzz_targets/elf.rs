//! ELF files, their build information and DWARF, and `/proc/PID/maps`: what the symbolizer reads of others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_symbolizer::{Inspection, go, inspect_bytes, maps, tls};

fuzz_target!(|bytes: &[u8]| {
    let _ = inspect_bytes(bytes);
    let _ = Inspection::of_bytes(bytes);
    let _ = tls::scan_bytes(bytes);
    let _ = go::offsets_bytes(bytes);
    let _ = go::layout_from_dwarf_bytes(bytes);
    let _ = go::functions_bytes(bytes, |_| {});
    let _ = tls::mapped(&maps::parse(bytes));
});
