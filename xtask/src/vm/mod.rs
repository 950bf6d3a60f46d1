//! `cargo xtask vm-test`: the end-to-end tests on other kernels.
//!
//! Debian's own kernels are downloaded and unpacked, not installed, and booted under emulation with this host's file
//! system for theirs to read. Inside runs what was built outside: the same test programs, the same agent, the same
//! exact numbers. `xtask` itself is the guest's main program ([`guest`]).

mod guest;
mod initramfs;
mod job;
mod kernel;
mod machine;
mod packages;
mod report;
mod run;
mod suite;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

pub use guest::{Args as GuestArgs, main as guest};
use job::{Ended, Test, Tier, Verdict};
use kernel::Kernel;
use machine::Emulator;
use run::Results;
use suite::{Choice, Extent};

use crate::setup::{self, Scope};
use crate::{paths, process, progress};

#[derive(clap::Args)]
pub struct Args {
    /// A kernel: 5.10, 6.1, 6.12, or `sid` for the newest [default: all of these]
    #[arg(long = "kernel", value_name = "VERSION")]
    kernels: Vec<String>,
    /// Tests of this tier only [default: all that the kernel has, and tests without a tier]
    #[arg(long = "tier", value_enum, value_name = "TIER")]
    tiers: Vec<Tier>,
    /// Only tests whose name holds this text
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// All tests, those that emulation makes too slow included
    #[arg(long, conflicts_with = "short")]
    all: bool,
    /// Only the few that `cargo xtask test` runs on its one other kernel
    #[arg(long)]
    short: bool,
}

/// The kernel of `cargo xtask test`.
const OF_TEST: &str = "6.1";

/// What is downloaded for guests; safe to delete.
fn folder() -> PathBuf {
    paths::cache().join("vm")
}

pub fn main(args: &Args) -> Result<()> {
    setup::run(Scope::Tests)?;
    progress::headline("release build");
    if std::env::var_os("REMORA_BIN").is_none() {
        let log = process::fresh(&paths::logs().join("build-agent.log"))?;
        let mut cargo = process::cargo();
        cargo.args(["build", "--release", "--package", "remora"]);
        process::run(&mut cargo, &process::Output::Log(&log))?;
    }
    let extent = match (args.all, args.short) {
        (true, _) => Extent::All,
        (_, true) => Extent::Short,
        _ => Extent::Fit,
    };
    let choice = Choice { tiers: &args.tiers, filter: args.filter.as_deref(), extent };
    let tests = suite::choose(&choice)?;
    let emulator = emulator()?;
    let names: Vec<&str> = if args.kernels.is_empty() {
        kernel::names().collect()
    } else {
        args.kernels.iter().map(String::as_str).collect()
    };
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        progress::headline(&format!("kernel {name}"));
        match kernel(name) {
            Ok(kernel) => all.push(tried(&emulator, &kernel, tests.clone())?),
            Err(error) => {
                ensure!(!process::stop_requested(), "interrupted");
                progress::skipped(name, &format!("{error:#}"));
                missing.push(format!("{name}: {error:#}"));
            }
        }
    }
    if choice.is_complete() && !all.is_empty() {
        report::write(&all, &report::Occasion::now()?)?;
        println!("\nWritten to docs/kernels.md.");
    }
    summary(&all, &missing)
}

/// The short form, a step of `cargo xtask test`: a few tests on one other kernel, in each of its tiers. Returns why it was
/// not run, if it could not be.
pub fn short() -> Result<Option<String>> {
    let ready = || -> Result<(Emulator, Kernel)> { Ok((emulator()?, kernel(OF_TEST)?)) };
    let (emulator, kernel) = match ready() {
        Ok(ready) => ready,
        Err(error) => {
            ensure!(!process::stop_requested(), "interrupted");
            return Ok(Some(format!("tests on Linux {OF_TEST}: {error:#}")));
        }
    };
    let tests = suite::choose(&Choice { tiers: &[], filter: None, extent: Extent::Short })?;
    let results = tried(&emulator, &kernel, tests)?;
    summary(&[results], &[])?;
    Ok(None)
}

fn emulator() -> Result<Emulator> {
    let _lock = lock()?;
    Emulator::get()
}

fn kernel(name: &str) -> Result<Kernel> {
    let _lock = lock()?;
    Kernel::get(name)
}

/// Two downloads at a time would trip over each other.
fn lock() -> Result<File> {
    fs::create_dir_all(folder())?;
    fs::create_dir_all(paths::logs())?;
    let file = File::create(folder().join("lock")).context("cannot write .cache/vm")?;
    // SAFETY: the descriptor is open for the length of the call.
    let taken = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) == 0 };
    ensure!(taken, "cannot lock .cache/vm");
    Ok(file)
}

/// Runs tests and says how they went.
fn tried(emulator: &Emulator, kernel: &Kernel, tests: Vec<Test>) -> Result<Results> {
    let start = Instant::now();
    process::fresh(&paths::logs().join(format!("vm-{}.log", kernel.series)))?;
    println!("     {}, {} tests in all tiers", kernel.release, tests.len());
    let results = run::run(emulator, kernel, tests)?;
    let count = |fits: fn(&Verdict) -> bool| {
        let ended =
            |(_, ended): &&(Test, Option<Ended>)| ended.as_ref().is_some_and(|ended| fits(&ended.verdict));
        results.tests.iter().filter(ended).count()
    };
    let passed = count(|verdict| *verdict == Verdict::Ok);
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let counted = match count(|verdict| matches!(verdict, Verdict::Counted(_))) {
        0 => String::new(),
        tests => format!(", {tests} with counted loss"),
    };
    let again = |(_, ended): &&(Test, Option<Ended>)| {
        ended.as_ref().is_some_and(|ended| ended.verdict == Verdict::Ok && ended.first.is_some())
    };
    let again = match results.tests.iter().filter(again).count() {
        0 => String::new(),
        again => format!(" ({again} the second time)"),
    };
    progress::done(
        &results.kernel.release,
        &format!("{passed} passed{again}, {skipped} skipped{counted}"),
        start,
    );
    Ok(results)
}

/// An error if something went wrong on a kernel. One that could not be had is told, and that is all.
fn summary(all: &[Results], missing: &[String]) -> Result<()> {
    for reason in missing {
        println!("  {} {reason}", progress::paint("skipped", "33"));
    }
    let deaths =
        all.iter().flat_map(|results| results.deaths.iter().map(|death| (&results.kernel.series, death)));
    for (series, death) in deaths {
        println!(
            "  {} {series}: the guest died and was booted again: {death}",
            progress::paint("died   ", "33")
        );
    }
    let faults: Vec<String> = all.iter().flat_map(Results::faults).collect();
    ensure!(!all.is_empty(), "no kernel could be had");
    if !faults.is_empty() {
        bail!("{}\nmore in .cache/logs/vm-*.log", faults.join("\n"));
    }
    Ok(())
}
