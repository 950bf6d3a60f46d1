//! Protocols: from positioned bytes to exchanges.
//!
//! A protocol is pure: bytes and times go in, exchanges come out. No I/O, no clock, no global state; nothing here
//! knows of eBPF or of OTLP. Each protocol has a folder of its own and one line in [`Registry::new`]; it maps its own
//! messages to attributes by the OpenTelemetry semantic conventions, so no other file knows its fields.

pub mod amqp;
pub mod cassandra;
pub mod context;
pub mod dns;
pub mod dubbo;
mod exchange;
pub mod fastcgi;
pub mod frames;
mod grpc;
pub mod http;
pub mod http1;
pub mod http2;
mod instrument;
mod instruments;
pub mod kafka;
pub mod memcached;
pub mod mongodb;
pub mod mqtt;
pub mod mysql;
pub mod nats;
pub mod pairing;
pub mod postgresql;
pub mod redis;
mod settings;
pub mod sql;
#[cfg(any(test, fuzzing))]
pub mod testing;
pub mod text;
pub mod thrift;
mod unknown;
pub mod websocket;
pub mod zookeeper;

pub use exchange::{
    Attribute, Description, Detail, Endpoint, Exchange, Kind, Moment, Names, Outcome, Role, Scene, Signals,
    TraceParent, Transport, Unit, Value,
};
pub use instrument::{Instrument, Reading};
pub use settings::{Database, Settings, Statements};
pub use unknown::Unknown;

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
    /// It looks like this protocol, and other things do too: believed when a run of the other stream looks like it as
    /// well.
    Likely(Stream),
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
    /// Both streams continue in another protocol: [`Parser::take_upgrade`] says which.
    Upgraded,
    /// No bytes; only when the direction changes, so that who waits for whom can be timed.
    Turns,
}

/// A connection goes on in another protocol.
#[derive(Debug, Default)]
pub struct Upgrade {
    /// The HTTP upgrade token that named it, in lower case (`websocket`, `h2c`, …).
    pub token: String,
    /// Bytes behind the last message of the old protocol that were given to its parser and belong to the new one:
    /// `[to server, to client]`, each with the position of its first byte.
    pub rest: [Option<Rest>; 2],
    /// The request that asked for it, in a type that both protocols know: the new one answers it (RFC 7540, 3.2), or tells
    /// where it is spoken.
    pub request: Option<Box<dyn std::any::Any + Send>>,
}

/// Bytes that the successor of a parser begins with.
#[derive(Debug)]
pub struct Rest {
    /// When they passed.
    pub at: Moment,
    /// Position of the first.
    pub position: u64,
    /// Bytes that passed, at least `bytes.len()`.
    pub length: u64,
    /// The captured prefix.
    pub bytes: Vec<u8>,
}

/// What is known of a run when its protocol is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Its first bytes, never empty; at most 512, or of a datagram [`remora_abi::record::MAX_DATAGRAM`].
    pub bytes: &'a [u8],
    /// Bytes of it that have passed so far; more than `bytes` if some were not captured or not kept.
    pub passed: u64,
    /// Nothing of this stream passed before it: a connection's opening.
    pub opening: bool,
    /// The stream that it belongs to, if the kernel saw who connected. A protocol that would have it the other way
    /// is not believed.
    pub stream: Option<Stream>,
}

/// A protocol: how to know it, and how to parse it.
pub trait Protocol: Send + Sync {
    /// The name in logs and attributes, as OpenTelemetry spells it where it does (`http`, `postgresql`, …).
    fn name(&self) -> &'static str;

