//! The programs' loss counters, summed over all CPUs.

use aya::maps::{MapData, PerCpuArray};
use remora_abi::loss::{COUNTERS, Counter};

/// Reads the counters.
pub struct KernelCounters {
    map: PerCpuArray<MapData, [u64; COUNTERS]>,
}

impl KernelCounters {
    pub(super) fn new(map: PerCpuArray<MapData, [u64; COUNTERS]>) -> Self {
        Self { map }
    }

    /// The present sums, in the order of [`Counter::ALL`]; `None` if the kernel does not answer.
    #[must_use]
    pub fn read(&self) -> Option<[u64; COUNTERS]> {
        let per_cpu = self.map.get(&0, 0).ok()?;
        let mut sums = [0; COUNTERS];
        for values in per_cpu.iter() {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        }
        Some(sums)
    }
}

/// The name of a counter in `remora.coverage.*`.
#[must_use]
pub fn name(counter: Counter) -> &'static str {
    match counter {
        Counter::Segments => "segments",
        Counter::Bytes => "bytes",
        Counter::CapturedBytes => "captured_bytes",
        Counter::RingFull => "ring_full",
        Counter::ConnectionsFull => "connections_full",
        Counter::ReadFault => "read_fault",
        Counter::Unreachable => "unreachable",
        Counter::OverBudget => "over_budget_bytes",
        Counter::Ambiguous => "ambiguous",
        Counter::Compat => "compat",
        Counter::Registers => "registers",
        Counter::Reused => "reused_sockets",
        Counter::Pieces => "pieces_bytes",
    }
}

/// What a counter counts, in one sentence.
#[must_use]
pub fn description(counter: Counter) -> &'static str {
    match counter {
        Counter::Segments => "Reads and writes on observed connections.",
        Counter::Bytes => "Bytes that these reads and writes moved.",
        Counter::CapturedBytes => "Bytes that were copied.",
        Counter::RingFull => "Records lost because the ring buffer was full.",
        Counter::ConnectionsFull => "Connections not followed because the connection table was full.",
        Counter::ReadFault => "Copies that failed because the process's memory could not be read.",
        Counter::Unreachable => "Reads and writes whose bytes have no address in the process: counted, not copied.",
        Counter::OverBudget => "Bytes beyond the capture budget: counted, not copied, and rarely needed.",
        Counter::Ambiguous => "Reads and writes by two threads at once on one stream, so that bytes could not be placed.",
        Counter::Compat => "Reads and writes of 32-bit processes: counted, not copied.",
        Counter::Registers => "System calls whose saved registers could not be found.",
        Counter::Reused => "Kernel sockets that were reused without their end having been seen.",
        Counter::Pieces => "Bytes behind the last entry of an iovec that is followed: counted, not copied.",
    }
}
