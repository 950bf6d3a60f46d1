//! Offsets of kernel fields and other constants that the agent resolves before it loads the programs, and hands to
//! them as read-only globals. aya-ebpf has no CO-RE relocation; this table is its replacement.

use crate::plain;

/// Declares [`Offsets`] and, for the agent's resolver, the same list as data.
macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident = $structure:literal . $field:literal),+ $(,)?) => {
        /// Byte offsets of kernel fields, as `/sys/kernel/btf/vmlinux` tells them; [`MISSING`] if it does not.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets {
            $($(#[$doc])* #[doc = concat!("`", $structure, ".", $field, "`")] pub $name: u32,)+
        }

        impl Offsets {
            /// No field known.
            pub const NONE: Self = Self { $($name: MISSING,)+ };

            /// `(structure, field path)` of each field, in the order of the table. Where versions of Linux differ in the name
            /// of a field, all of its names stand here, with a bar between.
            pub const FIELDS: &[(&str, &str)] = &[$(($structure, $field)),+];
        }
    };
}

/// A field that this kernel does not have.
pub const MISSING: u32 = u32::MAX;

offsets! {
    sock_family = "sock_common"."skc_family",
    sock_state = "sock_common"."skc_state",
    sock_ports = "sock_common"."skc_portpair",
    sock_local4 = "sock_common"."skc_rcv_saddr",
    sock_remote4 = "sock_common"."skc_daddr",
    sock_local6 = "sock_common"."skc_v6_rcv_saddr",
    sock_remote6 = "sock_common"."skc_v6_daddr",
    sock_net = "sock_common"."skc_net.net",
    sock_protocol = "sock"."sk_protocol",
    sock_type = "sock"."sk_type",
    sock_socket = "sock"."sk_socket",
    sock_error = "sock"."sk_err",
    tcp_copied = "tcp_sock"."copied_seq",
    tcp_written = "tcp_sock"."write_seq",
    tcp_unacknowledged = "tcp_sock"."snd_una",
    tcp_next = "tcp_sock"."snd_nxt",
    tcp_bytes_acknowledged = "tcp_sock"."bytes_acked",
    tcp_bytes_sent = "tcp_sock"."bytes_sent",
    tcp_bytes_resent = "tcp_sock"."bytes_retrans",
    tcp_layer = "inet_connection_sock"."icsk_ulp_ops",
    tcp_round_trip = "tcp_sock"."srtt_us",
    tcp_retransmits = "tcp_sock"."total_retrans",
    net_inode = "net"."ns.inum",
    socket_file = "socket"."file",
    socket_sock = "socket"."sk",
    socket_inode = "socket_alloc"."vfs_inode",
    inode_number = "inode"."i_ino",
    inode_mode = "inode"."i_mode",
    unix_address = "unix_sock"."addr",
    sock_low_water = "sock"."sk_rcvlowat",
    unix_peer = "unix_sock"."peer",
    unix_address_length = "unix_address"."len",
    unix_address_name = "unix_address"."name",
    task_flags = "task_struct"."flags",
    task_ring = "task_struct"."io_uring",
    task_files = "task_struct"."files",
    task_memory = "task_struct"."mm",
    task_process = "task_struct"."tgid",
    task_thread = "task_struct"."pid",
    task_parent = "task_struct"."real_parent",
    files_count = "files_struct"."count",
    files_table = "files_struct"."fdt",
    table_size = "fdtable"."max_fds",
    table_files = "fdtable"."fd",
    file_private = "file"."private_data",
    file_inode = "file"."f_inode",
    memory_owner = "mm_struct"."owner",
    memory_arguments = "mm_struct"."arg_start",
    memory_arguments_end = "mm_struct"."arg_end",
    memory_environment = "mm_struct"."env_start",
    memory_environment_end = "mm_struct"."env_end",
    task_stack = "task_struct"."stack",
    tcp_received = "tcp_sock"."rcv_nxt",
    message_iterator = "msghdr"."msg_iter",
    message_name = "msghdr"."msg_name",
    iterator_type = "iov_iter"."iter_type|type",
    iterator_offset = "iov_iter"."iov_offset",
    iterator_left = "iov_iter"."count",
    iterator_vector = "iov_iter"."__iov|iov",
    iterator_entries = "iov_iter"."nr_segs",
    unix_read_socket = "unix_stream_read_state"."socket",
    unix_read_message = "unix_stream_read_state"."msg",
    unix_read_flags = "unix_stream_read_state"."flags",
    buffer_sock = "sk_buff"."sk",
    buffer_head = "sk_buff"."head",
    buffer_network = "sk_buff"."network_header",
    buffer_transport = "sk_buff"."transport_header",
    buffer_protocol = "sk_buff"."protocol",
}

/// Other constants that the programs get at load.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The agent's own process id: its connections are not looked at.
    pub own_process: u32,
    /// Entries of the control array.
    pub controls: u32,
    /// The reader is woken once this many bytes wait in the ring buffer.
    pub wake_bytes: u32,
    /// Inode number of the only network namespace to look at, 0 for all.
    pub only_namespace: u32,
    /// Bits that hold the number of any CPU of this machine.
    pub processor_bits: u32,
    /// A [`Sample`](crate::record::Sample) of a connection is due so long after the last one; see [`ticks`].
    pub sample_ticks: u32,
    /// Bytes of a thread's kernel stack, at whose top its user registers are saved; 0 where a helper finds them.
    pub stack_bytes: u32,
    /// `ITER_IOVEC`: the type of an `iov_iter` over an array of buffers of the process.
    pub iterator_vector: u32,
    /// `ITER_UBUF`: the type of one over a single buffer of the process; [`MISSING`] before Linux 6.0.
    pub iterator_buffer: u32,
    /// The bits of the type that tell it (before Linux 5.14 it holds others, too).
    pub iterator_mask: u32,
    /// TCP connections from before the agent that are entered into the table at most.
    pub earlier_connections: u32,
    /// The same of unix sockets.
    pub earlier_unix: u32,
}

/// The time by which samples are due, in units of 2^20 nanoseconds (about a millisecond), so that it takes 32 bits; it
/// begins anew every 52 days.
#[must_use]
#[inline(always)]
pub const fn ticks(nanoseconds: u64) -> u32 {
    (nanoseconds >> 20) as u32
}

plain! {
    Offsets = Offsets::FIELDS.len() * 4,
    Settings = 48,
}
