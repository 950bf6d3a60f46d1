//! PostgreSQL: the frontend/backend protocol, versions 3.0 and 3.2 (PostgreSQL manual, chapter "Frontend/Backend
//! Protocol"; message formats in its section of that name).
//!
//! A statement is one exchange: a Query message with all that it holds; or, in the extended protocol, an Execute message
//! with the Parse, Bind and Describe before it. Its end is the ReadyForQuery where that follows, else what completes the
//! Execute. A Parse that succeeds is no exchange, one that fails is.
//!
//! The server answers in order, so each message that has an answer is a [step](steps::Step) in a queue. An answer that does
//! not fit the first step says that the two are out of step, and then nothing more is believed until the client begins a
//! new run.

mod backend;
mod frontend;
mod infer;
mod message;
mod parser;
mod steps;

#[cfg(test)]
mod tests;

use super::{Inference, Parser, Protocol, Run, Statements};

/// `db.system.name`
const SYSTEM: &str = "postgresql";

/// PostgreSQL.
#[derive(Debug)]
pub struct Postgresql {
    statements: Statements,
}

impl Postgresql {
    /// The protocol; `statements` says how much of their texts is told.
    #[must_use]
    pub fn new(statements: Statements) -> Self {
        Self { statements }
    }
}

impl Protocol for Postgresql {
    fn name(&self) -> &'static str {
        SYSTEM
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::Connection::new(self.statements, midstream))
    }
}
