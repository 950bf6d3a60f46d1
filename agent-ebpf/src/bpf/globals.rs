//! Maps and read-only globals.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf};
use remora_abi::loss::{COUNTERS, Counter};
use remora_abi::maps::{
    Batch, Connection, Control, DatagramSocket, Earlier, Listener, Process, Sender, Transfer,
    UNIX_CONNECTIONS as MOST_UNIX, calls,
};
use remora_abi::offsets::{Offsets, Settings};
use remora_abi::record::{Datagram, MAX_CAPTURE, MAX_DATAGRAM, READ, Segment};

use crate::kernel::opaque;
use crate::pieces::Pieces;
use crate::registers::{Call, Room};

/// Offsets of kernel fields; the agent sets them before load.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;

/// Other constants; the agent sets them before load.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings {
    own_process: 0,
    controls: 1,
    wake_bytes: 0,
    only_namespace: 0,
    processor_bits: 0,
    sample_ticks: u32::MAX,
    stack_bytes: 0,
    iterator_vector: 0,
    iterator_buffer: 0,
    iterator_mask: 0,
    earlier_connections: 0,
    earlier_unix: 0,
};

/// A global's field as the agent set it: volatile, since the compiler knows only the value that stands here.
#[inline(always)]
pub fn load(field: &'static u32) -> u32 {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::from_ref(field).read_volatile() }
}

/// A field of [`OFFSETS`], which the verifier sees as a constant.
macro_rules! offset {
    ($field:ident) => {
        $crate::globals::load(&$crate::globals::OFFSETS.$field)
    };
}
pub(crate) use offset;

/// A field of [`SETTINGS`], which the verifier sees as a constant.
macro_rules! setting {
    ($field:ident) => {
        $crate::globals::load(&$crate::globals::SETTINGS.$field)
    };
}
pub(crate) use setting;

/// To user space. The agent sets its size.
#[map]
pub static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// TCP connections by the address of their `struct sock`. The agent sets its size.
#[map]
pub static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(65_536, 0);

/// Unix stream sockets, likewise. Nothing tells of their end, so the table forgets the least recently used.
#[map]
pub static UNIX_CONNECTIONS: LruHashMap<u64, Connection> = LruHashMap::with_max_entries(MOST_UNIX, 0);

/// UDP sockets, likewise.
#[map]
pub static DATAGRAM_SOCKETS: LruHashMap<u64, DatagramSocket> = LruHashMap::with_max_entries(16_384, 0);

/// Who sent the datagram that a thread is just receiving, by the address of its `struct task_struct`.
#[map]
pub static SENDERS: LruHashMap<u64, Sender> = LruHashMap::with_max_entries(4_096, 0);

/// How far a thread is within a `sendmmsg` or `recvmmsg` on a UDP socket, likewise.
#[map]
pub static BATCHES: LruHashMap<u64, Batch> = LruHashMap::with_max_entries(1_024, 0);

/// What the system call is about in which a thread is, by the address of its `struct task_struct`.
#[map]
pub static CALLED: LruHashMap<u64, Called> = LruHashMap::with_max_entries(16_384, 0);

/// What a system call is about: by its first argument and, for `splice`, by its third.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Called {
    /// The files; 0 where the descriptor tells, because nobody can change its meaning.
    pub files: [u64; 2],
    /// The descriptors. Those of a call whose entry was not seen are others than are remembered here.
    pub descriptors: [u64; 2],
}

/// The listener that a thread is just closing, by process and thread id.
#[map]
pub static LISTENERS: LruHashMap<u64, Listener> = LruHashMap::with_max_entries(256, 0);

/// What each thread is just reading or writing, likewise.
#[map]
pub static TRANSFERS: LruHashMap<u64, Transfer> = LruHashMap::with_max_entries(16_384, 0);

/// What user space wants of a connection, at index `id % entries`; mapped into the agent's memory.
#[map]
pub static CONTROLS: Array<Control> = Array::with_max_entries(65_536, BPF_F_MMAPABLE);

