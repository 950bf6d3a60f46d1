//! Cassandra's native protocol, versions 3 to 5 (Apache Cassandra, `native_protocol_v3.spec` to `v5.spec`), which
//! `ScyllaDB` speaks too.
//!
//! A message is an envelope: a header of nine bytes with a stream id, which pairs responses with requests, and a body. With
//! version 5, once the connection is started, envelopes travel in segments with checksums ([`segment`]).
//!
//! A prepared statement is executed by its id, an MD5 of its text, on any connection of the cluster: drivers prepare on one
//! and execute on another. So the texts are remembered for all connections ([`prepared`]).

mod batch;
mod detail;
mod envelope;
mod infer;
mod parser;
mod prepared;
mod reader;
mod request;
mod response;
mod segment;
mod side;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Inference, Parser, Protocol, Run, Statements};

/// Cassandra's native protocol.
#[derive(Debug)]
pub struct Cassandra {
    statements: Statements,
    prepared: Arc<prepared::Shared>,
}

impl Cassandra {
    /// Which tells so much of statements' texts.
    #[must_use]
    pub fn new(statements: Statements) -> Self {
        Self { statements, prepared: Arc::default() }
    }
}

impl Protocol for Cassandra {
    fn name(&self) -> &'static str {
        "cassandra"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        let prepared = prepared::Statements::new(Arc::clone(&self.prepared));
        Box::new(parser::CqlParser::new(self.statements, prepared, midstream))
    }
}
