//! Python's `requests`, an HTTP client under test.

use std::time::Instant;

use anyhow::{Context, Result};

use super::apt;
use crate::{process, progress};

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

fn imports(module: &str) -> bool {
    process::output_of(process::command(PYTHON).args(["-c", &format!("import {module}")])).is_ok()
}
