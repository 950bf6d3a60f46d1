//! The page that tells what came out.

mod aims;
mod numbers;
mod tables;

use std::fmt::Write;

use anyhow::Result;

use super::load::CONNECTIONS;
use super::phase::{Phase, With};
use super::replay::Replays;
use super::rounds::{Compared, Plan, Programs, Round, is_shared, noise};
use super::server::{FILE_BYTES, Kind};
use super::usage::{self, Machine};
use numbers::{Values, percent};

/// All that was measured.
pub struct Results {
    machine: Machine,
    plan: Plan,
    pub saturated: Vec<Compared>,
    pub programs: Vec<Programs>,
    pub steady: Vec<(u32, Compared)>,
    pub replays: Option<Replays>,
}

impl Results {
    pub fn new(plan: Plan) -> Result<Self> {
        Ok(Self {
            machine: Machine::look()?,
            plan,
            saturated: Vec::new(),
            programs: Vec::new(),
            steady: Vec::new(),
            replays: None,
        })
    }

    fn compared(&self) -> impl Iterator<Item = &Compared> {
        self.saturated.iter().chain(self.steady.iter().map(|(_, compared)| compared))
    }
}

fn phase(round: &Round, with: With) -> Option<&Phase> {
    round.iter().find(|(which, _)| *which == with).map(|(_, phase)| phase)
}

/// What a phase lost against the mean of the phases without anything attached before and after it, in each round:
/// `measure` is what is better when it is greater.
fn losses(compared: &Compared, with: With, measure: impl Fn(&Phase) -> f64) -> Values {
    Values::new(compared.rounds.iter().filter_map(|round| {
        let before = measure(phase(round, With::Nothing)?);
        let after = measure(phase(round, With::Detached)?);
        Some(1.0 - measure(phase(round, with)?) / f64::midpoint(before, after))
    }))
}

/// Loss of throughput as the load generator saw it.
fn seen_loss(compared: &Compared, with: With) -> Values {
    losses(compared, with, |phase| phase.answer.rate)
}

/// Loss of throughput as it follows from the processor time of a request: of the server's alone where that is one
/// thread.
fn computed_loss(compared: &Compared, with: With) -> Values {
    losses(compared, with, |phase| match compared.kind {
        Kind::Redis => 1.0 / phase.a_request(phase.server_cpu),
        Kind::Nginx | Kind::Go => 1.0 / phase.whole(),
    })
}

/// In each round under full load: the phase *detached* as a share of the phase *without*.
fn after_before(results: &Results, measure: impl Fn(&Phase) -> f64) -> Values {
    Values::new(results.saturated.iter().flat_map(|compared| &compared.rounds).filter_map(|round| {
        Some(measure(phase(round, With::Detached)?) / measure(phase(round, With::Nothing)?))
    }))
}

/// The page, in Markdown.
pub fn write(results: &Results) -> String {
    let mut page = introduction(results);
    page.push_str("\n## Aims\n\n");
    page.push_str(&aims::section(results));
    if !results.saturated.is_empty() {
        page.push_str("\n## Saturated servers\n\n");
        page.push_str(SATURATED);
        for compared in &results.saturated {
            page.push_str(&tables::compared(compared, &With::ALL));
        }
        page.push_str("\n## eBPF programs\n\n");
        page.push_str(PROGRAMS);
        page.push_str(&tables::programs(&results.programs));
    }
    if !results.steady.is_empty() {
        page.push_str("\n## Steady load\n");
        for (rate, compared) in &results.steady {
            let _ = write!(page, "\n{}", tables::steady_text(*rate, compared));
            page.push_str(&tables::compared(compared, &[With::Nothing, With::Agent, With::Detached]));
        }
    }
    if let Some(replays) = &results.replays {
        page.push_str("\n## Replay of a recording\n\n");
        page.push_str(&tables::replays(replays));
    }
    page.push_str("\n## What limits these figures\n\n");
    page.push_str(&limits(results));
    page
}

