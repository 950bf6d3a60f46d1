//! What processes and the machine use: processor time, memory, and what this machine is.

use std::fs;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Processor time of a process and all its descendants that are alive.
pub fn of_tree(root: u32) -> Duration {
    let mut total = Duration::ZERO;
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        total += of_process(pid).unwrap_or_default();
        todo.extend(children(pid));
    }
    total
}

/// `utime + stime` of all threads of a process, those that ended included (proc(5), `/proc/PID/stat`). The kernel
/// scales both to the exact run time of the scheduler, so that only the last tick is rounded.
pub fn of_process(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(ticks(user + system))
}

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    found
}

fn ticks(count: u64) -> Duration {
    // SAFETY: a query without preconditions.
    let a_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1);
    Duration::from_nanos(count.saturating_mul(1_000_000_000 / a_second))
}

/// Processor time of children that have ended (and their children).
pub fn of_ended_children() -> Duration {
    rusage(libc::RUSAGE_CHILDREN)
}

/// Processor time of this program.
pub fn of_this_program() -> Duration {
    rusage(libc::RUSAGE_SELF)
}

/// Processor time of the calling thread.
pub fn of_this_thread() -> Duration {
    rusage(libc::RUSAGE_THREAD)
}

fn rusage(who: libc::c_int) -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is ours; all bits zero make a valid one, should the call fail.
    let usage = unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| {
            Duration::from_secs(time.tv_sec.cast_unsigned())
                + Duration::from_micros(time.tv_usec.cast_unsigned())
        })
        .sum()
}

/// What all processors did so far, idleness apart; time that the hypervisor took away counts as busy.
pub fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    let busy = [0, 1, 2, 5, 6, 7].iter().map(|&field| fields.get(field).copied().unwrap_or(0)).sum();
    ticks(busy)
}

/// The share of the machine's processor time that is used while this program waits for `window`.
pub fn busy_share(window: Duration) -> f64 {
    let (start, before) = (Instant::now(), machine_busy());
    crate::process::pause(window);
    share(machine_busy().saturating_sub(before), start.elapsed())
}

/// `used` as a share of all processors' time in `elapsed`.
pub fn share(used: Duration, elapsed: Duration) -> f64 {
    used.as_secs_f64() / (elapsed.as_secs_f64() * processors() as f64).max(1e-9)
}

/// Processors that this program may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory of a process in KiB (proc(5), `/proc/PID/status`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All that is resident.
    pub resident: u64,
    /// Of it, memory of its own.
    pub anonymous: u64,
    /// Of it, pages of mapped files and of the kernel's maps (ring buffer, capture modes).
    pub mapped: u64,
    /// The most that was ever resident, the start included.
    pub peak: u64,
}

impl Memory {
    /// Of a process, now.
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().nth(0)?.parse::<u64>().ok()
        };
        Some(Self {
            resident: field("VmRSS:")?,
            anonymous: field("RssAnon:").unwrap_or(0),
            mapped: field("RssFile:").unwrap_or(0) + field("RssShmem:").unwrap_or(0),
            peak: field("VmHWM:").unwrap_or(0),
        })
    }
}

/// What this machine is.
#[derive(Clone, Debug)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub is_virtual: bool,
}

impl Machine {
    pub fn look() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let processor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown processor", |(_, name)| name.trim());
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: u64 = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_ascii_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            processor: processor.to_owned(),
            processors: processors(),
            memory_gib: (kib + (1 << 19)) >> 20,
            kernel: kernel.trim().to_owned(),
            is_virtual: cpuinfo.split_ascii_whitespace().any(|word| word == "hypervisor"),
        })
    }
}

/// Today, as ISO 8601 writes it, in UTC.
pub fn today() -> String {
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (year, month, day) = civil(i64::try_from(seconds / 86_400).unwrap_or(0));
    format!("{year:04}-{month:02}-{day:02}")
}

/// The date of a day since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(19_783), (2024, 3, 1));
        assert_eq!(civil(20_818), (2026, 12, 31));
    }

    #[test]
    fn this_program_uses_time_and_memory() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
        assert!(of_process(std::process::id()).is_some());
        assert!(machine_busy() > Duration::ZERO);
    }
}
