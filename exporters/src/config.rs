//! The exporter's configuration, as it stands in a YAML section.
//!
//! Where the OpenTelemetry specification names a default, it is taken: OTLP over `http/protobuf`, to
//! `http://localhost:4318` (gRPC: `http://localhost:4317`), 10 s a request, no compression. The bounds of the
//! queue are larger than an SDK's, because an agent speaks for every service of a host.
//!
//! ```yaml
//! destination: otlp
//! otlp:
//!   endpoint: http://collector:4317
//!   protocol: grpc
//!   compression: gzip
//!   headers: { api-key: secret }
//! metrics:
//!   endpoint: https://metrics.example.com/v1/metrics   # used as it stands, for HTTP
//!   protocol: http/protobuf
//! batch:
//!   max_queue_size: 65536
//!   schedule_delay: 1s
//! ```

use crate::error::ConfigError;
use crate::signal::Signal;
use crate::target::Target;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What is exported, where to and how.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything goes.
    pub destination: Destination,
    /// What holds for every signal (`OTEL_EXPORTER_OTLP_*`). Its endpoint is a base: over HTTP, `v1/traces` or
    /// `v1/metrics` is appended.
    pub otlp: SignalConfig,
    /// What holds for traces only (`OTEL_EXPORTER_OTLP_TRACES_*`); each field that is set replaces that of `otlp`.
    /// Over HTTP its endpoint is the whole URL.
    pub traces: SignalConfig,
    /// What holds for metrics only (`OTEL_EXPORTER_OTLP_METRICS_*`), likewise.
    pub metrics: SignalConfig,
    /// How records are gathered into requests, and how many may wait. Holds for each signal on its own.
    pub batch: BatchConfig,
    /// How a request that failed is tried again.
    pub retry: RetryConfig,
}

impl Config {
    /// Says whether [`Exporter::start`](crate::Exporter::start) can work with this. Files are not opened.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.batch.validate()?;
        if self.destination == Destination::Otlp {
            for signal in Signal::ALL {
                Target::resolve(self, signal)?;
            }
        }
        Ok(())
    }

    /// The settings of one signal's own section.
    pub(crate) fn of(&self, signal: Signal) -> &SignalConfig {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        }
    }

    /// How long records may be gathered before they are sent.
    pub(crate) fn schedule_delay(&self) -> Duration {
        self.batch.schedule_delay.unwrap_or(match self.destination {
            Destination::Otlp => Duration::from_secs(1),
            Destination::Stdout => Duration::from_millis(200),
        })
    }
}

/// Where the records go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// To a collector over OTLP.
    #[default]
    Otlp,
    /// To standard output as OTLP/JSON, one export request a line.
    Stdout,
}

/// How OTLP is carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// Protobuf over gRPC, by convention on port 4317.
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf over HTTP/1.1, by convention on port 4318: the specification's default.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// JSON over HTTP/1.1, by convention on port 4318.
    #[serde(rename = "http/json")]
    HttpJson,
}

/// How a request's body is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all: the default.
    #[default]
    None,
    /// gzip, at its fastest level.
    Gzip,
}

/// How to reach the collector. A field that is not set falls back to `otlp`, then to the specification's default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignalConfig {
    /// A URL with the scheme `http` or `https`; for gRPC `host:port` will do. A gRPC endpoint's path is not used.
    pub endpoint: Option<String>,
    /// How OTLP is carried.
    pub protocol: Option<Protocol>,
    /// Sent with every request. A signal's headers replace those of `otlp`, they do not add to them.
    pub headers: Option<Headers>,
    /// How the body is compressed.
    pub compression: Option<Compression>,
    /// How long one attempt may take. Zero: as long as `batch.export_timeout`.
    #[serde(deserialize_with = "optional_duration")]
    pub timeout: Option<Duration>,
    /// PEM file with the certificates that may sign the collector's; without it, the system's roots.
    pub certificate: Option<PathBuf>,
    /// PEM file with the client's private key.
    pub client_key: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    pub client_certificate: Option<PathBuf>,
    /// For a gRPC endpoint without scheme: do not use TLS.
    pub insecure: Option<bool>,
}

/// Headers for every request. The values do not show in debug output: they are often secrets.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub BTreeMap<String, String>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, "…"))).finish()
    }
}

/// How records are gathered and how many may wait. The defaults hold for spans and for data points, each.
///
/// When the queue is full the newest records are dropped, as the specification's batch processor does it: what
/// waits is then whole from its start, and the sender needs no lock on what the worker is about to send.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// How many spans (or data points) may be held, those in flight included. 65,536; an SDK's is 2,048.
    pub max_queue_size: usize,
    /// How many encoded bytes may be held, those in flight included. 64 MiB.
    pub max_queue_bytes: usize,
    /// How many spans (or data points) one request carries at most. 4,096; an SDK's is 512.
    pub max_export_batch_size: usize,
    /// How many bytes one request carries at most before compression: 4 MiB, what a gRPC server takes by default.
    /// A single record that is larger is sent on its own.
    pub max_request_bytes: usize,
    /// How long the first record of a batch waits for more. 1 s to a collector, 200 ms to standard output.
    #[serde(deserialize_with = "optional_duration")]
    pub schedule_delay: Option<Duration>,
    /// How long one batch is tried, retries included, before it is dropped. 5 min. Zero: no limit.
    #[serde(deserialize_with = "duration")]
    pub export_timeout: Duration,
    /// How many requests of one signal may be under way at once. 2.
    pub max_concurrent_exports: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            max_queue_size: 65_536,
            max_queue_bytes: 64 << 20,
            max_export_batch_size: 4_096,
            max_request_bytes: 4 << 20,
            schedule_delay: None,
            export_timeout: Duration::from_secs(300),
            max_concurrent_exports: 2,
        }
    }
}

