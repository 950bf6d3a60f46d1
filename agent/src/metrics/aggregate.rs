//! What the readings of one series add up to.

use super::explicit::Explicit;
use super::exponential::Exponential;
use super::settings::Histogram;
use crate::protocol::{Instrument, Reading};

/// What one exchange adds to a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// To a sum.
    Count(u64),
    /// To a histogram; finite and not negative.
    Value(f64),
}

/// The readings of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// Their sum, which never falls.
    Sum(u64),
    /// Their distribution, in buckets that adapt.
    Exponential(Box<Exponential>),
    /// Their distribution, between fixed boundaries.
    Explicit(Box<Explicit>),
}

impl Aggregate {
    /// Of no reading yet.
    #[must_use]
    pub fn new(instrument: &Instrument, histogram: Histogram) -> Self {
        match (instrument.reading, histogram) {
            (Reading::One | Reading::Sum(_), _) => Aggregate::Sum(0),
            (_, Histogram::Exponential) => Aggregate::Exponential(Box::default()),
            (_, Histogram::Explicit) => Aggregate::Explicit(Box::new(Explicit::new(instrument.unit))),
        }
    }

    /// Adds a reading.
    pub fn record(&mut self, number: Number) {
        match (self, number) {
            (Aggregate::Sum(sum), Number::Count(count)) => *sum = sum.wrapping_add(count),
            (Aggregate::Exponential(histogram), Number::Value(value)) => histogram.record(value),
            (Aggregate::Explicit(histogram), Number::Value(value)) => histogram.record(value),
            // The same instrument made both.
            (Aggregate::Sum(_), Number::Value(_)) | (_, Number::Count(_)) => {}
        }
    }

    /// Adds what another one of the same instrument has.
    pub fn merge(&mut self, other: Self) {
        match (self, other) {
            (Aggregate::Sum(sum), Aggregate::Sum(more)) => *sum = sum.wrapping_add(more),
            (Aggregate::Exponential(histogram), Aggregate::Exponential(more)) => histogram.merge(*more),
            (Aggregate::Explicit(histogram), Aggregate::Explicit(more)) => histogram.merge(&more),
            (Aggregate::Sum(_) | Aggregate::Exponential(_) | Aggregate::Explicit(_), _) => {}
        }
    }

    /// How many readings were added; for a sum, which does not know, 1.
    #[must_use]
    pub fn readings(&self) -> u64 {
        match self {
            Aggregate::Sum(_) => 1,
            Aggregate::Exponential(histogram) => histogram.count(),
            Aggregate::Explicit(histogram) => histogram.count(),
        }
    }
}

/// The exchange that stands for a histogram's readings of an interval: that with the greatest, which is the one that
/// people look for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// Its reading.
    pub value: f64,
    /// When it ended, `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// The trace of its span.
    pub trace: [u8; 16],
    /// Its span.
    pub span: [u8; 8],
}

impl Exemplar {
    /// The one of both that stands for all.
    #[must_use]
    pub fn of(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if other.value > one.value { other } else { one }),
            (one, other) => one.or(other),
        }
    }
}
