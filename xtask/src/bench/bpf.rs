//! What the kernel counts of eBPF programs: how often they ran, and for how long.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// As long as it lives, the kernel counts the run time of every program (`BPF_ENABLE_STATS`, since Linux 5.8: what the
/// sysctl `kernel.bpf_stats_enabled` does, but it ends with this program, however that ends).
pub struct Statistics {
    _open: OwnedFd,
}

impl Statistics {
    pub fn enable() -> Result<Self> {
        const BPF_ENABLE_STATS: libc::c_int = 32;
        // `enable_stats.type`; BPF_STATS_RUN_TIME is 0. The kernel wants nothing but zeros behind it.
        let attributes = [0_u32; 4];
        // SAFETY: the attributes are of that size; the kernel only reads them.
        let fd = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, attributes.as_ptr(), size_of_val(&attributes))
        };
        let fd = libc::c_int::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error())
                .context("the kernel does not count the run time of eBPF programs");
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { _open: unsafe { OwnedFd::from_raw_fd(fd) } })
    }
}

/// One loaded program.
#[derive(Clone, Debug, Deserialize)]
pub struct Program {
    pub id: u32,
    /// `raw_tracepoint`, `tracepoint`; `kprobe` is what uprobes are.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kernel keeps 15 bytes of it.
    #[serde(default)]
    pub name: String,
    #[serde(rename = "run_time_ns", default)]
    pub nanoseconds: u64,
    #[serde(rename = "run_cnt", default)]
    pub runs: u64,
}

impl Program {
    pub fn mean(&self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.nanoseconds as f64 / self.runs as f64 }
    }
}

/// The programs that a process holds.
pub fn programs_of(pid: u32) -> Result<Vec<Program>> {
    let own = ids_of(pid);
    Ok(all()?.into_iter().filter(|program| own.contains(&program.id)).collect())
}

/// How many programs that trace are loaded on this machine by others than `pid`: what is measured beside them holds
/// their costs too.
pub fn others(pid: Option<u32>) -> Result<usize> {
    const TRACING: [&str; 7] =
        ["kprobe", "tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "tracing", "perf_event", "lsm"];
    let own = pid.map(ids_of).unwrap_or_default();
    let is_other = |program: &Program| TRACING.contains(&program.kind.as_str()) && !own.contains(&program.id);
    Ok(all()?.iter().filter(|program| is_other(program)).count())
}

/// How many of the programs `ids` the kernel still holds. It frees them a moment after their last user has gone.
pub fn left(ids: &[u32]) -> Result<usize> {
    let mut left = 0;
    for _ in 0..20 {
        left = all()?.iter().filter(|program| ids.contains(&program.id)).count();
        if left == 0 {
            break;
        }
        process::pause(Duration::from_millis(50));
    }
    Ok(left)
}

fn all() -> Result<Vec<Program>> {
    let text = process::output_of(process::command("bpftool").args(["-j", "prog", "show"]))?;
    serde_json::from_str(&text).context("bpftool says what is not understood")
}

/// The programs that a process holds, by id.
pub fn ids_of(pid: u32) -> Vec<u32> {
    fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()))
        .collect()
}

/// What one set of programs did under one load.
#[derive(Clone, Debug)]
pub struct Ran {
    pub programs: Vec<Program>,
    pub requests: u64,
}

impl Ran {
    /// Time in all programs for one request.
    pub fn a_request(&self) -> Duration {
        let all: u64 = self.programs.iter().map(|program| program.nanoseconds).sum();
        Duration::from_nanos(all.checked_div(self.requests).unwrap_or(0))
    }

    /// Programs that a uprobe could have started.
    pub fn uprobes(&self) -> usize {
        self.programs.iter().filter(|program| program.kind == "kprobe").count()
    }
}
