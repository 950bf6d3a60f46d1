//! What Remora needs to know of binaries.
//!
//! - [`inspect`]: language and runtime, build id, linkage, TLS libraries of an executable.
//! - [`maps`] and [`tls`]: which TLS libraries a process has mapped or a binary has inside.
//! - [`go`]: Go's build information, and the offsets that tell goroutines apart.
//!
//! Everything here reads files that others wrote, and survives whatever stands in them: reads are bounded,
//! nothing is mapped, and no input panics.
#![forbid(unsafe_code)]

mod binary;
mod debug;
mod elf;
mod error;
pub mod go;
pub mod maps;
mod runtime;
mod source;
#[cfg(test)]
mod testing;
pub mod tls;

pub use binary::{Binary, Linkage, Machine, inspect, inspect_bytes};
pub use error::Error;
pub use runtime::{Runtime, of_mappings as runtime_of_mappings};

#[cfg(test)]
mod hostile_tests;
