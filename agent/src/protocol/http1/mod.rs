//! HTTP/1.0 and 1.1 (RFC 9110, RFC 9112).
//!
//! A connection is two sides: each finds the heads of its messages, reads what says how long the body
//! is, and skips that body by position. The parser pairs responses with requests by their order. What is
//! kept of a message is only what its attributes need.

mod body;
mod budget;
mod context;
mod detail;
mod head;
mod infer;
mod parser;
mod redact;
mod requests;
mod responses;
mod route;
mod settings;
mod side;
mod target;
#[cfg(test)]
mod tests;
mod texts;

pub(in crate::protocol) use context::trace_parent;
pub use route::{PatternError, Router};
pub use settings::{Settings, SettingsError};

use std::sync::Arc;

use super::{Inference, Parser, Protocol, Run};

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    router: Router,
    redactor: redact::Redactor,
}

/// HTTP/1.0 and 1.1.
#[derive(Debug)]
pub struct Http1 {
    shared: Arc<Shared>,
}

impl Http1 {
    /// With settings that [`Settings::validate`] accepts; route patterns that it does not accept are left
    /// out.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let router = Router::lenient(&settings.routes);
        let redactor = redact::Redactor::new(&settings.redact_query_keys);
        Self { shared: Arc::new(Shared { settings, router, redactor }) }
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
