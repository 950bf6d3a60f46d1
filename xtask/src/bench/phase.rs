//! One phase: a load on a server, something attached or nothing, and what all of them used.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::agent::{Attached, Ended};
use super::load::{Answer, Loaded};
use super::server::Server;
use super::{bpf, usage};
use crate::process;

/// What is attached in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// Nothing, and nothing has been since the server's start.
    Nothing,
    /// Empty programs on the agent's hooks.
    Floor,
    /// The agent, exporting.
    Agent,
    /// Nothing any more.
    Detached,
}

impl With {
    /// The order in which a round goes through them.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Floor, Self::Agent, Self::Detached];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "without",
            Self::Floor => "floor",
            Self::Agent => "agent",
            Self::Detached => "detached",
        }
    }
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Phase {
    pub answer: Answer,
    pub server_cpu: Duration,
    pub client_cpu: Duration,
    /// Of the agent (or the floor), until all it had to do was done.
    pub agent_cpu: Duration,
    /// Of the receiver that it exports to.
    pub receiver_cpu: Duration,
    /// Bytes of OTLP that the receiver got.
    pub exported_bytes: u64,
    /// Share of the machine's processors that was in use.
    pub busy: f64,
    /// Share of the machine's processors that others used meanwhile.
    pub others: f64,
    /// eBPF programs of others that trace, loaded before or after the load.
    pub other_programs: usize,
    pub ended: Option<Ended>,
    /// Programs that were still loaded after what was attached had ended.
    pub left: usize,
}

impl Phase {
    /// Microseconds of processor time that a request cost all who took part. Where all processors are in use, the
    /// throughput is their number divided by this, whatever part of them others took.
    pub fn whole(&self) -> f64 {
        self.a_request(self.server_cpu + self.client_cpu + self.agent_cpu + self.receiver_cpu)
    }

    /// Microseconds of processor time a request.
    pub fn a_request(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.answer.requests.max(1) as f64
    }
}

/// Runs `load` on the server and measures; ends what is attached.
pub fn measure(
    server: &Server,
    received: impl Fn() -> u64,
    mut attached: Option<Attached>,
    load: impl FnOnce(&mut dyn FnMut()) -> Result<Loaded>,
) -> Result<Phase> {
    // What the attaching stirred up.
    process::pause(Duration::from_millis(300));
    let pid = attached.as_ref().map(Attached::pid);
    let other_programs = bpf::others(pid)?;
    let receiver = || usage::of_this_program().saturating_sub(usage::of_this_thread());
    let agent = |attached: &Option<Attached>| attached.as_ref().map(Attached::cpu).unwrap_or_default();
    let before =
        (usage::machine_busy(), server.cpu(), agent(&attached), receiver(), usage::of_this_program());
    let bytes = received();
    let start = Instant::now();
    let loaded = load(&mut || {
        if let Some(attached) = &mut attached {
            attached.watch();
        }
    })?;
    let elapsed = start.elapsed();
    let busy = usage::machine_busy().saturating_sub(before.0);
    let server_cpu = server.cpu().saturating_sub(before.1);
    let own = usage::of_this_program().saturating_sub(before.4);
    // A client within this program is part of `own` already.
    let client = if loaded.in_process { Duration::ZERO } else { loaded.client_cpu };
    let known = server_cpu + agent(&attached).saturating_sub(before.2) + own + client;
    let other_programs = other_programs.max(bpf::others(pid)?);
    if let Some(attached) = &mut attached {
        attached.settle();
    }
    let agent_cpu = agent(&attached).saturating_sub(before.2);
    let ids = pid.map(bpf::ids_of).unwrap_or_default();
    let ended = attached.map(Attached::stop).transpose()?;
    Ok(Phase {
        answer: loaded.answer,
        server_cpu,
        client_cpu: loaded.client_cpu,
        agent_cpu,
        receiver_cpu: receiver().saturating_sub(before.3),
        exported_bytes: received() - bytes,
        busy: usage::share(busy, elapsed),
        others: usage::share(busy.saturating_sub(known), elapsed),
        other_programs,
        ended,
        left: if ids.is_empty() { 0 } else { bpf::left(&ids)? },
    })
}
