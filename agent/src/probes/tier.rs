//! The tiers: sets of hooks by which the agent learns that bytes moved.

use std::fmt;

use remora_abi::maps::calls;
use serde::{Deserialize, Serialize};

use super::preemption::{preempts, tracepoints_are_preempted};

/// A set of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Trampolines at the entries and exits of the socket layer's functions: x86-64 since Linux 5.5, arm64 since 6.0.
    Fentry,
    /// Breakpoints, or what the kernel makes of them, at the same functions.
    Kprobe,
    /// Two tracepoints of the socket layer, since Linux 6.3. They fire for sockets only and name the socket.
    SocketTracepoint,
    /// The exits of the system calls that move bytes. On every kernel since 5.8, at a cost for every system call of every
    /// process.
    SyscallTracepoint,
}

/// What the user asks for (`probes.tier`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The best that this kernel has.
    #[default]
    Auto,
    /// [`Tier::Fentry`] or nothing.
    Fentry,
    /// [`Tier::Kprobe`] or nothing.
    Kprobe,
    /// The better of the two tracepoint tiers that this kernel has.
    Tracepoint,
    /// [`Tier::SocketTracepoint`] or nothing.
    SocketTracepoint,
    /// [`Tier::SyscallTracepoint`] or nothing.
    SyscallTracepoint,
}

impl Choice {
    /// The tiers to try, best first. Where the kernel `preempts` programs (see [`super::preempts`]), kernel probes miss the
    /// least.
    #[must_use]
    pub fn candidates(self, preempts: bool) -> &'static [Tier] {
        match self {
            Choice::Auto if preempts => {
                &[Tier::Kprobe, Tier::Fentry, Tier::SocketTracepoint, Tier::SyscallTracepoint]
            }
            Choice::Auto => &Tier::ALL,
            Choice::Fentry => &[Tier::Fentry],
            Choice::Kprobe => &[Tier::Kprobe],
            Choice::Tracepoint => &[Tier::SocketTracepoint, Tier::SyscallTracepoint],
            Choice::SocketTracepoint => &[Tier::SocketTracepoint],
            Choice::SyscallTracepoint => &[Tier::SyscallTracepoint],
        }
    }
}

/// Raw tracepoints that every tier has: connections' and processes' lives. Each program has its tracepoint's name.
pub const COMMON: &[&str] = &[
    "inet_sock_set_state",
    "tcp_destroy_sock",
    "tcp_receive_reset",
    "tcp_send_reset",
    "sched_process_exec",
    "sched_process_fork",
    "sched_process_exit",
];

/// The functions that are hooked, and how many arguments the programs take them to have. One with another number is not the
/// function that is meant.
pub const FUNCTIONS: &[(&str, usize)] = &[
    ("release_sock", 1),
    ("security_sock_graft", 2),
    ("skb_consume_udp", 3),
    ("skb_copy_datagram_from_iter", 4),
    ("tcp_sendmsg", 3),
    ("udp_sendmsg", 3),
    ("udpv6_sendmsg", 3),
    ("unix_release", 1),
    ("unix_stream_read_actor", 4),
    ("unix_stream_recvmsg", 4),
    ("unix_stream_sendmsg", 3),
    ("unix_stream_sendpage", 5),
    ("unix_stream_splice_actor", 4),
];

/// Functions of old kernels, without which newer ones move bytes by others that are hooked, too.
pub const OBSOLETE: &[&str] = &["unix_stream_sendpage"];

/// Structures of which every field that [`remora_abi::offsets::Offsets`] names is needed where functions are hooked.
pub const FUNCTIONS_NEED: &[&str] = &["msghdr", "iov_iter", "unix_stream_read_state", "sk_buff"];

/// Kernel probes that tell the same as those of [`COMMON`], which are attached instead of them in the tier `kprobe` where the
/// kernel preempts programs at tracepoints. What connections do stays with the tracepoints: much of it happens in interrupts,
/// and one that comes while a program runs at any kernel probe would miss its own.
pub const INSTEAD: &[Instead] = &[
    Instead::new("sched_process_exec", "kprobe_finalize_exec", 1),
    Instead::new("sched_process_fork", "kprobe_wake_up_new_task", 1),
    Instead::new("sched_process_exit", "kprobe_do_exit", 1),
];

