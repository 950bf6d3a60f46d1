//! The agent under test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::{
    Coverage, Metrics, Netns, Place, Program, Running, Span, Spans, patience, repository, require_root,
    wait_for,
};

/// How long the agent may take to end once it is told to.
const STOP: Duration = Duration::from_secs(2);

/// Which hooks the agent uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The agent's own choice.
    Auto,
    /// Trampolines at functions of the socket layer.
    Fentry,
    /// Kernel probes at the same functions.
    Kprobe,
    /// Tracepoints in the socket layer.
    SocketTracepoint,
    /// Tracepoints of system calls.
    SyscallTracepoint,
}

impl Tier {
    /// Why this kernel has not got the tier; `None` if it has. Tried once. Programs that the kernel refuses are the agent's
    /// fault and never a reason.
    ///
    /// # Panics
    /// If it is the agent's fault.
    #[must_use]
    pub fn unavailable(self) -> Option<&'static str> {
        static TRIED: [OnceLock<Option<String>>; 5] = [const { OnceLock::new() }; 5];
        let tried = TRIED[self as usize].get_or_init(|| {
            require_root();
            // What another process has tried already, which takes its time on a slow machine.
            let known = std::env::var("REMORA_TEST_TIERS").unwrap_or_default();
            if known.split(' ').any(|tier| tier == self.name()) {
                return None;
            }
            let place = Place::new();
            let file = place.join("recording");
            let agent = Program::new(remora()).args(["record", "--tier", self.name(), "--seconds", "0"]);
            let ended = agent.arg(&file).run();
            if ended.status.success() {
                return None;
            }
            let reason = ended.errors.lines().last().unwrap_or_default().to_owned();
            let ours = !reason.contains("no tier of") || reason.contains("refused the program");
            assert!(!ours, "the tier {} failed:\n{}", self.name(), ended.errors);
            Some(reason)
        });
        tried.as_deref()
    }

    /// Its name, as in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tier::Auto => "auto",
            Tier::Fentry => "fentry",
            Tier::Kprobe => "kprobe",
            Tier::SocketTracepoint => "socket-tracepoint",
            Tier::SyscallTracepoint => "syscall-tracepoint",
        }
    }
}

/// Path of the agent's executable: `target/release/remora`, or what `REMORA_BIN` says.
#[must_use]
pub fn remora() -> PathBuf {
    let path = std::env::var_os("REMORA_BIN")
        .map_or_else(|| repository().join("target/release/remora"), PathBuf::from);
    assert!(path.exists(), "{} is missing: cargo build --release", path.display());
    path
}

/// A user without privileges.
const NOBODY: u32 = 65_534;

/// A copy of the agent that every user may run. Another process writes it: while this one has it open for writing, a child
/// of another test would have it open, too, and it could not be run.
#[must_use]
pub fn copy_of_remora(place: &Place) -> PathBuf {
    let to = place.join("remora");
    let _ = Program::new("cp").arg(remora()).arg(&to).run().ok();
    to
}

/// Settings of an agent to be started.
#[derive(Debug)]
pub struct AgentBuilder {
    program: Program,
    place: Place,
    recording: bool,
}

impl AgentBuilder {
    /// Which hooks it shall use.
    #[must_use]
    pub fn tier(self, tier: Tier) -> Self {
        self.arg("--tier").arg(tier.name())
    }

    /// Contents of its configuration file.
    #[must_use]
    pub fn config(self, yaml: &str) -> Self {
        let file = self.place.write("remora.yaml", yaml);
        self.arg("--config").arg(file)
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.program = self.program.arg(argument);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.program = self.program.args(arguments);
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.program = self.program.env(name, value);
        self
    }

    /// Runs it as a user who has these capabilities and no others, as bits by their numbers.
    #[must_use]
    pub fn capabilities(mut self, bits: u64) -> Self {
        let own = copy_of_remora(&self.place);
        self.program = self.program.executable(own).user(NOBODY).capabilities(bits);
        self
    }

    /// Lets the agent itself run inside a namespace, so that it could see its own connections.
    #[must_use]
    pub fn living_in(mut self, netns: &Netns) -> Self {
        self.program = self.program.inside(netns);
        self
    }

    /// Starts it and waits until it is ready.
    #[must_use]
    pub fn start(self) -> Agent {
        let mut running = self.program.start();
        let process = running.id();
        let errors = PathBuf::from(format!("/proc/{process}/fd/2"));
        running.wait_until("logs that it is ready", |_| {
            std::fs::read(&errors)
                .is_ok_and(|log| String::from_utf8_lossy(&log).lines().any(|line| line.contains("ready")))
        });
        Agent { running, recording: self.recording, _place: self.place }
    }
}

