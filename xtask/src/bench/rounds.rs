//! Rounds: the phases of a comparison, one after the other and again, so that what changes on a shared machine
//! changes for all of them.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::agent::{Binaries, Tier};
use super::bpf::{self, Ran, Statistics, programs_of};
use super::load::saturate;
use super::phase::{Phase, With, measure};
use super::rate::steady;
use super::server::{Kind, Server};
use super::sink::Sink;
use super::usage;
use crate::process;

/// A round in which others used more of the machine than this is measured again.
const NOISE: f64 = 0.10;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of each phase.
    pub duration: Duration,
    pub rounds: u32,
    /// How often a noisy round is measured again at most.
    pub again: u32,
    /// How long the whole run may wait for the machine to be quiet, and measure again where it was not.
    pub patience: Duration,
}

/// What every measurement needs.
pub struct Bench<'a> {
    pub plan: Plan,
    pub binaries: &'a Binaries,
    pub sink: &'a Sink,
    pub dir: &'a Path,
    /// What is left of the plan's patience.
    pub patience: Cell<Duration>,
}

/// The phases of one round, in the order of [`With::ALL`] (a steady load has the first, third and fourth only).
pub type Round = Vec<(With, Phase)>;

/// All rounds of a server and a tier.
pub struct Compared {
    pub kind: Kind,
    pub tier: Tier,
    pub rounds: Vec<Round>,
}

/// What the programs of the floor and the agent did under the same load.
pub struct Programs {
    pub kind: Kind,
    pub tier: Tier,
    pub floor: Ran,
    pub agent: Ran,
}

impl Bench<'_> {
    /// A saturated server.
    pub fn saturated(&self, kind: Kind, tier: Tier) -> Result<Compared> {
        self.rounds(kind, tier, &With::ALL, |server, rate, meanwhile| {
            saturate(server, self.plan.duration, rate, meanwhile)
        })
    }

    /// A server that gets `rate` requests a second.
    pub fn steady(&self, kind: Kind, tier: Tier, rate: u32) -> Result<Compared> {
        self.rounds(kind, tier, &[With::Nothing, With::Agent, With::Detached], |server, _, meanwhile| {
            steady(server.address, kind.path(), rate, self.plan.duration, meanwhile)
        })
    }

    fn rounds(
        &self,
        kind: Kind,
        tier: Tier,
        withs: &[With],
        load: impl Fn(&Server, f64, &mut dyn FnMut()) -> Result<super::load::Loaded>,
    ) -> Result<Compared> {
        let mut compared = Compared { kind, tier, rounds: Vec::new() };
        for _ in 0..self.plan.rounds {
            let mut best: Option<Round> = None;
            for _ in 0..=self.plan.again {
                self.wait_for_quiet();
                let start = Instant::now();
                let round = self.round(kind, tier, withs, &load)?;
                let is_quiet = noise(&round) <= NOISE && !is_shared(&round);
                let worth = |round: &Round| (is_shared(round), noise(round));
                if best.as_ref().is_none_or(|best| worth(&round) < worth(best)) {
                    best = Some(round);
                }
                if is_quiet || self.patience.get().is_zero() {
                    break;
                }
                self.patience.set(self.patience.get().saturating_sub(start.elapsed()));
            }
            compared.rounds.extend(best);
        }
        Ok(compared)
    }

    fn round(
        &self,
        kind: Kind,
        tier: Tier,
        withs: &[With],
        load: &impl Fn(&Server, f64, &mut dyn FnMut()) -> Result<super::load::Loaded>,
    ) -> Result<Round> {
        let server = Server::start(kind, self.dir)?;
        let rate = warm_up(&server)?;
        let mut round = Round::new();
        for &with in withs {
            let attached = match with {
                With::Nothing | With::Detached => None,
                With::Floor => Some(self.binaries.attach_floor(tier)?),
                With::Agent => Some(self.binaries.attach_agent(tier)?),
            };
            let phase =
                measure(&server, || self.sink.bytes(), attached, |meanwhile| load(&server, rate, meanwhile))?;
            tell(kind, tier, with, &phase);
            round.push((with, phase));
        }
        server.stop()?;
        Ok(round)
    }

    /// The programs' run time and count. The counting costs time itself, so this is a phase of its own.
    pub fn programs(&self, kind: Kind, tier: Tier) -> Result<Programs> {
        let server = Server::start(kind, self.dir)?;
        let rate = warm_up(&server)?;
        let duration = self.plan.duration.min(Duration::from_secs(2));
        let mut ran = Vec::new();
        for with in [With::Floor, With::Agent] {
            let attached = match with {
                With::Agent => self.binaries.attach_agent(tier)?,
                _ => self.binaries.attach_floor(tier)?,
            };
            let statistics = Statistics::enable()?;
            let loaded = saturate(&server, duration, rate, || {})?;
            let programs = programs_of(attached.pid())?;
            drop(statistics);
            attached.stop()?;
            ran.push(Ran { programs, requests: loaded.answer.requests });
        }
        server.stop()?;
        let agent = ran.pop().unwrap_or(Ran { programs: Vec::new(), requests: 0 });
        let floor = ran.pop().unwrap_or(Ran { programs: Vec::new(), requests: 0 });
        ensure!(!agent.programs.is_empty(), "the kernel shows no program of the agent");
        Ok(Programs { kind, tier, floor, agent })
    }

    /// Waits until others use little of the machine and trace nothing, as long as there is patience.
    pub fn wait_for_quiet(&self) {
        let start = Instant::now();
        while (usage::busy_share(Duration::from_millis(400)) > NOISE
            || bpf::others(None).is_ok_and(|many| many > 0))
            && start.elapsed() < self.patience.get()
            && !process::stop_requested()
        {}
        self.patience.set(self.patience.get().saturating_sub(start.elapsed()));
    }
}

/// Two seconds of load; requests a second.
fn warm_up(server: &Server) -> Result<f64> {
    Ok(saturate(server, Duration::from_secs(2), 30_000.0, || {})?.answer.rate)
}

/// The greatest share of the machine that others used in a phase.
pub fn noise(round: &Round) -> f64 {
    round.iter().map(|(_, phase)| phase.others).fold(0.0, f64::max)
}

/// Whether others traced in any phase.
pub fn is_shared(round: &Round) -> bool {
    round.iter().any(|(_, phase)| phase.other_programs > 0)
}

fn tell(kind: Kind, tier: Tier, with: With, phase: &Phase) {
    let lost = match &phase.ended {
        // Each request should become two spans, the client's and the server's, both being on this machine.
        Some(super::agent::Ended { told: Some(told), .. }) => {
            format!(", spans lost {}", told.lost_spans(2 * phase.answer.requests))
        }
        _ => String::new(),
    };
    let shared = if phase.other_programs > 0 { ", others trace too" } else { "" };
    println!(
        "     {:<11} {:<18} {:<8} {:>7.0}/s  p99 {:>6.0} µs  CPU µs a request: server {:>5.2} agent {:>5.2}  others {:>2.0} %{lost}{shared}",
        kind.name(),
        tier.name(),
        with.name(),
        phase.answer.rate,
        phase.answer.p99,
        phase.a_request(phase.server_cpu),
        phase.a_request(phase.agent_cpu),
        phase.others * 100.0,
    );
}
