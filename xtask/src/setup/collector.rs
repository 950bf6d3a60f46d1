//! A real OpenTelemetry Collector, built from its Go modules: the tests export to it and ask it what it got.
//!
//! Optional: a machine without the Go module proxy gets one line that says so, and its tests are reported as skipped.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{Skipped, fresh_log};
use crate::process::{self, Output};
use crate::{paths, progress};

const NAME: &str = "OpenTelemetry Collector";

pub fn ensure(skipped: &mut Skipped) {
    let start = Instant::now();
    let sources = paths::root().join("xtask/collector");
    match build(&sources) {
        Ok(version) => progress::done("Collector", &version, start),
        Err(error) => {
            progress::skipped("Collector", &format!("{error:#}"));
            skipped.push(format!("{NAME}: {error:#}"));
        }
    }
}

/// Builds it unless the one that is there came from the same inputs; returns what it says its version is.
fn build(sources: &Path) -> Result<String> {
    let binary = paths::collector();
    let stamp = binary.with_extension("inputs");
    let inputs = inputs(sources)?;
    if fs::read_to_string(&stamp).is_ok_and(|built| built == inputs) && binary.exists() {
        return version(&binary);
    }
    fs::create_dir_all(binary.parent().unwrap_or(sources))?;
    progress::doing("building an OpenTelemetry Collector from Go modules (one to three minutes)");
    let fresh = binary.with_extension("new");
    let mut go = process::command("go");
    go.args(["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"]).arg(&fresh).arg(".");
    // Its go.mod may ask for a newer Go than the one on PATH; Go then fetches that by itself.
    go.current_dir(sources).envs([("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "auto"), ("GOWORK", "off")]);
    process::run(&mut go, &Output::Log(&fresh_log("collector")?)).with_context(|| format!("no {NAME}"))?;
    let version = version(&fresh)?;
    fs::rename(&fresh, &binary)?;
    fs::write(&stamp, inputs)?;
    Ok(version)
}

/// A hash of the sources: whatever else the build depends on is pinned by go.sum.
fn inputs(sources: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in ["go.mod", "go.sum", "main.go"] {
        let path = sources.join(file);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn version(binary: &Path) -> Result<String> {
    process::output_of(process::command(binary).arg("--version"))
}