fn introduction(results: &Results) -> String {
    let Results { machine, plan, .. } = results;
    format!(
        "# Benchmarks\n\n\
        Written by `cargo xtask bench` on {date} from its own results; it runs again anywhere (as root, on Debian).\n\n\
        Machine: {processor}, {processors} processors, {memory} GiB{virtual_machine}; Linux {kernel}. Servers, load, agent \
        and the receiver of its export share these processors, on the loopback interface.\n\n\
        {rounds} rounds, {seconds} s a phase. A round starts a fresh server, warms it up, and goes through the phases \
        *without* (nothing attached), *floor* (empty programs on the hooks that the agent uses: what any agent on \
        these hooks must cost), *agent* (attached, exporting every span as OTLP/HTTP to a receiver on the same machine that \
        throws the bytes away) and *detached* (nothing attached any more). Each figure is the median of the rounds, with the \
        least and the greatest in parentheses; losses are taken within a round, against the mean of *without* and \
        *detached*. Absolute figures say as much about the machine as about Remora; the ratios are what counts.\n",
        date = usage::today(),
        processor = machine.processor,
        processors = machine.processors,
        memory = machine.memory_gib,
        virtual_machine = if machine.is_virtual { ", a virtual machine" } else { "" },
        kernel = machine.kernel,
        rounds = plan.rounds,
        seconds = plan.duration.as_secs(),
    )
}

const SATURATED: &str = "Full load on all processors: wrk with 2 threads on nginx (a worker a processor, a static file) and on \
a Go `net/http` server, redis-benchmark on redis.\n\n\
*Loss by processor time* is the loss of throughput that follows from the processor time of a request: with all processors \
in use, the throughput is their number divided by that time; with redis, which is one thread, it is the time of \
the server alone (what limits the throughput seen there is as much the one thread of redis-benchmark). It holds even where other work takes part of the machine.\n";

const PROGRAMS: &str = "Run time and runs as the kernel counts them, in a phase of its own, since the counting costs time \
itself (it is part of the floor's figures too). Each program of the agent beside the empty one on the same hook; programs \
that ran less than once in a hundred requests are left out.\n\n";

fn limits(results: &Results) -> String {
    let noises = Values::new(results.compared().flat_map(|compared| &compared.rounds).map(noise));
    let busy =
        Values::new(results.saturated.iter().flat_map(|c| &c.rounds).flatten().map(|(_, phase)| phase.busy));
    let mut text = format!(
        "- **One small machine.** Load generator, server, agent and receiver compete for {} processors. At saturation \
        every microsecond that the agent uses is one that the server and its client do not get, so the loss holds the agent's \
        user-space time in full. Where the agent has processor time to spare, a service loses only what its own \
        requests cost more: the difference in \"server\" and \"client\" above.\n\
        - **Both ends of every connection are here.** Each request is seen twice, by its client and by its server, and \
        becomes two spans. Costs are told for a request, that is, for two spans; a host that serves others pays about half.\n",
        results.machine.processors
    );
    if results.machine.is_virtual {
        text.push_str(
            "- **A virtual machine.** Timer and hypervisor add noise, and what touches privileged state costs more than on \
            metal.\n",
        );
    }
    text.push_str(&format!(
        "- **Other work.** In the median round, the phase most disturbed lost {} of the machine to work that is not part of \
        the benchmark (most disturbed round: {}); this includes what the kernel does on nobody's account. A round with \
        more than 10 % is measured again, up to {} times as long as a run's patience lasts, and the quietest is kept.\n",
        percent(noises.median()),
        percent(noises.most()),
        results.plan.again,
    ));
    let shared =
        results.compared().flat_map(|compared| &compared.rounds).filter(|round| is_shared(round)).count();
    if shared > 0 {
        text.push_str(&format!(
            "- **Other tracing.** In {shared} rounds, programs of others were loaded that trace; what they cost is part of \
            all phases of these rounds.\n"
        ));
    }
    if !results.saturated.is_empty() {
        let differences = after_before(results, |phase| phase.answer.rate).map(|ratio| (ratio - 1.0).abs());
        text.push_str(&format!(
            "- **Noise.** The two phases of a round in which nothing is attached, *without* and *detached*, differ by {} in \
            the median, by {} at most: a difference of that size between two figures is none.\n",
            percent(differences.median()),
            percent(differences.most())
        ));
        text.push_str(&format!(
            "- **Saturation.** In the phases of full load {} of the processors were in use (least: {}).\n",
            percent(busy.median()),
            percent(busy.least())
        ));
    }
    text.push_str(&format!(
        "- **Small answers.** {FILE_BYTES} bytes from nginx, 58 from Go, over {CONNECTIONS} kept-alive connections: nearly all of \
        a request is overhead, so the share of the agent is as large as it gets. Larger answers, application code, or a \
        database behind it make it smaller.\n\
        - **Processor time is counted in ticks of 10 ms** for each process: exact to about 1 % over a phase.\n"
    ));
    text
}
