//! Names of topics by their ids, as one connection tells them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// A topic's id.
pub(super) type Id = [u8; 16];

/// Topics whose names are kept for a connection; with Kafka's longest names, about 300 KiB.
const MAX_TOPICS: usize = 1024;
/// Kafka's longest topic name. Bytes.
pub(super) const MAX_NAME: usize = 249;

/// What is known of topics' names. Produce (since version 13) and Fetch (since version 13) name topics by id (KIP-516);
/// responses to Metadata and its like tell both.
#[derive(Debug, Default)]
pub(super) struct Topics(FxHashMap<Id, Arc<str>>);

impl Topics {
    /// A topic has this name.
    pub fn learn(&mut self, id: Id, name: &[u8]) {
        if id == Id::default() || name.is_empty() || name.len() > MAX_NAME {
            return;
        }
        let known = self.0.get(&id).is_some_and(|known| known.as_bytes() == name);
        if known || (self.0.len() >= MAX_TOPICS && !self.0.contains_key(&id)) {
            return;
        }
        if let Ok(name) = std::str::from_utf8(name) {
            self.0.insert(id, Arc::from(name));
        }
    }

    /// The name of a topic, if it was told.
    pub fn name(&self, id: &Id) -> Option<Arc<str>> {
        self.0.get(id).cloned()
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

    /// No more topics than the limit are kept, and only names that can be.
    #[test]
    fn bounded() {
        let mut topics = Topics::default();
        for number in 0..5000u128 {
            topics.learn(number.to_be_bytes(), format!("t{number}").as_bytes());
        }
        assert_eq!(topics.0.len(), MAX_TOPICS);
        assert_eq!(topics.name(&7u128.to_be_bytes()).as_deref(), Some("t7"));
        assert_eq!(topics.name(&0u128.to_be_bytes()), None);
        topics.learn(7u128.to_be_bytes(), b"renamed");
        assert_eq!(topics.name(&7u128.to_be_bytes()).as_deref(), Some("renamed"));
        topics.learn(7u128.to_be_bytes(), &[b'x'; 300]);
        topics.learn(7u128.to_be_bytes(), b"\xff");
        assert_eq!(topics.name(&7u128.to_be_bytes()).as_deref(), Some("renamed"));
    }
}
