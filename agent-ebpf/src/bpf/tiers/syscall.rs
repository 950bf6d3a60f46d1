//! Tier `syscall-tracepoint`: the exit of each system call that can move bytes on a socket.
//!
//! One hook a call: at its exit, the saved user registers still hold the arguments beside the result, so no entry
//! hook and no map between the two is needed. The socket is looked up by the descriptor after the call; if another
//! thread has meanwhile put another socket in its place, that socket's own sequence number has not moved by what
//! the call returned, and the segment is counted as ambiguous instead of being told of the wrong connection.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use remora_abi::loss::Counter;
use remora_abi::record::{READ, WRITE};

use crate::globals::{Program, Scratch, count, offset};
use crate::kernel::{Sock, at, opaque, read, read_user};
use crate::pieces::{MSG_PEEK, MSG_TRUNC, Pieces, number};
use crate::registers::Call;
use crate::segment::{MAX_RECORDS, moved};

/// Offset of the call's number in `struct syscall_trace_exit` (kernel/trace/trace.h).
const NUMBER: usize = 8;
/// Offset of the call's result there.
const RESULT: usize = 16;
/// Messages of `sendmmsg` and `recvmmsg` that are followed.
const MAX_MESSAGES: u64 = 4;
/// Records that one of them makes at most.
const RECORDS_A_MESSAGE: u64 = 4;
/// `sizeof(struct mmsghdr)`
const MESSAGE_SIZE: u64 = 64;
/// Offset of `msg_len` in it.
const MESSAGE_LENGTH: u32 = 56;

/// The socket behind a descriptor of the current process, if it is one.
#[inline(always)]
fn socket(descriptor: u64) -> Option<Sock> {
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = read(at(task, offset!(task_files)));
    let table: u64 = read(at(files, offset!(files_table)));
    let size: u32 = read(at(table, offset!(table_size)));
    let descriptor = descriptor as u32;
    if descriptor >= size {
        return None;
    }
    let array: u64 = read(at(table, offset!(table_files)));
    let file: u64 = read(array + descriptor as u64 * 8);
    let inode: u64 = read(at(file, offset!(file_inode)));
    let mode: u16 = read(at(inode, offset!(inode_mode)));
    // S_ISSOCK
    if mode & 0o170_000 != 0o140_000 {
        return None;
    }
    let socket: u64 = read(at(file, offset!(file_private)));
    let sock: u64 = read(at(socket, offset!(socket_sock)));
    if sock == 0 { None } else { Some(Sock(sock)) }
}

/// The call that ends here and its result, put into the program's scratch; `None` if it failed or cannot be followed.
#[inline(always)]
fn ended(context: &TracePointContext, program: Program) -> Option<(&'static mut Scratch, i64)> {
    // SAFETY: both fields are part of the record of every `sys_exit_*` event.
    let (number, result) = unsafe {
        let record = context.as_ptr().cast::<u8>();
        (record.add(NUMBER).cast::<i32>().read() as i64, record.add(RESULT).cast::<i64>().read())
    };
    if result < 0 {
        return None;
    }
    let scratch = Scratch::of(program)?;
    scratch.call = Call::current();
    if scratch.call.number != number {
        count(if scratch.call.compat != 0 { Counter::Compat } else { Counter::Registers }, 1);
        return None;
    }
    Some((scratch.again(), result))
}

/// At the exit of calls that read.
#[tracepoint]
pub fn sys_exit_read(context: TracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Read) else { return 0 };
    let flags = match scratch.call.number {
        number::RECVFROM => scratch.call.fourth,
        number::RECVMSG => scratch.call.third,
        _ => 0,
    };
    if flags & MSG_PEEK != 0 {
        return 0;
    }
    let Some(sock) = socket(scratch.call.first) else { return 0 };
    scratch.pieces = if flags & MSG_TRUNC != 0 { Pieces::UNREACHABLE } else { Pieces::of(&scratch.call) };
    moved::<MAX_RECORDS>(scratch.again(), sock, READ, result as u32);
    0
}

/// At the exit of calls that write.
#[tracepoint]
pub fn sys_exit_write(context: TracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Write) else { return 0 };
    if result == 0 {
        return 0;
    }
    // splice(in, _, out, …) alone does not name the socket first.
    let out = if scratch.call.number == number::SPLICE { scratch.call.third } else { scratch.call.first };
    let Some(sock) = socket(out) else { return 0 };
    scratch.pieces = Pieces::of(&scratch.call);
    moved::<MAX_RECORDS>(scratch.again(), sock, WRITE, result as u32);
    0
}

/// At the exit of `recvmmsg`.
#[tracepoint]
pub fn sys_exit_recvmmsg(context: TracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Read) else { return 0 };
    if scratch.call.fourth & (MSG_PEEK | MSG_TRUNC) == 0 {
        messages(scratch, READ, result);
    }
    0
}

/// At the exit of `sendmmsg`.
#[tracepoint]
pub fn sys_exit_sendmmsg(context: TracePointContext) -> i32 {
    let Some((scratch, result)) = ended(&context, Program::Write) else { return 0 };
    messages(scratch, WRITE, result);
    0
}

/// `result` messages of the `struct mmsghdr` array moved.
#[inline(always)]
fn messages(scratch: &mut Scratch, direction: u8, result: i64) {
    let Some(sock) = socket(scratch.call.first) else { return };
    let mut i = 0;
    while i < MAX_MESSAGES {
        let scratch = scratch.again();
        if i as i64 >= result {
            return;
        }
        let header = scratch.call.second + i * MESSAGE_SIZE;
        let Some(length) = read_user::<u32>(at(header, MESSAGE_LENGTH)) else { return };
        scratch.pieces = Pieces::of_message(header);
        if length > 0 {
            moved::<RECORDS_A_MESSAGE>(scratch.again(), sock, direction, length);
        }
        i = opaque(i) + 1;
    }
    count(Counter::Pieces, (result - MAX_MESSAGES as i64).max(0) as u64);
}
