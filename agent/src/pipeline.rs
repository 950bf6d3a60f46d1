//! The way of the data, put together: `remora run`, `remora record` and `remora replay`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use remora_exporters::{Exporter, Scope, Statistics};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::capture::file::{FileError, Preamble, Reader, Writer};
use crate::capture::{Dispatcher, Earlier, Live, Record, Ring};
use crate::clock;
use crate::config::Config;
use crate::coverage::Coverage;
use crate::identity::{Host, Store};
use crate::metrics::Collector;
use crate::probes::privileges::{self, Held, Need};
use crate::probes::{self, Controls, EarlierConnections, PassError, Probes, Tier};
use crate::protocol::Registry;
use crate::stream::{Counters, Facts, Failure, Limits, Shard, Shards, Sink, Told, Traffic};
use crate::telling::Teller;
use crate::trace::{Ids, SCHEMA, Spans};

/// Time that the exporter has at the end to deliver what is held. Its own, whatever detaching took: the last spans shall not be
/// lost for that.
const FLUSH: Duration = Duration::from_millis(1_300);
/// How long the reader sleeps at most when nothing happens.
const IDLE: Duration = Duration::from_millis(50);
/// A connection silent for so long is forgotten. Nanoseconds.
const IDLE_CONNECTION: u64 = 3_600_000_000_000;
/// Time that a replay's last spans have to be delivered.
const REPLAY_FLUSH: Duration = Duration::from_secs(30);
/// Spans or data points that may wait for the exporter before a replay pauses.
const REPLAY_QUEUE: u64 = 16_384;

/// What ends a live run: SIGTERM, SIGINT, or the time. Awaiting begins where it is made, so make it before anything
/// that has to be ended in order.
struct Until {
    terminate: Signal,
    interrupt: Signal,
    deadline: Option<Instant>,
}

impl Until {
    /// Until a signal comes, or `seconds` have passed.
    fn new(seconds: Option<u64>) -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be awaited")?,
            deadline: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        })
    }

    /// Resolves when the run shall end; why.
    async fn end(mut self) -> &'static str {
        let deadline = self.deadline;
        let time = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = time => "the time is over",
        }
    }
}

/// `remora run`: watches this host and exports, until told to end.
///
/// # Errors
/// If nothing can be attached, or the configuration cannot be used.
pub async fn run(config: Config, seconds: Option<u64>) -> Result<()> {
    let until = Until::new(seconds)?;
    let exporter = start_exporter(&config)?;
    let probes = attach(&config)?;
    let store = store(&config);
    let seed = Ids::random_seed().context("no random bytes for trace ids")?;
    let clock_offset = Arc::new(AtomicI64::new(clock::offset()));
    let tellers = Tellers::start(&config, &exporter, &store, Ids::new(seed), &clock_offset)?;
    live(&config, probes, &store, Some(exporter), &clock_offset, None, To::Exporter(tellers), until).await
}

