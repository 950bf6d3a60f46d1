//! Names of topics by their ids.
//!
//! Produce and Fetch (both since version 13) name topics by id (KIP-516); the responses to Metadata, CreateTopics and
//! DescribeTopicPartitions tell both. Java's client asks for these on another connection than it produces and fetches on,
//! so what one connection learns all others may look up. That cannot mix up clusters: an id is a random UUID, which no two
//! topics of any clusters share (but for that of `__cluster_metadata`, which is so called in all of them), and a topic
//! keeps its name for as long as it has its id.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

/// A topic's id.
pub(super) type Id = [u8; 16];

/// Topics whose names are kept for all connections. When there are more, those that were learned first are forgotten. With
/// Kafka's longest names, about 1.5 MiB.
const MAX_SHARED: usize = 4096;
/// Topics whose names a connection keeps by itself; it looks up the others where all do. About 70 KiB, and as long as
/// nothing was forgotten there, no names.
const MAX_OWN: usize = 1024;
/// Kafka's longest topic name. Bytes.
pub(super) const MAX_NAME: usize = 249;

/// What all connections know.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    names: FxHashMap<Id, Arc<str>>,
    /// The ids, in the order in which they were learned.
    order: VecDeque<Id>,
}

impl Shared {
    /// A topic has this name; in return, the one copy of it.
    fn learn(&self, id: Id, name: &str) -> Arc<str> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table.names.get(&id).filter(|known| &***known == name) {
            return Arc::clone(known);
        }
        let name = Arc::<str>::from(name);
        if table.names.insert(id, Arc::clone(&name)).is_none() {
            if table.order.len() >= MAX_SHARED
                && let Some(oldest) = table.order.pop_front()
            {
                table.names.remove(&oldest);
            }
            table.order.push_back(id);
        }
        name
    }

    fn name(&self, id: &Id) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).names.get(id).cloned()
    }
}

/// What one connection knows, so that it seldom asks what all know.
#[derive(Debug)]
pub(super) struct Topics {
    own: FxHashMap<Id, Arc<str>>,
    shared: Arc<Shared>,
}

impl Topics {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { own: FxHashMap::default(), shared }
    }

    /// A topic has this name. What the connection knew is shared anew: it may have been forgotten there.
    pub fn learn(&mut self, id: Id, name: &[u8]) {
        if id == Id::default() || name.is_empty() || name.len() > MAX_NAME {
            return;
        }
        if let Ok(name) = std::str::from_utf8(name) {
            let name = self.shared.learn(id, name);
            self.keep(id, name);
        }
    }

    /// The name of a topic, if any connection was told it.
    pub fn name(&mut self, id: &Id) -> Option<Arc<str>> {
        if let Some(name) = self.own.get(id) {
            return Some(Arc::clone(name));
        }
        let name = self.shared.name(id)?;
        self.keep(*id, Arc::clone(&name));
        Some(name)
    }

    fn keep(&mut self, id: Id, name: Arc<str>) {
        if self.own.len() < MAX_OWN || self.own.contains_key(&id) {
            self.own.insert(id, name);
        }
    }
}

/// An id as Kafka prints it: URL-safe Base64 without padding.
pub(super) fn print(id: &Id) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = u128::from_be_bytes(*id);
    // 128 bits are 22 digits, of which the last has two bits.
    (0..22u32)
        .map(|digit| {
            let left = 122 - i64::from(digit) * 6;
            let bits = if left >= 0 { number >> left } else { number << -left };
            char::from(DIGITS[(bits & 63) as usize])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `org.apache.kafka.common.Uuid` prints them.
    #[test]
    fn printed() {
        assert_eq!(print(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(print(&[0xff; 16]), "_____________________w");
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(print(&one), "AAAAAAAAAAAAAAAAAAAAAQ");
    }

    fn learned(topics: &mut Topics, numbers: std::ops::Range<u128>) {
        for number in numbers {
            topics.learn(number.to_be_bytes(), format!("t{number}").as_bytes());
        }
    }

    /// No more topics than the limits are kept, and only names that can be.
    #[test]
    fn bounded() {
        let shared = Arc::<Shared>::default();
        let mut topics = Topics::new(Arc::clone(&shared));
        learned(&mut topics, 0..5000);
        assert_eq!(topics.own.len(), MAX_OWN);
        let sizes = || {
            let table = shared.0.lock().unwrap();
            (table.names.len(), table.order.len())
        };
        assert_eq!(sizes(), (MAX_SHARED, MAX_SHARED));
        assert_eq!(topics.name(&7u128.to_be_bytes()).as_deref(), Some("t7"));
        assert_eq!(topics.name(&4999u128.to_be_bytes()).as_deref(), Some("t4999"));
        assert_eq!(topics.name(&0u128.to_be_bytes()), None);
        topics.learn(7u128.to_be_bytes(), b"renamed");
        assert_eq!(topics.name(&7u128.to_be_bytes()).as_deref(), Some("renamed"));
        topics.learn(7u128.to_be_bytes(), &[b'x'; 300]);
        topics.learn(7u128.to_be_bytes(), b"\xff");
        assert_eq!(topics.name(&7u128.to_be_bytes()).as_deref(), Some("renamed"));
        assert_eq!(sizes(), (MAX_SHARED, MAX_SHARED));
    }

    /// What was learned first is forgotten first, comes back when it is told again, and stays with whoever knew it.
    #[test]
    fn oldest_forgotten() {
        let shared = Arc::<Shared>::default();
        let mut one = Topics::new(Arc::clone(&shared));
        learned(&mut one, 1..4098);
        let other = || Topics::new(Arc::clone(&shared));
        assert_eq!(other().name(&1u128.to_be_bytes()), None);
        assert_eq!(other().name(&2u128.to_be_bytes()).as_deref(), Some("t2"));
        assert_eq!(one.name(&1u128.to_be_bytes()).as_deref(), Some("t1"));
        learned(&mut one, 1..2);
        assert_eq!(other().name(&1u128.to_be_bytes()).as_deref(), Some("t1"));
        assert_eq!(other().name(&2u128.to_be_bytes()), None);
    }
}
