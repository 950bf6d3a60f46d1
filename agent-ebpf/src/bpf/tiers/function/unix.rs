//! Unix stream sockets.

use remora_abi::loss::Counter;
use remora_abi::maps::{Connection, SHAPE_NONE, TRANSFER_PEEK};
use remora_abi::record::{READ, WRITE};

use super::{ahead, any, begin, current, pieces, registers, whose};
use crate::connection::{self, Found};
use crate::globals::{Messages, Program, Scratch, UNIX_CONNECTIONS, count, offset};
use crate::kernel::{Sock, at, read, read_user};
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
    if let Some(transfer) = any(WRITE as u32)
        && transfer.shape == SHAPE_NONE
    {
        transfer.awaited = transfer.left;
    }
}

/// At `skb_copy_datagram_from_iter(struct sk_buff *skb, int offset, struct iov_iter *from, int len)`, by which each part of what
/// is sent goes from the message into a buffer of the kernel: it is told before its reader can have it, since the return of the
/// whole may be missed. Should the copy fail behind its first page, or the peer close in just that moment, it is told though it
/// was not sent.
#[inline(always)]
pub fn take(buffer: u64, iterator: u64, length: u32) {
    let sock: u64 = read(at(buffer, offset!(buffer_sock)));
    let Some(transfer) = current(sock, WRITE as u32) else { return };
    if length == 0 || iterator != at(transfer.message, offset!(message_iterator)) {
        return;
    }
    let pieces = ahead(transfer, length as u64);
    let (address, _) = pieces.first();
    // Nothing is sent from an address that does not exist. (If there is but no page yet, [`sent`] tells it.)
    if read_user::<u8>(address).is_some() {
        transfer.told += length as u64;
        tell::<MAX_RECORDS>(sock, WRITE, length, || pieces);
    }
}

/// At the return of `unix_stream_sendmsg`: what has not been told yet. What was spliced (since Linux 6.5) has no address.
#[inline(always)]
pub fn sent(result: i64) {
    let Some(transfer) = any(WRITE as u32) else { return };
    transfer.awaited = 0;
    let told = core::mem::take(&mut transfer.told) as i64;
    if result > told {
        let sock = transfer.socket;
        let pieces = || if told == 0 { pieces(transfer, result as u64) } else { Pieces::UNREACHABLE };
        tell::<MAX_RECORDS>(sock, WRITE, (result - told) as u32, pieces);
    }
}

/// At `unix_stream_sendpage(struct socket *sock, …)`, by which sendfile and splice came before Linux 6.5. They have no message.
#[inline(always)]
pub fn begin_page(socket: u64) {
    begin(sock_of(socket), 0, WRITE as u32);
    if let Some(transfer) = any(WRITE as u32) {
        transfer.awaited = 1;
    }
}

