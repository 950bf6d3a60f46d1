//! The kernel's grace periods.

/// Waits until each eBPF program that has begun to run has returned: programs run within an RCU read-side section, and the
/// kernel answers when all of those that were there are over. Some milliseconds.
///
/// False if the kernel does not offer it (`membarrier(2)`: with `nohz_full` it does not).
#[must_use]
pub fn programs_returned() -> bool {
    /// `MEMBARRIER_CMD_GLOBAL` (include/uapi/linux/membarrier.h): `synchronize_rcu` (kernel/sched/membarrier.c).
    const GLOBAL: libc::c_int = 1;
    // SAFETY: a call without pointers.
    unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) == 0 }
}
