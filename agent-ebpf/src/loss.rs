//! Loss and work counters: one per-CPU value, indexed by [`Counter`].

/// What is counted in the kernel. The order is the index in the per-CPU value.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Segments seen on connections that are looked at.
    Segments,
    /// Bytes that these segments moved.
    Bytes,
    /// Bytes that were copied.
    CapturedBytes,
    /// Records lost because the ring buffer was full.
    RingFull,
    /// Connections lost because the connection table was full.
    ConnectionsFull,
    /// Copies that failed because the process's memory could not be read.
    ReadFault,
    /// Segments whose bytes have no address in the process (sendfile, splice, io_uring) or whose shape is not followed.
    Unreachable,
    /// Bytes that were over the capture budget, where the mode wanted the message's start only (not a loss by itself).
    OverBudget,
    /// Segments of streams on which two threads were at work at once, so that bytes could not be placed.
    Ambiguous,
    /// Segments of 32-bit processes, whose system call arguments are not followed.
    Compat,
    /// Sockets whose kernel structure was reused without its end having been seen.
    Reused,
    /// Entries of an iovec (or messages) beyond those that are followed.
    Pieces,
    /// UDP datagrams on sockets that are looked at.
    Datagrams,
    /// Datagrams whose bytes could not be read.
    DatagramsUnreadable,
    /// Datagrams received on unconnected sockets whose sender could not be told.
    DatagramsUnaddressed,
    /// Reads and writes that were not looked at because they interrupted the program that looked at another, on that CPU.
    Preempted,
    /// Reads and datagrams whose end the kernel did not tell, since all places for returns were taken.
    MissedReturns,
}

/// How many counters there are.
pub const COUNTERS: usize = 17;

impl Counter {
    /// All counters, in the order of their index.
    pub const ALL: [Counter; COUNTERS] = [
        Counter::Segments,
        Counter::Bytes,
        Counter::CapturedBytes,
        Counter::RingFull,
        Counter::ConnectionsFull,
        Counter::ReadFault,
        Counter::Unreachable,
        Counter::OverBudget,
        Counter::Ambiguous,
        Counter::Compat,
        Counter::Reused,
        Counter::Pieces,
        Counter::Datagrams,
        Counter::DatagramsUnreadable,
        Counter::DatagramsUnaddressed,
        Counter::Preempted,
        Counter::MissedReturns,
    ];
}

const _: () = {
    let mut i = 0;
    while i < COUNTERS {
        assert!(Counter::ALL[i] as usize == i);
        i += 1;
    }
};
