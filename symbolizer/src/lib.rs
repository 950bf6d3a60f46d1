//! What Remora needs to know of binaries.
//!
//! - [`inspect`]: language and runtime, build id, linkage, TLS libraries of an executable.
//! - [`Inspection`]: the same with where each probe goes, and the offsets of what has to be read in a process;
//!   [`Cache`] keeps them, [`process`] tells which files a process has.
//! - [`probes`]: the functions that can be probed, as data.
//! - [`maps`] and [`tls`]: which TLS libraries a process has mapped or a binary has inside.
//! - [`go`]: Go's build information, and the offsets that tell goroutines apart.
//!
//! Everything here reads files that others wrote, and survives whatever stands in them: reads are bounded,
//! nothing is mapped, and no input panics.
#![forbid(unsafe_code)]

mod binary;
mod build_id;
mod cache;
mod debug;
mod debug_file;
mod elf;
mod error;
mod functions;
pub mod go;
mod inspection;
pub mod maps;
pub mod probes;
pub mod process;
mod runtime;
mod source;
#[cfg(test)]
mod testing;
pub mod tls;
mod witness;

pub use binary::{Binary, Linkage, Machine, inspect, inspect_bytes};
pub use build_id::BuildId;
pub use cache::{Cache, Statistics};
pub use error::Error;
pub use functions::{Evidence, Function, ReturnSites};
pub use inspection::Inspection;
pub use runtime::{Runtime, of_mappings as runtime_of_mappings};

#[cfg(test)]
mod hostile_tests;