/// At its return.
#[inline(always)]
pub fn page(result: i64) {
    let Some(transfer) = any(WRITE as u32) else { return };
    transfer.awaited = 0;
    if result > 0 {
        tell::<1>(transfer.socket, WRITE, result as u32, || Pieces::UNREACHABLE);
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
pub fn begin_chunk(chunk: u32, state: u64, message: bool) {
    let socket: u64 = read(at(state, offset!(unix_read_socket)));
    let flags: u32 = read(at(state, offset!(unix_read_flags)));
    let message = if message { read(at(state, offset!(unix_read_message))) } else { 0 };
    begin_receive(socket, message, flags);
    if let Some(transfer) = any(READ as u32) {
        transfer.awaited = chunk as u64;
    }
}

/// At the return of the first of them: the bytes copied.
#[inline(always)]
pub fn chunk(result: i64) {
    let Some(transfer) = any(READ as u32) else { return };
    transfer.awaited = 0;
    if result > 0 {
        tell::<MAX_RECORDS>(transfer.socket, READ, result as u32, || pieces(transfer, result as u64));
    }
}

/// At the return of the second: the bytes that are in the pipe now.
#[inline(always)]
pub fn spliced(result: i64) {
    let Some(transfer) = any(READ as u32) else { return };
    transfer.awaited = 0;
    if result > 0 {
        tell::<1>(transfer.socket, READ, result as u32, || Pieces::UNREACHABLE);
    }
}

/// At the return of `unix_stream_recvmsg`: nothing read means the end of the stream, unless nothing was asked for.
#[inline(always)]
pub fn received(result: i64) {
    if result == 0
        && let Some(transfer) = any(READ as u32)
        && transfer.left != 0
    {
        tell::<1>(transfer.socket, READ, 0, || Pieces::UNREACHABLE);
    }
}

/// Leaves word with a connection that so many of its bytes are being read; returns those of which that was said before, and not
/// taken back.
#[inline(always)]
fn await_on(connection: Option<*mut Connection>, bytes: u32) -> u32 {
    match connection {
        // SAFETY: a live element of the map. Who reads from a unix socket holds its lock for that.
        Some(connection) => unsafe { core::mem::replace(&mut (*connection).awaited, bytes) },
        None => 0,
    }
}

/// Whether the current thread, before the call that it begins, has read what is not told, since the kernel has not told that
/// read's return. It is noted, for [`tell_missed`] to tell that it came.
#[inline(always)]
pub fn missed() -> bool {
    let Some(transfer) = any(READ as u32) else { return false };
    if transfer.awaited == 0 {
        return false;
    }
    transfer.awaited = 0;
    note(transfer.socket, await_on(UNIX_CONNECTIONS.get_ptr_mut(transfer.socket), 0))
}

/// Likewise, whether anybody has read that from the socket of which `chunk` bytes are about to be read, at the entry of the
/// functions that read.
#[inline(always)]
pub fn missed_on(state: u64, chunk: u32) -> bool {
    let sock: Sock<false> = Sock(sock_of(read(at(state, offset!(unix_read_socket)))));
    let flags: u32 = read(at(state, offset!(unix_read_flags)));
    if flags & PEEK != 0 {
        return false;
    }
    if let Some(transfer) = any(READ as u32)
        && transfer.socket == sock.0
    {
        transfer.awaited = 0;
    }
    note(sock.0, await_on(connection::find_unix(sock, READ), chunk))
}

/// At the return of those: it is not missed.
#[inline(always)]
pub fn returned() {
    if let Some(transfer) = any(READ as u32) {
        await_on(UNIX_CONNECTIONS.get_ptr_mut(transfer.socket), 0);
    }
}

#[inline(always)]
fn note(sock: u64, bytes: u32) -> bool {
    if bytes == 0 {
        return false;
    }
    count(Counter::MissedReturns, 1);
    let Some(scratch) = Scratch::of(Program::Read) else { return false };
    scratch.messages = Messages { sock, count: bytes as u64, next: 0 };
    true
}

/// Tells what [`missed`] noted.
#[inline(always)]
pub fn tell_missed() {
    let Some(scratch) = Scratch::of(Program::Read) else { return };
    let Messages { sock, count, .. } = scratch.messages;
    tell::<1>(sock, READ, count as u32, || Pieces::UNREACHABLE);
}

/// `bytes` bytes moved, which make `RECORDS` records at most.
#[inline(always)]
fn tell<const RECORDS: u64>(sock: u64, direction: u8, bytes: u32, pieces: impl FnOnce() -> Pieces) {
    let sock: Sock<false> = Sock(sock);
    let Found::Connection(entry) = wanted(sock, direction, bytes) else { return };
    let Some(scratch) = Scratch::take(Program::of(direction)) else { return };
    if whose(scratch.again()) {
        let scratch = scratch.again();
        scratch.behind = 0;
        scratch.messages = Messages { sock: sock.0, count: bytes as u64, next: 0 };
        scratch.pieces = pieces();
        registers(scratch.again());
        let Messages { sock, count, .. } = scratch.again().messages;
        moved::<RECORDS, false>(scratch.again(), Sock(sock), entry, direction, count as u32);
    }
    Scratch::give_back(Program::of(direction));
}

/// At `unix_release(struct socket *sock)`: the last descriptor is gone.
#[inline(always)]
pub fn released(socket: u64) {
    connection::closed_unix(Sock(sock_of(socket)));
}
