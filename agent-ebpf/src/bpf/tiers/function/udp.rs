//! UDP: a datagram is told when the kernel is done with it.

use remora_abi::record::{AF_INET6, READ, WRITE};

use super::{any, begin, current, pieces, registers, waited_for, whose};
use crate::datagram::{self, Peer};
use crate::globals::{Program, Scratch, offset};
use crate::kernel::{Sock, at, read};

/// At `udp_sendmsg` and `udpv6_sendmsg` `(struct sock *sk, struct msghdr *msg, size_t len)`. `V4` says which: the first is
/// called by the second, too, for an address that is mapped into IPv6, and then tells nothing.
#[inline(always)]
pub fn begin_send<const V4: bool, const TYPED: bool>(sock: Sock<TYPED>, message: u64) {
    if !(V4 && sock.family() == AF_INET6) {
        begin(sock.0, message, WRITE as u32);
        if let Some(transfer) = any(WRITE as u32) {
            transfer.awaited = transfer.left;
        }
    }
}

/// At their return.
#[inline(always)]
pub fn sent<const V4: bool>(result: i64) {
    let Some(transfer) = any(WRITE as u32) else { return };
    let sock: Sock<false> = Sock(transfer.socket);
    if V4 && sock.family() == AF_INET6 {
        return;
    }
    transfer.awaited = 0;
    if result <= 0 {
        return;
    }
    let Some(socket) = datagram::wanted(sock, WRITE) else { return };
    let bytes = result as u32;
    let Some(scratch) = Scratch::take(Program::WriteDatagram) else { return };
    if whose(scratch.again()) {
        let scratch = scratch.again();
        scratch.pieces = pieces(transfer, bytes as u64);
        scratch.pieces.name = read(at(transfer.message, offset!(message_name)));
        registers(scratch.again());
        if datagram::begin(scratch.again(), sock, socket, WRITE) {
            datagram::tell(scratch.again(), sock, bytes, Peer::Named, false);
        }
    }
    Scratch::give_back(Program::WriteDatagram);
}

/// At `udp_recvmsg` and `udpv6_recvmsg` `(struct sock *sk, struct msghdr *msg, …)`.
#[inline(always)]
pub fn begin_receive(sock: u64, message: u64) {
    begin(sock, message, READ as u32);
}

/// At `skb_consume_udp(struct sock *sk, struct sk_buff *skb, int len)`, the last that a receive does; a length below 0 says that
/// the datagram stays in the socket.
#[inline(always)]
pub fn received<const TYPED: bool>(sock: Sock<TYPED>, buffer: u64, length: i32) {
    if length <= 0 {
        return;
    }
    let Some(socket) = datagram::wanted(sock, READ) else { return };
    let transfer = current(sock.0, READ as u32);
    let bytes = match &transfer {
        // What the process took; `length` may be more, if it asked how much there was.
        Some(transfer) => {
            let now = super::look(transfer.socket, transfer.message, transfer.direction);
            transfer.left.wrapping_sub(now.left)
        }
        None => length as u64,
    };
    if bytes == 0 || bytes > u16::MAX as u64 {
        return;
    }
    let Some(scratch) = Scratch::take(Program::ReadDatagram) else { return };
    if whose(scratch.again()) {
        let scratch = scratch.again();
        scratch.pieces = match transfer {
            Some(transfer) => pieces(transfer, bytes),
            None => waited_for(scratch.again(), sock),
        };
        registers(scratch.again());
        if datagram::begin(scratch.again(), sock, socket, READ) {
            let known = datagram::sender_in(scratch.again(), buffer);
            let peer = if known { Peer::Known } else { Peer::Connected };
            datagram::tell(scratch.again(), sock, bytes as u32, peer, false);
        }
    }
    Scratch::give_back(Program::ReadDatagram);
}
