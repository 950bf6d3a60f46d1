//! `cargo xtask test`: everything that must hold before a change is taken.
//!
//! A step that fails does not keep the others from running, unless they need its result: one run tells all.

pub mod verifier;

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::process::{self, Output};
use crate::setup::{self, Scope};
use crate::{paths, progress, vm};

#[derive(clap::Args)]
pub struct Args {
    /// Format, lints and unit tests only
    #[arg(long, conflicts_with = "filter")]
    quick: bool,
    /// End-to-end tests only, and of these the ones whose name holds this text
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

/// The package of the end-to-end tests, which need root and a kernel that allows eBPF.
const END_TO_END: &str = "remora-tests";

pub fn main(args: &Args) -> Result<()> {
    let mut run = Run::default();
    let scope = if args.quick { Scope::Build } else { Scope::Tests };
    let mut skipped = Vec::new();
    let set_up = run.step("setup", || {
        skipped = setup::run(scope)?;
        Ok(())
    });
    run.skipped.append(&mut skipped);
    if set_up {
        if args.filter.is_none() {
            checks(&mut run);
        }
        if !args.quick {
            end_to_end(&mut run, args.filter.as_deref());
        }
    }
    run.close()
}

/// What needs no privileges.
fn checks(run: &mut Run) {
    run.step("format", || show(&["fmt", "--all", "--check"]));
    run.step("clippy", || {
        quietly("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    });
    run.step("clippy of eBPF", || {
        // For this host's target, whose standard library is at hand. Like the real one it cannot unwind, and is told
        // which machine's registers to read.
        let registers = format!(r#"build.rustflags=['--cfg=bpf_target_arch="{}"']"#, std::env::consts::ARCH);
        let mut clippy = process::cargo();
        clippy.args(["clippy", "--package", "remora-ebpf", "--features", "programs", "--bins"]);
        clippy.args([
            "--config",
            r#"profile.dev.panic="abort""#,
            "--config",
            &registers,
            "--",
            "-D",
            "warnings",
        ]);
        let log = process::fresh(&paths::logs().join("clippy-ebpf.log"))?;
        process::run(&mut clippy, &Output::Log(&log))
    });
    run.step("unit tests", || show(&["test", "--no-fail-fast", "--workspace", "--exclude", END_TO_END]));
}

/// What runs the agent as its users do.
fn end_to_end(run: &mut Run, filter: Option<&str>) {
    let built =
        run.step("release build", || quietly("build-agent", &["build", "--release", "--package", "remora"]));
    if !built {
        return;
    }
    run.step("eBPF load, verifier", verifier::check);
    let kept = Mutex::new(Vec::new());
    run.step("end-to-end tests", || {
        let mut tests = cargo(&["test", "--no-fail-fast", "--package", END_TO_END, "--"]);
        // So that a test that was skipped can say so.
        tests.arg("--show-output").args(filter).env("REMORA_BIN", paths::release("remora"));
        process::run(&mut tests, &Output::Kept(&kept))?;
        let ran = tests_in(&String::from_utf8_lossy(&kept.lock().unwrap_or_else(PoisonError::into_inner)));
        ensure!(ran > 0, "no test ran: none has a name with {:?} in it", filter.unwrap_or_default());
        Ok(())
    });
    let output = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    run.skipped.extend(skipped_in(&String::from_utf8_lossy(&output)));
    if filter.is_none() {
        let mut lack = None;
        run.step("another kernel", || {
            lack = vm::short()?;
            Ok(())
        });
        run.skipped.extend(lack);
    }
}

/// How many tests the runners say they ran.
fn tests_in(output: &str) -> u64 {
    let count = |line: &str| line.strip_prefix("running ")?.split(' ').next()?.parse::<u64>().ok();
    output.lines().filter_map(count).sum()
}

/// The reasons that tests gave for doing nothing, each once, with their number.
fn skipped_in(output: &str) -> Vec<String> {
    let mut reasons: Vec<(&str, u32)> = Vec::new();
    for reason in output.lines().filter_map(|line| line.trim().strip_prefix("skipped: ")) {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    let tests = |count| if count == 1 { "1 test".to_owned() } else { format!("{count} tests") };
    reasons.iter().map(|(reason, count)| format!("{}: {reason}", tests(*count))).collect()
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = process::cargo();
    cargo.args(arguments);
    if progress::colours() {
        cargo.env("CARGO_TERM_COLOR", "always");
    }
    cargo
}

fn show(arguments: &[&str]) -> Result<()> {
    process::run(&mut cargo(arguments), &Output::Shown)
}

fn quietly(step: &str, arguments: &[&str]) -> Result<()> {
    let log = process::fresh(&paths::logs().join(format!("{step}.log")))?;
    process::run(process::cargo().args(arguments), &Output::Log(&log))
}

/// The steps so far.
#[derive(Default)]
struct Run {
    steps: Vec<Step>,
    skipped: Vec<String>,
}

struct Step {
    name: &'static str,
    took: Duration,
    failed: bool,
}

impl Run {
    /// Does one step and says whether it went well. Nothing is begun once the user asked to end.
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> bool {
        if process::stop_requested() {
            return false;
        }
        progress::headline(name);
        let start = Instant::now();
        let result = work();
        if let Err(error) = &result {
            eprintln!("{}: {error:#}", progress::paint(&format!("{name} failed"), "1;31"));
        }
        let step = Step { name, took: start.elapsed(), failed: result.is_err() };
        self.steps.push(step);
        result.is_ok()
    }

    /// Prints the summary; an error when a step failed.
    fn close(self) -> Result<()> {
        progress::headline("summary");
        for step in &self.steps {
            let mark =
                if step.failed { progress::paint("FAILED", "1;31") } else { progress::paint("ok    ", "32") };
            println!("  {mark} {:<22} {:>12}", step.name, progress::seconds(step.took));
        }
        for reason in &self.skipped {
            println!("  {} {reason}", progress::paint("skipped", "33"));
        }
        ensure!(!process::stop_requested(), "interrupted");
        let failed: Vec<_> = self.steps.iter().filter(|step| step.failed).map(|step| step.name).collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        println!("\nAll passed.");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_for_skipping_are_counted() {
        let output =
            "---- a stdout ----\nskipped: no node\n---- b stdout ----\nskipped: no node\nskipped: no go\n";
        assert_eq!(skipped_in(output), ["2 tests: no node", "1 test: no go"]);
        assert!(skipped_in("test result: ok. 3 passed").is_empty());
    }

    #[test]
    fn a_filter_that_fits_nothing_is_noticed() {
        assert_eq!(tests_in("running 0 tests\n\nrunning 12 tests\ntest a ... ok\nrunning 1 test\n"), 13);
    }

    #[test]
    fn a_failed_step_is_named_at_the_end() {
        let mut run = Run::default();
        assert!(run.step("one", || Ok(())));
        assert!(!run.step("two", || bail!("broken")));
        let error = run.close().unwrap_err().to_string();
        assert!(error.contains("two") && !error.contains("one"), "{error}");
    }
}
