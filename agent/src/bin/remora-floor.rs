//! Attaches empty programs to the hooks of a tier, until SIGTERM: the floor that benchmarks compare the agent with.
//!
//! Not part of what users run; `cargo xtask bench` does.

use std::process::ExitCode;

use clap::Parser;
use remora::probes::{Choice, Settings, attach};

/// Attach empty programs to the agent's hooks.
#[derive(Parser)]
struct Arguments {
    /// Which hooks.
    #[arg(long, value_enum, default_value = "auto")]
    tier: Choice,
}

fn main() -> ExitCode {
    let Arguments { tier } = Arguments::parse();
    let settings = Settings {
        tier,
        ring_bytes: 4096,
        max_connections: 1024,
        namespace: None,
        iterators: false,
        sample_interval_ms: u64::MAX,
        floor: true,
    };
    match attach(&settings) {
        Ok(probes) => {
            eprintln!("ready tier={} hooks={}", probes.tier, probes.attached.len());
            // SAFETY: waits for a signal, whose default action ends the process and so detaches everything.
            unsafe { libc::pause() };
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("remora-floor: {error}");
            ExitCode::FAILURE
        }
    }
}
