//! Connections whose protocol is not known, or that are encrypted.
//!
//! The bytes say nothing, but their direction does: a run of the client's bytes, then a run of the server's, is taken for a
//! request and its response ([`Turns`](turns)). That holds for protocols in which the two take turns, and is told as what it
//! is: the metric `remora.network.turn.duration`, and spans only if the user asked for them. Where it is not clear who asks
//! (the server speaks first, a run is missing), nothing is told.

mod detail;
#[cfg(test)]
mod tests;
mod turns;

use super::{Chunk, End, Exchange, Interest, Losses, Moment, Parser, Stream};

use detail::TurnDetail;
use turns::{Turn, Turns};

/// Turns that are kept while it is not decided that the protocol is unknown. The search gives up before there are so many.
const MOST_WITHHELD: usize = 64;
/// Silence after which a response is taken to be over. Nanoseconds.
const SILENCE: u64 = 2_000_000_000;

/// The parser of a connection that no protocol wants.
///
/// It may be fed while the protocol is still looked for, and keeps what it finds to itself until it is
/// [settled](Unknown::settle) that there is none.
#[derive(Debug, Default)]
pub struct Unknown {
    turns: Turns,
    settled: Option<Settled>,
    withheld: Vec<Turn>,
    over_limit: u64,
}

#[derive(Clone, Copy, Debug)]
struct Settled {
    protocol: Option<&'static str>,
    spans: bool,
}

impl Unknown {
    /// No other parser wants the connection. `protocol` is what is known of it all the same (`tls`); `spans` says whether
    /// its turns become spans.
    pub fn settle(&mut self, protocol: Option<&'static str>, spans: bool, out: &mut Vec<Exchange>) {
        self.settled = Some(Settled { protocol, spans });
        for turn in std::mem::take(&mut self.withheld) {
            self.tell(turn, out);
        }
    }

    fn tell(&mut self, turn: Turn, out: &mut Vec<Exchange>) {
        match self.settled {
            Some(Settled { protocol, spans }) => {
                out.push(turn.exchange(Box::new(TurnDetail { protocol, spans })));
            }
            None if self.withheld.len() < MOST_WITHHELD => self.withheld.push(turn),
            None => self.over_limit += 1,
        }
    }
}

impl Parser for Unknown {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if let Some(turn) = self.turns.chunk(stream, chunk) {
            self.tell(turn, out);
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, _: Moment, _: End, out: &mut Vec<Exchange>) {
        // A request without a response says goodbye in most protocols.
        if let Some(turn) = self.turns.finish() {
            self.tell(turn, out);
        }
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if let Some(turn) = self.turns.silent(now, SILENCE) {
            self.tell(turn, out);
        }
    }

    fn waiting(&self) -> bool {
        self.settled.is_some() && self.turns.answering()
    }

    fn interest(&self) -> Interest {
        Interest::Turns
    }

    fn take_losses(&mut self) -> Losses {
        Losses { over_limit: std::mem::take(&mut self.over_limit), ..Losses::default() }
    }
}
