//! The standard environment variables, read over a configuration.
//!
//! The environment wins over the file it is applied to, variable by variable; a variable that is empty counts as not
//! set (OpenTelemetry specification, "Environment variable configuration"). A value that cannot be read is an error
//! rather than a warning: an agent that quietly exports elsewhere is worse than one that does not start.

use crate::config::{Compression, Config, Headers, Protocol, SignalConfig};
use crate::error::ConfigError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

impl Config {
    /// Applies `OTEL_EXPORTER_OTLP_*`, its forms for `TRACES` and `METRICS`, and `OTEL_BSP_*`, as `lookup` gives them
    /// (usually `|name| std::env::var(name).ok()`).
    ///
    /// # Errors
    ///
    /// The first variable whose value cannot be read.
    pub fn apply_env(&mut self, lookup: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        let lookup = |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
        apply_signal(&mut self.otlp, "OTEL_EXPORTER_OTLP_", &lookup)?;
        apply_signal(&mut self.traces, "OTEL_EXPORTER_OTLP_TRACES_", &lookup)?;
        apply_signal(&mut self.metrics, "OTEL_EXPORTER_OTLP_METRICS_", &lookup)?;

        let batch = &mut self.batch;
        set(&lookup, "OTEL_BSP_SCHEDULE_DELAY", MILLISECONDS, milliseconds, |v| {
            batch.schedule_delay = Some(v)
        })?;
        set(&lookup, "OTEL_BSP_EXPORT_TIMEOUT", MILLISECONDS, milliseconds, |v| batch.export_timeout = v)?;
        set(&lookup, "OTEL_BSP_MAX_QUEUE_SIZE", COUNT, count, |v| batch.max_queue_size = v)?;
        set(&lookup, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", COUNT, count, |v| batch.max_export_batch_size = v)
    }
}

const MILLISECONDS: &str = "a whole number of milliseconds, such as 10000";
const COUNT: &str = "a whole number of at least 1";

fn apply_signal(
    config: &mut SignalConfig,
    prefix: &str,
    lookup: &impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    let path = |text: &str| Some(PathBuf::from(text));
    let name = |suffix: &str| format!("{prefix}{suffix}");
    set(lookup, &name("ENDPOINT"), "a URL", |v| Some(v.to_owned()), |v| config.endpoint = Some(v))?;
    set(lookup, &name("PROTOCOL"), "grpc, http/protobuf or http/json", protocol, |v| {
        config.protocol = Some(v)
    })?;
    set(lookup, &name("COMPRESSION"), "gzip or none", compression, |v| config.compression = Some(v))?;
    set(lookup, &name("TIMEOUT"), MILLISECONDS, milliseconds, |v| config.timeout = Some(v))?;
    set(lookup, &name("CERTIFICATE"), "a path", path, |v| config.certificate = Some(v))?;
    set(lookup, &name("CLIENT_KEY"), "a path", path, |v| config.client_key = Some(v))?;
    set(lookup, &name("CLIENT_CERTIFICATE"), "a path", path, |v| config.client_certificate = Some(v))?;
    set(lookup, &name("INSECURE"), "true or false", boolean, |v| config.insecure = Some(v))?;
    if let Some(text) = lookup(&name("HEADERS")) {
        // The text is not repeated in the error: it may hold secrets.
        let headers = headers(&text).ok_or_else(|| ConfigError::Value {
            name: name("HEADERS"),
            value: "…".to_owned(),
            expected: "key1=value1,key2=value2, with values percent-encoded",
        })?;
        config.headers = Some(headers);
    }
    Ok(())
}

fn set<T>(
    lookup: &impl Fn(&str) -> Option<String>,
    name: &str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
    store: impl FnOnce(T),
) -> Result<(), ConfigError> {
    if let Some(text) = lookup(name) {
        let value = parse(&text).ok_or_else(|| ConfigError::Value {
            name: name.to_owned(),
            value: text,
            expected,
        })?;
        store(value);
    }
    Ok(())
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}

fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| *count > 0)
}

fn boolean(text: &str) -> Option<bool> {
    // The specification reads everything but a case-insensitive "true" as false; here a typo is told.
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case("false").then_some(false)
    }
}

// The specification wants the known values of enumerations read whatever their case.
fn protocol(text: &str) -> Option<Protocol> {
    match text.to_ascii_lowercase().as_str() {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" => Some(Protocol::HttpProtobuf),
        "http/json" => Some(Protocol::HttpJson),
        _ => None,
    }
}

fn compression(text: &str) -> Option<Compression> {
    match text.to_ascii_lowercase().as_str() {
        "gzip" => Some(Compression::Gzip),
        "none" => Some(Compression::None),
        _ => None,
    }
}

