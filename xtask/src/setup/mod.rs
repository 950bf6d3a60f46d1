//! `cargo xtask setup`: makes a Debian machine able to build, demonstrate and test Remora.
//!
//! Each part looks first, installs only what is missing, and says in one line what stands. A second run takes a
//! second or two.

mod apt;
mod collector;
mod ebpf;
mod golang;
mod peers;
mod programs;
mod python;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::process::{self, Output};
use crate::{paths, progress};

#[derive(clap::Args)]
pub struct Args {
    /// For what the machine is to be made ready; each includes the ones before it
    #[arg(long = "for", value_enum, default_value_t = Scope::Tests)]
    scope: Scope,
}

/// What needs a thing. Each includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scope {
    /// Building Remora
    Build,
    /// The demo application
    Demo,
    /// The end-to-end tests
    Tests,
}

/// The optional parts that could not be had, each with the reason: for the summary at the end of a test run.
pub type Skipped = Vec<String>;

pub fn main(args: &Args) -> Result<()> {
    progress::headline("setup");
    let start = Instant::now();
    run(args.scope)?;
    println!("\nReady ({}).", progress::seconds(start.elapsed()));
    Ok(())
}

/// Installs what `scope` needs.
pub fn run(scope: Scope) -> Result<Skipped> {
    fs::create_dir_all(paths::logs())
        .with_context(|| format!("cannot write {}", paths::cache().display()))?;
    let _lock = lock()?;
    let mut skipped = Skipped::new();
    programs::ensure(scope, &mut skipped)?;
    ebpf::ensure()?;
    if scope >= Scope::Demo {
        golang::ensure()?;
        tracefs()?;
    }
    if scope >= Scope::Tests {
        python::ensure_requests()?;
        collector::ensure(&mut skipped);
        peers::ensure(&mut skipped);
    }
    Ok(skipped)
}

/// Two set-ups of one checkout at a time would trip over each other.
fn lock() -> Result<File> {
    let path = paths::cache().join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    // SAFETY: the descriptor is open for the length of both calls.
    let taken = |flags| unsafe { libc::flock(file.as_raw_fd(), flags) == 0 };
    if !taken(libc::LOCK_EX | libc::LOCK_NB) {
        progress::doing("waiting for another setup of this checkout");
        while !taken(libc::LOCK_EX | libc::LOCK_NB) {
            anyhow::ensure!(!process::stop_requested(), "interrupted");
            process::pause(std::time::Duration::from_millis(200));
        }
    }
    Ok(file)
}

/// An empty log for one step.
fn fresh_log(step: &str) -> Result<PathBuf> {
    process::fresh(&paths::logs().join(format!("{step}.log")))
}

/// The tracepoints' ids are read from tracefs, which containers and minimal systems often do not mount.
fn tracefs() -> Result<()> {
    let start = Instant::now();
    let mounted = ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"];
    if !mounted.iter().any(|path| Path::new(path).is_dir()) {
        let log = fresh_log("tracefs")?;
        let mut mount = process::command("mount");
        mount.args(["-t", "tracefs", "none", "/sys/kernel/tracing"]);
        process::run(&mut mount, &Output::Log(&log)).context(
            "tracefs is not mounted at /sys/kernel/tracing, and mounting it failed (are you root?)",
        )?;
    }
    progress::done("tracefs", "mounted", start);
    Ok(())
}
