//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use remora_exporters::{Destination, Protocol};

use crate::config::LogLevel;
use crate::probes::Choice;

/// Remora shows what every service on this host does, without touching the services.
///
/// It watches the bytes that cross sockets, rebuilds requests and responses from them, and sends spans and metrics to
/// any OpenTelemetry collector.
#[derive(Clone, Debug, Parser)]
#[command(name = "remora", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Watch this host and export spans and metrics, until SIGTERM or SIGINT.
    Run(RunArgs),
    /// Say what Remora can do on this kernel, and what is missing.
    Doctor(DoctorArgs),
    /// Watch this host and write what was seen to a file, for `remora replay`.
    Record(RecordArgs),
    /// Make spans and metrics of a recorded file. Needs no privileges.
    Replay(ReplayArgs),
    /// Say what is known of a binary or a process: runtime, TLS libraries, where each probe would go, and why there.
    Inspect(InspectArgs),
}

/// Flags of every command that reads the configuration.
#[derive(Args, Clone, Debug, Default)]
pub struct CommonArgs {
    /// YAML file with the configuration. Environment variables (OTEL_*) and flags win over it.
    /// Default: no file is read.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How much to log to stderr: off, error, warn, info, debug or trace. Default: info.
    #[arg(long, value_name = "LEVEL", value_enum, hide_possible_values = true)]
    pub log: Option<LogLevel>,

    /// Print the effective configuration as YAML, with secrets redacted, and exit.
    #[arg(long)]
    pub print_config: bool,
}

/// Flags that say where spans and metrics go.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Export")]
pub struct ExportArgs {
    /// Where to send spans and metrics: `otlp` to a collector, `stdout` as OTLP/JSON, one request a line.
    /// Default: otlp.
    #[arg(long, value_name = "WHERE", value_parser = destinations())]
    pub export: Option<Destination>,

    /// The collector's URL, for all signals. Default: http://localhost:4318, or http://localhost:4317 for gRPC.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,

    /// How OTLP is carried, for all signals. Default: http/protobuf.
    #[arg(long, value_name = "PROTOCOL", value_parser = protocols())]
    pub protocol: Option<Protocol>,
}

/// Flags that say what is watched, and how.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Probes")]
pub struct ProbeArgs {
    /// Which hooks of the kernel to use. Default: auto, the best that this kernel has; any other is taken or refused.
    #[arg(long, value_name = "TIER", value_parser = tiers())]
    pub tier: Option<Choice>,

    /// Watch only connections in this network namespace, such as /run/netns/blue or /proc/4711/ns/net.
    /// Default: all namespaces.
    #[arg(long, value_name = "PATH")]
    pub netns: Option<PathBuf>,

    /// Size in bytes of the ring buffer between kernel and agent, from 262144 to 1073741824, rounded up to a power
    /// of two. Increase it if remora.coverage.* tells of a full ring buffer. Default: 8388608 (8 MiB).
    #[arg(long, value_name = "BYTES")]
    pub ring_bytes: Option<u32>,

    /// Connections that are watched at once, from 1024 to 4194304; those beyond are counted, not watched.
    /// Default: 65536.
    #[arg(long, value_name = "N")]
    pub max_connections: Option<u32>,
}

/// Flags that say how the work is done.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Processing")]
pub struct ProcessingArgs {
    /// Threads that connections are spread over, from 1 to 64; 0 for half the processors, at most 8. Default: 0.
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,

    /// Milliseconds between two exports of metrics, from 100 to 3600000. Default: 60000.
    #[arg(long, value_name = "MS")]
    pub metrics_interval: Option<u64>,
}

/// `remora run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// Flags of every command that reads the configuration.
    #[command(flatten)]
    pub common: CommonArgs,

    /// End by itself after this many seconds, from 0 (attach, and end at once) to 31536000 (a year). Default: run until SIGTERM or SIGINT.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    pub seconds: Option<u64>,

    /// Where spans and metrics go.
    #[command(flatten)]
    pub export: ExportArgs,

    /// What is watched, and how.
    #[command(flatten)]
    pub probes: ProbeArgs,

    /// How the work is done.
    #[command(flatten)]
    pub processing: ProcessingArgs,
}

/// `remora doctor`.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// Print the findings as JSON instead of a table.
    #[arg(long)]
    pub json: bool,

    /// List every eBPF program, with the instructions that the kernel's verifier looked at. JSON always has them.
    #[arg(long)]
    pub verbose: bool,
}