/// An agent that runs and writes spans to its standard output.
#[derive(Debug)]
pub struct Agent {
    running: Running,
    recording: bool,
    _place: Place,
}

impl Agent {
    /// Starts an agent that watches a namespace, with default settings, and waits until it is ready.
    #[must_use]
    pub fn start(netns: &Netns) -> Self {
        Self::watch(netns).start()
    }

    /// Settings of an agent that watches a namespace and writes spans to its standard output.
    #[must_use]
    pub fn watch(netns: &Netns) -> AgentBuilder {
        Self::exporting(netns, "stdout")
    }

    /// Settings of an agent that watches a namespace.
    #[must_use]
    pub fn exporting(netns: &Netns, to: &str) -> AgentBuilder {
        let program = Program::new(remora()).args(["run", "--export", to, "--netns"]).arg(netns.path());
        AgentBuilder { program, place: Place::new(), recording: false }
    }

    /// Settings of an agent that records a namespace into a file.
    #[must_use]
    pub fn record(netns: &Netns, file: &Path) -> AgentBuilder {
        let program = Program::new(remora()).arg("record").arg(file).arg("--netns").arg(netns.path());
        AgentBuilder { program, place: Place::new(), recording: true }
    }

    /// What it wrote to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.errors()
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }

    /// Spans that came so far; the last line may still be being written.
    #[must_use]
    pub fn so_far(&self) -> Spans {
        let output = self.running.output();
        let whole = output.rfind('\n').map_or("", |end| &output[..end]);
        parse(whole, self.running.errors())
    }

    /// How many spans came so far.
    #[must_use]
    pub fn told(&self) -> usize {
        self.running.output().matches("\"spanId\"").count()
    }

    /// Waits, for a while at most, until it has nothing more to do than to look for more: none of its threads wants to run,
    /// and it tells no span, three times in a row.
    fn settle(&self) {
        const LOOK: Duration = Duration::from_millis(150);
        const ENOUGH: Duration = Duration::from_secs(20);
        let (mut told, mut quiet) = (0, 0);
        let _ = wait_for(ENOUGH, || {
            std::thread::sleep(LOOK);
            let before = std::mem::replace(&mut told, self.told());
            quiet = if before == told && !wants_to_run(self.running.id()) { quiet + 1 } else { 0 };
            quiet == 3
        });
    }

    /// Ends it with SIGTERM and returns what it told. Panics unless it ends well and in time.
    #[must_use]
    pub fn stop(self) -> Spans {
        if patience() > 1 {
            // What it tells at its end it tells within a limit of its own, which knows nothing of slow machines.
            self.settle();
        }
        self.stop_at_once()
    }

    /// The same, whatever it is at.
    #[must_use]
    pub fn stop_at_once(self) -> Spans {
        let recording = self.recording;
        let started = Instant::now();
        self.running.signal(libc::SIGTERM);
        // A little more than is asked for, so that the message tells how long it took.
        let finished = self.running.finish(STOP * 10).ok();
        let taken = started.elapsed();
        assert!(
            taken <= STOP * patience(),
            "the agent took {taken:?} to end after SIGTERM\n{}",
            finished.errors
        );
        let spans = parse(&finished.output, finished.errors);
        assert!(recording || !spans.coverage.is_empty(), "no coverage counters came\n{}", spans.log);
        // What is recorded is counted when it is replayed.
        let skipped = if recording { 0 } else { spans.coverage.get("skipped_programs") };
        if skipped > 0 {
            // Shown if the test fails, which may be why.
            println!("{skipped:14} skipped_programs");
            for line in spans.log.lines().filter(|line| line.contains("the kernel skipped a program")) {
                println!("{line}");
            }
        }
        spans
    }
}

impl Spans {
    /// What an agent wrote to standard output and to its log.
    #[must_use]
    pub fn read(output: &str, log: String) -> Self {
        parse(output, log)
    }
}

/// Whether a thread of a process runs, or would if it had a processor (`proc_pid_stat(5)`, field 3).
fn wants_to_run(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok()).any(|stat| {
        // The name in parentheses may hold spaces.
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
        state.starts_with(['R', 'D'])
    })
}

fn parse(output: &str, log: String) -> Spans {
    let mut spans = Vec::new();
    let mut coverage = Coverage::default();
    let mut metrics = Metrics::default();
    for line in output.lines() {
        let request: Json = line
            .parse()
            .unwrap_or_else(|error| panic!("standard output has a line that is not JSON ({error}): {line}"));
        Span::parse(&request, &mut spans).unwrap_or_else(|error| panic!("bad span: {error}"));
        coverage.parse(&request).unwrap_or_else(|error| panic!("bad metric: {error}"));
        metrics.parse(&request).unwrap_or_else(|error| panic!("bad metric: {error}"));
    }
    Spans::new(spans, coverage, metrics, log)
}
