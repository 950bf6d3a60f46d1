//! The configuration: flags, then `OTEL_*` environment variables, then a YAML file, then the defaults.
//!
//! `docs/configuration.md` is the user's page about it; a test keeps it complete. Each part of the agent owns its
//! section's type, with its defaults and its ranges; what belongs to no part is defined here.

mod bounds;
mod environment;
mod error;
mod locate;
mod print;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cli::{CommonArgs, ExportArgs, ProbeArgs, ProcessingArgs, RecordArgs, ReplayArgs, RunArgs};
use crate::identity;
use crate::metrics;
use crate::probes::Choice;
use crate::protocol::{self, http};

use bounds::Source;
pub use error::ConfigError;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where spans and metrics go.
    pub export: remora_exporters::Config,
    /// What is watched, and how.
    pub probes: Probes,
    /// How captured bytes are processed.
    pub capture: Capture,
    /// HTTP.
    pub http: http::Settings,
    /// The other protocols.
    pub protocols: protocol::Settings,
    /// Who processes are.
    pub identity: identity::Settings,
    /// Metrics.
    pub metrics: metrics::Settings,
    /// The agent's own log.
    pub log: Log,
    /// `OTEL_SDK_DISABLED=true`: nothing is to be attached and nothing exported. The agent says so and waits for its
    /// end, so that whatever supervises it does not start it again and again.
    #[serde(skip)]
    pub disabled: bool,
}

/// What is watched, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Probes {
    /// Which hooks of the kernel to use.
    pub tier: Choice,
    /// Size of the ring buffer in bytes: 262,144 to 1,073,741,824, rounded up to a power of two. 8 MiB. The agent maps it
    /// twice, so its resident memory grows by double the size.
    pub ring_bytes: u32,
    /// Connections that are watched at once: 1,024 to 4,194,304. 65,536, which takes about 12 MiB of the kernel.
    pub max_connections: u32,
    /// Watch only connections in this network namespace.
    pub netns: Option<PathBuf>,
    /// Learn of connections from before the agent by the kernel's iterators: `true`. Otherwise each is told when its first
    /// bytes move.
    pub iterators: bool,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            tier: Choice::Auto,
            ring_bytes: 8 << 20,
            max_connections: 65_536,
            netns: None,
            iterators: true,
        }
    }
}

/// How captured bytes are processed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// Threads that connections are spread over: 1 to 64, or 0 for half the processors, at most 8.
    pub shards: usize,
}

impl Capture {
    /// The number of shards that is meant.
    #[must_use]
    pub fn shards(&self) -> usize {
        match self.shards {
            0 => std::thread::available_parallelism()
                .map_or(1, |processors| (processors.get() / 2).clamp(1, 8)),
            shards => shards,
        }
    }
}

/// The agent's own log, on stderr.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How much is logged.
    pub level: LogLevel,
}

/// How much is logged; each level includes those above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What keeps the agent from working.
    Error,
    /// What the agent cannot do, or loses.
    Warn,
    /// What the agent does.
    #[default]
    Info,
    /// What it decides about connections and processes.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name, which `tracing` has in common with the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Off => "off",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// The flags of any command that changes the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags<'a> {
    /// Of every command.
    pub common: Option<&'a CommonArgs>,
    /// Of `run` and `replay`.
    pub export: Option<&'a ExportArgs>,
    /// Of `run` and `record`.
    pub probes: Option<&'a ProbeArgs>,
    /// Of `run` and `replay`.
    pub processing: Option<&'a ProcessingArgs>,
}

impl<'a> From<&'a RunArgs> for Flags<'a> {
    fn from(args: &'a RunArgs) -> Self {
        Self {
            common: Some(&args.common),
            export: Some(&args.export),
            probes: Some(&args.probes),
            processing: Some(&args.processing),
        }
    }
}

impl<'a> From<&'a RecordArgs> for Flags<'a> {
    fn from(args: &'a RecordArgs) -> Self {
        Self { common: Some(&args.common), probes: Some(&args.probes), ..Self::default() }
    }
}

impl<'a> From<&'a ReplayArgs> for Flags<'a> {
    fn from(args: &'a ReplayArgs) -> Self {
        Self {
            common: Some(&args.common),
            export: Some(&args.export),
            processing: Some(&args.processing),
            ..Self::default()
        }
    }
}

impl Config {
    /// The effective configuration: flags over environment (`env` is usually `|name| std::env::var(name).ok()`) over
    /// the file that `--config` names over the defaults.
    ///
    /// # Errors
    /// The first thing that is wrong, as one sentence for the user. Each source is checked on its own, so the
    /// sentence names where the bad value stands.
    pub fn load<'a>(
        args: impl Into<Flags<'a>>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let flags = args.into();
        let mut config = match flags.common.and_then(|common| common.config.as_ref()) {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|reason| ConfigError::Unreadable { path: path.clone(), reason })?;
                Self::parse(&text, &path.display().to_string())?
            }
            None => Self::default(),
        };
        config.apply_environment(env)?;
        config.check(Source::Environment)?;
        config.apply(flags);
        config.check(Source::Flags)?;
        config.export.validate()?;
        Ok(config)
    }

    /// Reads YAML; `name` is what messages call it.
    fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        // Of an empty document, and of one that is all comments, nothing is left but the defaults.
        let config: Option<Self> =
            serde_norway::from_str(text).map_err(|error| ConfigError::yaml(name, &error))?;
        let config = config.unwrap_or_default();
        config.check(Source::File { name, text })?;
        Ok(config)
    }

    fn apply(&mut self, flags: Flags<'_>) {
        if let Some(level) = flags.common.and_then(|common| common.log) {
            self.log.level = level;
        }
        if let Some(export) = flags.export {
            if let Some(endpoint) = &export.endpoint {
                // For all signals, and it would go nowhere if it did not mean OTLP.
                self.export.otlp.endpoint = Some(endpoint.clone());
                self.export.traces.endpoint = None;
                self.export.metrics.endpoint = None;
                self.export.destination = remora_exporters::Destination::Otlp;
            }
            if let Some(protocol) = export.protocol {
                self.export.otlp.protocol = Some(protocol);
                self.export.traces.protocol = None;
                self.export.metrics.protocol = None;
            }
            set(&mut self.export.destination, export.export);
        }
        if let Some(probes) = flags.probes {
            set(&mut self.probes.tier, probes.tier);
            set(&mut self.probes.ring_bytes, probes.ring_bytes);
            set(&mut self.probes.max_connections, probes.max_connections);
            if probes.netns.is_some() {
                self.probes.netns.clone_from(&probes.netns);
            }
        }
        if let Some(processing) = flags.processing {
            set(&mut self.capture.shards, processing.shards);
            set(&mut self.metrics.interval_ms, processing.metrics_interval);
        }
    }
}

fn set<T: Copy>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests;
