//! The tiers: sets of hooks by which the agent learns that bytes moved.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
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
    /// The better of the two tracepoint tiers that this kernel has.
    Tracepoint,
    /// [`Tier::SocketTracepoint`] or nothing.
    SocketTracepoint,
    /// [`Tier::SyscallTracepoint`] or nothing.
    SyscallTracepoint,
}

impl Choice {
    /// The tiers to try, best first.
    #[must_use]
    pub fn candidates(self) -> &'static [Tier] {
        match self {
            Choice::Auto | Choice::Tracepoint => &[Tier::SocketTracepoint, Tier::SyscallTracepoint],
            Choice::SocketTracepoint => &[Tier::SocketTracepoint],
            Choice::SyscallTracepoint => &[Tier::SyscallTracepoint],
        }
    }
}

/// A program and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A raw tracepoint; the program has its name.
    Raw(&'static str),
    /// A tracepoint at the exit of a system call, and the program for it.
    Exit {
        /// The system call, as tracefs names it.
        call: &'static str,
        /// The program.
        program: &'static str,
    },
}

const fn reading(call: &'static str) -> Hook {
    Hook::Exit { call, program: "sys_exit_read" }
}

const fn writing(call: &'static str) -> Hook {
    Hook::Exit { call, program: "sys_exit_write" }
}

/// Hooks that every tier has: connections' and processes' lives.
pub const COMMON: &[Hook] = &[
    Hook::Raw("inet_sock_set_state"),
    Hook::Raw("tcp_destroy_sock"),
    Hook::Raw("sched_process_exec"),
    Hook::Raw("sched_process_fork"),
    Hook::Raw("sched_process_exit"),
];

const SOCKET_TRACEPOINTS: &[Hook] = &[Hook::Raw("sock_send_length"), Hook::Raw("sock_recv_length")];

const SYSCALL_TRACEPOINTS: &[Hook] = &[
    reading("read"),
    reading("readv"),
    reading("preadv2"),
    reading("recvfrom"),
    reading("recvmsg"),
    reading("splice"),
    writing("write"),
    writing("writev"),
    writing("pwritev2"),
    writing("sendto"),
    writing("sendmsg"),
    writing("sendfile64"),
    writing("splice"),
    Hook::Exit { call: "recvmmsg", program: "sys_exit_recvmmsg" },
    Hook::Exit { call: "sendmmsg", program: "sys_exit_sendmmsg" },
];

impl Tier {
    /// The hooks of this tier alone.
    #[must_use]
    pub fn hooks(self) -> &'static [Hook] {
        match self {
            Tier::SocketTracepoint => SOCKET_TRACEPOINTS,
            Tier::SyscallTracepoint => SYSCALL_TRACEPOINTS,
        }
    }

    /// Its name, as in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tier::SocketTracepoint => "socket-tracepoint",
            Tier::SyscallTracepoint => "syscall-tracepoint",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
