//! Tier `syscall-tracepoint`: the exit of the system calls that can move bytes on a socket.
//!
//! The work is done by one hook, the BTF tracepoint at the exit of all system calls (since Linux 5.5: the verifier knows the
//! saved registers' type, so that a look at them costs no helper), which goes on to the program for the call. At a call's
//! exit the saved user registers still hold the arguments beside the result, so nothing of them is kept from its entry.
//!
//! What a descriptor means is another matter: while a call lasts, another thread may let the number mean another socket, and
//! what the call moved would be told of that. (TCP's sequence numbers show it unless the other socket has just moved as
//! many bytes; a unix socket has none.) So where a process's descriptors are shared by threads, a second hook remembers at
//! a call's entry which file it is about.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use remora_abi::loss::Counter;
use remora_abi::maps::calls;
use remora_abi::record::{READ, WRITE};

use crate::connection::{self, Found};
use crate::datagram::{self, MESSAGE_SIZE, Peer};
use crate::globals::{CALLED, CALLS, Called, Program, Scratch, count, offset};
use crate::kernel::{Sock, UDP, at, file, opaque, read, read_user};
use crate::pieces::{MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, Pieces, number};
use crate::registers::Call;
use crate::segment::{MAX_RECORDS, moved, wanted};

/// Messages of `sendmmsg` and `recvmmsg` that are followed: the kernel lets a program go on to others 32 times.
const MAX_MESSAGES: u64 = 24;
/// As above, of datagrams.
const MAX_DATAGRAMS: u64 = 16;
/// Where [`CALLED`] has the file of a call's first argument.
const FIRST: usize = 0;
/// Where it has that of the third.
const THIRD: usize = 1;
/// Offset of `msg_len` in it.
const MESSAGE_LENGTH: u32 = 56;

/// The program for a call; `None` if nothing of it matters.
#[inline(always)]
fn program_of(number: i64) -> Option<u32> {
    match number {
        number::READ | number::READV | number::PREADV2 | number::RECVFROM | number::RECVMSG => {
            Some(calls::READ)
        }
        number::WRITE
        | number::WRITEV
        | number::PWRITEV2
        | number::SENDTO
        | number::SENDMSG
        | number::SENDFILE => Some(calls::WRITE),
        number::SPLICE => Some(calls::SPLICE),
        number::RECVMMSG => Some(calls::RECVMMSG),
        number::SENDMMSG => Some(calls::SENDMMSG),
        number::ACCEPT | number::ACCEPT4 => Some(calls::ACCEPT),
        _ => None,
    }
}

/// `trace_sys_enter(struct pt_regs *regs, long id)` (include/trace/events/syscalls.h)
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(context: BtfTracePointContext) -> i32 {
    let program = match program_of(context.arg(1)) {
        None | Some(calls::ACCEPT) => return 0,
        Some(program) => program,
    };
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task() };
    let table: u64 = read(at(task, offset!(task_files)));
    // Nobody else can change it meanwhile if nobody else has it.
    let alone = read::<u32>(at(table, offset!(files_count))) == 1;
    let known = CALLED.get_ptr_mut(task);
    if alone && known.is_none() {
        return 0;
    }
    let mut called = Called { files: [0; 2], descriptors: [0; 2] };
    if !alone {
        let (first, third) = Call::descriptors(context.arg(0));
        called.files[FIRST] = file(first);
        called.descriptors[FIRST] = first;
        if program == calls::SPLICE {
            called.files[THIRD] = file(third);
            called.descriptors[THIRD] = third;
        }
    }
    match known {
        // SAFETY: a live element of the map, which only this thread uses.
        Some(known) => unsafe { *known = called },
        None => {
            // A table that forgets never refuses.
            let _ = CALLED.insert(task, called, 0);
        }
    }
    0
}

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
    let Some(index) = program_of(number) else { return 0 };
    // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
    unsafe { CALLS.tail_call(&context, index) };
    0
}

