//! What the tests of this room share.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, ResourceMetrics, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource as Proto;
use remora_exporters::Resource;

use crate::protocol::{Instrument, Reading, Role, Value};

pub static COUNT: Instrument = Instrument {
    name: "test.count",
    unit: "{thing}",
    description: "Things.",
    role: None,
    reading: Reading::One,
    keys: &["key"],
};

pub static DURATION: Instrument = Instrument {
    name: "test.duration",
    unit: "s",
    description: "Times.",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: &["key", "other"],
};

pub static SIZE: Instrument = Instrument {
    name: "test.size",
    unit: "By",
    description: "Sizes.",
    role: None,
    reading: Reading::Attribute("size"),
    keys: &["key"],
};

pub static BYTES: Instrument = Instrument {
    name: "test.io",
    unit: "By",
    description: "Bytes.",
    role: None,
    reading: Reading::Sum("size"),
    keys: &["other", "key"],
};

/// A service's resource; a new object each time.
pub fn resource(service: &str) -> Arc<Resource> {
    let name = Value::Text(service.to_owned().into());
    let attributes = crate::trace::attributes([("service.name", name)]);
    Arc::new(Resource::from(Proto { attributes, ..Proto::default() }))
}

/// The name of a resource's service.
pub fn service(metrics: &ResourceMetrics) -> String {
    let resource = metrics.resource.as_ref().unwrap();
    match resource.attributes[0].value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(name)) => name.clone(),
        other => panic!("{other:?}"),
    }
}

/// All points of a histogram.
pub fn exponential(metrics: &[ResourceMetrics]) -> Vec<ExponentialHistogramDataPoint> {
    let all = metrics.iter().flat_map(|of_service| &of_service.scope_metrics[0].metrics);
    all.filter_map(|metric| match &metric.data {
        Some(Data::ExponentialHistogram(histogram)) => Some(histogram.data_points.clone()),
        _ => None,
    })
    .flatten()
    .collect()
}

/// Service, name, value, start and end of each point of a sum.
pub fn sums(metrics: &[ResourceMetrics]) -> Vec<(String, String, i64, u64, u64)> {
    let mut found = Vec::new();
    for of_service in metrics {
        for metric in &of_service.scope_metrics[0].metrics {
            let Some(Data::Sum(sum)) = &metric.data else { continue };
            assert!(sum.is_monotonic);
            for point in &sum.data_points {
                let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!() };
                let times = (point.start_time_unix_nano, point.time_unix_nano);
                found.push((service(of_service), metric.name.clone(), value, times.0, times.1));
            }
        }
    }
    found.sort();
    found
}
