//! What users may say of metrics.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Milliseconds between two exports: 100 to 3,600,000. 60,000, as OpenTelemetry has it.
    pub interval_ms: u64,
    /// What the values of a sum or histogram are counted from.
    pub temporality: Temporality,
    /// How durations and sizes are told.
    pub histogram: Histogram,
    /// Attribute sets of one instrument and service: 1 to 1,000,000. 2,000, as OpenTelemetry has it. Beyond it, readings go
    /// into one set with the attribute `otel.metric.overflow`.
    pub cardinality_limit: usize,
    /// Attribute sets of all instruments and services: 100 to 10,000,000. 20,000. Beyond it likewise.
    pub max_series: usize,
    /// Exports for which a cumulative series is told though nothing happens: 1 to 100,000. 15. Then it is forgotten, and
    /// begins anew when something does.
    pub silent_intervals: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_ms: 60_000,
            temporality: Temporality::default(),
            histogram: Histogram::default(),
            cardinality_limit: 2_000,
            max_series: 20_000,
            silent_intervals: 15,
        }
    }
}

impl Settings {
    /// The time between two exports.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    /// Checks all ranges but that of `interval_ms`, which a flag has, too.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn validate(&self) -> Result<(), SettingsError> {
        for (key, value, least, most) in [
            ("cardinality_limit", self.cardinality_limit, 1, 1_000_000),
            ("max_series", self.max_series, 100, 10_000_000),
            ("silent_intervals", self.silent_intervals as usize, 1, 100_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SettingsError { key, value, least, most });
            }
        }
        Ok(())
    }
}

/// A number out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}, but must be from {least} to {most}")]
pub struct SettingsError {
    /// The key in the section `metrics`.
    pub key: &'static str,
    /// What it is.
    pub value: usize,
    /// What it may be at least.
    pub least: usize,
    /// What it may be at most.
    pub most: usize,
}

/// What values are counted from: the preferences of `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// From the beginning of the series.
    #[default]
    Cumulative,
    /// From the last export.
    Delta,
    /// The specification means: delta, but cumulative where the source counts cumulatively by itself, as the agent's own
    /// coverage counters do. All metrics of services are delta.
    LowMemory,
}

impl Temporality {
    /// By the name in the environment variable, in any case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "cumulative" => Self::Cumulative,
            "delta" => Self::Delta,
            "lowmemory" => Self::LowMemory,
            _ => return None,
        })
    }
}

/// How durations and sizes are told: the values of `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Histogram {
    /// With buckets that adapt to the values.
    #[default]
    #[serde(rename = "base2_exponential_bucket_histogram")]
    Exponential,
    /// With fixed boundaries.
    #[serde(rename = "explicit_bucket_histogram")]
    Explicit,
}

impl Histogram {
    /// By the name in the environment variable, in any case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "base2_exponential_bucket_histogram" => Self::Exponential,
            "explicit_bucket_histogram" => Self::Explicit,
            _ => return None,
        })
    }
}
