//! Runs tests on a kernel and gathers what came of them. A guest that dies is booted once more, for what is left.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::job::{Doctor, Ended, Finding, Job, Line, Test, Tier, Verdict};
use super::kernel::Kernel;
use super::machine::{Emulator, Machine};
use crate::test::verifier::MOST_INSTRUCTIONS;
use crate::{paths, process, progress};

/// By how much the tests' waiting limits grow.
const PATIENCE: u32 = 5;

/// Seconds that one test may take.
const LIMIT: u64 = 300;

/// How many tests run at once, on two emulated processors.
const AT_ONCE: usize = 2;

/// A guest that has said nothing for so long does nothing any more.
const SILENCE: Duration = Duration::from_secs(LIMIT + 60);

/// How often a guest may die.
const DEATHS: usize = 2;

/// What came of a kernel's tests.
pub struct Results {
    pub kernel: Kernel,
    /// What the doctor said there.
    pub doctor: Option<Doctor>,
    /// Seconds to start and end the agent in a tier.
    pub started: BTreeMap<Tier, f64>,
    /// Each test, in order; one without an end was not run.
    pub tests: Vec<(Test, Option<Ended>)>,
    /// What the kernel complained about.
    pub complaints: Vec<String>,
    /// Why guests died.
    pub deaths: Vec<String>,
    /// How long all of it took.
    pub took: Duration,
}

impl Results {
    /// What went wrong, one line each.
    pub fn faults(&self) -> Vec<String> {
        let series = &self.kernel.series;
        let mut faults: Vec<String> = self
            .complaints
            .iter()
            .map(|complaint| format!("{series}: the kernel says {complaint}"))
            .collect();
        for (test, ended) in &self.tests {
            let name = format!("{series}: {}::{}", test.target, test.name);
            match ended {
                Some(Ended { verdict: Verdict::Failed(reason), .. }) => {
                    faults.push(format!("{name}: {reason}"))
                }
                None if self.wanted(test) => faults.push(format!("{name}: was not run")),
                _ => {}
            }
        }
        for finding in self.doctor.iter().flat_map(|doctor| &doctor.tiers) {
            if finding.refused() {
                faults.push(format!("{series}: {}: {}", finding.what, finding.found));
            }
            if let Some((name, instructions)) =
                finding.largest().filter(|(_, many)| *many >= MOST_INSTRUCTIONS)
            {
                faults.push(format!(
                    "{series}: {}: {instructions} verified instructions of {name}",
                    finding.what
                ));
            }
        }
        faults
    }

    /// The kernel has the test's tier, as far as is known.
    pub fn wanted(&self, test: &Test) -> bool {
        let attached = self.doctor.as_ref().map(Doctor::attached);
        test.tier.is_none_or(|tier| attached.is_none_or(|attached| attached.contains(&tier)))
    }
}

/// The folder of the tests' package, in which cargo would run them.
fn folder() -> PathBuf {
    paths::root().join("tests")
}

/// What tests have in their environment.
fn environment() -> Result<BTreeMap<String, String>> {
    let mut environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !name.starts_with("CARGO") && !name.starts_with("OTEL_"))
        .collect();
    let path = std::env::join_paths(paths::search_path())?;
    let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
    set("PATH", path.to_string_lossy().into_owned());
    set("REMORA_BIN", agent().to_string_lossy().into_owned());
    set("REMORA_TEST_PATIENCE", PATIENCE.to_string());
    set("REMORA_GO_PROGRAM", super::suite::go_program().to_string_lossy().into_owned());
    set("PYTHONDONTWRITEBYTECODE", "1".to_owned());
    Ok(environment)
}

/// The agent under test, as the end-to-end tests look for it.
pub fn agent() -> PathBuf {
    std::env::var_os("REMORA_BIN").map_or_else(|| paths::release("remora"), PathBuf::from)
}

