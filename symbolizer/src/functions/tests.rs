use super::*;
use crate::{
    Inspection,
    testing::{self, Elf, Part, TEXT, go_program, symbols},
};

fn functions(elf: &Elf) -> Vec<(&'static str, u64, Evidence)> {
    let inspection = Inspection::of_bytes(&elf.build()).unwrap();
    inspection.functions.iter().map(|f| (f.probe.function, f.address, f.evidence)).collect()
}

fn with_code(elf: &Elf) -> Elf {
    elf.clone().with(Part::new(".text", vec![0xc3; 256]).at(TEXT, elf::PF_R | elf::PF_X))
}

#[test]
fn the_symbol_table_comes_before_the_dynamic_one_and_both_before_nothing() {
    for (is_64, little) in [(true, true), (true, false), (false, true), (false, false)] {
        let elf = with_code(&Elf::new(is_64, little));
        let own = symbols(&elf, elf::SHT_SYMTAB, &[("SSL_write", TEXT + 32), ("xSSL_free", TEXT)]);
        let both = symbols(&own, elf::SHT_DYNSYM, &[("SSL_write", TEXT + 64), ("SSL_read", TEXT + 16)]);
        let expected =
            [("SSL_read", TEXT + 16, Evidence::DynamicSymbol), ("SSL_write", TEXT + 32, Evidence::Symbol)];
        assert_eq!(functions(&both), expected);
    }
}

#[test]
fn a_symbol_where_nothing_can_run_is_no_function() {
    let elf = with_code(&Elf::new(true, true));
    let names = [("SSL_read", TEXT + 256), ("SSL_write", 0), ("SSL_free", u64::MAX), ("SSL_shutdown", TEXT)];
    let found = functions(&symbols(&elf, elf::SHT_DYNSYM, &names));
    assert_eq!(found, [("SSL_shutdown", TEXT, Evidence::DynamicSymbol)]);
}

#[test]
fn go_functions_come_from_gos_table_and_their_returns_from_their_code() {
    let elf = Elf::new(true, true);
    let names = [("runtime.main", 16), ("crypto/tls.(*Conn).Read", 4), ("crypto/tls.(*Conn).Write", 7)];
    let mut program = go_program(&elf, 0xffff_fff1, &names);
    // ret; ret; mov eax, 0xc3… reaches into the next function: cannot be decoded to its end.
    program.parts[1].bytes[18] = 0xb8;
    // jmp far away; two fillers.
    program.parts[1].bytes[20..27].copy_from_slice(&[0xe9, 0, 1, 0, 0, 0xcc, 0xcc]);
    let program =
        symbols(&program, elf::SHT_SYMTAB, &[("crypto/tls.(*Conn).Read", TEXT), ("SSL_read", TEXT)]);
    let inspection = Inspection::of_bytes(&program.build()).unwrap();
    let found: Vec<_> = inspection.functions.iter().map(|f| (f.probe.function, f.evidence, f.size)).collect();
    assert_eq!(
        found,
        [
            ("SSL_read", Evidence::Symbol, 16),
            ("crypto/tls.(*Conn).Read", Evidence::PcLnTab, 4),
            ("crypto/tls.(*Conn).Write", Evidence::PcLnTab, 7),
        ]
    );
    let returns = |index: usize| inspection.functions[index].returns.clone();
    assert_eq!(returns(0), None, "C's ends are probed where it is called");
    assert!(matches!(returns(1), Some(ReturnSites::Unknown(_))), "{:?}", returns(1));
    assert_eq!(returns(2), Some(ReturnSites::AndJumps(vec![])));
}

#[test]
fn returns_are_places_in_the_file() {
    let elf = Elf::new(true, true);
    let program = go_program(&elf, 0xffff_fff0, &[("runtime.main", 16), ("crypto/tls.(*Conn).Read", 2)]);
    let bytes = program.build();
    let inspection = Inspection::of_bytes(&bytes).unwrap();
    let function = &inspection.functions[0];
    let places = function.returns.as_ref().unwrap().places();
    assert_eq!(places, [function.offset, function.offset + 1]);
    assert!(places.iter().all(|&at| bytes[at as usize] == 0xc3));
    assert_ne!(function.offset, function.address);
}

#[test]
fn a_debug_file_tells_what_was_stripped() {
    let dir = tempfile::tempdir().unwrap();
    let elf =
        with_code(&Elf::new(true, true)).with(testing::build_id(&Elf::new(true, true), &[0xab, 0xcd, 0xef]));
    let debug = symbols(&elf, elf::SHT_SYMTAB, &[("SSL_read", TEXT + 16)]);
    let place = dir.path().join(".build-id/ab/cdef.debug");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, debug.build()).unwrap();

    let found = |elf: &Elf, path: Option<&std::path::Path>| {
        let bytes = elf.build();
        let source = Source::bytes(&bytes);
        let image = Image::parse(source.data()).unwrap();
        let file = crate::debug_file::find(&image, &source, path, dir.path());
        let functions = find(&image, &source, None, file.as_ref());
        functions.iter().map(|(f, _)| (f.probe.function, f.offset, f.evidence)).collect::<Vec<_>>()
    };
    let text = |elf: &Elf| {
        let bytes = elf.build();
        let source = Source::bytes(&bytes);
        Image::parse(source.data()).unwrap().code_offset(TEXT).unwrap().0
    };
    assert_eq!(found(&elf, None), [("SSL_read", text(&elf) + 16, Evidence::DebugFile)]);

    // Another build under the name of this one is not believed.
    let other = with_code(&Elf::new(true, true)).with(testing::build_id(&elf, &[0xab, 0xcd, 0xee]));
    std::fs::write(&place, symbols(&other, elf::SHT_SYMTAB, &[("SSL_read", TEXT)]).build()).unwrap();
    assert_eq!(found(&elf, None), []);

    // Without a build id by name and checksum.
    let plain = with_code(&Elf::new(true, true));
    let debug = symbols(&plain, elf::SHT_SYMTAB, &[("SSL_free", TEXT)]).build();
    let mut crc = flate2::Crc::new();
    crc.update(&debug);
    let link = |sum: u32| [b"x.debug\0".to_vec(), elf.int(sum.into(), 4)].concat();
    let binary = dir.path().join("bin/x");
    let beside = dir.path().join("bin/.debug");
    std::fs::create_dir_all(&beside).unwrap();
    std::fs::write(beside.join("x.debug"), &debug).unwrap();
    let linked = plain.clone().with(Part::new(".gnu_debuglink", link(crc.sum())));
    assert_eq!(found(&linked, Some(&binary)), [("SSL_free", text(&linked), Evidence::DebugFile)]);
    assert_eq!(found(&linked, None), []);
    let wrong = plain.clone().with(Part::new(".gnu_debuglink", link(!crc.sum())));
    assert_eq!(found(&wrong, Some(&binary)), []);
    let outside = [b"../x.debug\0\0".to_vec(), elf.int(crc.sum().into(), 4)].concat();
    assert_eq!(found(&plain.with(Part::new(".gnu_debuglink", outside)), Some(&binary)), []);
}