/// `remora record`: watches this host and writes what it saw to `path`, until told to end.
///
/// # Errors
/// If nothing can be attached, or the file cannot be written.
pub async fn record(config: Config, path: &Path, seconds: Option<u64>) -> Result<()> {
    let until = Until::new(seconds)?;
    let probes = attach(&config)?;
    let store = store(&config);
    let clock_offset = Arc::new(AtomicI64::new(clock::offset()));
    let preamble = Preamble {
        clock_offset: clock_offset.load(Ordering::Relaxed),
        seed: Ids::random_seed().context("no random bytes for trace ids")?,
        host: store.host().clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let writer = Writer::create(path, &preamble)?;
    // The rest of the way works too: it is what tells the programs which bytes are worth copying.
    live(&config, probes, &store, None, &clock_offset, Some(writer), To::Nobody, until).await
}

/// Who hears what shards tell.
enum To {
    Exporter(Tellers),
    /// They are only counted.
    Nobody,
}

impl To {
    /// The sink of a shard with these counters.
    fn sink(&mut self, counters: &Arc<Counters>) -> Box<dyn Sink> {
        match self {
            To::Exporter(tellers) => Box::new(tellers.next(Arc::clone(counters))),
            To::Nobody => Box::new(Nobody(Arc::clone(counters))),
        }
    }

    /// The counters that belong to no shard.
    fn counters(&self) -> Option<Arc<Counters>> {
        match self {
            To::Exporter(tellers) => Some(Arc::clone(&tellers.counters)),
            To::Nobody => None,
        }
    }

    /// Waits for the last metrics of services; all shards must have finished.
    fn finish(self) {
        if let To::Exporter(tellers) = self {
            tellers.collector.finish();
        }
    }
}

struct Nobody(Arc<Counters>);

impl Sink for Nobody {
    fn tell(&mut self, _: Told<'_>) {
        Counters::bump(&self.0.exchanges, 1);
    }
    fn traffic(&mut self, _: &Facts, _: &Traffic) {}
    fn failed(&mut self, _: &Facts, _: &Failure) {}
    fn due(&self, _: u64) -> bool {
        false
    }
    fn turn(&mut self, _: u64) {}
    fn finish(&mut self, _: u64) {}
}

/// What the shards' tellers have in common.
struct Tellers {
    exporter: Exporter,
    store: Arc<Store>,
    ids: Ids,
    clock_offset: Arc<AtomicI64>,
    collector: Collector,
    /// The collector's own.
    counters: Arc<Counters>,
}

impl Tellers {
    fn start(
        config: &Config,
        exporter: &Exporter,
        store: &Arc<Store>,
        ids: Ids,
        clock_offset: &Arc<AtomicI64>,
    ) -> Result<Self> {
        let counters: Arc<Counters> = Arc::default();
        let collector = Collector::start(
            &config.metrics,
            config.capture.shards().max(1),
            exporter.clone(),
            Arc::clone(clock_offset),
            Arc::clone(&counters),
        )
        .context("the metrics' thread did not start")?;
        Ok(Self {
            exporter: exporter.clone(),
            store: Arc::clone(store),
            ids,
            clock_offset: Arc::clone(clock_offset),
            collector,
            counters,
        })
    }

    fn next(&mut self, counters: Arc<Counters>) -> Teller {
        let spans = Spans::new(self.exporter.clone(), self.ids, Arc::clone(&self.clock_offset));
        Teller::new(Arc::clone(&self.store), self.collector.shard(), spans, counters)
    }
}

/// `remora replay`: the way of the data from a recorded file. Needs no privileges.
///
/// # Errors
/// If the file cannot be read to its end, or the configuration cannot be used.
pub async fn replay(config: Config, path: &Path) -> Result<()> {
    let mut reader = Reader::open(path)?;
    let exporter = start_exporter(&config)?;
    let preamble = reader.preamble.clone();
    let store = Arc::new(Store::new(preamble.host, config.identity.clone()));
    let clock_offset = Arc::new(AtomicI64::new(preamble.clock_offset));
    let tellers = Tellers::start(&config, &exporter, &store, Ids::new(preamble.seed), &clock_offset)?;
    let mut to = To::Exporter(tellers);
    let (shards, counters) = shards(&config, &Controls::none(), &mut to)?;
    let mut dispatcher = Dispatcher::new(Arc::clone(&store), Some(shards), None, None);

    let waiting = exporter.clone();
    let began = Instant::now();
    // A thread of its own: it may pause, and the exporter's tasks go on meanwhile.
    let work = tokio::task::spawn_blocking(move || {
        let mut now = 0;
        let mut turned = 0;
        let end = reader.read(|bytes| {
            dispatcher.record(bytes);
            now = now.max(Record::time(bytes).unwrap_or(0));
            // The recording's own time decides what counts as silence.
            if now - turned >= 10_000_000 {
                turned = now;
                dispatcher.turn(now);
                let queued = |statistics: Statistics| {
                    statistics.traces.queued.max(statistics.metrics.queued) > REPLAY_QUEUE
                };
                while queued(waiting.statistics()) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let finished = dispatcher.finish(now);
        to.finish();
        end.and_then(|records| finished.map(|_| records))
    });
    let end: Result<u64, FileError> = work.await.context("the replay was interrupted")?;
    let elapsed = began.elapsed();

    let coverage = Coverage::new(None, counters, store, Some(exporter.clone()), clock::wall())
        .with_temporality(config.metrics.temporality);
    exporter.metrics(vec![coverage.metrics(clock::wall())]);
    exporter.shutdown(REPLAY_FLUSH).await;
    tracing::info!("{}", coverage.summary());
    let records = end?;
    tracing::info!(
        "replayed {records} records in {:.3} s: {:.0} a second",
        elapsed.as_secs_f64(),
        records as f64 / elapsed.as_secs_f64().max(1e-9)
    );
    Ok(())
}

/// A live run: from attached probes to the end.
#[allow(clippy::too_many_arguments, reason = "it is where all parts meet, and called from two places")]
async fn live(
    config: &Config,
    mut probes: Probes,
    store: &Arc<Store>,
    exporter: Option<Exporter>,
    clock_offset: &AtomicI64,
    writer: Option<Writer>,
    mut to: To,
    until: Until,
) -> Result<()> {
    let missing = || anyhow!("a map of the eBPF programs is missing: this build is broken, please report it");
    let controls = probes.controls().context("the capture modes could not be mapped")?;
    let ring = Ring::new(probes.take_ring().ok_or_else(missing)?);
    let iterators = probes.take_earlier();
    let most = config.probes.max_connections as usize / 2;
    let by_proc = iterators.is_err().then(|| Earlier::read(Path::new("/proc"), probes.namespace, most));
    let told = by_proc.as_ref().map(Earlier::counts);
    let live =
        Live::new(probes.take_processes().ok_or_else(missing)?, controls.clone()).with_earlier(by_proc);
    let covered_until = live.until();
    let kernel = probes.take_counters().ok_or_else(missing)?;
    let (shards, counters) = shards(config, &controls, &mut to)?;
    let mut coverage =
        Coverage::new(Some(kernel), counters, Arc::clone(store), exporter.clone(), clock::wall())
            .with_temporality(config.metrics.temporality);
    let mut dispatcher = Dispatcher::new(Arc::clone(store), Some(shards), Some(live), writer);
    let processes = dispatcher.learn_processes().context("cannot list /proc")?;
    release_memory();

    let stop = Arc::new(AtomicU64::new(0));
    let reader = spawn_reader(ring, dispatcher, Arc::clone(store), Arc::clone(&stop))?;
    warn_of_privileges(probes.tier);
    warn_of_preemption(probes.tier);
    // The reader is at work and all hooks are in place: now it can be told what was there before.
    let (earlier, no_iterators) = match iterators.and_then(EarlierConnections::enter) {
        Ok(earlier) => (earlier, None),
        Err(reason) => (told.unwrap_or_default(), Some(reason)),
    };
    tracing::info!(
        tier = %probes.tier,
        hooks = probes.attached.join(","),
        processes,
        connections = earlier.clients + earlier.servers + earlier.unknown + earlier.unix,
        "ready{}{}",
        not_attached(&probes),
        not_known(&earlier, no_iterators.as_ref())
    );

    let mut metrics = tokio::time::interval(config.metrics.interval());
    metrics.tick().await;
    let mut clocks = tokio::time::interval(Duration::from_secs(10));
    let end = until.end();
    tokio::pin!(end);
    loop {
        tokio::select! {
            reason = &mut end => {
                tracing::info!("ending: {reason}");
                break;
            }
            _ = metrics.tick() => {
                if let Some(exporter) = &exporter {
                    exporter.metrics(vec![coverage.metrics(clock::wall())]);
                }
            }
            _ = clocks.tick() => {
                // Where somebody set the clock, spans follow it.
                let offset = clock::offset();
                if (offset - clock_offset.load(Ordering::Relaxed)).abs() > 1_000_000 {
                    clock_offset.store(offset, Ordering::Relaxed);
                }
            }
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                if reader.is_finished() {
                    break;
                }
            }
        }
    }

    // What is in the ring buffer when no program runs any more that began before now is all that is believed. Taking the hooks
    // off goes on beside the rest: the kernel waits up to a tenth of a second for each trampoline.
    covered_until.store(clock::monotonic(), Ordering::Relaxed);
    let mut probes = Some(probes);
    if !probes::programs_returned() {
        probes = None;
    }
    coverage.close_kernel();
    let detached = tokio::task::spawn_blocking(move || drop(probes));
    stop.store(clock::monotonic(), Ordering::Release);
    let ended = move || {
        let recorded = reader.join();
        to.finish();
        recorded
    };
    let recorded = tokio::task::spawn_blocking(ended)
        .await
        .context("the reader could not be waited for")?
        .map_err(|_| anyhow!("the reader's thread panicked; please report it"))?;
    if let Some(exporter) = exporter {
        exporter.metrics(vec![coverage.metrics(clock::wall())]);
        exporter.shutdown(FLUSH).await;
    }
    detached.await.context("the hooks could not be taken off")?;
    tracing::info!("{}", coverage.summary());
    let records = recorded?;
    if records > 0 {
        tracing::info!("{records} records written");
    }
    Ok(())
}

/// Says what this process may not see for lack of a capability.
fn warn_of_privileges(tier: Tier) {
    for Need { capability, purpose, .. } in Held::now().lacks(privileges::needs(tier)) {
        tracing::warn!("without {capability}: it is needed {purpose}");
    }
}

/// Says what the kernel's way of preempting does to this tier.
fn warn_of_preemption(tier: Tier) {
    if tier.is_preempted() {
        tracing::warn!(
            "this kernel preempts programs of the tier {tier}, and meanwhile skips them (skipped_programs): spans may be \
             missing, and on unix sockets, where a missed message leaves no trace, a response may be told of another \
             request of its connection{}; take probes.tier: kprobe if it can be had, which is not preempted",
            if tier == Tier::SyscallTracepoint { ", and a call of another connection" } else { "" }
        );
    }
}

/// What the ready line says of hooks that could not be had.
fn not_attached(probes: &Probes) -> String {
    let mut text = String::new();
    for (tier, reason) in &probes.refused {
        text.push_str(&format!("; not {tier}: {reason}"));
    }
    for reason in &probes.without {
        text.push_str(&format!("; without {reason}"));
    }
    if let Some(reason) = &probes.no_senders {
        text.push_str(&format!("; senders of datagrams on unconnected sockets are not known: {reason}"));
    }
    if !probes.missing_fields.is_empty() {
        text.push_str(&format!("; kernel fields not found: {}", probes.missing_fields.join(", ")));
    }
    text
}

/// What the ready line says of connections from before that are not known yet.
fn not_known(earlier: &remora_abi::maps::Earlier, no_iterators: Option<&PassError>) -> String {
    let mut text = String::new();
    if let Some(reason) = no_iterators {
        text.push_str(&format!("; connections from before are told with their first bytes: {reason}"));
    }
    if earlier.left_out > 0 {
        text.push_str(&format!(
            "; no room for {} connections from before until they carry bytes",
            earlier.left_out
        ));
    }
    text
}

/// Reads records until `stop` says when (`CLOCK_MONOTONIC`, nanoseconds) all programs had returned that matter; then what is
/// left of before, and tells what is in flight.
fn spawn_reader(
    mut ring: Ring,
    mut dispatcher: Dispatcher,
    store: Arc<Store>,
    stop: Arc<AtomicU64>,
) -> Result<JoinHandle<Result<u64, FileError>>> {
    /// Records after which the time is looked at.
    const TURN: usize = 4096;
    /// How often ended processes are forgotten.
    const SWEEP: Duration = Duration::from_secs(5);
    let work = move || {
        let mut swept = Instant::now();
        loop {
            let end = stop.load(Ordering::Acquire);
            let ending = end != 0;
            // Hooks may still be there: a record of later stands behind all that is waited for.
            let mut later = false;
            while TURN
                == ring.drain(TURN, |record| {
                    later |= ending && Record::time(record).is_some_and(|time| time > end);
                    dispatcher.record(record);
                })
                && !later
            {
                dispatcher.turn(clock::monotonic());
            }
            dispatcher.turn(clock::monotonic());
            if let Some(error) = dispatcher.take_failure() {
                return Err(error);
            }
            if ending {
                return dispatcher.finish(clock::monotonic());
            }
            if swept.elapsed() > SWEEP {
                swept = Instant::now();
                store.sweep(clock::monotonic());
            }
            if let Err(error) = ring.wait(IDLE) {
                tracing::error!("the ring buffer cannot be waited for: {error}");
                return dispatcher.finish(clock::monotonic());
            }
        }
    };
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(work)
        .context("the reader's thread did not start")
}

fn shards(config: &Config, controls: &Controls, to: &mut To) -> Result<(Shards, Vec<Arc<Counters>>)> {
    let registry = Arc::new(Registry::new(&config.http, &config.protocols));
    let many = config.capture.shards().max(1);
    let limits = Limits {
        connections: (config.probes.max_connections as usize).div_ceil(many),
        idle: IDLE_CONNECTION,
    };
    let mut counters = Vec::new();
    let mut all: Vec<Shard> = (0..many)
        .map(|_| {
            let own = Arc::new(Counters::default());
            counters.push(Arc::clone(&own));
            let sink = to.sink(&own);
            Shard::new(Arc::clone(&registry), controls.clone(), own, sink, limits)
        })
        .collect();
    counters.extend(to.counters());
    let shards = match all.pop() {
        Some(only) if all.is_empty() => Shards::inline(only),
        last => Shards::threads(all.into_iter().chain(last).collect())
            .context("a shard's thread did not start")?,
    };
    Ok((shards, counters))
}

fn start_exporter(config: &Config) -> Result<Exporter> {
    let scope = Scope {
        name: "remora".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_url: SCHEMA.to_owned(),
    };
    Ok(Exporter::start(config.export.clone(), scope)?)
}

fn attach(config: &Config) -> Result<Probes> {
    let settings = probes::Settings {
        tier: config.probes.tier,
        ring_bytes: config.probes.ring_bytes,
        max_connections: config.probes.max_connections,
        namespace: config.probes.netns.clone(),
        iterators: config.probes.iterators,
        sample_interval_ms: config.metrics.interval_ms,
        floor: false,
    };
    Ok(probes::attach(&settings)?)
}

fn store(config: &Config) -> Arc<Store> {
    Arc::new(Store::new(Host::read(Path::new("/")), config.identity.clone()))
}

/// Waits for the end without doing anything (`OTEL_SDK_DISABLED`).
///
/// # Errors
/// If signals cannot be awaited.
pub async fn idle(seconds: Option<u64>) -> Result<()> {
    let until = Until::new(seconds)?;
    tracing::info!("OTEL_SDK_DISABLED is set: nothing is attached and nothing exported; waiting for the end");
    until.end().await;
    Ok(())
}

/// Gives memory back that the start has used (the kernel's types, the programs' object).
fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
