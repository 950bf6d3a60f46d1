//! Tier `syscall-tracepoint`: the exit of the system calls that can move bytes on a socket.
//!
//! One hook, the BTF tracepoint at the exit of all system calls (since Linux 5.5: the verifier knows the saved registers'
//! type, so that a look at them costs no helper), which goes on to the program for the call. At a call's
//! exit the saved user registers still hold the arguments beside the result, so no hook at its entry and no map between
//! the two is needed. The socket is looked up by the descriptor after the call; if another thread has meanwhile put
//! another socket in its place, that socket's own sequence number has not moved by what the call returned, and the
//! segment is counted as ambiguous instead of being told of the wrong connection.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use remora_abi::loss::Counter;
use remora_abi::maps::calls;
use remora_abi::record::{READ, WRITE};

use crate::connection::{self, Found};
use crate::datagram::{self, MESSAGE_SIZE, Peer};
use crate::globals::{CALLS, Messages, Program, Scratch, count};
use crate::kernel::{Sock, UDP, at, opaque, read_user, socket};
use crate::pieces::{MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, Pieces, number};
use crate::registers::Call;
use crate::segment::{MAX_RECORDS, moved, wanted};

/// Messages of `sendmmsg` and `recvmmsg` that are followed.
const MAX_MESSAGES: u64 = 16;
/// Messages whose lengths are added up, so that those that are followed can be placed.
const MAX_COUNTED_MESSAGES: u64 = 32;
/// As above, of datagrams.
const MAX_DATAGRAMS: u64 = 16;
/// Offset of `msg_len` in it.
const MESSAGE_LENGTH: u32 = 56;

/// `trace_sys_exit(struct pt_regs *regs, long ret)` (include/trace/events/syscalls.h)
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(context: BtfTracePointContext) -> i32 {
    let result: i64 = context.arg(1);
    if result < 0 {
        return 0;
    }
    let (number, compat) = Call::number_of(context.arg(0));
    if compat {
        // read, write, socketcall, readv, writev, sendto, sendmsg, recvfrom and recvmsg of 32-bit x86.
        if matches!(number, 3 | 4 | 102 | 145 | 146 | 369..=372) {
            count(Counter::Compat, 1);
        }
        return 0;
    }
    let index = match number {
        number::READ | number::READV | number::PREADV2 | number::RECVFROM | number::RECVMSG => calls::READ,
        number::WRITE
        | number::WRITEV
        | number::PWRITEV2
        | number::SENDTO
        | number::SENDMSG
        | number::SENDFILE => calls::WRITE,
        number::SPLICE => calls::SPLICE,
        number::RECVMMSG => calls::RECVMMSG,
        number::SENDMMSG => calls::SENDMMSG,
        number::ACCEPT | number::ACCEPT4 => calls::ACCEPT,
        _ => return 0,
    };
    // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
    unsafe { CALLS.tail_call(&context, index) };
    0
}

/// The call that ends here and its result, put into the program's scratch.
#[inline(always)]
fn ended(context: &BtfTracePointContext, program: Program) -> Option<(&'static mut Scratch, i64)> {
    let scratch = Scratch::of(program)?;
    scratch.call = Call::of(context.arg(0));
    scratch.behind = 0;
    Some((scratch.again(), context.arg(1)))
}

/// At the exit of `accept` and `accept4`: the result is the new descriptor.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_accept(context: BtfTracePointContext) -> i32 {
    let descriptor: i64 = context.arg(1);
    if let Some(sock) = socket(descriptor as u64) {
        connection::accepted(sock);
    }
    0
}

/// At the exit of calls that read.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_read(context: BtfTracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Read) else { return 0 };
    let flags = match scratch.call.number {
        number::RECVFROM => scratch.call.fourth,
        number::RECVMSG => scratch.call.third,
        _ => 0,
    };
    if flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
        return 0;
    }
    let Some(sock) = socket(scratch.call.first) else { return 0 };
    let entry = match wanted(sock, READ, result as u32) {
        Found::Connection(entry) => entry,
        Found::Datagrams if result > 0 => return go_on(&context, scratch, sock, calls::READ_DATAGRAM),
        _ => return 0,
    };
    scratch.pieces = if flags & MSG_TRUNC != 0 { Pieces::UNREACHABLE } else { Pieces::of(&scratch.call) };
    moved::<MAX_RECORDS, _>(scratch.again(), sock, entry, READ, result as u32);
    0
}

