//! Redis: RESP2 and RESP3, as Redis, Valkey and KeyDB speak them.
//!
//! Sources: the [protocol](https://redis.io/docs/latest/develop/reference/protocol-spec/) and the pages of the commands
//! named where they matter; the semantic conventions for Redis.

mod commands;
mod detail;
mod infer;
mod parser;
mod reply;
mod request;
mod resp;
#[cfg(test)]
mod tests;

use super::{Inference, Parser, Protocol, Run, Statements};

/// Redis.
#[derive(Clone, Copy, Debug)]
pub struct Redis {
    statements: Statements,
}

impl Redis {
    /// Commands are told as `statements` says; those that carry passwords never with their arguments.
    #[must_use]
    pub fn new(statements: Statements) -> Self {
        Self { statements }
    }
}

impl Protocol for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::RedisParser::new(midstream, self.statements))
    }
}
