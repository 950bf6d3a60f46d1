//! `remora`: the command line.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use remora::cli::{Cli, Command, CommonArgs};
use remora::config::{Config, LogLevel};
use remora::{doctor, inspect, pipeline};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match work(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // One sentence, with its causes.
            eprintln!("remora: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(command: Command) -> Result<ExitCode> {
    let env = |name: &str| std::env::var(name).ok();
    match command {
        Command::Run(args) => {
            let config = Config::load(&args, env)?;
            if print_config(&args.common, &config)? {
                return Ok(ExitCode::SUCCESS);
            }
            start_log(config.log.level);
            if config.disabled {
                return block_on(pipeline::idle(args.seconds));
            }
            block_on(pipeline::run(config, args.seconds))
        }
        Command::Record(args) => {
            let config = Config::load(&args, env)?;
            if print_config(&args.common, &config)? {
                return Ok(ExitCode::SUCCESS);
            }
            start_log(config.log.level);
            block_on(pipeline::record(config, &args.file, args.seconds))
        }
        Command::Replay(args) => {
            let config = Config::load(&args, env)?;
            if print_config(&args.common, &config)? {
                return Ok(ExitCode::SUCCESS);
            }
            start_log(config.log.level);
            block_on(pipeline::replay(config, &args.file))
        }
        Command::Inspect(args) => {
            start_log(LogLevel::Off);
            let report = inspect::examine(&inspect::Target::of(&args.target))?;
            if args.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print!("{report}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(args) => {
            start_log(LogLevel::Off);
            let report = doctor::examine();
            if args.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else if args.verbose {
                print!("{report:#}");
            } else {
                print!("{report}");
            }
            Ok(if report.can_run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Runs a command that needs the runtime.
fn block_on(work: impl Future<Output = Result<()>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(8)
        .thread_name("export")
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    let result = runtime.block_on(work);
    // A look-up of a name may hang in a thread that cannot be told to end.
    runtime.shutdown_timeout(Duration::from_millis(50));
    result.map(|()| ExitCode::SUCCESS)
}

fn print_config(args: &CommonArgs, config: &Config) -> Result<bool> {
    if args.print_config {
        print!("{}", config.to_yaml());
    }
    Ok(args.print_config)
}

/// The log goes to stderr; `RUST_LOG` can ask for more of a part than the configuration does.
fn start_log(level: LogLevel) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.as_str()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
