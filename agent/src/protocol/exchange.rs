//! Exchanges: a request paired with its response, and how it describes itself to OpenTelemetry.

use std::borrow::Cow;
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{End, Instrument};

/// Who executes: a goroutine where there is one, else a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unit {
    /// Process id in the initial PID namespace.
    pub process: u32,
    /// Thread id in the initial PID namespace.
    pub thread: u32,
    /// Goroutine id, or 0.
    pub goroutine: u64,
}

/// A time and who acted then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Who moved the bytes.
    pub unit: Unit,
}

/// Which end of a connection the observed process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sends requests.
    Client,
    /// It answers them.
    Server,
}

/// What carries a connection's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// A stream: TCP, or a unix socket of that kind.
    #[default]
    Stream,
    /// Datagrams: UDP.
    Datagram,
}

/// One end's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP or UDP.
    Inet(SocketAddr),
    /// A unix socket's path (abstract ones begin with `@`), empty if it has none.
    Unix(Arc<str>),
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Request and response were seen to their ends.
    Complete,
    /// The connection ended before the response did; the kernel's error number, 0 for an orderly end.
    ConnectionClosed(u32),
    /// The process that owned the connection ended first.
    ProcessGone,
    /// The response passed, but what it said was not captured.
    ResponseLost,
    /// The agent stopped, or forgot the silent connection, while it was in flight.
    Unfinished,
    /// No response came in the time that the protocol allows.
    TimedOut,
}

impl Outcome {
    /// What the end of its connection means for an exchange in flight.
    #[must_use]
    pub fn of(end: End) -> Self {
        match end {
            End::Orderly => Outcome::ConnectionClosed(0),
            End::Broken(error) => Outcome::ConnectionClosed(error),
            End::ProcessGone => Outcome::ProcessGone,
            End::Forgotten => Outcome::Unfinished,
        }
    }

    /// `error.type` of an exchange that ended so, or `None` if nothing is wrong with the service.
    #[must_use]
    pub fn error_type(self) -> Option<&'static str> {
        match self {
            Outcome::Complete | Outcome::ResponseLost | Outcome::Unfinished => None,
            Outcome::ConnectionClosed(_) => Some("connection_closed"),
            Outcome::ProcessGone => Some("process_gone"),
            Outcome::TimedOut => Some("timeout"),
        }
    }

    /// `remora.outcome`: why there is no response, or `None` if there is one.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Outcome::Complete => None,
            Outcome::ConnectionClosed(_) => Some("connection_closed"),
            Outcome::ProcessGone => Some("process_gone"),
            Outcome::ResponseLost => Some("response_lost"),
            Outcome::Unfinished => Some("unfinished"),
            Outcome::TimedOut => Some("timed_out"),
        }
    }

    /// Adds `remora.outcome` and `error.type` of an exchange that ended so; `failure` is the error that its response told.
    /// Gives what [`Description::error`] is.
    pub fn describe(
        self,
        failure: Option<Cow<'static, str>>,
        attributes: &mut Vec<Attribute>,
    ) -> Option<Cow<'static, str>> {
        if let Some(word) = self.word() {
            attributes.push(("remora.outcome", Value::Text(word.into())));
        }
        let broken = self.error_type();
        // A status speaks for itself; how an exchange broke needs a sentence.
        let (error_type, message) = match (failure, broken) {
            (Some(failure), _) => (failure, ""),
            (None, Some("timeout")) => (Cow::Borrowed("timeout"), "no response came in time"),
            (None, Some("process_gone")) => {
                (Cow::Borrowed("process_gone"), "the process ended before the response was complete")
            }
            (None, Some(word)) => {
                (Cow::Borrowed(word), "the connection ended before the response was complete")
            }
            (None, None) => return None,
        };
        attributes.push(("error.type", Value::Text(error_type)));
        Some(Cow::Borrowed(message))
    }
}

