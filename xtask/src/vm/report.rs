//! The tables in `docs/kernels.md`: written from results, a kernel's only by a run of all of that kernel's tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::job::{Ended, Tier, Verdict};
use super::run::Results;
use crate::{paths, process};

/// Around the table of all kernels, whose rows begin with a kernel's series.
const OVERVIEW: [&str; 2] =
    ["<!-- overview: rows written by cargo xtask vm-test -->\n", "<!-- end of overview -->"];

/// Before this, tables of kernels that are new to the page are put.
const END: &str = "<!-- end of kernels -->";

/// When and with what a run was made.
pub struct Occasion {
    /// `2026-11-23`
    pub date: String,
    /// The agent's version, and the commit of the tree.
    pub agent: String,
}

impl Occasion {
    /// Now, with the agent under test.
    pub fn now() -> Result<Self> {
        let date = process::output_of(process::command("date").args(["-u", "+%Y-%m-%d"]))?;
        let version = process::output_of(process::command(super::run::agent()).arg("--version"))?;
        let version = version.rsplit(' ').next().unwrap_or_default().to_owned();
        let commit = process::output_of(process::command("git").args(["describe", "--always", "--dirty"]));
        let agent = commit.map_or_else(|_| version.clone(), |commit| format!("{version} ({commit})"));
        Ok(Self { date, agent })
    }
}

/// Writes the results of kernels into the page.
pub fn write(all: &[Results], occasion: &Occasion) -> Result<()> {
    let path = paths::root().join("docs/kernels.md");
    let mut page = fs::read_to_string(&path)?;
    for results in all {
        page = with_kernel(&page, results, occasion)?;
    }
    Ok(fs::write(path, page)?)
}

/// The page with the tables of one kernel.
fn with_kernel(page: &str, results: &Results, occasion: &Occasion) -> Result<String> {
    let series = &results.kernel.series;
    let [begin, end] = OVERVIEW;
    let (before, rest) = page.split_once(begin).context("docs/kernels.md has no overview")?;
    let (overview, after) = rest.split_once(end).context("docs/kernels.md has no end of the overview")?;
    let overview = with_row(overview, series, &row(results, occasion));
    let page = format!("{before}{begin}{overview}{end}{after}");

    let (begin, end) = (
        format!("<!-- kernel {series}: written by cargo xtask vm-test -->\n"),
        format!("<!-- end of {series} -->\n"),
    );
    let block = format!("{begin}{}{end}", table(results, occasion));
    if let Some((before, rest)) = page.split_once(&begin) {
        let (_, after) = rest.split_once(&end).context("docs/kernels.md has a table without an end")?;
        return Ok(format!("{before}{block}{after}"));
    }
    let (before, after) = page.split_once(END).context("docs/kernels.md has no place for tables")?;
    Ok(format!("{before}{block}\n{END}{after}"))
}

/// A table with the row of a kernel replaced or added; kernels in the order of their versions.
fn with_row(table: &str, series: &str, row: &str) -> String {
    let (head, rows): (Vec<&str>, Vec<&str>) = table.lines().partition(|line| number(line).is_none());
    let mut rows: Vec<&str> =
        rows.into_iter().filter(|row| number(row) != number(&format!("| {series} |"))).collect();
    rows.push(row);
    rows.sort_by_key(|row| number(row));
    head.into_iter().chain(rows).map(|line| format!("{line}\n")).collect()
}

