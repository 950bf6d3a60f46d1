//! The harness of Remora's end-to-end tests.
//!
//! Each test makes a network namespace of its own ([`Netns`]), runs real servers and clients inside it ([`Program`]),
//! and watches exactly that namespace with an agent of its own ([`Agent`]), so tests run side by side and still count
//! exactly. What the agent exported comes back as [`Spans`], which answer questions and complain readably.
//!
//! Everything that is started ends with the value that stands for it, also when a test panics or the test runner is
//! killed.

mod agent;
mod collector;
mod coverage;
pub mod exchange;
mod http;
mod metrics;
mod netns;
pub mod peers;
mod place;
mod process;
mod programs;
mod recording;
mod schedule;
mod span;
mod spans;

pub use agent::{Agent, AgentBuilder, Tier, copy_of_remora, remora};
pub use collector::{Answer, Collector, Delivery, Sink};
pub use coverage::Coverage;
pub use http::{Client, Reply, head_end, serve};
pub use metrics::{Data, Metrics, Point};
pub use netns::Netns;
pub use place::{Place, patience, repository, require_root, unix_nanos, wait_for, workload};
pub use process::{Finished, Program, Running};
pub use programs::{
    apache, built, go_program, installed, nginx, node, python, python_server, rust_h2, rust_http,
};
pub use recording::{Piece, Recording};
pub use schedule::{Body, Outcome, Request, Schedule};
pub use span::{Kind, Span, Value};
pub use spans::{Selection, Spans};

/// Makes each test function that takes a [`Tier`] a test for each tier, which says so and does nothing where the kernel has
/// not got the tier.
#[macro_export]
macro_rules! each_tier {
    ($($name:ident),+ $(,)?) => {
        mod fentry {
            $(#[test] fn $name() { $crate::in_tier($crate::Tier::Fentry, super::$name) })+
        }
        mod kprobe {
            $(#[test] fn $name() { $crate::in_tier($crate::Tier::Kprobe, super::$name) })+
        }
        mod socket_tracepoint {
            $(#[test] fn $name() { $crate::in_tier($crate::Tier::SocketTracepoint, super::$name) })+
        }
        mod syscall_tracepoint {
            $(#[test] fn $name() { $crate::in_tier($crate::Tier::SyscallTracepoint, super::$name) })+
        }
    };
}

/// Runs a test in a tier, if this kernel has it.
pub fn in_tier(tier: Tier, test: impl FnOnce(Tier)) {
    match tier.unavailable() {
        Some(reason) => println!("skipped: {reason}"),
        None => test(tier),
    }
}
