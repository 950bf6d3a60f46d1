//! What the targets share that put their input into a part of an ELF file.

use std::path::Path;

/// Permissions of a segment: `PF_R`, with `PF_X` or `PF_W`.
#[allow(dead_code, reason = "each target uses its part")]
pub const READ: u32 = 4;
#[allow(dead_code, reason = "each target uses its part")]
pub const RUN: u32 = 5;

/// A section: its name, its address and permissions if it is loaded, its flags, its bytes.
pub struct Part<'a> {
    pub name: &'a str,
    pub load: Option<(u64, u32)>,
    pub flags: u64,
    pub bytes: &'a [u8],
}

/// An executable for x86-64 of these parts.
pub fn elf(parts: &[Part<'_>]) -> Vec<u8> {
    let mut names = vec![0];
    let mut name_at = Vec::new();
    for name in parts.iter().map(|part| part.name).chain([".shstrtab"]) {
        name_at.push(names.len() as u32);
        names.extend(name.as_bytes());
        names.push(0);
    }
    let loaded = parts.iter().filter(|part| part.load.is_some()).count();
    let mut at = (64 + 56 * loaded).next_multiple_of(16);
    let mut places = Vec::new();
    for bytes in parts.iter().map(|part| part.bytes).chain([names.as_slice()]) {
        places.push(at as u64);
        at = (at + bytes.len()).next_multiple_of(16);
    }
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    out.resize(16, 0);
    out.extend([2_u16, 62].map(u16::to_le_bytes).concat());
    out.extend(1_u32.to_le_bytes());
    out.extend([0x40_1000, 64, at as u64].map(u64::to_le_bytes).concat());
    out.extend(0_u32.to_le_bytes());
    let count = parts.len() as u16 + 1;
    out.extend([64, 56, loaded as u16, 64, count, count - 1].map(u16::to_le_bytes).concat());
    for (part, place) in parts.iter().zip(&places) {
        let Some((address, permissions)) = part.load else { continue };
        out.extend([1, permissions].map(u32::to_le_bytes).concat());
        let size = part.bytes.len() as u64;
        out.extend([*place, address, address, size, size, 16].map(u64::to_le_bytes).concat());
    }
    let strings = Part { name: ".shstrtab", load: None, flags: 0, bytes: &names };
    let all = || parts.iter().chain([&strings]).zip(&places).zip(&name_at);
    for ((part, place), _) in all() {
        out.resize(*place as usize, 0);
        out.extend(part.bytes);
    }
    out.resize(at, 0);
    for ((part, place), name) in all() {
        let kind = if part.name == ".shstrtab" { 3 } else { 1 };
        out.extend([*name, kind].map(u32::to_le_bytes).concat());
        let address = part.load.map_or(0, |(address, _)| address);
        out.extend([part.flags, address, *place, part.bytes.len() as u64].map(u64::to_le_bytes).concat());
        out.extend([0_u32, 0].map(u32::to_le_bytes).concat());
        out.extend([1_u64, 0].map(u64::to_le_bytes).concat());
    }
    out
}

/// Writes the first input into the folder that `REMORA_SEEDS` names.
pub fn plant(name: &str, seed: &[u8]) {
    if let Some(folder) = std::env::var_os("REMORA_SEEDS") {
        let path = Path::new(&folder).join(name);
        if let Err(error) = std::fs::write(&path, seed) {
            eprintln!("{}: {error}", path.display());
        }
    }
}
