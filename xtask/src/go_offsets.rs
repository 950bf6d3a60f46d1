//! `cargo xtask go-offsets`: measures where Go's structures keep what Remora has to read, version by version.
//!
//! Every tool chain comes through the Go module proxy with the ordinary client, builds a program for both
//! supported machines, and is deleted. The programs' DWARF becomes symbolizer/src/go/offsets.txt; which fields are
//! looked for stands in symbolizer/src/go/fields.rs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process::{Output, output_of, run, stop_requested};
use crate::progress::{done, headline, skipped};
use crate::{paths, process};

/// On x86-64, Go keeps `g` in a register since this minor version.
const FIRST_MINOR: u32 = 17;
const MACHINES: [&str; 2] = ["amd64", "arm64"];
/// Has in it all that is measured: HTTP/1 and HTTP/2, client and server, over TLS.
const MAIN: &str = r#"package main

import (
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		http.ListenAndServeTLS(os.Args[1], "certificate", "key", nil)
	}
	http.Get("https://localhost/")
}
"#;
const MODULE: &str = "module example.com/measured\n\ngo 1.17\n";

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// Measure everything again and forget what the table says: for when there are fields more
    #[arg(long)]
    all: bool,
    /// Only these versions, as in 1.27.4; default: the first and last release of each minor version
    #[arg(value_name = "VERSION")]
    versions: Vec<String>,
}

