//! TCP: a message is noted when it comes, and what moved of it is told when the socket's lock is given back.
//!
//! Every way to move bytes on a TCP socket holds its lock, and gives it back by `release_sock` when it is done or before it
//! sleeps. Until then nobody else can have moved anything, so the socket's own sequence numbers say exactly what moved since
//! the last time, and the thread at hand is who moved it. What came without a message (sendfile, splice, the kernel's own
//! TLS) shows here, too, and is counted.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use remora_abi::maps::Connection;
use remora_abi::record::{READ, WRITE};

use super::{current, pieces, registers, waited_for, whose};
use crate::connection;
use crate::globals::{Messages, Program, Scratch};
use crate::kernel::Sock;
use crate::pieces::Pieces;
use crate::segment::{MAX_RECORDS, moved, only_counted, peer_closed, stream};

/// `TCP_CLOSE`
const CLOSED: u8 = 7;

/// `TCP_SYN_SENT`, `TCP_SYN_RECV`, `TCP_LISTEN` and `TCP_NEW_SYN_RECV` (include/net/tcp_states.h): nothing has moved.
macro_rules! before_established {
    () => {
        2 | 3 | 10 | 12
    };
}

/// `TCP_FIN_WAIT1`, `TCP_FIN_WAIT2`, `TCP_TIME_WAIT`, `TCP_CLOSE`, `TCP_LAST_ACK` and `TCP_CLOSING`: this end's FIN has taken
/// its sequence number, and nothing more can be written.
macro_rules! write_ended {
    () => {
        4..=7 | 9 | 11
    };
}

/// At `release_sock(struct sock *sk)`: the direction in which bytes have moved that are to be told by [`tell`], which the caller
/// goes on to. What they are stands in the scratch, which is taken.
#[inline(always)]
pub fn released<const TYPED: bool>(sock: Sock<TYPED>) -> Option<u8> {
    let state = sock.state();
    // Without a peer the process has just broken the connection off (`tcp_disconnect`, net/ipv4/tcp.c): its sequence numbers
    // are others than those of the connection, whose end is told. It is the same with a socket that is destroyed, and in the
    // midst of a handshake: neither may be entered anew, by what its thread moved on another that stood at its address.
    if matches!(state, before_established!()) || sock.ports() as u16 == 0 {
        return None;
    }
    let entry = match connection::known_tcp(sock) {
        Some(entry) => entry,
        None if state == CLOSED => return None,
        None => older(sock)?,
    };
    // SAFETY: a live element of the map; whoever has the socket's lock is alone with it.
    let known = unsafe { &mut *entry };
    if known.ignored != 0 {
        return None;
    }
    let wrote = match state {
        write_ended!() => 0,
        _ => sock.written().wrapping_sub(known.write.sequence),
    };
    let (direction, bytes, behind) = if wrote != 0 {
        (WRITE, wrote, 0)
    } else {
        let copied = sock.copied();
        let read = copied.wrapping_sub(known.read.sequence);
        if read == 0 {
            return None;
        }
        // The end of the stream takes a sequence number of its own, and is consumed with the last bytes, or alone. It is told
        // alone, the next time.
        let end = (peer_closed(state) && copied == sock.received()) as u32;
        (READ, read - end, if read == end { 0 } else { end })
    };
    if only_counted(known, direction, bytes) {
        pass(known, direction, bytes);
        return None;
    }
    let scratch = Scratch::take(Program::Released)?;
    scratch.behind = behind;
    scratch.messages = Messages { sock: sock.0, count: bytes as u64, next: 0 };
    Some(direction)
}

/// Tells what [`released`] found.
#[inline(always)]
pub fn tell<const TYPED: bool>(sock: Sock<TYPED>, direction: u8) {
    let Some(scratch) = Scratch::of(Program::Released) else { return };
    if let Some(entry) = connection::known_tcp(sock) {
        moved_by(scratch.again(), sock, entry, direction);
    }
    Scratch::give_back(Program::Released);
}

#[inline(always)]
fn moved_by<const TYPED: bool>(
    scratch: &mut Scratch,
    sock: Sock<TYPED>,
    entry: *mut Connection,
    direction: u8,
) {
    // SAFETY: a live element of the map; whoever has the socket's lock is alone with it.
    let known = unsafe { &mut *entry };
    let bytes = scratch.messages.count as u32;
    if !whose(scratch.again()) {
        pass(known, direction, bytes);
        return;
    }
    let scratch = scratch.again();
    scratch.pieces = match current(sock.0, direction as u32) {
        Some(transfer) if bytes != 0 => pieces(transfer, bytes as u64),
        // The first bytes of a connection that is older than the programs.
        None if direction == READ
            && known.established == 0
            && known.read.position == 0
            && bytes != 0
            && !sock.layered() =>
        {
            waited_for(scratch.again(), sock)
        }
        _ => Pieces::UNREACHABLE,
    };
    // SAFETY: a helper without preconditions.
    let process = (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32;
    if known.goid_offset != 0 || known.process != process {
        registers(scratch.again());
    }
    let scratch = scratch.again();
    let bytes = scratch.messages.count as u32;
    moved::<MAX_RECORDS, TYPED>(scratch.again(), sock, entry, direction, bytes);
}

/// A connection that is not in the table: if a message on it is at hand and has moved bytes, it is older than our view of it.
#[inline(always)]
fn older<const TYPED: bool>(sock: Sock<TYPED>) -> Option<*mut Connection> {
    let (direction, before) = match (current(sock.0, READ as u32), current(sock.0, WRITE as u32)) {
        (Some(transfer), _) => (READ, *transfer),
        (_, Some(transfer)) => (WRITE, *transfer),
        _ => return None,
    };
    let now = super::look(before.socket, before.message, before.direction);
    let bytes = before.left.wrapping_sub(now.left);
    if bytes == 0 || bytes > 1 << 30 {
        return None;
    }
    connection::enter_tcp(sock, direction, bytes as u32)
}

/// Bytes passed, or the end of the stream, that are not told.
#[inline(always)]
fn pass(known: &mut Connection, direction: u8, bytes: u32) {
    let stream = stream(known, direction);
    stream.position += bytes as u64;
    stream.sequence = stream.sequence.wrapping_add(if bytes == 0 { 1 } else { bytes });
}
