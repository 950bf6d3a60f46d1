//! MongoDB's wire protocol (MongoDB manual, "MongoDB Wire Protocol"; message format: "`OP_MSG`" specification).
//!
//! Every message begins with a header of 16 bytes that says its length and names itself; a reply names the request that
//! it answers. A server takes the messages of a connection in their order, so a reply also says that the requests before
//! it are over: those that got none were not to be answered (which a compressed one does not show), or their replies
//! were lost.
//!
//! A command is a BSON document whose first element is its name. Only the beginning of a message is read, so what is told
//! of it is what its first bytes say ([`bson`] reads documents that were cut).

mod bson;
mod detail;
mod framing;
mod infer;
mod parser;
mod reply;
mod request;
mod shape;
#[cfg(test)]
mod tests;

use super::{Inference, Parser, Protocol, Run, Statements};

/// MongoDB.
#[derive(Debug)]
pub struct MongoDb {
    statements: Statements,
}

impl MongoDb {
    /// Which tells so much of a command's text.
    #[must_use]
    pub fn new(statements: Statements) -> Self {
        Self { statements }
    }
}

impl Protocol for MongoDb {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::MongoParser::new(self.statements, midstream))
    }
}
