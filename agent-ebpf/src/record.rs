//! Records: what the programs put into the ring buffer.
//!
//! Each record begins with a [`Header`]; its `kind` says which of the structures below it is the beginning of.
//! The same bytes, behind a length, are what `remora record` writes to its file.

use crate::plain;

/// [`Header::kind`] of a [`Segment`].
pub const SEGMENT: u32 = 1;
/// [`Header::kind`] of an [`Open`].
pub const OPEN: u32 = 2;
/// [`Header::kind`] of a [`Close`].
pub const CLOSE: u32 = 3;
/// [`Header::kind`] of an [`Exec`].
pub const EXEC: u32 = 4;
/// [`Header::kind`] of a [`Fork`].
pub const FORK: u32 = 5;
/// [`Header::kind`] of an [`Exit`].
pub const EXIT: u32 = 6;
/// [`Header::kind`] of a [`Datagram`].
pub const DATAGRAM: u32 = 7;
/// [`Header::kind`] of a [`Sample`].
pub const SAMPLE: u32 = 8;
/// [`Header::kind`] of a [`Reset`].
pub const RESET: u32 = 9;
/// [`Header::kind`] of a [`Failed`].
pub const FAILED: u32 = 10;
/// First kind that only user space writes (a process as `/proc` or its exec told it; never in the ring buffer).
pub const USER: u32 = 64;

/// The beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// One of this module's constants.
    pub kind: u32,
    /// Bytes of payload behind the fixed part (captured bytes, arguments); the ring buffer's record may be longer.
    pub payload: u32,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time: u64,
}

/// [`Segment::direction`]: the process read these bytes.
pub const READ: u8 = 0;
/// [`Segment::direction`]: the process wrote these bytes.
pub const WRITE: u8 = 1;

/// [`Segment::flags`]: the first of a run, that is, the last segment went the other way.
pub const RUN_START: u8 = 1;
/// [`Segment::flags`]: the peer's end of stream was read; the length is 0.
pub const END_OF_STREAM: u8 = 2;
/// [`Segment::flags`]: these bytes have no address in the process (sendfile, splice, io_uring) or a shape that is not followed.
pub const UNREACHABLE: u8 = 4;
/// [`Segment::flags`]: the bytes could not be read (page not present); they are counted as lost.
pub const FAULT: u8 = 8;
/// [`Segment::flags`]: two threads moved bytes on this stream at once, so the position is known but not which
/// bytes stand there; nothing was copied.
pub const AMBIGUOUS: u8 = 16;

/// One read or write on a connection, or a part of one: small entries of an iovec are gathered in one record, large ones
/// and each [`MAX_CAPTURE`] bytes begin another. `payload` captured bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The record's beginning.
    pub header: Header,
    /// The connection: unique while the agent runs.
    pub connection: u64,
    /// Position of the segment's first byte in its stream. 0 is the first byte that the connection ever
    /// carried, or that the agent saw of it (see [`OPEN_MIDSTREAM`]).
    pub position: u64,
    /// For a read, how far the process had written on the other stream by then (its cause cannot lie further); for a
    /// write, and on sockets without sequence numbers, 0.
    pub other_position: u64,
    /// Goroutine id, or 0 where the unit of execution is the thread.
    pub goroutine: u64,
    /// Bytes moved.
    pub length: u32,
    /// Captured bytes begin this many bytes after `position`.
    pub skipped: u32,
    /// TCP sequence number behind the segment's last byte, 0 on a unix socket.
    pub sequence: u32,
    /// Process (thread group) id in the initial PID namespace.
    pub process: u32,
    /// Thread id in the initial PID namespace.
    pub thread: u32,
    /// [`READ`] or [`WRITE`].
    pub direction: u8,
    /// [`RUN_START`] and the others above.
    pub flags: u8,
    /// Unused, 0.
    pub reserved: u16,
}

/// The most bytes of one entry of an iovec that one segment record carries.
pub const MAX_CAPTURE: usize = 24 * 1024;

/// [`Open::role`]: not known yet.
pub const ROLE_UNKNOWN: u8 = 0;
/// [`Open::role`]: this end connected.
pub const ROLE_CLIENT: u8 = 1;
/// [`Open::role`]: this end accepted.
pub const ROLE_SERVER: u8 = 2;