/// At the exit of calls that write.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_write(context: BtfTracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Write) else { return 0 };
    if result == 0 {
        return 0;
    }
    let Some(sock) = socket(scratch.call.first) else { return 0 };
    let entry = match wanted(sock, WRITE, result as u32) {
        Found::Connection(entry) => entry,
        Found::Datagrams => return go_on(&context, scratch, sock, calls::WRITE_DATAGRAM),
        Found::Nothing => return 0,
    };
    scratch.pieces = Pieces::of(&scratch.call);
    moved::<MAX_RECORDS, _>(scratch.again(), sock, entry, WRITE, result as u32);
    0
}

/// At the exit of `splice(in, _, out, …)`. One of the two is a pipe, so the other alone may be a socket.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_splice(context: BtfTracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Read) else { return 0 };
    scratch.pieces = Pieces::UNREACHABLE;
    let (sock, direction) = match socket(scratch.call.first) {
        Some(sock) => (sock, READ),
        None if result == 0 => return 0,
        None => match socket(scratch.call.third) {
            Some(sock) => (sock, WRITE),
            None => return 0,
        },
    };
    if let Found::Connection(entry) = wanted(sock, direction, result as u32) {
        moved::<1, _>(scratch.again(), sock, entry, direction, result as u32);
    }
    0
}

/// At the exit of `recvmmsg`.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_recvmmsg(context: BtfTracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Read) else { return 0 };
    if scratch.call.fourth & (MSG_PEEK | MSG_ERRQUEUE) == 0 {
        messages(&context, scratch, READ, result);
    }
    0
}

/// At the exit of `sendmmsg`.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_sendmmsg(context: BtfTracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Write) else { return 0 };
    messages(&context, scratch, WRITE, result);
    0
}

/// `result` messages of the `struct mmsghdr` array moved.
#[inline(always)]
fn messages(context: &BtfTracePointContext, scratch: &mut Scratch, direction: u8, result: i64) {
    let Some(sock) = socket(scratch.call.first) else { return };
    if sock.protocol() == UDP {
        go_on(
            context,
            scratch,
            sock,
            if direction == READ { calls::READ_DATAGRAMS } else { calls::WRITE_DATAGRAMS },
        );
        return;
    }
    if scratch.call.fourth & MSG_TRUNC != 0 {
        return;
    }
    scratch.messages = Messages { sock: sock.0, count: result as u64, next: 0 };
    let mut i = 0;
    while i < MAX_COUNTED_MESSAGES {
        let scratch = scratch.again();
        if i >= scratch.messages.count {
            break;
        }
        let header = scratch.call.second + i * MESSAGE_SIZE;
        scratch.behind += read_user::<u32>(at(header, MESSAGE_LENGTH)).unwrap_or(0);
        i = opaque(i) + 1;
    }
    // Each is a run of a program of its own, which the verifier looks at once.
    let index = if direction == READ { calls::READ_MESSAGE } else { calls::WRITE_MESSAGE };
    // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
    unsafe { CALLS.tail_call(context, index) };
}

/// For each message of a `recvmmsg`.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_read_message(context: BtfTracePointContext) -> i32 {
    message(&context, READ, calls::READ_MESSAGE);
    0
}

/// For each message of a `sendmmsg`.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_write_message(context: BtfTracePointContext) -> i32 {
    message(&context, WRITE, calls::WRITE_MESSAGE);
    0
}

