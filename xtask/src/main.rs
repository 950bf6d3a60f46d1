//! All of Remora's automation: `cargo xtask setup | test | vm-test | demo | shop | bench | fuzz`.
//!
//! One module a command; what they share stands in [`process`] (children and signals), [`progress`] (what the user
//! sees while waiting) and [`paths`].

mod bench;
mod bench_protocols;
mod demo;
mod fuzz;
mod go_offsets;
mod paths;
mod process;
mod progress;
mod setup;
mod test;
mod vm;

use clap::{Parser, Subcommand};

/// Remora's automation.
#[derive(Parser)]
#[command(name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing to build, demonstrate and test Remora (idempotent; needs root only to install)
    Setup(setup::Args),
    /// Format, lints, unit tests, eBPF load and verifier, end-to-end tests
    Test(test::Args),
    /// Start the demo application under load, attach Remora to it and show spans as they come
    Demo(demo::Args),
    /// Start the demo application alone, until Ctrl-C
    Shop(demo::ShopArgs),
    /// Measure what the agent costs and how much it can take; write docs/benchmarks.md
    Bench(bench::Args),
    /// Measure how many exchanges a second each protocol's parser makes; write the table in docs/protocols.md
    BenchProtocols(bench_protocols::Args),
    /// Put a small, steady load on a running demo application
    Load(demo::LoadArgs),
    /// Try the parsers with inputs that libFuzzer makes up
    Fuzz(fuzz::Args),
    /// Measure where each Go version's runtime keeps its goroutines' identity, for the symbolizer's table
    GoOffsets(go_offsets::Args),
    /// End-to-end tests on other kernels, under emulation; write docs/kernels.md
    VmTest(vm::Args),
    /// The main program of a guest of vm-test
    #[command(hide = true)]
    VmGuest(vm::GuestArgs),
}

fn main() {
    let cli = Cli::parse();
    process::handle_signals();
    let result = match cli.command {
        Command::Setup(args) => setup::main(&args),
        Command::Test(args) => test::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Shop(args) => demo::shop(&args),
        Command::Bench(args) => bench::main(&args),
        Command::BenchProtocols(args) => bench_protocols::main(&args),
        Command::Load(args) => demo::load(&args),
        Command::Fuzz(args) => fuzz::main(&args),
        Command::GoOffsets(args) => go_offsets::main(&args),
        Command::VmTest(args) => vm::main(&args),
        Command::VmGuest(args) => vm::guest(&args),
    };
    if let Err(error) = result {
        eprintln!("\nerror: {error:#}");
        std::process::exit(if process::stop_requested() { 130 } else { 1 });
    }
}
