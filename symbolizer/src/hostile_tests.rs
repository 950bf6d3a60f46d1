//! Whatever stands in a file: an answer or an error, no panic, no endless loop, bounded memory.

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    Inspection, go, inspect_bytes, maps,
    testing::{self, Elf, Part, compressed, zdebug},
    tls,
};

fn look(bytes: &[u8]) {
    let _ = inspect_bytes(bytes);
    let _ = Inspection::of_bytes(bytes);
    let _ = tls::scan_bytes(bytes);
    let _ = go::functions_bytes(bytes, |_| {});
    let _ = go::offsets_bytes(bytes);
    let _ = go::layout_from_dwarf_bytes(bytes);
}

/// Small files with all the parts that are looked at, in every shape.
fn samples() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for (is_64, little) in [(true, true), (true, false), (false, true), (false, false)] {
        let elf = Elf::new(is_64, little);
        let new = elf.build_info("devel go1.28-0123abc", "path\tx\nmod\tx\tv1\ndep\ty\tv2\nbuild\ta=b\n");
        let old = elf.old_build_info("go1.99", "path\tx\n");
        for (dwarf, packed) in [(4, 0), (5, 0), (5, 1), (4, 2)] {
            let parts = elf.debug(dwarf, 100).map(|part| match packed {
                0 => part,
                1 => compressed(&elf, part),
                _ => zdebug(part),
            });
            let mut file = elf.clone();
            file.parts.extend(parts);
            file.parts.push(Part::new(".comment", *b"GCC\0"));
            if packed == 1 {
                file.parts.extend(old.clone());
            } else {
                file.parts.push(new.clone());
            }
            samples.push(file.build());
        }
    }
    samples
}

/// Small Go programs with a table of functions of each format, symbols, and all that leads to the text.
fn programs() -> Vec<Vec<u8>> {
    let functions = [("runtime.main", 16), ("crypto/tls.(*Conn).Read", 48), ("main.main", 16)];
    let mut programs = Vec::new();
    for (is_64, little, headers) in [
        (true, true, true),
        (true, true, false),
        (true, false, true),
        (false, true, true),
        (false, false, false),
    ] {
        for magic in [0xffff_fffa, 0xffff_fff0, 0xffff_fff1] {
            let elf = Elf { headers, ..Elf::new(is_64, little) };
            let mut program = testing::go_program(&elf, magic, &functions);
            if magic == 0xffff_fff1 {
                let table = program.parts.last_mut().unwrap();
                table.bytes = testing::pclntab(&elf, magic, 0, &functions);
                let module = testing::module_data(&elf, 80);
                program = program.with(
                    Part::new(".go.module", module)
                        .at(testing::MODULE, object::elf::PF_R | object::elf::PF_W),
                );
            }
            let names = [("SSL_read", testing::TEXT), ("SSL_write", testing::TEXT + 16)];
            programs.push(testing::symbols(&program, object::elf::SHT_SYMTAB, &names).build());
        }
    }
    programs
}

#[test]
fn every_prefix_of_a_small_file_is_survived() {
    for sample in programs() {
        let found = Inspection::of_bytes(&sample).unwrap();
        assert!(found.functions.iter().any(|f| f.probe.function == "crypto/tls.(*Conn).Read"), "{found:?}");
        for end in 0..sample.len() {
            look(&sample[..end]);
        }
    }
    for sample in samples() {
        assert!(go::layout_from_dwarf_bytes(&sample).is_ok());
        for end in 0..sample.len() {
            look(&sample[..end]);
        }
    }
}

#[test]
fn every_byte_may_be_wrong() {
    for sample in samples().into_iter().chain(programs()).step_by(5) {
        for at in 0..sample.len() {
            for value in [0, 0xff, sample[at] ^ 1] {
                let mut broken = sample.clone();
                broken[at] = value;
                look(&broken);
            }
        }
    }
}

#[test]
fn a_bomb_is_not_inflated_without_bound() {
    // 20 MiB of zeros in 20 KiB: more than is decompressed of a section in a test.
    let elf = Elf::new(true, true);
    let [abbrev, mut info] = elf.debug(5, 100);
    info.bytes.resize(20 << 20, 0);
    // The second unit, that of the runtime, claims everything.
    let first = u32::from_le_bytes(*info.bytes.first_chunk().unwrap()) as usize + 4;
    let length = (info.bytes.len() - first - 4) as u32;
    info.bytes[first..first + 4].copy_from_slice(&length.to_le_bytes());
    let bytes = elf.clone().with(abbrev).with(compressed(&elf, info)).build();
    assert!(bytes.len() < 100 << 10, "{}", bytes.len());
    let error = go::layout_from_dwarf_bytes(&bytes).unwrap_err();
    assert!(matches!(error, crate::Error::TooLarge { .. }), "{error}");
}

#[test]
fn a_unit_that_ends_at_the_end_of_all_numbers() {
    // DWARF64 has lengths of 64 bits; found by fuzzing.
    let info = [0xffff_ffff_u32.to_le_bytes().as_slice(), &(u64::MAX - 14).to_le_bytes(), &[0; 8]].concat();
    let elf = Elf::new(true, true).with(Part::new(".debug_abbrev", [0])).with(Part::new(".debug_info", info));
    assert!(go::layout_from_dwarf_bytes(&elf.build()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..2048)) {
        look(&bytes);
        maps::parse(&bytes);
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.extend(&bytes);
        look(&elf);
    }

    #[test]
    fn any_damage(which in any::<Index>(), edits in vec((any::<Index>(), any::<u64>(), 1..8_usize), 1..6)) {
        let samples = [samples(), programs()].concat();
        let mut bytes = which.get(&samples).clone();
        for (at, value, len) in edits {
            let at = at.index(bytes.len());
            for (byte, new) in bytes[at..].iter_mut().zip(&value.to_le_bytes()[..len]) {
                *byte = *new;
            }
        }
        look(&bytes);
    }

    #[test]
    fn any_version_string(text in ".{0,40}") {
        let _ = go::Version::of_toolchain(&text);
        let _ = go::Version::of_toolchain(&format!("go1.{text}"));
        let _ = go::Table::parse(&text);
    }
}
