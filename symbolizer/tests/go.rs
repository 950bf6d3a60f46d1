//! Go programs of several tool chains: functions against `go tool nm`, returns against `go tool objdump`, offsets
//! against DWARF; as they are built by default, stripped, position-independent, linked by Go and by the system.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use remora_symbolizer::{
    Error, Evidence, Inspection, Linkage, ReturnSites, Runtime,
    go::{self, GoFunction},
    inspect,
    probes::{Library, Places},
    tls,
};
use support::{Go, HTTP, SMALL, WITH_C};

fn functions(file: &Path) -> Vec<GoFunction> {
    let mut all = Vec::new();
    go::functions(file, |function| all.push(function)).unwrap();
    all
}

/// The name without what only the symbol table says: the calling convention, the types of generics; a middle dot in
/// compiler-made names is a dot there.
fn plain(name: &str) -> String {
    let mut depth = 0;
    let kept = name.strip_suffix(".abi0").unwrap_or(name).chars().filter(|&c| {
        depth += i32::from(c == '[');
        let keep = depth == 0;
        depth -= i32::from(c == ']');
        keep
    });
    kept.map(|c| if c == '·' { '.' } else { c }).collect()
}

/// What `go tool nm` says of the text, by address.
fn text_symbols(file: &Path) -> BTreeMap<u64, BTreeSet<String>> {
    let mut symbols = BTreeMap::<u64, BTreeSet<String>>::new();
    for line in Go::tool(&["nm"], file).lines() {
        let mut words = line.trim_start().splitn(3, ' ');
        let (Some(address), Some("T" | "t"), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let address = u64::from_str_radix(address, 16).unwrap();
        symbols.entry(address).or_default().insert(plain(name));
    }
    symbols
}

/// The same functions, neither more nor fewer, as the linker wrote into the symbol table.
fn same_as_nm(file: &Path, what: &str) -> usize {
    let (functions, symbols) = (functions(file), text_symbols(file));
    assert!(functions.is_sorted() && functions.len() > 500, "{what}: {}", functions.len());
    for function in &functions {
        let names = symbols.get(&function.start);
        assert!(
            names.is_some_and(|names| names.contains(&plain(&function.name))),
            "{what}: {function:x?}, but {names:?}"
        );
    }
    let starts: BTreeSet<u64> = functions.iter().map(|f| f.start).collect();
    let go = functions[0].start..functions[functions.len() - 1].end;
    // Marks of the linker, not functions.
    let marks = ["runtime.text", "runtime.etext", "local.moduledata"];
    for (address, names) in symbols.range(go) {
        let real = names.iter().any(|name| !marks.contains(&name.as_str()));
        assert!(starts.contains(address) || !real, "{what}: {names:?} at {address:#x} is not in the table");
    }
    functions.len()
}

#[test]
fn functions_are_those_of_the_symbol_table_however_a_program_is_linked() {
    let external = ["-ldflags=-linkmode=external"];
    let static_c = ["-ldflags=-linkmode=external -extldflags=-static"];
    let external_pie = ["-ldflags=-linkmode=external", "-buildmode=pie"];
    let ways: [(&str, &str, &[&str]); 6] = [
        ("default", SMALL, &[]),
        ("pie", SMALL, &["-buildmode=pie"]),
        ("cgo", WITH_C, &[]),
        ("cgo-external", WITH_C, &external),
        ("cgo-static", WITH_C, &static_c),
        ("cgo-pie", WITH_C, &external_pie),
    ];
    let dir = tempfile::tempdir().unwrap();
    for go in Go::several() {
        for (name, program, arguments) in ways {
            let full = go.build(dir.path(), program, name, arguments);
            let what = format!("{} {name}", go.name());
            let count = same_as_nm(&full, &what);
            let expected = functions(&full);
            println!("{what}: {count} functions, the same as go tool nm has");

            // Without symbols and DWARF; without section headers, so that only the pattern is left.
            let stripped = full.with_file_name("stripped");
            let strip = Command::new("strip").arg("-o").arg(&stripped).arg(&full).status();
            if strip.is_ok_and(|status| status.success()) {
                assert_eq!(functions(&stripped), expected, "{what}, stripped");
            } else {
                eprintln!("skipped: strip cannot strip {what}");
            }
            let mut bytes = std::fs::read(&full).unwrap();
            // e_shoff, e_shentsize, e_shnum, e_shstrndx.
            bytes[40..48].fill(0);
            bytes[58..64].fill(0);
            let mut found = Vec::new();
            go::functions_bytes(&bytes, |function| found.push(function)).unwrap();
            assert_eq!(found, expected, "{what}, by pattern");
        }
    }
}

/// The addresses of RET instructions, as Go's own disassembler has them.
fn returns(file: &Path, function: &str) -> Vec<u64> {
    let pattern = format!("^{}$", function.replace(['(', ')', '*', '.', '/'], "."));
    let text = Go::tool(&["objdump", "-s", &pattern], file);
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.find_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        words.any(|word| word == "RET").then_some(address)?
    };
    text.lines().filter_map(address).collect()
}

