//! The life of TCP connections, from tracepoints that every tier shares.

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use remora_abi::maps::{CONNECTING, Connection, Listener, Stream};
use remora_abi::record::{self, Close, Header, NO_ADDRESS, READ, ROLE_CLIENT, ROLE_SERVER, Reset, WRITE};

use crate::connection;
use crate::globals::{CONNECTIONS, LISTENERS};
use crate::kernel::{Mover, Sock, TCP};
use crate::segment::{reserve, wake_flag};

/// `TCP_ESTABLISHED` (include/net/tcp_states.h)
const ESTABLISHED: i32 = 1;
/// `TCP_SYN_SENT`
const SYN_SENT: i32 = 2;
/// `TCP_SYN_RECV`
const SYN_RECV: i32 = 3;
/// `TCP_FIN_WAIT1`
const FIN_WAIT1: i32 = 4;
/// `TCP_FIN_WAIT2`
const FIN_WAIT2: i32 = 5;
/// `TCP_TIME_WAIT`
const TIME_WAIT: i32 = 6;
/// `TCP_CLOSE`
const CLOSE: i32 = 7;
/// `TCP_CLOSE_WAIT`
const CLOSE_WAIT: i32 = 8;
/// `TCP_LAST_ACK`
const LAST_ACK: i32 = 9;
/// `TCP_LISTEN`
const LISTEN: i32 = 10;
/// `TCP_CLOSING`
const CLOSING: i32 = 11;

/// `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: RawTracePointContext) -> i32 {
    let sock: Sock<false> = Sock(context.arg(0));
    let old: i32 = context.arg(1);
    let new: i32 = context.arg(2);
    match (old, new) {
        (_, SYN_SENT) if sock.protocol() == TCP => connection::connecting(sock),
        (SYN_SENT, ESTABLISHED) if sock.protocol() == TCP => connection::established(sock, ROLE_CLIENT),
        (SYN_RECV, ESTABLISHED) if sock.protocol() == TCP => connection::established(sock, ROLE_SERVER),
        (LISTEN, CLOSE) => deaf(sock),
        (_, FIN_WAIT1 | LAST_ACK) => {
            if let Some(connection) = CONNECTIONS.get_ptr_mut(sock.0) {
                // SAFETY: a live element of the map.
                reveal(sock, unsafe { &mut *connection }, old);
            }
        }
        (_, CLOSE) => closed(sock, old),
        _ => {}
    }
    0
}

/// The current thread closes a listener: until that is destroyed, too, it does nothing but to end the connections that
/// nobody has accepted (`inet_csk_listen_stop`, net/ipv4/inet_connection_sock.c).
#[inline(always)]
fn deaf(sock: Sock<false>) {
    // SAFETY: a helper without preconditions.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    // A table that forgets never refuses. A port that the kernel had chosen is given back by now, and 0.
    let _ = LISTENERS.insert(thread, Listener { socket: sock.0, port: sock.ports() >> 16, reserved: 0 }, 0);
}

/// The sequence number behind a stream counts its FIN, if that has passed unseen; its position does not.
#[inline(always)]
fn pass_end(stream: &mut Stream, sequence: u32, ended: bool) {
    if ended && sequence != stream.sequence {
        stream.sequence = stream.sequence.wrapping_add(1);
    }
}

/// A connection comes from state `old` to its end.
#[inline(always)]
fn closed(sock: Sock<false>, old: i32) {
    let Some(connection) = CONNECTIONS.get_ptr_mut(sock.0) else { return };
    // SAFETY: a live element of the map.
    let connection = unsafe { &mut *connection };
    if connection.ignored == CONNECTING {
        let error = match sock.error() {
            // TCP chooses its first sequence number together with the local address (`tcp_v4_connect`).
            0 if sock.written() == 0 => NO_ADDRESS,
            error => error,
        };
        connection::failed(sock, connection, connection.process, sock.ports(), connection.began, error);
        let _ = CONNECTIONS.remove(sock.0);
        return;
    }
    let copied = sock.copied();
    // The peer's FIN has been read if nothing is left behind what was read.
    let peer_ended = matches!(old, CLOSE_WAIT | LAST_ACK | CLOSING) && copied == sock.received();
    pass_end(&mut connection.read, copied, peer_ended);
    let ended = matches!(old, FIN_WAIT1 | FIN_WAIT2 | TIME_WAIT | LAST_ACK | CLOSING);
    let written = sock.written();
    pass_end(&mut connection.write, written, ended);
    let read = copied.wrapping_sub(connection.read.sequence);
    let written = written.wrapping_sub(connection.write.sequence);
    if connection.opened != 0 {
        tell_close(sock, connection, read, written);
    } else {
        // When it is destroyed the sequence numbers may be others: `tcp_disconnect` (net/ipv4/tcp.c), by which a process
        // breaks a connection off, sets them right after the state.
        connection.unseen_read = read;
        connection.unseen_written = written;
    }
}

