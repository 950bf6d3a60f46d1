//! Attributes and resources in OTLP's types.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource as Proto;
use remora_exporters::Resource;

use crate::identity::Identity;
use crate::protocol::Value;

/// The version of the semantic conventions that attributes follow.
pub const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// Attributes as OTLP has them.
pub fn attributes<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Value)>) -> Vec<KeyValue> {
    attributes.into_iter().map(|(key, value)| pair(key, value)).collect()
}

/// One attribute as OTLP has it.
pub(super) fn pair(key: impl Into<String>, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(any(value)) }), ..KeyValue::default() }
}

fn any(value: Value) -> any_value::Value {
    match value {
        Value::Text(text) => any_value::Value::StringValue(text.into_owned()),
        Value::Integer(number) => any_value::Value::IntValue(number),
        Value::Float(number) => any_value::Value::DoubleValue(number),
        Value::Flag(flag) => any_value::Value::BoolValue(flag),
        Value::List(texts) => {
            let values = texts
                .into_iter()
                .map(|text| AnyValue { value: Some(any_value::Value::StringValue(text)) })
                .collect();
            any_value::Value::ArrayValue(ArrayValue { values })
        }
    }
}

/// The resource of a process.
#[must_use]
pub fn resource(identity: &Identity) -> Arc<Resource> {
    let proto = Proto { attributes: attributes(identity.attributes.iter().cloned()), ..Proto::default() };
    Arc::new(Resource::new(proto, SCHEMA))
}
