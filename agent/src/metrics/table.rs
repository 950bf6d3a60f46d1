//! A shard's readings since they were last handed over. The shard alone writes it: no lock, and for a series that is
//! known, no allocation.

use std::sync::Arc;

use remora_exporters::Resource;
use rustc_hash::FxHashMap;

use super::aggregate::{Aggregate, Exemplar, Number};
use super::series::{Series, SeriesTable, hash};
use super::settings::{Histogram, Settings};
use crate::protocol::{Attribute, Instrument, Reading, Role, Value};

/// How many series there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one instrument and service.
    pub of_instrument: usize,
    /// Of all.
    pub of_all: usize,
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        Self { of_instrument: settings.cardinality_limit, of_all: settings.max_series }
    }
}

/// Readings for which there was no series of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Those that went into an overflow set.
    pub overflowed: u64,
    /// Those for which there was no room even there.
    pub dropped: u64,
}

/// What is read of an exchange, or of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The instruments that count it.
    pub instruments: &'a [&'static Instrument],
    /// The end of the connection on which it was observed.
    pub role: Role,
    /// Its attributes; instruments choose from them.
    pub attributes: &'a [Attribute],
    /// How long it took, in seconds, if that is known.
    pub duration: Option<f64>,
    /// Its span: time of its end (`CLOCK_MONOTONIC`, nanoseconds), trace and span.
    pub span: Option<(u64, [u8; 16], [u8; 8])>,
}

/// The series of one instrument and service.
#[derive(Debug)]
pub struct Group {
    /// It.
    pub instrument: &'static Instrument,
    /// Its series.
    pub series: SeriesTable,
    /// Readings of attribute sets beyond the limit.
    pub overflow: Option<(Aggregate, Option<Exemplar>)>,
}

/// A shard's readings.
#[derive(Debug)]
pub struct Table {
    services: FxHashMap<Arc<Resource>, Vec<Group>>,
    histogram: Histogram,
    limits: Limits,
    /// Series in all groups, without the overflow sets.
    many: usize,
    /// Overflow sets in all groups.
    overflows: usize,
    /// When the first reading began, or the shard first told the time; `u64::MAX` before that.
    pub since: u64,
}

impl Table {
    /// Without readings.
    #[must_use]
    pub fn new(histogram: Histogram, limits: Limits) -> Self {
        Self { services: FxHashMap::default(), histogram, limits, many: 0, overflows: 0, since: u64::MAX }
    }

    /// What has been read so far; the table is empty then.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.histogram, self.limits))
    }

    /// Reads an observation with each of its instruments.
    pub fn record(&mut self, resource: &Arc<Resource>, observation: &Observation<'_>) -> Lost {
        let mut lost = Lost::default();
        if observation.instruments.is_empty() {
            return lost;
        }
        // Nearly always there: looked up without touching the reference count.
        if !self.services.contains_key(resource) {
            self.services.insert(Arc::clone(resource), Vec::new());
        }
        let Some(groups) = self.services.get_mut(resource) else { return lost };
        // Instruments of a protocol tend to share their keys.
        let mut hashed: Option<(&'static [&'static str], u64)> = None;
        for instrument in observation.instruments {
            if instrument.role.is_some_and(|role| role != observation.role) {
                continue;
            }
            let Some(number) = read(instrument, observation) else { continue };
            let keys = instrument.keys;
            let hash = match hashed {
                Some((same, hash)) if std::ptr::eq(same, keys) => hash,
                _ => hash(keys, observation.attributes),
            };
            hashed = Some((keys, hash));
            let at = groups.iter().position(|group| is(group.instrument, instrument)).unwrap_or_else(|| {
                groups.push(Group { instrument, series: SeriesTable::default(), overflow: None });
                groups.len() - 1
            });
            let group = &mut groups[at];
            let exemplar = match (number, observation.span) {
                (Number::Value(value), Some((time, trace, span))) => {
                    Some(Exemplar { value, time, trace, span })
                }
                _ => None,
            };
            if let Some(series) = group.series.find(hash, keys, observation.attributes) {
                add(series, number, exemplar);
            } else if group.series.len() < self.limits.of_instrument && self.many < self.limits.of_all {
                self.many += 1;
                let empty = Aggregate::new(instrument, self.histogram);
                add(group.series.insert(hash, keys, observation.attributes, empty), number, exemplar);
            } else {
                if group.overflow.is_none() {
                    if self.overflows >= self.limits.of_all {
                        lost.dropped += 1;
                        continue;
                    }
                    self.overflows += 1;
                }
                let (aggregate, kept) =
                    group.overflow.get_or_insert_with(|| (Aggregate::new(instrument, self.histogram), None));
                aggregate.record(number);
                *kept = Exemplar::of(*kept, exemplar);
                lost.overflowed += 1;
            }
        }
        lost
    }

    /// All that was read, by service.
    pub fn into_services(self) -> impl Iterator<Item = (Arc<Resource>, Vec<Group>)> {
        self.services.into_iter()
    }
}

fn add(series: &mut Series, number: Number, exemplar: Option<Exemplar>) {
    series.aggregate.record(number);
    series.exemplar = Exemplar::of(series.exemplar, exemplar);
}

/// Whether both are the same instrument: nearly always the same object.
fn is(one: &'static Instrument, other: &'static Instrument) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// What an instrument reads of an observation, if that is there.
fn read(instrument: &Instrument, observation: &Observation<'_>) -> Option<Number> {
    let number = |key: &str| observation.attributes.iter().find(|(name, _)| *name == key);
    match instrument.reading {
        Reading::One => Some(Number::Count(1)),
        Reading::Duration => observation.duration.map(Number::Value),
        Reading::Sum(key) => match number(key)?.1 {
            Value::Integer(count) => u64::try_from(count).ok().filter(|count| *count > 0).map(Number::Count),
            _ => None,
        },
        Reading::Attribute(key) => {
            let value = match number(key)?.1 {
                Value::Integer(number) => number as f64,
                Value::Float(number) => number,
                _ => return None,
            };
            (value.is_finite() && value >= 0.0).then_some(Number::Value(value))
        }
    }
}