/// What is special about a process, by its id. (Its memory is there from the start: before Linux 6.1 the kernel warns of
/// programs that may run anywhere and use a map whose elements are allocated on demand.)
#[map]
pub static PROCESSES: HashMap<u32, Process> = HashMap::with_max_entries(16_384, 0);

/// How often [`PROCESSES`] has changed, so that what it said can be kept.
#[map]
pub static GENERATION: Array<u32> = Array::with_max_entries(1, 0);

/// All [`Counter`]s in one value.
#[map]
pub static LOSSES: PerCpuArray<[u64; COUNTERS]> = PerCpuArray::with_max_entries(1, 0);

/// Programs that need something of their own on each CPU. None of them can run twice at once on a CPU, but one can
/// interrupt another.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Program {
    /// The tracepoint of TCP states.
    Handshake,
    /// Whatever sees a read.
    Read,
    /// Whatever sees a write.
    Write,
    /// What sees that a TCP socket's lock is given back.
    Released,
    /// What sees a datagram received, in the tiers that hook functions.
    ReadDatagram,
    /// What sees a datagram sent, likewise.
    WriteDatagram,
    /// A pass over all sockets.
    Iterator,
}

/// How many there are.
const PROGRAMS: u32 = 7;

impl Program {
    /// The one that sees bytes of that direction.
    #[inline(always)]
    pub fn of(direction: u8) -> Self {
        if direction == READ { Program::Read } else { Program::Write }
    }
}

/// Connection numbers given out by each CPU and [`Program`].
#[map]
pub static NUMBERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(PROGRAMS, 0);

/// What the passes have entered of connections from before the agent.
#[map]
pub static EARLIER: Array<Earlier> = Array::with_max_entries(1, 0);

/// The programs of system calls, by [`remora_abi::maps::calls`].
#[map]
pub static CALLS: ProgramArray = ProgramArray::with_max_entries(calls::COUNT, 0);

/// Where a [`Program`] works; the last needs no place.
#[map]
pub static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(PROGRAMS - 1, 0);

/// What a program knows of the present call, and the record that it makes of it.
///
/// All of it is in a map rather than in registers or on the stack: what the verifier reads from a map it knows nothing
/// of, so the many ways through one stage all lead to the same state of the next, and it need not follow each of them to
/// the end. Each stage takes the scratch from [`Scratch::again`], lest the compiler carry values over in registers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Scratch {
    /// The system call.
    pub call: Call,
    /// The registers that it came with, where they are read from the stack.
    pub registers: Room,
    /// Where its bytes are.
    pub pieces: Pieces,
    /// What user space wants of the connection.
    pub control: Control,
    /// How far the copying has come.
    pub cursor: Cursor,
    /// The run that begins, if one does.
    pub run: Run,
    /// Offset of `goid` in the process's `runtime.g`, 0 if it is not a Go program.
    pub goid_offset: u32,
    /// The socket, and how many messages moved on it (`recvmmsg` and `sendmmsg`).
    pub messages: Messages,
    /// Sequence numbers that the same call used behind those at hand (further messages of `recvmmsg` and `sendmmsg`, or the
    /// end of the stream).
    pub behind: u32,
    /// 1 while a program of the tiers that hook functions works here. The kernel may preempt those.
    pub busy: u32,
    /// The process whose bytes a thread of the kernel moves, 0 if the thread is one of its own process.
    pub borrowed: u32,
    /// A datagram's record, its fixed part.
    pub datagram: Datagram,
    /// The bytes behind it; the second half is never filled, but the verifier does not know that.
    pub datagram_bytes: [u8; 2 * MAX_DATAGRAM],
    /// The record's fixed part.
    pub segment: Segment,
    /// The bytes behind it.
    pub bytes: [u8; MAX_CAPTURE + GATHER],
}

