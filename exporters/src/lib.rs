//! Exporters: from spans and metrics to an OTLP collector or to standard output.
//!
//! [`Exporter`] is a handle that takes spans and metrics without ever waiting; behind it one worker a signal gathers
//! them into requests and sends them over OTLP (gRPC, HTTP/protobuf or HTTP/JSON) or writes them as OTLP/JSON, one
//! request a line. What waits is bounded in number and in bytes, and whatever is lost is counted by reason
//! ([`Statistics`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), remora_exporters::Error> {
//! use remora_exporters::{Config, Exporter, Scope};
//! use std::time::Duration;
//!
//! let mut config = Config::default();
//! config.apply_env(|name| std::env::var(name).ok())?;
//! let exporter = Exporter::start(config, Scope { name: "remora".into(), ..Scope::default() })?;
//! exporter.spans(Vec::new());
//! let statistics = exporter.shutdown(Duration::from_secs(2)).await;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod batch;
mod config;
mod env;
mod error;
mod exporter;
mod otlp;
mod queue;
mod report;
mod resource;
mod signal;
mod split;
mod statistics;
mod stdout;
mod target;
#[cfg(test)]
mod test_support;
mod worker;

pub use batch::{Scope, SpanRecord};
pub use config::{
    BatchConfig, Compression, Config, Destination, Headers, Protocol, RetryConfig, SignalConfig,
};
pub use error::{ConfigError, Error};
pub use exporter::Exporter;
pub use resource::Resource;
pub use signal::Signal;
pub use statistics::{Dropped, SignalStatistics, Statistics};
