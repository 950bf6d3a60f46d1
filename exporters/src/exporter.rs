//! The exporter's handle.

use crate::batch::{Encoding, Record, Scope, SpanRecord};
use crate::config::{Config, Destination, Protocol};
use crate::error::Error;
use crate::otlp::Otlp;
use crate::queue::{Sender, queue};
use crate::signal::Signal;
use crate::statistics::Statistics;
use crate::stdout::Lines;
use crate::target::Target;
use crate::worker::{Transport, Worker};
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

/// A running exporter. Clones are handles to the same one.
///
/// When the last handle is dropped without [`shutdown`](Self::shutdown), the workers deliver what they can within
/// 2 s, if the runtime lives that long.
#[derive(Debug, Clone)]
pub struct Exporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    traces: Sender<SpanRecord>,
    metrics: Sender<ResourceMetrics>,
    /// When the workers have to end. They hold the other side as long as they run.
    stop: watch::Sender<Option<Instant>>,
}

impl Exporter {
    /// Starts the workers in the tokio runtime this is called in.
    ///
    /// The collector is not contacted yet: it may come up later.
    ///
    /// # Errors
    ///
    /// If the configuration cannot be used, a certificate cannot be read, or there is no runtime.
    pub fn start(config: Config, scope: Scope) -> Result<Self, Error> {
        let lines = match config.destination {
            Destination::Otlp => None,
            Destination::Stdout => Some(Lines::start(std::io::stdout())?),
        };
        Self::start_with(&config, &scope, lines)
    }

    /// Like [`start`](Self::start) with [`Destination::Stdout`], but the lines go to `output`, whatever the
    /// configuration's destination is.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_to(
        config: Config,
        scope: Scope,
        output: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        let config = Config { destination: Destination::Stdout, ..config };
        Self::start_with(&config, &scope, Some(Lines::start(output)?))
    }

    fn start_with(config: &Config, scope: &Scope, lines: Option<Lines>) -> Result<Self, Error> {
        config.validate()?;
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let (stop, stopped) = watch::channel(None);
        let traces = start_worker(&runtime, config, scope, Signal::Traces, lines.clone(), stopped.clone())?;
        let metrics = start_worker(&runtime, config, scope, Signal::Metrics, lines, stopped)?;
        Ok(Self { shared: Arc::new(Shared { traces, metrics, stop }) })
    }

    /// Takes spans to export. Never waits: what finds no room in the queue is dropped from the end, and counted.
    ///
    /// Handing over many at a time costs less than one by one.
    pub fn spans(&self, spans: Vec<SpanRecord>) {
        self.shared.traces.send(spans);
    }

    /// Takes metrics to export, counted by data point, otherwise like [`spans`](Self::spans). They keep their own
    /// scope. What is larger than one request may be is sent in several; what holds more data points than the queue
    /// does is dropped.
    pub fn metrics(&self, metrics: Vec<ResourceMetrics>) {
        self.shared.metrics.send(metrics);
    }

    /// What became of everything so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let Shared { traces, metrics, .. } = &*self.shared;
        Statistics {
            traces: traces.counters.snapshot(&traces.held),
            metrics: metrics.counters.snapshot(&metrics.held),
        }
    }

    /// Delivers what is held, each request once more at most, and ends the workers. Returns as soon as all is
    /// delivered and no later than `within`; what is not delivered by then is counted as lost to the shutdown, as is
    /// whatever other handles bring from now on.
    pub async fn shutdown(self, within: Duration) -> Statistics {
        let Shared { traces, metrics, stop } = &*self.shared;
        traces.close();
        metrics.close();
        let now = Instant::now();
        // The workers end a little earlier, to have counted everything by the time this returns.
        let margin = (within / 10).min(Duration::from_millis(50));
        stop.send_if_modified(|at| {
            let is_first = at.is_none();
            at.get_or_insert(now + (within - margin));
            is_first
        });
        let _ = tokio::time::timeout_at(now + within, stop.closed()).await;
        self.statistics()
    }
}

fn start_worker<R: Record>(
    runtime: &Handle,
    config: &Config,
    scope: &Scope,
    signal: Signal,
    lines: Option<Lines>,
    stop: watch::Receiver<Option<Instant>>,
) -> Result<Sender<R>, Error> {
    let (transport, encoding) = match lines {
        Some(lines) => (Transport::Lines(lines), Encoding::JsonLine),
        None => {
            let target = Target::resolve(config, signal)?;
            let encoding = match target.protocol {
                Protocol::Grpc | Protocol::HttpProtobuf => Encoding::Protobuf,
                Protocol::HttpJson => Encoding::Json,
            };
            (Transport::Otlp(Box::new(Otlp::new(&target)?)), encoding)
        }
    };
    let (sender, receiver) = queue(&config.batch);
    let worker = Worker::new(config, scope, encoding, transport, (&sender, receiver), stop);
    runtime.spawn(worker.run());
    Ok(sender)
}