impl Scratch {
    /// The program's own on this CPU.
    #[inline(always)]
    pub fn of(program: Program) -> Option<&'static mut Self> {
        let scratch = SCRATCH.get_ptr_mut(program as u32)?;
        // SAFETY: a live element of a per-CPU array that only this program uses on this CPU.
        Some(unsafe { &mut *scratch })
    }

    /// The program's own on this CPU, until it is [given back](Self::give_back). Where a program of the same kind that was
    /// preempted is at work with it, the call is counted, and what it moved is found by the next look at the connection, where
    /// TCP tells.
    #[inline(always)]
    pub fn take(program: Program) -> Option<&'static mut Self> {
        let scratch = Self::of(program)?;
        if scratch.busy != 0 {
            count(Counter::Preempted, 1);
            return None;
        }
        scratch.busy = 1;
        Some(scratch.again())
    }

    /// Lets others take it. (It is looked up anew: what the verifier need not keep across the work between makes its states
    /// fewer.)
    #[inline(always)]
    pub fn give_back(program: Program) {
        if let Some(scratch) = Self::of(program) {
            scratch.busy = 0;
        }
    }

    /// The same scratch, but the compiler does not know that.
    #[inline(always)]
    pub fn again(&mut self) -> &mut Self {
        // SAFETY: the very reference that came in.
        unsafe { &mut *(opaque(core::ptr::from_mut(self) as u64) as *mut Self) }
    }
}

/// What a program that goes on to another tells it: what `recvmmsg` or `sendmmsg` did, or what moved under a lock.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Messages {
    /// The socket's `struct sock`.
    pub sock: u64,
    /// Messages that moved, or bytes.
    pub count: u64,
    /// Index of the next of these messages.
    pub next: u64,
}

/// What the budget of a run that begins is made of.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Run {
    /// Bytes that the mode grants.
    pub base: u32,
    /// A run of requests that is no longer is one request.
    pub single: u32,
    /// Bytes of the last run in this direction, if it was one of requests without bodies; else 0.
    pub own: u32,
    /// The same of the other direction.
    pub other: u32,
    /// What may be copied.
    pub budget: u32,
    /// 1 if it is one of requests without bodies.
    pub bodiless: u32,
    /// 1 if it may be: this end, as far as it is known, asks when it writes, and is asked when it reads.
    pub asks: u32,
    /// Unused.
    pub reserved: u32,
}

/// How far the copying of a call's bytes has come.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Cursor {
    /// Where the present piece goes on.
    pub address: u64,
    /// Bytes left of the present piece.
    pub piece: u32,
    /// Bytes left of the call.
    pub left: u32,
    /// Bytes that may still be copied.
    pub budget: u32,
    /// Next entry of the iovec.
    pub next: u32,
    /// Bytes that the present record has.
    pub filled: u32,
    /// Unused.
    pub reserved: u32,
}

/// A record that has more bytes takes no further piece.
pub const GATHER: usize = 2048;

// The kernel's limit for an element of a per-CPU array.
const _: () = assert!(size_of::<Scratch>() <= 32 * 1024);

const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Adds to a counter.
#[inline(always)]
pub fn count(counter: Counter, by: u64) {
    if let Some(values) = LOSSES.get_ptr_mut(0) {
        // SAFETY: a live element of a per-CPU array, and the index is below `COUNTERS` by the enum's definition.
        unsafe { add(values.cast::<u64>().add(counter as usize), by) };
    }
}

/// Counts a read or write of so many bytes.
#[inline(always)]
pub fn moved_bytes(bytes: u32) {
    if let Some(values) = LOSSES.get_ptr_mut(0) {
        let values = values.cast::<u64>();
        // SAFETY: as in `count`.
        unsafe {
            add(values.add(Counter::Segments as usize), 1);
            add(values.add(Counter::Bytes as usize), bytes as u64);
        }
    }
}

/// `*value += by`, atomically: another program may preempt this one on the same CPU. The target has no atomic
/// additions in Rust's library, but the machine has one.
///
/// # Safety
/// `value` is a live element of a map.
#[inline(always)]
unsafe fn add(value: *mut u64, by: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: as the caller promises.
    unsafe {
        core::arch::asm!("lock *(u64 *)({value} + 0) += {by}", value = in(reg) value, by = in(reg) by);
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as the caller promises. (Only ever checked on the host, never run.)
    unsafe {
        *value += by;
    }
}