/// A kernel probe for a tracepoint.
#[derive(Clone, Copy, Debug)]
pub struct Instead {
    /// The tracepoint, and the program there.
    pub tracepoint: &'static str,
    /// The program at the function.
    pub probe: &'static str,
    /// How many arguments the function takes.
    pub arguments: usize,
}

impl Instead {
    const fn new(tracepoint: &'static str, probe: &'static str, arguments: usize) -> Self {
        Self { tracepoint, probe, arguments }
    }

    /// The function.
    #[must_use]
    pub fn function(self) -> &'static str {
        self.probe.strip_prefix("kprobe_").unwrap_or(self.probe)
    }
}

impl Tier {
    /// Whether the running kernel may preempt this tier's programs where bytes move, and then skips them.
    #[must_use]
    pub fn is_preempted(self) -> bool {
        match self {
            Tier::Kprobe => false,
            Tier::Fentry => preempts(),
            Tier::SocketTracepoint | Tier::SyscallTracepoint => tracepoints_are_preempted(),
        }
    }

    /// All of them, the best first where programs are not preempted.
    pub const ALL: [Self; 4] = [Self::Fentry, Self::Kprobe, Self::SocketTracepoint, Self::SyscallTracepoint];

    /// The choice of this tier alone.
    #[must_use]
    pub fn forced(self) -> Choice {
        match self {
            Tier::Fentry => Choice::Fentry,
            Tier::Kprobe => Choice::Kprobe,
            Tier::SocketTracepoint => Choice::SocketTracepoint,
            Tier::SyscallTracepoint => Choice::SyscallTracepoint,
        }
    }

