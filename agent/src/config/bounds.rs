//! The ranges of numbers, and the check that tells where a bad one stands.

use super::{Config, ConfigError, locate};
use crate::protocol::{self, Registry, http};

/// Where values came from that have not been checked yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// A YAML file.
    File {
        /// What messages call it.
        name: &'a str,
        /// Its text.
        text: &'a str,
    },
    /// `OTEL_*`.
    Environment,
    /// The command line.
    Flags,
}

/// One number with a range.
pub(super) struct Bound {
    pub(super) key: &'static str,
    pub(super) flag: &'static str,
    variable: &'static str,
    pub(super) least: u64,
    pub(super) most: u64,
    unit: &'static str,
    otherwise: &'static str,
    value: fn(&Config) -> u64,
}

pub(super) const BOUNDS: [Bound; 4] = [
    Bound {
        key: "probes.ring_bytes",
        flag: "--ring-bytes",
        variable: "",
        least: 256 << 10,
        most: 1 << 30,
        unit: " bytes",
        otherwise: "",
        value: |config| config.probes.ring_bytes.into(),
    },
    Bound {
        key: "probes.max_connections",
        flag: "--max-connections",
        variable: "",
        least: 1024,
        most: 1 << 22,
        unit: "",
        otherwise: "",
        value: |config| config.probes.max_connections.into(),
    },
    Bound {
        key: "capture.shards",
        flag: "--shards",
        variable: "",
        least: 0,
        most: 64,
        unit: "",
        otherwise: ", or 0 to let the number of processors decide",
        value: |config| config.capture.shards as u64,
    },
    Bound {
        key: "metrics.interval_ms",
        flag: "--metrics-interval",
        variable: "OTEL_METRIC_EXPORT_INTERVAL",
        least: 100,
        most: 3_600_000,
        unit: " milliseconds",
        otherwise: "",
        value: |config| config.metrics.interval_ms,
    },
];

impl Config {
    /// Checks all ranges. Called after each source, so a bad value is the last source's.
    pub(super) fn check(&self, source: Source<'_>) -> Result<(), ConfigError> {
        for bound in &BOUNDS {
            let value = (bound.value)(self);
            if !(bound.least..=bound.most).contains(&value) {
                return Err(ConfigError::Range {
                    place: match source {
                        Source::Flags => bound.flag.to_owned(),
                        Source::Environment => bound.variable.to_owned(),
                        Source::File { .. } => place(source, bound.key),
                    },
                    value,
                    least: bound.least,
                    most: bound.most,
                    unit: bound.unit,
                    otherwise: bound.otherwise,
                });
            }
        }
        self.http.validate().map_err(|error| {
            // It begins with the key, if it is about one.
            let text = error.to_string();
            let (key, reason) = text.split_once(": ").unwrap_or(("", &text));
            let key = format!("http.{key}");
            ConfigError::Section {
                place: place(source, key.trim_end_matches('.')),
                reason: reason.to_owned(),
            }
        })?;
        let registry = Registry::new(&http::Settings::default(), &protocol::Settings::default());
        let names: Vec<_> = registry.protocols().map(|protocol| protocol.name()).collect();
        if let Some(name) = self.protocols.disabled.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(ConfigError::Section {
                place: place(source, "protocols.disabled"),
                reason: format!("it names {name:?}, but the protocols are {}", names.join(", ")),
            });
        }
        self.metrics.validate().map_err(|error| ConfigError::Section {
            place: place(source, &format!("metrics.{}", error.key)),
            reason: format!("it is {}, but must be from {} to {}", error.value, error.least, error.most),
        })?;
        self.identity.validate().map_err(|error| ConfigError::Section {
            place: place(source, &format!("identity.{}", error.key)),
            reason: format!("it is {}, but must be {}", error.value, error.expected),
        })
    }
}

/// `FILE, line N, KEY`, or just the key.
fn place(source: Source<'_>, key: &str) -> String {
    match source {
        Source::File { name, text } => match locate::line(text, key) {
            Some(line) => format!("{name}, line {line}, {key}"),
            None => format!("{name}, {key}"),
        },
        Source::Environment | Source::Flags => key.to_owned(),
    }
}
