//! Once an interval every shard hands over its readings; one thread merges and exports them.
//!
//! All shards are told the same times, so each sees the same intervals end, and the n-th tables of all of them are of one
//! interval. A shard never waits for another, and for the thread only if that is far behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use remora_exporters::Exporter;

use super::settings::Settings;
use super::state::State;
use super::table::{Limits, Lost, Observation, Table};
use crate::stream::Counters;

/// Tables that may wait for the thread, of each shard.
const WAITING: usize = 2;
/// Intervals that may wait for a shard's table. Only one that has died falls so far behind.
const INTERVALS: usize = 4;

/// A shard's readings of an interval.
struct Message {
    shard: usize,
    /// Counts the intervals.
    round: u64,
    /// The interval's end, `CLOCK_MONOTONIC` nanoseconds.
    now: u64,
    table: Table,
}

/// The thread that merges and exports, and what a shard's side is made of.
pub struct Collector {
    sender: SyncSender<Message>,
    thread: JoinHandle<()>,
    settings: Settings,
    shards: usize,
}

impl Collector {
    /// Starts the thread for so many shards. What it loses it counts in `counters`, which are its own.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        settings: &Settings,
        shards: usize,
        exporter: Exporter,
        clock_offset: Arc<AtomicI64>,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(shards * WAITING);
        let state = State::new(settings);
        let work = move || {
            work(state, shards, &receiver, &clock_offset, &counters, |metrics| exporter.metrics(metrics));
        };
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(work)?;
        Ok(Self { sender, thread, settings: settings.clone(), shards: 0 })
    }

    /// The next shard's side.
    pub fn shard(&mut self) -> Readings {
        self.shards += 1;
        Readings {
            shard: self.shards - 1,
            round: 0,
            interval: self.settings.interval_ms.max(1) * 1_000_000,
            current: None,
            table: Table::new(self.settings.histogram, Limits::from(&self.settings)),
            sender: self.sender.clone(),
        }
    }

    /// Waits until everything is exported. All shards must have finished.
    pub fn finish(self) {
        drop(self.sender);
        if self.thread.join().is_err() {
            tracing::error!("the metrics' thread panicked; please report it");
        }
    }
}

/// A shard's side: its readings of the present interval.
pub struct Readings {
    shard: usize,
    round: u64,
    /// Nanoseconds.
    interval: u64,
    /// The present interval, counted from the clock's beginning.
    current: Option<u64>,
    table: Table,
    sender: SyncSender<Message>,
}

impl Readings {
    /// Reads an observation that began at `start` (`CLOCK_MONOTONIC`, nanoseconds).
    pub fn record(
        &mut self,
        resource: &Arc<remora_exporters::Resource>,
        observation: &Observation<'_>,
        start: u64,
    ) -> Lost {
        self.table.since = self.table.since.min(start);
        self.table.record(resource, observation)
    }

    /// Whether an interval has ended by `now`, so that the next [`turn`](Self::turn) hands over.
    #[must_use]
    pub fn due(&self, now: u64) -> bool {
        self.current.is_some_and(|current| current != now / self.interval)
    }

    /// The time has come to `now`: hands over if an interval has ended.
    pub fn turn(&mut self, now: u64) {
        self.table.since = self.table.since.min(now);
        if self.due(now) {
            self.hand_over(now);
        }
        self.current = Some(now / self.interval);
    }

    /// The end: hands over what there is.
    pub fn finish(&mut self, now: u64) {
        self.hand_over(now);
    }

    fn hand_over(&mut self, now: u64) {
        let table = self.table.take();
        let message = Message { shard: self.shard, round: self.round, now, table };
        self.round += 1;
        // Gone only if the thread has panicked, which `finish` tells.
        let _ = self.sender.send(message);
    }
}