/// [`Open::flags`]: the connection is older than the agent's view of it.
pub const OPEN_MIDSTREAM: u8 = 1;
/// [`Open::flags`]: told when the agent came, before any bytes moved that it could see: position 0 is the next byte, and
/// the process is one that holds the socket.
pub const OPEN_EARLIER: u8 = 2;

/// `AF_UNIX`
pub const AF_UNIX: u16 = 1;
/// `AF_INET`
pub const AF_INET: u16 = 2;
/// `AF_INET6`
pub const AF_INET6: u16 = 10;

/// A connection's first segment is about to follow, or it was there when the agent came ([`OPEN_EARLIER`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The record's beginning.
    pub header: Header,
    /// The connection: unique while the agent runs.
    pub connection: u64,
    /// When it was established (`CLOCK_MONOTONIC`, nanoseconds), 0 if that was not seen.
    pub established: u64,
    /// When a process asked for it, at the client's end; 0 if that was not seen, and at the server's end.
    pub began: u64,
    /// When a process accepted it, at the server's end; 0 if that was not seen, and at the client's end.
    pub accepted: u64,
    /// The socket's inode number, as `/proc/PID/fd` shows it; 0 if it has none yet.
    pub inode: u64,
    /// Address of the kernel's `struct sock`: the key of the connection table.
    pub socket: u64,
    /// Network namespace's inode number, 0 if unknown.
    pub namespace: u32,
    /// Process (thread group) id of the first segment.
    pub process: u32,
    /// TCP sequence number of position 0 of what this end reads.
    pub read_sequence: u32,
    /// TCP sequence number of position 0 of what this end writes.
    pub write_sequence: u32,
    /// Segments that TCP had sent again by then; 0 on a unix socket.
    pub retransmits: u32,
    /// Unused, 0.
    pub reserved: u32,
    /// `AF_INET`, `AF_INET6` or `AF_UNIX`.
    pub family: u16,
    /// Local port in host order.
    pub local_port: u16,
    /// Remote port in host order.
    pub remote_port: u16,
    /// [`ROLE_CLIENT`] and the others above.
    pub role: u8,
    /// [`OPEN_MIDSTREAM`] and [`OPEN_EARLIER`].
    pub flags: u8,
    /// Local address in network order; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Remote address in network order; IPv4 in the first four bytes.
    pub remote: [u8; 16],
    /// Path of a unix socket (the listener's), up to the first NUL; an abstract one begins with NUL.
    pub path: [u8; 104],
}

/// The connection is over (TCP state CLOSE).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Close {
    /// The record's beginning.
    pub header: Header,
    /// The connection.
    pub connection: u64,
    /// How far this end had read: bytes beyond the last segment were moved where no hook sees it.
    pub read_position: u64,
    /// How far this end had written.
    pub write_position: u64,
    /// `sk_err`: 0 for an orderly end, `ECONNRESET` and the like otherwise.
    pub error: u32,
    /// The smoothed round trip time, microseconds; 0 if it was never measured.
    pub round_trip: u32,
    /// Segments that TCP sent again.
    pub retransmits: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// What TCP knows of a connection, told now and then while bytes move on it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The record's beginning.
    pub header: Header,
    /// The connection.
    pub connection: u64,
    /// The smoothed round trip time, microseconds; 0 if it was never measured.
    pub round_trip: u32,
    /// Segments that TCP sent again, since the connection's beginning.
    pub retransmits: u32,
}

/// TCP broke a connection off with a segment that says so (RST).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reset {
    /// The record's beginning.
    pub header: Header,
    /// The connection.
    pub connection: u64,
    /// [`READ`]: the other end did; [`WRITE`]: this one.
    pub direction: u8,
    /// Unused, 0.
    pub reserved: [u8; 7],
}

/// [`Failed::error`] at the client's end: no segment was ever sent, since there was no local address to send it from
/// (`EADDRNOTAVAIL`, which the kernel returns without keeping it in the socket).
pub const NO_ADDRESS: u32 = 99;

