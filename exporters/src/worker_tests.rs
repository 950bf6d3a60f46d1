//! The worker against a transport that follows a script, in paused time: exact times and exact numbers.

use super::*;
use crate::batch::SpanRecord;
use crate::config::{BatchConfig, RetryConfig};
use crate::otlp::Failure;
use crate::queue::queue;
use crate::statistics::{Dropped, SignalStatistics};
use crate::test_support::span;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::sync::Mutex;
use tokio::task::JoinHandle;

/// When a request was sent, and the names of its spans.
type Seen = (Duration, Vec<String>);

/// Answers each request by the next step, after its delay; without one, at once and well.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    steps: Arc<Mutex<VecDeque<(Duration, Outcome)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    start: Instant,
}

impl Script {
    pub(super) async fn send(&self, body: &Bytes) -> Outcome {
        let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|group| group.scope_spans);
        let mut names: Vec<String> = scopes.flat_map(|scope| scope.spans).map(|span| span.name).collect();
        names.sort_by_key(|name| name.len());
        self.seen.lock().unwrap().push((self.start.elapsed(), names));
        let step = self.steps.lock().unwrap().pop_front();
        let (delay, outcome) = step.unwrap_or((Duration::ZERO, delivered(0)));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        outcome
    }
}

fn delivered(rejected: u64) -> Outcome {
    Outcome::Delivered { rejected, message: "no".to_owned() }
}

fn failure() -> Failure {
    Failure { error: "broken".to_owned(), advice: "mend it".to_owned() }
}

fn retry(after: Option<u64>) -> Outcome {
    Outcome::Retry { after: after.map(Duration::from_secs), failure: failure() }
}

struct Bench {
    sender: Sender<SpanRecord>,
    stop: watch::Sender<Option<Instant>>,
    script: Script,
    worker: JoinHandle<()>,
}

impl Bench {
    fn new(batch: BatchConfig, steps: Vec<(u64, Outcome)>) -> Self {
        let config = Config {
            batch,
            retry: RetryConfig {
                initial_interval: Duration::from_secs(2),
                max_interval: Duration::from_secs(8),
            },
            ..Config::default()
        };
        let steps = steps.into_iter().map(|(delay, outcome)| (Duration::from_secs(delay), outcome)).collect();
        let script =
            Script { steps: Arc::new(Mutex::new(steps)), seen: Arc::default(), start: Instant::now() };
        let (stop, stopped) = watch::channel(None);
        let (sender, receiver) = queue(&config.batch);
        let transport = Transport::Script(script.clone());
        let ends = (&sender, receiver);
        let worker = Worker::new(&config, &Scope::default(), Encoding::Protobuf, transport, ends, stopped);
        Self { worker: tokio::spawn(worker.run()), sender, stop, script }
    }

    fn send(&self, numbers: std::ops::Range<u64>) {
        self.sender.send(numbers.map(span).collect());
    }

    /// When each request was sent, and how many spans it carried.
    fn seen(&self) -> Vec<(Duration, usize)> {
        self.script.seen.lock().unwrap().iter().map(|(at, names)| (*at, names.len())).collect()
    }

    fn names(&self) -> Vec<String> {
        self.script.seen.lock().unwrap().iter().flat_map(|(_, names)| names.clone()).collect()
    }

    fn statistics(&self) -> SignalStatistics {
        let statistics = self.sender.counters.snapshot(&self.sender.held);
        assert_eq!(statistics.received, statistics.queued + statistics.exported + statistics.dropped.total());
        assert_eq!(statistics.queued == 0, statistics.queued_bytes == 0, "{statistics:?}");
        statistics
    }

    async fn stop(&mut self, within: u64) {
        self.stop.send(Some(Instant::now() + Duration::from_secs(within))).unwrap();
        (&mut self.worker).await.unwrap();
    }
}

