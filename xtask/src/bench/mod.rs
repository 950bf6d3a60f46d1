//! `cargo xtask bench`: what the agent costs, and how much it can take.
//!
//! Saturated servers without the agent, with empty programs on its hooks (the floor), with the agent exporting, and with
//! it detached again; a steady load; and the way of the data from a recorded file. What came out goes to
//! `docs/benchmarks.md`.

mod agent;
mod bpf;
mod load;
mod network;
mod phase;
mod rate;
mod replay;
mod report;
mod rounds;
mod server;
mod sink;
mod usage;

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{self, Output};
use crate::setup::{self, Scope};
use crate::{paths, progress};
use agent::{Binaries, Tier};
use report::Results;
use rounds::{Bench, Plan};
use server::Kind;
use sink::Sink;

#[derive(clap::Args)]
pub struct Args {
    /// A short form of about a minute, with one tier unless told which; docs/benchmarks.md stays as it is
    #[arg(long)]
    quick: bool,
    /// Seconds of each phase
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: Option<u64>,
    /// Rounds of each comparison
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: Option<u32>,
    /// This tier only
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    /// This part only
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Measure the `remora` and `remora-floor` in this directory instead of building them
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// nginx, a small static file
    Nginx,
    /// Go's net/http
    Go,
    /// redis: small messages of a protocol that the agent does not speak
    Redis,
    /// 20,000 requests a second to nginx
    Rate,
    /// A recording of real load
    Replay,
}

/// Requests a second of the steady load.
const RATE: u32 = 20_000;

pub fn main(args: &Args) -> Result<()> {
    let start = Instant::now();
    progress::headline("setup");
    let binaries = prepare(args)?;
    // From here on no thread but this one exists, and what it starts shares its network.
    network::own_namespace()?;
    let sink = Sink::start()?;
    let dir = Folder::make()?;
    let binaries = Binaries::copy(&binaries, &dir.0, format!("http://{}", sink.address))?;

    let plan = plan(args);
    let patience = Cell::new(plan.patience);
    let bench = Bench { plan, binaries: &binaries, sink: &sink, dir: &dir.0, patience };
    let results = work(args, &bench)?;

    progress::headline("results");
    let report = report::write(&results);
    let is_whole = !args.quick && args.only.is_none() && args.tier.is_none();
    let path = if is_whole {
        paths::root().join("docs").join("benchmarks.md")
    } else {
        println!("{report}");
        paths::cache().join("bench").join("report.md")
    };
    std::fs::write(&path, report).with_context(|| format!("cannot write {}", path.display()))?;
    println!("Written to {} ({}).", path.display(), progress::seconds(start.elapsed()));
    Ok(())
}

/// Builds or finds what is measured and checks that the tools are there; the directory of the binaries.
fn prepare(args: &Args) -> Result<PathBuf> {
    if args.binaries.is_none() {
        setup::run(Scope::Demo)?;
    }
    for (program, package) in [
        ("wrk", "wrk"),
        ("redis-server", "redis-server"),
        ("redis-benchmark", "redis-tools"),
        ("bpftool", "bpftool"),
    ] {
        ensure!(
            paths::which(program).is_some(),
            "{program} is missing; on Debian it comes with: apt-get install {package}"
        );
    }
    std::fs::create_dir_all(paths::cache().join("bench"))?;
    std::fs::create_dir_all(paths::logs())?;
    let began = Instant::now();
    server::build_go()?;
    progress::done("Go server", "built", began);
    if let Some(dir) = &args.binaries {
        return dir.canonicalize().with_context(|| format!("no directory {}", dir.display()));
    }
    let began = Instant::now();
    progress::doing("cargo build --release --package remora (a few minutes the first time)");
    let log = process::fresh(&paths::logs().join("build-agent.log"))?;
    process::run(process::cargo().args(["build", "--release", "--package", "remora"]), &Output::Log(&log))?;
    progress::done("agent", "built", began);
    Ok(paths::release("remora").parent().map(PathBuf::from).unwrap_or_default())
}

fn plan(args: &Args) -> Plan {
    let (seconds, rounds, again, patience) = if args.quick { (1, 1, 0, 5) } else { (4, 7, 2, 900) };
    Plan {
        duration: Duration::from_secs(args.seconds.unwrap_or(seconds)),
        rounds: args.rounds.unwrap_or(rounds),
        again,
        patience: Duration::from_secs(patience),
    }
}

fn work(args: &Args, bench: &Bench<'_>) -> Result<Results> {
    let wants = |part| args.only.is_none_or(|only| only == part);
    // The short form takes the tier that the agent itself would take here.
    let only = args.tier.or(args.quick.then_some(Tier::SocketTracepoint));
    let tiers = || Tier::ALL.into_iter().filter(move |tier| only.is_none_or(|only| only == *tier));
    let mut results = Results::new(bench.plan)?;
    for kind in Kind::ALL {
        let part = match kind {
            Kind::Nginx => Part::Nginx,
            Kind::Go => Part::Go,
            Kind::Redis => Part::Redis,
        };
        if !wants(part) {
            continue;
        }
        for tier in tiers() {
            progress::headline(&format!("{} under full load, {}", kind.name(), tier.name()));
            results.saturated.push(bench.saturated(kind, tier)?);
            results.programs.push(bench.programs(kind, tier)?);
        }
    }
    if wants(Part::Rate) {
        for tier in tiers() {
            progress::headline(&format!("{RATE} requests a second, {}", tier.name()));
            results.steady.push((RATE, bench.steady(Kind::Nginx, tier, RATE)?));
        }
    }
    if wants(Part::Replay) {
        progress::headline("replay");
        results.replays = Some(bench.replays()?);
    }
    Ok(results)
}

/// A folder that goes with the run.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("remora-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
