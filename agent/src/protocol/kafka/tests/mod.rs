//! Kafka's messages, as clients and brokers send them.

mod exchanges;
mod inference;
mod loss;
pub(super) mod support;