async fn sleep(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

fn batch(max_export_batch_size: usize) -> BatchConfig {
    BatchConfig { max_export_batch_size, max_concurrent_exports: 1, ..BatchConfig::default() }
}

/// A batch goes when it is full, and otherwise a schedule delay after its first span.
#[tokio::test(start_paused = true)]
async fn batches_by_size_and_time() {
    let bench = Bench::new(batch(10), Vec::new());
    bench.send(0..25);
    sleep(500).await;
    assert_eq!(bench.seen(), [(Duration::ZERO, 10), (Duration::ZERO, 10)]);
    bench.send(25..28);
    sleep(499).await;
    assert_eq!(bench.seen().len(), 2);
    sleep(2).await;
    assert_eq!(bench.seen()[2], (Duration::from_secs(1), 8));
    let statistics = bench.statistics();
    assert_eq!((statistics.exported, statistics.queued, statistics.requests_sent), (28, 0, 3));
}

/// A request does not grow over its size in bytes.
#[tokio::test(start_paused = true)]
async fn batches_by_bytes() {
    // All of one service: a group's envelope once a request, then the same for each span.
    let mut filling = <SpanRecord as Record>::Batch::new(Encoding::Protobuf, &Scope::default());
    for number in [12, 15, 18, 21] {
        filling.encode(span(number));
        filling.add();
    }
    let four = filling.bytes();
    let bench = Bench::new(BatchConfig { max_request_bytes: four, ..batch(100) }, Vec::new());
    (4..13).for_each(|number| bench.send(number * 3..number * 3 + 1));
    sleep(2_000).await;
    assert_eq!(bench.seen().iter().map(|(_, size)| *size).collect::<Vec<_>>(), [4, 4, 1]);
    let tiny = Bench::new(BatchConfig { max_request_bytes: 1, ..batch(100) }, Vec::new());
    tiny.send(0..3);
    sleep(2_000).await;
    assert_eq!(tiny.seen().len(), 3);
}

/// While the collector is down the queue fills, the newest are dropped and counted exactly; when it is back, all
/// that was held arrives once and in order.
#[tokio::test(start_paused = true)]
async fn down_then_up() {
    let config = BatchConfig { max_queue_size: 20, ..batch(5) };
    let bench = Bench::new(config, vec![(0, retry(None)), (0, retry(None)), (0, retry(None))]);
    bench.send(0..10);
    sleep(100).await;
    bench.send(10..18);
    sleep(100).await;
    bench.send(18..30);
    assert_eq!(bench.statistics().dropped, Dropped { queue_full: 10, ..Dropped::default() });
    assert_eq!(bench.statistics().queued, 20);
    sleep(20_000).await;
    let statistics = bench.statistics();
    assert_eq!((statistics.exported, statistics.queued, statistics.dropped.total()), (20, 0, 10));
    assert_eq!((statistics.requests_sent, statistics.requests_failed), (7, 3));
    assert_eq!(statistics.last_error.as_deref(), Some("broken"));
    let mut expected: Vec<String> = (0..20).map(|number| format!("span {number}")).collect();
    let mut names = bench.names().split_off(15);
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(bench.seen().iter().map(|(_, size)| *size).collect::<Vec<_>>(), [5; 7]);
}

/// The waits grow from retry to retry, each within its half, and a success resets them.
#[tokio::test(start_paused = true)]
async fn waits_grow() {
    let mut steps: Vec<(u64, Outcome)> = (0..4).map(|_| (0, retry(None))).collect();
    steps.push((0, delivered(0)));
    steps.push((0, retry(None)));
    let bench = Bench::new(batch(5), steps);
    bench.send(0..5);
    sleep(30_000).await;
    bench.send(5..10);
    sleep(30_000).await;
    let times: Vec<f64> = bench.seen().iter().map(|(at, _)| at.as_secs_f64()).collect();
    let waits: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits.len(), 6);
    for (index, longest) in [(0, 2.0), (1, 4.0), (2, 8.0), (3, 8.0), (5, 2.0)] {
        assert!(waits[index] >= longest / 2.0 && waits[index] <= longest + 0.01, "{waits:?}");
    }
}

/// A wait the collector asks for is kept to the second, for the whole signal.
#[tokio::test(start_paused = true)]
async fn throttled() {
    let bench = Bench::new(batch(5), vec![(0, retry(Some(7)))]);
    bench.send(0..5);
    sleep(1_000).await;
    bench.send(5..10);
    sleep(10_000).await;
    let seven = Duration::from_secs(7);
    assert_eq!(bench.seen(), [(Duration::ZERO, 5), (seven, 5), (seven, 5)]);
    assert_eq!(bench.statistics().exported, 10);
}

/// A batch is tried for its time, the last time at its very end; the batch behind it gets a time of its own.
#[tokio::test(start_paused = true)]
async fn deadline() {
    let config = BatchConfig { export_timeout: Duration::from_secs(10), ..batch(5) };
    let bench = Bench::new(config, (0..100).map(|_| (0, retry(None))).collect());
    bench.send(0..10);
    sleep(10_000 - 5).await;
    assert_eq!(bench.statistics().dropped.total(), 0);
    sleep(10).await;
    assert_eq!(bench.statistics().dropped, Dropped { retry_deadline: 5, ..Dropped::default() });
    assert_eq!(bench.seen().last().unwrap().0.as_secs(), 10);
    sleep(20_000).await;
    assert_eq!(bench.statistics().dropped, Dropped { retry_deadline: 10, ..Dropped::default() });
}

/// A wait that is longer than the batch may live drops it at once, and still holds for the next, but not for ever.
#[tokio::test(start_paused = true)]
async fn wait_beyond_the_deadline() {
    let config = BatchConfig { export_timeout: Duration::from_secs(10), ..batch(5) };
    let bench = Bench::new(config, vec![(0, retry(Some(86_400)))]);
    bench.send(0..10);
    sleep(1).await;
    assert_eq!(bench.statistics().dropped, Dropped { retry_deadline: 5, ..Dropped::default() });
    sleep(10_010).await;
    assert_eq!(bench.seen(), [(Duration::ZERO, 5), (Duration::from_secs(10), 5)]);
    assert_eq!(bench.statistics().exported, 5);
}

