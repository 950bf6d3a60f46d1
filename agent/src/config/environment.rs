//! The standard `OTEL_*` variables of the agent itself. A value that is empty counts as not set.

use super::{Config, ConfigError, LogLevel};
use crate::identity::{host_wide, otel_env};
use crate::metrics::{Histogram, Temporality};

impl Config {
    /// Applies `OTEL_SDK_DISABLED`, `OTEL_LOG_LEVEL`, `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_RESOURCE_ATTRIBUTES`, how
    /// metrics are told, and what the exporters read.
    pub(super) fn apply_environment(
        &mut self,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let get =
            |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        if let Some(value) = get("OTEL_SDK_DISABLED") {
            // The specification knows one true value, in any case; a typo is told rather than taken for false.
            self.disabled = match value.to_ascii_lowercase().as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(variable("OTEL_SDK_DISABLED", value, "true or false")),
            };
        }
        if let Some(value) = get("OTEL_LOG_LEVEL") {
            self.log.level = match value.to_ascii_lowercase().as_str() {
                "off" | "none" => LogLevel::Off,
                "error" | "fatal" => LogLevel::Error,
                "warn" | "warning" => LogLevel::Warn,
                "info" => LogLevel::Info,
                "debug" => LogLevel::Debug,
                "trace" | "all" | "verbose" => LogLevel::Trace,
                _ => return Err(variable("OTEL_LOG_LEVEL", value, "off, error, warn, info, debug or trace")),
            };
        }
        if let Some(value) = get("OTEL_METRIC_EXPORT_INTERVAL") {
            self.metrics.interval_ms = value.parse().map_err(|_| {
                variable(
                    "OTEL_METRIC_EXPORT_INTERVAL",
                    value,
                    "a whole number of milliseconds, such as 60000",
                )
            })?;
        }
        if let Some(value) = get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE") {
            self.metrics.temporality = Temporality::by_name(&value).ok_or_else(|| {
                variable(
                    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                    value,
                    "cumulative, delta or lowmemory",
                )
            })?;
        }
        if let Some(value) = get("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION") {
            self.metrics.histogram = Histogram::by_name(&value).ok_or_else(|| {
                variable(
                    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                    value,
                    "base2_exponential_bucket_histogram or explicit_bucket_histogram",
                )
            })?;
        }
        if let Some(value) = get("OTEL_RESOURCE_ATTRIBUTES") {
            let attributes = otel_env::resource_attributes(&value).map_err(|error| {
                let expected = format!("key1=value1,key2=value2 with values percent-encoded ({error})");
                variable("OTEL_RESOURCE_ATTRIBUTES", value, &expected)
            })?;
            // What is about the agent's own process holds for no other.
            self.identity.resource_attributes.extend(host_wide(attributes));
        }
        self.export.apply_env(&env)?;
        Ok(())
    }
}

fn variable(variable: &'static str, value: String, expected: &str) -> ConfigError {
    ConfigError::Variable { variable, value, expected: expected.to_owned() }
}