/// The thread's work: an interval is told when all shards have handed it over.
fn work(
    mut state: State,
    shards: usize,
    receiver: &Receiver<Message>,
    clock_offset: &AtomicI64,
    counters: &Counters,
    mut export: impl FnMut(Vec<ResourceMetrics>),
) {
    let mut rounds: BTreeMap<u64, Vec<Message>> = BTreeMap::new();
    let mut tell = |mut messages: Vec<Message>| {
        // The order decides which of two series is beyond a limit; it shall not depend on threads.
        messages.sort_unstable_by_key(|message| message.shard);
        let now = messages.iter().map(|message| message.now).max().unwrap_or(0);
        let tables = messages.into_iter().map(|message| message.table).collect();
        let (metrics, lost) = state.collect(tables, now, clock_offset.load(Relaxed));
        count(counters, lost);
        if !metrics.is_empty() {
            export(metrics);
        }
    };
    while let Ok(message) = receiver.recv() {
        rounds.entry(message.round).or_default().push(message);
        while rounds.len() > INTERVALS
            || rounds.first_key_value().is_some_and(|(_, messages)| messages.len() >= shards)
        {
            if let Some((_, messages)) = rounds.pop_first() {
                tell(messages);
            }
        }
    }
    for messages in rounds.into_values() {
        tell(messages);
    }
}

/// Counts readings that have no series of their own.
pub fn count(counters: &Counters, lost: Lost) {
    if lost != Lost::default() {
        Counters::bump(&counters.overflowed_readings, lost.overflowed);
        Counters::bump(&counters.dropped_readings, lost.dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing::{COUNT, resource, sums};
    use crate::protocol::Role;

    fn observe(readings: &mut Readings, service: &str, time: u64) {
        let observation = Observation {
            instruments: &[&COUNT],
            role: Role::Server,
            attributes: &[],
            duration: None,
            span: None,
        };
        assert_eq!(readings.record(&resource(service), &observation, time), Lost::default());
    }

    /// Two shards, three intervals: each interval is told once, with what both have read, as soon as both have ended it.
    #[test]
    fn intervals_of_all_shards() {
        const SECOND: u64 = 1_000_000_000;
        let settings = Settings { interval_ms: 1000, ..Settings::default() };
        let (sender, receiver) = sync_channel(100);
        let mut shards: Vec<Readings> = (0..2)
            .map(|shard| Readings {
                shard,
                round: 0,
                interval: SECOND,
                current: None,
                table: Table::new(settings.histogram, Limits::from(&settings)),
                sender: sender.clone(),
            })
            .collect();
        for tenth in 0..25 {
            let now = 5 * SECOND + tenth * SECOND / 10;
            for (many, readings) in (1..).zip(&mut shards) {
                assert_eq!(readings.due(now), tenth == 10 || tenth == 20);
                readings.turn(now);
                (0..many).for_each(|_| observe(readings, "a", now));
            }
        }
        shards.iter_mut().for_each(|readings| readings.finish(8 * SECOND));
        drop((sender, shards));
        let mut told = Vec::new();
        let counters = Counters::default();
        work(State::new(&settings), 2, &receiver, &AtomicI64::new(7), &counters, |m| told.push(sums(&m)));
        let point = |value, end| ("a".to_owned(), "test.count".to_owned(), value, 5 * SECOND + 7, end + 7);
        assert_eq!(told, [[point(30, 6 * SECOND)], [point(60, 7 * SECOND)], [point(75, 8 * SECOND)]]);
    }

    /// A shard that died holds up nobody for long, and at the end nothing is held back.
    #[test]
    fn a_dead_shard() {
        let settings = Settings::default();
        let (sender, receiver) = sync_channel(100);
        for round in 0..6 {
            let table = Table::new(settings.histogram, Limits::from(&settings));
            sender.send(Message { shard: 0, round, now: round, table }).unwrap();
        }
        drop(sender);
        let mut state = State::new(&settings);
        // Something that is told in every interval.
        let mut table = Table::new(settings.histogram, Limits::from(&settings));
        let observation = Observation {
            instruments: &[&COUNT],
            role: Role::Server,
            attributes: &[],
            duration: None,
            span: None,
        };
        let _ = table.record(&resource("a"), &observation);
        let _ = state.collect(vec![table], 0, 0);
        let mut told = 0;
        work(state, 2, &receiver, &AtomicI64::new(0), &Counters::default(), |_| told += 1);
        assert_eq!(told, 6);
    }
}
