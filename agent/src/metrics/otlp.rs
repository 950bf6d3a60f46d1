//! Metrics in OTLP's types.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar as ProtoExemplar, ExponentialHistogram, ExponentialHistogramDataPoint,
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
    metric, number_data_point,
};
use remora_exporters::Resource;

use super::aggregate::{Aggregate, Exemplar};
use crate::protocol::{Attribute, Instrument};
use crate::trace::{SCHEMA, attributes};

/// The interval that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Its beginning, wall clock in nanoseconds.
    pub start: u64,
    /// Its end.
    pub end: u64,
    /// Wall clock minus monotonic, nanoseconds.
    pub clock_offset: i64,
}

/// One series as it is told.
pub struct Point<'a> {
    /// When it was empty, wall clock in nanoseconds.
    pub start: u64,
    /// Its attributes.
    pub attributes: &'a [Attribute],
    /// Its readings.
    pub aggregate: &'a Aggregate,
    /// The one that stands for them.
    pub exemplar: Option<Exemplar>,
}

/// The scope of all metrics.
#[must_use]
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "remora".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The metrics of a service.
#[must_use]
pub fn of_service(resource: &Resource, metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(resource.proto().clone()),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: SCHEMA.to_owned() }],
        schema_url: resource.schema_url().to_owned(),
    }
}

/// One metric: its points are all of one kind.
pub fn metric<'a>(
    instrument: &Instrument,
    points: impl Iterator<Item = Point<'a>>,
    interval: &Interval,
    delta: bool,
) -> Metric {
    let temporality =
        if delta { AggregationTemporality::Delta } else { AggregationTemporality::Cumulative } as i32;
    let (mut sums, mut exponential, mut explicit) = (Vec::new(), Vec::new(), Vec::new());
    for point in points {
        match point.aggregate {
            Aggregate::Sum(sum) => sums.push(NumberDataPoint {
                attributes: attributes(point.attributes.iter().cloned()),
                start_time_unix_nano: point.start,
                time_unix_nano: interval.end,
                value: Some(number_data_point::Value::AsInt(i64::try_from(*sum).unwrap_or(i64::MAX))),
                ..NumberDataPoint::default()
            }),
            Aggregate::Exponential(histogram) => {
                let (offset, buckets) = histogram.buckets();
                let range = histogram.range();
                exponential.push(ExponentialHistogramDataPoint {
                    attributes: attributes(point.attributes.iter().cloned()),
                    start_time_unix_nano: point.start,
                    time_unix_nano: interval.end,
                    count: histogram.count(),
                    sum: Some(histogram.sum()),
                    scale: histogram.scale(),
                    zero_count: histogram.zeros(),
                    positive: Some(Buckets { offset, bucket_counts: buckets.to_vec() }),
                    exemplars: exemplars(point.exemplar, interval),
                    min: range.map(|(min, _)| min),
                    max: range.map(|(_, max)| max),
                    ..ExponentialHistogramDataPoint::default()
                });
            }
            Aggregate::Explicit(histogram) => {
                let range = histogram.range();
                explicit.push(HistogramDataPoint {
                    attributes: attributes(point.attributes.iter().cloned()),
                    start_time_unix_nano: point.start,
                    time_unix_nano: interval.end,
                    count: histogram.count(),
                    sum: Some(histogram.sum()),
                    bucket_counts: histogram.counts().to_vec(),
                    explicit_bounds: histogram.boundaries().to_vec(),
                    exemplars: exemplars(point.exemplar, interval),
                    min: range.map(|(min, _)| min),
                    max: range.map(|(_, max)| max),
                    ..HistogramDataPoint::default()
                });
            }
        }
    }
    let data = if !exponential.is_empty() {
        metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: exponential,
            aggregation_temporality: temporality,
        })
    } else if !explicit.is_empty() {
        metric::Data::Histogram(Histogram { data_points: explicit, aggregation_temporality: temporality })
    } else {
        metric::Data::Sum(Sum { data_points: sums, aggregation_temporality: temporality, is_monotonic: true })
    };
    Metric {
        name: instrument.name.to_owned(),
        description: instrument.description.to_owned(),
        unit: instrument.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn exemplars(exemplar: Option<Exemplar>, interval: &Interval) -> Vec<ProtoExemplar> {
    let exemplar = exemplar.map(|exemplar| ProtoExemplar {
        time_unix_nano: exemplar.time.saturating_add_signed(interval.clock_offset),
        span_id: exemplar.span.to_vec(),
        trace_id: exemplar.trace.to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        ..ProtoExemplar::default()
    });
    exemplar.into_iter().collect()
}
