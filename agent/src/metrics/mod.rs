//! Metrics of observed services: every exchange is read by the instruments that its protocol names, before any sampling
//! of spans.
//!
//! Each shard adds up its readings in a [`Table`](table::Table) of its own: per service (the resource of a process),
//! instrument and attribute set. Once an interval it hands the table over, and one thread merges the tables of all shards
//! into the [`State`](state::State), so that no series is told twice, and exports them. The time is that of the records: a
//! recording that is told again gives the same metrics.
//!
//! Memory is bounded: attribute sets beyond the limit of an instrument, or of all, go into one set with the attribute
//! `otel.metric.overflow`, and are counted in `remora.coverage.overflowed_readings`; series that are silent are forgotten.

mod aggregate;
mod collector;
mod explicit;
mod exponential;
mod otlp;
#[cfg(test)]
mod page;
mod series;
mod settings;
mod state;
mod table;
#[cfg(test)]
mod testing;
pub mod traffic;

pub use collector::{Collector, Readings, count};
pub use otlp::scope;
pub use settings::{Histogram, Settings, SettingsError, Temporality};
pub use table::{Limits, Lost, Observation, Table};
