//! Tier `kprobe`: kernel probes.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::macros::{kprobe, kretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use remora_abi::maps::calls;
use remora_abi::record::{READ, WRITE};

use super::function::{begin, tcp, udp, unix};
use crate::globals::CALLS;
use crate::kernel::Sock;
use crate::{connection, process};

/// Declares a program at a function's entry; its arguments are taken by their places.
macro_rules! entry {
    ($program:ident($($place:literal: $argument:ident),*) $body:expr) => {
        #[kprobe]
        pub fn $program(context: ProbeContext) -> u32 {
            $(let Some($argument) = context.arg::<u64>($place) else { return 0 };)*
            $body;
            0
        }
    };
}

/// Likewise, of a function of unix sockets. If the kernel has not told the return of the thread's last read, that is told first.
macro_rules! unix_entry {
    ($program:ident($($place:literal: $argument:ident),*) $missed:expr, $body:expr) => {
        #[kprobe]
        pub fn $program(context: ProbeContext) -> u32 {
            $(let Some($argument) = context.arg::<u64>($place) else { return 0 };)*
            let missed = $missed;
            $body;
            if missed {
                // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
                unsafe { CALLS.tail_call(&context, calls::MISSED) };
            }
            0
        }
    };
}

/// Declares a program at a function's return.
macro_rules! exit {
    ($program:ident($result:ident) $body:expr) => {
        #[kretprobe]
        pub fn $program(context: RetProbeContext) -> u32 {
            let $result: i32 = context.ret();
            $body;
            0
        }
    };
}

/// Goes on to one of the two programs below, each of which the verifier looks at by itself.
#[kprobe]
pub fn kprobe_release_sock(context: ProbeContext) -> u32 {
    let Some(sock) = context.arg::<u64>(0) else { return 0 };
    if let Some(direction) = tcp::released(Sock::<false>(sock)) {
        let index = if direction == READ { calls::READ } else { calls::WRITE };
        // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
        unsafe { CALLS.tail_call(&context, index) };
    }
    0
}

/// Behind the functions of unix sockets; by itself because of what it takes of the stack.
#[kprobe]
pub fn kprobe_unix_missed(_context: ProbeContext) -> u32 {
    unix::tell_missed();
    0
}

entry!(kprobe_tcp_sendmsg(0: sock, 1: message) begin(sock, message, WRITE as u32));
entry!(kprobe_tcp_recvmsg(0: sock, 1: message) begin(sock, message, READ as u32));
entry!(kprobe_security_sock_graft(0: sock) connection::accepted(Sock::<false>(sock)));
entry!(kprobe_release_sock_read(0: sock) tcp::tell(Sock::<false>(sock), READ));
entry!(kprobe_release_sock_write(0: sock) tcp::tell(Sock::<false>(sock), WRITE));

unix_entry!(kprobe_unix_stream_sendmsg(0: socket, 1: message) unix::missed(), unix::begin_send(socket, message));
entry!(kprobe_skb_copy_datagram_from_iter(0: buffer, 2: iterator, 3: length) unix::take(buffer, iterator, length as u32));
exit!(kretprobe_unix_stream_sendmsg(result) unix::sent(result as i64));
unix_entry!(kprobe_unix_stream_recvmsg(0: socket, 1: message, 3: flags) unix::missed(), unix::begin_receive(socket, message, flags as u32));
exit!(kretprobe_unix_stream_recvmsg(result) unix::received(result as i64));
unix_entry!(kprobe_unix_stream_read_actor(2: chunk, 3: state) unix::missed_on(state, chunk as u32), unix::begin_chunk(chunk as u32, state, true));
exit!(kretprobe_unix_stream_read_actor(result) { unix::returned(); unix::chunk(result as i64) });
unix_entry!(kprobe_unix_stream_splice_actor(2: chunk, 3: state) unix::missed_on(state, chunk as u32), unix::begin_chunk(chunk as u32, state, false));
exit!(kretprobe_unix_stream_splice_actor(result) { unix::returned(); unix::spliced(result as i64) });
entry!(kprobe_unix_stream_sendpage(0: socket) unix::begin_page(socket));
exit!(kretprobe_unix_stream_sendpage(result) unix::page(result as i64));
entry!(kprobe_unix_release(0: socket) unix::released(socket));

entry!(kprobe_udp_sendmsg(0: sock, 1: message) udp::begin_send::<true, false>(Sock(sock), message));
exit!(kretprobe_udp_sendmsg(result) udp::sent::<true>(result as i64));
entry!(kprobe_udpv6_sendmsg(0: sock, 1: message) udp::begin_send::<false, false>(Sock(sock), message));
exit!(kretprobe_udpv6_sendmsg(result) udp::sent::<false>(result as i64));
entry!(kprobe_udp_recvmsg(0: sock, 1: message) udp::begin_receive(sock, message));
entry!(kprobe_udpv6_recvmsg(0: sock, 1: message) udp::begin_receive(sock, message));
entry!(kprobe_skb_consume_udp(0: sock, 1: buffer, 2: length) udp::received(Sock::<false>(sock), buffer, length as i32));

// What every tier learns of processes by tracepoints, at functions that are called in the same moments: where the kernel
// preempts programs at tracepoints (since Linux 7.0), these miss nothing.
entry!(kprobe_wake_up_new_task(0: child) process::forks(current_task(), child));

/// `finalize_exec(struct linux_binprm *bprm)`, the last before the new program runs.
#[kprobe]
pub fn kprobe_finalize_exec(_context: ProbeContext) -> u32 {
    process::executes(current_task());
    0
}

/// `do_exit(long code)`
#[kprobe]
pub fn kprobe_do_exit(_context: ProbeContext) -> u32 {
    process::exits();
    0
}

/// The current thread's `struct task_struct`.
#[inline(always)]
fn current_task() -> u64 {
    // SAFETY: a helper without preconditions.
    unsafe { bpf_get_current_task() }
}