/// The socket that the call is about, by its argument with that place in [`CALLED`], if it is one.
#[inline(always)]
fn socket(scratch: &mut Scratch, place: usize) -> Option<Sock<false>> {
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task() };
    let descriptor = if place == FIRST { scratch.call.first } else { scratch.call.third };
    let called = match CALLED.get_ptr(task) {
        // SAFETY: a live element of the map, which only this thread uses. The file lives, too: the call's own reference is
        // given back, but what that leads to is done behind this hook.
        Some(called) if unsafe { (*called).descriptors[place] } == descriptor => unsafe {
            (*called).files[place]
        },
        _ => 0,
    };
    scratch.messages.sock = if called != 0 { called } else { file(descriptor) };
    let scratch = scratch.again();
    scratch.messages.sock = Sock::<false>::of_file(scratch.messages.sock)?.0;
    Some(Sock(scratch.again().messages.sock))
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
    if let Some(sock) = Sock::<false>::of_file(file(descriptor as u64)) {
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
    let Some(sock) = socket(scratch.again(), FIRST) else { return 0 };
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
    let Some(sock) = socket(scratch.again(), FIRST) else { return 0 };
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
    let (sock, direction) = match socket(scratch.again(), FIRST) {
        Some(sock) => (sock, READ),
        None if result == 0 => return 0,
        None => match socket(scratch.again(), THIRD) {
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
    let Some(sock) = socket(scratch.again(), FIRST) else { return };
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
    scratch.messages.count = result as u64;
    scratch.messages.next = 0;
    if scratch.messages.count > MAX_MESSAGES {
        // Where one stands is known by the lengths of those behind it. Their bytes are missing from the stream, by their number.
        count(Counter::Unreachable, scratch.messages.count);
        return;
    }
    let mut i = 0;
    // Where a layer above TCP changes the bytes, these lengths are not TCP's: all that has moved is told with the first message.
    while i < MAX_MESSAGES && !sock.layered() {
        let scratch = scratch.again();
        if i >= scratch.messages.count {
            break;
        }
        let header = scratch.call.second + i * MESSAGE_SIZE;
        scratch.behind += read_user::<u32>(at(header, MESSAGE_LENGTH)).unwrap_or(0);
        i = opaque(i) + 1;
    }
    go_on(
        context,
        scratch.again(),
        sock,
        if direction == READ { calls::READ_MESSAGE } else { calls::WRITE_MESSAGE },
    );
}

/// Behind `recvmmsg`, for each message.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_recvmmsg_message(context: BtfTracePointContext) -> i32 {
    message(&context, READ, calls::READ_MESSAGE)
}

/// Behind `sendmmsg`, for each message.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_sendmmsg_message(context: BtfTracePointContext) -> i32 {
    message(&context, WRITE, calls::WRITE_MESSAGE)
}

/// The next message of the call moved. The program goes on to itself for the one behind it: the verifier looks at one.
#[inline(always)]
fn message(context: &BtfTracePointContext, direction: u8, index: u32) -> i32 {
    let Some(scratch) = Scratch::of(Program::of(direction)) else { return 0 };
    let header = scratch.call.second + scratch.messages.next * MESSAGE_SIZE;
    let length = read_user::<u32>(at(header, MESSAGE_LENGTH)).unwrap_or(0);
    scratch.pieces = Pieces::of_message(header);
    let scratch = scratch.again();
    scratch.messages.next += 1;
    scratch.behind = scratch.behind.saturating_sub(length);
    let sock: Sock<false> = Sock(scratch.messages.sock);
    if length > 0
        && let Found::Connection(entry) = wanted(sock, direction, length)
    {
        moved::<MAX_RECORDS, _>(scratch.again(), sock, entry, direction, length);
    }
    let scratch = scratch.again();
    if scratch.messages.next >= scratch.messages.count {
        return 0;
    }
    if scratch.messages.next < MAX_MESSAGES {
        // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
        unsafe { CALLS.tail_call(context, index) };
    }
    0
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
