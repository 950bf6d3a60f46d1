//! AMQP 0-9-1, as RabbitMQ speaks it (the specification of amqp.org, and RabbitMQ's extensions to it).
//!
//! A connection carries many channels. On each, a synchronous method waits for its answer, a message is a method
//! (`publish`, `deliver`, `get-ok`, `return`), a content header and bodies, and numbers settle what was sent: the broker
//! confirms publishes, consumers acknowledge deliveries. Bodies are never looked at.

mod channel;
mod detail;
mod framing;
mod infer;
mod method;
mod names;
mod parser;
mod properties;
mod settling;
#[cfg(test)]
mod tests;

use super::{Inference, Parser, Protocol, Run};

/// AMQP 0-9-1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amqp;

impl Protocol for Amqp {
    fn name(&self) -> &'static str {
        "amqp"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::AmqpParser::new(midstream))
    }
}