/// The next message moved; then goes on to the program for the one behind it, which is at `index`.
#[inline(always)]
fn message(context: &BtfTracePointContext, direction: u8, index: u32) {
    let Some(scratch) = Scratch::of(Program::of(direction)) else { return };
    let i = scratch.messages.next;
    if i >= scratch.messages.count {
        return;
    }
    if i >= MAX_MESSAGES {
        count(Counter::Pieces, scratch.behind as u64);
        return;
    }
    scratch.messages.next = i + 1;
    let header = scratch.call.second + i * MESSAGE_SIZE;
    let length = read_user::<u32>(at(header, MESSAGE_LENGTH)).unwrap_or(0);
    scratch.pieces = Pieces::of_message(header);
    let scratch = scratch.again();
    scratch.behind = scratch.behind.wrapping_sub(length);
    if length > 0 {
        let sock: Sock<false> = Sock(scratch.messages.sock);
        if let Found::Connection(entry) = wanted(sock, direction, length) {
            moved::<MAX_RECORDS, _>(scratch.again(), sock, entry, direction, length);
        }
    }
    // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
    unsafe { CALLS.tail_call(context, index) };
}

/// Goes on to the program for datagrams.
#[inline(always)]
fn go_on(context: &BtfTracePointContext, scratch: &mut Scratch, sock: Sock<false>, index: u32) -> i32 {
    scratch.messages.sock = sock.0;
    // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
    unsafe { CALLS.tail_call(context, index) };
    0
}

/// The scratch of a program that was gone on to, with the socket entered in its datagram; `None` if nothing of it is
/// wanted.
#[inline(always)]
fn datagrams(direction: u8) -> Option<(&'static mut Scratch, Sock<false>)> {
    let scratch = Scratch::of(Program::of(direction))?;
    let sock = Sock(scratch.messages.sock);
    let socket = datagram::wanted(sock, direction)?;
    if datagram::begin(scratch.again(), sock, socket, direction) {
        Some((scratch.again(), sock))
    } else {
        None
    }
}

/// At the exit of calls that read, on a UDP socket.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_read_datagram(context: BtfTracePointContext) -> i32 {
    let Some((scratch, sock)) = datagrams(READ) else { return 0 };
    one(scratch, sock, context.arg(1));
    0
}

/// At the exit of calls that write, on a UDP socket.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_write_datagram(context: BtfTracePointContext) -> i32 {
    let Some((scratch, sock)) = datagrams(WRITE) else { return 0 };
    one(scratch, sock, context.arg(1));
    0
}

#[inline(always)]
fn one(scratch: &mut Scratch, sock: Sock<false>, result: i64) {
    scratch.pieces = Pieces::of(&scratch.call);
    datagram::tell(scratch.again(), sock, result as u32, Peer::Named, false);
}

/// At the exit of `recvmmsg` on a UDP socket.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_recvmmsg_datagrams(context: BtfTracePointContext) -> i32 {
    let Some((scratch, sock)) = datagrams(READ) else { return 0 };
    each(scratch, sock, context.arg(1));
    0
}

/// At the exit of `sendmmsg` on a UDP socket.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_sendmmsg_datagrams(context: BtfTracePointContext) -> i32 {
    let Some((scratch, sock)) = datagrams(WRITE) else { return 0 };
    each(scratch, sock, context.arg(1));
    0
}

#[inline(always)]
fn each(scratch: &mut Scratch, sock: Sock<false>, result: i64) {
    scratch.messages.count = result as u64;
    let mut i = 0;
    while i < MAX_DATAGRAMS {
        let scratch = scratch.again();
        if i >= scratch.messages.count {
            return;
        }
        let header = scratch.call.second + i * MESSAGE_SIZE;
        let length = read_user::<u32>(at(header, MESSAGE_LENGTH)).unwrap_or(0);
        scratch.pieces = Pieces::of_message(header);
        scratch.datagram.flags = 0;
        if length > 0 {
            datagram::tell(scratch.again(), sock, length, Peer::Named, false);
        }
        i = opaque(i) + 1;
    }
    let scratch = scratch.again();
    count(Counter::DatagramsUnreadable, scratch.messages.count.saturating_sub(MAX_DATAGRAMS));
}
