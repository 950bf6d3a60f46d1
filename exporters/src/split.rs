//! Metrics that are too large for one request are cut: between scopes, else between metrics, else between points.

use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data};
use prost::Message;

/// Cuts what is larger than `max_bytes` into pieces that are not, in the same order. A single data point stays whole.
pub(crate) fn split(metrics: Vec<ResourceMetrics>, max_bytes: usize) -> Vec<ResourceMetrics> {
    let mut pieces = Vec::with_capacity(metrics.len());
    for record in metrics {
        // The field's tag and length come on top.
        cut(record, max_bytes.saturating_sub(8), &mut pieces);
    }
    pieces
}

fn cut(mut record: ResourceMetrics, max_bytes: usize, pieces: &mut Vec<ResourceMetrics>) {
    if record.encoded_len() > max_bytes
        && let Some(rest) = halve(&mut record)
    {
        cut(record, max_bytes, pieces);
        cut(rest, max_bytes, pieces);
    } else {
        pieces.push(record);
    }
}

/// Takes the second half off, unless there is nothing to halve.
fn halve(record: &mut ResourceMetrics) -> Option<ResourceMetrics> {
    let scope_metrics = match record.scope_metrics.as_mut_slice() {
        [scope] => {
            let metrics = match scope.metrics.as_mut_slice() {
                [metric] => vec![Metric {
                    name: metric.name.clone(),
                    description: metric.description.clone(),
                    unit: metric.unit.clone(),
                    metadata: metric.metadata.clone(),
                    data: Some(halve_data(metric.data.as_mut()?)?),
                }],
                _ => second_half(&mut scope.metrics)?,
            };
            vec![ScopeMetrics { scope: scope.scope.clone(), metrics, schema_url: scope.schema_url.clone() }]
        }
        _ => second_half(&mut record.scope_metrics)?,
    };
    let (resource, schema_url) = (record.resource.clone(), record.schema_url.clone());
    Some(ResourceMetrics { resource, scope_metrics, schema_url })
}

fn halve_data(data: &mut Data) -> Option<Data> {
    macro_rules! halve {
        ($data:expr, $kind:path) => {{
            let rest = second_half(&mut $data.data_points)?;
            // Only the other fields are cloned, not the points.
            let first = std::mem::take(&mut $data.data_points);
            let mut second = $data.clone();
            $data.data_points = first;
            second.data_points = rest;
            $kind(second)
        }};
    }
    Some(match data {
        Data::Gauge(data) => halve!(data, Data::Gauge),
        Data::Sum(data) => halve!(data, Data::Sum),
        Data::Histogram(data) => halve!(data, Data::Histogram),
        Data::ExponentialHistogram(data) => halve!(data, Data::ExponentialHistogram),
        Data::Summary(data) => halve!(data, Data::Summary),
    })
}

fn second_half<T>(all: &mut Vec<T>) -> Option<Vec<T>> {
    (all.len() > 1).then(|| all.split_off(all.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Record;
    use crate::test_support::metrics;

    /// Pieces fit, and together are what was cut, in order.
    #[test]
    fn pieces_fit() {
        let mut record = metrics(0, 100);
        record.scope_metrics[0].metrics.extend(metrics(1, 50).scope_metrics.remove(0).metrics);
        record.scope_metrics.extend(metrics(2, 1).scope_metrics);
        for max in [1_000_000, 2_000, 300, 130] {
            let pieces = split(vec![record.clone()], max);
            assert_eq!(pieces.len() == 1, max == 1_000_000);
            assert!(
                pieces
                    .iter()
                    .all(|piece| piece.encoded_len() + 8 <= max && piece.resource == record.resource)
            );
            let points = |records: &[ResourceMetrics]| -> Vec<(String, i64)> {
                let scopes = records.iter().flat_map(|record| &record.scope_metrics);
                scopes.flat_map(|scope| &scope.metrics).flat_map(named_points).collect()
            };
            assert_eq!(points(&pieces), points(std::slice::from_ref(&record)), "{max}");
        }
    }

    /// What cannot be cut stays whole.
    #[test]
    fn one_point_stays_whole() {
        assert_eq!(split(vec![metrics(0, 1)], 0), [metrics(0, 1)]);
        assert_eq!(split(vec![metrics(0, 3)], 0).iter().map(Record::items).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(split(vec![ResourceMetrics::default()], 0).len(), 1);
    }

    fn named_points(metric: &Metric) -> Vec<(String, i64)> {
        use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
        let Some(Data::Gauge(gauge)) = &metric.data else { panic!("{metric:?}") };
        let value = |value: &Option<Value>| match value {
            Some(Value::AsInt(value)) => *value,
            other => panic!("{other:?}"),
        };
        gauge.data_points.iter().map(|point| (metric.name.clone(), value(&point.value))).collect()
    }
}
