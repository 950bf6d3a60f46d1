//! Prepared statements by their ids.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::protocol::sql::Statement;

/// Longest id that is kept, bytes; servers' are 16.
pub(super) const MOST_ID: usize = 64;
/// Statements that are remembered for all connections. When there are more, all are forgotten and learned anew.
const MOST_SHARED: usize = 2048;
/// Statements that a connection remembers by itself.
const MOST_OWN: usize = 256;

type Known = FxHashMap<Box<[u8]>, Arc<Statement>>;

/// What all connections know: an id is a hash of keyspace and text, the same wherever a statement is prepared.
#[derive(Debug, Default)]
pub(super) struct Shared {
    known: Mutex<Known>,
}

/// What one connection knows, so that it seldom asks the others.
#[derive(Debug)]
pub(super) struct Statements {
    own: Known,
    shared: Arc<Shared>,
}

impl Statements {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { own: Known::default(), shared }
    }

    /// The server gave a statement this id.
    pub fn learn(&mut self, id: &[u8], statement: Arc<Statement>) {
        if id.len() > MOST_ID {
            return;
        }
        {
            let mut shared = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
            keep(&mut shared, MOST_SHARED, id, Arc::clone(&statement));
        }
        keep(&mut self.own, MOST_OWN, id, statement);
    }

    /// The statement with this id, if anybody saw it being prepared.
    pub fn get(&mut self, id: &[u8]) -> Option<Arc<Statement>> {
        if let Some(statement) = self.own.get(id) {
            return Some(Arc::clone(statement));
        }
        let shared = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()?;
        keep(&mut self.own, MOST_OWN, id, Arc::clone(&shared));
        Some(shared)
    }
}

fn keep(known: &mut Known, most: usize, id: &[u8], statement: Arc<Statement>) {
    if known.len() >= most && !known.contains_key(id) {
        known.clear();
    }
    known.insert(id.into(), statement);
}
