//! Whether this kernel takes the eBPF programs, and with how much headroom: `remora doctor` loads and attaches each
//! tier and tells what it found.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{paths, process};

/// No program may ask more of the verifier, on any kernel.
const MOST_INSTRUCTIONS: u64 = 100_000;

#[derive(Deserialize)]
struct Report {
    can_run: bool,
    tiers: Vec<Tier>,
}

#[derive(Deserialize)]
struct Tier {
    what: String,
    ok: Option<bool>,
    found: String,
}

/// Loads every tier that this kernel has hooks for.
pub fn check() -> Result<()> {
    // Its exit code only says what `can_run` does.
    let output = process::command(paths::release("remora")).args(["doctor", "--json"]).output()?;
    let report: Report = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("`remora doctor --json` wrote no report: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    for tier in &report.tiers {
        println!("  {}: {}", tier.what, tier.found);
    }
    judge(&report)
}

/// A tier without hooks is this kernel's affair; a program that the verifier refuses, or nearly, is ours.
fn judge(report: &Report) -> Result<()> {
    for tier in &report.tiers {
        ensure!(!tier.found.contains("refused the program"), "{}: {}", tier.what, tier.found);
        let attached = tier.ok == Some(true);
        match instructions(&tier.found) {
            Some(most) if most > MOST_INSTRUCTIONS => {
                bail!("{}: {most} verified instructions are more than {MOST_INSTRUCTIONS}", tier.what)
            }
            // Before Linux 5.16 it does not tell.
            None if attached => {
                println!("  {}: this kernel does not tell the number of verified instructions", tier.what)
            }
            _ => {}
        }
    }
    ensure!(report.can_run, "no tier can be attached here");
    Ok(())
}

/// The number before `verified instructions`.
fn instructions(found: &str) -> Option<u64> {
    found.split(" verified instructions").next()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ok: bool, found: &str) -> Report {
        Report { can_run: true, tiers: vec![Tier { what: "tier".into(), ok: Some(ok), found: found.into() }] }
    }

    #[test]
    fn headroom_is_asked_for() {
        assert!(
            judge(&report(true, "attached 7 hooks, largest program 36802 verified instructions")).is_ok()
        );
        assert!(
            judge(&report(true, "attached 7 hooks, largest program 136802 verified instructions")).is_err()
        );
    }

    #[test]
    fn a_kernel_without_hooks_is_fine_and_a_refused_program_is_not() {
        assert!(judge(&report(false, "no sock_recv_length (No such file or directory)")).is_ok());
        assert!(
            judge(&report(false, "the kernel refused the program for sys_exit (R1 type=scalar)")).is_err()
        );
    }

    #[test]
    fn nothing_attached_is_a_failure() {
        let nothing = Report { can_run: false, ..report(false, "no tracefs") };
        assert!(judge(&nothing).is_err());
    }
}
