//! Whether answers belong to the requests that they are paired with, where only their order says so.
//!
//! Pairing by order needs to know that nothing was under way when the first request was seen. Of a connection from before our
//! time, or after a loss, that is doubtful. What is told while it is, is held until the client begins to speak again with
//! every answer in its place; an answer too many shows that the pairing was wrong, and then what is held is dropped.

use super::detail::SqlDetail;
use crate::protocol::pairing::Pending;
use crate::protocol::{Exchange, Outcome};

/// Exchanges that are held at most.
const MAX_HELD: usize = 256;
/// A pairing that nothing spoke against for so long is right. Nanoseconds.
const SILENCE: u64 = 1_000_000_000;
/// Times that the client must begin to speak with every answer in its place.
const SOME: u8 = 1;
/// As above, where there are signs of requests that do not wait for answers.
const GREAT: u8 = 4;

/// The doubt of one connection.
#[derive(Debug, Default)]
pub struct Doubt {
    level: u8,
    held: Vec<Exchange>,
    /// When bytes passed last.
    last: u64,
}

impl Doubt {
    /// None, or of a connection from before our time, some.
    #[must_use]
    pub fn new(midstream: bool) -> Self {
        Self { level: if midstream { SOME } else { 0 }, ..Self::default() }
    }

    /// Bytes pass.
    pub fn passing(&mut self, now: u64) {
        self.last = now;
    }

    /// A complete exchange: told, or held. How many were dropped because there were too many.
    pub fn tell(&mut self, pending: Pending<SqlDetail>, end: u64, out: &mut Vec<Exchange>) -> u64 {
        if self.level == 0 {
            pending.tell(end, Outcome::Complete, out);
            return 0;
        }
        let dropped = if self.held.len() >= MAX_HELD { self.drop_held() } else { 0 };
        pending.tell(end, Outcome::Complete, &mut self.held);
        dropped
    }

    /// Something was lost while `outstanding` answers were to come.
    pub fn raise(&mut self, outstanding: usize) {
        self.level = self.level.max(if outstanding > 1 { GREAT } else { SOME });
    }

    /// The client begins to speak, and every request has its answer.
    pub fn clean_turn(&mut self, out: &mut Vec<Exchange>) {
        if self.level > 0 && !self.held.is_empty() {
            self.level -= 1;
            if self.level == 0 {
                out.append(&mut self.held);
            }
        }
    }

    /// An answer to nothing that was seen. What was paired before may have been paired with the answers of others; how many
    /// exchanges are dropped for that.
    pub fn unasked(&mut self) -> u64 {
        if self.held.is_empty() && self.level > 0 {
            return 0;
        }
        self.wrong()
    }

    /// An answer does not fit its request; how many exchanges are dropped for that.
    pub fn wrong(&mut self) -> u64 {
        self.level = GREAT;
        self.drop_held()
    }

    fn drop_held(&mut self) -> u64 {
        let dropped = self.held.len() as u64;
        self.held.clear();
        dropped
    }

    /// Something is held.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Silence, with every request answered, clears doubts.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if now.saturating_sub(self.last) >= SILENCE {
            self.level = 0;
            out.append(&mut self.held);
        }
    }

    /// The connection ends, and nothing spoke against what is held.
    pub fn end(&mut self, out: &mut Vec<Exchange>) {
        out.append(&mut self.held);
    }
}