    /// The programs of this tier alone. What they are attached to stands in their names: a tracepoint, or behind `fentry_`,
    /// `fexit_`, `kprobe_` or `kretprobe_` a function.
    #[must_use]
    pub fn hooks(self) -> &'static [&'static str] {
        match self {
            Tier::Fentry => &[
                "fentry_tcp_sendmsg",
                "fentry_tcp_recvmsg",
                "fentry_release_sock",
                "fentry_unix_stream_sendmsg",
                "fexit_unix_stream_sendmsg",
                "fentry_unix_stream_recvmsg",
                "fexit_unix_stream_recvmsg",
                "fentry_unix_stream_read_actor",
                "fexit_unix_stream_read_actor",
                "fentry_unix_release",
                "fentry_udp_sendmsg",
                "fexit_udp_sendmsg",
                "fentry_udp_recvmsg",
                "fentry_skb_consume_udp",
            ],
            Tier::Kprobe => &[
                "kprobe_tcp_sendmsg",
                "kprobe_tcp_recvmsg",
                "kprobe_release_sock",
                "kprobe_unix_stream_sendmsg",
                "kprobe_skb_copy_datagram_from_iter",
                "kretprobe_unix_stream_sendmsg",
                "kprobe_unix_stream_recvmsg",
                "kretprobe_unix_stream_recvmsg",
                "kprobe_unix_stream_read_actor",
                "kretprobe_unix_stream_read_actor",
                "kprobe_unix_release",
                "kprobe_udp_sendmsg",
                "kretprobe_udp_sendmsg",
                "kprobe_udp_recvmsg",
                "kprobe_skb_consume_udp",
            ],
            Tier::SocketTracepoint => &["sock_send_length", "sock_recv_length"],
            Tier::SyscallTracepoint => &["sys_enter", "sys_exit"],
        }
    }

    /// Likewise, what the tier does without where the kernel has it not: the time at which a connection is accepted (kernels
    /// built without security modules), IPv6 (it may be a module), splices of unix sockets (those to them have a function of
    /// their own before Linux 6.5 only).
    #[must_use]
    pub fn optional_hooks(self) -> &'static [&'static str] {
        match self {
            Tier::Fentry => &[
                "fentry_security_sock_graft",
                "fentry_udpv6_sendmsg",
                "fexit_udpv6_sendmsg",
                "fentry_udpv6_recvmsg",
                "fentry_unix_stream_splice_actor",
                "fexit_unix_stream_splice_actor",
                "fentry_unix_stream_sendpage",
                "fexit_unix_stream_sendpage",
            ],
            Tier::Kprobe => &[
                "kprobe_security_sock_graft",
                "kprobe_udpv6_sendmsg",
                "kretprobe_udpv6_sendmsg",
                "kprobe_udpv6_recvmsg",
                "kprobe_unix_stream_splice_actor",
                "kretprobe_unix_stream_splice_actor",
                "kprobe_unix_stream_sendpage",
                "kretprobe_unix_stream_sendpage",
            ],
            Tier::SocketTracepoint | Tier::SyscallTracepoint => &[],
        }
    }

    /// What the programs of [`Self::tail_calls`] are loaded for: the same as those that go on to them.
    #[must_use]
    pub fn tail_calls_at(self) -> &'static str {
        match self {
            Tier::Fentry | Tier::Kprobe => "release_sock",
            Tier::SocketTracepoint | Tier::SyscallTracepoint => "sys_exit",
        }
    }

    /// Whether it hooks functions, and so depends on their form and on the structures that they are given.
    #[must_use]
    pub fn hooks_functions(self) -> bool {
        matches!(self, Tier::Fentry | Tier::Kprobe)
    }

    /// Programs that those of the hooks go on to, and their places in the table of calls.
    #[must_use]
    pub fn tail_calls(self) -> &'static [(&'static str, u32)] {
        match self {
            Tier::Fentry => {
                &[("fentry_release_sock_read", calls::READ), ("fentry_release_sock_write", calls::WRITE)]
            }
            Tier::Kprobe => &[
                ("kprobe_release_sock_read", calls::READ),
                ("kprobe_release_sock_write", calls::WRITE),
                ("kprobe_unix_missed", calls::MISSED),
            ],
            Tier::SocketTracepoint => &[],
            Tier::SyscallTracepoint => &[
                ("sys_exit_read", calls::READ),
                ("sys_exit_write", calls::WRITE),
                ("sys_exit_splice", calls::SPLICE),
                ("sys_exit_recvmmsg", calls::RECVMMSG),
                ("sys_exit_sendmmsg", calls::SENDMMSG),
                ("sys_exit_accept", calls::ACCEPT),
                ("sys_exit_read_datagram", calls::READ_DATAGRAM),
                ("sys_exit_write_datagram", calls::WRITE_DATAGRAM),
                ("sys_exit_recvmmsg_datagrams", calls::READ_DATAGRAMS),
                ("sys_exit_sendmmsg_datagrams", calls::WRITE_DATAGRAMS),
                ("sys_exit_recvmmsg_message", calls::READ_MESSAGE),
                ("sys_exit_sendmmsg_message", calls::WRITE_MESSAGE),
            ],
        }
    }

    /// Programs at the root of the cgroup v2 hierarchy, by which the senders of datagrams are known. It does without them.
    #[must_use]
    pub fn senders(self) -> &'static [&'static str] {
        match self {
            Tier::SocketTracepoint => &["udp_sender4", "udp_sender6"],
            Tier::Fentry | Tier::Kprobe | Tier::SyscallTracepoint => &[],
        }
    }

    /// Whether it reads what a process moves through io_uring. The tracepoint tiers find the bytes by the arguments of a
    /// system call, and io_uring has none.
    #[must_use]
    pub fn reads_io_uring(self) -> bool {
        match self {
            Tier::Fentry | Tier::Kprobe => true,
            Tier::SocketTracepoint | Tier::SyscallTracepoint => false,
        }
    }

    /// Its name, as in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tier::Fentry => "fentry",
            Tier::Kprobe => "kprobe",
            Tier::SocketTracepoint => "socket-tracepoint",
            Tier::SyscallTracepoint => "syscall-tracepoint",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Choice::Auto => "auto",
            Choice::Fentry => "fentry",
            Choice::Kprobe => "kprobe",
            Choice::Tracepoint => "tracepoint",
            Choice::SocketTracepoint => "socket-tracepoint",
            Choice::SyscallTracepoint => "syscall-tracepoint",
        })
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
