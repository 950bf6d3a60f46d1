//! Capture: records, from the kernel's ring buffer or from a recorded file, on their way to the shards.
//!
//! [`Ring`] and [`file`] yield the same bytes; [`Dispatcher`] hands what tells of processes to the identity store, and
//! what tells of connections to the shard that owns the connection.

mod dispatch;
mod earlier;
pub mod file;
mod golang;
mod own;
mod record;
mod ring;

pub use dispatch::{Dispatcher, Live};
pub use earlier::Earlier;
pub use record::{Record, USER_EXEC, USER_FACTS};
pub use ring::Ring;
