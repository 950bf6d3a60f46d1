//! A connection to feed, and what it told.

use std::net::SocketAddr;

use super::super::{Http1, Settings};
use crate::protocol::{
    Chunk, Description, End, Endpoint, Exchange, Interest, Losses, Moment, Outcome, Parser, Protocol, Role,
    Scene, Stream, Unit, Value,
};

/// A parser with the state that its caller keeps.
pub struct Connection {
    pub parser: Box<dyn Parser>,
    pub told: Vec<Exchange>,
    /// Milliseconds; each run takes one.
    pub time: u64,
    positions: [u64; 2],
    last: Option<Stream>,
}

impl Connection {
    pub fn new() -> Self {
        Self::with(Settings::default(), false)
    }

    pub fn midstream() -> Self {
        Self::with(Settings::default(), true)
    }

    pub fn with(settings: Settings, midstream: bool) -> Self {
        let parser = Http1::new(settings).parser(midstream);
        Self { parser, told: Vec::new(), time: 0, positions: [0; 2], last: None }
    }

    /// A run of the client's, captured wholly.
    pub fn client(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.run(Stream::ToServer, bytes.as_ref(), bytes.as_ref().len())
    }

    /// A run of the server's, captured wholly.
    pub fn server(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.run(Stream::ToClient, bytes.as_ref(), bytes.as_ref().len())
    }

    /// A run, or its continuation, of which only the first bytes were captured. A millisecond passes before
    /// it.
    pub fn run(&mut self, stream: Stream, bytes: &[u8], captured: usize) -> &mut Self {
        self.time += 1;
        self.chunk(stream, &bytes[..captured], bytes.len() as u64, None)
    }

    /// Bytes of which none was captured.
    pub fn hole(&mut self, stream: Stream, length: u64) -> &mut Self {
        self.time += 1;
        self.chunk(stream, &[], length, None)
    }

    /// A chunk at the present time.
    pub fn chunk(&mut self, stream: Stream, bytes: &[u8], length: u64, run_start: Option<bool>) -> &mut Self {
        let position = &mut self.positions[stream as usize];
        let run_start = run_start.unwrap_or(self.last != Some(stream));
        let chunk = Chunk { at: moment(self.time), position: *position, length, bytes, run_start };
        *position += length;
        self.last = Some(stream);
        self.parser.chunk(stream, &chunk, &mut self.told);
        self
    }

    pub fn stream_end(&mut self, stream: Stream) -> &mut Self {
        self.time += 1;
        self.parser.stream_end(stream, moment(self.time), &mut self.told);
        self
    }

    pub fn end(&mut self, cause: End) -> &mut Self {
        self.time += 1;
        self.parser.end(moment(self.time), cause, &mut self.told);
        self
    }

    /// Silence until `time` milliseconds.
    pub fn tick(&mut self, time: u64) -> &mut Self {
        self.parser.tick(time * 1_000_000, &mut self.told);
        self
    }

    /// What was told since the last call: `GET /a 200 5 @1-2-3`, with the response's body size (`?` if
    /// unknown) and the milliseconds of start, first byte and end, and the outcome unless complete.
    pub fn take(&mut self) -> Vec<String> {
        self.told.drain(..).map(|exchange| summary(&exchange)).collect()
    }

    pub fn losses(&mut self) -> Losses {
        self.parser.take_losses()
    }

    pub fn budget(&self) -> Option<u32> {
        match self.parser.interest() {
            Interest::Heads { budget, .. } => Some(budget),
            _ => None,
        }
    }
}

pub fn moment(milliseconds: u64) -> Moment {
    Moment { time: milliseconds * 1_000_000, unit: Unit { process: 7, thread: 8, goroutine: 9 } }
}

pub fn summary(exchange: &Exchange) -> String {
    let seen = Seen::new(exchange);
    let status = seen.status.map_or("-".to_owned(), |status| status.to_string());
    let body = seen.response_body.map_or("?".to_owned(), |size| size.to_string());
    let first = exchange.first_byte.map_or("-".to_owned(), |time| (time / 1_000_000).to_string());
    let (start, end) = (exchange.start.time / 1_000_000, exchange.end / 1_000_000);
    let mut text = format!("{} {} {status} {body} @{start}-{first}-{end}", seen.method, seen.path);
    if exchange.outcome != Outcome::Complete {
        text += &format!(" {:?}", exchange.outcome);
    }
    text
}

/// What a server's span says.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub status: Option<i64>,
    pub request_body: Option<i64>,
    pub response_body: Option<i64>,
}

impl Seen {
    pub fn new(exchange: &Exchange) -> Self {
        let description = describe(exchange, Role::Server);
        let integer = |key| match find(&description, key) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        };
        Self {
            method: text(&description, "http.request.method").unwrap_or_default(),
            path: text(&description, "url.path").unwrap_or_default(),
            status: integer("http.response.status_code"),
            request_body: integer("http.request.body.size"),
            response_body: integer("http.response.body.size"),
        }
    }
}

pub fn describe(exchange: &Exchange, role: Role) -> Description {
    let server = Endpoint::Inet(SocketAddr::from(([10, 0, 0, 1], 8080)));
    let client = Endpoint::Inet(SocketAddr::from(([10, 0, 0, 2], 50_000)));
    let scene = match role {
        Role::Server => Scene { role, local: &server, remote: &client },
        Role::Client => Scene { role, local: &client, remote: &server },
    };
    exchange.detail.describe(exchange, &scene)
}

pub fn find<'a>(description: &'a Description, key: &str) -> Option<&'a Value> {
    let mut values = description.attributes.iter().filter(|(name, _)| *name == key).map(|(_, value)| value);
    let value = values.next();
    assert!(values.next().is_none(), "{key} is there twice");
    value
}

pub fn text(description: &Description, key: &str) -> Option<String> {
    match find(description, key)? {
        Value::Text(text) => Some(text.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}
