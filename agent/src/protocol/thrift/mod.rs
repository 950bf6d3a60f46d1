//! Apache Thrift (`doc/specs/thrift-rpc.md`, `thrift-binary-protocol.md`, `thrift-compact-protocol.md`, `HeaderFormat.md`).
//!
//! A message is a head (kind, name, sequence number) and a struct, in the binary protocol (strict or old) or the compact one.
//! A framed transport says how long it is; the header transport does too, and says how it is encoded; an unframed (buffered)
//! one does not, so the struct is walked through to find its end ([`skip`]).
//!
//! Many clients number all their calls 0, so a reply belongs to the first call that waits with its name and number. After a
//! loss that does not hold where calls with one number overlap: then nothing is paired any more.

mod detail;
mod head;
mod infer;
mod parser;
mod reply;
mod side;
mod skip;
#[cfg(test)]
mod tests;
mod varint;

use super::{Inference, Parser, Protocol, Run};

/// Apache Thrift.
#[derive(Debug, Default)]
pub struct Thrift;

impl Protocol for Thrift {
    fn name(&self) -> &'static str {
        "thrift"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(parser::ThriftParser::new(midstream))
    }
}
