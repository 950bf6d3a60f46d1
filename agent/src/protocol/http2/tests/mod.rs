//! Tests of whole connections.

mod calls;
mod conversation;
mod exchanges;
mod inference;
mod loss;
mod recorded;
mod support;