/// Where all of this happens; deleted at the end.
struct Workshop {
    dir: PathBuf,
    /// The user's settings of the module proxy, which `GOENV=off` would hide.
    settings: Vec<(&'static str, String)>,
}

/// Entry point of the subcommand.
pub fn main(args: &Args) -> Result<()> {
    headline("Go offsets");
    let table = paths::root().join("symbolizer/src/go/offsets.txt");
    let text = fs::read_to_string(&table).with_context(|| format!("cannot read {}", table.display()))?;
    let workshop = Workshop::new()?;
    let mut wanted = if args.versions.is_empty() { workshop.pick()? } else { explicit(&args.versions) };
    if !args.all {
        let known = measured(&text);
        wanted.retain(|_, choices| !choices.first().is_some_and(|best| known.contains(best)));
    }
    let log = workshop.dir.join("go.log");
    let (mut binaries, mut missing) = (Vec::new(), Vec::new());
    for (name, choices) in &wanted {
        let start = Instant::now();
        let built = choices.iter().find_map(|version| Some((version, workshop.build(version, &log).ok()?)));
        workshop.clean();
        if stop_requested() {
            bail!("interrupted");
        }
        match built {
            Some((version, files)) => {
                binaries.extend(files.iter().map(|file| format!("{version}={}", file.display())));
                done(version, "built", start);
            }
            None => {
                skipped(name, "its tool chain is not to be had, or does not build here");
                missing.push(name.clone());
            }
        }
    }
    if binaries.is_empty() {
        println!("  nothing new to measure; the table stays as it is");
        return workshop.remove();
    }
    let mut render = process::cargo();
    render.args(["run", "--quiet", "--package", "remora-symbolizer", "--example", "go_table", "--"]);
    // What was measured before fields were added says nothing of these.
    let known = if args.all { Path::new("/dev/null") } else { &table };
    let body = output_of(render.arg(known).args(&binaries))?;
    fs::write(&table, format!("{}{body}\n", header(&missing)))?;
    println!("\n{body}\n\n  written: {}", table.display());
    workshop.remove()
}

fn explicit(versions: &[String]) -> BTreeMap<String, Vec<String>> {
    versions.iter().map(|v| (v.clone(), vec![v.clone()])).collect()
}

/// The versions on the lines of the table that begin with `measured`.
fn measured(table: &str) -> BTreeSet<String> {
    let lines = table.lines().filter_map(|line| line.strip_prefix("measured "));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn header(missing: &[String]) -> String {
    let missing = match missing {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    format!(
        "# Offsets in Go's structures, bytes. Written by `cargo xtask go-offsets`, do not edit.\n\
         #\n\
         # \"measured\": the versions whose tool chain built a program for linux/amd64 and linux/arm64, from whose\n\
         # DWARF the values come; they are the same on both. What is not listed there is untested. The other\n\
         # lines: a measured version, a structure, and what is new about its fields since the version before (\"-\":\n\
         # there is no such field any more).\n\
         #\n\
         # Asked for in the last run and not to be had: {missing}.\n\n"
    )
}

impl Workshop {
    fn new() -> Result<Self> {
        let dir = paths::cache().join("go-offsets");
        fs::create_dir_all(dir.join("program"))?;
        fs::write(dir.join("program/main.go"), MAIN)?;
        fs::write(dir.join("program/go.mod"), MODULE)?;
        let names = ["GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE"];
        let values = output_of(process::command("go").arg("env").args(names))
            .context("this needs Go 1.21 or newer on PATH")?;
        let settings = names.into_iter().zip(values.lines().map(str::to_owned)).collect();
        Ok(Self { dir, settings })
    }

    /// The ordinary `go`, as `toolchain`, undisturbed by the user's other settings, all it fetches in our folder.
    fn go(&self, toolchain: &str) -> Command {
        let mut go = process::command("go");
        go.current_dir(self.dir.join("program"))
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .env("GOENV", "off")
            .env("GOFLAGS", "")
            .env("GOTOOLCHAIN", toolchain)
            .env("GOMODCACHE", self.dir.join("mod"))
            .env("GOCACHE", self.dir.join("build"))
            .env("GOOS", "linux")
            .env("CGO_ENABLED", "0");
        go
    }

    /// For each minor version its first and its last release, and the newest candidate of one to come; by name
    /// the versions that would do, best first.
    fn pick(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let list = output_of(self.go("local").args(["list", "-m", "-versions", "go"]))?;
        Ok(choose(list.split_whitespace().skip(1)))
    }

    fn build(&self, version: &str, log: &Path) -> Result<Vec<PathBuf>> {
        MACHINES
            .into_iter()
            .map(|machine| {
                let file = self.dir.join(format!("{version}-{machine}"));
                let mut go = self.go(&format!("go{version}"));
                run(
                    go.env("GOARCH", machine).arg("build").arg("-o").arg(&file).arg("."),
                    &Output::Quiet(log),
                )?;
                Ok(file)
            })
            .collect()
    }

    /// Deletes the tool chain and what it compiled: 300 MB each.
    fn clean(&self) {
        let cleaned = output_of(self.go("local").args(["clean", "-cache", "-modcache"]));
        if let Err(error) = cleaned {
            eprintln!("  cannot clean up: {error:#}");
        }
    }

    fn remove(&self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.dir)?)
    }
}

/// A version in parts: minor, patch, and whether it is a release.
fn parts(version: &str) -> Option<(u32, u32, bool)> {
    let rest = version.strip_prefix("1.")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (minor, rest) = (rest[..end].parse().ok()?, &rest[end..]);
    match rest.strip_prefix('.') {
        Some(patch) => Some((minor, patch.parse().ok()?, true)),
        None => Some((minor, 0, rest.is_empty())),
    }
}

fn choose<'a>(listed: impl Iterator<Item = &'a str>) -> BTreeMap<String, Vec<String>> {
    let mut releases = BTreeMap::<u32, BTreeMap<u32, &str>>::new();
    let mut candidates = BTreeMap::<u32, &str>::new();
    for version in listed {
        match parts(version) {
            Some((minor, patch, true)) if minor >= FIRST_MINOR => {
                releases.entry(minor).or_default().insert(patch, version);
            }
            Some((minor, _, false)) if minor >= FIRST_MINOR => {
                candidates.insert(minor, version);
            }
            _ => {}
        }
    }
    let mut chosen = BTreeMap::new();
    for (&minor, patches) in &releases {
        // Lists of a mirror can lack versions which it has.
        let first = if minor >= 21 { format!("1.{minor}.0") } else { format!("1.{minor}") };
        let mut ascending: Vec<_> =
            std::iter::once(first).chain(patches.values().map(|v| (*v).to_owned())).collect();
        ascending.dedup();
        chosen.insert(format!("first of 1.{minor}"), ascending.iter().take(2).cloned().collect());
        ascending.reverse();
        chosen.insert(format!("last of 1.{minor}"), ascending.into_iter().take(2).collect());
    }
    if let Some((&minor, version)) = candidates.last_key_value()
        && !releases.contains_key(&minor)
    {
        chosen.insert(format!("candidate of 1.{minor}"), vec![(*version).to_owned()]);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_of_each_minor_version_are_chosen() {
        let listed = "1.16.3 1.17.1 1.17.13 1.18beta1 1.18 1.18.10 1.27.0 1.27.3 1.27.4 1.28rc1 1.28rc2";
        let chosen = choose(listed.split(' '));
        let of = |name: &str| chosen[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("first of 1.17"), ["1.17", "1.17.1"]);
        assert_eq!(of("last of 1.17"), ["1.17.13", "1.17.1"]);
        assert_eq!(of("first of 1.18"), ["1.18", "1.18.10"]);
        assert_eq!(of("last of 1.27"), ["1.27.4", "1.27.3"]);
        assert_eq!(of("candidate of 1.28"), ["1.28rc2"]);
        assert_eq!(chosen.len(), 7);
    }

    #[test]
    fn what_is_measured_already_is_known() {
        let known = measured("# measured 1.1\nmeasured 1.17 1.17.13\n1.17 goid=152\nmeasured 1.18\n");
        assert_eq!(known.iter().map(String::as_str).collect::<Vec<_>>(), ["1.17", "1.17.13", "1.18"]);
    }
}
