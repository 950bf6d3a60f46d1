//! Whether the kernel takes a processor from a program that runs.
//!
//! Programs at trampolines, and since Linux 7.0 those at tracepoints, may be preempted where the kernel itself may. While one
//! waits, the kernel skips it for whatever other threads do on that processor (`bpf_prog_get_recursion_context`,
//! include/linux/bpf.h), and only counts that. Kernel probes are never preempted (`kprobe_ftrace_handler`, arch/x86/kernel/kprobes).

use std::fs;

/// What Linux says of its way of preempting.
#[derive(Clone, Copy, Debug, Default)]
struct Told<'a> {
    /// `/sys/kernel/debug/sched/preempt`: all ways, the present one in parentheses. Empty if it is not there.
    chosen: &'a str,
    /// `/proc/cmdline`
    command_line: &'a str,
    /// `/proc/sys/kernel/version`, which names what the kernel was built for.
    built: &'a str,
}

/// Whether the running kernel may preempt programs at trampolines.
#[must_use]
pub fn preempts() -> bool {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    Told {
        chosen: &text("/sys/kernel/debug/sched/preempt"),
        command_line: &text("/proc/cmdline"),
        built: &text("/proc/sys/kernel/version"),
    }
    .preempts(super::kernel_version())
}

/// Whether it may preempt programs at tracepoints, too: since Linux 7.0.
#[must_use]
pub fn tracepoints_are_preempted() -> bool {
    super::kernel_version() >= (7, 0) && preempts()
}

impl Told<'_> {
    fn preempts(self, version: (u32, u32)) -> bool {
        let chosen =
            self.chosen.split_whitespace().find_map(|word| word.strip_prefix('(')?.strip_suffix(')'));
        // The last one holds.
        let asked =
            || self.command_line.split_whitespace().rev().find_map(|word| word.strip_prefix("preempt="));
        match chosen.or_else(asked) {
            Some("full" | "lazy") => true,
            Some("none" | "voluntary") => false,
            _ => self.built.split_whitespace().any(|word| match word {
                "PREEMPT" | "PREEMPT_LAZY" | "PREEMPT_RT" => true,
                // Voluntary preemption is what distributions chose as long as there was a choice; since Linux 7.0 the
                // architectures that we run on have none but the other two (kernel/Kconfig.preempt).
                "PREEMPT_DYNAMIC" => version >= (7, 0),
                _ => false,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_holds_before_what_was_built() {
        let debian = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.43-1 (2026-08-29)";
        let built = |built| Told { built, ..Told::default() };
        assert!(!built(debian).preempts((6, 12)));
        assert!(built(debian).preempts((7, 2)));
        assert!(built("#1 SMP PREEMPT Arch").preempts((6, 1)));
        assert!(built("#1 SMP PREEMPT_RT Debian").preempts((6, 1)));
        assert!(!built("#1 SMP Debian 5.10.244-1").preempts((5, 10)));
        assert!(!built("").preempts((0, 0)));
        let chosen = Told { chosen: "none voluntary (full) lazy\n", ..built(debian) };
        assert!(chosen.preempts((6, 12)));
        let asked = Told { command_line: "quiet preempt=full preempt=voluntary ro\n", ..built("#1 PREEMPT") };
        assert!(!asked.preempts((6, 12)));
        let chosen = Told { chosen: "(none) voluntary full\n", command_line: "preempt=full", built: debian };
        assert!(!chosen.preempts((6, 12)));
    }
}
