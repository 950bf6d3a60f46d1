//! The worker of one signal: gathers records into batches, sends them, and tries again.
//!
//! Requests run in tasks of their own, at most `batch.max_concurrent_exports` at a time; the worker itself goes on
//! taking records. After a failure that may pass, the whole signal waits, then one request at a time finds out
//! whether the collector is back, the oldest batch first.

use crate::batch::{Encoding, Gather, Record, Scope};
use crate::config::Config;
use crate::otlp::{Backoff, Otlp, Outcome, Payload};
use crate::queue::{Held, Sender};
use crate::report::Reporter;
use crate::statistics::{Counters, DropReason};
use crate::stdout::Lines;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc::UnboundedReceiver, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Records are not looked for more often than this, so that a caller that brings them one by one does not wake the
/// worker for each.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How many chunks are taken at a time.
const CHUNKS: usize = 4_096;
/// How many records are encoded before other tasks get their turn.
const TURN: usize = 1_024;
/// The longest wait a collector may ask for where nothing else limits it.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long delivering may take when the exporter is dropped without a shutdown.
const UNANNOUNCED: Duration = Duration::from_secs(2);

/// Where the batches go.
#[derive(Debug)]
pub(crate) enum Transport {
    Otlp(Box<Otlp>),
    Lines(Lines),
    #[cfg(test)]
    Script(tests::Script),
}

impl Transport {
    async fn send(&self, payload: &mut Payload, limit: Option<Duration>) -> Outcome {
        match self {
            Transport::Otlp(otlp) => otlp.send(payload, limit).await,
            Transport::Lines(lines) => lines.write(payload.bytes().clone()).await,
            #[cfg(test)]
            Transport::Script(script) => script.send(payload.bytes()).await,
        }
    }

    fn name(&self) -> &str {
        match self {
            Transport::Otlp(otlp) => otlp.endpoint(),
            Transport::Lines(_) => "standard output",
            #[cfg(test)]
            Transport::Script(_) => "the script",
        }
    }
}

/// A request that waits or is under way.
#[derive(Debug)]
struct Request {
    /// Its place in the order of requests.
    number: u64,
    payload: Payload,
    items: u64,
    /// The bytes its records were let in with.
    bytes: u64,
    first_sent: Option<Instant>,
}

#[derive(Debug)]
struct Settings {
    delay: Duration,
    max_items: u64,
    max_bytes: usize,
    in_flight: usize,
    /// How long a request is tried.
    export_timeout: Option<Duration>,
}

pub(crate) struct Worker<R: Record> {
    receiver: UnboundedReceiver<Vec<R>>,
    /// When to end, once the end was announced.
    stop: watch::Receiver<Option<Instant>>,
    held: Arc<Held>,
    counters: Arc<Counters>,
    transport: Arc<Transport>,
    settings: Settings,
    reporter: Reporter,
    backoff: Backoff,
    not_before: Option<Instant>,
    filling: R::Batch,
    filling_items: u64,
    filling_bytes: u64,
    /// When the batch that is filling is to be sent.
    due: Option<Instant>,
    next_number: u64,
    waiting: VecDeque<Request>,
    in_flight: JoinSet<(Request, Outcome)>,
    /// Items and bytes of each request in flight: what is lost with it if its task is.
    in_flight_of: FxHashMap<Id, (u64, u64)>,
    look_again: Option<Instant>,
    stop_by: Option<Instant>,
}

impl<R: Record> Worker<R> {
    pub(crate) fn new(
        config: &Config,
        scope: &Scope,
        encoding: Encoding,
        transport: Transport,
        (sender, receiver): (&Sender<R>, UnboundedReceiver<Vec<R>>),
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let batch = &config.batch;
        let in_flight =
            if matches!(transport, Transport::Lines(_)) { 1 } else { batch.max_concurrent_exports };
        Self {
            receiver,
            stop,
            held: Arc::clone(&sender.held),
            counters: Arc::clone(&sender.counters),
            settings: Settings {
                delay: config.schedule_delay(),
                max_items: batch.max_export_batch_size as u64,
                max_bytes: batch.max_request_bytes,
                in_flight,
                export_timeout: Some(batch.export_timeout).filter(|timeout| !timeout.is_zero()),
            },
            reporter: Reporter::new(<R::Batch as Gather>::SIGNAL, transport.name().to_owned()),
            transport: Arc::new(transport),
            backoff: Backoff::new(config.retry.clone()),
            not_before: None,
            filling: R::Batch::new(encoding, scope),
            filling_items: 0,
            filling_bytes: 0,
            due: None,
            next_number: 0,
            waiting: VecDeque::new(),
            in_flight: JoinSet::new(),
            in_flight_of: FxHashMap::default(),
            look_again: None,
            stop_by: None,
        }
    }

