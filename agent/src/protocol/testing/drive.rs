//! Drives a parser as a connection does.

use std::net::SocketAddr;

use super::Conversation;
use crate::protocol::{
    Chunk, Description, End, Endpoint, Exchange, Interest, Losses, Moment, Parser, Protocol, Role, Scene,
    Stream, Unit, Value,
};

/// A parser, and where its streams are.
pub struct Driver {
    /// The parser.
    pub parser: Box<dyn Parser>,
    /// What it told so far, since it was last taken.
    pub told: Vec<Exchange>,
    /// What it lost so far.
    pub losses: Losses,
    /// Nanoseconds.
    pub time: u64,
    positions: [u64; 2],
    last: Option<Stream>,
}

/// What a parser made of a conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Its exchanges in the order in which they were told, as [`line`] writes them.
    pub told: Vec<String>,
    /// What it lost.
    pub losses: Losses,
}

impl Driver {
    /// A new connection of this protocol.
    #[must_use]
    pub fn new(protocol: &dyn Protocol, midstream: bool) -> Self {
        Self::of(protocol.parser(midstream))
    }

    /// A connection with this parser.
    #[must_use]
    pub fn of(parser: Box<dyn Parser>) -> Self {
        let losses = Losses::default();
        Self { parser, told: Vec::new(), losses, time: 1_000_000_000, positions: [0; 2], last: None }
    }

    /// The present time; the units of execution are 1 for the client's bytes and 2 for the server's.
    #[must_use]
    pub fn at(&self, stream: Stream) -> Moment {
        let thread = if stream == Stream::ToServer { 1 } else { 2 };
        Moment { time: self.time, unit: Unit { process: 7, thread, goroutine: 0 } }
    }

    /// Bytes pass, and behind them `missing` bytes that were not captured.
    pub fn chunk(&mut self, stream: Stream, bytes: &[u8], missing: u64) {
        let at = self.at(stream);
        let position = &mut self.positions[usize::from(stream == Stream::ToClient)];
        let length = bytes.len() as u64 + missing;
        let run_start = self.last != Some(stream);
        let chunk = Chunk { at, position: *position, length, bytes, run_start };
        *position += length;
        self.last = Some(stream);
        self.parser.chunk(stream, &chunk, &mut self.told);
        self.after();
    }

    fn after(&mut self) {
        self.losses.add(self.parser.take_losses());
        if let Interest::Heads { quiet_until, .. } | Interest::Frames { quiet_until } = self.parser.interest()
        {
            // A wish for silence that had been over long ago does no harm, but says that something is wrong.
            for (quiet, position) in quiet_until.into_iter().zip(self.positions) {
                assert!(quiet == 0 || quiet >= position, "quiet until {quiet} at {position}");
            }
        }
    }

    /// Time passes, in nanoseconds, with the ticks that the parser waits for.
    pub fn pass(&mut self, nanoseconds: u64) {
        const TICK: u64 = 100_000_000;
        let end = self.time + nanoseconds;
        while self.time < end {
            self.time = end.min(self.time + TICK);
            if self.parser.waiting() {
                self.parser.tick(self.time, &mut self.told);
                self.after();
            }
        }
    }

    /// One stream ends.
    pub fn stream_end(&mut self, stream: Stream) {
        self.parser.stream_end(stream, self.at(stream), &mut self.told);
        self.after();
    }

    /// The connection ends.
    pub fn end(&mut self, cause: End) {
        self.parser.end(self.at(Stream::ToServer), cause, &mut self.told);
        self.losses.add(self.parser.take_losses());
    }

    /// Plays a conversation, each piece as one chunk.
    pub fn play(&mut self, conversation: &Conversation) {
        for piece in &conversation.pieces {
            self.time += piece.after * 1_000;
            self.chunk(piece.stream, &piece.bytes, piece.missing);
        }
    }

    /// What was told since the last call, as the client's spans.
    pub fn take(&mut self) -> Vec<String> {
        self.told.drain(..).map(|exchange| line(&exchange, Role::Client)).collect()
    }

    /// Plays a whole connection that ends in order.
    #[must_use]
    pub fn whole(protocol: &dyn Protocol, conversation: &Conversation, midstream: bool) -> Played {
        let mut driver = Self::new(protocol, midstream);
        if conversation.datagrams {
            driver = Self::of(protocol.datagram_parser().expect("a protocol of datagrams"));
        }
        driver.play(conversation);
        driver.finish()
    }

    /// The connection ends in order; what was told in all.
    #[must_use]
    pub fn finish(mut self) -> Played {
        self.end(End::Orderly);
        Played { told: self.take(), losses: self.losses }
    }
}

/// An exchange as one end's span: `NAME key=value … [error MESSAGE]`, without times.
#[must_use]
pub fn line(exchange: &Exchange, role: Role) -> String {
    assert!(exchange.end >= exchange.start.time, "it ends before it begins: {exchange:?}");
    if let Some(first) = exchange.first_byte {
        assert!(first >= exchange.start.time && first <= exchange.end, "first byte: {exchange:?}");
    }
    let description = describe(exchange, role);
    let mut line = description.name.clone();
    for (key, value) in &description.attributes {
        // Times and addresses are the same for all, or differ with how it was played.
        if key.starts_with("server.")
            || key.starts_with("network.peer")
            || key.starts_with("network.local")
            || key.contains("time_to")
        {
            continue;
        }
        let value = match value {
            Value::Text(text) => text.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::List(list) => list.join(","),
        };
        line += &format!(" {key}={value}");
    }
    if let Some(error) = &description.error {
        line += &format!(" error {error}");
    }
    line.trim_end().to_owned()
}

/// An exchange as one end's span.
#[must_use]
pub fn describe(exchange: &Exchange, role: Role) -> Description {
    let server = Endpoint::Inet(SocketAddr::from(([10, 0, 0, 1], 8080)));
    let client = Endpoint::Inet(SocketAddr::from(([10, 0, 0, 2], 50_000)));
    let scene = match role {
        Role::Server => Scene { role, local: &server, remote: &client },
        Role::Client => Scene { role, local: &client, remote: &server },
    };
    exchange.detail.describe(exchange, &scene)
}
