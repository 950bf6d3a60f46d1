//! The table of Go offsets against programs built by the Go that is here.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use remora_symbolizer::{Linkage, Runtime, go, inspect, tls};

const PROGRAM: &str = r#"package main

import (
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		http.ListenAndServe(os.Args[1], nil)
	}
}
"#;

/// Builds the program; `None`, with a clear line, if there is no Go.
fn build(dir: &Path, name: &str, arguments: &[&str]) -> Option<PathBuf> {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("skipped: no `go` on PATH");
        return None;
    }
    std::fs::write(dir.join("main.go"), PROGRAM).unwrap();
    std::fs::write(dir.join("go.mod"), "module example.com/probe\n\ngo 1.17\n").unwrap();
    let file = dir.join(name);
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&file)
        .args(arguments)
        .arg(".")
        .current_dir(dir)
        .env("CGO_ENABLED", "0")
        .output()
        .unwrap();
    assert!(output.status.success(), "go build: {}", String::from_utf8_lossy(&output.stderr));
    Some(file)
}

#[test]
fn the_table_says_what_dwarf_says_and_stripping_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(full) = build(dir.path(), "full", &[]) else { return };
    let Some(stripped) = build(dir.path(), "stripped", &["-ldflags=-s -w"]) else { return };
    let Some(pie) = build(dir.path(), "pie", &["-ldflags=-s -w", "-buildmode=pie"]) else { return };

    let truth = go::offsets_from_dwarf(&full).unwrap();
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
    let table = go::Table::embedded().unwrap();
    let Runtime::Go(info) = inspect(&full).unwrap().runtime else { unreachable!() };
    match table.look_up(info.parsed_version().unwrap().version) {
        go::Answer::Measured(offsets) | go::Answer::Between(offsets) => {
            assert_eq!(offsets, truth);
            assert_eq!(go::goid_offset(&stripped), Some(truth.goid));
        }
        other => eprintln!("skipped: {} is not in the table ({other:?})", info.version),
    }
}
