//! Whether this kernel takes the eBPF programs, and with how much headroom: `remora doctor` loads and attaches each
//! tier and tells what it found.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{paths, process};

/// No program may ask more of the verifier, on any kernel.
pub const MOST_INSTRUCTIONS: u64 = 100_000;

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
    load_ms: Option<f64>,
    programs: Vec<Program>,
}

#[derive(Deserialize)]
struct Program {
    name: String,
    instructions: Option<u64>,
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
        for program in &tier.programs {
            let instructions = program.instructions.map_or("not told".to_owned(), |many| many.to_string());
            println!("    {:<36} {instructions:>8}", program.name);
        }
    }
    judge(&report)
}

/// A tier without hooks is this kernel's affair; a program that the verifier refuses, or nearly, is ours.
fn judge(report: &Report) -> Result<()> {
    for tier in &report.tiers {
        ensure!(!tier.found.contains("refused the program"), "{}: {}", tier.what, tier.found);
        if tier.ok != Some(true) {
            continue;
        }
        ensure!(!tier.programs.is_empty() && tier.load_ms.is_some(), "{}: no program is told", tier.what);
        for Program { name, instructions } in &tier.programs {
            match instructions {
                Some(many) => ensure!(
                    *many < MOST_INSTRUCTIONS,
                    "{}: {many} verified instructions of {name} are not below {MOST_INSTRUCTIONS}",
                    tier.what
                ),
                None => println!("  {}: this kernel tells no number for {name}", tier.what),
            }
        }
    }
    ensure!(report.can_run, "no tier can be attached here");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ok: bool, found: &str, programs: &[(&str, Option<u64>)]) -> Report {
        let programs = programs.iter();
        let programs =
            programs.map(|(name, many)| Program { name: (*name).to_owned(), instructions: *many }).collect();
        let tier =
            Tier { what: "tier".into(), ok: Some(ok), found: found.into(), load_ms: Some(1.0), programs };
        Report { can_run: true, tiers: vec![tier] }
    }

    #[test]
    fn headroom_is_asked_of_each() {
        assert!(judge(&report(true, "", &[("small", Some(99_999)), ("unknown", None)])).is_ok());
        let error = judge(&report(true, "", &[("small", Some(5)), ("large", Some(100_000))])).unwrap_err();
        assert!(error.to_string().contains("large"), "{error}");
        assert!(judge(&report(true, "", &[])).is_err());
    }

    #[test]
    fn a_kernel_without_hooks_is_fine_and_a_refused_program_is_not() {
        assert!(judge(&report(false, "no sock_recv_length (No such file or directory)", &[])).is_ok());
        assert!(
            judge(&report(false, "the kernel refused the program for sys_exit (R1 type=scalar)", &[]))
                .is_err()
        );
    }

    #[test]
    fn nothing_attached_is_a_failure() {
        let nothing = Report { can_run: false, ..report(false, "no tracefs", &[]) };
        assert!(judge(&nothing).is_err());
    }
}
