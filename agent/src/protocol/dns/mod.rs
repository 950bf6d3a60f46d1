//! DNS over UDP and TCP (RFC 1035, 6891, 7766), as stub resolvers, forwarders and servers speak it.
//!
//! A message begins with an id and flags; a query has one question, and its response repeats both. They are paired by id and
//! question, so that neither a late response nor a reused id can be taken for another's. A query that is sent again (same id,
//! question and peer) is one exchange that counts its transmissions; one that is not answered in five seconds, counted from
//! the last transmission, has timed out. A truncated response ends its exchange; the retry over TCP is one of its own.
//!
//! Not followed: opcodes other than QUERY, messages of several questions (no server answers them), multicast DNS and LLMNR,
//! and queries of servers among themselves that ask without recursion and without EDNS, which LLMNR's cannot be told from.

mod codes;
mod detail;
mod infer;
mod message;
mod parser;
#[cfg(test)]
mod tests;

use super::{Inference, Parser, Protocol, Run};
use parser::{DatagramParser, StreamParser};

/// The protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dns;

impl Protocol for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        infer::stream(run)
    }

    fn infer_datagram(&self, run: &Run<'_>) -> Inference {
        infer::datagram(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Box::new(StreamParser::new(midstream))
    }

    fn datagram_parser(&self) -> Option<Box<dyn Parser>> {
        Some(Box::new(DatagramParser::new()))
    }
}
