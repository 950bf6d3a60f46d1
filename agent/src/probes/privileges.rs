//! Capabilities: what the kernel asks for, and what this process has (capabilities(7)).

use std::fmt;

use serde::Serialize;

use super::loader::kernel_version;
use super::tier::Tier;

/// A capability that matters to Remora.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `CAP_BPF`
    Bpf,
    /// `CAP_PERFMON`
    Perfmon,
    /// `CAP_SYS_RESOURCE`
    SysResource,
    /// `CAP_NET_ADMIN`
    NetAdmin,
    /// `CAP_SYS_PTRACE`
    SysPtrace,
    /// `CAP_DAC_READ_SEARCH`
    DacReadSearch,
    /// `CAP_SYS_ADMIN`
    SysAdmin,
}

impl Capability {
    /// Its number (include/uapi/linux/capability.h).
    fn number(self) -> u32 {
        match self {
            Capability::DacReadSearch => 2,
            Capability::NetAdmin => 12,
            Capability::SysPtrace => 19,
            Capability::SysAdmin => 21,
            Capability::SysResource => 24,
            Capability::Perfmon => 38,
            Capability::Bpf => 39,
        }
    }

    /// Its name, as the manual has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Capability::Bpf => "CAP_BPF",
            Capability::Perfmon => "CAP_PERFMON",
            Capability::SysResource => "CAP_SYS_RESOURCE",
            Capability::NetAdmin => "CAP_NET_ADMIN",
            Capability::SysPtrace => "CAP_SYS_PTRACE",
            Capability::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Capability {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a tier needs a capability for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Need {
    /// The capability.
    pub capability: Capability,
    /// Whether the tier cannot be had without it; else it tells less.
    pub required: bool,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// What a tier needs on this kernel: first what it cannot do without.
#[must_use]
pub fn needs(tier: Tier) -> Vec<Need> {
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    needs_on(tier, kernel_version(), memory_lock_is_unlimited(), paranoid.trim().parse().unwrap_or(2))
}

fn needs_on(tier: Tier, kernel: (u32, u32), unlimited: bool, paranoid: i32) -> Vec<Need> {
    let required = |capability, purpose| Need { capability, required: true, purpose };
    let optional = |capability, purpose| Need { capability, required: false, purpose };
    let mut needs = vec![
        required(Capability::Bpf, "to create maps and load programs"),
        required(Capability::Perfmon, "to load programs that read memory, and to attach them"),
    ];
    // Since 5.11 the memory of maps is charged to the control group.
    if kernel < (5, 11) && !unlimited {
        needs.push(required(
            Capability::SysResource,
            "to create maps, whose memory counts against RLIMIT_MEMLOCK before Linux 5.11; or raise that limit",
        ));
    }
    // A value that Debian's kernels have, which do not take `CAP_PERFMON` for enough then (5.10, 6.1 and 6.12).
    if tier == Tier::Kprobe && paranoid > 2 {
        needs.push(required(
            Capability::SysAdmin,
            "to attach to kernel probes while kernel.perf_event_paranoid is above 2; or lower that",
        ));
    }
    if !tier.senders().is_empty() {
        needs.push(optional(
            Capability::NetAdmin,
            "to know the senders of datagrams that are received on unconnected sockets",
        ));
    }
    needs.extend([
        optional(Capability::SysPtrace, "to name the processes of other users"),
        optional(
            Capability::DacReadSearch,
            "to read what names processes of other users that were started before the agent: environment, descriptors",
        ),
    ]);
    needs
}

/// Whether a map's memory can always be charged, since it has no limit.
fn memory_lock_is_unlimited() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: room for the answer.
    unsafe {
        libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) == 0 && limit.rlim_cur == libc::RLIM_INFINITY
    }
}

/// The capabilities that are in effect for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held(u64);

impl Held {
    /// Those of now.
    #[must_use]
    pub fn now() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn parse(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        Self(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
    }

    /// Whether it is there. `CAP_SYS_ADMIN` stands for those that were made out of it (`bpf_capable`, `perfmon_capable` in
    /// include/linux/capability.h), and where programs are loaded for `CAP_NET_ADMIN` (kernel/bpf/syscall.c).
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        let own = |capability: Capability| self.0 & (1 << capability.number()) != 0;
        let made_of_admin =
            matches!(capability, Capability::Bpf | Capability::Perfmon | Capability::NetAdmin);
        own(capability) || made_of_admin && own(Capability::SysAdmin)
    }

    /// Those of the needs that are not met.
    #[must_use]
    pub fn lacks(self, needs: Vec<Need>) -> Vec<Need> {
        needs.into_iter().filter(|need| !self.has(need.capability)).collect()
    }
}

/// The capabilities that a tier cannot do without and this process has not got.
#[must_use]
pub fn missing(tier: Tier) -> Vec<Capability> {
    let lacking = Held::now().lacks(needs(tier)).into_iter();
    lacking.filter(|need| need.required).map(|need| need.capability).collect()
}

/// Names in a list.
#[must_use]
pub fn names(capabilities: impl IntoIterator<Item = Capability>) -> String {
    capabilities.into_iter().map(Capability::name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(capabilities: &[Capability]) -> Held {
        Held(capabilities.iter().map(|capability| 1 << capability.number()).sum())
    }

    #[test]
    fn the_status_file_is_understood() {
        let status = "Name:\tremora\nCapInh:\t0000000000000000\nCapEff:\t000000c000001000\n";
        assert_eq!(Held::parse(status), held(&[Capability::Bpf, Capability::Perfmon, Capability::NetAdmin]));
        assert_eq!(Held::parse(""), held(&[]));
    }

    #[test]
    fn admin_stands_for_what_was_made_of_it() {
        let admin = held(&[Capability::SysAdmin]);
        assert!(
            admin.has(Capability::Bpf) && admin.has(Capability::Perfmon) && admin.has(Capability::NetAdmin)
        );
        assert!(!admin.has(Capability::SysPtrace) && !admin.has(Capability::DacReadSearch));
    }

    #[test]
    fn each_lacking_one_is_named() {
        for tier in Tier::ALL {
            let needs = needs_on(tier, (6, 1), false, 2);
            let lacking = held(&[Capability::Bpf]).lacks(needs).into_iter();
            let required: Vec<_> = lacking.filter(|need| need.required).map(|need| need.capability).collect();
            assert_eq!(required, [Capability::Perfmon]);
        }
    }

    #[test]
    fn kernel_probes_may_be_guarded() {
        let admin = |tier, kernel, paranoid| {
            let needs = needs_on(tier, kernel, true, paranoid);
            needs.iter().any(|need| need.capability == Capability::SysAdmin)
        };
        assert!(admin(Tier::Kprobe, (5, 10), 3));
        assert!(admin(Tier::Kprobe, (6, 12), 3));
        assert!(!admin(Tier::Kprobe, (5, 10), 2) && !admin(Tier::Fentry, (5, 10), 3));
    }

    #[test]
    fn locked_memory_was_limited_once() {
        let needs = |kernel, unlimited| {
            let needs = needs_on(Tier::Kprobe, kernel, unlimited, 2).into_iter();
            needs.filter(|need| need.required).map(|need| need.capability).collect::<Vec<_>>()
        };
        assert!(needs((5, 10), false).contains(&Capability::SysResource));
        assert!(!needs((5, 10), true).contains(&Capability::SysResource));
        assert!(!needs((5, 11), false).contains(&Capability::SysResource));
    }
}