/// Boots a kernel and runs tests on it.
pub fn run(emulator: &Emulator, kernel: &Kernel, tests: Vec<Test>) -> Result<Results> {
    let start = Instant::now();
    let mut results = Results {
        kernel: kernel.clone(),
        doctor: None,
        started: BTreeMap::new(),
        tests: tests.into_iter().map(|test| (test, None)).collect(),
        complaints: Vec::new(),
        deaths: Vec::new(),
        took: Duration::ZERO,
    };
    while results.deaths.len() < DEATHS {
        // The numbers of this boot's tests among all.
        let left = |(test, ended): &(Test, Option<Ended>)| ended.is_none() && results.wanted(test);
        let numbers: Vec<usize> =
            (0..results.tests.len()).filter(|number| left(&results.tests[*number])).collect();
        if results.doctor.is_some() && numbers.is_empty() {
            break;
        }
        let job = Job {
            agent: agent(),
            folder: folder(),
            environment: environment()?,
            tests: numbers.iter().map(|number| results.tests[*number].0.clone()).collect(),
            tiers: results.doctor.as_ref().map(Doctor::attached),
            at_once: AT_ONCE,
            limit: LIMIT,
        };
        let Err(death) = boot(emulator, &job, &numbers, &mut results) else {
            break;
        };
        ensure!(!process::stop_requested(), "interrupted");
        println!("     the guest died: {death:#}");
        results.deaths.push(format!("{death:#}"));
    }
    results.took = start.elapsed();
    Ok(results)
}

/// One boot; an error when the guest did not do all of its job.
fn boot(emulator: &Emulator, job: &Job, numbers: &[usize], results: &mut Results) -> Result<()> {
    let mut machine = Machine::boot(emulator, &results.kernel, job)?;
    let log = paths::logs().join(format!("vm-{}.log", results.kernel.series));
    let mut log = fs::File::options().create(true).append(true).open(&log)?;
    let mut running: Vec<usize> = Vec::new();
    let mut heard = Instant::now();
    loop {
        // Looked at before the lines are: after its end there may still be some.
        let over = machine.ended()?;
        for line in machine.lines()? {
            heard = Instant::now();
            let line = serde_json::from_str(&line).with_context(|| format!("the guest wrote {line:?}"))?;
            match line {
                Line::Done => {
                    results.complaints.extend(machine.complaints());
                    return Ok(());
                }
                Line::Begun(index) => running.push(numbers[index]),
                Line::Ended(index, ended) => {
                    let number = numbers[index];
                    running.retain(|one| *one != number);
                    show(&results.tests[number].0, &ended);
                    if !ended.output.is_empty() {
                        writeln!(log, "==== {}\n{}\n", results.tests[number].0.name, ended.output)?;
                    }
                    results.tests[number].1 = Some(ended);
                }
                Line::Doctor(doctor) => {
                    doctor.tiers.iter().for_each(show_finding);
                    results.doctor = Some(doctor);
                }
                Line::Started(tier, seconds) => {
                    results.started.insert(tier, seconds);
                }
            }
        }
        ensure!(!process::stop_requested(), "interrupted");
        if over || heard.elapsed() > SILENCE {
            let what = match machine.code() {
                Some(code) => format!("its main program ended with {code}"),
                None if over => "the kernel stopped".to_owned(),
                None => "it hung".to_owned(),
            };
            let during: Vec<&str> =
                running.iter().map(|number| results.tests[*number].0.name.as_str()).collect();
            let during =
                if during.is_empty() { String::new() } else { format!(" during {}", during.join(", ")) };
            let words = machine.last_words();
            results.complaints.extend(machine.complaints());
            // The second time it is these tests' result.
            if !results.deaths.is_empty() {
                for number in running {
                    let verdict = Verdict::Failed(format!("the guest died: {what}"));
                    results.tests[number].1 =
                        Some(Ended { verdict, seconds: 0.0, first: None, output: String::new() });
                }
            }
            anyhow::bail!("{what}{during}\n{words}");
        }
        process::pause(Duration::from_millis(50));
    }
}

/// A tier, and all of its programs.
fn show_finding(finding: &Finding) {
    println!("     {}: {}", finding.what, finding.found);
    for program in &finding.programs {
        let instructions = program.instructions.map_or("not told".to_owned(), |many| many.to_string());
        println!("       {:<36} {instructions:>8}", program.name);
    }
}

fn show(test: &Test, ended: &Ended) {
    let (mark, colour, more) = match &ended.verdict {
        Verdict::Ok => ("ok     ", "32", String::new()),
        Verdict::Skipped(reason) => ("skipped", "33", format!(": {reason}")),
        Verdict::Counted(reason) => ("counted", "33", format!(": {reason}")),
        Verdict::Failed(reason) => ("FAILED ", "1;31", format!(": {reason}")),
    };
    let more = match &ended.first {
        Some(reason) => format!("{more} (the second time; the first: {reason})"),
        None => more,
    };
    println!(
        "  {} {:6.1} s  {}::{}{more}",
        progress::paint(mark, colour),
        ended.seconds,
        test.target,
        test.name
    );
    let _ = std::io::stdout().flush();
}