    /// Runs until the end is announced and everything is delivered or given up.
    pub(crate) async fn run(mut self) {
        let mut chunks = Vec::new();
        loop {
            let now = Instant::now();
            self.dispatch(now);
            if self.stop_by.is_some() && self.is_idle() {
                return;
            }
            let is_looking = self.stop_by.is_none() && self.look_again.is_none_or(|at| at <= now);
            let wake = self.wake(now);
            tokio::select! {
                biased;
                Some(done) = self.in_flight.join_next_with_id(), if !self.in_flight.is_empty() => {
                    self.settle(done);
                }
                changed = self.stop.changed(), if self.stop_by.is_none() => {
                    let announced = *self.stop.borrow();
                    self.stop_by = Some(match (changed, announced) {
                        (Ok(()), Some(at)) => at,
                        _ => Instant::now() + UNANNOUNCED,
                    });
                    self.receiver.close();
                    while let Ok(chunk) = self.receiver.try_recv() {
                        self.take(chunk).await;
                    }
                }
                () = sleep_until(self.stop_by.unwrap_or(now)), if self.stop_by.is_some() => {
                    self.give_up();
                    return;
                }
                count = self.receiver.recv_many(&mut chunks, CHUNKS), if is_looking => {
                    for chunk in chunks.drain(..) {
                        self.take(chunk).await;
                    }
                    if count == 0 {
                        // Every handle is gone; the announcement's end says so too.
                        self.look_again = Some(Instant::now() + UNANNOUNCED);
                    } else if count < CHUNKS {
                        self.look_again = Some(Instant::now() + LOOK_AGAIN.min(self.settings.delay));
                    }
                }
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
            self.reporter.queue_full(self.counters.queue_full());
        }
    }

    fn is_idle(&self) -> bool {
        self.filling_items == 0 && self.waiting.is_empty() && self.in_flight.is_empty()
    }

    fn is_waiting_for_collector(&self, now: Instant) -> bool {
        self.stop_by.is_none() && self.not_before.is_some_and(|at| at > now)
    }

    fn has_place(&self) -> bool {
        let places = if self.backoff.is_failing() { 1 } else { self.settings.in_flight };
        self.in_flight.len() < places
    }

    /// When there is something to do that nothing else announces.
    fn wake(&self, now: Instant) -> Option<Instant> {
        let look = self.look_again.filter(|at| *at > now && self.stop_by.is_none());
        let send = if !self.has_place() {
            None
        } else if !self.waiting.is_empty() {
            self.not_before
        } else {
            self.due.map(|due| self.not_before.map_or(due, |at| at.max(due)))
        };
        [look, send].into_iter().flatten().min()
    }

    /// Starts what can be sent now.
    fn dispatch(&mut self, now: Instant) {
        while self.has_place() && !self.is_waiting_for_collector(now) {
            if self.waiting.is_empty()
                && self.filling_items > 0
                && (self.stop_by.is_some() || self.due.is_some_and(|due| due <= now))
            {
                self.close();
            }
            let Some(mut request) = self.waiting.pop_front() else { return };
            request.first_sent.get_or_insert(now);
            self.counters.request_sent();
            let (transport, limit) = (Arc::clone(&self.transport), self.settings.export_timeout);
            let held = (request.items, request.bytes);
            let task = self.in_flight.spawn(async move {
                let outcome = transport.send(&mut request.payload, limit).await;
                (request, outcome)
            });
            self.in_flight_of.insert(task.id(), held);
        }
    }

    /// Puts records into the batch that is filling, and closes it whenever it is full.
    async fn take(&mut self, chunk: Vec<R>) {
        for (at, record) in R::split(chunk, self.settings.max_bytes).into_iter().enumerate() {
            if at % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let items = record.items();
            if items == 0 {
                continue;
            }
            self.filling.encode(record);
            if !self.held.has_room_for(self.filling.cost() as u64) {
                self.lose(DropReason::QueueFull, items, 0);
                continue;
            }
            let is_over = self.filling.bytes() + self.filling.cost() > self.settings.max_bytes
                || self.filling_items + items > self.settings.max_items;
            if self.filling_items > 0 && is_over {
                self.close();
            }
            let bytes = self.filling.cost() as u64;
            self.filling.add();
            self.held.add_bytes(bytes);
            self.filling_items += items;
            self.filling_bytes += bytes;
            self.due.get_or_insert_with(|| Instant::now() + self.settings.delay);
            if self.filling_items >= self.settings.max_items {
                self.close();
            }
        }
    }

    /// Makes a request of the batch that is filling.
    fn close(&mut self) {
        self.waiting.push_back(Request {
            number: self.next_number,
            payload: Payload::new(self.filling.close()),
            items: std::mem::take(&mut self.filling_items),
            bytes: std::mem::take(&mut self.filling_bytes),
            first_sent: None,
        });
        self.next_number += 1;
        self.due = None;
    }

    fn lose(&self, reason: DropReason, items: u64, bytes: u64) {
        self.counters.dropped(reason, items);
        self.held.release(items, bytes);
    }

    fn settle(&mut self, done: Result<(Id, (Request, Outcome)), JoinError>) {
        let (request, outcome) = match done {
            Ok((id, result)) => {
                self.in_flight_of.remove(&id);
                result
            }
            Err(error) => {
                // The task died with its request: nothing is known but what it held.
                let (items, bytes) = self.in_flight_of.remove(&error.id()).unwrap_or_default();
                self.counters.request_failed(&error.to_string());
                self.lose(DropReason::Permanent, items, bytes);
                return;
            }
        };
        let (items, bytes) = (request.items, request.bytes);
        match outcome {
            Outcome::Delivered { rejected, message } => {
                let rejected = rejected.min(items);
                self.counters.exported(items - rejected);
                self.counters.dropped(DropReason::Rejected, rejected);
                self.held.release(items, bytes);
                if rejected > 0 {
                    self.counters.set_error(&format!("{rejected} rejected: {message}"));
                }
                self.backoff.reset();
                self.not_before = None;
                self.reporter.delivered(rejected, &message);
            }
            Outcome::Retry { after, failure } => {
                self.counters.request_failed(&failure.error);
                if self.stop_by.is_some() {
                    self.lose(DropReason::Shutdown, items, bytes);
                } else if let Some(request) = self.schedule(request, after) {
                    self.reporter.deadline(&failure, items);
                    self.lose(DropReason::RetryDeadline, request.items, request.bytes);
                } else {
                    self.reporter.retrying(&failure, self.held.items());
                }
            }
            Outcome::Refused(failure) => {
                self.counters.request_failed(&failure.error);
                self.backoff.reset();
                self.not_before = None;
                self.reporter.refused(&failure, items);
                self.lose(DropReason::Permanent, items, bytes);
            }
            Outcome::Gone => {
                self.counters.request_failed("standard output was closed by its reader");
                self.lose(DropReason::Permanent, items, bytes);
            }
        }
    }

    /// Makes the signal wait and puts the request back at its place, or gives it back if its time is over.
    fn schedule(&mut self, request: Request, after: Option<Duration>) -> Option<Request> {
        let now = Instant::now();
        let left = match (self.settings.export_timeout, request.first_sent) {
            (Some(timeout), Some(first)) => Some(timeout.saturating_sub(now.duration_since(first))),
            _ => None,
        };
        let (wait, is_over) = match after {
            // A wait that was asked for is kept, for the requests behind this one too.
            Some(after) => (
                after.min(self.settings.export_timeout.unwrap_or(LONGEST_WAIT)),
                left.is_some_and(|l| after > l),
            ),
            // The last try is at the very end of the request's time.
            None => {
                let is_over = left.is_some_and(|left| left.is_zero());
                // Of two requests that failed together, one lengthens the wait.
                let wait = match self.not_before.filter(|at| *at > now) {
                    Some(at) => at - now,
                    None => self.backoff.fail(),
                };
                (left.filter(|_| !is_over).map_or(wait, |left| wait.min(left)), is_over)
            }
        };
        if after.is_some() {
            self.backoff.fail();
        }
        self.not_before = Some(self.not_before.map_or(now + wait, |at| at.max(now + wait)));
        if is_over {
            return Some(request);
        }
        let place = self.waiting.partition_point(|waiting| waiting.number < request.number);
        self.waiting.insert(place, request);
        None
    }

    /// Counts everything that is left as lost.
    fn give_up(&mut self) {
        // What has ended is settled as it ended; the rest is aborted when the worker is dropped.
        while let Some(done) = self.in_flight.try_join_next_with_id() {
            self.settle(done);
        }
        let in_flight = std::mem::take(&mut self.in_flight_of).into_values();
        let waiting = self.waiting.drain(..).map(|request| (request.items, request.bytes));
        let filling = [(self.filling_items, self.filling_bytes)];
        let (items, bytes) =
            in_flight.chain(waiting).chain(filling).fold((0, 0), |(i, b), (x, y)| (i + x, b + y));
        self.lose(DropReason::Shutdown, items, bytes);
        if items > 0 {
            let signal = <R::Batch as Gather>::SIGNAL;
            tracing::warn!(
                "{items} {} were lost at the end because {} did not take them in time.",
                signal.unit(),
                self.transport.name()
            );
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