#[test]
fn functions_returns_and_offsets_of_an_http_program_by_every_tool_chain() {
    let dir = tempfile::tempdir().unwrap();
    for go in Go::several() {
        let full = go.build(dir.path(), HTTP, "full", &[]);
        let stripped = go.build(dir.path(), HTTP, "stripped", &["-ldflags=-s -w"]);
        let what = go.name();
        let inspection = Inspection::of(&full).unwrap();
        let libraries = inspection.libraries();
        for library in [Library::GoTls, Library::GoHttp, Library::GoHttp2] {
            assert!(libraries.contains(&library), "{what}: {libraries:?}");
        }
        assert!(inspection.tls.iter().any(|used| used.library == tls::TlsLibrary::Go));

        let symbols = text_symbols(&full);
        for function in &inspection.functions {
            let name = function.probe.function;
            assert_eq!(function.evidence, Evidence::PcLnTab, "{what}: {name}");
            assert!(symbols[&function.address].contains(name), "{what}: {name}");
            if function.probe.places == Places::EntryAndReturns {
                let Some(ReturnSites::All(places)) = &function.returns else {
                    panic!("{what}: {name}: {:?}", function.returns)
                };
                let addresses: Vec<_> =
                    places.iter().map(|at| at - function.offset + function.address).collect();
                assert_eq!(addresses, returns(&full, name), "{what}: {name}");
                assert!(!addresses.is_empty(), "{what}: {name}");
            }
        }

        // Stripping changes nothing.
        let bare = Inspection::of(&stripped).unwrap();
        assert!(bare.binary.is_stripped && !bare.binary.has_dwarf);
        let of = |inspection: &Inspection| {
            let functions = inspection.functions.iter();
            functions
                .map(|f| (f.probe.function, f.size, f.returns.clone().map(|r| r.places().len())))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&bare), of(&inspection), "{what}");

        // The table knows without DWARF what DWARF says.
        let truth = go::layout_from_dwarf(&full).unwrap();
        let fields = bare.go_fields.unwrap().unwrap();
        for field in &fields {
            let (structure, member) = (field.field.structure, field.field.member);
            match &field.offset {
                Ok((offset, _)) => {
                    assert_eq!(Some(*offset), truth.of(structure, member), "{what}: {}", field.field)
                }
                // A version between measured ones that differ, or newer than all: told, not guessed.
                Err(why @ (Error::GoNewerThanTable { .. } | Error::GoNotInTable { .. })) => {
                    println!("{what}: {}: {why}", field.field);
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
        let known = fields.iter().filter(|field| field.offset.is_ok()).count();
        println!("{what}: {} functions, {known} offsets", inspection.functions.len());
        for (structure, member) in
            [("crypto/tls.Conn", "conn"), ("net/http.persistConn", "conn"), ("net.conn", "fd")]
        {
            assert!(truth.of(structure, member).is_some(), "{what}: {structure}.{member}");
        }
    }
}

#[test]
fn the_table_says_what_dwarf_says_and_stripping_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(go) = Go::local() else { return };
    let full = go.build(dir.path(), HTTP, "full", &[]);
    let stripped = go.build(dir.path(), HTTP, "stripped", &["-ldflags=-s -w"]);
    let pie = go.build(dir.path(), HTTP, "pie", &["-ldflags=-s -w", "-buildmode=pie"]);

    let truth = go::Offsets::of(&go::layout_from_dwarf(&full).unwrap()).unwrap();
    for (file, has_dwarf) in [(&full, true), (&stripped, false), (&pie, false)] {
        let binary = inspect(file).unwrap();
        let Runtime::Go(info) = &binary.runtime else { panic!("{:?}", binary.runtime) };
        assert_eq!(info.path.as_deref(), Some("example.com/probe"));
        assert_eq!((binary.has_dwarf, binary.is_stripped), (has_dwarf, !has_dwarf));
        assert_eq!(binary.position_independent, file == &pie);
        if file != &pie {
            assert_eq!(binary.linkage, Linkage::Static);
        }
        let inside = tls::scan(file).unwrap();
        assert!(inside.iter().any(|t| t.library == tls::TlsLibrary::Go), "{inside:?}");

        match go::offsets(file) {
            Ok((offsets, source)) => assert_eq!(offsets, truth, "{} from {source}", info.version),
            // A Go from after this table was made: to be refused where DWARF cannot answer, and nowhere else.
            Err(error) => assert!(!has_dwarf, "{error}"),
        }
    }
}
