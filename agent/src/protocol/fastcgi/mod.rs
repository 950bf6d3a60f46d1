//! FastCGI 1.0 (the specification of Open Market), between a web server and an application such as php-fpm.
//!
//! A request is an HTTP request in other clothes: its head comes as CGI variables, its response begins with CGI header
//! fields (RFC 3875). So it is told as HTTP is, with `network.protocol.name` `fastcgi`. What the application writes to
//! `STDERR` is counted, not told.

mod detail;
mod head;
mod infer;
mod params;
mod parser;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::http::Shared;
use super::{Inference, Parser, Protocol, Run};

/// FastCGI.
#[derive(Debug)]
pub struct FastCgi {
    shared: Arc<Shared>,
}

impl FastCgi {
    /// With what all of HTTP shares.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }
}

impl Protocol for FastCgi {
    fn name(&self) -> &'static str {
        "fastcgi"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::FastCgiParser::new(Arc::clone(&self.shared), midstream))
    }
}
