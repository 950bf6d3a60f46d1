//! Traces: exchanges become spans, with ids, parents and the resource of who took part.

mod ids;
mod otlp;
mod spans;

pub use ids::Ids;
pub use otlp::{SCHEMA, attributes, resource};
pub use spans::{Context, Described, Spans};
