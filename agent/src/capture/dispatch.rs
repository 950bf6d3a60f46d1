//! The dispatcher: each record to whom it concerns, in the order in which the records came.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use remora_abi::Plain;
use remora_abi::maps::{Control, MODE_OFF};
use remora_abi::record::{DATAGRAM_OWN, Datagram, Failed, Header, Open};

use super::file::{FileError, Writer};
use super::golang::GoProcesses;
use super::own::OwnConnections;
use super::{Earlier, Record, USER_EXEC, USER_FACTS};
use crate::identity::{ProcessFacts, Store};
use crate::probes::{Controls, ProcessTable};
use crate::stream::Shards;

/// Where `/proc` is.
const PROC: &str = "/proc";

/// What only a live run has.
pub struct Live {
    go: GoProcesses,
    own: OwnConnections,
    /// What `/proc` told of connections from before, if it was asked.
    earlier: Option<Earlier>,
    own_process: u32,
    controls: Controls,
    /// When the last hook was attached (`CLOCK_MONOTONIC`, nanoseconds).
    since: u64,
    /// When the first one is about to be detached, likewise.
    until: Arc<AtomicU64>,
}

impl Live {
    /// The live side of a run whose programs have these tables, and have just been attached.
    #[must_use]
    pub fn new(processes: ProcessTable, controls: Controls) -> Self {
        Self {
            go: GoProcesses::new(processes),
            own: OwnConnections::default(),
            earlier: None,
            own_process: std::process::id(),
            controls,
            since: crate::clock::monotonic(),
            until: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// The same, with what `/proc` told of connections from before.
    #[must_use]
    pub fn with_earlier(self, earlier: Option<Earlier>) -> Self {
        Self { earlier, ..self }
    }

    /// Where the time is to be entered (`CLOCK_MONOTONIC`, nanoseconds) before hooks are detached.
    #[must_use]
    pub fn until(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.until)
    }

    /// Whether all hooks were in place at that time. While they come and go, one direction may be seen without the other:
    /// what looks like two requests in a row was not.
    fn covers(&self, time: u64) -> bool {
        (self.since..self.until.load(Relaxed)).contains(&time)
    }
}

/// Takes records one by one.
pub struct Dispatcher {
    store: Arc<Store>,
    shards: Option<Shards>,
    live: Option<Live>,
    writer: Option<Writer>,
    /// The first thing that went wrong with the recording.
    failed: Option<FileError>,
    unknown: u64,
}

impl Dispatcher {
    /// Hands processes to `store`, connections to `shards`, and a copy of everything to `writer`. Without `live`, the
    /// records are all there is: nothing is asked of this host.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        shards: Option<Shards>,
        live: Option<Live>,
        writer: Option<Writer>,
    ) -> Self {
        Self { store, shards, live, writer, failed: None, unknown: 0 }
    }

    /// Learns of the processes that there are already. Call it once, when the probes are attached.
    ///
    /// # Errors
    /// If `/proc` cannot be listed.
    pub fn learn_processes(&mut self) -> std::io::Result<usize> {
        let all = self.store.scan(Path::new(PROC))?;
        for facts in &all {
            self.write_facts(USER_FACTS, 0, facts);
            if let Some(live) = &mut self.live {
                live.go.look(facts.pid);
            }
        }
        Ok(all.len())
    }

    /// Takes the next record.
    pub fn record(&mut self, bytes: &[u8]) {
        let Some(bytes) = Record::trim(bytes) else {
            self.unknown += 1;
            return;
        };
        let Some(record) = Record::read(bytes) else {
            self.unknown += 1;
            return;
        };
        match record {
            Record::Segment(segment, _)
                if self.live.as_ref().is_some_and(|live| !live.covers(segment.header.time)) => {}
            Record::Segment(segment, _) => self.hand_over(segment.connection, bytes),
            Record::Datagram(datagram, _)
                if self.live.as_ref().is_some_and(|live| !live.covers(datagram.header.time)) => {}
            Record::Datagram(datagram, _) => self.datagram(&datagram, bytes),
            Record::Close(close) => self.hand_over(close.connection, bytes),
            Record::Sample(sample) => self.hand_over(sample.connection, bytes),
            Record::Reset(reset) => self.hand_over(reset.connection, bytes),
            Record::Failed(failed) => self.failed(&failed, bytes),
            Record::Open(open) => self.open(open),
            Record::Exec(exec, arguments, environment) => {
                let facts = ProcessFacts::from_exec(&exec, arguments, environment);
                if let Some(live) = &mut self.live {
                    live.go.look(facts.pid);
                }
                // The environment may hold secrets: what is recorded is what was made of it.
                self.write_facts(USER_EXEC, exec.header.time, &facts);
                self.store.exec(facts);
            }
            Record::Fork(fork) => {
                self.store.fork(fork.parent, fork.child, fork.header.time);
                self.write(bytes);
            }
            Record::Exit(exit) => {
                self.store.exit(exit.process, exit.header.time);
                if let Some(live) = &mut self.live {
                    live.go.gone(exit.process);
                }
                if let Some(shards) = &mut self.shards {
                    shards.to_all(bytes);
                }
                self.write(bytes);
            }
            Record::Facts(exec, json) => match serde_json::from_slice::<ProcessFacts>(json) {
                Ok(facts) if exec => self.store.exec(facts),
                Ok(facts) => self.store.insert(facts),
                Err(_) => self.unknown += 1,
            },
        }
    }

