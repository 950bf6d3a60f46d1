//! The way from the handle to a worker: a channel without locks, bounded by what is held in all.
//!
//! A record is held from the moment it is let in until it is delivered or dropped, so the bound covers the channel,
//! the batch that is filling, the batches that wait and those in flight.

use crate::batch::Record;
use crate::config::BatchConfig;
use crate::statistics::{Counters, DropReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How much is held, and how much may be.
#[derive(Debug)]
pub(crate) struct Held {
    items: AtomicU64,
    bytes: AtomicU64,
    max_items: u64,
    max_bytes: u64,
}

impl Held {
    fn new(config: &BatchConfig) -> Self {
        Self {
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            max_items: config.max_queue_size as u64,
            max_bytes: config.max_queue_bytes as u64,
        }
    }

    pub(crate) fn items(&self) -> u64 {
        self.items.load(Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Makes room for up to `wanted` records, as `fit` cuts what there is room for, and says how many were let in.
    fn admit(&self, wanted: u64, fit: impl Fn(u64) -> u64) -> u64 {
        if self.bytes() >= self.max_bytes {
            return 0;
        }
        let mut held = self.items();
        loop {
            let room = self.max_items.saturating_sub(held);
            let admitted = if room >= wanted { wanted } else { fit(room) };
            match self.items.compare_exchange_weak(held, held + admitted, Relaxed, Relaxed) {
                Ok(_) => return admitted,
                Err(now) => held = now,
            }
        }
    }

    /// Whether `bytes` more may be held. Only the worker asks and adds, so nothing comes in between.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.bytes() + bytes <= self.max_bytes
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn release(&self, items: u64, bytes: u64) {
        self.items.fetch_sub(items, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

/// The end of the queue that records are put into.
#[derive(Debug)]
pub(crate) struct Sender<R> {
    channel: UnboundedSender<Vec<R>>,
    closed: AtomicBool,
    pub(crate) held: Arc<Held>,
    pub(crate) counters: Arc<Counters>,
}

/// Makes a queue: both ends share what is held and the numbers.
pub(crate) fn queue<R: Record>(config: &BatchConfig) -> (Sender<R>, UnboundedReceiver<Vec<R>>) {
    let (channel, receiver) = unbounded_channel();
    let sender = Sender {
        channel,
        closed: AtomicBool::new(false),
        held: Arc::new(Held::new(config)),
        counters: Arc::default(),
    };
    (sender, receiver)
}

impl<R: Record> Sender<R> {
    /// Puts in what there is room for, from the front; the rest is dropped and counted. Never waits.
    pub(crate) fn send(&self, mut records: Vec<R>) {
        let wanted: u64 = records.iter().map(R::items).sum();
        if wanted == 0 {
            return;
        }
        self.counters.received(wanted);
        if self.closed.load(Relaxed) {
            self.counters.dropped(DropReason::Shutdown, wanted);
            return;
        }
        let admitted = self.held.admit(wanted, |room| prefix(&records, room).1);
        if admitted < wanted {
            self.counters.dropped(DropReason::QueueFull, wanted - admitted);
            records.truncate(prefix(&records, admitted).0);
        }
        if admitted == 0 {
            return;
        }
        if self.channel.send(records).is_err() {
            self.held.release(admitted, 0);
            self.counters.dropped(DropReason::Shutdown, admitted);
        }
    }

    /// From now on everything is dropped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

/// The records at the front that hold no more than `room` items: how many they are, and their items.
fn prefix<R: Record>(records: &[R], room: u64) -> (usize, u64) {
    let (mut count, mut items) = (0, 0);
    for record in records {
        let more = record.items();
        if items + more > room {
            break;
        }
        count += 1;
        items += more;
    }
    (count, items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{metrics, span};

    fn config(max_queue_size: usize) -> BatchConfig {
        BatchConfig { max_queue_size, ..BatchConfig::default() }
    }

    /// The queue takes exactly its size, drops the newest, and takes again once there is room.
    #[test]
    fn bounded_by_number() {
        let (sender, mut receiver) = queue(&config(5));
        sender.send((0..3).map(span).collect());
        sender.send((3..7).map(span).collect());
        sender.send(vec![span(7)]);
        sender.send(Vec::new());
        let snapshot = sender.counters.snapshot(&sender.held);
        assert_eq!((snapshot.received, snapshot.queued, snapshot.dropped.queue_full), (8, 5, 3));
        assert_eq!((snapshot.accepted(), snapshot.dropped.total()), (5, 3));
        let mut names = Vec::new();
        while let Ok(records) = receiver.try_recv() {
            names.extend(records.into_iter().map(|record| record.span.name));
        }
        assert_eq!(names, ["span 0", "span 1", "span 2", "span 3", "span 4"]);
        sender.held.release(1, 0);
        sender.send(vec![span(8), span(9)]);
        assert_eq!(sender.counters.snapshot(&sender.held).dropped.queue_full, 4);
    }

    /// Metrics are counted by data point; what does not fit whole is dropped whole.
    #[test]
    fn metrics_by_data_point() {
        let (sender, mut receiver) = queue(&config(5));
        sender.send(vec![metrics(0, 3), metrics(1, 3), metrics(2, 1)]);
        let snapshot = sender.counters.snapshot(&sender.held);
        assert_eq!((snapshot.received, snapshot.queued, snapshot.dropped.queue_full), (7, 3, 4));
        assert_eq!(receiver.try_recv().unwrap().len(), 1);
    }

    /// When as many bytes are held as may be, nothing is let in.
    #[test]
    fn bounded_by_bytes() {
        let (sender, _receiver) = queue(&BatchConfig { max_queue_bytes: 100, ..config(5) });
        sender.held.add_bytes(100);
        sender.send(vec![span(0)]);
        assert_eq!(sender.counters.snapshot(&sender.held).dropped.queue_full, 1);
    }

    /// After the end, whichever end closed, everything is counted as lost to the shutdown.
    #[test]
    fn closed() {
        let (sender, receiver) = queue(&config(5));
        drop(receiver);
        sender.send(vec![span(0)]);
        sender.close();
        sender.send(vec![span(1), span(2)]);
        let snapshot = sender.counters.snapshot(&sender.held);
        assert_eq!((snapshot.received, snapshot.queued, snapshot.dropped.shutdown), (3, 0, 3));
    }

    /// Many senders at once never let in more than there is room for.
    #[test]
    fn exact_under_contention() {
        let (sender, mut receiver) = queue(&config(1_000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| sender.send(vec![span(0), span(1), span(2)])));
            }
        });
        let snapshot = sender.counters.snapshot(&sender.held);
        assert_eq!((snapshot.received, snapshot.queued, snapshot.dropped.queue_full), (2_400, 1_000, 1_400));
        let mut taken = 0;
        while let Ok(records) = receiver.try_recv() {
            taken += records.len();
        }
        assert_eq!(taken, 1_000);
    }
}
