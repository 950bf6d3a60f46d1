//! Coverage: what part of what the kernel saw became spans, and what was lost on the way, by name.
//!
//! Every counter is a metric `remora.coverage.NAME`, a sum; the log tells those of a loss at the end.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use remora_abi::loss::Counter;
use remora_exporters::Exporter;
use rustc_hash::FxHashMap;

use crate::identity::Store;
use crate::metrics::{Temporality, scope};
use crate::probes::{KernelCounters, counter_description, counter_name};
use crate::protocol::Value;
use crate::stream::{Counters, Snapshot};
use crate::trace::attributes;

/// One counter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Without the prefix `remora.coverage.`.
    pub name: &'static str,
    /// What it counts.
    pub description: &'static str,
    /// `reason`, where one counter has several.
    pub reason: Option<&'static str>,
    /// Since the agent's start.
    pub value: u64,
    /// Something that should have become a span, or part of one, did not.
    pub is_loss: bool,
}

/// All that is counted.
pub struct Coverage {
    kernel: Option<KernelCounters>,
    shards: Vec<Arc<Counters>>,
    store: Arc<Store>,
    exporter: Option<Exporter>,
    /// The agent's start, wall clock in nanoseconds.
    start: u64,
    /// What was told last, and when, if only the difference is told.
    told: Option<Mutex<Told>>,
}

/// The values of the last time.
#[derive(Default)]
struct Told {
    /// Wall clock in nanoseconds.
    time: u64,
    values: FxHashMap<(&'static str, Option<&'static str>), u64>,
}

impl Coverage {
    /// Gathers these counters.
    #[must_use]
    pub fn new(
        kernel: Option<KernelCounters>,
        shards: Vec<Arc<Counters>>,
        store: Arc<Store>,
        exporter: Option<Exporter>,
        start: u64,
    ) -> Self {
        Self { kernel, shards, store, exporter, start, told: None }
    }

    /// The same, told with the temporality that the user wants. These are counted cumulatively where they come from, so for
    /// low memory they stay so.
    #[must_use]
    pub fn with_temporality(self, temporality: Temporality) -> Self {
        let told = (temporality == Temporality::Delta).then(|| Mutex::new(Told::default()));
        Self { told, ..self }
    }

    /// The programs are about to be taken off: what they count from now on does not count.
    pub fn close_kernel(&mut self) {
        if let Some(kernel) = &mut self.kernel {
            kernel.close();
        }
    }

