//! The aims, and what was reached.

use super::numbers::{Values, count, number, percent, table};
use super::{Results, after_before, computed_loss, phase, seen_loss};
use crate::bench::phase::{Phase, With};
use crate::bench::replay::Export;
use crate::bench::rounds::Compared;

/// Resident memory that the agent may use, in KiB: 60 MB.
const MEMORY: f64 = 60e6 / 1024.0;
/// Microseconds of the agent's processor time a request.
const TIME: f64 = 10.0;
/// Records a second and processor.
const RECORDS: f64 = 1e6;
/// A difference that is taken for none.
const SAME: f64 = 0.03;

struct Aim {
    what: &'static str,
    rows: Vec<(String, bool)>,
}

pub fn section(results: &Results) -> String {
    let rows: Vec<Vec<String>> = [loss, detached, uprobes, memory, lost, time, replay]
        .iter()
        .flat_map(|aim| {
            let Aim { what, rows } = aim(results);
            rows.into_iter().enumerate().map(move |(at, (measured, reached))| {
                vec![
                    if at == 0 { what.to_owned() } else { String::new() },
                    measured,
                    if reached { "reached" } else { "**not reached**" }.to_owned(),
                ]
            })
        })
        .collect();
    table(&["aim", "measured", ""], &rows)
}

fn name(compared: &Compared) -> String {
    format!("{}, {}", compared.kind.name(), compared.tier.name())
}

fn loss(results: &Results) -> Aim {
    let rows = results.saturated.iter().map(|compared| {
        let of = |with| (seen_loss(compared, with).median(), computed_loss(compared, with).median());
        let (floor, agent) = (of(With::Floor), of(With::Agent));
        let text = format!(
            "{}: {} with the floor, {} with the agent (by processor time: {} and {})",
            name(compared),
            percent(floor.0),
            percent(agent.0),
            percent(floor.1),
            percent(agent.1)
        );
        // Both, lest noise in one of them count as success.
        (text, agent.0 <= 2.0 * floor.0.max(0.0) && agent.1 <= 2.0 * floor.1.max(0.0))
    });
    Aim { what: "throughput loss at saturation at most twice the floor's", rows: rows.collect() }
}

fn detached(results: &Results) -> Aim {
    let what = "detached equal to never attached";
    if results.saturated.is_empty() {
        return Aim { what, rows: Vec::new() };
    }
    // One round says little; all of them together say whether anything stays behind.
    let rate = after_before(results, |phase| phase.answer.rate);
    let cost = after_before(results, Phase::whole);
    let left: usize =
        results.compared().flat_map(|compared| &compared.rounds).flatten().map(|(_, phase)| phase.left).sum();
    let programs = if left == 0 {
        "no program was left loaded".to_owned()
    } else {
        format!("{left} programs were left")
    };
    let text = format!(
        "detached / without in all rounds: throughput {}, processor time a request {}; {programs}",
        rate.spread(number),
        cost.spread(number)
    );
    let is_same = |ratio: &Values| (ratio.median() - 1.0).abs() <= SAME;
    Aim { what, rows: vec![(text, left == 0 && is_same(&rate) && is_same(&cost))] }
}

fn uprobes(results: &Results) -> Aim {
    let mut rows = Vec::new();
    if !results.programs.is_empty() {
        let all: usize = results.programs.iter().map(|ran| ran.agent.programs.len()).sum();
        let uprobes: usize = results.programs.iter().map(|ran| ran.agent.uprobes()).sum();
        let text = if uprobes == 0 {
            format!(
                "0: none of the {all} programs that the kernel showed of the agent in these runs is a uprobe"
            )
        } else {
            format!("{uprobes} programs on uprobes are loaded")
        };
        rows.push((text, uprobes == 0));
    }
    Aim { what: "zero uprobe hits for plain HTTP", rows }
}

fn memory(results: &Results) -> Aim {
    let all: Vec<_> = results
        .compared()
        .flat_map(|compared| &compared.rounds)
        .filter_map(|round| phase(round, With::Agent)?.ended.as_ref())
        .map(|ended| ended.memory)
        .collect();
    let Some(most) = all.iter().max_by_key(|memory| memory.resident) else {
        return Aim { what: "memory", rows: Vec::new() };
    };
    let mb = |kib: u64| number(kib as f64 * 1024.0 / 1e6);
    let text = format!(
        "{} MB at most under load: {} MB of its own, {} MB of mapped files and kernel maps ({} MB for a moment at the start)",
        mb(most.resident),
        mb(most.anonymous),
        mb(most.mapped),
        mb(all.iter().map(|memory| memory.peak).max().unwrap_or(0)),
    );
    Aim { what: "resident memory under 60 MB", rows: vec![(text, (most.resident as f64) < MEMORY)] }
}

fn lost(results: &Results) -> Aim {
    let rows = results.steady.iter().map(|(rate, compared)| {
        let (mut expected, mut missing, mut counted) = (0, 0, Vec::new());
        for phase in compared.rounds.iter().filter_map(|round| phase(round, With::Agent)) {
            expected += 2 * phase.answer.requests;
            match phase.ended.as_ref().and_then(|ended| ended.told.as_ref()) {
                Some(told) => {
                    missing += told.lost_spans(2 * phase.answer.requests);
                    counted.extend(told.losses.iter().map(|(name, value)| format!("{name} {value}")));
                }
                None => missing += 2 * phase.answer.requests,
            }
        }
        let counters =
            if counted.is_empty() { "no counter of a loss moved".to_owned() } else { counted.join(", ") };
        let text = format!(
            "{} requests a second, {}: {} of {} spans missing; {counters}",
            count(u64::from(*rate)),
            compared.tier.name(),
            count(missing),
            count(expected)
        );
        (text, missing == 0 && counted.is_empty())
    });
    Aim { what: "nothing lost at 20,000 requests a second", rows: rows.collect() }
}

fn time(results: &Results) -> Aim {
    let cost = |compared: &Compared| {
        Values::new(
            compared
                .rounds
                .iter()
                .filter_map(|round| phase(round, With::Agent))
                .map(|phase| phase.a_request(phase.agent_cpu)),
        )
    };
    let steady = results.steady.iter().map(|(rate, compared)| {
        (format!("{} requests a second, {}", count(u64::from(*rate)), compared.tier.name()), cost(compared))
    });
    let saturated =
        results.saturated.iter().map(|compared| (format!("saturated {}", name(compared)), cost(compared)));
    let rows = steady.chain(saturated).map(|(name, cost)| {
        (format!("{name}: {} µs for a request's two spans", cost.spread(number)), cost.median() < TIME)
    });
    Aim { what: "agent's processor time under 10 µs a request", rows: rows.collect() }
}

fn replay(results: &Results) -> Aim {
    let rows = results.replays.iter().flat_map(|replays| &replays.of).map(|(export, all)| {
        let by_wall = Values::new(all.iter().map(|one| one.records as f64 / one.wall.as_secs_f64()));
        let by_cpu = Values::new(all.iter().map(|one| one.records as f64 / one.cpu.as_secs_f64()));
        // Without an exporter the shard is all there is; with one, its thread is a second.
        let best = if *export == Export::None { by_wall.most() } else { by_cpu.most() };
        let text = format!(
            "export to {}: {} a second with one shard, {} a second of processor time in all threads",
            export.name(),
            by_wall.spread(number),
            by_cpu.spread(number)
        );
        (text, best >= RECORDS)
    });
    Aim { what: "1 million segments a second and core in replay", rows: rows.collect() }
}
