//! All shards: in the reader's own thread if there is one, else in threads of their own.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use super::Shard;

/// Bytes of records after which a batch is handed over.
const BATCH: usize = 256 * 1024;
/// Batches that wait for a shard at most. When they are full the reader waits, and loss is counted where it then
/// arises, in the ring buffer.
const WAITING: usize = 16;

/// A batch: records, each behind its length, and the time when it was closed.
struct Batch {
    records: Vec<u8>,
    now: u64,
}

struct Thread {
    batches: SyncSender<Batch>,
    /// Emptied buffers come back, so that none is allocated in the long run.
    empties: Receiver<Vec<u8>>,
    filling: Vec<u8>,
    handle: JoinHandle<()>,
}

/// All shards.
pub struct Shards(Kind);

enum Kind {
    Inline(Box<Shard>),
    Threads(Vec<Thread>),
}

impl Shards {
    /// One shard, worked on by whoever hands over records.
    #[must_use]
    pub fn inline(shard: Shard) -> Self {
        Self(Kind::Inline(Box::new(shard)))
    }

    /// Shards with a thread each.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn threads(shards: Vec<Shard>) -> std::io::Result<Self> {
        let threads = shards.into_iter().enumerate().map(|(i, shard)| {
            let (batches, incoming) = sync_channel(WAITING);
            let (outgoing, empties) = sync_channel(WAITING);
            let handle = std::thread::Builder::new()
                .name(format!("shard-{i}"))
                .spawn(move || work(shard, &incoming, &outgoing))?;
            Ok(Thread { batches, empties, filling: Vec::with_capacity(BATCH), handle })
        });
        Ok(Self(Kind::Threads(threads.collect::<std::io::Result<_>>()?)))
    }

    /// A record of a connection.
    pub fn to(&mut self, connection: u64, record: &[u8]) {
        match &mut self.0 {
            Kind::Inline(shard) => shard.record(record),
            Kind::Threads(threads) => {
                let index = spread(connection, threads.len());
                threads[index].push(record);
            }
        }
    }

    /// A record that concerns every shard.
    pub fn to_all(&mut self, record: &[u8]) {
        match &mut self.0 {
            Kind::Inline(shard) => shard.record(record),
            Kind::Threads(threads) => threads.iter_mut().for_each(|thread| thread.push(record)),
        }
    }

    /// The time has come to `now`.
    pub fn turn(&mut self, now: u64) {
        match &mut self.0 {
            Kind::Inline(shard) => shard.turn(now),
            Kind::Threads(threads) => threads.iter_mut().for_each(|thread| thread.hand_over(now)),
        }
    }

    /// The end: every shard tells what is in flight.
    pub fn finish(self, now: u64) {
        match self.0 {
            Kind::Inline(shard) => shard.finish(now),
            Kind::Threads(threads) => {
                for mut thread in threads {
                    thread.hand_over(now);
                    drop(thread.batches);
                    if thread.handle.join().is_err() {
                        tracing::error!("a shard's thread had panicked; its last exchanges are lost");
                    }
                }
            }
        }
    }
}

/// Which of `many` shards a connection belongs to: consecutive numbers differ in few bits only.
fn spread(connection: u64, many: usize) -> usize {
    let mixed = connection.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed as usize) % many
}

impl Thread {
    fn push(&mut self, record: &[u8]) {
        self.filling.extend_from_slice(&(record.len() as u32).to_ne_bytes());
        self.filling.extend_from_slice(record);
        if self.filling.len() >= BATCH {
            self.hand_over(0);
        }
    }

    fn hand_over(&mut self, now: u64) {
        let next = match self.empties.try_recv() {
            Ok(mut empty) => {
                empty.clear();
                empty
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Vec::new(),
        };
        let records = std::mem::replace(&mut self.filling, next);
        // Gone only if the thread has panicked, which `finish` tells.
        let _ = self.batches.send(Batch { records, now });
    }
}

fn work(mut shard: Shard, incoming: &Receiver<Batch>, outgoing: &SyncSender<Vec<u8>>) {
    let mut now = 0;
    while let Ok(batch) = incoming.recv() {
        let mut rest = &batch.records[..];
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (record, behind) = behind.split_at(u32::from_ne_bytes(*length) as usize);
            shard.record(record);
            rest = behind;
        }
        if batch.now > 0 {
            now = batch.now;
            shard.turn(now);
        }
        // Nobody waits for it: it is simply freed.
        let _ = outgoing.try_send(batch.records);
    }
    shard.finish(now);
}
