//! Where in the process's memory the bytes of a call are.

use crate::kernel::{read_any, read_user};
use crate::registers::Call;

/// `MSG_PEEK`: the bytes stay in the socket.
pub const MSG_PEEK: u64 = 2;
/// `MSG_ERRQUEUE`: what is read is a datagram that was sent, and why it did not arrive; on TCP, which sends are complete
/// (`MSG_ZEROCOPY`), or a time stamp.
pub const MSG_ERRQUEUE: u64 = 0x2000;
/// `MSG_TRUNC`: on TCP, the bytes are thrown away instead of copied.
pub const MSG_TRUNC: u64 = 0x20;

/// The bytes of one call: a buffer, an array of buffers, or nothing that can be reached.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pieces {
    /// Address of the `struct iovec` array, in the process or in the kernel; 0 if there is one buffer only.
    pub vector: u64,
    /// Its number of entries.
    pub count: u64,
    /// Address of the one buffer.
    pub buffer: u64,
    /// Its length.
    pub length: u64,
    /// Address of the `struct sockaddr` of a datagram's other end, in the process or in the kernel; 0 if the call has none.
    pub name: u64,
    /// Bytes of the array's first entry that come before these.
    pub skip: u64,
}

/// System calls whose arguments are followed (include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls/syscall_64.tbl).
#[cfg(bpf_target_arch = "x86_64")]
pub mod number {
    pub const READ: i64 = 0;
    pub const WRITE: i64 = 1;
    pub const READV: i64 = 19;
    pub const WRITEV: i64 = 20;
    pub const SENDFILE: i64 = 40;
    pub const ACCEPT: i64 = 43;
    pub const SENDTO: i64 = 44;
    pub const RECVFROM: i64 = 45;
    pub const SENDMSG: i64 = 46;
    pub const RECVMSG: i64 = 47;
    pub const SPLICE: i64 = 275;
    pub const ACCEPT4: i64 = 288;
    pub const RECVMMSG: i64 = 299;
    pub const SENDMMSG: i64 = 307;
    pub const PREADV2: i64 = 327;
    pub const PWRITEV2: i64 = 328;
}

/// As above, for arm64.
#[cfg(bpf_target_arch = "aarch64")]
pub mod number {
    pub const READ: i64 = 63;
    pub const WRITE: i64 = 64;
    pub const READV: i64 = 65;
    pub const WRITEV: i64 = 66;
    pub const SENDFILE: i64 = 71;
    pub const SPLICE: i64 = 76;
    pub const ACCEPT: i64 = 202;
    pub const SENDTO: i64 = 206;
    pub const RECVFROM: i64 = 207;
    pub const SENDMSG: i64 = 211;
    pub const RECVMSG: i64 = 212;
    pub const ACCEPT4: i64 = 242;
    pub const RECVMMSG: i64 = 243;
    pub const SENDMMSG: i64 = 269;
    pub const PREADV2: i64 = 286;
    pub const PWRITEV2: i64 = 287;
}

impl Pieces {
    /// Bytes that have no address in the process.
    pub const UNREACHABLE: Self = Self { vector: 0, count: 0, buffer: 0, length: 0, name: 0, skip: 0 };

    /// What the arguments of the call say. Calls that are not followed (sendfile, splice, io_uring, the many messages
    /// of `sendmmsg`) give [`Self::UNREACHABLE`].
    #[inline(always)]
    pub fn of(call: &Call) -> Self {
        match call.number {
            number::READ | number::WRITE => {
                Self { vector: 0, count: 0, buffer: call.second, length: call.third, name: 0, skip: 0 }
            }
            number::SENDTO | number::RECVFROM => Self {
                vector: 0,
                count: 0,
                buffer: call.second,
                length: call.third,
                name: call.fifth,
                skip: 0,
            },
            number::READV | number::WRITEV | number::PREADV2 | number::PWRITEV2 => {
                Self { vector: call.second, count: call.third, buffer: 0, length: 0, name: 0, skip: 0 }
            }
            number::SENDMSG | number::RECVMSG => Self::of_message(call.second),
            _ => Self::UNREACHABLE,
        }
    }

    /// What a `struct msghdr` of the process says (include/linux/socket.h, `user_msghdr`).
    #[inline(always)]
    pub fn of_message(header: u64) -> Self {
        // msg_name, msg_namelen (an int), msg_iov, msg_iovlen
        match read_user::<[u64; 4]>(header) {
            Some([name, name_length, vector, count]) => {
                let name = if name_length as u32 == 0 { 0 } else { name };
                Self { vector, count, buffer: 0, length: 0, name, skip: 0 }
            }
            None => Self::UNREACHABLE,
        }
    }

    /// Whether the bytes can be reached at all.
    #[inline(always)]
    pub fn reachable(&self) -> bool {
        self.vector != 0 || self.buffer != 0
    }

    /// Address and length of a piece of the array.
    #[inline(always)]
    pub fn entry(&self, index: u64) -> Option<[u64; 2]> {
        let [base, length] = read_any::<[u64; 2]>(self.vector + index * 16)?;
        let skip = if index == 0 { self.skip } else { 0 };
        Some([base + skip, length.saturating_sub(skip)])
    }

    /// Address of the first byte of the first piece that is not empty, for a look at the signature; 0 if none.
    #[inline(always)]
    pub fn first(&self) -> (u64, u64) {
        if self.vector == 0 {
            return (self.buffer, self.length);
        }
        match self.entry(0) {
            Some([address, length]) => (address, length),
            None => (0, 0),
        }
    }
}