    /// Does a run that begins so look like this protocol?
    fn infer(&self, run: &Run<'_>) -> Inference;

    /// Does this datagram? The prefix may have been cut at `run.passed` bytes. Protocols without datagrams say no.
    fn infer_datagram(&self, run: &Run<'_>) -> Inference {
        let _ = run;
        Inference::No
    }

    /// A parser for one connection. `midstream` says that bytes of it passed before the first chunk.
    fn parser(&self, midstream: bool) -> Box<dyn Parser>;

    /// A parser for datagrams between two ends: each chunk is one datagram, its `position` counts those before it.
    /// `None` for protocols without datagrams.
    fn datagram_parser(&self) -> Option<Box<dyn Parser>> {
        None
    }

    /// A parser for a connection that was upgraded to this protocol, if it is what the token names. It is not given
    /// [`Upgrade::rest`], which follows as chunks.
    fn upgraded(&self, upgrade: &mut Upgrade) -> Option<Box<dyn Parser>> {
        let _ = upgrade;
        None
    }
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

    /// What follows, once [`interest`](Parser::interest) is [`Interest::Upgraded`].
    fn take_upgrade(&mut self) -> Upgrade {
        Upgrade::default()
    }
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
    /// Connections that went on encrypted or compressed, as their protocol negotiated.
    pub unreadable: u64,
}

impl Losses {
    /// Adds what another part of a parser lost.
    pub fn add(&mut self, more: Losses) {
        self.unpaired_responses += more.unpaired_responses;
        self.unpaired_requests += more.unpaired_requests;
        self.resynchronised += more.resynchronised;
        self.unparsed_bytes += more.unparsed_bytes;
        self.over_limit += more.over_limit;
        self.unreadable += more.unreadable;
    }
}

/// All protocols that the agent knows.
pub struct Registry {
    protocols: Vec<Arc<dyn Protocol>>,
    /// Connections of unknown protocols are told as spans, too.
    pub network_spans: bool,
}

impl Registry {
    /// The known protocols, in the order in which they are asked, without those that the settings leave out.
    #[must_use]
    pub fn new(http: &http::Settings, settings: &Settings) -> Self {
        let http = http::Shared::new(http.clone(), settings.http_bodies);
        // One a line, so that adding one touches no other.
        #[rustfmt::skip]
        let mut protocols: Vec<Arc<dyn Protocol>> = vec![
            Arc::new(http1::Http1::with(&http)),
            Arc::new(dns::Dns),
            Arc::new(http2::Http2::new(&http)),
            Arc::new(kafka::Kafka::default()),
            Arc::new(amqp::Amqp),
            Arc::new(mqtt::Mqtt),
            Arc::new(fastcgi::FastCgi::new(&http)),
            Arc::new(mongodb::MongoDb::new(settings.database.statements)),
            Arc::new(mysql::Mysql::new(settings.database.statements)),
            Arc::new(memcached::Memcached::new(settings.database.statements)),
            Arc::new(zookeeper::ZooKeeper::new(settings.database.statements)),
            Arc::new(websocket::WebSocket),
            Arc::new(cassandra::Cassandra::new(settings.database.statements)),
            Arc::new(thrift::Thrift),
            Arc::new(dubbo::Dubbo),
            Arc::new(nats::Nats),
            Arc::new(redis::Redis::new(settings.database.statements)),
            Arc::new(postgresql::Postgresql::new(settings.database.statements)),
        ];
        protocols.retain(|protocol| !settings.disabled.iter().any(|name| name == protocol.name()));
        Self { protocols, network_spans: settings.network_spans }
    }

    /// These protocols.
    #[cfg(test)]
    pub fn of(protocols: Vec<Arc<dyn Protocol>>) -> Self {
        Self { protocols, network_spans: false }
    }

    /// The known protocols.
    pub fn protocols(&self) -> impl Iterator<Item = &Arc<dyn Protocol>> {
        self.protocols.iter()
    }

    /// What each protocol says of a run, in the order of the registry, but for those that would have it the other way
    /// round than the kernel saw.
    pub fn infer<'r>(&'r self, run: &Run<'r>) -> impl Iterator<Item = (&'r Arc<dyn Protocol>, Inference)> {
        self.protocols.iter().filter_map(|protocol| {
            let inference = protocol.infer(run);
            possible(inference, run).then_some((protocol, inference))
        })
    }

    /// As [`infer`](Self::infer), of a datagram.
    pub fn infer_datagram<'r>(
        &'r self,
        run: &Run<'r>,
    ) -> impl Iterator<Item = (&'r Arc<dyn Protocol>, Inference)> {
        self.protocols.iter().filter_map(|protocol| {
            let inference = protocol.infer_datagram(run);
            possible(inference, run).then_some((protocol, inference))
        })
    }

    /// The parser of the protocol that a connection was upgraded to, if it is known.
    pub fn upgraded(&self, upgrade: &mut Upgrade) -> Option<Box<dyn Parser>> {
        self.protocols.iter().find_map(|protocol| protocol.upgraded(upgrade))
    }
}

fn possible(inference: Inference, run: &Run<'_>) -> bool {
    match inference {
        Inference::No => false,
        Inference::Maybe => true,
        Inference::Likely(stream) | Inference::Yes(stream) => run.stream.is_none_or(|known| known == stream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(bytes: &[u8], stream: Option<Stream>) -> Run<'_> {
        Run { bytes, passed: bytes.len() as u64, opening: true, stream }
    }

    /// The registry gives the protocols that recognise a run, unless the kernel knows better who asks.
    #[test]
    fn registry() {
        let registry = Registry::new(&http::Settings::default(), &Settings::default());
        let found = |bytes: &[u8], stream| {
            let run = run(bytes, stream);
            let found = registry.infer(&run).find(|(_, inference)| matches!(inference, Inference::Yes(_)));
            found.map(|(protocol, inference)| (protocol.name(), inference))
        };
        assert_eq!(found(b"GET / HTTP/1.1\r\n", None), Some(("http", Inference::Yes(Stream::ToServer))));
        assert_eq!(found(b"HTTP/1.1 200 OK\r\n", None), Some(("http", Inference::Yes(Stream::ToClient))));
        assert_eq!(found(b"HTTP/1.1 200 OK\r\n", Some(Stream::ToServer)), None);
    }

    /// A protocol that is switched off is not looked for.
    #[test]
    fn disabled() {
        let settings = Settings { disabled: vec!["http".into()], ..Settings::default() };
        let registry = Registry::new(&http::Settings::default(), &settings);
        assert!(registry.protocols().all(|protocol| protocol.name() != "http"));
    }
}
