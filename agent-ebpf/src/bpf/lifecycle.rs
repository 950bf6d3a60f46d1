//! The life of TCP connections, from tracepoints that every tier shares.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use remora_abi::record::{self, Close, Header, ROLE_CLIENT, ROLE_SERVER};

use crate::connection;
use crate::globals::CONNECTIONS;
use crate::kernel::{Sock, TCP};
use crate::segment::{reserve, wake_flag};

/// `TCP_ESTABLISHED` (include/net/tcp_states.h)
const ESTABLISHED: i32 = 1;
/// `TCP_SYN_SENT`
const SYN_SENT: i32 = 2;
/// `TCP_SYN_RECV`
const SYN_RECV: i32 = 3;
/// `TCP_CLOSE`
const CLOSE: i32 = 7;

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
        (_, CLOSE) => closed(sock),
        _ => {}
    }
    0
}

/// Tells user space of the end. The entry stays: bytes that arrived before may still be read.
#[inline(always)]
fn closed(sock: Sock<false>) {
    let Some(connection) = CONNECTIONS.get_ptr(sock.0) else { return };
    // SAFETY: a live element of the map.
    let connection = unsafe { &*connection };
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
            read_position: connection.read.position
                + sock.copied().wrapping_sub(connection.read.sequence) as u64,
            write_position: connection.write.position
                + sock.written().wrapping_sub(connection.write.sequence) as u64,
            error: sock.error(),
            round_trip: sock.round_trip(),
            retransmits: sock.retransmits(),
            reserved: 0,
        });
    }
    entry.submit(wake_flag(size_of::<Close>() as u64));
}

/// `trace_tcp_destroy_sock(struct sock *sk)`: neither the kernel nor a process holds the socket any more.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(context: RawTracePointContext) -> i32 {
    let sock: u64 = context.arg(0);
    // Not there: a connection that never carried a byte, or a listener.
    let _ = CONNECTIONS.remove(sock);
    0
}