impl BatchConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        for (name, value) in [
            ("batch.max_queue_size", self.max_queue_size),
            ("batch.max_queue_bytes", self.max_queue_bytes),
            ("batch.max_export_batch_size", self.max_export_batch_size),
            ("batch.max_request_bytes", self.max_request_bytes),
            ("batch.max_concurrent_exports", self.max_concurrent_exports),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero { name });
            }
        }
        Ok(())
    }
}

/// How a failed request is tried again: the wait doubles from `initial_interval` to `max_interval`, and each wait is
/// shortened by a random part of up to a half. A wait the collector asked for is kept as it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// The first wait. 1 s.
    #[serde(deserialize_with = "duration")]
    pub initial_interval: Duration,
    /// The longest wait. 30 s.
    #[serde(deserialize_with = "duration")]
    pub max_interval: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { initial_interval: Duration::from_secs(1), max_interval: Duration::from_secs(30) }
    }
}

const DURATION: &str = "a duration such as 500ms, 10s or 5m, or a whole number of milliseconds";

/// `500ms`, `10s`, `1.5s`, `5m`, `1h`, or a whole number of milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() || (unit.is_empty() && number.contains('.')) {
        return None;
    }
    let unit = match unit.trim() {
        "" | "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DURATION)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Duration, E> {
        Ok(Duration::from_millis(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Duration, E> {
        u64::try_from(value)
            .map(Duration::from_millis)
            .map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Duration, E> {
        parse_duration(value).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Milliseconds(u64),
        Text(String),
    }
    match Option::<Written>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Milliseconds(value)) => Ok(Some(Duration::from_millis(value))),
        Some(Written::Text(text)) => parse_duration(&text)
            .map(Some)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &DURATION)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults are those of the specification, and the documented larger bounds.
    #[test]
    fn defaults() {
        let config: Config = serde_norway::from_str("{}").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.destination, Destination::Otlp);
        assert_eq!(config.schedule_delay(), Duration::from_secs(1));
        assert_eq!(config.batch.max_queue_size, 65_536);
        config.validate().unwrap();
        let stdout = Config { destination: Destination::Stdout, ..Config::default() };
        assert_eq!(stdout.schedule_delay(), Duration::from_millis(200));
    }

    /// Every field can be written in YAML, durations in several forms.
    #[test]
    fn yaml() {
        let config: Config = serde_norway::from_str(
            "destination: stdout\n\
             otlp: { endpoint: 'http://c:4317', protocol: grpc, compression: gzip, timeout: 2500, insecure: true,\n\
             \x20 headers: { api-key: secret }, certificate: /ca.pem, client_key: /k.pem, client_certificate: /c.pem }\n\
             traces: { protocol: http/json, timeout: 1.5s }\n\
             metrics: { protocol: http/protobuf, compression: none }\n\
             batch: { max_queue_size: 7, schedule_delay: 5m, export_timeout: 0 }\n\
             retry: { initial_interval: 10ms, max_interval: 1h }\n",
        )
        .unwrap();
        assert_eq!(config.destination, Destination::Stdout);
        assert_eq!(config.otlp.timeout, Some(Duration::from_millis(2_500)));
        assert_eq!(config.traces.timeout, Some(Duration::from_millis(1_500)));
        assert_eq!(config.traces.protocol, Some(Protocol::HttpJson));
        assert_eq!(config.metrics.compression, Some(Compression::None));
        assert_eq!(config.batch.schedule_delay, Some(Duration::from_secs(300)));
        assert_eq!(config.batch.export_timeout, Duration::ZERO);
        assert_eq!(config.batch.max_export_batch_size, 4_096);
        assert_eq!(config.retry.initial_interval, Duration::from_millis(10));
        assert_eq!(config.retry.max_interval, Duration::from_secs(3_600));
    }

    /// A field that does not exist, and a duration that is none, are refused.
    #[test]
    fn refusals() {
        for yaml in
            ["nothing: 1", "otlp: { endpont: x }", "otlp: { timeout: soon }", "retry: { max_interval: -1 }"]
        {
            assert!(serde_norway::from_str::<Config>(yaml).is_err(), "{yaml}");
        }
        for text in ["", "s", "1.5", "1x", "-1s", "."] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    /// Header values, often secrets, do not reach a log.
    #[test]
    fn debug_hides_header_values() {
        let config: SignalConfig = serde_norway::from_str("headers: { api-key: hunter2 }").unwrap();
        let debug = format!("{config:?}");
        assert!(debug.contains("api-key") && !debug.contains("hunter2"), "{debug}");
    }

    /// A bound of zero is refused by name.
    #[test]
    fn zero_is_refused() {
        let mut config = Config::default();
        config.batch.max_export_batch_size = 0;
        let error = config.validate().unwrap_err();
        assert!(error.to_string().contains("batch.max_export_batch_size is 0"), "{error}");
    }
}
