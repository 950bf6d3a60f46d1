//! What the user is told: one sentence when something goes wrong, at most once a minute each, and one when it works
//! again.

use crate::otlp::Failure;
use crate::signal::Signal;
use std::time::Duration;
use tokio::time::Instant;

/// How long the same kind of trouble is not told again.
const SILENCE: Duration = Duration::from_secs(60);

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Retrying,
    Refused,
    Rejected,
    QueueFull,
    Deadline,
}

const KINDS: usize = 5;

/// Tells one signal's troubles.
#[derive(Debug)]
pub(crate) struct Reporter {
    signal: Signal,
    endpoint: String,
    told: [Option<Instant>; KINDS],
    silenced: [u64; KINDS],
    failing_since: Option<Instant>,
    /// Whether the trouble that lasts was told: only then is its end.
    is_known: bool,
    queue_full: u64,
}

impl Reporter {
    pub(crate) fn new(signal: Signal, endpoint: String) -> Self {
        Self {
            signal,
            endpoint,
            told: [None; KINDS],
            silenced: [0; KINDS],
            failing_since: None,
            is_known: false,
            queue_full: 0,
        }
    }

    /// A request failed and will be tried again.
    pub(crate) fn retrying(&mut self, failure: &Failure, queued: u64) {
        self.failing_since.get_or_insert_with(Instant::now);
        if let Some(times) = self.may_tell(Kind::Retrying) {
            self.is_known = true;
            tracing::warn!(
                "Cannot deliver {} to {} ({}): trying again, with {queued} {} waiting{times}. To mend it: {}.",
                self.signal,
                self.endpoint,
                failure.error,
                self.signal.unit(),
                failure.advice
            );
        }
    }

    /// A request failed for good.
    pub(crate) fn refused(&mut self, failure: &Failure, items: u64) {
        self.failing_since.get_or_insert_with(Instant::now);
        if let Some(times) = self.may_tell(Kind::Refused) {
            self.is_known = true;
            tracing::warn!(
                "{items} {} were dropped because {} refused them ({}){times}. To mend it: {}.",
                self.signal.unit(),
                self.endpoint,
                failure.error,
                failure.advice
            );
        }
    }

    /// A request failed for as long as it may.
    pub(crate) fn deadline(&mut self, failure: &Failure, items: u64) {
        if let Some(times) = self.may_tell(Kind::Deadline) {
            tracing::warn!(
                "{items} {} were dropped because {} did not take them within batch.export_timeout ({}){times}. \
                 To mend it: {}.",
                self.signal.unit(),
                self.endpoint,
                failure.error,
                failure.advice
            );
        }
    }

    /// The collector took a request, all but `rejected` records of it.
    pub(crate) fn delivered(&mut self, rejected: u64, message: &str) {
        if let Some(since) = self.failing_since.take()
            && std::mem::take(&mut self.is_known)
        {
            let seconds = since.elapsed().as_secs();
            tracing::info!("{} reach {} again, after {seconds} s.", capitalized(self.signal), self.endpoint);
        }
        if rejected == 0 && message.is_empty() {
            return;
        }
        if let Some(times) = self.may_tell(Kind::Rejected) {
            tracing::warn!(
                "{} took a request but rejected {rejected} {} of it, saying {message:?}{times}. To mend it: see the \
                 collector's limits and processors.",
                self.endpoint,
                self.signal.unit()
            );
        }
    }

    /// Looks at how many records found no room.
    pub(crate) fn queue_full(&mut self, total: u64) {
        let more = total - self.queue_full.min(total);
        if more == 0 {
            return;
        }
        let may_tell = self.may_tell(Kind::QueueFull);
        if may_tell.is_some() {
            self.queue_full = total;
            tracing::warn!(
                "{more} {} were dropped because the export queue is full: {} is down or too slow. To mend it: give \
                 the collector more capacity, or raise batch.max_queue_size and batch.max_queue_bytes.",
                self.signal.unit(),
                self.endpoint
            );
        }
    }

    /// Whether this kind may be told now; if so, how often it was kept silent, in words.
    fn may_tell(&mut self, kind: Kind) -> Option<String> {
        let index = kind as usize;
        let (told, silenced) = (self.told.get_mut(index)?, self.silenced.get_mut(index)?);
        if told.is_some_and(|told| told.elapsed() < SILENCE) {
            *silenced += 1;
            return None;
        }
        *told = Some(Instant::now());
        let count = std::mem::take(silenced);
        Some(if count == 0 {
            String::new()
        } else {
            format!(" ({count} times more since this was last told)")
        })
    }
}

fn capitalized(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "Traces",
        Signal::Metrics => "Metrics",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first is told, then one a minute with the number of those in between, each kind for itself.
    #[tokio::test(start_paused = true)]
    async fn once_a_minute() {
        let mut reporter = Reporter::new(Signal::Traces, "http://c".to_owned());
        assert_eq!(reporter.may_tell(Kind::Retrying).as_deref(), Some(""));
        assert_eq!(reporter.may_tell(Kind::Refused).as_deref(), Some(""));
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(reporter.may_tell(Kind::Retrying), None);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let told = reporter.may_tell(Kind::Retrying).unwrap();
        assert!(told.contains("59 times more"), "{told}");
        assert_eq!(reporter.may_tell(Kind::Retrying), None);
    }

    /// The end of a trouble is told if its start was; a collector that comes and goes does not fill the log.
    #[tokio::test(start_paused = true)]
    async fn recovery_is_told_once() {
        let failure = Failure { error: String::new(), advice: String::new() };
        let mut reporter = Reporter::new(Signal::Traces, "http://c".to_owned());
        reporter.retrying(&failure, 0);
        assert!(reporter.is_known && reporter.failing_since.is_some());
        reporter.delivered(0, "");
        assert!(!reporter.is_known && reporter.failing_since.is_none());
        reporter.retrying(&failure, 0);
        assert!(!reporter.is_known && reporter.failing_since.is_some());
    }
}
