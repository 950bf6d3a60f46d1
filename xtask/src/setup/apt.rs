//! Debian packages.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

use super::fresh_log;
use crate::process::{self, Output};
use crate::{paths, progress};

/// Installs packages; refreshes the package lists only when they are missing or out of date.
pub fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    ensure!(
        paths::which("apt-get").is_some(),
        "missing, and there is no apt-get to install it with; install the equivalents of these Debian packages: {list}"
    );
    // SAFETY: cannot fail and touches nothing.
    let root = unsafe { libc::geteuid() } == 0;
    ensure!(root, "missing, and only root may install it: apt-get install {list}");

    if !lists_present() {
        refresh()?;
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    progress::doing(&format!("apt-get install {list}"));
    let log = fresh_log(&format!("apt-{}", packages[0]))?;
    // Lists from an image built long ago name versions that the mirror no longer has: these are fetched again, once.
    if process::run(&mut apt_get(&arguments), &Output::Quiet(&log)).is_ok() {
        return Ok(());
    }
    ensure!(!process::stop_requested(), "interrupted");
    refresh()?;
    process::run(&mut apt_get(&arguments), &Output::Log(&log))
}

/// Fetches the package lists; once a run is enough.
fn refresh() -> Result<()> {
    static FRESH: AtomicBool = AtomicBool::new(false);
    if FRESH.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    progress::doing("apt-get update");
    process::run(&mut apt_get(&["update"]), &Output::Log(&fresh_log("apt-update")?))
}

/// The upstream version (without epoch) that apt would install, as far as the lists that are here know.
fn candidate(package: &str) -> Option<String> {
    paths::which("apt-cache")?;
    let policy = process::output_of(process::command("apt-cache").args(["policy", package])).ok()?;
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    let version = candidate.split_once(':').map_or(candidate, |(_epoch, version)| version);
    (version != "(none)").then(|| version.to_owned())
}

/// Whether apt has `package` in a version that will do; the lists are fetched again before the answer is no.
pub fn offers(package: &str, will_do: impl Fn(&str) -> bool) -> bool {
    let offered = || candidate(package).is_some_and(|version| will_do(&version));
    offered() || (paths::which("apt-get").is_some() && refresh().is_ok() && offered())
}

fn lists_present() -> bool {
    fs::read_dir("/var/lib/apt/lists").is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    })
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = process::command("apt-get");
    // Another apt may be at work: wait for it instead of failing.
    command
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}
