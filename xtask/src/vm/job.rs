//! What the host asks a guest to do, and the lines that the guest answers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The agent's sets of hooks, in the order in which it prefers them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Trampolines
    Fentry,
    /// Kernel probes
    Kprobe,
    /// Tracepoints of the socket layer
    SocketTracepoint,
    /// Tracepoints of system calls
    SyscallTracepoint,
}

impl Tier {
    /// All of them.
    pub const ALL: [Tier; 4] = [Tier::Fentry, Tier::Kprobe, Tier::SocketTracepoint, Tier::SyscallTracepoint];

    /// As the agent calls it.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Fentry => "fentry",
            Tier::Kprobe => "kprobe",
            Tier::SocketTracepoint => "socket-tracepoint",
            Tier::SyscallTracepoint => "syscall-tracepoint",
        }
    }

    /// The tier whose module a test is in, by a part of the test's path.
    pub fn of_module(module: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name().replace('-', "_") == module)
    }

    /// The tier of a test, by its path.
    pub fn of_test(name: &str) -> Option<Self> {
        name.split("::").find_map(Self::of_module)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A test, to be run by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The test target: `connections`.
    pub target: String,
    /// Its program.
    pub program: PathBuf,
    /// As the program calls it: `fentry::unix_sockets`.
    pub name: String,
    /// The tier whose module it is in. A test without one leaves the choice to the agent.
    pub tier: Option<Tier>,
}

impl Test {
    /// What is the same in every tier: `connections::unix_sockets`.
    pub fn title(&self) -> String {
        let parts = self.name.split("::").filter(|part| Tier::of_module(part).is_none());
        std::iter::once(self.target.as_str()).chain(parts).collect::<Vec<_>>().join("::")
    }
}

/// The work of one boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The agent.
    pub agent: PathBuf,
    /// Where tests run.
    pub folder: PathBuf,
    /// What they have in their environment, and nothing else.
    pub environment: BTreeMap<String, String>,
    /// The tests, in the order in which they are begun.
    pub tests: Vec<Test>,
    /// What is known of the tiers; `None`: they are to be tried first.
    pub tiers: Option<Vec<Tier>>,
    /// How many tests run at once.
    pub at_once: usize,
    /// Seconds that a test may take.
    pub limit: u64,
}

/// A line from the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What `remora doctor --json` said.
    Doctor(Doctor),
    /// Seconds that it took to start the agent in a tier, and to end it.
    Started(Tier, f64),
    /// A test begins: its number in the job.
    Begun(usize),
    /// A test has ended.
    Ended(usize, Ended),
    /// All is done.
    Done,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// With what result.
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed the first time, if this was the second.
    pub first: Option<String>,
    /// What it wrote, of a test that failed.
    pub output: String,
}

/// A test's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It passed.
    Ok,
    /// It could not run here.
    Skipped(String),
    /// Something was missing, and the agent said that it was: the kernel had preempted a program and skipped it meanwhile.
    Counted(String),
    /// It did not pass.
    Failed(String),
}

/// What is read of the doctor's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doctor {
    /// What the agent would take.
    pub tier: Option<Tier>,
    /// Each tier, tried.
    pub tiers: Vec<Finding>,
}

/// What the doctor found out about one tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `tier fentry`
    pub what: String,
    /// It was attached.
    pub ok: Option<bool>,
    /// With which result.
    pub found: String,
    /// Milliseconds that it took to load its programs and to attach them.
    #[serde(default)]
    pub load_ms: Option<f64>,
    /// Its programs.
    #[serde(default)]
    pub programs: Vec<Program>,
}

/// A program that was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Instructions that the verifier went through; kernels before 5.16 do not tell.
    pub instructions: Option<u64>,
}

impl Doctor {
    /// What it says of a tier.
    pub fn finding(&self, tier: Tier) -> Option<&Finding> {
        self.tiers.iter().find(|finding| finding.what.split(' ').any(|word| word == tier.name()))
    }

    /// The tiers that could be attached.
    pub fn attached(&self) -> Vec<Tier> {
        let attached = |tier: &Tier| self.finding(*tier).is_some_and(|finding| finding.ok == Some(true));
        Tier::ALL.into_iter().filter(attached).collect()
    }
}

impl Finding {
    /// The largest program and its verified instructions, where the kernel tells.
    pub fn largest(&self) -> Option<(&str, u64)> {
        let told =
            self.programs.iter().filter_map(|program| Some((program.name.as_str(), program.instructions?)));
        told.max_by_key(|(_, instructions)| *instructions)
    }

    /// The kernel refused a program of ours: that is never the kernel's lack.
    pub fn refused(&self) -> bool {
        self.ok != Some(true) && self.found.contains("refused the program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_one_title_in_all_tiers() {
        let test = |name: &str| Test {
            target: "connections".into(),
            program: "connections-1".into(),
            name: name.into(),
            tier: None,
        };
        assert_eq!(test("fentry::unix_sockets").title(), "connections::unix_sockets");
        assert_eq!(test("syscall_tracepoint::unix_sockets").title(), "connections::unix_sockets");
        assert_eq!(test("parts::kprobe::a").title(), "connections::parts::a");
        assert_eq!(test("curl").title(), "connections::curl");
    }

    #[test]
    fn the_doctors_report_is_understood() {
        let report = r#"{"can_run":true,"tier":"syscall-tracepoint","host":[],"processes":[],"tiers":[
            {"what":"tier socket-tracepoint","ok":false,"found":"no sock_send_length","advice":null},
            {"what":"tier syscall-tracepoint","ok":true,"advice":null,
             "found":"attached 6 hooks", "load_ms":210.5,
             "programs":[{"name":"sys_exit","instructions":900},{"name":"sys_exit_read","instructions":36802}]}]}"#;
        let doctor: Doctor = serde_json::from_str(report).unwrap();
        assert_eq!(doctor.tier, Some(Tier::SyscallTracepoint));
        assert_eq!(doctor.attached(), [Tier::SyscallTracepoint]);
        let of = |tier| doctor.finding(tier).unwrap();
        assert_eq!(of(Tier::SyscallTracepoint).largest(), Some(("sys_exit_read", 36802)));
        assert_eq!(of(Tier::SocketTracepoint).largest(), None);
        assert!(!of(Tier::SocketTracepoint).refused());
        assert!(doctor.finding(Tier::Fentry).is_none());
    }
}
