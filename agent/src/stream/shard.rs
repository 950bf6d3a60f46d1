//! A shard: some of the connections, and the one thread that works on them.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use remora_abi::Plain;
use remora_abi::record::Open;
use rustc_hash::{FxHashMap, FxHashSet};

use super::connection::{Connection, Facts, Room};
use super::counters::Counters;
use super::datagrams::Datagrams;
use super::traffic::{Failure, Traffic};
use crate::capture::Record;
use crate::probes::Controls;
use crate::protocol::{End, Exchange, Registry};

/// An exchange on its way to becoming a span.
#[derive(Debug)]
pub struct Told<'a> {
    /// The exchange.
    pub exchange: Exchange,
    /// The connection that it was on.
    pub connection: &'a Facts,
    /// Its number on that connection.
    pub number: u64,
}

/// Takes the exchanges of a shard.
pub trait Sink: Send {
    /// The next exchange.
    fn tell(&mut self, told: Told<'_>);
    /// What passed on a connection since the last time.
    fn traffic(&mut self, connection: &Facts, traffic: &Traffic);
    /// A connection came to nothing.
    fn failed(&mut self, connection: &Facts, failure: &Failure);
    /// Whether the traffic of the connections that are open is to be told before the next [`turn`](Sink::turn).
    fn due(&self, now: u64) -> bool;
    /// The time has come to `now` (`CLOCK_MONOTONIC`, nanoseconds): all that has gathered goes on its way.
    fn turn(&mut self, now: u64);
    /// The end, likewise.
    fn finish(&mut self, now: u64);
}

/// Bounds of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections followed at once.
    pub connections: usize,
    /// A connection that was silent for so long is forgotten. Nanoseconds.
    pub idle: u64,
}

/// Some of the connections.
pub struct Shard {
    connections: FxHashMap<u64, Connection>,
    datagrams: Datagrams,
    /// Connections by the process of their first segment; some may be gone.
    by_process: FxHashMap<u32, Vec<u64>>,
    /// Connections whose silence means something.
    waiting: FxHashSet<u64>,
    registry: Arc<Registry>,
    controls: Controls,
    counters: Arc<Counters>,
    sink: Box<dyn Sink>,
    out: Vec<Exchange>,
    limits: Limits,
    /// Processes that ended, and when: their connections are given a moment to end by themselves.
    gone: Vec<(u64, u32)>,
    last_tick: u64,
    last_sweep: u64,
}