    fn open(&mut self, open: &[u8]) {
        let Some(mut open) = Open::read(open) else { return };
        if let Some(live) = &mut self.live {
            if open.process == live.own_process {
                live.own.add(&open);
                return;
            }
            if live.own.is_other_end(&open) {
                let connection = open.connection;
                live.controls.set(&Control { connection, mode: MODE_OFF, ..Control::default() });
                return;
            }
            if let Some(earlier) = &mut live.earlier {
                earlier.complete(&mut open);
            }
            if let Some(facts) = self.store.learn(Path::new(PROC), open.process) {
                live.go.look(open.process);
                self.write_facts(USER_FACTS, open.header.time, &facts);
            }
        }
        self.hand_over(open.connection, open.as_bytes());
    }

    fn failed(&mut self, failed: &Failed, bytes: &[u8]) {
        if let Some(live) = &mut self.live {
            // Begun while hooks came or went: it may have been accepted unseen.
            if !live.covers(failed.began) {
                return;
            }
            if let Some(facts) = self.store.learn(Path::new(PROC), failed.process) {
                live.go.look(failed.process);
                self.write_facts(USER_FACTS, failed.header.time, &facts);
            }
        }
        self.hand_over(failed.connection, bytes);
    }

    fn datagram(&mut self, datagram: &Datagram, bytes: &[u8]) {
        if let Some(live) = &mut self.live {
            if datagram.flags & DATAGRAM_OWN != 0 {
                live.own.add_datagram(datagram);
                // The other end may have read it, and so have been told of, a moment before.
                if let Some(shards) = &mut self.shards {
                    shards.to_all(bytes);
                }
                return;
            }
            if live.own.is_with_own(datagram) {
                return;
            }
            if let Some(facts) = self.store.learn(Path::new(PROC), datagram.process) {
                live.go.look(datagram.process);
                self.write_facts(USER_FACTS, datagram.header.time, &facts);
            }
        }
        self.hand_over(datagram.socket, bytes);
    }

    fn hand_over(&mut self, connection: u64, bytes: &[u8]) {
        if let Some(shards) = &mut self.shards {
            shards.to(connection, bytes);
        }
        self.write(bytes);
    }

    fn write_facts(&mut self, kind: u32, time: u64, facts: &ProcessFacts) {
        if self.writer.is_none() {
            return;
        }
        let Ok(json) = serde_json::to_vec(facts) else { return };
        let header = Header { kind, payload: u32::try_from(json.len()).unwrap_or(0), time };
        let mut record = header.as_bytes().to_vec();
        record.extend_from_slice(&json);
        self.write(&record);
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = writer.write(bytes) {
            self.failed.get_or_insert(error);
            self.writer = None;
        }
    }

    /// The time has come to `now` (`CLOCK_MONOTONIC`, nanoseconds): hands over what has gathered, and lets silence be
    /// noticed. Call it after each drain.
    pub fn turn(&mut self, now: u64) {
        if let Some(shards) = &mut self.shards {
            shards.turn(now);
        }
    }

    /// What went wrong with the recording, once.
    pub fn take_failure(&mut self) -> Option<FileError> {
        self.failed.take()
    }

    /// Records that could not be read.
    #[must_use]
    pub fn unknown_records(&self) -> u64 {
        self.unknown
    }

    /// The end: everything in flight is told. Returns how many records were recorded.
    ///
    /// # Errors
    /// [`FileError`] if the recording could not be completed.
    pub fn finish(mut self, now: u64) -> Result<u64, FileError> {
        if let Some(shards) = self.shards.take() {
            shards.finish(now);
        }
        match (self.failed.take(), self.writer.take()) {
            (Some(error), _) => Err(error),
            (None, Some(writer)) => writer.finish(),
            (None, None) => Ok(0),
        }
    }
}
