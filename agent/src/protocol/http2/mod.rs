//! HTTP/2 in clear text (RFC 9113, RFC 7541), with and without an upgrade from HTTP/1 (RFC 7540, 3.2), and gRPC on it.
//!
//! Each direction is a stream of frames, whose header blocks refer to what was said before on it. Requests and responses
//! carry the number of their stream, so pairing needs no order. Bodies are passed by position; of gRPC's, the five bytes
//! before each message are read.

mod exchange;
mod fields;
mod frame;
mod hpack;
mod infer;
mod parser;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::http::{Shared, Upgraded};
use super::{Inference, Parser, Protocol, Run, Upgrade};

/// HTTP/2.
#[derive(Debug)]
pub struct Http2 {
    shared: Arc<Shared>,
}

impl Http2 {
    /// With what the versions of HTTP share.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }
}

impl Protocol for Http2 {
    fn name(&self) -> &'static str {
        "http2"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::Http2Parser::new(&self.shared, midstream))
    }

    fn upgraded(&self, upgrade: &mut Upgrade) -> Option<Box<dyn Parser>> {
        if upgrade.token != "h2c" {
            return None;
        }
        let request = upgrade.request.take().and_then(|request| request.downcast::<Upgraded>().ok());
        Some(Box::new(parser::Http2Parser::upgraded(&self.shared, request.map(|request| *request))))
    }
}