/// How often silence is looked at. Nanoseconds.
const TICK: u64 = 100_000_000;
/// How often idle connections are looked for. Nanoseconds.
const SWEEP: u64 = 10_000_000_000;
/// How long after its process's end a connection is told as ended, if nothing else ended it. Nanoseconds.
const AFTER_EXIT: u64 = 200_000_000;

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        controls: Controls,
        counters: Arc<Counters>,
        sink: Box<dyn Sink>,
        limits: Limits,
    ) -> Self {
        Self {
            connections: FxHashMap::default(),
            datagrams: Datagrams::new(limits.connections),
            by_process: FxHashMap::default(),
            waiting: FxHashSet::default(),
            registry,
            controls,
            counters,
            sink,
            out: Vec::new(),
            limits,
            gone: Vec::new(),
            last_tick: 0,
            last_sweep: 0,
        }
    }

    /// Takes a record.
    pub fn record(&mut self, bytes: &[u8]) {
        match Record::read(bytes) {
            Some(Record::Segment(segment, payload)) => {
                let mut taken_over = false;
                self.with(segment.connection, |connection, room| {
                    let before = connection.facts.process;
                    connection.segment(&segment, payload, room);
                    taken_over = connection.facts.process != before;
                    false
                });
                if taken_over {
                    self.by_process.entry(segment.process).or_default().push(segment.connection);
                }
            }
            Some(Record::Datagram(datagram, payload)) => {
                self.with_datagrams(|all, room, sink| all.datagram(&datagram, payload, room, sink));
            }
            Some(Record::Open(open)) => {
                if let Some(open) = Open::read(open) {
                    self.open(&open);
                }
            }
            Some(Record::Close(close)) => {
                self.with(close.connection, |connection, room| {
                    connection.close(&close);
                    connection.tick(close.header.time, room)
                });
            }
            Some(Record::Sample(sample)) => {
                self.with(sample.connection, |connection, _| {
                    connection.sample(&sample);
                    false
                });
            }
            Some(Record::Reset(reset)) => {
                self.with(reset.connection, |connection, _| {
                    connection.reset(&reset);
                    false
                });
            }
            Some(Record::Failed(failed)) => {
                self.sink.failed(&Facts::of_failed(&failed), &Failure::of(&failed));
            }
            Some(Record::Exit(exit)) => {
                if let Some(ids) = self.by_process.get(&exit.process) {
                    for id in ids {
                        if let Some(connection) = self.connections.get_mut(id) {
                            connection.owner_gone();
                        }
                    }
                    self.gone.push((exit.header.time, exit.process));
                } else if self.datagrams.waits(exit.process) {
                    self.gone.push((exit.header.time, exit.process));
                }
            }
            _ => {}
        }
    }

    /// Lets a connection work, hands on what it tells, and forgets it if `work` says that it is over.
    fn with(&mut self, id: u64, work: impl FnOnce(&mut Connection, &mut Room<'_>) -> bool) {
        // Not there: the agent's own, or one that was evicted.
        let Entry::Occupied(mut entry) = self.connections.entry(id) else { return };
        let connection = entry.get_mut();
        let mut room = Room {
            registry: &self.registry,
            controls: &self.controls,
            counters: &self.counters,
            out: &mut self.out,
        };
        let over = work(connection, &mut room);
        for exchange in self.out.drain(..) {
            let number = connection.exchanges;
            connection.exchanges += 1;
            self.sink.tell(Told { exchange, connection: &connection.facts, number });
        }
        if over {
            if let Some(traffic) = connection.traffic() {
                self.sink.traffic(&connection.facts, &traffic);
            }
            entry.remove();
            self.waiting.remove(&id);
        } else if connection.waiting() {
            self.waiting.insert(id);
        }
    }

    /// Lets the datagrams be worked on.
    fn with_datagrams(&mut self, work: impl FnOnce(&mut Datagrams, &mut Room<'_>, &mut dyn Sink)) {
        let mut room = Room {
            registry: &self.registry,
            controls: &self.controls,
            counters: &self.counters,
            out: &mut self.out,
        };
        work(&mut self.datagrams, &mut room, &mut *self.sink);
    }

    fn open(&mut self, open: &Open) {
        if self.connections.len() >= self.limits.connections {
            self.evict(open.header.time);
        }
        Counters::bump(&self.counters.connections, 1);
        let of_process = self.by_process.entry(open.process).or_default();
        // Most of a busy server's have gone since.
        if of_process.len() >= 64 && of_process.len().is_power_of_two() {
            of_process.retain(|id| self.connections.contains_key(id));
        }
        of_process.push(open.connection);
        self.connections.insert(open.connection, Connection::new(open));
    }

    /// Forgets the sixteenth of the connections that has been silent longest.
    fn evict(&mut self, now: u64) {
        let mut ages: Vec<(u64, u64)> =
            self.connections.iter().map(|(id, connection)| (connection.last.time, *id)).collect();
        let many = (ages.len() / 16).max(1).min(ages.len());
        ages.select_nth_unstable(many - 1);
        Counters::bump(&self.counters.evicted_connections, many as u64);
        for (_, id) in &ages[..many] {
            self.end(*id, now, End::Forgotten);
        }
    }

    fn end(&mut self, id: u64, now: u64, cause: End) {
        self.with(id, |connection, room| {
            connection.end(now, cause, room);
            true
        });
    }

    /// The time has come to `now` (`CLOCK_MONOTONIC`, nanoseconds).
    pub fn turn(&mut self, now: u64) {
        if now.saturating_sub(self.last_tick) >= TICK {
            self.last_tick = now;
            self.tick(now);
        }
        if now.saturating_sub(self.last_sweep) >= SWEEP {
            self.last_sweep = now;
            self.sweep(now);
        }
        if self.sink.due(now) {
            self.traffic();
        }
        self.sink.turn(now);
    }

    /// Tells what passed on all connections.
    fn traffic(&mut self) {
        for connection in self.connections.values_mut() {
            if let Some(traffic) = connection.traffic() {
                self.sink.traffic(&connection.facts, &traffic);
            }
        }
    }

    fn tick(&mut self, now: u64) {
        self.with_datagrams(|all, room, sink| all.tick(now, room, sink));
        let waiting: Vec<u64> = self.waiting.iter().copied().collect();
        for id in waiting {
            self.with(id, |connection, room| connection.tick(now, room));
            if self.connections.get(&id).is_none_or(|connection| !connection.waiting()) {
                self.waiting.remove(&id);
            }
        }
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|&(time, process)| {
            let wait = now.saturating_sub(time) < AFTER_EXIT;
            if !wait {
                self.process_gone(process, time);
            }
            wait
        });
        self.gone.append(&mut gone);
    }

    /// Ends the connections that only the process at `time` had.
    fn process_gone(&mut self, process: u32, time: u64) {
        self.with_datagrams(|all, room, sink| all.process_gone(process, time, room, sink));
        for id in self.by_process.remove(&process).unwrap_or_default() {
            // Another process, or a later one of that number, has taken it over; or may do so yet.
            let own = self.connections.get(&id).is_some_and(|connection| {
                let last = &connection.last;
                !connection.is_idle() && last.unit.process == process && last.time <= time
            });
            if own {
                self.with(id, |connection, room| {
                    connection.abandon(time, room);
                    true
                });
            }
        }
    }

    /// Forgets connections that were silent for too long.
    fn sweep(&mut self, now: u64) {
        self.with_datagrams(|all, room, sink| all.sweep(now, room, sink));
        let idle = self.limits.idle;
        let old: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| now.saturating_sub(connection.last.time) > idle)
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            self.end(id, now, End::Forgotten);
        }
        let connections = &self.connections;
        self.by_process.retain(|_, ids| {
            ids.retain(|id| connections.contains_key(id));
            !ids.is_empty()
        });
    }

    /// The end: tells all that is in flight.
    pub fn finish(mut self, now: u64) {
        for (time, process) in std::mem::take(&mut self.gone) {
            self.process_gone(process, time);
        }
        self.with_datagrams(|all, room, sink| all.finish(now, room, sink));
        let mut all: Vec<u64> = self.connections.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            self.with(id, |connection, room| {
                connection.finish(now, room);
                true
            });
        }
        self.sink.finish(now);
    }
}
