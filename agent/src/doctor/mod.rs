//! `remora doctor`: what this kernel, these privileges and each running process allow to be captured, and for
//! everything that is not possible, why and what would change it.

pub mod processes;
mod render;

use std::path::Path;

use serde::Serialize;

use crate::probes::privileges::{self, Held, Need};
use crate::probes::{self, Choice, PassError, ProbeError, Tier};
use processes::ProcessReport;

/// All findings.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The agent could do its main job.
    pub can_run: bool,
    /// The tier that `auto` would take.
    pub tier: Option<Tier>,
    /// The kernel and the rights of this process.
    pub host: Vec<Finding>,
    /// Each tier, tried.
    pub tiers: Vec<TierReport>,
    /// Each process with sockets.
    pub processes: Vec<ProcessReport>,
}

/// Something looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What.
    pub what: String,
    /// It is as it should be; `None` where it does not matter for the main job.
    pub ok: Option<bool>,
    /// What was found.
    pub found: String,
    /// What would change it, where it is not as it should be.
    pub advice: Option<String>,
}

/// A tier, tried.
#[derive(Clone, Debug, Serialize)]
pub struct TierReport {
    /// Which.
    pub tier: Tier,
    /// Whether it could be had.
    #[serde(flatten)]
    pub finding: Finding,
    /// Milliseconds that it took to load and attach it.
    pub load_ms: Option<f64>,
    /// What it needs on this kernel, whether that is there or not.
    pub privileges: Vec<Need>,
    /// Its programs, by name; empty if it could not be had.
    pub programs: Vec<ProgramReport>,
}

/// A program that was loaded.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramReport {
    /// Its name.
    pub name: String,
    /// Instructions that the verifier looked at, of at most 1,000,000; `None` if this kernel does not tell.
    pub instructions: Option<u32>,
}

/// Looks at everything. Tiers are tried for real: attached, and detached at once.
#[must_use]
pub fn examine() -> Report {
    let mut earlier = None;
    // Before a tier is tried, which may change what the others need.
    let (privileges, needs) = (privileges(), Tier::ALL.map(privileges::needs));
    let tiers: Vec<TierReport> =
        Tier::ALL.into_iter().zip(needs).map(|(tier, needs)| try_tier(tier, needs, &mut earlier)).collect();
    let is_there =
        |tier: &Tier| tiers.iter().any(|tried| tried.tier == *tier && tried.finding.ok == Some(true));
    let preempts = probes::preempts();
    let tier = Choice::Auto.candidates(preempts).iter().copied().find(is_there);
    Report {
        can_run: tier.is_some(),
        tier,
        host: [kernel(), preemption(preempts, tier), types(), privileges, lockdown()]
            .into_iter()
            .chain(earlier)
            .collect(),
        tiers,
        processes: processes::survey(Path::new("/proc"), tier),
    }
}

fn finding(what: &str, ok: Option<bool>, found: impl Into<String>, advice: Option<&str>) -> Finding {
    Finding { what: what.to_owned(), ok, found: found.into(), advice: advice.map(str::to_owned) }
}

/// Tries a tier, and what goes with every tier: the first that can be had tells of it.
fn try_tier(tier: Tier, privileges: Vec<Need>, earlier: &mut Option<Finding>) -> TierReport {
    // Small maps: nothing is going to be captured.
    let settings = probes::Settings {
        tier: tier.forced(),
        ring_bytes: 256 * 1024,
        max_connections: 1024,
        namespace: None,
        iterators: true,
        sample_interval_ms: u64::MAX,
        floor: false,
    };
    let what = format!("tier {tier}");
    let mut report = TierReport {
        tier,
        finding: finding(&what, Some(false), "", None),
        load_ms: None,
        privileges,
        programs: Vec::new(),
    };
    report.finding = match probes::attach(&settings) {
        Ok(mut probes) => {
            earlier.get_or_insert_with(|| earlier_connections(probes.take_earlier().err().as_ref()));
            report.load_ms = Some(probes.took.as_secs_f64() * 1000.0);
            let programs = probes.programs().into_iter();
            report.programs =
                programs.map(|(name, instructions)| ProgramReport { name, instructions }).collect();
            report.programs.sort_by(|one, other| one.name.cmp(&other.name));
            let largest = report.programs.iter().filter_map(|program| program.instructions).max();
            let size =
                largest.map_or(String::new(), |n| format!(", largest program {n} verified instructions"));
            let took = format!(", in {:.0} ms", probes.took.as_secs_f64() * 1000.0);
            finding(&what, Some(true), format!("attached {} hooks{size}{took}", probes.attached.len()), None)
        }
        Err(ProbeError::NoTier { refused, .. }) => {
            let reasons: Vec<String> = refused.into_iter().map(|(_, reason)| reason).collect();
            let advice = match tier {
                Tier::Fentry => "a kernel with BPF trampolines (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y)",
                Tier::Kprobe => "a kernel with CONFIG_KPROBE_EVENTS=y",
                Tier::SocketTracepoint => {
                    "Linux 6.3 or newer has its tracepoints; another tier serves until then"
                }
                Tier::SyscallTracepoint => "a kernel with CONFIG_FTRACE_SYSCALLS=y, and tracefs mounted",
            };
            finding(&what, Some(false), reasons.join("; "), Some(advice))
        }
        Err(error) => finding(&what, Some(false), error.to_string(), None),
    };
    report
}

