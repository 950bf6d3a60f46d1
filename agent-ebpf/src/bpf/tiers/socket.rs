//! Tier `socket-tracepoint`: two tracepoints of the socket layer (since Linux 6.3).
//!
//! They are BTF tracepoints: the verifier knows the socket's type, so that its fields are loaded without a helper's help.
//! They fire for sockets only and name the socket itself, whoever moved the bytes: no descriptor to look up, no race
//! with its reuse, no cost for any other system call, and io_uring is seen too.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use remora_abi::loss::Counter;
use remora_abi::record::{READ, WRITE};

use crate::connection::Found;
use crate::datagram;
use crate::globals::{Program, Scratch, count};
use crate::kernel::{Mover, Sock, by_ring};
use crate::pieces::{MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, Pieces};
use crate::registers::Call;
use crate::segment::{MAX_RECORDS, moved, wanted};

/// `trace_sock_send_length(struct sock *sk, int ret, int flags)` (net/socket.c)
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(context: BtfTracePointContext) -> i32 {
    let result: i32 = context.arg(1);
    if result >= 0 {
        socket_call(Sock(context.arg(0)), WRITE, result as u32, 0);
    } else {
        datagram::interrupted();
    }
    0
}

/// `trace_sock_recv_length(struct sock *sk, int ret, int flags)` (net/socket.c)
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(context: BtfTracePointContext) -> i32 {
    let result: i32 = context.arg(1);
    let flags: u32 = context.arg(2);
    if result < 0 {
        datagram::interrupted();
    } else if flags as u64 & (MSG_PEEK | MSG_ERRQUEUE) == 0 {
        socket_call(Sock(context.arg(0)), READ, result as u32, flags as u64);
    }
    0
}

/// The system call that moves the bytes; one without a number if it is none.
#[inline(always)]
fn current_call(sock: Sock<true>) -> Call {
    let mut call = Call::current();
    if by_ring(sock, call.first) {
        call.number = -1;
    }
    call
}

#[inline(always)]
fn socket_call(sock: Sock<true>, direction: u8, bytes: u32, flags: u64) {
    let entry = match wanted(sock, direction, bytes) {
        Found::Connection(_) if bytes == 0 && direction == WRITE => return,
        Found::Connection(entry) => entry,
        Found::Datagrams => {
            socket_datagram(sock, direction, bytes);
            return;
        }
        Found::Nothing => return,
    };
    let Some(scratch) = Scratch::of(Program::of(direction)) else { return };
    scratch.call = current_call(sock);
    scratch.behind = 0;
    if scratch.call.compat != 0 {
        count(Counter::Compat, 1);
    }
    scratch.pieces = if scratch.call.compat != 0 || flags & MSG_TRUNC != 0 {
        Pieces::UNREACHABLE
    } else {
        Pieces::of(&scratch.call)
    };
    let scratch = scratch.again();
    if !scratch.pieces.reachable() {
        // SAFETY: a helper without preconditions.
        if let Mover::Kernel = Mover::of(unsafe { bpf_get_current_task() }) {
            return;
        }
    }
    moved::<MAX_RECORDS, _>(scratch.again(), sock, entry, direction, bytes);
}

#[inline(always)]
fn socket_datagram(sock: Sock<true>, direction: u8, bytes: u32) {
    let Some(socket) = datagram::wanted(sock, direction) else { return };
    let Some(scratch) = Scratch::of(Program::of(direction)) else { return };
    scratch.call = current_call(sock);
    if datagram::begin(scratch.again(), sock, socket, direction) {
        datagram::within(scratch.again(), sock, direction, bytes);
    }
}
