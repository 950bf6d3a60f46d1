//! `cargo xtask bench-protocols`: how many exchanges a second each parser makes of recorded conversations, for the table in
//! `docs/protocols.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{self, Output};
use crate::{paths, progress};

#[derive(clap::Args)]
pub struct Args {
    /// Seconds of measuring for each conversation
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

const BEGIN: &str = "<!-- speed: written by cargo xtask bench-protocols -->\n";
const END: &str = "<!-- end of speed -->";

pub fn main(args: &Args) -> Result<()> {
    progress::headline("bench of protocols");
    let mut cargo = process::cargo();
    cargo.args(["bench", "--package", "remora", "--bench", "protocols", "--", "--noplot"]);
    cargo.args(["--warm-up-time", "0.3", "--measurement-time", &args.seconds.to_string()]);
    process::run(&mut cargo, &Output::Shown)?;
    let page = paths::root().join("docs/protocols.md");
    let text = fs::read_to_string(&page)?;
    let begin = text.find(BEGIN).context("docs/protocols.md has no place for the table")? + BEGIN.len();
    let end = text.find(END).context("docs/protocols.md has no end of the table")?;
    fs::write(&page, format!("{}{}{}", &text[..begin], table()?, &text[end..]))?;
    println!("\nWritten to docs/protocols.md.");
    Ok(())
}

/// A row a conversation, out of what criterion left.
fn table() -> Result<String> {
    let folder = paths::target().join("criterion/protocols");
    let mut rows = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{} is missing", folder.display()))? {
        let path = entry?.path();
        let read = |file: &str| -> Option<Value> {
            serde_json::from_str(&fs::read_to_string(path.join("new").join(file)).ok()?).ok()
        };
        let (Some(benchmark), Some(estimates)) = (read("benchmark.json"), read("estimates.json")) else {
            continue;
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // One that was renamed since has left its results.
        let conversation = paths::root().join("agent/conversations").join(format!("{name}.txt"));
        let exchanges = benchmark["throughput"]["Elements"].as_f64();
        let nanoseconds = estimates["median"]["point_estimate"].as_f64();
        if let (Some(exchanges), Some(nanoseconds), true) = (exchanges, nanoseconds, conversation.exists()) {
            rows.insert(name, (exchanges, nanoseconds));
        }
    }
    let mut table = String::from(
        "| conversation | exchanges in it | microseconds | million exchanges a second |\n|---|---|---|---|\n",
    );
    for (name, (exchanges, nanoseconds)) in rows {
        let a_second = exchanges / nanoseconds * 1e9;
        let _ = writeln!(
            table,
            "| {name} | {exchanges} | {:.1} | {:.0},000 |",
            nanoseconds / 1e3,
            a_second / 1e3
        );
    }
    Ok(table)
}
