//! What was told so far: the shards' readings are merged here once an interval, and become metrics.

use std::sync::Arc;

use hashbrown::HashTable;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use remora_exporters::Resource;
use rustc_hash::FxHashMap;

use super::aggregate::{Aggregate, Exemplar};
use super::otlp::{self, Interval, Point};
use super::series::hash_all;
use super::settings::{Settings, Temporality};
use super::table::{Group, Limits, Lost, Table};
use crate::protocol::{Attribute, Instrument, Reading, Value};

/// A series that is told.
#[derive(Debug)]
struct Held {
    hash: u64,
    /// Sorted by key.
    attributes: Box<[Attribute]>,
    aggregate: Aggregate,
    exemplar: Option<Exemplar>,
    /// When it was empty, wall clock in nanoseconds.
    start: u64,
    /// Intervals since the last reading.
    silent: u32,
}

/// The series of one metric and service.
#[derive(Debug)]
struct Metric {
    instrument: &'static Instrument,
    series: HashTable<Held>,
    /// The one of all attribute sets beyond the limit.
    overflow: Option<Held>,
}

/// What was told so far, and with cumulative temporality is told again.
#[derive(Debug)]
pub struct State {
    services: FxHashMap<Arc<Resource>, Vec<Metric>>,
    limits: Limits,
    /// Intervals of silence after which a cumulative series is forgotten; `None` for delta: at once.
    silence: Option<u32>,
    /// Series of all metrics, without the overflow sets.
    many: usize,
    overflows: usize,
    /// The end of the last interval, wall clock in nanoseconds; 0 before the first.
    last: u64,
}

impl State {
    /// Nothing was told yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            services: FxHashMap::default(),
            limits: Limits::from(settings),
            silence: match settings.temporality {
                Temporality::Cumulative => Some(settings.silent_intervals),
                Temporality::Delta | Temporality::LowMemory => None,
            },
            many: 0,
            overflows: 0,
            last: 0,
        }
    }

    /// Merges what the shards read in the interval that ends at `now` (`CLOCK_MONOTONIC`, nanoseconds), and tells.
    /// `clock_offset` is wall clock minus monotonic.
    pub fn collect(
        &mut self,
        tables: Vec<Table>,
        now: u64,
        clock_offset: i64,
    ) -> (Vec<ResourceMetrics>, Lost) {
        let wall = |time: u64| time.saturating_add_signed(clock_offset);
        let first = tables.iter().map(|table| table.since).min().unwrap_or(now).min(now);
        // Where somebody set the clock back, an interval still does not end before it begins.
        let start = if self.last == 0 { wall(first) } else { self.last };
        let interval = Interval { start, end: wall(now).max(start + 1), clock_offset };
        self.last = interval.end;
        let mut lost = Lost::default();
        for table in tables {
            for (resource, groups) in table.into_services() {
                for group in groups {
                    self.merge(&resource, group, interval.start, &mut lost);
                }
            }
        }
        let told = self.tell(&interval);
        self.forget();
        (told, lost)
    }

    fn merge(&mut self, resource: &Arc<Resource>, group: Group, start: u64, lost: &mut Lost) {
        let Group { instrument, series, overflow } = group;
        let metrics = self.services.entry(Arc::clone(resource)).or_default();
        // Several protocols count by the same metric, each with an instrument of its own.
        let at = metrics.iter().position(|metric| same(metric.instrument, instrument)).unwrap_or_else(|| {
            metrics.push(Metric { instrument, series: HashTable::new(), overflow: None });
            metrics.len() - 1
        });
        let metric = &mut metrics[at];
        let mut overflowing: Vec<_> = overflow.into_iter().collect();
        for series in series.into_iter() {
            let mut attributes = series.attributes;
            attributes.sort_unstable_by_key(|(key, _)| *key);
            let hash = hash_all(&attributes);
            let known = metric.series.find_mut(hash, |held| held.attributes == attributes);
            if let Some(held) = known {
                held.add(series.aggregate, series.exemplar);
            } else if metric.series.len() < self.limits.of_instrument && self.many < self.limits.of_all {
                self.many += 1;
                let held = Held {
                    hash,
                    attributes,
                    aggregate: series.aggregate,
                    exemplar: series.exemplar,
                    start,
                    silent: 0,
                };
                metric.series.insert_unique(hash, held, |held| held.hash);
            } else {
                // What the shard had room for, all together have not.
                lost.overflowed += series.aggregate.readings();
                overflowing.push((series.aggregate, series.exemplar));
            }
        }
        for (aggregate, exemplar) in overflowing {
            if metric.overflow.is_some() || self.overflows < self.limits.of_all {
                self.overflows += usize::from(metric.overflow.is_none());
                metric.overflow(aggregate, exemplar, start);
            } else {
                lost.dropped += aggregate.readings();
            }
        }
    }

    fn tell(&mut self, interval: &Interval) -> Vec<ResourceMetrics> {
        let delta = self.silence.is_none();
        let mut told = Vec::with_capacity(self.services.len());
        for (resource, metrics) in &mut self.services {
            let mut of_service = Vec::with_capacity(metrics.len());
            for metric in metrics.iter_mut() {
                let series = metric.series.iter_mut().chain(&mut metric.overflow);
                let points = series.map(|held| Point {
                    start: if delta { interval.start } else { held.start },
                    attributes: &held.attributes,
                    aggregate: &held.aggregate,
                    exemplar: held.exemplar.take(),
                });
                of_service.push(otlp::metric(metric.instrument, points, interval, delta));
            }
            of_service.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            told.push(otlp::of_service(resource, of_service));
        }
        told
    }

    /// Forgets what has been silent for long enough.
    fn forget(&mut self) {
        let Some(silence) = self.silence else {
            self.services.clear();
            (self.many, self.overflows) = (0, 0);
            return;
        };
        (self.many, self.overflows) = (0, 0);
        self.services.retain(|_, metrics| {
            metrics.retain_mut(|metric| {
                let keep = |held: &mut Held| {
                    held.silent += 1;
                    held.silent <= silence
                };
                metric.series.retain(keep);
                metric.overflow = metric.overflow.take().and_then(|mut held| keep(&mut held).then_some(held));
                self.many += metric.series.len();
                self.overflows += usize::from(metric.overflow.is_some());
                !metric.series.is_empty() || metric.overflow.is_some()
            });
            !metrics.is_empty()
        });
    }
}

impl Metric {
    fn overflow(&mut self, aggregate: Aggregate, exemplar: Option<Exemplar>, start: u64) {
        match &mut self.overflow {
            Some(held) => held.add(aggregate, exemplar),
            None => {
                let attributes = Box::new([("otel.metric.overflow", Value::Flag(true))]);
                self.overflow = Some(Held { hash: 0, attributes, aggregate, exemplar, start, silent: 0 });
            }
        }
    }
}

impl Held {
    fn add(&mut self, aggregate: Aggregate, exemplar: Option<Exemplar>) {
        self.aggregate.merge(aggregate);
        self.exemplar = Exemplar::of(self.exemplar, exemplar);
        self.silent = 0;
    }
}

/// Whether two instruments are one metric.
fn same(one: &'static Instrument, other: &'static Instrument) -> bool {
    let sum = |instrument: &Instrument| matches!(instrument.reading, Reading::One | Reading::Sum(_));
    std::ptr::eq(one, other) || (one.name == other.name && one.unit == other.unit && sum(one) == sum(other))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
