//! MySQL and MariaDB: the client/server protocol from version 4.1 on (dev.mysql.com, "Client/Server Protocol"; MariaDB
//! knowledge base, "Client/Server Protocol").
//!
//! A command and its whole response, with all its results, is one exchange; so is an execution of a prepared statement. What
//! prepares one is told only if that fails. Responses come in the order of the commands; each packet has a number in its
//! sequence, which shows where the place was lost.
//!
//! A result set is read in either form, with EOF packets or without (CLIENT_DEPRECATE_EOF): an EOF packet has five bytes, an
//! OK packet that stands for one has at least seven, so what was negotiated need not be known.

mod attributes;
mod commands;
mod handshake;
mod infer;
mod packet;
mod parser;
mod response;

#[cfg(test)]
mod tests;

use super::{Inference, Parser, Protocol, Run, Statements};

/// MySQL and MariaDB.
#[derive(Debug)]
pub struct Mysql {
    statements: Statements,
}

impl Mysql {
    /// The protocol; `statements` says how much of their texts is told.
    #[must_use]
    pub fn new(statements: Statements) -> Self {
        Self { statements }
    }
}

impl Protocol for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::Connection::new(self.statements, midstream))
    }
}