/// The version that a row begins with.
fn number(row: &str) -> Option<(u32, u32)> {
    let (major, minor) = row.strip_prefix("| ")?.split(' ').next()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A kernel in the overview.
fn row(results: &Results, occasion: &Occasion) -> String {
    let auto = results.doctor.as_ref().and_then(|doctor| doctor.tier).map_or("none", Tier::name);
    let mut row = format!(
        "| {} | {} | {} | {} | {auto} |",
        results.kernel.series, results.kernel.release, occasion.date, occasion.agent
    );
    for tier in Tier::ALL.map(Some).into_iter().chain([None]) {
        let _ = write!(row, " {} |", count(results, tier));
    }
    row
}

/// How the tests of a tier went.
fn count(results: &Results, tier: Option<Tier>) -> String {
    let (mut ok, mut skipped, mut counted, mut failed, mut missing) = (0, 0, 0, 0, 0);
    for (test, ended) in results.tests.iter().filter(|(test, _)| test.tier == tier) {
        match ended.as_ref().map(|ended| &ended.verdict) {
            Some(Verdict::Ok) => ok += 1,
            Some(Verdict::Skipped(_)) => skipped += 1,
            Some(Verdict::Counted(_)) => counted += 1,
            Some(Verdict::Failed(_)) => failed += 1,
            None if results.wanted(test) => missing += 1,
            None => {}
        }
    }
    let parts: Vec<String> = [
        (ok, "ok"),
        (skipped, "skipped"),
        (counted, "with counted loss"),
        (failed, "**failed**"),
        (missing, "**not run**"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if parts.is_empty() { "not there".to_owned() } else { parts.join(", ") }
}

/// All about one kernel.
fn table(results: &Results, occasion: &Occasion) -> String {
    let mut text = format!(
        "### Linux {}\n\n`{}`, on {}, agent {}, in {} minutes.\n\n",
        results.kernel.series,
        results.kernel.release,
        occasion.date,
        occasion.agent,
        results.took.as_secs().div_ceil(60)
    );
    for death in &results.deaths {
        let _ = writeln!(
            text,
            "The guest died and was booted again: {}.\n",
            death.lines().next().unwrap_or_default()
        );
    }
    for complaint in &results.complaints {
        let _ = writeln!(text, "The kernel complained: `{complaint}`.\n");
    }
    text.push_str("| |");
    for tier in Tier::ALL {
        let _ = write!(text, " {tier} |");
    }
    text.push_str(" auto |\n|---|---|---|---|---|---|\n");

    let doctor = results.doctor.as_ref();
    let finding = |tier: Tier| doctor.and_then(|doctor| doctor.finding(tier));
    let mut lacks = Vec::new();
    let mut line = |name: &str, cell: &mut dyn FnMut(Tier) -> String| {
        let _ = write!(text, "| {name} |");
        for tier in Tier::ALL {
            let _ = write!(text, " {} |", cell(tier));
        }
        text.push_str(" |\n");
    };
    line("can be had", &mut |tier| match finding(tier) {
        Some(finding) if finding.ok == Some(true) => "yes".to_owned(),
        Some(finding) => {
            lacks.push(format!("{tier}: {}", finding.found.replace('|', "/")));
            format!("no ({})", lacks.len())
        }
        None => "?".to_owned(),
    });
    line("largest program, verified instructions", &mut |tier| match finding(tier) {
        Some(finding) if finding.ok == Some(true) => finding
            .largest()
            .map_or("not told".to_owned(), |(name, instructions)| format!("{instructions} (`{name}`)")),
        _ => String::new(),
    });
    line("programs loaded and attached in", &mut |tier| {
        let milliseconds = finding(tier).and_then(|finding| finding.load_ms);
        milliseconds.map_or(String::new(), |milliseconds| format!("{:.1} s", milliseconds / 1000.0))
    });
    line("start and end of the agent", &mut |tier| {
        results.started.get(&tier).map_or(String::new(), |seconds| format!("{seconds:.1} s"))
    });

    let mut rows: BTreeMap<String, BTreeMap<Option<Tier>, String>> = BTreeMap::new();
    let mut reasons: Vec<String> = Vec::new();
    for (test, ended) in &results.tests {
        let cell = match ended {
            Some(ended) => cell(ended, &mut reasons),
            None if results.wanted(test) => "**not run**".to_owned(),
            None => String::new(),
        };
        rows.entry(test.title()).or_default().insert(test.tier, cell);
    }
    for (title, cells) in rows {
        let _ = write!(text, "| `{title}` |");
        for tier in Tier::ALL.map(Some).into_iter().chain([None]) {
            let _ = write!(text, " {} |", cells.get(&tier).map_or("", String::as_str));
        }
        text.push('\n');
    }
    text.push('\n');
    for (number, lack) in lacks.iter().enumerate() {
        let _ = writeln!(text, "{}. {lack}", number + 1);
    }
    for (number, reason) in reasons.iter().enumerate() {
        let _ = writeln!(text, "- {}: {reason}", letter(number));
    }
    text.push('\n');
    text
}

/// A test's result; what there is to say about it goes to the list below the table.
fn cell(ended: &Ended, reasons: &mut Vec<String>) -> String {
    let mut note = |reason: &str| {
        let reason = reason.lines().next().unwrap_or_default().replace('|', "/");
        let known = reasons.iter().position(|known| *known == reason);
        letter(known.unwrap_or_else(|| {
            reasons.push(reason);
            reasons.len() - 1
        }))
    };
    match &ended.verdict {
        Verdict::Ok => {
            let again = ended.first.as_deref().map(|reason| format!(", the second time ({})", note(reason)));
            format!("ok {:.0} s{}", ended.seconds.max(1.0), again.unwrap_or_default())
        }
        Verdict::Skipped(reason) => format!("skipped ({})", note(reason)),
        Verdict::Counted(reason) => format!("counted loss ({})", note(reason)),
        Verdict::Failed(reason) => format!("**failed** {:.0} s ({})", ended.seconds, note(reason)),
    }
}

/// a, b, … z, aa, ab, …
fn letter(number: usize) -> String {
    let last = char::from(b'a' + (number % 26) as u8);
    if number < 26 { last.to_string() } else { format!("{}{last}", letter(number / 26 - 1)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::job::{Doctor, Finding, Program, Test};
    use super::super::kernel::Kernel;
    use super::*;

    const PAGE: &str = "# Kernels\n\nBy hand.\n\n<!-- overview: rows written by cargo xtask vm-test -->\n\
        | kernel | release |\n|---|---|\n<!-- end of overview -->\n\nMore by hand.\n\n<!-- end of kernels -->\n\nThe end.\n";

    fn occasion() -> Occasion {
        Occasion { date: "2026-11-23".into(), agent: "0.1.0".into() }
    }

    fn results(series: &str, verdict: Verdict) -> Results {
        let release = format!("{series}.0-1-cloud-amd64");
        let kernel =
            serde_json::from_str::<Kernel>(&format!(r#"{{"series":"{series}","release":"{release}"}}"#))
                .unwrap();
        let test = |name: &str, tier| Test {
            target: "http".into(),
            program: "http-1".into(),
            name: name.into(),
            tier,
        };
        let finding = |what: &str, ok, found: &str, programs| Finding {
            what: what.into(),
            ok: Some(ok),
            found: found.into(),
            load_ms: ok.then_some(1850.0),
            programs,
        };
        let program =
            |name: &str, instructions| Program { name: name.into(), instructions: Some(instructions) };
        Results {
            kernel,
            doctor: Some(Doctor {
                tier: Some(Tier::Kprobe),
                tiers: vec![
                    finding("tier fentry", false, "no | trampolines", vec![]),
                    finding(
                        "tier kprobe",
                        true,
                        "attached 9 hooks",
                        vec![program("udp_sendmsg", 400), program("tcp_flush", 41000)],
                    ),
                ],
            }),
            started: BTreeMap::from([(Tier::Kprobe, 2.25)]),
            tests: vec![
                (test("fentry::download", Some(Tier::Fentry)), None),
                (
                    test("kprobe::download", Some(Tier::Kprobe)),
                    Some(Ended { verdict, seconds: 12.4, first: None, output: String::new() }),
                ),
                (test("kprobe::upload", Some(Tier::Kprobe)), None),
            ],
            complaints: Vec::new(),
            deaths: Vec::new(),
            took: Duration::from_secs(61),
        }
    }

    #[test]
    fn a_kernels_tables_say_what_was_run_and_nothing_else() {
        let page = with_kernel(PAGE, &results("6.1", Verdict::Ok), &occasion()).unwrap();
        let told = [
            "| 6.1 | 6.1.0-1-cloud-amd64 | 2026-11-23 | 0.1.0 | kprobe | not there | 1 ok, 1 **not run** | not there |",
            "| can be had | no (1) | yes | ? | ? | |",
            "| largest program, verified instructions |  | 41000 (`tcp_flush`) |  |  | |",
            "| programs loaded and attached in |  | 1.9 s |  |  | |",
            "| start and end of the agent |  | 2.2 s |  |  | |",
            "| `http::download` |  | ok 12 s |  |  |  |",
            "| `http::upload` |  | **not run** |  |  |  |",
            "1. fentry: no / trampolines",
        ];
        for line in told {
            assert!(page.contains(line), "{line}\n{page}");
        }
        for by_hand in ["By hand.", "More by hand.", "The end."] {
            assert!(page.contains(by_hand), "{by_hand}");
        }
    }

    #[test]
    fn a_run_touches_its_own_kernels_only() {
        let first = with_kernel(PAGE, &results("6.12", Verdict::Ok), &occasion()).unwrap();
        let both =
            with_kernel(&first, &results("6.1", Verdict::Skipped("no node".into())), &occasion()).unwrap();
        assert!(both.contains("skipped (a)") && both.contains("- a: no node"));
        assert!(both.find("| 6.1 |").unwrap() < both.find("| 6.12 |").unwrap(), "in order\n{both}");
        let again =
            with_kernel(&both, &results("6.1", Verdict::Failed("7 spans".into())), &occasion()).unwrap();
        assert!(again.contains("**failed** 12 s (a)") && !again.contains("no node"), "{again}");
        let block = |page: &str| {
            let from = page.find("<!-- kernel 6.12").unwrap();
            page[from..from + page[from..].find("<!-- end of 6.12").unwrap()].to_owned()
        };
        assert_eq!(block(&first), block(&again));
        assert_eq!(again.matches("| 6.1 |").count(), 1);
        assert_eq!(
            again,
            with_kernel(&again, &results("6.1", Verdict::Failed("7 spans".into())), &occasion()).unwrap()
        );
    }

    #[test]
    fn notes_never_run_out_of_letters() {
        assert_eq!([0, 25, 26, 27, 52].map(letter), ["a", "z", "aa", "ab", "ba"]);
    }
}
