//! Records for tests.

use crate::batch::SpanRecord;
use crate::resource::Resource;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource as Proto;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use std::sync::Arc;

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn resource(service: &str) -> Resource {
    let attributes = vec![attribute("service.name", Value::StringValue(service.to_owned()))];
    Resource::from(Proto { attributes, ..Proto::default() })
}

/// The span with this number, of one of three services.
pub(crate) fn span(number: u64) -> SpanRecord {
    let resource = Arc::new(resource(&format!("service {}", number % 3)));
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: number.to_be_bytes().to_vec(),
        name: format!("span {number}"),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000 + number,
        end_time_unix_nano: 1_700_000_000_000_001_000 + number,
        attributes: vec![
            attribute("number", Value::IntValue(i64::MIN)),
            attribute("flag", Value::BoolValue(true)),
        ],
        status: Some(Status { message: String::new(), code: 2 }),
        ..Span::default()
    };
    SpanRecord { resource, span }
}

/// A gauge with so many data points.
pub(crate) fn metrics(number: u64, points: i64) -> ResourceMetrics {
    let point = |value| NumberDataPoint {
        time_unix_nano: 1_700_000_000_000_000_000,
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    };
    let gauge = Gauge { data_points: (0..points).map(point).collect() };
    let metric = Metric {
        name: format!("metric {number}"),
        data: Some(metric::Data::Gauge(gauge)),
        ..Metric::default()
    };
    ResourceMetrics {
        resource: Some(resource("metrics").proto().clone()),
        scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }],
        schema_url: String::new(),
    }
}
