//! Reading kernel memory by resolved offsets.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read, bpf_probe_read_kernel,
    bpf_probe_read_user, bpf_skc_to_tcp_sock,
};
use remora_abi::offsets::MISSING;

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

/// The file behind a descriptor of the current process, 0 if there is none.
#[inline(always)]
pub fn file(descriptor: u64) -> u64 {
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = read(at(task, offset!(task_files)));
    let table: u64 = read(at(files, offset!(files_table)));
    let (size, array) = if offset!(table_files) == offset!(table_size) + 8 {
        // They stand side by side.
        let [size, array]: [u64; 2] = read(at(table, offset!(table_size)));
        (size as u32, array)
    } else {
        (read(at(table, offset!(table_size))), read(at(table, offset!(table_files))))
    };
    let descriptor = descriptor as u32;
    if descriptor >= size { 0 } else { read(array + descriptor as u64 * 8) }
}

/// `PF_IO_WORKER` (include/linux/sched.h)
const IO_WORKER: u32 = 0x0000_0010;
/// `PF_KTHREAD`
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Whose bytes a task moves.
pub enum Mover {
    /// Its process's.
    Itself,
    /// Those of a process whose memory this thread of the kernel has borrowed: io_uring's workers before Linux 5.12, which made
    /// them threads of the process.
    Borrower(u32),
    /// The kernel's own (NFS, Ceph, a splice between sockets).
    Kernel,
}

impl Mover {
    /// Whose bytes the task at that address moves.
    #[inline(always)]
    pub fn of(task: u64) -> Self {
        let flags: u32 = read(at(task, offset!(task_flags)));
        if flags & KERNEL_THREAD == 0 {
            return Mover::Itself;
        }
        let memory: u64 = read(at(task, offset!(task_memory)));
        if memory == 0 || offset!(memory_owner) == MISSING {
            return Mover::Kernel;
        }
        let owner: u64 = read(at(memory, offset!(memory_owner)));
        match read(at(owner, offset!(task_process))) {
            0 => Mover::Kernel,
            process => Mover::Borrower(process),
        }
    }
}

/// Whether io_uring may be what moves bytes on the socket just now, and not the system call that the thread is in, though that
/// has `descriptor` for its first argument: the workers have registers of the call that made them, and what a thread has in
/// its ring is also finished on its way back from any other call. Since Linux 5.12, which made the workers threads of the process.
#[inline(always)]
pub fn by_ring<const TYPED: bool>(sock: Sock<TYPED>, descriptor: u64) -> bool {
    if offset!(task_ring) == MISSING {
        return false;
    }
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task_btf() } as u64;
    if load::<u32>(at(task, offset!(task_flags))) & IO_WORKER != 0 {
        return true;
    }
    load::<u64>(at(task, offset!(task_ring))) != 0
        && Sock::of_file(file(descriptor)).is_none_or(|other| other.0 != sock.0)
}

/// A `struct sock`. `TYPED` says that the verifier knows it as that (an argument of a BTF tracepoint): its fields are then
/// loaded like any memory, a fault gives zeros, and no helper is called.
#[derive(Clone, Copy)]
pub struct Sock<const TYPED: bool>(pub u64);

impl Sock<false> {
    /// The socket behind a `struct file`, if it is one.
    #[inline(always)]
    pub fn of_file(file: u64) -> Option<Self> {
        let inode: u64 = read(at(file, offset!(file_inode)));
        let mode: u16 = read(at(inode, offset!(inode_mode)));
        // S_ISSOCK
        if mode & 0o170_000 != 0o140_000 {
            return None;
        }
        let socket: u64 = read(at(file, offset!(file_private)));
        let sock: u64 = read(at(socket, offset!(socket_sock)));
        if sock == 0 { None } else { Some(Self(sock)) }
    }
}

impl<const TYPED: bool> Sock<TYPED> {
    /// A field of `struct sock`.
    #[inline(always)]
    fn field<T: Copy>(self, offset: u32) -> T {
        if TYPED { load(at(self.0, offset)) } else { read(at(self.0, offset)) }
    }

    /// A field of `struct tcp_sock`.
    #[inline(always)]
    fn tcp<T: Copy + Default>(self, offset: u32) -> T {
        if !TYPED {
            return read(at(self.0, offset));
        }
        // SAFETY: the verifier knows that it is a socket; what is none of TCP's gives null.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0 as *mut _) };
        if tcp.is_null() { T::default() } else { load(at(tcp as u64, offset)) }
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

    /// Whether a protocol lies between the process and TCP (an "upper layer protocol": kernel TLS), so that what a call moves
    /// is not what TCP carries.
    #[inline(always)]
    pub fn layered(self) -> bool {
        self.tcp::<u64>(offset!(tcp_layer)) != 0
    }

    /// The bytes that a read waits for (`SO_RCVLOWAT`), if it is not told otherwise.
    #[inline(always)]
    pub fn low_water(self) -> u32 {
        self.field(offset!(sock_low_water))
    }

    /// `sk_err`
    #[inline(always)]
    pub fn error(self) -> u32 {
        self.field(offset!(sock_error))
    }

    /// The smoothed round trip time, microseconds. (The kernel keeps eight times that.)
    #[inline(always)]
    pub fn round_trip(self) -> u32 {
        self.tcp::<u32>(offset!(tcp_round_trip)) >> 3
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
