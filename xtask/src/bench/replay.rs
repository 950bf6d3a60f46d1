//! The way of the data without the kernel: a recording of real load, replayed on one shard.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::agent::{Tier, Told};
use super::load::saturate;
use super::rounds::Bench;
use super::server::{Kind, Server};
use super::usage;
use crate::process::{self, Service};

/// Where a replay's spans go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// Nowhere, where the agent offers that.
    None,
    /// OTLP/HTTP in protobuf to the receiver.
    Otlp,
    /// OTLP/JSON on standard output, which is `/dev/null`.
    Stdout,
}

impl Export {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "nowhere",
            Self::Otlp => "OTLP/HTTP, protobuf",
            Self::Stdout => "standard output, JSON",
        }
    }
}

/// One replay.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    pub records: u64,
    /// As the agent says.
    pub wall: Duration,
    /// Of all its threads.
    pub cpu: Duration,
}

/// All replays of one recording.
pub struct Replays {
    pub requests: u64,
    pub file_bytes: u64,
    pub recorded: Option<Told>,
    pub of: Vec<(Export, Vec<Replayed>)>,
}

impl Bench<'_> {
    /// Records nginx under load and replays it.
    pub fn replays(&self) -> Result<Replays> {
        let file = self.dir.join("recording");
        let server = Server::start(Kind::Nginx, self.dir)?;
        let mut recorder = self.binaries.record(Tier::SocketTracepoint, &file)?;
        let duration = self.plan.duration.min(Duration::from_secs(5));
        let loaded = saturate(&server, duration, 0.0, || recorder.watch())?;
        recorder.settle();
        let recorded = recorder.stop()?.told;
        server.stop()?;
        let file_bytes = std::fs::metadata(&file).context("no recording was written")?.len();

        let mut of = Vec::new();
        for export in [Export::None, Export::Otlp, Export::Stdout] {
            let mut all = Vec::new();
            for _ in 0..self.plan.rounds.max(2) {
                self.wait_for_quiet();
                match self.replay(&file, export) {
                    Ok(replayed) => all.push(replayed),
                    // An agent without this destination.
                    Err(_) if export == Export::None => break,
                    Err(error) => return Err(error),
                }
            }
            if !all.is_empty() {
                of.push((export, all));
            }
        }
        std::fs::remove_file(&file)?;
        Ok(Replays { requests: loaded.answer.requests, file_bytes, recorded, of })
    }

    fn replay(&self, file: &std::path::Path, export: Export) -> Result<Replayed> {
        let mut command = process::command(&self.binaries.agent);
        command.arg("replay").arg(file).args(["--shards", "1"]);
        match export {
            Export::None => command.args(["--export", "none"]),
            Export::Stdout => command.args(["--export", "stdout"]),
            Export::Otlp => command.args(["--export", "otlp", "--endpoint", &self.binaries.endpoint]),
        };
        let before = usage::of_ended_children();
        let log = self.dir.join("replay.log");
        command.stdout(Stdio::from(File::create("/dev/null")?)).stderr(File::create(&log)?);
        let mut service = Service { name: "the replay".to_owned(), log, child: command.spawn()? };
        let status = loop {
            ensure!(!process::stop_requested(), "interrupted");
            if let Some(status) = service.child.try_wait()? {
                break status;
            }
            process::pause(Duration::from_millis(20));
        };
        let text = std::fs::read_to_string(&service.log).unwrap_or_default();
        ensure!(status.success(), "the replay failed ({status}): {text}");
        let (records, wall) =
            parse(&text).with_context(|| format!("the replay says what is not understood: {text}"))?;
        let replayed = Replayed { records, wall, cpu: usage::of_ended_children().saturating_sub(before) };
        println!(
            "     replay to {:<22} {records} records, wall {:.2} s, CPU {:.2} s",
            export.name(),
            replayed.wall.as_secs_f64(),
            replayed.cpu.as_secs_f64()
        );
        Ok(replayed)
    }
}

/// `replayed 12 records in 0.345 s: 34 a second`.
fn parse(log: &str) -> Option<(u64, Duration)> {
    let line = log.lines().rev().find_map(|line| line.split_once("replayed "))?.1;
    let (records, rest) = line.split_once(" records in ")?;
    let seconds: f64 = rest.split_once(" s")?.0.parse().ok()?;
    Some((records.parse().ok()?, Duration::from_secs_f64(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_replays_last_line() {
        let log = "INFO 5 segments\nINFO replayed 1200 records in 0.500 s: 2400 a second\n";
        assert_eq!(parse(log), Some((1200, Duration::from_millis(500))));
        assert_eq!(parse("INFO something else"), None);
    }
}
