//! Reading kernel memory by resolved offsets.

use aya_ebpf::helpers::generated::{
    bpf_probe_read, bpf_probe_read_kernel, bpf_probe_read_user, bpf_skc_to_tcp_sock,
};

use crate::globals::offset;

/// The value at a kernel address; zero bits if it cannot be read.
#[inline(always)]
pub fn read<T: Copy>(address: u64) -> T {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the destination is ours and of that size; on a fault the helper leaves zeros. `T` is an integer here.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _);
        value.assume_init()
    }
}

/// The value at an address that the verifier knows the type of; zero bits if it cannot be read.
#[inline(always)]
pub fn load<T: Copy>(address: u64) -> T {
    // SAFETY: the kernel checks at load that a value of that size stands there, and catches faults.
    unsafe { (address as *const T).read_volatile() }
}

/// The value at an address of the current process; `None` if it cannot be read.
#[inline(always)]
pub fn read_user<T: Copy>(address: u64) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the destination is ours and of that size; `T` is made of integers here.
    unsafe {
        let failed =
            bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _);
        if failed != 0 { None } else { Some(value.assume_init()) }
    }
}

/// The value at an address of the current process or of the kernel, whichever it is (the two do not overlap where Remora
/// runs); `None` if it cannot be read.
#[inline(always)]
pub fn read_any<T: Copy>(address: u64) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the destination is ours and of that size; `T` is made of integers here.
    unsafe {
        let failed = bpf_probe_read(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _);
        if failed != 0 { None } else { Some(value.assume_init()) }
    }
}

/// The address `base + offset`.
#[inline(always)]
pub fn at(base: u64, offset: u32) -> u64 {
    base.wrapping_add(offset as u64)
}

/// `IPPROTO_TCP`
pub const TCP: u16 = 6;
/// `IPPROTO_UDP`
pub const UDP: u16 = 17;
/// `SOCK_STREAM`
pub const STREAM: u16 = 1;
/// `SOCK_DGRAM`
pub const DATAGRAM: u16 = 2;

/// A `struct sock`. `TYPED` says that the verifier knows it as that (an argument of a BTF tracepoint): its fields are then
/// loaded like any memory, a fault gives zeros, and no helper is called.
#[derive(Clone, Copy)]
pub struct Sock<const TYPED: bool>(pub u64);

impl<const TYPED: bool> Sock<TYPED> {
    /// A field of `struct sock`.
    #[inline(always)]
    fn field<T: Copy>(self, offset: u32) -> T {
        if TYPED { load(at(self.0, offset)) } else { read(at(self.0, offset)) }
    }

    /// A field of `struct tcp_sock`.
    #[inline(always)]
    fn tcp(self, offset: u32) -> u32 {
        if !TYPED {
            return read(at(self.0, offset));
        }
        // SAFETY: the verifier knows that it is a socket; what is none of TCP's gives null.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0 as *mut _) };
        if tcp.is_null() { 0 } else { load(at(tcp as u64, offset)) }
    }

    /// `AF_INET` and so on; and remote port in network order (low half) and local port in host order (high half), 0 on a
    /// unix socket.
    #[inline(always)]
    pub fn head(self) -> (u16, u32) {
        if !TYPED && offset!(sock_family) == offset!(sock_ports) + 4 {
            // They stand side by side.
            let both: u64 = read(at(self.0, offset!(sock_ports)));
            return ((both >> 32) as u16, both as u32);
        }
        (self.family(), self.ports())
    }

    /// `AF_INET` and so on.
    #[inline(always)]
    pub fn family(self) -> u16 {
        self.field(offset!(sock_family))
    }

    /// TCP state (`TCP_ESTABLISHED` is 1).
    #[inline(always)]
    pub fn state(self) -> u8 {
        self.field(offset!(sock_state))
    }

    /// Remote port in network order (low half) and local port in host order (high half); 0 on a unix socket.
    #[inline(always)]
    pub fn ports(self) -> u32 {
        self.field(offset!(sock_ports))
    }

    /// `IPPROTO_…`
    #[inline(always)]
    pub fn protocol(self) -> u16 {
        self.field(offset!(sock_protocol))
    }

    /// `SOCK_…`
    #[inline(always)]
    pub fn kind(self) -> u16 {
        self.field(offset!(sock_type))
    }

    /// Sequence number of the next byte that the process will read.
    #[inline(always)]
    pub fn copied(self) -> u32 {
        self.tcp(offset!(tcp_copied))
    }

    /// Sequence number of the next byte that the peer will send, as far as TCP has its bytes in order; an end of stream that has
    /// arrived counts.
    #[inline(always)]
    pub fn received(self) -> u32 {
        self.tcp(offset!(tcp_received))
    }

    /// Sequence number of the next byte that the process will write.
    #[inline(always)]
    pub fn written(self) -> u32 {
        self.tcp(offset!(tcp_written))
    }

    /// `sk_err`
    #[inline(always)]
    pub fn error(self) -> u32 {
        self.field(offset!(sock_error))
    }

    /// The smoothed round trip time, microseconds. (The kernel keeps eight times that.)
    #[inline(always)]
    pub fn round_trip(self) -> u32 {
        self.tcp(offset!(tcp_round_trip)) >> 3
    }

    /// Segments that TCP sent again.
    #[inline(always)]
    pub fn retransmits(self) -> u32 {
        self.tcp(offset!(tcp_retransmits))
    }

    /// Inode number of its network namespace.
    #[inline(always)]
    pub fn namespace(self) -> u32 {
        let net: u64 = self.field(offset!(sock_net));
        read(at(net, offset!(net_inode)))
    }

    /// Inode number of its file, 0 if it has none (not accepted yet).
    #[inline(always)]
    pub fn inode(self) -> u64 {
        let socket: u64 = self.field(offset!(sock_socket));
        if socket == 0 {
            return 0;
        }
        // `struct socket` is the first member of `struct socket_alloc`.
        read(at(socket, offset!(socket_inode) + offset!(inode_number)))
    }
}

/// `value`, but the compiler does not know that.
#[inline(always)]
pub fn opaque(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    let mut value = value;
    #[cfg(target_arch = "bpf")]
    // SAFETY: moves the register to itself. (Without any instruction two lines of source would stand at one place of the
    // program, which the kernel refuses.)
    unsafe {
        core::arch::asm!("{value} = {value}", value = inout(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// `value`, or `most` if that is less. The compiler cannot see what is compared, so that the bound that the verifier
/// needs is checked on the very register that is used, however much the optimiser knows already.
#[inline(always)]
pub fn bounded(value: u32, most: u32) -> u32 {
    let mut value = opaque(value as u64);
    if value > most as u64 {
        value = most as u64;
    }
    value as u32
}
