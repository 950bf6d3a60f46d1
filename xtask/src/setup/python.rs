//! Python: `requests`, an HTTP client under test, and virtual environments.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::apt;
use crate::process::{self, Output};
use crate::progress;

/// The tests run the system's interpreter: what is first on `PATH` may be one of many.
const PYTHON: &str = "/usr/bin/python3";

pub fn ensure_requests() -> Result<()> {
    let start = Instant::now();
    if !imports("requests") {
        apt::install(&["python3-requests"]).context("the tests use Python's requests")?;
    }
    anyhow::ensure!(imports("requests"), "{PYTHON} cannot import `requests` even so");
    let version = process::output_of(process::command(PYTHON).arg("--version"))?;
    progress::done("Python", &format!("{version} with requests"), start);
    Ok(())
}

/// Installs packages into a virtual environment of the system's Python.
pub fn install_into(venv: &Path, packages: &[&str], log: &Path) -> Result<()> {
    // Debian's python3 makes no virtual environment without this package.
    if !imports("ensurepip, venv") {
        apt::install(&["python3-venv"])?;
    }
    let mut make = process::command(PYTHON);
    // One that another Python made, or that was not finished, is made anew.
    make.args(["-m", "venv", "--clear"]).arg(venv);
    process::run(&mut make, &Output::Log(log)).context("cannot make a Python virtual environment")?;
    let mut pip = process::command(venv.join("bin/python3"));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check"]).args(packages);
    process::run(&mut pip, &Output::Log(log))
        .with_context(|| format!("cannot install {} from PyPI", packages.join(" ")))
}

fn imports(module: &str) -> bool {
    process::output_of(process::command(PYTHON).args(["-c", &format!("import {module}")])).is_ok()
}
