//! Memcached: the text protocol with its meta commands, and the binary protocol, over TCP and unix sockets.
//!
//! Sources: `doc/protocol.txt` and `doc/protocol-binary.txt` of memcached.

mod binary;
mod detail;
mod infer;
mod parser;
#[cfg(test)]
mod tests;
mod text;

use super::{Inference, Parser, Protocol, Run, Statements};

/// Memcached.
#[derive(Clone, Copy, Debug)]
pub struct Memcached {
    statements: Statements,
}

impl Memcached {
    /// Commands are told with their arguments as `?`, or not at all if `statements` says so; never with keys.
    #[must_use]
    pub fn new(statements: Statements) -> Self {
        Self { statements }
    }
}

impl Protocol for Memcached {
    fn name(&self) -> &'static str {
        "memcached"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::MemcachedParser::new(midstream, self.statements))
    }
}
