//! The Dubbo protocol of Apache Dubbo 2 and 3 ("Dubbo2": `dubbo.apache.org`, Reference, Protocols, `dubbo`).
//!
//! A message is a header of 16 bytes with a magic number and an id that pairs responses with requests, and a body whose
//! first values say what is called. How values are written, the header says: Hessian 2, JSON lines and JSONB are read
//! ([`values`]), of others it is told that something was called, and how that ended.
//!
//! Either end sends heartbeats, which are not told. A server may call its client back; those calls are not told either.

mod detail;
mod header;
mod infer;
mod parser;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod values;

use super::{Inference, Parser, Protocol, Run};

/// Apache Dubbo's own protocol.
#[derive(Debug, Default)]
pub struct Dubbo;

impl Protocol for Dubbo {
    fn name(&self) -> &'static str {
        "dubbo"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::DubboParser::new(midstream))
    }
}