/// Tells user space of the end, and how many bytes each stream has passed by then beyond those that were seen. The entry
/// stays: bytes that arrived before may still be read.
#[inline(always)]
fn tell_close(sock: Sock<false>, connection: &Connection, read: u32, written: u32) {
    if connection.opened == 0 || connection.ignored != 0 {
        return;
    }
    let Some(mut entry) = reserve::<Close>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is of that size; a helper without preconditions.
    unsafe {
        record.write(Close {
            header: Header { kind: record::CLOSE, payload: 0, time: bpf_ktime_get_ns() },
            connection: connection.id,
            read_position: connection.read.position + read as u64,
            write_position: connection.write.position + written as u64,
            error: sock.error(),
            round_trip: sock.round_trip(),
            retransmits: sock.retransmits(),
            reserved: 0,
        });
    }
    entry.submit(wake_flag(size_of::<Close>() as u64));
}

/// The process closes a connection that is in state `old`. If no hook has seen a byte of it and it carried some, all of them
/// moved by ways that this tier has no hook for (io_uring): user space learns of it here, where the process is known.
#[inline(always)]
fn reveal(sock: Sock<false>, connection: &mut Connection, old: i32) {
    let copied = sock.copied();
    // The peer's FIN is no byte.
    let ended = old == CLOSE_WAIT && copied == sock.received();
    let read = copied.wrapping_sub(connection.read.sequence).saturating_sub(ended as u32);
    if read != 0 || sock.written() != connection.write.sequence {
        open_unseen(sock, connection);
    }
}

/// Tells user space of a connection of which no hook has seen a byte.
#[inline(always)]
fn open_unseen(sock: Sock<false>, connection: &mut Connection) {
    if connection.opened != 0 || connection.ignored != 0 {
        return;
    }
    // SAFETY: helpers without preconditions.
    let (who, now, task) =
        unsafe { (bpf_get_current_pid_tgid(), bpf_ktime_get_ns(), bpf_get_current_task()) };
    let process = match Mover::of(task) {
        Mover::Itself => (who >> 32) as u32,
        Mover::Borrower(process) => process,
        Mover::Kernel => return,
    };
    connection::open(sock, connection, process, now);
}

/// The same of one that was over before its process closed it, and of its end.
#[inline(always)]
fn tell_unseen(sock: Sock<false>, connection: &mut Connection) {
    let (read, written) = (connection.unseen_read, connection.unseen_written);
    if read | written != 0 {
        open_unseen(sock, connection);
        tell_close(sock, connection, read, written);
    }
}

/// `trace_tcp_destroy_sock(struct sock *sk)`: neither the kernel nor a process holds the socket any more.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(context: RawTracePointContext) -> i32 {
    let sock: Sock<false> = Sock(context.arg(0));
    // SAFETY: a helper without preconditions.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let Some(connection) = CONNECTIONS.get_ptr_mut(sock.0) else {
        // Perhaps a listener.
        if let Some(listener) = LISTENERS.get_ptr(thread) {
            // SAFETY: a live element of the map.
            if unsafe { (*listener).socket } == sock.0 {
                let _ = LISTENERS.remove(thread);
            }
        }
        return 0;
    };
    // SAFETY: a live element of the map.
    let connection = unsafe { &mut *connection };
    if connection.opened == 0
        && connection.role == ROLE_SERVER
        && connection.accepted == 0
        && connection.established != 0
        && connection.ignored == 0
        && let Some(listener) = LISTENERS.get_ptr(thread)
        // SAFETY: a live element of the map.
        && matches!(unsafe { (*listener).port }, port if port == connection.ports >> 16 || port == 0)
    {
        let process = (thread >> 32) as u32;
        connection::failed(sock, connection, process, connection.ports, connection.established, 0);
    } else if connection.opened == 0 {
        // It was closed by a reset, which is no process's doing; but its end is.
        tell_unseen(sock, connection);
    }
    let _ = CONNECTIONS.remove(sock.0);
    0
}

/// `trace_tcp_receive_reset(struct sock *sk)`
#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub fn tcp_receive_reset(context: RawTracePointContext) -> i32 {
    reset(Sock(context.arg(0)), READ);
    0
}

/// `trace_tcp_send_reset(const struct sock *sk, const struct sk_buff *skb)`; since Linux 6.10 a reason follows. The socket is
/// null, or none of a connection, where a segment is refused that belongs to none.
#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub fn tcp_send_reset(context: RawTracePointContext) -> i32 {
    reset(Sock(context.arg(0)), WRITE);
    0
}

/// Tells user space which end broke a connection off. It may come before the connection's end or behind it.
#[inline(always)]
fn reset(sock: Sock<false>, direction: u8) {
    let Some(connection) = CONNECTIONS.get_ptr(sock.0) else { return };
    // SAFETY: a live element of the map.
    let connection = unsafe { &*connection };
    if connection.opened == 0 || connection.ignored != 0 {
        return;
    }
    let Some(mut entry) = reserve::<Reset>() else { return };
    // SAFETY: the reservation is of that size; a helper without preconditions.
    unsafe {
        entry.as_mut_ptr().write(Reset {
            header: Header { kind: record::RESET, payload: 0, time: bpf_ktime_get_ns() },
            connection: connection.id,
            direction,
            reserved: [0; 7],
        });
    }
    entry.submit(wake_flag(size_of::<Reset>() as u64));
}
