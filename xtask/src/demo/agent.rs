//! The agent as a child: its spans from standard output, its words from standard error.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::otlp::{self, Span};
use super::stats::Stats;
use crate::process::{self, Service};
use crate::{paths, progress};

/// Longer lines are no export requests of ours.
const LONGEST_LINE: u64 = 64 << 20;

/// What the agent says.
pub enum Event {
    /// All probes are attached; the line that says so.
    Ready(String),
    Span(Box<Span>),
    /// A line on standard output that is not OTLP/JSON.
    NotOtlp(String),
}

/// How the agent ended.
pub struct Ended {
    pub status: ExitStatus,
    /// Whether it took no longer than it may.
    pub in_time: bool,
    /// What it wrote to standard error after it was asked to end.
    pub own_summary: Vec<String>,
}

pub struct Agent {
    service: Service,
    events: Receiver<Event>,
}

impl Agent {
    pub fn start() -> Result<Self> {
        let mut command = process::command(paths::release("remora"));
        command.args(["run", "--export", "stdout"]);
        let log = paths::logs().join("demo-agent.log");
        let mut service = Service::start("the agent", &mut command, log, true)?;
        let (sender, events) = channel();
        let stdout = service.child.stdout.take().context("no pipe from the agent")?;
        let stderr = service.child.stderr.take().context("no pipe from the agent")?;
        let log = File::options().append(true).open(&service.log)?;
        let ready = sender.clone();
        thread::spawn(move || read_spans(BufReader::new(stdout), &sender));
        thread::spawn(move || read_words(BufReader::new(stderr), log, &ready));
        Ok(Self { service, events })
    }

    /// Waits for the line with the word `ready`.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<String> {
        let start = Instant::now();
        while start.elapsed() < limit {
            ensure!(!process::stop_requested(), "interrupted");
            // Spans that come before that line belong to the first moments of a demo; none are missed by dropping them.
            if let Some(Event::Ready(line)) = self.next(Duration::from_millis(100)) {
                return Ok(line);
            }
            self.check().context("the agent could not attach")?;
        }
        bail!("the agent was not ready within {} s: {}", limit.as_secs(), self.last_words())
    }

    /// The next event, if there is one within `limit`.
    pub fn next(&mut self, limit: Duration) -> Option<Event> {
        match self.events.recv_timeout(limit) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(limit);
                None
            }
        }
    }

    /// An error when the agent ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.service.check()
    }

    /// The end of what it wrote to standard error.
    pub fn last_words(&self) -> String {
        match progress::last_lines(&self.service.log, 15).as_str() {
            "" => "it wrote nothing to standard error".to_owned(),
            words => format!("its last words:\n{words}"),
        }
    }

    /// Asks the agent to end and takes in what it still had.
    pub fn stop(&mut self, limit: Duration, stats: &mut Stats) -> Result<Ended> {
        let before = progress::last_lines(&self.service.log, usize::MAX).lines().count();
        let start = Instant::now();
        // One second beyond the limit, to tell late from never.
        let (status, by_itself) = self.service.stop(limit + Duration::from_secs(1))?;
        let in_time = by_itself && start.elapsed() <= limit;
        // The readers hang up when its pipes are empty and closed.
        while let Ok(event) = self.events.recv_timeout(Duration::from_secs(1)) {
            match event {
                Event::Span(span) => stats.add(&span),
                Event::NotOtlp(line) => stats.not_otlp(&line),
                Event::Ready(_) => {}
            }
        }
        let words = progress::last_lines(&self.service.log, usize::MAX);
        let own_summary = words.lines().skip(before).map(str::to_owned).collect();
        Ok(Ended { status, in_time, own_summary })
    }
}

fn read_spans(mut reader: impl BufRead, events: &Sender<Event>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // The agent was ended before it could write all of its last line; it says how many spans that cost.
        if !line.ends_with(b"\n") {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let sent = match otlp::spans(text.trim()) {
            Ok(spans) => spans.into_iter().try_for_each(|span| events.send(Event::Span(Box::new(span)))),
            Err(_) => events.send(Event::NotOtlp(text.trim().to_owned())),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn read_words(reader: impl BufRead, mut log: File, events: &Sender<Event>) {
    for line in reader.lines() {
        let Ok(line) = line else { return };
        let _ = writeln!(log, "{line}");
        if is_ready(&line) {
            let _ = events.send(Event::Ready(line));
        }
    }
}

/// Whether a line of the log holds the word `ready`, and not `already`.
fn is_ready(line: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_a_word_of_its_own() {
        assert!(is_ready("2026-01-01T00:00:00Z  INFO remora: ready: 24 probes attached"));
        assert!(!is_ready("the ring buffer is already mapped"));
    }
}
