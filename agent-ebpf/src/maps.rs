//! Values of the maps that both sides read or write.

use crate::plain;

/// [`Control::mode`]: nothing known yet; the leading bytes of each run are copied.
pub const MODE_UNKNOWN: u32 = 0;
/// [`Control::mode`]: the start of each message is copied, the rest counted.
pub const MODE_HEADS: u32 = 1;
/// [`Control::mode`]: everything is copied, up to [`crate::record::MAX_CAPTURE`] bytes a record.
pub const MODE_FRAMES: u32 = 2;
/// [`Control::mode`]: nothing is copied and nothing reported but the end.
pub const MODE_OFF: u32 = 3;
/// [`Control::mode`]: only each change of direction is reported, by the first segment of the new run, and a stream's
/// end; nothing is copied.
pub const MODE_TURNS: u32 = 4;

/// What user space wants of a connection: one entry of a memory-mapped array, at
/// [`Control::index`]. User space writes it without a system call; an entry whose `connection` is another's (or 0)
/// does not apply, and the connection is then in [`MODE_UNKNOWN`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The connection that this entry is about.
    pub connection: u64,
    /// No byte before this position of the stream that this end reads is wanted: nothing is copied and nothing reported.
    pub read_quiet_until: u64,
    /// The same for the stream that this end writes.
    pub write_quiet_until: u64,
    /// [`MODE_UNKNOWN`] and the others above.
    pub mode: u32,
    /// Bytes to copy at the start of each run in [`MODE_HEADS`].
    pub budget: u32,
}

impl Control {
    /// The index of a connection's entry among `entries`, a power of two.
    #[must_use]
    #[inline(always)]
    pub fn index(connection: u64, entries: u32) -> u32 {
        connection as u32 & (entries - 1)
    }
}

/// Bytes copied at the start of each run in [`MODE_UNKNOWN`].
pub const UNKNOWN_BUDGET: u32 = 16 * 1024;
/// A run of requests that have no body, as the signature of its first bytes tells, may be this many bytes long and is
/// still copied whole, and so is the run of answers it earns (pipelining).
pub const PIPELINE_BUDGET: u32 = 1024 * 1024;
/// Each byte of such requests, beyond the first of them, earns this many bytes of answers.
pub const PIPELINE_FACTOR: u32 = 32;
/// A run of requests that is shorter is taken for a single one; likewise one shorter than half of what the mode
/// [`MODE_HEADS`] copies, which is what heads on the connection need.
pub const PIPELINE_THRESHOLD: u32 = 512;

/// The programs' memory of one stream of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Bytes that have passed.
    pub position: u64,
    /// TCP sequence number at `position`.
    pub sequence: u32,
    /// Bytes that may still be copied in the present run.
    pub budget: u32,
}

/// The programs' memory of a connection, kept in a hash map by the address of its `struct sock`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Unique while the agent runs; never 0.
    pub id: u64,
    /// When it was established, 0 if that was not seen.
    pub established: u64,
    /// When a process asked for it, 0 if that was not seen.
    pub began: u64,
    /// When a process accepted it, 0 if that was not seen.
    pub accepted: u64,
    /// The socket's inode number; tells a reused `struct sock` of a unix socket.
    pub inode: u64,
    /// The stream that this end reads.
    pub read: Stream,
    /// The stream that this end writes.
    pub write: Stream,
    /// Local and remote port; tells a reused `struct sock` of a TCP socket. 0 while it is [`CONNECTING`].
    pub ports: u32,
    /// [`crate::record::ROLE_CLIENT`] and the others there.
    pub role: u8,
    /// Direction of the last segment and, as further bits, [`READS_BODILESS`] and [`WRITES_BODILESS`];
    /// [`NO_DIRECTION`] before the first.
    pub last_direction: u8,
    /// 1 once the [`crate::record::Open`] record is out.
    pub opened: u8,
    /// 1 if this connection is the agent's own, or otherwise not to be looked at; [`OWN_CONNECTING`], [`CONNECTING`].
    pub ignored: u8,
    /// The process that was asked about last; while it is [`CONNECTING`], the one that asked for the connection.
    pub process: u32,
    /// The state of the table of processes then.
    pub generation: u32,
    /// What it said: [`Process::goid_offset`].
    pub goid_offset: u32,
    /// When it was last told what TCP knows of it: [`ticks`](crate::offsets::ticks).
    pub sampled: u32,
    /// Bytes that this end had read when the connection was over, of which no hook saw any; 0 before that.
    pub unseen_read: u32,
    /// Bytes that it had written, likewise.
    pub unseen_written: u32,
    /// Bytes of a unix socket that are being read, and that are told at the return of the function that reads them. If there are
    /// some when the next are read, the kernel has not told that return.
    pub awaited: u32,
    /// Always 0.
    pub reserved: u32,
}

/// [`Connection::ignored`]: a process asked for it, and it is not established yet.
pub const CONNECTING: u8 = 3;
/// [`Connection::ignored`]: the agent's own, and user space is to be told its addresses as soon as they are known.
pub const OWN_CONNECTING: u8 = 2;

/// [`Connection::last_direction`]: the last run that this end read was one of requests without bodies.
pub const READS_BODILESS: u8 = 2;
/// [`Connection::last_direction`]: the last run that this end wrote was one of requests without bodies.
pub const WRITES_BODILESS: u8 = 4;

