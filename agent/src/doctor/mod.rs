//! `remora doctor`: what this kernel, these privileges and each running process allow to be captured, and for
//! everything that is not possible, why and what would change it.

pub mod processes;
mod render;

use std::path::Path;

use serde::Serialize;

use crate::probes::{self, ProbeError, Tier};
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
    pub tiers: Vec<Finding>,
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

/// Looks at everything. Tiers are tried for real: attached, and detached at once.
#[must_use]
pub fn examine() -> Report {
    let tiers: Vec<(Tier, Finding)> = Tier::ALL.into_iter().map(|tier| (tier, try_tier(tier))).collect();
    let tier = tiers.iter().find(|(_, finding)| finding.ok == Some(true)).map(|(tier, _)| *tier);
    Report {
        can_run: tier.is_some(),
        tier,
        host: vec![kernel(), types(), privileges(), lockdown()],
        tiers: tiers.into_iter().map(|(_, finding)| finding).collect(),
        processes: processes::survey(Path::new("/proc"), tier),
    }
}

fn finding(what: &str, ok: Option<bool>, found: impl Into<String>, advice: Option<&str>) -> Finding {
    Finding { what: what.to_owned(), ok, found: found.into(), advice: advice.map(str::to_owned) }
}

fn try_tier(tier: Tier) -> Finding {
    // Small maps: nothing is going to be captured.
    let settings = probes::Settings {
        tier: tier.forced(),
        ring_bytes: 256 * 1024,
        max_connections: 1024,
        namespace: None,
        sample_interval_ms: u64::MAX,
        floor: false,
    };
    let what = format!("tier {tier}");
    match probes::attach(&settings) {
        Ok(probes) => {
            tracing::debug!(programs = ?probes.programs(), "{what}");
            let largest = probes.programs().into_iter().filter_map(|(_, verified)| verified).max();
            let size =
                largest.map_or(String::new(), |n| format!(", largest program {n} verified instructions"));
            finding(&what, Some(true), format!("attached {} hooks{size}", probes.attached.len()), None)
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
    }
}

fn kernel() -> Finding {
    let release = read("/proc/sys/kernel/osrelease");
    let ok = probes::kernel_version() >= (5, 8);
    finding("kernel", Some(ok), release, (!ok).then_some("Linux 5.8 or newer: its ring buffer is needed"))
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

/// Capabilities that matter, by number (include/uapi/linux/capability.h).
const CAPABILITIES: [(u32, &str); 5] = [
    (39, "CAP_BPF"),
    (38, "CAP_PERFMON"),
    (19, "CAP_SYS_PTRACE"),
    (21, "CAP_SYS_ADMIN"),
    (24, "CAP_SYS_RESOURCE"),
];

fn privileges() -> Finding {
    let status = read("/proc/self/status");
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let has = |number: u32| effective & (1 << number) != 0;
    let (held, lacking): (Vec<_>, Vec<_>) = CAPABILITIES.iter().partition(|(number, _)| has(*number));
    let names = |list: Vec<&(u32, &str)>| list.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(" ");
    let ok = has(21) || (has(39) && has(38));
    let found = match lacking.is_empty() {
        true => names(held),
        false => format!(
            "{}; without {}",
            if held.is_empty() { "none".to_owned() } else { names(held) },
            names(lacking)
        ),
    };
    let advice =
        "run as root, or with CAP_BPF and CAP_PERFMON; CAP_SYS_PTRACE lets other users' processes be named";
    finding("privileges", Some(ok), found, (!ok).then_some(advice))
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
