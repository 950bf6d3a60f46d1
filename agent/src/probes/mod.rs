//! Probes: what to attach, in which tier, and the loader.
//!
//! The tier is chosen by trying. All programs of a tier must load and attach, or the tier is refused with the reason,
//! and the next is tried.

mod btf;
mod controls;
mod counters;
mod error;
mod grace;
mod iterators;
mod loader;
mod preemption;
pub mod privileges;
mod tier;

pub use btf::{KernelTypes, VMLINUX, resolve};
pub use controls::Controls;
pub use counters::{KernelCounters, description as counter_description, name as counter_name};
pub use error::ProbeError;
pub use grace::programs_returned;
pub use iterators::{EarlierConnections, Pass, PassError};
pub use loader::{Probes, ProcessTable, Settings, attach, kernel_version};
pub use preemption::preempts;
pub use tier::{Choice, Tier};