/// `remora inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// An executable or a shared library, or the id of a process.
    #[arg(value_name = "BINARY|PID")]
    pub target: String,

    /// Print what is known as JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// `remora record`.
#[derive(Args, Clone, Debug)]
pub struct RecordArgs {
    /// The file to write; an existing one is replaced. It holds captured bytes of requests and responses: treat it
    /// like the data of the services.
    pub file: PathBuf,

    /// Flags of every command that reads the configuration.
    #[command(flatten)]
    pub common: CommonArgs,

    /// End by itself after this many seconds, from 0 (attach, and end at once) to 31536000 (a year). Default: record until SIGTERM or SIGINT.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    pub seconds: Option<u64>,

    /// What is watched, and how.
    #[command(flatten)]
    pub probes: ProbeArgs,
}

/// `remora replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// A file that `remora record` wrote.
    pub file: PathBuf,

    /// Flags of every command that reads the configuration.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Where spans and metrics go.
    #[command(flatten)]
    pub export: ExportArgs,

    /// How the work is done.
    #[command(flatten)]
    pub processing: ProcessingArgs,
}

/// The names alone: what they mean is in `docs/configuration.md`.
fn tiers() -> impl TypedValueParser<Value = Choice> {
    let values = Choice::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(values.map(|value| value.help(None::<&str>)))
        .try_map(|name| Choice::from_str(&name, false))
}

fn destinations() -> impl TypedValueParser<Value = Destination> {
    PossibleValuesParser::new(["otlp", "stdout"])
        .map(|name| if name == "otlp" { Destination::Otlp } else { Destination::Stdout })
}

fn protocols() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(["grpc", "http/protobuf", "http/json"]).map(|name| match name.as_str() {
        "grpc" => Protocol::Grpc,
        "http/json" => Protocol::HttpJson,
        _ => Protocol::HttpProtobuf,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every flag of every command has a help text.
    #[test]
    fn every_flag_explains_itself() {
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(
                    help.len() > 20 || argument.get_id() == "help",
                    "{} {argument}: {help:?}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn flags_reach_their_fields() {
        let cli = Cli::try_parse_from([
            "remora",
            "run",
            "--config",
            "/c.yaml",
            "--export",
            "stdout",
            "--endpoint",
            "http://c:4317",
            "--protocol",
            "grpc",
            "--tier",
            "tracepoint",
            "--netns",
            "/run/netns/blue",
            "--shards",
            "3",
            "--ring-bytes",
            "1048576",
            "--max-connections",
            "2048",
            "--metrics-interval",
            "5000",
            "--log",
            "debug",
            "--seconds",
            "9",
        ])
        .unwrap();
        let Command::Run(run) = cli.command else { panic!("{cli:?}") };
        assert_eq!(run.common.config, Some("/c.yaml".into()));
        assert_eq!(run.common.log, Some(LogLevel::Debug));
        assert!(!run.common.print_config);
        assert_eq!(run.seconds, Some(9));
        assert_eq!(run.export.export, Some(Destination::Stdout));
        assert_eq!(run.export.endpoint.as_deref(), Some("http://c:4317"));
        assert_eq!(run.export.protocol, Some(Protocol::Grpc));
        assert_eq!(run.probes.tier, Some(Choice::Tracepoint));
        assert_eq!(run.probes.netns, Some("/run/netns/blue".into()));
        assert_eq!((run.probes.ring_bytes, run.probes.max_connections), (Some(1_048_576), Some(2048)));
        assert_eq!((run.processing.shards, run.processing.metrics_interval), (Some(3), Some(5000)));
    }

    #[test]
    fn each_command_takes_its_own_flags() {
        let ok = |arguments: &[&str]| Cli::try_parse_from([&["remora"], arguments].concat()).is_ok();
        assert!(ok(&["doctor", "--json"]));
        assert!(ok(&["record", "/tmp/r", "--seconds", "5", "--tier", "auto"]));
        assert!(ok(&["replay", "/tmp/r", "--export", "stdout", "--protocol", "http/json"]));
        assert!(!ok(&["record"]), "needs a file");
        assert!(!ok(&["record", "/tmp/r", "--endpoint", "http://c"]), "exports nothing");
        assert!(!ok(&["replay", "/tmp/r", "--tier", "auto"]), "attaches nothing");
        assert!(ok(&["run", "--seconds", "0"]));
        assert!(!ok(&["run", "--protocol", "http"]));
    }
}
