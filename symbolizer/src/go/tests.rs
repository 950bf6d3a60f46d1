use super::*;
use crate::testing::{Elf, compressed, zdebug, zstd};

fn with_debug(version: &str, dwarf: u16, goid: u8) -> Elf {
    let elf = Elf::new(true, true);
    let [abbrev, info] = elf.debug(dwarf, goid);
    elf.clone().with(elf.build_info(version, "")).with(abbrev).with(info)
}

fn expected(goid: u32, word: u32) -> Offsets {
    Offsets { goid, stack_lo: 0, stack_hi: word, parent_goid: Some(goid + 16) }
}

#[test]
fn dwarf_of_every_version_class_byte_order_and_compression() {
    for (is_64, little) in [(true, true), (true, false), (false, true), (false, false)] {
        let elf = Elf::new(is_64, little);
        for dwarf in [2, 3, 4, 5] {
            let want = expected(100, if is_64 { 8 } else { 4 });
            let parts = || elf.debug(dwarf, 100);
            let plain = parts();
            let zipped = parts().map(zdebug);
            let flagged = parts().map(|part| compressed(&elf, part));
            let zstd = parts().map(|part| zstd(&elf, part));
            for [abbrev, info] in [plain, zipped, flagged, zstd] {
                let name = info.name;
                let bytes = elf.clone().with(abbrev).with(info).build();
                let got = Offsets::of(&layout_from_dwarf_bytes(&bytes).unwrap());
                assert_eq!(
                    got,
                    Some(want),
                    "DWARF {dwarf}, 64 bit: {is_64}, little endian: {little}, {name}"
                );
            }
        }
    }
}

#[test]
fn the_table_answers_before_dwarf_and_dwarf_for_what_is_not_in_it() {
    let (_, source) = offsets_bytes(&with_debug("go1.27.0", 5, 100).build()).unwrap();
    assert_eq!(source, Source::Measured);
    for version in
        ["go1.99.0", "devel go1.28-0123abc Mon Jan 1", "go1.22.5-acme", "devel +0123abc", "go1.99rc1"]
    {
        let answer = offsets_bytes(&with_debug(version, 5, 100).build()).unwrap();
        assert_eq!(answer, (expected(100, 8), Source::Dwarf), "{version}");
    }
}

#[test]
fn without_dwarf_the_reason_is_told_and_nothing_guessed() {
    let reason = |version: &str, elf: Elf| {
        let bytes = elf.clone().with(elf.build_info(version, "")).build();
        offsets_bytes(&bytes).unwrap_err().to_string()
    };
    let newer = reason("go1.99.0", Elf::new(true, true));
    assert!(newer.starts_with("newer than the table: go1.99.0"), "{newer}");
    assert!(newer.contains("cargo xtask go-offsets"), "{newer}");
    assert!(reason("go1.22.5-acme", Elf::new(true, true)).contains("not a release of Go's own"));
    assert!(reason("devel +0123abc", Elf::new(true, true)).contains("does not say which release"));
    assert!(reason("go1.16.15", Elf::new(true, true)).contains("needs Go 1.17 or newer"));
    assert!(reason("go1.22.5", Elf::new(false, true)).contains("x86 (32 bit)"));
    let arm = Elf { machine: object::elf::EM_AARCH64.0, ..Elf::new(true, true) };
    assert!(reason("go1.16.15", arm).contains("older than what was measured"));
    assert!(matches!(offsets_bytes(&Elf::new(true, true).build()), Err(Error::NotGo)));
    assert!(matches!(offsets_bytes(b"#!/bin/sh"), Err(Error::NotElf)));
}

#[test]
fn a_field_of_a_module_comes_from_dwarf_or_not_at_all() {
    let of = |elf: &Elf| {
        let bytes = elf.build();
        let source = File::bytes(&bytes);
        let image = Image::parse(source.data()).unwrap();
        let info = find_build_info(&image, source.data()).unwrap();
        let libraries = [Library::GoRuntime, Library::Grpc];
        let fields = field_offsets(&image, source.data(), &info, None, &libraries).unwrap();
        fields
            .into_iter()
            .map(|f| (f.field.to_string(), f.offset.map_err(|e| e.to_string())))
            .collect::<Vec<_>>()
    };
    let bare = Elf::new(true, true);
    let fields = of(&bare.clone().with(bare.build_info("go1.22.5", "")));
    assert_eq!(fields[0], ("runtime.g.goid".into(), Ok((152, Source::Between))));
    let (name, unknown) = fields.last().unwrap();
    assert!(name.starts_with("google.golang.org/grpc"));
    let why = unknown.as_ref().unwrap_err();
    assert!(why.contains("with the version of its module"), "{why}");
    // With DWARF that does not know the module there is no such field.
    let fields = of(&with_debug("go1.22.5", 5, 100));
    assert!(fields.iter().all(|(name, _)| name.starts_with("runtime.")), "{fields:?}");
}

#[test]
fn dwarf_without_the_runtime_says_so() {
    let elf = Elf::new(true, true);
    let [abbrev, mut info] = elf.debug(5, 100);
    let at = memchr::memmem::find(&info.bytes, b"runtime.stack").unwrap();
    info.bytes[at] = b'R';
    let bytes = elf.clone().with(elf.build_info("go1.99.0", "")).with(abbrev).with(info).build();
    let error = offsets_bytes(&bytes).unwrap_err().to_string();
    assert!(error.contains("does not describe Go's runtime.g and runtime.stack"), "{error}");
}