/// Whether connections from before the agent are known at its start.
fn earlier_connections(no_iterators: Option<&PassError>) -> Finding {
    let what = "connections from before";
    let Some(reason) = no_iterators else {
        return finding(what, Some(true), "known at start, by the kernel's iterator over open files", None);
    };
    let counted = if Path::new("/proc/net/tcp").exists() { ", and counted by /proc" } else { "" };
    finding(
        what,
        None,
        format!("known when their first bytes move{counted}: {reason}"),
        Some("CAP_BPF and CAP_PERFMON, and a kernel whose security modules permit BPF iterators"),
    )
}

fn kernel() -> Finding {
    let release = read("/proc/sys/kernel/osrelease");
    let ok = probes::kernel_version() >= (5, 8);
    finding("kernel", Some(ok), release, (!ok).then_some("Linux 5.8 or newer: its ring buffer is needed"))
}

/// Whether programs are skipped while the kernel lets them wait.
fn preemption(preempts: bool, tier: Option<Tier>) -> Finding {
    let what = "preemption";
    match tier {
        _ if !preempts => finding(what, None, "not of programs", None),
        Some(Tier::Kprobe) => {
            finding(what, None, "of programs other than kernel probes: the tier kprobe is preferred", None)
        }
        Some(tier) if !tier.is_preempted() => {
            finding(what, None, format!("of trampolines' programs, which the tier {tier} has none of"), None)
        }
        _ => finding(
            what,
            None,
            "under load this kernel may skip a program that it has preempted: that is counted as skipped_programs, and \
             spans may be missing or, on unix sockets, have another response of their connection",
            Some("a kernel with CONFIG_KPROBE_EVENTS=y: kernel probes are not preempted"),
        ),
    }
}

fn types() -> Finding {
    match probes::resolve(Path::new(probes::VMLINUX)) {
        Ok(types) if types.missing.is_empty() => {
            finding("kernel types (BTF)", Some(true), "present, all fields found", None)
        }
        Ok(types) => finding(
            "kernel types (BTF)",
            Some(false),
            format!("fields not found: {}", types.missing.join(", ")),
            Some("report the kernel's version: its structures are new to Remora"),
        ),
        Err(error) => finding("kernel types (BTF)", Some(false), error.to_string(), None),
    }
}

/// What the tiers need, together; each tier's own stands with it.
fn privileges() -> Finding {
    let mut needs: Vec<Need> = Vec::new();
    for need in Tier::ALL.into_iter().flat_map(privileges::needs) {
        if !needs.iter().any(|known| known.capability == need.capability) {
            needs.push(need);
        }
    }
    let held = Held::now();
    let (there, lacking): (Vec<Need>, Vec<Need>) =
        needs.into_iter().partition(|need| held.has(need.capability));
    let mut found = privileges::names(there.iter().map(|need| need.capability));
    let mut advice = String::new();
    for Need { capability, purpose, .. } in &lacking {
        found.push_str(&format!("{}without {capability}", if found.is_empty() { "" } else { "; " }));
        advice.push_str(&format!("{}{capability} {purpose}", if advice.is_empty() { "" } else { "; " }));
    }
    let ok = !lacking.iter().any(|need| need.required);
    finding("privileges", Some(ok), found, (!lacking.is_empty()).then_some(&advice))
}

fn lockdown() -> Finding {
    let text = read("/sys/kernel/security/lockdown");
    let mode = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match mode {
        Some("confidentiality") => finding(
            "lockdown",
            Some(false),
            "confidentiality: eBPF may not read memory",
            Some("boot with lockdown=integrity or without"),
        ),
        Some(mode) => finding("lockdown", None, mode, None),
        None => finding("lockdown", None, "not told (securityfs is not mounted)", None),
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
