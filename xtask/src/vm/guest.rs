//! What runs inside a guest: asks the doctor, runs each test by itself, and writes a line about each.
//!
//! A test has a process of its own, so one that hangs is ended alone, and each has its own time.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::job::{Doctor, Ended, Job, Line, Test, Tier, Verdict};

#[derive(clap::Args)]
pub struct Args {
    /// The job, as JSON
    job: PathBuf,
}

/// A folder in memory, beneath no overlay.
const FOLDER: &str = "/run/tmp";

const POLL: Duration = Duration::from_millis(20);

/// How long the doctor and a start may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// So many tests that failed are run once more, alone: an emulator has hiccups. If there are more, it is not that.
const AGAIN: usize = 6;

/// How much is told of what a test wrote.
const LINES: usize = 60;

pub fn main(args: &Args) -> Result<()> {
    let job: Job = serde_json::from_slice(&fs::read(&args.job)?)?;
    let tiers = match &job.tiers {
        Some(tiers) => tiers.clone(),
        None => survey(&job)?,
    };
    let has = |test: &Test| test.tier.is_none_or(|tier| tiers.contains(&tier));
    let wanted: Vec<usize> = (0..job.tests.len()).filter(|index| has(&job.tests[*index])).collect();
    let names = tiers.iter().map(|tier| tier.name()).collect::<Vec<_>>().join(" ");
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..job.at_once {
            scope.spawn(|| {
                while let Some(index) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Verdict::Failed(reason) = told(&job, *index, &names, None) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push((*index, reason));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.len() <= AGAIN {
        for (index, reason) in failed {
            told(&job, index, &names, Some(reason));
        }
    }
    tell(&Line::Done);
    Ok(())
}

/// Runs a test, for the first time or again, and tells the host about it.
fn told(job: &Job, index: usize, tiers: &str, first: Option<String>) -> Verdict {
    tell(&Line::Begun(index));
    let ended = Ended { first, ..test(job, &job.tests[index], tiers) };
    let verdict = ended.verdict.clone();
    tell(&Line::Ended(index, ended));
    verdict
}

/// One line, written at once: the host reads along.
fn tell(line: &Line) {
    let mut text = serde_json::to_string(line).expect("lines can be written as JSON");
    text.push('\n');
    let mut out = std::io::stdout().lock();
    // Nobody is there to be told that the host does not listen.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Which tiers this kernel has, and how long the agent takes to start in each.
fn survey(job: &Job) -> Result<Vec<Tier>> {
    let mut command = command(job, &job.agent);
    command.args(["doctor", "--json"]);
    let (_, output) = run(&mut command, PATIENCE, "doctor")?;
    let report = output.lines().skip_while(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n");
    let doctor: Doctor = serde_json::Deserializer::from_str(&report)
        .into_iter()
        .next()
        .and_then(Result::ok)
        .with_context(|| format!("the doctor made no report: {output}"))?;
    let tiers = doctor.attached();
    tell(&Line::Doctor(doctor));
    for tier in &tiers {
        let mut command = self::command(job, &job.agent);
        command
            .args(["record", "--tier", tier.name(), "--seconds", "0"])
            .arg(Path::new(FOLDER).join("recording"));
        let started = Instant::now();
        let (status, _) = run(&mut command, PATIENCE, "start")?;
        let seconds = started.elapsed().as_secs_f64();
        // If it does not start, the tests will say why.
        if status.is_some_and(|status| status.success()) {
            tell(&Line::Started(*tier, seconds));
        }
    }
    Ok(tiers)
}

fn command(job: &Job, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(&job.environment).env("TMPDIR", FOLDER).current_dir(&job.folder);
    command
}

fn test(job: &Job, test: &Test, tiers: &str) -> Ended {
    let mut command = command(job, &test.program);
    command.args(["--exact", &test.name, "--show-output"]);
    command.env("REMORA_TEST_TIERS", tiers);
    let started = Instant::now();
    let log = format!("{}-{}", test.target, test.name.replace("::", "-"));
    let result = run(&mut command, Duration::from_secs(job.limit), &log);
    let seconds = started.elapsed().as_secs_f64();
    let (verdict, output) = match result {
        Ok((status, output)) => (judge(&test.name, status, &output, may_miss(test)), output),
        Err(error) => (Verdict::Failed(format!("{error:#}")), String::new()),
    };
    let output = if matches!(verdict, Verdict::Failed(_) | Verdict::Counted(_)) {
        tail(&output)
    } else {
        String::new()
    };
    Ended { verdict, seconds, first: None, output }
}

fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Whether the kernel may skip programs in a test: since Linux 7.0 it preempts those that are not at kernel probes. A test of
/// whose bytes a span has fails in any case: what is skipped may be missing, but nothing may be wrong.
fn may_miss(test: &Test) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let preempts =
        release.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major >= 7);
    preempts && test.target != "identity" && test.tier.is_some_and(|tier| tier != Tier::Kprobe)
}

/// What a test program's end and output say of its one test; without a status, it took too long.
fn judge(name: &str, status: Option<ExitStatus>, output: &str, may_miss: bool) -> Verdict {
    let Some(status) = status else {
        return Verdict::Failed("took too long".to_owned());
    };
    if !status.success() {
        let reason = reason(output).unwrap_or_else(|| status.to_string());
        return match skipped_programs(output) {
            Some(count) if may_miss => {
                Verdict::Counted(format!("{count} runs of programs skipped by the kernel; {reason}"))
            }
            _ => Verdict::Failed(reason),
        };
    }
    let result =
        output.lines().find_map(|line| line.strip_prefix("test ")?.strip_prefix(name)?.strip_prefix(" ... "));
    match result {
        Some("ok") => match output.lines().find_map(|line| line.trim().strip_prefix("skipped: ")) {
            Some(reason) => Verdict::Skipped(reason.to_owned()),
            None => Verdict::Ok,
        },
        Some(other) if other.starts_with("ignored") => Verdict::Skipped(other.to_owned()),
        _ => Verdict::Failed("its program does not know it".to_owned()),
    }
}

/// How many runs of programs the kernel skipped, by what a test that failed tells of the agent's counters.
fn skipped_programs(output: &str) -> Option<u64> {
    output.lines().find_map(|line| line.trim().strip_suffix(" skipped_programs")?.parse().ok())
}

/// The first line of what a panic says, which follows the line that says where.
fn reason(output: &str) -> Option<String> {
    let mut lines = output.lines().skip_while(|line| !line.contains(" panicked at "));
    let line = lines.nth(1)?.trim();
    Some(line.chars().take(200).collect())
}

/// Runs a command in a process group of its own, and kills the group when it takes too long: then there is no status.
/// Returns what it wrote.
fn run(command: &mut Command, limit: Duration, name: &str) -> Result<(Option<ExitStatus>, String)> {
    let path = Path::new(FOLDER).join(format!("{name}.out"));
    let file = File::create(&path)?;
    command.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() < end => thread::sleep(POLL),
            None => {
                // SAFETY: the child leads its group and was not waited for, so the id is still its own.
                unsafe { libc::kill(-libc::pid_t::try_from(child.id())?, libc::SIGKILL) };
                child.wait()?;
                break None;
            }
        }
    };
    let output = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    fs::remove_file(&path)?;
    Ok((status, output))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const PASSED: Option<i32> = Some(0);
    const FAILED: Option<i32> = Some(101 << 8);

    fn judged(status: Option<i32>, output: &str) -> Verdict {
        judge("fentry::a", status.map(ExitStatus::from_raw), output, true)
    }

    #[test]
    fn a_test_runners_output_is_understood() {
        let passed = "\nrunning 1 test\ntest fentry::a ... ok\n\ntest result: ok. 1 passed; 0 failed\n";
        assert_eq!(judged(PASSED, passed), Verdict::Ok);
        let skipped = "running 1 test\ntest fentry::a ... ok\n\nsuccesses:\n\n---- fentry::a stdout ----\nskipped: no tier\n";
        assert_eq!(judged(PASSED, skipped), Verdict::Skipped("no tier".to_owned()));
        let failed = "test fentry::a ... FAILED\n\n---- fentry::a stdout ----\n\n\
            thread 'fentry::a' (271) panicked at tests/src/agent.rs:176:9:\nthe agent took 2.8s\nmore\n";
        assert_eq!(judged(FAILED, failed), Verdict::Failed("the agent took 2.8s".to_owned()));
        let counted =
            format!("{failed}and counted:\n             2 connections \n            15 skipped_programs \n");
        let said = "15 runs of programs skipped by the kernel; the agent took 2.8s".to_owned();
        assert_eq!(judged(FAILED, &counted), Verdict::Counted(said));
        let strict = judge("fentry::a", FAILED.map(ExitStatus::from_raw), &counted, false);
        assert_eq!(strict, Verdict::Failed("the agent took 2.8s".to_owned()));
        assert_eq!(judged(Some(9), "running 1 test\n"), Verdict::Failed("signal: 9 (SIGKILL)".to_owned()));
        assert_eq!(judged(None, passed), Verdict::Failed("took too long".to_owned()));
    }

    #[test]
    fn a_test_that_did_not_run_has_not_passed() {
        let none = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 20 filtered out\n";
        assert!(matches!(judged(PASSED, none), Verdict::Failed(_)));
        let other = "running 1 test\ntest fentry::ab ... ok\n";
        assert!(matches!(judged(PASSED, other), Verdict::Failed(_)));
    }
}
