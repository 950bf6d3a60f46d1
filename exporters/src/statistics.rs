//! What became of every record: nothing is lost without a count.

use crate::queue::Held;
use crate::signal::Signal;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// A snapshot of both signals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Counted in spans.
    pub traces: SignalStatistics,
    /// Counted in data points.
    pub metrics: SignalStatistics,
}

impl Statistics {
    /// The numbers of one signal.
    #[must_use]
    pub fn of(&self, signal: Signal) -> &SignalStatistics {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        }
    }
}

/// A snapshot of one signal, counted in spans or data points.
///
/// Once no call is under way, `received == queued + exported + dropped.total()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignalStatistics {
    /// Handed to the exporter.
    pub received: u64,
    /// Held now: waiting or in flight.
    pub queued: u64,
    /// Encoded bytes held now.
    pub queued_bytes: u64,
    /// Taken by the collector, or written to standard output.
    pub exported: u64,
    /// Lost, and why.
    pub dropped: Dropped,
    /// Requests that were sent (or lines written), retries included.
    pub requests_sent: u64,
    /// Requests that failed, whether or not they were tried again.
    pub requests_failed: u64,
    /// The last failure, in words.
    pub last_error: Option<String>,
}

impl SignalStatistics {
    /// What was received and found room in the queue.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.received.saturating_sub(self.dropped.queue_full)
    }
}

/// Why records were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The queue was full, in number or in bytes.
    pub queue_full: u64,
    /// The collector took the request but not these (partial success).
    pub rejected: u64,
    /// The collector refused the request for good, or standard output is closed.
    pub permanent: u64,
    /// The request failed until `batch.export_timeout` was over.
    pub retry_deadline: u64,
    /// They came after, or could not be delivered during, the shutdown.
    pub shutdown: u64,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }

    /// Each reason by the name a metric's attribute can carry.
    #[must_use]
    pub fn by_reason(&self) -> [(&'static str, u64); 5] {
        [
            ("queue_full", self.queue_full),
            ("rejected", self.rejected),
            ("permanent", self.permanent),
            ("retry_deadline", self.retry_deadline),
            ("shutdown", self.shutdown),
        ]
    }
}

/// Why a record was lost, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropReason {
    QueueFull,
    Rejected,
    Permanent,
    RetryDeadline,
    Shutdown,
}

/// The running numbers of one signal, shared by the handle and the worker.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    received: AtomicU64,
    exported: AtomicU64,
    queue_full: AtomicU64,
    rejected: AtomicU64,
    permanent: AtomicU64,
    retry_deadline: AtomicU64,
    shutdown: AtomicU64,
    requests_sent: AtomicU64,
    requests_failed: AtomicU64,
    /// Written once a failed request, never on the way of a record.
    last_error: Mutex<Option<String>>,
}

impl Counters {
    pub(crate) fn received(&self, count: u64) {
        self.received.fetch_add(count, Relaxed);
    }

    pub(crate) fn exported(&self, count: u64) {
        self.exported.fetch_add(count, Relaxed);
    }

    pub(crate) fn dropped(&self, reason: DropReason, count: u64) {
        let counter = match reason {
            DropReason::QueueFull => &self.queue_full,
            DropReason::Rejected => &self.rejected,
            DropReason::Permanent => &self.permanent,
            DropReason::RetryDeadline => &self.retry_deadline,
            DropReason::Shutdown => &self.shutdown,
        };
        counter.fetch_add(count, Relaxed);
    }

    pub(crate) fn request_sent(&self) {
        self.requests_sent.fetch_add(1, Relaxed);
    }

    pub(crate) fn request_failed(&self, error: &str) {
        self.requests_failed.fetch_add(1, Relaxed);
        self.set_error(error);
    }

    pub(crate) fn queue_full(&self) -> u64 {
        self.queue_full.load(Relaxed)
    }

    pub(crate) fn set_error(&self, error: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
    }

    pub(crate) fn snapshot(&self, held: &Held) -> SignalStatistics {
        SignalStatistics {
            received: self.received.load(Relaxed),
            queued: held.items(),
            queued_bytes: held.bytes(),
            exported: self.exported.load(Relaxed),
            dropped: Dropped {
                queue_full: self.queue_full.load(Relaxed),
                rejected: self.rejected.load(Relaxed),
                permanent: self.permanent.load(Relaxed),
                retry_deadline: self.retry_deadline.load(Relaxed),
                shutdown: self.shutdown.load(Relaxed),
            },
            requests_sent: self.requests_sent.load(Relaxed),
            requests_failed: self.requests_failed.load(Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
