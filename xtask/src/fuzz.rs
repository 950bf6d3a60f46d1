//! `cargo xtask fuzz`: each parser against inputs that libFuzzer makes up, starting from recorded conversations.
//!
//! Needs no cargo-fuzz and no nightly compiler: the coverage that guides libFuzzer is a pass of LLVM that every rustc can
//! switch on. What it finds lies in `fuzz/artifacts`, what it learned in `fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, Output};
use crate::{paths, progress};

#[derive(clap::Args)]
pub struct Args {
    /// What to fuzz: a protocol, `http1` (its pairing, in depth), `elf`, `pclntab` or `dwarf`; everything if none is named
    targets: Vec<String>,
    /// Seconds for each
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
}

/// Targets with a program of their own; all others are protocols of the registry.
const OWN: [&str; 4] = ["http1", "elf", "pclntab", "dwarf"];

const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing";

pub fn main(args: &Args) -> Result<()> {
    let folder = paths::root().join("fuzz");
    let built = build(&folder)?;
    let mut list = process::command(built.join("protocols"));
    list.env("REMORA_PROTOCOL", "list");
    let protocols = process::output_of(&mut list)?;
    let known: Vec<&str> = OWN.into_iter().chain(protocols.lines()).collect();
    if let Some(unknown) = args.targets.iter().find(|target| !known.contains(&target.as_str())) {
        bail!("{unknown} cannot be fuzzed; what can: {}", known.join(", "));
    }
    let mut failed = Vec::new();
    for target in known {
        let wanted = args.targets.is_empty() || args.targets.iter().any(|name| name == target);
        if !wanted || process::stop_requested() {
            continue;
        }
        progress::headline(&format!("fuzz {target}"));
        if run(&folder, &built, target, args.seconds).is_err() {
            failed.push(target);
        }
    }
    anyhow::ensure!(!process::stop_requested(), "interrupted");
    if !failed.is_empty() {
        bail!("found something in {}: see fuzz/artifacts", failed.join(", "));
    }
    println!("\nNothing found.");
    Ok(())
}

/// Builds the programs; returns their folder.
fn build(folder: &Path) -> Result<PathBuf> {
    progress::headline("build");
    // With a target named, the flags are for it alone and not for build scripts, which libFuzzer is not linked into.
    let version = process::output_of(process::command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let mut cargo = process::cargo();
    cargo
        .args(["build", "--target", host, "--release", "--bins", "--manifest-path"])
        .arg(folder.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(folder.join("target"));
    cargo.env("RUSTFLAGS", COVERAGE).env_remove("CARGO_TARGET_DIR");
    process::run(&mut cargo, &Output::Shown)
        .context("the fuzz targets cannot be built (libFuzzer needs g++)")?;
    Ok(folder.join("target").join(host).join("release"))
}

fn run(folder: &Path, built: &Path, target: &str, seconds: u32) -> Result<()> {
    let corpus = folder.join("corpus").join(target);
    let artifacts = folder.join("artifacts").join(target);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut program: Command = if OWN.contains(&target) {
        process::command(built.join(target))
    } else {
        let mut protocols = process::command(built.join("protocols"));
        protocols.env("REMORA_PROTOCOL", target);
        protocols
    };
    program.env("REMORA_SEEDS", &corpus);
    program.arg(&corpus).arg(format!("-artifact_prefix={}/", artifacts.display()));
    program.args([
        &format!("-max_total_time={seconds}"),
        "-max_len=16384",
        "-timeout=10",
        "-print_final_stats=1",
    ]);
    process::run(&mut program, &Output::Shown)
}
