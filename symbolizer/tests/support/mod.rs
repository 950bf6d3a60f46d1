//! What the tests share: Go programs built by several tool chains.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// A Go tool chain that is at hand.
pub struct Go {
    /// As `GOTOOLCHAIN` names it.
    toolchain: &'static str,
}

impl Go {
    /// The tool chain on PATH.
    pub fn local() -> Option<Self> {
        Self::of("local")
    }

    /// The oldest that is supported, one of each format of its tables since, and the newest that is measured; those
    /// that can be had, through the Go module proxy with the ordinary client.
    pub fn several() -> Vec<Self> {
        ["go1.17.13", "go1.18.10", "go1.20.14", "local", "go1.27.4"]
            .into_iter()
            .filter_map(Self::of)
            .collect()
    }

    fn of(toolchain: &'static str) -> Option<Self> {
        let go = Go { toolchain };
        let version = go.command().arg("version").output();
        if version.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(go);
        }
        eprintln!("skipped: the Go tool chain {toolchain} is not to be had");
        None
    }

    /// Its name, for messages.
    pub fn name(&self) -> &'static str {
        self.toolchain
    }

    pub fn command(&self) -> Command {
        // Undisturbed by the user's settings, except for where modules come from.
        static SETTINGS: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
            let names = ["GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE"];
            let output = Command::new("go").arg("env").args(names).output();
            let text =
                output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            names.into_iter().zip(text.lines().map(str::to_owned)).collect()
        });
        let mut go = Command::new("go");
        go.envs(SETTINGS.iter().map(|(name, value)| (name, value)));
        go.env("GOTOOLCHAIN", self.toolchain).env("GOENV", "off").env("GOFLAGS", "").env_remove("GOROOT");
        go
    }

    /// Builds a program; an external linker is used where the arguments ask for it.
    pub fn build(&self, folder: &Path, program: &str, name: &str, arguments: &[&str]) -> PathBuf {
        let cgo = program.contains("import \"C\"");
        let source = folder.join(format!("{name}-{}", self.toolchain));
        std::fs::create_dir_all(&source).unwrap();
        std::fs::write(source.join("main.go"), program).unwrap();
        std::fs::write(source.join("go.mod"), "module example.com/probe\n\ngo 1.17\n").unwrap();
        let file = source.join("program");
        let output = self
            .command()
            .args(["build", "-o"])
            .arg(&file)
            .args(arguments)
            .arg(".")
            .current_dir(&source)
            .env("CGO_ENABLED", if cgo { "1" } else { "0" })
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: go build {arguments:?}: {errors}", self.toolchain);
        file
    }

    /// Standard output of `go tool …`. The newest understands the binaries of all.
    pub fn tool(arguments: &[&str], file: &Path) -> String {
        let go = Go { toolchain: "local" };
        let output = go.command().arg("tool").args(arguments).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// HTTP/1 and HTTP/2, client and server, over TLS.
pub const HTTP: &str = r#"package main

import (
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		http.ListenAndServeTLS(os.Args[1], "certificate", "key", nil)
	}
	http.Get("https://localhost/")
}
"#;

/// The runtime and little else.
pub const SMALL: &str = "package main\n\nfunc main() { println(\"small\") }\n";

/// The same with C in it.
pub const WITH_C: &str = r#"package main

// static int twice(int x) { return 2 * x; }
import "C"

func main() { println(C.twice(21)) }
"#;
