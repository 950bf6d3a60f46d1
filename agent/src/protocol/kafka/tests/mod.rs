//! Kafka's messages, as clients and brokers send them.

mod exchanges;
mod inference;
mod layouts;
mod loss;
mod recorded;
pub(super) mod support;
