//! The floor that benchmarks compare with: empty programs on the hooks that the agent uses, so what any agent on
//! these hooks must cost.
//!
//! Licence: MIT OR GPL-2.0, as the helpers ask.
#![allow(missing_docs, reason = "the macro's functions say nothing")]
#![no_std]
#![no_main]

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

/// Declares empty programs on raw tracepoints.
macro_rules! empty {
    ($($name:ident),+ $(,)?) => {$(
        /// Does nothing.
        #[raw_tracepoint]
        pub fn $name(_: RawTracePointContext) -> i32 {
            0
        }
    )+};
}

empty!(
    sock_send_length,
    sock_recv_length,
    sys_enter,
    sys_exit,
    inet_sock_set_state,
    tcp_destroy_sock,
    tcp_receive_reset,
    tcp_send_reset,
    sched_process_exec,
    sched_process_fork,
    sched_process_exit,
);

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
