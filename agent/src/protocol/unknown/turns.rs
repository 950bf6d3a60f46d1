//! Who speaks, and for how long.

use crate::protocol::{Chunk, Detail, Exchange, Moment, Outcome, Stream};

/// A run of the client and the run of the server behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// First byte of the client's run.
    start: Moment,
    /// First byte of the server's, nanoseconds.
    first_byte: u64,
    /// Last byte of it that was seen.
    end: u64,
}

impl Turn {
    /// As an exchange.
    pub fn exchange(self, detail: Box<dyn Detail>) -> Exchange {
        let Turn { start, first_byte, end } = self;
        let first_byte = first_byte.max(start.time);
        Exchange {
            start,
            first_byte: Some(first_byte),
            end: end.max(first_byte),
            outcome: Outcome::Complete,
            detail,
        }
    }
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Turns {
    /// Nobody has asked.
    #[default]
    Idle,
    /// The client speaks since then.
    Asking(Moment),
    /// The server answers.
    Answering(Turn),
}

impl Turns {
    /// Takes the next chunk; gives the turn that it ends.
    pub fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>) -> Option<Turn> {
        let at = chunk.at;
        // A chunk without bytes in the midst of a run may be one that passed unseen, long before: it begins no run.
        let begins = chunk.run_start || !chunk.bytes.is_empty();
        match (stream, &mut *self) {
            (Stream::ToServer, Turns::Asking(_)) if !chunk.run_start => None,
            (Stream::ToServer, _) if begins => match std::mem::replace(self, Turns::Asking(at)) {
                Turns::Answering(turn) => Some(turn),
                Turns::Idle | Turns::Asking(_) => None,
            },
            (Stream::ToClient, Turns::Answering(turn)) => {
                turn.end = turn.end.max(at.time);
                None
            }
            (Stream::ToClient, Turns::Asking(start)) if begins => {
                *self = Turns::Answering(Turn { start: *start, first_byte: at.time, end: at.time });
                None
            }
            _ => None,
        }
    }

    /// Whether the server answers.
    pub fn answering(&self) -> bool {
        matches!(self, Turns::Answering(_))
    }

    /// Nothing more will come.
    pub fn finish(&mut self) -> Option<Turn> {
        match std::mem::take(self) {
            Turns::Answering(turn) => Some(turn),
            Turns::Idle | Turns::Asking(_) => None,
        }
    }

    /// The turn that is over, since nothing has come for so long.
    pub fn silent(&mut self, now: u64, silence: u64) -> Option<Turn> {
        match *self {
            Turns::Answering(turn) if now.saturating_sub(turn.end) >= silence => self.finish(),
            _ => None,
        }
    }
}
