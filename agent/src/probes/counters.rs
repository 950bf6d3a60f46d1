//! The programs' loss counters, summed over all CPUs.

use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{MapData, PerCpuArray};
use aya::programs::ProgramFd;
use aya_obj::generated::bpf_prog_info;
use remora_abi::loss::{COUNTERS, Counter};

/// Reads the counters.
pub struct KernelCounters {
    map: PerCpuArray<MapData, [u64; COUNTERS]>,
    programs: Vec<ProgramFd>,
    /// What they said when they were read for the last time.
    last: Option<(Option<[u64; COUNTERS]>, u64)>,
}

impl KernelCounters {
    pub(super) fn new(map: PerCpuArray<MapData, [u64; COUNTERS]>, programs: Vec<ProgramFd>) -> Self {
        Self { map, programs, last: None }
    }

    /// Reads them for the last time: what is counted from now on does not count.
    pub fn close(&mut self) {
        self.last = Some((self.read(), self.missed()));
        for info in self.programs.iter().filter_map(program_info).filter(|info| info.recursion_misses != 0) {
            let name: Vec<u8> =
                info.name.iter().map_while(|byte| (*byte != 0).then_some(*byte as u8)).collect();
            tracing::info!(program = %name.escape_ascii(), times = info.recursion_misses, "the kernel skipped a program");
        }
        self.programs.clear();
    }

    /// The present sums, in the order of [`Counter::ALL`]; `None` if the kernel does not answer.
    #[must_use]
    pub fn read(&self) -> Option<[u64; COUNTERS]> {
        if let Some((sums, _)) = self.last {
            return sums;
        }
        let per_cpu = self.map.get(&0, 0).ok()?;
        let mut sums = [0; COUNTERS];
        for values in per_cpu.iter() {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        }
        Some(sums)
    }

    /// Events at which the kernel did not run a program, because the same program was just running on that CPU. Told since
    /// Linux 5.12.
    #[must_use]
    pub fn missed(&self) -> u64 {
        if let Some((_, missed)) = self.last {
            return missed;
        }
        self.programs.iter().filter_map(|program| Some(program_info(program)?.recursion_misses)).sum()
    }
}

/// What the kernel tells of a program (`BPF_OBJ_GET_INFO_BY_FD`).
fn program_info(program: &ProgramFd) -> Option<bpf_prog_info> {
    /// `BPF_OBJ_GET_INFO_BY_FD` (include/uapi/linux/bpf.h)
    const GET_INFO: libc::c_int = 15;
    /// The `info` member of `union bpf_attr` there.
    #[repr(C)]
    struct Request {
        descriptor: u32,
        length: u32,
        info: u64,
    }
    // SAFETY: a structure of integers, for which all zeros is a value.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let request = Request {
        descriptor: program.as_fd().as_raw_fd().cast_unsigned(),
        length: size_of::<bpf_prog_info>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: the request is of the length that is said, and points to room of the length that it says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, GET_INFO, &raw const request, size_of::<Request>()) };
    (result == 0).then_some(info)
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
        Counter::Reused => "reused_sockets",
        Counter::Pieces => "pieces_bytes",
        Counter::Datagrams => "datagrams",
        Counter::DatagramsUnreadable => "unreadable_datagrams",
        Counter::DatagramsUnaddressed => "unaddressed_datagrams",
        Counter::Preempted => "preempted",
        Counter::MissedReturns => "missed_returns",
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
        Counter::Unreachable => {
            "Reads and writes whose bytes have no address in the process: counted, not copied."
        }
        Counter::OverBudget => "Bytes beyond the capture budget: counted, not copied, and rarely needed.",
        Counter::Ambiguous => {
            "Reads and writes by two threads at once on one stream, so that bytes could not be placed."
        }
        Counter::Compat => "Reads and writes of 32-bit processes: counted, not copied.",
        Counter::Reused => "Kernel sockets that were reused without their end having been seen.",
        Counter::Pieces => "Bytes behind the last entry of an iovec that is followed: counted, not copied.",
        Counter::Datagrams => "UDP datagrams on observed sockets.",
        Counter::DatagramsUnreadable => "Datagrams whose bytes could not be read.",
        Counter::DatagramsUnaddressed => {
            "Datagrams received on unconnected sockets, whose sender could not be told."
        }
        Counter::Preempted => {
            "Reads and writes not looked at because they interrupted a look at another on the same processor."
        }
        Counter::MissedReturns => {
            "Reads of unix sockets and datagrams sent whose end the kernel did not tell: all kretprobes' places were taken."
        }
    }
}
