//! `cargo xtask demo`: real servers that call each other, load on them, and Remora attached to all of it while it runs.
//!
//! The order matters and is part of what is shown: the application runs and is under load *before* the agent starts.

mod agent;
mod app;
mod http;
mod load;
mod otlp;
mod stats;
mod view;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, Output, Service};
use crate::setup::{self, Scope};
use crate::{paths, progress};
use agent::{Agent, Event};
use app::App;
pub use load::{Args as LoadArgs, main as load};
use stats::Stats;
use view::View;

#[derive(clap::Args)]
pub struct Args {
    /// End by itself after this many seconds of watching; without it, Ctrl-C ends the demo
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Requests a second that the load sends to the application
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,
    /// Spans shown a second at most (all are counted); 0 shows the summary only
    #[arg(long, default_value_t = 12)]
    lines: u32,
}

#[derive(clap::Args)]
pub struct ShopArgs {
    /// Put a load of this many requests a second on it; 0 for none
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=2_000))]
    rate: u32,
}

/// Until when the agent must have attached.
const ATTACH: Duration = Duration::from_secs(30);
/// After this long without a span there will be none.
const SILENCE: Duration = Duration::from_secs(20);
/// How long the agent may take to flush and end.
const END: Duration = Duration::from_secs(2);

pub fn main(args: &Args) -> Result<()> {
    progress::headline("setup");
    setup::run(Scope::Demo)?;
    progress::headline("build");
    app::build()?;
    build_agent()?;

    progress::headline("application");
    let mut app = App::start()?;
    app.describe();
    let mut load = start_load(app.edge, args.rate)?;
    process::pause(Duration::from_secs(1));
    app.check()?;
    load.check()?;
    println!("  ok load: {} requests a second", args.rate);

    progress::headline("Remora, on an application that already runs");
    let mut agent = Agent::start()?;
    let ready = agent.wait_ready(ATTACH)?;
    println!("  ok {ready}\n");

    let mut stats = Stats::default();
    let watched = watch(args, &mut agent, &mut app, &mut load, &mut stats);

    // First the load, so that every request has its answer; then the agent, while its servers still run; then those.
    load.stop(Duration::from_secs(5))?;
    thread::sleep(Duration::from_millis(300));
    let ended = agent.stop(END, &mut stats)?;
    app.stop()?;
    watched?;

    stats.print();
    println!("\nload: {}", progress::last_lines(&load.log, 1));
    if !ended.own_summary.is_empty() {
        println!("agent:\n{}", ended.own_summary.join("\n"));
    }
    stats.verdict()?;
    ensure!(ended.in_time, "the agent did not end within {END:?} of SIGTERM");
    ensure!(ended.status.success(), "the agent ended with {}: {}", ended.status, agent.last_words());
    Ok(())
}

/// Shows spans until the time is over or the user has seen enough.
fn watch(args: &Args, agent: &mut Agent, app: &mut App, load: &mut Service, stats: &mut Stats) -> Result<()> {
    let start = Instant::now();
    let mut view = View::new(args.lines);
    let end = args.seconds.map(|seconds| start + Duration::from_secs(seconds));
    while !process::stop_requested() && end.is_none_or(|end| Instant::now() < end) {
        match agent.next(Duration::from_millis(100)) {
            Some(Event::Span(span)) => {
                stats.add(&span);
                view.add(*span);
            }
            Some(Event::NotOtlp(line)) => stats.not_otlp(&line),
            Some(Event::Ready(_)) => {}
            None => {
                agent.check()?;
                app.check()?;
                load.check()?;
            }
        }
        view.tick();
        if stats.spans() == 0 && start.elapsed() > SILENCE {
            bail!("no span came in {} s: {}", SILENCE.as_secs(), agent.last_words());
        }
    }
    view.show();
    Ok(())
}

/// `cargo xtask shop`: the application without the agent.
pub fn shop(args: &ShopArgs) -> Result<()> {
    progress::headline("setup");
    setup::run(Scope::Demo)?;
    progress::headline("build");
    app::build()?;
    progress::headline("application");
    let mut app = App::start()?;
    app.describe();
    let mut load = (args.rate > 0).then(|| start_load(app.edge, args.rate)).transpose()?;
    println!("\nhttp://{}/ until Ctrl-C.", app.edge);
    while !process::stop_requested() {
        app.check()?;
        if let Some(load) = &mut load {
            load.check()?;
        }
        process::pause(Duration::from_secs(1));
    }
    if let Some(load) = &mut load {
        load.stop(Duration::from_secs(5))?;
        println!("\nload: {}", progress::last_lines(&load.log, 1));
    }
    app.stop()
}

fn build_agent() -> Result<()> {
    let start = Instant::now();
    progress::doing("cargo build --release --package remora (a few minutes the first time)");
    let log = paths::logs().join("build-agent.log");
    process::run(
        process::cargo().args(["build", "--release", "--package", "remora"]),
        &Output::Log(&process::fresh(&log)?),
    )?;
    progress::done("agent", &paths::release("remora").display().to_string(), start);
    Ok(())
}

/// The load is a process of its own: the client of the edge, and a service like the others. It has no end of its own.
fn start_load(edge: SocketAddr, rate: u32) -> Result<Service> {
    let this = std::env::current_exe().context("cannot find this program again")?;
    let mut command = process::command(this);
    command.args(["load", "--edge", &edge.to_string(), "--rate", &rate.to_string(), "--seconds", "86400"]);
    command.env("OTEL_SERVICE_NAME", "shop-load");
    Service::start("load", &mut command, paths::logs().join("shop-load.log"), false)
}
