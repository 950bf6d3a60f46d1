//! The end-to-end tests: where their programs are, and which of them are run in a guest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::job::{Test, Tier};
use crate::process::{self, Output};
use crate::{paths, progress};

const PACKAGE: &str = "remora-tests";

/// Tests that emulation makes too slow, or that measure it rather than the agent: `target::name`, or a whole target.
/// Only `--all` runs them.
const NOT_EMULATED: &[&str] = &["protocols", "export"];

/// What `cargo xtask test` runs on one other kernel: a little of everything that depends on the tier, and quick.
const SHORT: &[&str] = &[
    "broken::body_cut_off",
    "broken::connection_reset",
    "connections::agent_comes_within_a_download",
    "connections::turns_of_an_unknown_protocol",
    "http::heads_of_all_sizes",
    "lifecycle::leaves_nothing_attached",
    "servers::nginx_serves_files",
    "syscalls::every_way_over_ipv6",
    "syscalls::every_way_over_unix_sockets",
];

/// Which tests are wanted.
pub struct Choice<'a> {
    /// In these tiers only; none: in all.
    pub tiers: &'a [Tier],
    /// Those whose title holds this text only.
    pub filter: Option<&'a str>,
    /// How many of them.
    pub extent: Extent,
}

/// How many tests are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// [`SHORT`]
    Short,
    /// All that are fit for emulation.
    Fit,
    /// All.
    All,
}

impl Choice<'_> {
    /// Whether a test is wanted.
    fn takes(&self, test: &Test) -> bool {
        let title = test.title();
        let listed = |list: &[&str]| list.iter().any(|entry| title == *entry || test.target == *entry);
        let of_tier = self.tiers.is_empty() || test.tier.is_some_and(|tier| self.tiers.contains(&tier));
        let extent = match self.extent {
            Extent::Short => listed(SHORT),
            Extent::Fit => !listed(NOT_EMULATED),
            Extent::All => true,
        };
        of_tier && extent && self.filter.is_none_or(|filter| title.contains(filter))
    }

    /// Whether all tests of a kernel are run, so that the table of it can be written anew.
    pub fn is_complete(&self) -> bool {
        self.tiers.is_empty() && self.filter.is_none() && self.extent != Extent::Short
    }
}

/// Builds the end-to-end tests and what they run, and returns those that are wanted.
pub fn choose(choice: &Choice<'_>) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for (target, program) in build()? {
        let listed = process::output_of(process::command(&program).arg("--list"))?;
        tests.extend(read_list(&target, &program, &listed).filter(|test| choice.takes(test)));
    }
    ensure!(!tests.is_empty(), "no test fits");
    Ok(tests)
}

/// The name and the program of each test target.
fn build() -> Result<Vec<(String, PathBuf)>> {
    progress::doing("building the end-to-end tests");
    let log = process::fresh(&paths::logs().join("vm-build.log"))?;
    let mut cargo = process::cargo();
    cargo.args(["test", "--no-run", "--package", PACKAGE, "--message-format=json-render-diagnostics"]);
    process::run(&mut cargo, &Output::Log(&log))?;
    let mut programs = read_artifacts(&fs::read_to_string(&log)?);
    programs.sort();
    ensure!(!programs.is_empty(), "cargo built no tests");
    prebuilt()?;
    Ok(programs)
}

/// Where the Go workload lies for the guest, which would take minutes to build it.
pub fn go_program() -> PathBuf {
    paths::cache().join("vm").join("go-http")
}

fn prebuilt() -> Result<()> {
    if paths::which("go").is_none() {
        return Ok(());
    }
    let mut go = process::command("go");
    go.args(["build", "-o"]).arg(go_program()).arg(".");
    go.current_dir(paths::root().join("tests/workloads/go"));
    go.env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local");
    process::run(&mut go, &Output::Log(&paths::logs().join("vm-build.log"))).context("the Go workload")
}

/// The test programs among cargo's messages.
fn read_artifacts(messages: &str) -> Vec<(String, PathBuf)> {
    let read = |line: &str| -> Option<(String, PathBuf)> {
        let message: Value = serde_json::from_str(line).ok()?;
        let target = &message["target"];
        let is_test = target["kind"].as_array()?.iter().any(|kind| kind == "test");
        let program = message["executable"].as_str()?;
        is_test.then(|| (target["name"].as_str().unwrap_or_default().to_owned(), program.into()))
    };
    messages.lines().filter(|line| line.starts_with('{')).filter_map(read).collect()
}

/// The tests out of what a test program lists: `fentry::unix_sockets: test`.
fn read_list(target: &str, program: &Path, listed: &str) -> impl Iterator<Item = Test> {
    listed.lines().filter_map(|line| line.strip_suffix(": test")).map(move |name| Test {
        target: target.to_owned(),
        program: program.to_owned(),
        name: name.to_owned(),
        tier: Tier::of_test(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_found_among_cargos_messages() {
        let messages = r#"$ cargo test
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"exchange"},"executable":"/t/exchange"}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"http"},"executable":"/t/http-1"}
{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"remora_tests"},"executable":null}
   Compiling remora-tests
{"reason":"build-finished","success":true}
"#;
        assert_eq!(read_artifacts(messages), [("http".to_owned(), PathBuf::from("/t/http-1"))]);
    }

    #[test]
    fn a_choice_goes_by_tier_and_by_name() {
        let listed = "fentry::a: test\nkprobe::a: test\nplain: test\n\n3 tests, 0 benchmarks\n";
        let tests: Vec<Test> = read_list("http", Path::new("/t/http-1"), listed).collect();
        assert_eq!(tests.len(), 3);
        assert_eq!((tests[1].tier, tests[2].tier), (Some(Tier::Kprobe), None));
        let names = |choice: &Choice<'_>| -> Vec<&str> {
            tests.iter().filter(|test| choice.takes(test)).map(|test| test.name.as_str()).collect()
        };
        let all = Choice { tiers: &[], filter: None, extent: Extent::Fit };
        assert_eq!(names(&all), ["fentry::a", "kprobe::a", "plain"]);
        assert!(all.is_complete());
        let kprobe = Choice { tiers: &[Tier::Kprobe], filter: None, extent: Extent::Fit };
        assert_eq!(names(&kprobe), ["kprobe::a"]);
        let named = Choice { tiers: &[], filter: Some("http::pl"), extent: Extent::Fit };
        assert_eq!(names(&named), ["plain"]);
        assert!(!kprobe.is_complete() && !named.is_complete());
        assert!(names(&Choice { tiers: &[], filter: None, extent: Extent::Short }).is_empty());
    }
}
