//! Unix stream sockets.

use remora_abi::maps::TRANSFER_PEEK;
use remora_abi::record::{READ, WRITE};

use super::{any, begin, pieces, registers, whose};
use crate::connection::{self, Found};
use crate::globals::{Program, Scratch, offset};
use crate::kernel::{Sock, at, read};
use crate::pieces::Pieces;
use crate::segment::{MAX_RECORDS, moved, wanted};

/// `MSG_PEEK`
const PEEK: u32 = 2;

/// The `struct sock` of a `struct socket`.
#[inline(always)]
fn sock_of(socket: u64) -> u64 {
    read(at(socket, offset!(socket_sock)))
}

/// At `unix_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)`.
#[inline(always)]
pub fn begin_send(socket: u64, message: u64) {
    begin(sock_of(socket), message, WRITE as u32);
}

/// At its return.
#[inline(always)]
pub fn sent(result: i64) {
    if result > 0 {
        tell::<MAX_RECORDS>(WRITE, result as u32);
    }
}

/// At `unix_stream_sendpage(struct socket *sock, …)`, by which sendfile and splice came before Linux 6.5. They have no message.
#[inline(always)]
pub fn begin_page(socket: u64) {
    begin(sock_of(socket), 0, WRITE as u32);
}

/// At its return.
#[inline(always)]
pub fn page(result: i64) {
    if result > 0 {
        tell::<1>(WRITE, result as u32);
    }
}

/// At `unix_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
#[inline(always)]
pub fn begin_receive(socket: u64, message: u64, flags: u32) {
    let peek = if flags & PEEK != 0 { TRANSFER_PEEK } else { 0 };
    begin(sock_of(socket), message, READ as u32 | peek);
}

/// At `unix_stream_read_actor` and `unix_stream_splice_actor` `(struct sk_buff *skb, int skip, int chunk,
/// struct unix_stream_read_state *state)`, which copy a part of what is read. A splice has no message.
#[inline(always)]
pub fn begin_chunk(state: u64, message: bool) {
    let socket: u64 = read(at(state, offset!(unix_read_socket)));
    let flags: u32 = read(at(state, offset!(unix_read_flags)));
    let message = if message { read(at(state, offset!(unix_read_message))) } else { 0 };
    begin_receive(socket, message, flags);
}

/// At the return of the first of them: the bytes copied.
#[inline(always)]
pub fn chunk(result: i64) {
    if result > 0 {
        tell::<MAX_RECORDS>(READ, result as u32);
    }
}

/// At the return of the second: the bytes that are in the pipe now.
#[inline(always)]
pub fn spliced(result: i64) {
    if result > 0 {
        tell::<1>(READ, result as u32);
    }
}

/// At the return of `unix_stream_recvmsg`: nothing read means the end of the stream, unless nothing was asked for.
#[inline(always)]
pub fn received(result: i64) {
    if result == 0 && any(READ as u32).is_some_and(|transfer| transfer.left != 0) {
        tell::<1>(READ, 0);
    }
}

/// `bytes` bytes moved, which make `RECORDS` records at most.
#[inline(always)]
fn tell<const RECORDS: u64>(direction: u8, bytes: u32) {
    let Some(transfer) = any(direction as u32) else { return };
    let sock: Sock<false> = Sock(transfer.socket);
    let Found::Connection(entry) = wanted(sock, direction, bytes) else { return };
    Scratch::with(Program::of(direction), |scratch| {
        if !whose(scratch.again()) {
            return;
        }
        let scratch = scratch.again();
        scratch.behind = 0;
        scratch.pieces = if bytes == 0 { Pieces::UNREACHABLE } else { pieces(transfer, bytes as u64) };
        registers(scratch.again());
        moved::<RECORDS, false>(scratch.again(), sock, entry, direction, bytes);
    });
}

/// At `unix_release(struct socket *sock)`: the last descriptor is gone.
#[inline(always)]
pub fn released(socket: u64) {
    connection::closed_unix(Sock(sock_of(socket)));
}