/// A TCP connection that came to nothing: at the client's end it was not established, at the server's end it was
/// established but never accepted, and its listener is gone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// The record's beginning.
    pub header: Header,
    /// A number of the same kind as a connection's; there is no other record of it.
    pub connection: u64,
    /// When the process asked for it, or, at the server's end, when it was established (`CLOCK_MONOTONIC`, nanoseconds).
    pub began: u64,
    /// Network namespace's inode number, 0 if unknown.
    pub namespace: u32,
    /// Process (thread group) id: the one that asked for it, or that closed the listener.
    pub process: u32,
    /// At the client's end `sk_err`: `ECONNREFUSED`, `ETIMEDOUT` and so on, 0 if the process gave up; or [`NO_ADDRESS`].
    /// At the server's end 0.
    pub error: u32,
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// Local port in host order; 0 at the client's end, where it is given back by then.
    pub local_port: u16,
    /// Remote port in host order.
    pub remote_port: u16,
    /// [`ROLE_CLIENT`] or [`ROLE_SERVER`].
    pub role: u8,
    /// Unused, 0.
    pub reserved: [u8; 5],
    /// Local address in network order; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Remote address in network order; IPv4 in the first four bytes.
    pub remote: [u8; 16],
}

/// [`Datagram::flags`]: the bytes could not be read: they have no address in the process (io_uring), or it is not certain
/// which of a call's messages they are.
pub const DATAGRAM_UNREADABLE: u8 = 1;
/// [`Datagram::flags`]: the socket is not connected, and the peer could not be told; `remote` is zero.
pub const DATAGRAM_UNADDRESSED: u8 = 2;
/// [`Datagram::flags`]: the agent's own; nothing was copied.
pub const DATAGRAM_OWN: u8 = 4;

/// The most bytes that one datagram record carries: what fits into an Ethernet frame.
pub const MAX_DATAGRAM: usize = 1504;

/// A UDP datagram that was sent or received. It says all that is known of its socket, since nothing tells of a UDP socket's
/// beginning or end. `payload` captured bytes follow, the first of the datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    /// The record's beginning.
    pub header: Header,
    /// The socket: a number of the same kind as a connection's, unique while the agent runs.
    pub socket: u64,
    /// Goroutine id, or 0 where the unit of execution is the thread.
    pub goroutine: u64,
    /// Bytes of the datagram.
    pub length: u32,
    /// Process (thread group) id in the initial PID namespace.
    pub process: u32,
    /// Thread id in the initial PID namespace.
    pub thread: u32,
    /// Network namespace's inode number, 0 if unknown.
    pub namespace: u32,
    /// This end's address in network order, IPv4 mapped into IPv6; `::` or `::ffff:0.0.0.0` while it is bound to none.
    pub local: [u8; 16],
    /// The other end's address, likewise.
    pub remote: [u8; 16],
    /// Local port in host order.
    pub local_port: u16,
    /// Remote port in host order.
    pub remote_port: u16,
    /// [`READ`] or [`WRITE`].
    pub direction: u8,
    /// [`DATAGRAM_UNREADABLE`] and the others above.
    pub flags: u8,
    /// Unused, 0.
    pub reserved: u16,
}

/// The most bytes of arguments that an [`Exec`] carries.
pub const EXEC_ARGUMENTS: usize = 1024;
/// The most bytes of environment that an [`Exec`] carries.
pub const EXEC_ENVIRONMENT: usize = 4096;

/// A process began to run a new program. `arguments` bytes of its argument block follow, then
/// `environment` bytes of its environment block, both as the kernel lays them out (NUL-terminated strings).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// The record's beginning.
    pub header: Header,
    /// Process (thread group) id.
    pub process: u32,
    /// The parent's process id, 0 if unknown.
    pub parent: u32,
    /// Captured bytes of the argument block.
    pub arguments: u32,
    /// Captured bytes of the environment block.
    pub environment: u32,
    /// The process's name (`comm`), NUL-padded.
    pub name: [u8; 16],
}

/// A process (not a thread) was forked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fork {
    /// The record's beginning.
    pub header: Header,
    /// The parent's process id.
    pub parent: u32,
    /// The new process's id.
    pub child: u32,
}

/// A process ended: its last thread is gone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The record's beginning.
    pub header: Header,
    /// Process (thread group) id.
    pub process: u32,
    /// Unused, 0.
    pub reserved: u32,
}

plain! {
    Header = 16,
    Segment = 72,
    Open = 232,
    Close = 56,
    Sample = 32,
    Reset = 32,
    Failed = 88,
    Datagram = 88,
    Exec = 48,
    Fork = 24,
    Exit = 24,
}
