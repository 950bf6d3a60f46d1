//! NATS: the client protocol, with headers, request and reply, and `JetStream`'s acknowledgements.
//!
//! Sources: <https://docs.nats.io/reference/reference-protocols/nats-protocol>, ADR-4 (headers) and ADR-15 (`JetStream`
//! subjects) of nats-architecture-and-design; the semantic conventions for messaging.

mod detail;
mod infer;
mod parser;
mod subject;
#[cfg(test)]
mod tests;
mod wire;

use super::{Inference, Parser, Protocol, Run};

/// NATS.
#[derive(Clone, Copy, Debug)]
pub struct Nats;

impl Protocol for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::NatsParser::new(midstream))
    }
}
