//! Prints the effective configuration (`--print-config`): YAML that could be read back, but for the secrets.

use std::time::Duration;

use remora_exporters::{
    BatchConfig, Compression, Config as Export, Destination, Headers, Protocol, RetryConfig, SignalConfig,
};
use serde_norway::{Mapping, Value, to_value};

use super::Config;
use crate::identity::redact;

impl Config {
    /// The configuration as YAML, every key in it, header values and passwords in URLs redacted.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let Self { export, probes, capture, http, protocols, identity, metrics, log, disabled } = self;
        let document = mapping([
            ("export", self::export(export)),
            ("probes", value(probes)),
            ("capture", value(capture)),
            ("http", value(http)),
            ("protocols", value(protocols)),
            ("identity", value(identity)),
            ("metrics", value(metrics)),
            ("log", value(log)),
        ]);
        let yaml = serde_norway::to_string(&document).unwrap_or_default();
        if *disabled {
            format!("# OTEL_SDK_DISABLED=true: nothing is attached and nothing exported.\n{yaml}")
        } else {
            yaml
        }
    }
}

// The patterns below name every field, so that a new one cannot be forgotten here.

fn export(config: &Export) -> Value {
    let Export { destination, otlp, traces, metrics, batch, retry } = config;
    let destination = match destination {
        Destination::Otlp => "otlp",
        Destination::Stdout => "stdout",
    };
    mapping([
        ("destination", destination.into()),
        ("otlp", signal(otlp)),
        ("traces", signal(traces)),
        ("metrics", signal(metrics)),
        ("batch", self::batch(batch)),
        ("retry", self::retry(retry)),
    ])
}

fn signal(config: &SignalConfig) -> Value {
    let SignalConfig {
        endpoint,
        protocol,
        headers,
        compression,
        timeout,
        certificate,
        client_key,
        client_certificate,
        insecure,
    } = config;
    let endpoint = endpoint.clone().map(|mut endpoint| {
        redact::user_information(&mut endpoint);
        endpoint
    });
    let protocol = protocol.map(|protocol| match protocol {
        Protocol::Grpc => "grpc",
        Protocol::HttpProtobuf => "http/protobuf",
        Protocol::HttpJson => "http/json",
    });
    let compression = compression.map(|compression| match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
    });
    let headers = headers.as_ref().map(|Headers(headers)| {
        headers
            .keys()
            .map(|name| (Value::from(name.clone()), Value::from(redact::REDACTED)))
            .collect::<Mapping>()
    });
    mapping([
        ("endpoint", value(&endpoint)),
        ("protocol", value(&protocol)),
        ("headers", value(&headers)),
        ("compression", value(&compression)),
        ("timeout", value(&timeout.map(duration))),
        ("certificate", value(certificate)),
        ("client_key", value(client_key)),
        ("client_certificate", value(client_certificate)),
        ("insecure", value(insecure)),
    ])
}

fn batch(config: &BatchConfig) -> Value {
    let BatchConfig {
        max_queue_size,
        max_queue_bytes,
        max_export_batch_size,
        max_request_bytes,
        schedule_delay,
        export_timeout,
        max_concurrent_exports,
    } = config;
    mapping([
        ("max_queue_size", value(max_queue_size)),
        ("max_queue_bytes", value(max_queue_bytes)),
        ("max_export_batch_size", value(max_export_batch_size)),
        ("max_request_bytes", value(max_request_bytes)),
        ("schedule_delay", value(&schedule_delay.map(duration))),
        ("export_timeout", value(&duration(*export_timeout))),
        ("max_concurrent_exports", value(max_concurrent_exports)),
    ])
}

fn retry(config: &RetryConfig) -> Value {
    let RetryConfig { initial_interval, max_interval } = config;
    mapping([
        ("initial_interval", value(&duration(*initial_interval))),
        ("max_interval", value(&duration(*max_interval))),
    ])
}

/// Whole seconds as such, anything else in milliseconds.
fn duration(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_secs_f64() * 1000.0)
    }
}

fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Value {
    entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect::<Mapping>().into()
}

fn value(value: &impl serde::Serialize) -> Value {
    // Strings, numbers and paths only: none of them can fail, but for a path that is not UTF-8.
    to_value(value).unwrap_or(Value::Null)
}
