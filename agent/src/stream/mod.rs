//! Streams: connections put together again from segments, and fed to their protocol.
//!
//! Connections are spread over [`Shards`] by their number. A shard owns its connections alone: nothing is locked on
//! the way of a segment.

mod connection;
mod counters;
mod datagrams;
mod inference;
#[cfg(test)]
mod inference_matrix;
mod reorder;
mod shard;
mod shards;
mod traffic;

pub use connection::{Connection, Facts};
pub use counters::{Counters, Snapshot};
pub use shard::{Limits, Shard, Sink, Told};
pub use shards::Shards;
pub use traffic::{Ended, Failure, Opened, Traffic};