/// What is refused is dropped at once and never sent again; what is rejected of a request is counted.
#[tokio::test(start_paused = true)]
async fn refused_and_rejected() {
    let steps =
        vec![(0, Outcome::Refused(failure())), (0, delivered(2)), (0, delivered(99)), (0, Outcome::Gone)];
    let bench = Bench::new(batch(5), steps);
    bench.send(0..25);
    sleep(100).await;
    let statistics = bench.statistics();
    assert_eq!(statistics.dropped, Dropped { permanent: 10, rejected: 7, ..Dropped::default() });
    assert_eq!((statistics.exported, statistics.requests_sent, statistics.requests_failed), (8, 5, 2));
}

/// No more requests than allowed are under way; after a failure one at a time is.
#[tokio::test(start_paused = true)]
async fn concurrency() {
    let mut steps: Vec<(u64, Outcome)> = (0..4).map(|_| (1, delivered(0))).collect();
    steps.extend([
        (1, retry(Some(10))),
        (3, retry(Some(10))),
        (1, delivered(0)),
        (1, delivered(0)),
        (1, delivered(0)),
    ]);
    let bench = Bench::new(BatchConfig { max_concurrent_exports: 2, ..batch(1) }, steps);
    bench.send(0..7);
    sleep(30_000).await;
    let times: Vec<u64> = bench.seen().iter().map(|(at, _)| at.as_secs()).collect();
    // Two each at 0 and 1; two at 2 of which one fails at 3 and one at 5; then one at 15, and two again.
    assert_eq!(times, [0, 0, 1, 1, 2, 2, 15, 16, 16]);
    assert_eq!(bench.statistics().exported, 7);
    assert_eq!(bench.names()[6..], ["span 4", "span 5", "span 6"]);
}

/// At the end everything is sent once more, without waiting; what fails then is lost to the shutdown.
#[tokio::test(start_paused = true)]
async fn shutdown_tries_once() {
    let steps = vec![(0, retry(Some(60))), (0, retry(None)), (0, delivered(0)), (0, delivered(0))];
    let mut bench = Bench::new(batch(5), steps);
    bench.send(0..10);
    sleep(10).await;
    bench.send(10..12);
    bench.stop(2).await;
    let statistics = bench.statistics();
    assert_eq!((statistics.exported, statistics.dropped.shutdown, statistics.queued), (7, 5, 0));
    assert!(bench.seen().last().unwrap().0 < Duration::from_millis(100));
    bench.send(12..13);
    assert_eq!(bench.statistics().dropped.shutdown, 6);
}

/// A collector that does not answer does not hold up the end, and all that was held is counted.
#[tokio::test(start_paused = true)]
async fn shutdown_is_bounded() {
    let mut bench = Bench::new(batch(5), vec![(0, delivered(0)), (3_600, delivered(0))]);
    bench.send(0..13);
    sleep(10).await;
    bench.stop(2).await;
    let statistics = bench.statistics();
    assert_eq!((statistics.exported, statistics.dropped.shutdown, statistics.queued), (5, 8, 0));
    assert_eq!(bench.script.start.elapsed().as_secs(), 2);
}

/// Without a shutdown, the end of the last handle delivers what is held.
#[tokio::test(start_paused = true)]
async fn dropped_handles() {
    let Bench { sender, stop, script, worker } = Bench::new(batch(5), Vec::new());
    sender.send((0..7).map(span).collect());
    let (held, counters) = (Arc::clone(&sender.held), Arc::clone(&sender.counters));
    drop((sender, stop));
    worker.await.unwrap();
    assert_eq!(counters.snapshot(&held).exported, 7);
    assert_eq!(script.seen.lock().unwrap().len(), 2);
}

/// The queue's bytes are bounded too: what does not fit once encoded is dropped and counted.
#[tokio::test(start_paused = true)]
async fn bounded_bytes() {
    let config = BatchConfig { max_queue_bytes: 1_000, ..batch(100) };
    let bench = Bench::new(config, Vec::new());
    bench.send(0..30);
    sleep(10).await;
    let statistics = bench.statistics();
    assert!(statistics.queued_bytes <= 1_000 && statistics.queued_bytes > 800, "{statistics:?}");
    assert_eq!(statistics.queued + statistics.dropped.queue_full, 30);
    sleep(2_000).await;
    assert_eq!(bench.statistics().exported, statistics.queued);
}

/// Spans that come one by one are looked for at intervals, and none is missed.
#[tokio::test(start_paused = true)]
async fn one_by_one() {
    let bench = Bench::new(batch(100), Vec::new());
    for number in 0..1_000 {
        bench.send(number..number + 1);
        sleep(1).await;
    }
    sleep(2_000).await;
    assert_eq!(bench.statistics().exported, 1_000);
    assert_eq!(bench.seen().len(), 10);
}
