//! Which end of a TCP connection connected, as the socket's own books tell, however old the connection is.
//!
//! The end that connects has its SYN acknowledged like a byte: `snd_una` moves over it, and `bytes_acked` with it
//! (`tcp_snd_una_update` in net/ipv4/tcp_input.c, for the SYN-ACK). The end that accepts begins with `snd_una` behind
//! its own SYN (`tcp_create_openreq_child` in net/ipv4/tcp_minisocks.c), so there it is never counted. And
//! `bytes_sent - bytes_retrans` is payload alone at both (net/ipv4/tcp_output.c). Therefore
//!
//! ```text
//! bytes_acked + (snd_nxt - snd_una) - (bytes_sent - bytes_retrans)
//! ```
//!
//! is 1 where the process connected and 0 where it accepted. The kernel changes these fields one after the other, under
//! a lock that is not ours: while a segment is on its way between two of them the sum is off by the segment's length,
//! which makes neither number, unless the length is 1. So two looks must agree, and a segment of one byte must not be
//! what is just being sent. Anything else (a kernel that was out of memory, a socket restored by `TCP_REPAIR`) leaves
//! the role unknown, and the bytes will tell.

use remora_abi::offsets::MISSING;
use remora_abi::record::{ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN};

use crate::globals::offset;
use crate::kernel::{Sock, at, read};

/// What the books say at one look. Of the counts of bytes the lower half will do, since it is differences that matter.
#[inline(always)]
fn look(sock: u64) -> u8 {
    let next: u32 = read(at(sock, offset!(tcp_next)));
    let unsent = read::<u32>(at(sock, offset!(tcp_written))).wrapping_sub(next);
    // The end of this end's stream takes a number as well: in FIN_WAIT1, FIN_WAIT2, LAST_ACK and CLOSING, once it is
    // sent. Before the handshake is done, and when all is over, nothing can be said.
    let end = match Sock::<false>(sock).state() {
        1 | 8 => 0,
        4 | 5 | 9 | 11 => (unsent == 0) as u32,
        _ => return ROLE_UNKNOWN,
    };
    let numbers = next
        .wrapping_sub(read(at(sock, offset!(tcp_unacknowledged))))
        .wrapping_add(read(at(sock, offset!(tcp_bytes_acknowledged))));
    let payload = read::<u32>(at(sock, offset!(tcp_bytes_sent)))
        .wrapping_sub(read(at(sock, offset!(tcp_bytes_resent))));
    match numbers.wrapping_sub(end).wrapping_sub(payload) {
        1 => ROLE_CLIENT,
        0 if unsent != 1 => ROLE_SERVER,
        _ => ROLE_UNKNOWN,
    }
}

/// Which end the TCP socket at this address is: [`ROLE_CLIENT`], [`ROLE_SERVER`], or [`ROLE_UNKNOWN`].
#[inline(always)]
pub fn of(sock: u64) -> u8 {
    if offset!(tcp_unacknowledged) == MISSING
        || offset!(tcp_next) == MISSING
        || offset!(tcp_bytes_acknowledged) == MISSING
        || offset!(tcp_bytes_sent) == MISSING
        || offset!(tcp_bytes_resent) == MISSING
    {
        return ROLE_UNKNOWN;
    }
    let role = look(sock);
    if role == look(sock) { role } else { ROLE_UNKNOWN }
}
