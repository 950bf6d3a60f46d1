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
