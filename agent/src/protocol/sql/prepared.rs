//! Prepared statements of a connection, and what else has a name and a text. Bounded.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Statement;
use crate::protocol::TraceParent;

/// Prepared statements that are remembered.
const MAX_STATEMENTS: usize = 1024;
/// Bytes of names and texts of theirs that are remembered.
const MAX_BYTES: usize = 512 * 1024;
/// Named portals that are remembered.
const MAX_PORTALS: usize = 64;
/// Longer names are not remembered.
const MAX_NAME: usize = 128;

/// A statement that was prepared, or bound.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What it says.
    pub statement: Arc<Statement>,
    /// The trace context in its text belongs to its first execution; later ones are of other traces.
    pub parent: Option<TraceParent>,
}

impl Prepared {
    /// A statement that was just read.
    #[must_use]
    pub fn new(mut statement: Statement) -> Self {
        let parent = statement.parent.take();
        Self { statement: Arc::new(statement), parent }
    }
}

/// What has a name; the empty name is one, too, and is always remembered.
#[derive(Debug)]
pub struct Names {
    unnamed: Option<Prepared>,
    named: FxHashMap<Box<[u8]>, Prepared>,
    most: usize,
    bytes: usize,
}

impl Names {
    /// Of prepared statements.
    #[must_use]
    pub fn statements() -> Self {
        Self { unnamed: None, named: FxHashMap::default(), most: MAX_STATEMENTS, bytes: 0 }
    }

    /// Of portals.
    #[must_use]
    pub fn portals() -> Self {
        Self { most: MAX_PORTALS, ..Self::statements() }
    }

    /// What has this name.
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut Prepared> {
        if name.is_empty() { self.unnamed.as_mut() } else { self.named.get_mut(name) }
    }

    /// What has this name, to be executed: the trace context goes with the first execution.
    pub fn use_one(&mut self, name: &[u8]) -> Option<Prepared> {
        let prepared = self.get_mut(name)?;
        Some(Prepared { statement: Arc::clone(&prepared.statement), parent: prepared.parent.take() })
    }

    /// Gives a name to something; false if it is not remembered because there are too many.
    pub fn insert(&mut self, name: &[u8], prepared: Option<Prepared>) -> bool {
        if name.is_empty() {
            self.unnamed = prepared;
            return true;
        }
        self.remove(name);
        let Some(prepared) = prepared else { return true };
        let weight = weight(name, &prepared);
        if name.len() > MAX_NAME || self.named.len() >= self.most || self.bytes + weight > MAX_BYTES {
            return false;
        }
        self.bytes += weight;
        self.named.insert(name.into(), prepared);
        true
    }

    /// The name means nothing any more.
    pub fn remove(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.unnamed = None;
        } else if let Some(prepared) = self.named.remove(name) {
            self.bytes -= weight(name, &prepared);
        }
    }

    /// Requests were not seen, which may have given names to other things: nothing is known any more.
    pub fn clear(&mut self) {
        self.unnamed = None;
        self.named.clear();
        self.bytes = 0;
    }
}

fn weight(name: &[u8], prepared: &Prepared) -> usize {
    let statement = &prepared.statement;
    let text = statement.text.as_ref().map_or(0, |text| text.len());
    name.len() + text + statement.summary.len() + size_of::<Statement>() + size_of::<Prepared>()
}
