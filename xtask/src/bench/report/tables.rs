//! The tables of figures.

use super::numbers::{Values, count, number, percent, table};
use super::{computed_loss, phase, seen_loss};
use crate::bench::agent::Told;
use crate::bench::bpf::{Program, Ran};
use crate::bench::phase::{Phase, With};
use crate::bench::replay::Replays;
use crate::bench::rounds::{Compared, Programs};

/// All phases of a server and a tier beside each other.
pub fn compared(compared: &Compared, withs: &[With]) -> String {
    let values = |with, measure: &dyn Fn(&Phase) -> f64| {
        Values::new(compared.rounds.iter().filter_map(|round| phase(round, with)).map(measure))
    };
    let row = |name: &str, measure: &dyn Fn(&Phase) -> f64| {
        let cells = withs.iter().map(|&with| values(with, measure).spread(number));
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let only_attached = |name: &str, losses: &dyn Fn(With) -> Values| {
        let cells = withs.iter().map(|&with| match with {
            With::Floor | With::Agent => losses(with).spread(percent),
            With::Nothing | With::Detached => String::new(),
        });
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let mut rows = vec![row("requests a second", &|phase| phase.answer.rate)];
    if withs.contains(&With::Floor) {
        rows.push(only_attached("loss of throughput", &|with| seen_loss(compared, with)));
        rows.push(only_attached("loss by processor time", &|with| computed_loss(compared, with)));
    }
    rows.push(row("p50, µs", &|phase| phase.answer.p50));
    rows.push(row("p99, µs", &|phase| phase.answer.p99));
    rows.push(row("server, CPU µs a request", &|phase| phase.a_request(phase.server_cpu)));
    rows.push(row("client, CPU µs a request", &|phase| phase.a_request(phase.client_cpu)));
    rows.push(row("agent, CPU µs a request", &|phase| phase.a_request(phase.agent_cpu)));
    rows.push(row("receiver, CPU µs a request", &|phase| phase.a_request(phase.receiver_cpu)));
    let head: Vec<&str> = std::iter::once("").chain(withs.iter().map(|with| with.name())).collect();
    let mut text = format!("\n### {}, {}\n\n", compared.kind.name(), compared.tier.name());
    text.push_str(&table(&head, &rows));
    text.push_str(&coverage(compared));
    text
}

/// What the agent saw, exported and lost in all rounds.
fn coverage(compared: &Compared) -> String {
    let told: Vec<(u64, &Told)> = compared
        .rounds
        .iter()
        .filter_map(|round| phase(round, With::Agent))
        .filter_map(|phase| Some((phase.answer.requests, phase.ended.as_ref()?.told.as_ref()?)))
        .collect();
    let sum = |of: &dyn Fn(&Told) -> u64| told.iter().map(|(_, told)| of(told)).sum::<u64>();
    let requests = told.iter().map(|(requests, _)| requests).sum::<u64>();
    let segments = sum(&|told| told.segments);
    let mut text = format!(
        "\nThe agent saw {} requests as {} segments ({} a request) and copied {} of {} bytes",
        count(requests),
        count(segments),
        number(segments as f64 / requests.max(1) as f64),
        count(sum(&|told| told.copied)),
        count(sum(&|told| told.bytes)),
    );
    let lost: u64 = told.iter().map(|(requests, told)| told.lost_spans(2 * requests)).sum();
    let exported = sum(&|told| told.exported);
    let bytes: u64 = compared
        .rounds
        .iter()
        .filter_map(|round| phase(round, With::Agent))
        .map(|phase| phase.exported_bytes)
        .sum();
    text.push_str(&format!(
        "; {} spans were exported, {} bytes each, and {} are missing",
        count(exported),
        count(bytes / exported.max(1)),
        count(lost)
    ));
    let mut losses: Vec<(String, u64)> = Vec::new();
    for (name, value) in told.iter().flat_map(|(_, told)| &told.losses) {
        match losses.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += value,
            None => losses.push((name.clone(), *value)),
        }
    }
    let losses: Vec<String> =
        losses.iter().map(|(name, value)| format!("`{name}` {}", count(*value))).collect();
    if losses.is_empty() {
        text.push_str(". No counter of a loss moved.\n");
    } else {
        text.push_str(&format!(". Counters of what was not covered: {}.\n", losses.join(", ")));
    }
    text
}

/// Each program of the agent beside the floor's.
pub fn programs(all: &[Programs]) -> String {
    let mut rows = Vec::new();
    for ran in all {
        let mut names: Vec<&str> = ran.agent.programs.iter().map(|program| program.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let (floor, agent) = (sum(&ran.floor, name), sum(&ran.agent, name));
            let a_request = |ran: &Ran, program: &Program| program.runs as f64 / ran.requests.max(1) as f64;
            if a_request(&ran.agent, &agent) < 0.01 {
                continue;
            }
            rows.push(vec![
                ran.kind.name().to_owned(),
                ran.tier.name().to_owned(),
                format!("`{name}`"),
                number(a_request(&ran.agent, &agent)),
                number(agent.mean()),
                number(floor.mean()),
            ]);
        }
        rows.push(vec![
            ran.kind.name().to_owned(),
            ran.tier.name().to_owned(),
            "all".to_owned(),
            String::new(),
            format!("{} a request", number(ran.agent.a_request().as_nanos() as f64)),
            format!("{} a request", number(ran.floor.a_request().as_nanos() as f64)),
        ]);
    }
    table(&["server", "tier", "program", "runs a request", "agent, ns a run", "floor, ns a run"], &rows)
}

/// All programs of one name: one program on several hooks is loaded once or more often.
fn sum(ran: &Ran, name: &str) -> Program {
    let mut sum = Program { id: 0, kind: String::new(), name: name.to_owned(), nanoseconds: 0, runs: 0 };
    for program in ran.programs.iter().filter(|program| program.name == name) {
        sum.nanoseconds += program.nanoseconds;
        sum.runs += program.runs;
    }
    sum
}

/// What stands above the table of a steady load.
pub fn steady_text(rate: u32, compared: &Compared) -> String {
    format!(
        "{} gets {} requests a second from a client that sends on time whatever the answers do; latencies count from \
        the moment when a request was due (requests become due every half millisecond, ten at once).\n",
        compared.kind.name(),
        count(u64::from(rate))
    )
}

pub fn replays(replays: &Replays) -> String {
    let rows: Vec<Vec<String>> = replays
        .of
        .iter()
        .map(|(export, all)| {
            let of = |measure: &dyn Fn(&super::super::replay::Replayed) -> f64| {
                Values::new(all.iter().map(measure))
            };
            vec![
                export.name().to_owned(),
                of(&|one| one.records as f64 / one.wall.as_secs_f64()).spread(number),
                of(&|one| one.records as f64 / one.cpu.as_secs_f64()).spread(number),
                of(&|one| one.cpu.as_secs_f64() * 1e9 / one.records as f64).spread(number),
            ]
        })
        .collect();
    let records = replays.of.first().and_then(|(_, all)| all.first()).map_or(0, |one| one.records);
    let losses = match replays.recorded.as_ref().map(|told| told.losses.as_slice()) {
        Some([]) => "nothing was lost while recording".to_owned(),
        Some(losses) => {
            let each: Vec<String> = losses.iter().map(|(name, value)| format!("{name} {value}")).collect();
            format!("while recording: {}", each.join(", "))
        }
        None => "the recorder did not say what it lost".to_owned(),
    };
    format!(
        "{} requests to a saturated nginx, recorded by `remora record`: {} records, {} MB; {losses}. Replayed with \
        `--shards 1`: one thread reads the file, rebuilds streams, parses and makes spans; another encodes and sends.\n\n{}",
        count(replays.requests),
        count(records),
        number(replays.file_bytes as f64 / 1e6),
        table(
            &["export to", "records a second", "records a second of CPU, all threads", "CPU ns a record"],
            &rows
        )
    )
}