/// [`Connection::last_direction`] before the first segment.
pub const NO_DIRECTION: u8 = 255;

/// Unix stream sockets that are remembered at once.
pub const UNIX_CONNECTIONS: u32 = 16_384;

/// Connections that were there before the agent, as the passes over all processes' sockets have entered them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// TCP connections of which this end connected.
    pub clients: u32,
    /// TCP connections that this end accepted.
    pub servers: u32,
    /// TCP connections of which neither could be told.
    pub unknown: u32,
    /// Unix stream sockets.
    pub unix: u32,
    /// Sockets for which there was no room; they are entered when bytes move.
    pub left_out: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// The programs' memory of a UDP socket, kept in a hash map by the address of its `struct sock`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramSocket {
    /// A number of the same kind as [`Connection::id`].
    pub id: u64,
    /// The socket's inode number; tells a reused `struct sock`.
    pub inode: u64,
    /// 1 if it is not to be looked at.
    pub ignored: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// Who sent the datagram that a thread is just receiving; kept by the address of its `struct task_struct`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// The `struct sock` that it came to.
    pub socket: u64,
    /// Its address in network order, IPv4 mapped into IPv6.
    pub address: [u8; 16],
    /// Its port in host order.
    pub port: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// How far a thread is within a `sendmmsg` or `recvmmsg`; kept likewise.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Address of its `struct mmsghdr` array in the process.
    pub vector: u64,
    /// Its number of entries.
    pub many: u32,
    /// Index of the next message.
    pub next: u32,
}

/// A listener that a thread is just closing; kept by process and thread id.
/// Connections that end meanwhile on its port were waiting to be accepted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// The listener's `struct sock`.
    pub socket: u64,
    /// Its port in host order, 0 if that is not known any more.
    pub port: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// [`Transfer::shape`]: `vector` is the address of the process's one buffer.
pub const SHAPE_BUFFER: u32 = 1;
/// [`Transfer::shape`]: `vector` is the address of an array of the process's buffers, which the kernel has copied.
pub const SHAPE_VECTOR: u32 = 2;
/// [`Transfer::shape`]: the bytes have no address in the process.
pub const SHAPE_NONE: u32 = 0;

/// A read or write that a thread is in the middle of, for the tiers that hook functions of the kernel; kept by the address
/// of its `struct task_struct`. From `vector` on it says what the message's `iov_iter` said when bytes were last looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// The `struct sock`, 0 if there is none.
    pub socket: u64,
    /// The `struct msghdr`.
    pub message: u64,
    /// What `shape` says.
    pub vector: u64,
    /// Bytes of the buffer, or of the array's first, that are done.
    pub offset: u64,
    /// Bytes that there is still room for, or that are still to be written.
    pub left: u64,
    /// Entries of the array.
    pub entries: u64,
    /// [`SHAPE_BUFFER`] and the others above.
    pub shape: u32,
    /// [`crate::record::READ`] or [`crate::record::WRITE`], and [`TRANSFER_PEEK`].
    pub direction: u32,
    /// Bytes that are to be told at the return of the function that the thread is in. If there are some at the thread's next
    /// call, the kernel has not told that return.
    pub awaited: u64,
    /// Bytes of the call that were told before its return.
    pub told: u64,
}

/// [`Transfer::direction`]: the bytes stay in the socket.
pub const TRANSFER_PEEK: u32 = 2;

/// What the programs need to know about a process; no entry means nothing special.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// 1 if it is not to be looked at.
    pub ignored: u32,
    /// Offset of `goid` in Go's `runtime.g`, 0 if this is not a Go program (or its layout is unknown).
    pub goid_offset: u32,
}

/// Indices of the table through which the program at the exit of all system calls goes on to the one for the call.
pub mod calls {
    /// Calls that read.
    pub const READ: u32 = 0;
    /// Calls that write.
    pub const WRITE: u32 = 1;
    /// `splice`
    pub const SPLICE: u32 = 2;
    /// `recvmmsg`
    pub const RECVMMSG: u32 = 3;
    /// `sendmmsg`
    pub const SENDMMSG: u32 = 4;
    /// Calls that read, on a UDP socket.
    pub const READ_DATAGRAM: u32 = 5;
    /// Calls that write, on a UDP socket.
    pub const WRITE_DATAGRAM: u32 = 6;
    /// `recvmmsg` on a UDP socket.
    pub const READ_DATAGRAMS: u32 = 7;
    /// `sendmmsg` on a UDP socket.
    pub const WRITE_DATAGRAMS: u32 = 8;
    /// `accept` and `accept4`
    pub const ACCEPT: u32 = 9;
    /// One message of `recvmmsg` on a TCP or unix socket.
    pub const READ_MESSAGE: u32 = 10;
    /// One message of `sendmmsg` on a TCP or unix socket.
    pub const WRITE_MESSAGE: u32 = 11;
    /// What a thread has read from a unix socket, if the return of that was missed.
    pub const MISSED: u32 = 12;
    /// How many there are.
    pub const COUNT: u32 = 13;
}

plain! {
    Control = 32,
    Stream = 16,
    Connection = 112,
    Earlier = 24,
    DatagramSocket = 24,
    Sender = 32,
    Batch = 16,
    Listener = 16,
    Transfer = 72,
    Process = 8,
}
