//! Series: one attribute set of one instrument, and the table that finds it by the attributes of an exchange.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use super::aggregate::{Aggregate, Exemplar};
use crate::protocol::{Attribute, Value};

/// One attribute set of an instrument.
#[derive(Clone, Debug)]
pub struct Series {
    hash: u64,
    /// Those of the instrument's keys that the exchange had, in the instrument's order.
    pub attributes: Box<[Attribute]>,
    /// Its readings.
    pub aggregate: Aggregate,
    /// The one that stands for them.
    pub exemplar: Option<Exemplar>,
}

/// Series by their attributes.
#[derive(Debug, Default)]
pub struct SeriesTable(HashTable<Series>);

impl SeriesTable {
    /// The series of an exchange's attributes, whose [`hash`] is given.
    pub fn find(
        &mut self,
        hash: u64,
        keys: &[&'static str],
        attributes: &[Attribute],
    ) -> Option<&mut Series> {
        self.0.find_mut(hash, |series| series.hash == hash && same(&series.attributes, keys, attributes))
    }

    /// Adds the series of an exchange's attributes, which is not there yet.
    pub fn insert(
        &mut self,
        hash: u64,
        keys: &[&'static str],
        attributes: &[Attribute],
        aggregate: Aggregate,
    ) -> &mut Series {
        let attributes = selected(keys, attributes).cloned().collect();
        let series = Series { hash, attributes, aggregate, exemplar: None };
        self.0.insert_unique(hash, series, |series| series.hash).into_mut()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them.
    pub fn into_iter(self) -> impl Iterator<Item = Series> {
        self.0.into_iter()
    }
}

/// Those of the attributes that have one of the keys, in the keys' order.
fn selected<'a>(
    keys: &'a [&'static str],
    attributes: &'a [Attribute],
) -> impl Iterator<Item = &'a Attribute> + 'a {
    keys.iter().filter_map(move |key| attributes.iter().find(|(name, _)| name == key))
}

fn same(known: &[Attribute], keys: &[&'static str], attributes: &[Attribute]) -> bool {
    let mut known = known.iter();
    selected(keys, attributes).all(|attribute| known.next() == Some(attribute)) && known.next().is_none()
}

/// A hash of those of the attributes that have one of the keys. Nothing is allocated.
#[must_use]
pub fn hash(keys: &[&'static str], attributes: &[Attribute]) -> u64 {
    let mut hasher = FxHasher::default();
    for attribute in selected(keys, attributes) {
        write(&mut hasher, attribute);
    }
    // The table takes its bits from both ends.
    hasher.finish()
}

/// A hash of whole attributes.
#[must_use]
pub fn hash_all(attributes: &[Attribute]) -> u64 {
    let mut hasher = FxHasher::default();
    for attribute in attributes {
        write(&mut hasher, attribute);
    }
    hasher.finish()
}

fn write(hasher: &mut FxHasher, (key, value): &Attribute) {
    hasher.write(key.as_bytes());
    match value {
        Value::Text(text) => hasher.write(text.as_bytes()),
        Value::Integer(number) => hasher.write_i64(*number),
        Value::Float(number) => hasher.write_u64(number.to_bits()),
        Value::Flag(flag) => hasher.write_u8(u8::from(*flag)),
        Value::List(texts) => texts.iter().for_each(|text| hasher.write(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["method", "status", "route"];

    fn attributes(method: &'static str, status: i64) -> Vec<Attribute> {
        vec![
            ("url", Value::Text("/never/the/same".into())),
            ("status", Value::Integer(status)),
            ("method", Value::Text(method.into())),
        ]
    }

    /// A series is found by the values of its keys alone; a missing one is a value of its own.
    #[test]
    fn found_by_keys() {
        let mut table = SeriesTable::default();
        for (method, status) in [("GET", 200), ("GET", 404), ("PUT", 200)] {
            let attributes = attributes(method, status);
            let hash = hash(KEYS, &attributes);
            assert!(table.find(hash, KEYS, &attributes).is_none());
            let series = table.insert(hash, KEYS, &attributes, Aggregate::Sum(0));
            assert_eq!(*series.attributes, [attributes[2].clone(), attributes[1].clone()]);
        }
        let mut found = attributes("GET", 404);
        found[0].1 = Value::Text("/another".into());
        found.reverse();
        assert!(table.find(hash(KEYS, &found), KEYS, &found).is_some());
        found.push(("route", Value::Text("/".into())));
        assert!(table.find(hash(KEYS, &found), KEYS, &found).is_none());
        assert_eq!(table.len(), 3);
    }
}