    /// The present values.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        let mut add = |name, description, reason, value, is_loss| {
            points.push(Point { name, description, reason, value, is_loss });
        };
        if let Some(values) = self.kernel.as_ref().and_then(KernelCounters::read) {
            for (counter, value) in Counter::ALL.into_iter().zip(values) {
                // What was not copied is a loss only if a parser had needed it, and then the parser counts it.
                let measure = matches!(
                    counter,
                    Counter::Segments
                        | Counter::Bytes
                        | Counter::CapturedBytes
                        | Counter::OverBudget
                        | Counter::Unreachable
                        | Counter::Pieces
                        | Counter::Datagrams
                );
                add(counter_name(counter), counter_description(counter), None, value, !measure);
            }
        }
        if let Some(kernel) = &self.kernel {
            let description =
                "Events at which the kernel skipped a program that was running on that CPU already.";
            add("skipped_programs", description, None, kernel.missed(), true);
        }
        let mut sum = Snapshot::default();
        for shard in &self.shards {
            sum.add(&shard.snapshot());
        }
        for (name, value, description) in sum.list() {
            let measure = matches!(
                name,
                "connections" | "datagram_pairs" | "exchanges" | "turns" | "held_segments" | "gap_bytes"
            );
            add(name, description.trim(), None, value, !measure);
        }
        let identities = self.store.counters();
        add(
            "processes_evicted",
            "Processes forgotten because there were too many.",
            None,
            identities.evicted,
            true,
        );
        if let Some(exporter) = &self.exporter {
            let statistics = exporter.statistics();
            add(
                "spans_exported",
                "Spans that the destination took.",
                None,
                statistics.traces.exported,
                false,
            );
            for (reason, value) in statistics.traces.dropped.by_reason() {
                add("spans_dropped", "Spans that did not reach the destination.", Some(reason), value, true);
            }
            let points = &statistics.metrics;
            add(
                "points_exported",
                "Points of metrics that the destination took.",
                None,
                points.exported,
                false,
            );
            for (reason, value) in points.dropped.by_reason() {
                let description = "Points of metrics that did not reach the destination.";
                add("points_dropped", description, Some(reason), value, true);
            }
        }
        points
    }

    /// The present values as metrics, at `now` (wall clock in nanoseconds).
    #[must_use]
    pub fn metrics(&self, now: u64) -> ResourceMetrics {
        let mut metrics: Vec<Metric> = Vec::new();
        let mut told = self.told.as_ref().map(|told| told.lock().unwrap_or_else(PoisonError::into_inner));
        let start = match &mut told {
            Some(told) => std::mem::replace(&mut told.time, now).max(self.start),
            None => self.start,
        };
        let temporality = match told {
            Some(_) => AggregationTemporality::Delta,
            None => AggregationTemporality::Cumulative,
        };
        for mut point in self.points() {
            if let Some(told) = &mut told {
                let last = told.values.insert((point.name, point.reason), point.value);
                point.value = point.value.saturating_sub(last.unwrap_or(0));
            }
            let name = format!("remora.coverage.{}", point.name);
            let reason = point.reason.map(|reason| ("reason", Value::Text(reason.into())));
            let data = NumberDataPoint {
                attributes: attributes(reason),
                start_time_unix_nano: start,
                time_unix_nano: now,
                value: Some(number_data_point::Value::AsInt(i64::try_from(point.value).unwrap_or(i64::MAX))),
                ..NumberDataPoint::default()
            };
            if let Some(metric::Data::Sum(sum)) =
                metrics.last_mut().filter(|last| last.name == name).and_then(|last| last.data.as_mut())
            {
                sum.data_points.push(data);
                continue;
            }
            metrics.push(Metric {
                name,
                description: point.description.to_owned(),
                unit: if point.name.contains("bytes") { "By" } else { "1" }.to_owned(),
                data: Some(metric::Data::Sum(Sum {
                    data_points: vec![data],
                    aggregation_temporality: temporality as i32,
                    is_monotonic: true,
                })),
                ..Metric::default()
            });
        }
        ResourceMetrics {
            resource: Some(self.resource()),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }
    }

    /// The agent itself.
    fn resource(&self) -> Resource {
        let text = |text: &str| Value::Text(text.to_owned().into());
        let mut own: Vec<KeyValue> = attributes([
            ("service.name", text("remora")),
            ("service.version", text(env!("CARGO_PKG_VERSION"))),
            ("process.pid", Value::Integer(std::process::id().into())),
        ]);
        own.extend(attributes(self.store.host().attributes()));
        Resource { attributes: own, ..Resource::default() }
    }

    /// One line for the log: what was seen, and every loss there was.
    #[must_use]
    pub fn summary(&self) -> String {
        let points = self.points();
        let value = |name| points.iter().filter(|p| p.name == name).map(|p| p.value).sum::<u64>();
        let mut line = format!(
            "{} segments, {} bytes seen and {} copied, {} connections, {} exchanges told, {} spans exported; ",
            value("segments"),
            value("bytes"),
            value("captured_bytes"),
            value("connections"),
            value("exchanges"),
            value("spans_exported"),
        );
        let losses: Vec<String> = points
            .iter()
            .filter(|point| point.is_loss && point.value > 0)
            .map(|point| match point.reason {
                Some(reason) => format!("{} ({reason}) {}", point.name, point.value),
                None => format!("{} {}", point.name, point.value),
            })
            .collect();
        if losses.is_empty() {
            line.push_str("nothing lost");
        } else {
            line.push_str("not covered: ");
            line.push_str(&losses.join(", "));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page for users names every counter, with its unit.
    #[test]
    fn every_counter_is_documented() {
        let page = include_str!("../../docs/coverage.md");
        let store =
            Arc::new(Store::new(crate::identity::Host::default(), crate::identity::Settings::default()));
        let coverage = Coverage::new(None, vec![Arc::default()], store, None, 0);
        let names = coverage.points().into_iter().map(|point| point.name);
        let kernel = Counter::ALL.into_iter().map(counter_name);
        for name in names.chain(kernel).chain([
            "skipped_programs",
            "spans_exported",
            "spans_dropped",
            "points_exported",
            "points_dropped",
        ]) {
            let unit = if name.contains("bytes") { "By" } else { "1" };
            assert!(page.contains(&format!("| `{name}` | {unit} |")), "docs/coverage.md lacks {name}");
        }
    }

    /// A loss has one line in the log, and no loss says so.
    #[test]
    fn the_summary_names_losses() {
        let store =
            Arc::new(Store::new(crate::identity::Host::default(), crate::identity::Settings::default()));
        let counters: Arc<Counters> = Arc::default();
        let coverage = Coverage::new(None, vec![Arc::clone(&counters)], store, None, 0);
        assert!(coverage.summary().ends_with("nothing lost"), "{}", coverage.summary());
        Counters::bump(&counters.unparsed_bytes, 7);
        Counters::bump(&counters.connections, 3);
        assert!(coverage.summary().ends_with("not covered: unparsed_bytes 7"), "{}", coverage.summary());
        let metrics = coverage.metrics(5);
        let metric =
            metrics.scope_metrics[0].metrics.iter().find(|m| m.name == "remora.coverage.unparsed_bytes");
        let Some(metric::Data::Sum(sum)) = metric.and_then(|metric| metric.data.as_ref()) else { panic!() };
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(7)));
        assert!(sum.is_monotonic);
    }

    /// With delta temporality, what was told is not told again.
    #[test]
    fn delta() {
        let store =
            Arc::new(Store::new(crate::identity::Host::default(), crate::identity::Settings::default()));
        let counters: Arc<Counters> = Arc::default();
        let coverage = Coverage::new(None, vec![Arc::clone(&counters)], store, None, 3);
        let coverage = coverage.with_temporality(Temporality::Delta);
        let mut told = Vec::new();
        for (now, more) in [(5, 7), (9, 0), (20, 2)] {
            Counters::bump(&counters.connections, more);
            let metrics = coverage.metrics(now);
            let metric =
                metrics.scope_metrics[0].metrics.iter().find(|m| m.name == "remora.coverage.connections");
            let Some(metric::Data::Sum(sum)) = metric.and_then(|metric| metric.data.as_ref()) else {
                panic!()
            };
            assert_eq!(sum.aggregation_temporality, AggregationTemporality::Delta as i32);
            let point = &sum.data_points[0];
            let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!() };
            told.push((value, point.start_time_unix_nano, point.time_unix_nano));
        }
        assert_eq!(told, [(7, 3, 5), (0, 5, 9), (2, 9, 20)]);
    }
}
