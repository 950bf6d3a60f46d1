//! Protocols: from positioned bytes to exchanges.
//!
//! A protocol is pure: bytes and times go in, exchanges come out. No I/O, no clock, no global state; nothing here
//! knows of eBPF or of OTLP. Each protocol has a folder of its own and one line in [`Registry::new`]; it maps its own
//! messages to attributes by the OpenTelemetry semantic conventions, so no other file knows its fields.

mod exchange;
pub mod http1;

pub use exchange::{
    Attribute, Description, Detail, Endpoint, Exchange, Moment, Outcome, Role, Scene, TraceParent, Unit,
    Value,
};

use std::sync::Arc;

/// One direction of a connection, named by the end that its bytes go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the client sends: requests.
    ToServer,
    /// What the server sends: responses.
    ToClient,
}

impl Stream {
    /// The other direction.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Stream::ToServer => Stream::ToClient,
            Stream::ToClient => Stream::ToServer,
        }
    }
}

/// Consecutive bytes of one stream: the first `bytes.len()` of its `length` bytes are here, the rest were not captured.
///
/// The chunks of a stream follow each other without hole or overlap: `position` is where the last chunk ended.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// When the bytes passed, and who moved them.
    pub at: Moment,
    /// Position of the first byte in its stream.
    pub position: u64,
    /// Bytes that passed; at least `bytes.len()`.
    pub length: u64,
    /// The captured prefix, perhaps empty.
    pub bytes: &'a [u8],
    /// The stream's direction differs from that of the chunk before it on this connection. Request/response
    /// protocols begin a message here, so a parser that lost its place may look for one.
    pub run_start: bool,
}

/// How a connection, or one of its streams, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Orderly: the sender closed its stream after the last byte.
    Orderly,
    /// Reset by the peer, or otherwise broken; the kernel's error number (`ECONNRESET`, …).
    Broken(u32),
    /// The process that owned it is gone.
    ProcessGone,
    /// The agent stops, or forgets the connection because it has been silent for too long.
    Forgotten,
}

/// What a prefix says about the protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inference {
    /// Not this protocol.
    No,
    /// Cannot be told yet: a longer prefix might be.
    Maybe,
    /// This protocol; the prefix belongs to the given stream.
    Yes(Stream),
}

/// What a parser wants to see of its connection from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// The first `budget` bytes of each run, and nothing of a stream before the position in `quiet_until`
    /// (`[to server, to client]`; 0 for no such wish).
    Heads {
        /// Bytes, at most [`remora_abi::record::MAX_CAPTURE`].
        budget: u32,
        /// Positions before which no byte is wanted.
        quiet_until: [u64; 2],
    },
    /// Everything.
    Frames {
        /// As above.
        quiet_until: [u64; 2],
    },
    /// Nothing more: the rest is not this protocol, or not readable.
    Nothing,
    /// Both streams continue in another protocol, named by its HTTP upgrade token (`websocket`, `h2c`, …).
    Upgraded(&'static str),
}

/// A protocol: how to know it, and how to parse it.
pub trait Protocol: Send + Sync {
    /// The name in logs and attributes, as OpenTelemetry spells it where it does (`http`, `postgresql`, …).
    fn name(&self) -> &'static str;

    /// Does a run that begins with `prefix` look like this protocol?
    fn infer(&self, prefix: &[u8]) -> Inference;

    /// A parser for one connection. `midstream` says that bytes of it passed before the first chunk.
    fn parser(&self, midstream: bool) -> Box<dyn Parser>;
}

/// The state of one connection in its protocol. Survives any bytes; memory is bounded.
pub trait Parser: Send {
    /// Takes the next chunk of a stream and appends the exchanges that it completes.
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>);

    /// One stream is over: no chunk of it will follow.
    fn stream_end(&mut self, stream: Stream, at: Moment, out: &mut Vec<Exchange>);

    /// The connection is over: all exchanges in flight are told now, as incomplete or (where the end of the connection
    /// is the end of the message) complete.
    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>);

    /// Called about every 100 ms with the time (`CLOCK_MONOTONIC`, nanoseconds) while the parser says it is
    /// [`waiting`](Parser::waiting): tells what has become complete by silence.
    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>);

    /// Whether [`tick`](Parser::tick) could yield anything.
    fn waiting(&self) -> bool;

    /// What it wants to see from now on; asked after each call above.
    fn interest(&self) -> Interest;

    /// Losses since the last call, for the coverage counters.
    fn take_losses(&mut self) -> Losses;
}

/// What a parser could not make an exchange of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Responses without their request (late attach, or the request was lost).
    pub unpaired_responses: u64,
    /// Requests whose response was lost, told as spans without a status.
    pub unpaired_requests: u64,
    /// Times that the parser lost its place in a stream and had to look for the next message.
    pub resynchronised: u64,
    /// Bytes that passed while it had lost its place.
    pub unparsed_bytes: u64,
    /// Messages given up because a limit was reached (length of a head, exchanges in flight).
    pub over_limit: u64,
}

/// All protocols that the agent knows.
pub struct Registry {
    protocols: Vec<Arc<dyn Protocol>>,
}

impl Registry {
    /// The known protocols, in the order in which they are asked.
    #[must_use]
    pub fn new(http: http1::Settings) -> Self {
        Self { protocols: vec![Arc::new(http1::Http1::new(http))] }
    }

    /// The first protocol that recognises `prefix` and the stream it belongs to; `Err(true)` if a longer prefix could
    /// still be recognised, `Err(false)` if not.
    pub fn infer(&self, prefix: &[u8]) -> Result<(&Arc<dyn Protocol>, Stream), bool> {
        let mut maybe = false;
        for protocol in &self.protocols {
            match protocol.infer(prefix) {
                Inference::Yes(stream) => return Ok((protocol, stream)),
                Inference::Maybe => maybe = true,
                Inference::No => {}
            }
        }
        Err(maybe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The registry gives the protocol and the stream, or says whether a longer prefix could help.
    #[test]
    fn registry() {
        let registry = Registry::new(http1::Settings::default());
        let found =
            |prefix: &[u8]| registry.infer(prefix).map(|(protocol, stream)| (protocol.name(), stream));
        assert_eq!(found(b"GET / HTTP/1.1\r\n"), Ok(("http", Stream::ToServer)));
        assert_eq!(found(b"HTTP/1.1 200 OK\r\n"), Ok(("http", Stream::ToClient)));
        assert_eq!(found(b"GE"), Err(true));
        assert_eq!(found(b"\x16\x03\x01"), Err(false));
    }
}
