//! Apache ZooKeeper's client protocol (`zookeeper.jute` and `ClientCnxn`, ZooKeeper 3.9).
//!
//! A message is a length and as many bytes of Jute. A connection's first request opens or resumes a session and has no
//! header; each other has an xid and an operation, and its reply the xid, the transaction and an error code. Servers send
//! watch events of their own accord, and answer four-letter words on connections that send nothing else.

mod detail;
mod error;
mod framing;
mod infer;
mod operation;
mod parser;
mod path;
#[cfg(test)]
mod tests;
mod wire;
mod word;

use super::{Inference, Parser, Protocol, Run, Statements};

/// Apache ZooKeeper's protocol.
#[derive(Debug)]
pub struct ZooKeeper {
    statements: Statements,
}

impl ZooKeeper {
    /// With what is told of paths: places in the tree, whole paths, or nothing.
    #[must_use]
    pub fn new(statements: Statements) -> Self {
        Self { statements }
    }
}

impl Protocol for ZooKeeper {
    fn name(&self) -> &'static str {
        "zookeeper"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::ZooKeeperParser::new(self.statements, midstream))
    }
}
