//! HTTP/1.0 and 1.1 (RFC 9110, RFC 9112).
//!
//! A connection is two sides: each finds the heads of its messages, reads what says how long the body
//! is, and skips that body by position. The parser pairs responses with requests by their order. What is
//! kept of a message is only what its attributes need.

mod body;
mod budget;
mod head;
mod infer;
mod parser;
mod requests;
mod responses;
mod side;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::http::{Settings, Shared};
use super::{Inference, Parser, Protocol, Run};

/// HTTP/1.0 and 1.1.
#[derive(Debug)]
pub struct Http1 {
    shared: Arc<Shared>,
}

impl Http1 {
    /// With settings of its own.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { shared: Shared::new(settings, false) }
    }

    /// With what the versions of HTTP share.
    #[must_use]
    pub fn with(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }
}

impl Protocol for Http1 {
    fn name(&self) -> &'static str {
        "http"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run.bytes)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::Http1Parser::new(Arc::clone(&self.shared), midstream))
    }
}
