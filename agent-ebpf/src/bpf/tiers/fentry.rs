//! Tier `fentry`: trampolines. The verifier knows the arguments' types, so that a socket's fields are loaded without a helper's
//! help.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use remora_abi::maps::calls;
use remora_abi::record::{READ, WRITE};

use super::function::{begin, tcp, udp, unix};
use crate::connection;
use crate::globals::CALLS;
use crate::kernel::Sock;

/// Declares a program at a function's entry; its arguments are taken by their places.
macro_rules! entry {
    ($program:ident($($place:literal: $argument:ident),*) $body:expr) => {
        #[fentry]
        pub fn $program(context: FEntryContext) -> i32 {
            $(let $argument: u64 = context.arg($place);)*
            $body;
            0
        }
    };
}

/// Declares a program at a function's return. What it returns stands behind its arguments.
macro_rules! exit {
    ($program:ident($place:literal: $result:ident) $body:expr) => {
        #[fexit]
        pub fn $program(context: FExitContext) -> i32 {
            let $result: i32 = context.arg($place);
            $body;
            0
        }
    };
}

/// Goes on to one of the two programs below, each of which the verifier looks at by itself.
#[fentry]
pub fn fentry_release_sock(context: FEntryContext) -> i32 {
    let sock: u64 = context.arg(0);
    if let Some(direction) = tcp::released(Sock::<true>(sock)) {
        let index = if direction == READ { calls::READ } else { calls::WRITE };
        // SAFETY: the table holds programs of this kind only. It returns only if the entry is missing.
        unsafe { CALLS.tail_call(&context, index) };
    }
    0
}

entry!(fentry_tcp_sendmsg(0: sock, 1: message) begin(sock, message, WRITE as u32));
entry!(fentry_tcp_recvmsg(0: sock, 1: message) begin(sock, message, READ as u32));
entry!(fentry_security_sock_graft(0: sock) connection::accepted(Sock::<true>(sock)));
entry!(fentry_release_sock_read(0: sock) tcp::tell(Sock::<true>(sock), READ));
entry!(fentry_release_sock_write(0: sock) tcp::tell(Sock::<true>(sock), WRITE));

entry!(fentry_unix_stream_sendmsg(0: socket, 1: message) unix::begin_send(socket, message));
exit!(fexit_unix_stream_sendmsg(3: result) unix::sent(result as i64));
entry!(fentry_unix_stream_recvmsg(0: socket, 1: message, 3: flags) unix::begin_receive(socket, message, flags as u32));
exit!(fexit_unix_stream_recvmsg(4: result) unix::received(result as i64));
entry!(fentry_unix_stream_read_actor(2: chunk, 3: state) unix::begin_chunk(chunk as u32, state, true));
exit!(fexit_unix_stream_read_actor(4: result) unix::chunk(result as i64));
entry!(fentry_unix_stream_splice_actor(2: chunk, 3: state) unix::begin_chunk(chunk as u32, state, false));
exit!(fexit_unix_stream_splice_actor(4: result) unix::spliced(result as i64));
entry!(fentry_unix_stream_sendpage(0: socket) unix::begin_page(socket));
exit!(fexit_unix_stream_sendpage(5: result) unix::page(result as i64));
entry!(fentry_unix_release(0: socket) unix::released(socket));

entry!(fentry_udp_sendmsg(0: sock, 1: message) udp::begin_send::<true, true>(Sock(sock), message));
exit!(fexit_udp_sendmsg(3: result) udp::sent::<true>(result as i64));
entry!(fentry_udpv6_sendmsg(0: sock, 1: message) udp::begin_send::<false, true>(Sock(sock), message));
exit!(fexit_udpv6_sendmsg(3: result) udp::sent::<false>(result as i64));
entry!(fentry_udp_recvmsg(0: sock, 1: message) udp::begin_receive(sock, message));
entry!(fentry_udpv6_recvmsg(0: sock, 1: message) udp::begin_receive(sock, message));
entry!(fentry_skb_consume_udp(0: sock, 1: buffer, 2: length) udp::received(Sock::<true>(sock), buffer, length as i32));
