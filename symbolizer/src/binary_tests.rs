use object::elf::{self, PF_R, PF_W};

use super::*;
use crate::testing::{Elf, Part};

/// A dynamic section that asks for libraries, its strings, and the loader's name.
fn dynamic(elf: &Elf, needed: &[&str]) -> Elf {
    let mut strings = vec![0];
    let mut table = Vec::new();
    for name in needed {
        table.extend([elf.word(1), elf.word(strings.len() as u64)].concat());
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    table.extend([elf.word(5), elf.word(0x30_0000)].concat());
    table.extend([elf.word(0), elf.word(0)].concat());
    let interpreter = Part::new(".interp", *b"/lib/ld.so\0").at(0x20_0000, PF_R);
    let table = Part { kind: elf::SHT_DYNAMIC, ..Part::new(".dynamic", table).at(0x31_0000, PF_R | PF_W) };
    elf.clone()
        .with(Part { segment: Some(elf::PT_INTERP), ..interpreter })
        .with(Part { kind: elf::SHT_STRTAB, ..Part::new(".dynstr", strings).at(0x30_0000, PF_R) })
        .with(Part { segment: Some(elf::PT_DYNAMIC), ..table })
}

/// Dynamic symbols; those whose name begins with `!` are not defined here.
fn symbols(elf: &Elf, names: &[&str]) -> Elf {
    let mut strings = vec![0];
    let mut table = vec![0; if elf.is_64 { 24 } else { 16 }];
    for name in names {
        let (name, section) = name.strip_prefix('!').map_or((*name, 1), |name| (name, 0));
        let at = elf.int(strings.len() as u64, 4);
        let kind = [vec![0x12, 0], elf.int(section, 2)].concat();
        let place = [elf.word(0x40_0000), elf.word(16)].concat();
        table.extend(if elf.is_64 { [at, kind, place].concat() } else { [at, place, kind].concat() });
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    elf.clone().with(Part { kind: elf::SHT_STRTAB, ..Part::new("names", strings) }).with(Part {
        kind: elf::SHT_DYNSYM,
        link: "names",
        ..Part::new(".dynsym", table)
    })
}

fn all_shapes() -> impl Iterator<Item = Elf> {
    [(true, true), (true, false), (false, true), (false, false)].into_iter().map(|(c, l)| Elf::new(c, l))
}

fn of(elf: &Elf) -> Binary {
    inspect_bytes(&elf.build()).unwrap()
}

#[test]
fn libraries_linkage_and_tls_of_every_shape() {
    for elf in all_shapes() {
        let needed = ["libssl.so.3", "libgnutls.so.30", "libc.so.6"];
        for headers in [true, false] {
            let binary = of(&dynamic(&Elf { headers, ..elf.clone() }, &needed));
            assert_eq!(binary.needed, needed);
            assert_eq!(binary.linkage, Linkage::Dynamic);
            let libraries: Vec<_> = binary.tls.iter().map(|t| (t.library, t.shared.as_deref())).collect();
            let expected = [
                (tls::TlsLibrary::OpenSsl, Some("libssl.so.3")),
                (tls::TlsLibrary::GnuTls, Some("libgnutls.so.30")),
            ];
            assert_eq!(libraries, expected);
        }
        let alone = of(&elf);
        assert_eq!((alone.linkage, alone.is_64_bit, alone.is_stripped), (Linkage::Static, elf.is_64, true));
        assert_eq!((alone.has_dwarf, alone.runtime, alone.build_id), (false, Runtime::Native, None));
    }
}

#[test]
fn build_id_symbols_and_dwarf() {
    for elf in all_shapes() {
        let mut note = [elf.int(4, 4), elf.int(20, 4), elf.int(3, 4)].concat();
        note.extend(b"GNU\0");
        note.extend(0xa0..0xa0 + 20);
        let note = Part { segment: Some(elf::PT_NOTE), ..Part::new(".note", note).at(0x20_0000, PF_R) };
        let table = Part { kind: elf::SHT_SYMTAB, ..Part::new(".symtab", vec![0; 24]) };
        let [abbrev, info] = elf.debug(5, 100);
        let binary = of(&elf.clone().with(note).with(table).with(abbrev).with(info));
        assert_eq!(binary.build_id.unwrap().to_string(), "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3");
        assert!(!binary.is_stripped && binary.has_dwarf);
    }
}

#[test]
fn runtimes_by_what_they_export_or_need() {
    let elf = Elf::new(true, true);
    for (names, runtime) in [
        (&["x", "_ZN4node5StartEiPPc", "SSL_read"][..], Runtime::Node),
        (&["Py_BytesMain"], Runtime::Python(None)),
        (&["!Py_BytesMain", "!SSL_read"], Runtime::Native),
        (&["JNI_CreateJavaVM"], Runtime::Jvm),
        (&["DotNetRuntimeInfo"], Runtime::DotNet),
        (&["zend_parse_parameters"], Runtime::Php),
        (&["ruby_init"], Runtime::Ruby),
    ] {
        for elf in all_shapes() {
            let binary = of(&symbols(&elf, names));
            assert_eq!(binary.runtime, runtime, "{names:?}");
            assert_eq!(binary.tls.len(), usize::from(names.contains(&"SSL_read")));
        }
    }
    assert_eq!(of(&dynamic(&elf, &["libjli.so", "libc.so.6"])).runtime, Runtime::Jvm);
    let python = of(&dynamic(&elf, &["libpython3.11.so.1.0"]));
    assert_eq!(python.runtime.to_string(), "Python 3.11");
}

#[test]
fn rust_signs_its_binaries_and_its_panics_name_sources() {
    let elf = Elf::new(true, true);
    let signed =
        elf.clone().with(Part::new(".comment", *b"GCC: (GNU) 12\0rustc version 1.95.0 (59807616e)\0"));
    assert_eq!(of(&signed).runtime, Runtime::Rust(Some("1.95.0".into())));
    let panics = |text: &str| of(&elf.clone().with(Part::new(".rodata", text))).runtime;
    let hash = "59807616e1fa2540724bfbac14d7976d7e4a3860";
    assert_eq!(panics(&format!("/rustc/{hash}/library/core/src/cmp.rs")), Runtime::Rust(None));
    assert_eq!(panics("/rustc/nonsense/library/core/src/cmp.rs"), Runtime::Native);
    assert_eq!(panics("/rustc/"), Runtime::Native);
    assert_eq!(panics("hostfxr_main_startupinfo"), Runtime::DotNet);
}

#[test]
fn go_is_known_by_its_build_information() {
    let elf = Elf::new(true, true);
    let go = of(&elf.clone().with(elf.build_info("go1.22.5 X:arenas", "path\texample.com/shop\n")));
    assert_eq!(go.runtime.to_string(), "Go 1.22.5");
    let Runtime::Go(info) = go.runtime else { panic!("{:?}", go.runtime) };
    assert_eq!(info.path.as_deref(), Some("example.com/shop"));
}

#[test]
fn this_very_test_is_rust() {
    let binary = inspect(Path::new("/proc/self/exe")).unwrap();
    assert!(matches!(binary.runtime, Runtime::Rust(_)), "{:?}", binary.runtime);
    assert_eq!(binary.linkage, Linkage::Dynamic);
    assert!(binary.is_64_bit && !binary.is_stripped && binary.has_dwarf);
}