/// `key1=value1,key2=value2` as in W3C Baggage without properties: white space around keys and values is left out,
/// values are percent-decoded. Nothing if a member has no `=`, no key, or a value that is not UTF-8 once decoded.
fn headers(text: &str) -> Option<Headers> {
    let mut headers = BTreeMap::new();
    for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        let (name, value) = member.split_once('=')?;
        let name = name.trim();
        if name.is_empty() {
            return None;
        }
        headers.insert(name.to_ascii_lowercase(), percent_decode(value.trim())?);
    }
    Some(Headers(headers))
}

/// Undoes percent-encoding. A `%` without two hexadecimal digits stands for itself.
fn percent_decode(text: &str) -> Option<String> {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let value = match (byte, hex(bytes.get(at)), hex(bytes.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                at += 2;
                u8::try_from(high * 16 + low).ok()?
            }
            _ => byte,
        };
        decoded.push(value);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        config.apply_env(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })?;
        Ok(config)
    }

    /// Each variable reaches its field, the general ones and those of a signal.
    #[test]
    fn every_variable() {
        for (prefix, field) in [
            ("OTEL_EXPORTER_OTLP_", (|c: &Config| c.otlp.clone()) as fn(&Config) -> SignalConfig),
            ("OTEL_EXPORTER_OTLP_TRACES_", |c| c.traces.clone()),
            ("OTEL_EXPORTER_OTLP_METRICS_", |c| c.metrics.clone()),
        ] {
            let variables: Vec<(String, &str)> = [
                ("ENDPOINT", "https://collector:4317"),
                ("PROTOCOL", "GRPC"),
                ("HEADERS", "Api-Key = a%20b%2Cc , tenant=x=y,"),
                ("COMPRESSION", "gzip"),
                ("TIMEOUT", "1500"),
                ("CERTIFICATE", "/ca.pem"),
                ("CLIENT_KEY", "/key.pem"),
                ("CLIENT_CERTIFICATE", "/cert.pem"),
                ("INSECURE", "True"),
            ]
            .into_iter()
            .map(|(suffix, value)| (format!("{prefix}{suffix}"), value))
            .collect();
            let borrowed: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (n.as_str(), *v)).collect();
            let headers = [("api-key", "a b,c"), ("tenant", "x=y")];
            let config = apply(&borrowed).unwrap();
            assert_eq!(
                field(&config),
                SignalConfig {
                    endpoint: Some("https://collector:4317".into()),
                    protocol: Some(Protocol::Grpc),
                    headers: Some(Headers(headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into())),
                    compression: Some(Compression::Gzip),
                    timeout: Some(Duration::from_millis(1_500)),
                    certificate: Some("/ca.pem".into()),
                    client_key: Some("/key.pem".into()),
                    client_certificate: Some("/cert.pem".into()),
                    insecure: Some(true),
                }
            );
        }
    }

    /// The batch processor's variables set the batch, for every signal.
    #[test]
    fn batch() {
        let config = apply(&[
            ("OTEL_BSP_SCHEDULE_DELAY", "250"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "30000"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "2048"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512"),
        ])
        .unwrap();
        assert_eq!(config.batch.schedule_delay, Some(Duration::from_millis(250)));
        assert_eq!(config.batch.export_timeout, Duration::from_secs(30));
        assert_eq!((config.batch.max_queue_size, config.batch.max_export_batch_size), (2_048, 512));
    }

    /// An empty variable is as good as none.
    #[test]
    fn empty_is_unset() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", " "),
            ("OTEL_BSP_MAX_QUEUE_SIZE", ""),
        ];
        assert_eq!(apply(&variables).unwrap(), Config::default());
    }

    /// A value that cannot be read is told with the variable's name and what may stand there.
    #[test]
    fn errors_name_the_variable() {
        for (name, value, expected) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http", "grpc, http/protobuf or http/json"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd", "gzip or none"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "yes", "true or false"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "at least 1"),
        ] {
            let error = apply(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(expected), "{error}");
        }
        let error = apply(&[("OTEL_EXPORTER_OTLP_HEADERS", "secret")]).unwrap_err().to_string();
        assert!(error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("secret"), "{error}");
    }

    /// Percent-decoding leaves a stray `%` alone and refuses what is not UTF-8.
    #[test]
    fn percent() {
        assert_eq!(percent_decode("Basic%20YQ%3D%3D").as_deref(), Some("Basic YQ=="));
        assert_eq!(percent_decode("100%").as_deref(), Some("100%"));
        assert_eq!(percent_decode("%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!(percent_decode("%ff"), None);
    }
}
