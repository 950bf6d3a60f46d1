//! What is attached while a server is under load: the agent, or the empty programs that are the floor.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::usage::{self, Memory};
use crate::process::{self, Service};
use crate::progress;

/// The hooks that both can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Tier {
    SocketTracepoint,
    SyscallTracepoint,
}

impl Tier {
    pub const ALL: [Self; 2] = [Self::SocketTracepoint, Self::SyscallTracepoint];

    pub fn name(self) -> &'static str {
        match self {
            Self::SocketTracepoint => "socket-tracepoint",
            Self::SyscallTracepoint => "syscall-tracepoint",
        }
    }
}

/// The binaries under test, copied so that a build meanwhile does not change what is measured.
#[derive(Clone, Debug)]
pub struct Binaries {
    pub agent: PathBuf,
    pub floor: PathBuf,
    /// Where the agent exports to, `http://…`.
    pub endpoint: String,
    /// For logs.
    pub dir: PathBuf,
}

impl Binaries {
    pub fn copy(from: &Path, dir: &Path, endpoint: String) -> Result<Self> {
        let copy = |name: &str| -> Result<PathBuf> {
            let (source, target) = (from.join(name), dir.join(name));
            std::fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
            Ok(target)
        };
        Ok(Self { agent: copy("remora")?, floor: copy("remora-floor")?, endpoint, dir: dir.to_owned() })
    }

    /// Starts the agent, exporting, and waits until it is attached.
    pub fn attach_agent(&self, tier: Tier) -> Result<Attached> {
        let mut command = process::command(&self.agent);
        command.args(["run", "--tier", tier.name(), "--export", "otlp", "--protocol", "http/protobuf"]);
        command.args(["--endpoint", &self.endpoint]);
        command.args(["--netns", &format!("/proc/{}/ns/net", std::process::id())]);
        Attached::start("the agent", command, self.dir.join("agent.log"))
    }

    /// Starts the floor and waits until it is attached.
    pub fn attach_floor(&self, tier: Tier) -> Result<Attached> {
        let mut command = process::command(&self.floor);
        command.args(["--tier", tier.name()]);
        Attached::start("the floor", command, self.dir.join("floor.log"))
    }

    /// Starts `remora record`.
    pub fn record(&self, tier: Tier, file: &Path) -> Result<Attached> {
        let mut command = process::command(&self.agent);
        command.arg("record").arg(file).args(["--tier", tier.name()]);
        command.args(["--netns", &format!("/proc/{}/ns/net", std::process::id())]);
        Attached::start("the recorder", command, self.dir.join("record.log"))
    }
}

/// A running agent or floor.
pub struct Attached {
    service: Service,
    /// The most memory seen since it was attached.
    memory: Memory,
}

impl Attached {
    fn start(name: &str, mut command: std::process::Command, log: PathBuf) -> Result<Self> {
        // A user's settings are not what is measured.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(variable);
            }
        }
        let mut service = Service::start(name, &mut command, log, false)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_ready(&service.log) {
            service.check().with_context(|| format!("{name} could not attach"))?;
            ensure!(!process::stop_requested(), "interrupted");
            if Instant::now() > deadline {
                bail!("{name} was not ready within 20 s: {}", progress::last_lines(&service.log, 5));
            }
            process::pause(Duration::from_millis(20));
        }
        Ok(Self { service, memory: Memory::default() })
    }

    pub fn pid(&self) -> u32 {
        self.service.child.id()
    }

    pub fn cpu(&self) -> Duration {
        usage::of_process(self.pid()).unwrap_or_default()
    }

    /// Looks at its memory; to be called often.
    pub fn watch(&mut self) {
        if let Some(memory) = Memory::of(self.pid())
            && memory.resident >= self.memory.resident
        {
            self.memory = memory;
        }
    }

    /// Lets what is on its way arrive: until the process has been idle for a moment, within bounds.
    pub fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        // Longer than the exporter gathers.
        process::pause(Duration::from_millis(1_100));
        while Instant::now() < deadline && !process::stop_requested() {
            self.watch();
            let before = self.cpu();
            process::pause(Duration::from_millis(250));
            if self.cpu().saturating_sub(before) <= Duration::from_millis(10) {
                return;
            }
        }
    }

    /// Ends it; what it said of itself at the end, and the most memory that it used.
    pub fn stop(mut self) -> Result<Ended> {
        self.watch();
        self.service.check()?;
        let (_, in_time) = self.service.stop(Duration::from_secs(10))?;
        ensure!(in_time, "{} did not end by itself within 10 s", self.service.name);
        let log = std::fs::read_to_string(&self.service.log).unwrap_or_default();
        Ok(Ended { told: Told::find(&log), memory: self.memory })
    }
}

fn is_ready(log: &Path) -> bool {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ready")
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// `None` for the floor.
    pub told: Option<Told>,
    pub memory: Memory,
}

/// The agent's coverage, from the last line of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub segments: u64,
    pub bytes: u64,
    pub copied: u64,
    pub connections: u64,
    pub exchanges: u64,
    pub exported: u64,
    /// Each counter of a loss that is not zero: `remora.coverage.NAME` and its value.
    pub losses: Vec<(String, u64)>,
}

impl Told {
    fn find(log: &str) -> Option<Self> {
        log.lines().rev().find_map(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let at = line.find(" segments, ")?;
        let (seen, lost) = line.split_once("; ")?;
        let segments = seen[..at].rsplit(' ').next()?.parse().ok()?;
        let before = |unit: &str| -> Option<u64> {
            seen[..seen.find(unit)?].rsplit([' ', ',']).find(|word| !word.is_empty())?.parse().ok()
        };
        let losses = match lost.trim().strip_prefix("not covered: ") {
            None => Vec::new(),
            Some(list) => list
                .split(", ")
                .filter_map(|entry| entry.rsplit_once(' '))
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect(),
        };
        Some(Self {
            segments,
            bytes: before(" bytes seen")?,
            copied: before(" copied")?,
            connections: before(" connections")?,
            exchanges: before(" exchanges told")?,
            exported: before(" spans exported")?,
            losses,
        })
    }

    /// Spans that should have arrived and did not, when `expected` exchanges passed.
    pub fn lost_spans(&self, expected: u64) -> u64 {
        expected.saturating_sub(self.exported.min(self.exchanges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_last_line() {
        let line = "2026-11-22T15:01:29Z  INFO 12 segments, 345 bytes seen and 67 copied, 2 connections, 6 exchanges \
            told, 5 spans exported; not covered: ring_full 3, spans_dropped (queue_full) 1";
        let told = Told::find(&format!("first\n{line}\n")).unwrap();
        assert_eq!((told.segments, told.bytes, told.copied), (12, 345, 67));
        assert_eq!((told.connections, told.exchanges, told.exported), (2, 6, 5));
        assert_eq!(told.losses, [("ring_full".to_owned(), 3), ("spans_dropped (queue_full)".to_owned(), 1)]);
        assert_eq!((told.lost_spans(6), told.lost_spans(4)), (1, 0));
        let clean = Told::find(
            "INFO 1 segments, 2 bytes seen and 3 copied, 4 connections, 5 exchanges told, 6 spans \
            exported; nothing lost",
        );
        assert!(clean.unwrap().losses.is_empty());
    }
}