/// A request paired with its response, or with the reason why there is none.
#[derive(Debug)]
pub struct Exchange {
    /// First byte of the request, and the unit of execution that wrote (client) or read (server) it.
    pub start: Moment,
    /// First byte of the (final) response, `CLOCK_MONOTONIC` nanoseconds.
    pub first_byte: Option<u64>,
    /// Last byte of the response, or the moment it became clear that there will be none.
    pub end: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What the protocol knows.
    pub detail: Box<dyn Detail>,
}

/// What a protocol knows of an exchange.
pub trait Detail: Send + Debug {
    /// The exchange in OpenTelemetry's words.
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description;

    /// The addresses that the exchange gave to a name, if that is what it was for.
    fn names(&self) -> Option<Names<'_>> {
        None
    }
}

/// A name, and the addresses that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// As it was asked for.
    pub name: &'a str,
    /// Each with the time for which it may be believed, seconds.
    pub addresses: &'a [(IpAddr, u32)],
}

/// What is known of the connection that an exchange was on.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Which end the observed process is.
    pub role: Role,
    /// Its own address.
    pub local: &'a Endpoint,
    /// The other end's address.
    pub remote: &'a Endpoint,
}

impl<'a> Scene<'a> {
    /// The server's address.
    #[must_use]
    pub fn server(&self) -> &'a Endpoint {
        match self.role {
            Role::Client => self.remote,
            Role::Server => self.local,
        }
    }

    /// The client's address.
    #[must_use]
    pub fn client(&self) -> &'a Endpoint {
        match self.role {
            Role::Client => self.local,
            Role::Server => self.remote,
        }
    }

    /// `server.address`, `server.port`, `network.peer.*`, and of a server `network.local.*` too, for protocols whose messages
    /// do not name the server better. Unix sockets have no port.
    pub fn addresses(&self, attributes: &mut Vec<Attribute>) {
        let (address, port) = match self.server() {
            Endpoint::Inet(socket) => (socket.ip().to_string(), Some(socket.port())),
            Endpoint::Unix(path) => (path.to_string(), None),
        };
        if !address.is_empty() {
            attributes.push(("server.address", Value::Text(address.into())));
        }
        if let Some(port) = port {
            attributes.push(("server.port", Value::Integer(port.into())));
        }
        let mut end = |endpoint: &Endpoint, address, port| {
            if let Endpoint::Inet(socket) = endpoint {
                attributes.push((address, Value::Text(socket.ip().to_string().into())));
                attributes.push((port, Value::Integer(socket.port().into())));
            }
        };
        end(self.remote, "network.peer.address", "network.peer.port");
        if self.role == Role::Server {
            end(self.local, "network.local.address", "network.local.port");
        }
    }
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// UTF-8 text.
    Text(Cow<'static, str>),
    /// A whole number.
    Integer(i64),
    /// A number; durations are seconds.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
}

/// A key from the semantic conventions and its value.
pub type Attribute = (&'static str, Value);

/// W3C trace context, as a request carried it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Not all zero.
    pub trace: [u8; 16],
    /// Not all zero.
    pub span: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
    /// `tracestate`, as it came.
    pub state: Option<Box<str>>,
}

/// What a span is for its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `CLIENT` or `SERVER`, as the process's end of the connection is.
    #[default]
    ByRole,
    /// `PRODUCER`: it hands a message to a broker.
    Producer,
    /// `CONSUMER`: it gets a message from a broker.
    Consumer,
}

/// What becomes of an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signals {
    /// A span, and readings of its instruments.
    #[default]
    SpanAndMetrics,
    /// Readings only.
    Metrics,
}

/// A span's contents, without identity and times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// Low-cardinality span name.
    pub name: String,
    /// Attributes by the semantic conventions.
    pub attributes: Vec<Attribute>,
    /// `Some` sets the span's status to error; the text is the status message, possibly empty.
    pub error: Option<Cow<'static, str>>,
    /// Trace context that the request carried.
    pub parent: Option<TraceParent>,
    /// What the span is for its service.
    pub kind: Kind,
    /// The metrics that count it.
    pub instruments: &'static [&'static Instrument],
    /// Whether it becomes a span, too.
    pub signals: Signals,
}
