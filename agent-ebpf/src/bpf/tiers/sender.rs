//! Who sent a datagram that is received on an unconnected socket: for the tier `socket-tracepoint`, whose hooks come before
//! the kernel has written the sender's address into the process.
//!
//! The kernel asks these programs of the host's root cgroup, just before, whether it may be told; they say yes and remember
//! it for the thread.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use remora_abi::maps::Sender;

use crate::datagram::is_off;
use crate::globals::{DATAGRAM_SOCKETS, SENDERS};

/// What the kernel must be answered: the process may have the address.
const ALLOW: i32 = 1;

/// `BPF_CGROUP_UDP4_RECVMSG`
#[cgroup_sock_addr(recvmsg4)]
pub fn udp_sender4(context: SockAddrContext) -> i32 {
    let sender = context.sock_addr;
    // SAFETY: fields of the program's context.
    unsafe {
        let address = (&raw const (*sender).user_ip4).read_volatile();
        remember(&context, [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), address]);
    }
    ALLOW
}

/// `BPF_CGROUP_UDP6_RECVMSG`
#[cgroup_sock_addr(recvmsg6)]
pub fn udp_sender6(context: SockAddrContext) -> i32 {
    let sender = context.sock_addr;
    // SAFETY: fields of the program's context.
    unsafe {
        let words = (&raw const (*sender).user_ip6).cast::<u32>();
        let address = [
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ];
        remember(&context, address);
    }
    ALLOW
}

/// Remembers the sender for the hook that follows in the same call.
#[inline(always)]
fn remember(context: &SockAddrContext, address: [u32; 4]) {
    // SAFETY: fields of the program's context; a helper without preconditions.
    let (socket, port, task) = unsafe {
        let context = context.sock_addr;
        let socket = (&raw const (*context).__bindgen_anon_1).cast::<u64>().read_volatile();
        (socket, (&raw const (*context).user_port).read_volatile(), bpf_get_current_task())
    };
    if let Some(known) = DATAGRAM_SOCKETS.get_ptr(socket) {
        // SAFETY: a live element of the map.
        let known = unsafe { &*known };
        if known.ignored != 0 || is_off(known.id) {
            return;
        }
    }
    // SAFETY: words and bytes of the same size.
    let address: [u8; 16] = unsafe { core::mem::transmute(address) };
    let sender = Sender { socket, address, port: u16::from_be(port as u16) as u32, reserved: 0 };
    // A table that forgets never refuses.
    let _ = SENDERS.insert(task, sender, 0);
}
