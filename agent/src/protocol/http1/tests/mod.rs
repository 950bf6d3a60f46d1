//! Tests of whole connections.

mod attributes;
mod conversation;
mod framing;
mod inference;
mod loss;
mod properties;
mod recorded;
mod support;
