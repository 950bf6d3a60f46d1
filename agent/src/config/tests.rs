use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use remora_exporters::{Destination, Protocol};
use tempfile::NamedTempFile;

use super::*;
use crate::cli::{Cli, Command};

fn file(yaml: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    file
}

/// Loads `yaml` (if any), `environment` and the flags behind `remora run`.
fn load(yaml: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, String> {
    let file = file(yaml);
    let path = file.path().to_str().unwrap().to_owned();
    let mut arguments = vec!["remora", "run"];
    if !yaml.is_empty() {
        arguments.extend(["--config", &path]);
    }
    arguments.extend(flags);
    let Command::Run(run) = Cli::try_parse_from(arguments).unwrap().command else { unreachable!() };
    let env =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Config::load(&run, env).map_err(|error| error.to_string().replace(&path, "remora.yaml"))
}

#[track_caller]
fn refused(yaml: &str, environment: &[(&str, &str)], flags: &[&str], sentence: &str) {
    assert_eq!(load(yaml, environment, flags).unwrap_err(), sentence);
}

/// With nothing given, everything is at its default.
#[test]
fn defaults() {
    let config = load("", &[], &[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(
        config.probes,
        Probes {
            tier: Choice::Auto,
            ring_bytes: 8_388_608,
            max_connections: 65_536,
            netns: None,
            iterators: true
        }
    );
    assert_eq!((config.metrics.interval(), config.log.level), (Duration::from_secs(60), LogLevel::Info));
    assert!((1..=8).contains(&config.capture.shards()) && !config.disabled);
    assert_eq!(load("# nothing\n", &[], &[]).unwrap(), config);
    assert_eq!(load("probes: {}\n", &[], &[]).unwrap(), config);
}

/// Flags win over the environment, that over the file, that over the defaults: each value with each subset of its
/// sources.
#[test]
fn precedence() {
    type Read = fn(&Config) -> String;
    let endpoint: Read = |config| config.export.otlp.endpoint.clone().unwrap_or_default();
    let protocol: Read = |config| format!("{:?}", config.export.otlp.protocol);
    let interval: Read = |config| config.metrics.interval_ms.to_string();
    let level: Read = |config| config.log.level.as_str().to_owned();
    // File, variable, flags, the value, and what it is with none, file, variable and flags at the most.
    type Case = (&'static str, (&'static str, &'static str), [&'static str; 2], Read, [&'static str; 4]);
    let cases: [Case; 4] = [
        (
            "export: { otlp: { endpoint: 'http://file:1' } }\n",
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:2"),
            ["--endpoint", "http://flag:3"],
            endpoint,
            ["", "http://file:1", "http://env:2", "http://flag:3"],
        ),
        (
            "export: { otlp: { protocol: http/json } }\n",
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ["--protocol", "grpc"],
            protocol,
            ["None", "Some(HttpJson)", "Some(HttpProtobuf)", "Some(Grpc)"],
        ),
        (
            "metrics: { interval_ms: 1000 }\n",
            ("OTEL_METRIC_EXPORT_INTERVAL", "2000"),
            ["--metrics-interval", "3000"],
            interval,
            ["60000", "1000", "2000", "3000"],
        ),
        (
            "log: { level: error }\n",
            ("OTEL_LOG_LEVEL", "WARN"),
            ["--log", "debug"],
            level,
            ["info", "error", "warn", "debug"],
        ),
    ];
    for (yaml, variable, flags, read, expected) in cases {
        for subset in 0..8usize {
            let (in_file, in_env, in_flags) = (subset & 1 != 0, subset & 2 != 0, subset & 4 != 0);
            let config = load(
                if in_file { yaml } else { "" },
                if in_env { std::slice::from_ref(&variable) } else { &[] },
                if in_flags { &flags } else { &[] },
            )
            .unwrap();
            let winner = if subset == 0 { 0 } else { 1 + subset.ilog2() as usize };
            assert_eq!(read(&config), expected[winner], "{yaml} {subset:03b}");
        }
    }
}

/// What has no variable: flags win over the file.
#[test]
fn flags_over_file() {
    let yaml = "export: { destination: stdout }\nprobes: { tier: syscall-tracepoint, ring_bytes: 1048576, \
                max_connections: 2048, netns: /a, iterators: false }\ncapture: { shards: 3 }\n";
    let config = load(yaml, &[], &[]).unwrap();
    assert_eq!(config.export.destination, Destination::Stdout);
    assert_eq!(
        config.probes,
        Probes {
            tier: Choice::SyscallTracepoint,
            ring_bytes: 1_048_576,
            max_connections: 2048,
            netns: Some("/a".into()),
            iterators: false,
        }
    );
    assert_eq!((config.capture.shards, config.capture.shards()), (3, 3));
    let flags = [
        "--export",
        "otlp",
        "--tier",
        "tracepoint",
        "--ring-bytes",
        "2097152",
        "--max-connections",
        "4096",
        "--netns",
        "/b",
        "--shards",
        "5",
    ];
    let config = load(yaml, &[], &flags).unwrap();
    assert_eq!(config.export.destination, Destination::Otlp);
    assert_eq!(
        config.probes,
        Probes {
            tier: Choice::Tracepoint,
            ring_bytes: 2_097_152,
            max_connections: 4096,
            netns: Some("/b".into()),
            iterators: false
        }
    );
    assert_eq!(config.capture.shards, 5);
}

/// `--endpoint` and `--protocol` are for all signals, whatever was said about single ones.
#[test]
fn flags_are_for_all_signals() {
    let yaml = "export: { destination: stdout, traces: { endpoint: 'http://file', protocol: grpc } }\n";
    let environment = [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://env")];
    let config = load(yaml, &environment, &["--endpoint", "http://flag"]).unwrap();
    assert_eq!(config.export.destination, Destination::Otlp, "an endpoint means OTLP");
    assert_eq!((config.export.traces.endpoint, config.export.metrics.endpoint), (None, None));
    assert_eq!(config.export.traces.protocol, Some(Protocol::Grpc));
    let config = load(yaml, &[], &["--protocol", "http/json"]).unwrap();
    assert_eq!(config.export.traces.protocol, None);
    assert_eq!(config.export.traces.endpoint.as_deref(), Some("http://file"));
    let config = load("", &[], &["--endpoint", "http://flag", "--export", "stdout"]).unwrap();
    assert_eq!(config.export.destination, Destination::Stdout);
}

/// The agent's own resource attributes are given to every service, but for those of its own process.
#[test]
fn environment() {
    let yaml = "identity: { resource_attributes: { team: file, region: eu } }\n";
    let attributes = "service.name=agent,team=env,k8s.node.name=n%201,process.pid=1,service.namespace=shop";
    let config =
        load(yaml, &[("OTEL_RESOURCE_ATTRIBUTES", attributes), ("OTEL_SERVICE_NAME", "agent")], &[]).unwrap();
    let expected =
        [("k8s.node.name", "n 1"), ("region", "eu"), ("service.namespace", "shop"), ("team", "env")];
    let found: Vec<(&str, &str)> = config
        .identity
        .resource_attributes
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(found, expected);
    assert!(load("", &[("OTEL_SDK_DISABLED", "TRUE")], &[]).unwrap().disabled);
    assert!(!load("", &[("OTEL_SDK_DISABLED", "false")], &[]).unwrap().disabled);
    // An empty value is no value.
    let names =
        ["OTEL_SDK_DISABLED", "OTEL_LOG_LEVEL", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_RESOURCE_ATTRIBUTES"];
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (*name, " ")).collect();
    assert_eq!(load("", &empty, &[]).unwrap(), Config::default());
    assert_eq!(load("", &[("OTEL_LOG_LEVEL", "warning")], &[]).unwrap().log.level, LogLevel::Warn);
}

/// Files that are no configuration: one sentence with file, line and key.
#[test]
fn bad_files() {
    refused(
        "log:\n  level: info\nprobs:\n  tier: auto\n",
        &[],
        &[],
        "remora.yaml, line 3: unknown field `probs`, expected one of `export`, `probes`, `capture`, `http`, \
         `protocols`, `identity`, `metrics`, `log`: correct the key or its value, or leave it out to have the default",
    );
    refused(
        "probes:\n  tier: auto\n  ring: 5\n",
        &[],
        &[],
        "remora.yaml, line 3: probes: unknown field `ring`, expected one of `tier`, `ring_bytes`, `max_connections`, \
         `netns`, `iterators`: correct the key or its value, or leave it out to have the default",
    );
    refused(
        "probes:\n  ring_bytes: many\n",
        &[],
        &[],
        "remora.yaml, line 2: probes.ring_bytes: invalid type: string \"many\", expected a whole number of at least 0: \
         correct the key or its value, or leave it out to have the default",
    );
    refused(
        "probes:\n  ring_bytes: -1\n",
        &[],
        &[],
        "remora.yaml, line 2: probes.ring_bytes: invalid type: integer `-1`, expected a whole number of at least 0: \
         correct the key or its value, or leave it out to have the default",
    );
    refused(
        "probes:\n  tier: best\n",
        &[],
        &[],
        &format!(
            "remora.yaml, line 2: probes.tier: unknown variant `best`, expected one of {}: correct the key or its \
             value, or leave it out to have the default",
            tiers().iter().map(|tier| format!("`{tier}`")).collect::<Vec<_>>().join(", ")
        ),
    );
    refused(
        "log: [debug]\n",
        &[],
        &[],
        "remora.yaml, line 1: log: invalid type: sequence, expected a mapping of keys to values: correct the key or its \
         value, or leave it out to have the default",
    );
    let error = load("log: {\n", &[], &[]).unwrap_err();
    assert!(error.starts_with("remora.yaml, line 2: ") && !error.contains('\n'), "{error}");
    let error = load("", &[], &["--config", "/nowhere.yaml"]).unwrap_err();
    assert_eq!(
        error,
        "the configuration file \"/nowhere.yaml\" cannot be read (No such file or directory (os error 2)): correct \
         --config, or the file's permissions"
    );
}

/// How metrics are told: by the file, and by the standard variables over it.
#[test]
fn metrics() {
    use crate::metrics::{Histogram, Temporality};
    let temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let aggregation = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    let yaml =
        "metrics: { temporality: delta, histogram: explicit_bucket_histogram, cardinality_limit: 7 }\n";
    let of = |config: Config| (config.metrics.temporality, config.metrics.histogram);
    let file = load(yaml, &[], &[]).unwrap();
    assert_eq!(file.metrics.cardinality_limit, 7);
    assert_eq!(of(file), (Temporality::Delta, Histogram::Explicit));
    let variables = [(temporality, "LowMemory"), (aggregation, "base2_exponential_bucket_histogram")];
    assert_eq!(of(load(yaml, &variables, &[]).unwrap()), (Temporality::LowMemory, Histogram::Exponential));
    assert_eq!(of(load("", &[(temporality, "DELTA")], &[]).unwrap()).0, Temporality::Delta);
    refused(
        "",
        &[(temporality, "sometimes")],
        &[],
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE is \"sometimes\", but must be cumulative, delta or lowmemory: \
         correct or unset it",
    );
    let error = load("", &[(aggregation, "buckets")], &[]).unwrap_err();
    assert!(error.contains("base2_exponential_bucket_histogram or explicit_bucket_histogram"), "{error}");
}

/// Values out of their ranges: where they stand, what they are, what they may be.
#[test]
fn bad_values() {
    refused(
        "# small\nprobes:\n  ring_bytes: 4096\n",
        &[],
        &[],
        "remora.yaml, line 3, probes.ring_bytes is 4096, but must be from 262144 to 1073741824 bytes: choose a value \
         in that range",
    );
    refused(
        "",
        &[],
        &["--max-connections", "5"],
        "--max-connections is 5, but must be from 1024 to 4194304: choose a value in that range",
    );
    refused(
        "",
        &[],
        &["--shards", "65"],
        "--shards is 65, but must be from 0 to 64: choose a value in that range, or 0 to let the number of processors \
         decide",
    );
    refused(
        "metrics:\n  interval_ms: 1000\n",
        &[("OTEL_METRIC_EXPORT_INTERVAL", "5")],
        &[],
        "OTEL_METRIC_EXPORT_INTERVAL is 5, but must be from 100 to 3600000 milliseconds: choose a value in that range",
    );
    refused(
        "identity:\n  keep_exited_seconds: 60\n  max_processes: 1\n",
        &[],
        &[],
        "remora.yaml, line 3, identity.max_processes: it is 1, but must be from 256 to 1048576: correct it, or leave \
         it out to have the default",
    );
    refused(
        "metrics:\n  max_series: 5\n",
        &[],
        &[],
        "remora.yaml, line 2, metrics.max_series: it is 5, but must be from 100 to 10000000: correct it, or leave it \
         out to have the default",
    );
    refused(
        "http:\n  silence_ms: 0\n",
        &[],
        &[],
        "remora.yaml, line 2, http.silence_ms: must be at least 1: correct it, or leave it out to have the default",
    );
}

/// Variables that cannot be read.
#[test]
fn bad_variables() {
    refused(
        "",
        &[("OTEL_SDK_DISABLED", "yes")],
        &[],
        "OTEL_SDK_DISABLED is \"yes\", but must be true or false: correct or unset it",
    );
    refused(
        "",
        &[("OTEL_LOG_LEVEL", "loud")],
        &[],
        "OTEL_LOG_LEVEL is \"loud\", but must be off, error, warn, info, debug or trace: correct or unset it",
    );
    refused(
        "",
        &[("OTEL_METRIC_EXPORT_INTERVAL", "60s")],
        &[],
        "OTEL_METRIC_EXPORT_INTERVAL is \"60s\", but must be a whole number of milliseconds, such as 60000: correct \
         or unset it",
    );
    refused(
        "",
        &[("OTEL_RESOURCE_ATTRIBUTES", "a")],
        &[],
        "OTEL_RESOURCE_ATTRIBUTES is \"a\", but must be key1=value1,key2=value2 with values percent-encoded (\"a\" is \
         not of the form key=value): correct or unset it",
    );
    let error = load("", &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http")], &[]).unwrap_err();
    assert!(error.starts_with("OTEL_EXPORTER_OTLP_PROTOCOL is \"http\""), "{error}");
    let error = load("", &[], &["--endpoint", "ftp://x"]).unwrap_err();
    assert!(error.contains("ftp://x"), "{error}");
}

/// `record` has no flags of the exporters, `replay` none of the probes; both read the same file.
#[test]
fn other_commands() {
    let file = file("capture: { shards: 2 }\nprobes: { max_connections: 2048 }\n");
    let path = file.path().to_str().unwrap();
    let parse = |arguments: &[&str]| Cli::try_parse_from([&["remora"], arguments].concat()).unwrap().command;
    let Command::Record(record) = parse(&["record", "/r", "--config", path, "--max-connections", "4096"])
    else {
        unreachable!()
    };
    let config = Config::load(&record, |_| None).unwrap();
    assert_eq!((config.probes.max_connections, config.capture.shards), (4096, 2));
    let Command::Replay(replay) =
        parse(&["replay", "/r", "--config", path, "--export", "stdout", "--shards", "1"])
    else {
        unreachable!()
    };
    let config = Config::load(&replay, |_| None).unwrap();
    assert_eq!((config.export.destination, config.capture.shards), (Destination::Stdout, 1));
}

const EVERYTHING: &str = "
export:
  destination: stdout
  otlp: { endpoint: 'https://me:s3cr3t@c:4318', protocol: http/json, headers: { api-key: hunter2 }, compression: gzip,
    timeout: 2500, certificate: /a, client_key: /b, client_certificate: /c, insecure: true }
  batch: { max_queue_size: 9, schedule_delay: 5s, export_timeout: 1m }
  retry: { initial_interval: 250ms }
probes: { tier: tracepoint, netns: /run/netns/blue }
capture: { shards: 2 }
http: { routes: ['/users/{id}'] }
identity: { command_args: true, resource_attributes: { team: a } }
metrics: { interval_ms: 1000 }
log: { level: trace }
";

/// What is printed is the configuration, and can be read again, but for the secrets.
#[test]
fn printed() {
    let config = load(EVERYTHING, &[], &[]).unwrap();
    let yaml = config.to_yaml();
    assert!(!yaml.contains("s3cr3t") && !yaml.contains("hunter2"), "{yaml}");
    assert!(
        yaml.contains("endpoint: https://[redacted]@c:4318\n") && yaml.contains("api-key: '[redacted]'\n"),
        "{yaml}"
    );
    let mut expected = config.clone();
    expected.export.otlp.endpoint = Some("https://[redacted]@c:4318".into());
    expected.export.otlp.headers.as_mut().unwrap().0.insert("api-key".into(), "[redacted]".into());
    assert_eq!(Config::parse(&yaml, "printed").unwrap(), expected);
    assert_eq!(Config::parse(&Config::default().to_yaml(), "printed").unwrap(), Config::default());
    let disabled = Config { disabled: true, ..Config::default() }.to_yaml();
    assert!(disabled.starts_with("# OTEL_SDK_DISABLED=true"));
}

fn tiers() -> Vec<String> {
    use clap::ValueEnum;
    Choice::value_variants()
        .iter()
        .filter_map(|tier| Some(tier.to_possible_value()?.get_name().to_owned()))
        .collect()
}

/// Collects `a.b.c` for every key.
fn keys(value: &serde_norway::Value, prefix: &str, into: &mut BTreeSet<String>) {
    let Some(mapping) = value.as_mapping() else { return };
    for (key, value) in mapping {
        let path = format!("{prefix}{}", key.as_str().unwrap());
        keys(value, &format!("{path}."), into);
        into.insert(path);
    }
}

/// The user's page has every flag, every key and every variable.
#[test]
fn everything_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut missing = Vec::new();
    let mut need = |text: String| {
        if !page.contains(&text) {
            missing.push(text);
        }
    };
    for command in Cli::command().get_subcommands() {
        need(format!("## `remora {}", command.get_name()));
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            if let Some(long) = argument.get_long() {
                need(format!("`--{long}"));
            }
        }
    }
    for tier in tiers() {
        need(format!("`{tier}`"));
    }
    let document: serde_norway::Value = serde_norway::from_str(&Config::default().to_yaml()).unwrap();
    let mut paths = BTreeSet::new();
    keys(&document, "", &mut paths);
    assert!(paths.contains("probes.ring_bytes") && paths.contains("export.otlp.endpoint"), "{paths:?}");
    for path in paths {
        // The sections of single signals have the keys of `export.otlp`.
        let of_signal = ["export.traces.", "export.metrics."].iter().any(|prefix| path.starts_with(prefix));
        if !of_signal {
            need(format!("`{path}`"));
        }
    }
    for variable in [
        "OTEL_SDK_DISABLED",
        "OTEL_LOG_LEVEL",
        "OTEL_METRIC_EXPORT_INTERVAL",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_SERVICE_NAME",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_INSECURE",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_BSP_EXPORT_TIMEOUT",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    ] {
        need(format!("`{variable}`"));
    }
    assert!(missing.is_empty(), "docs/configuration.md does not mention {missing:?}");
}

/// The ranges in the help texts and in the user's page are those that are checked.
#[test]
fn ranges_are_told_as_they_are() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md"))
            .unwrap();
    let help = Cli::command().find_subcommand_mut("run").unwrap().render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for bound in &bounds::BOUNDS {
        // Of 0 shards, the help speaks on its own.
        let range = format!("{} to {}", bound.least.max(1), bound.most);
        assert!(help.contains(&range), "--help does not say {range} of {}", bound.flag);
        let line = page.lines().find(|line| line.starts_with(&format!("| `{}`", bound.key))).unwrap();
        assert!(line.contains(&range), "{line} does not say {range}");
    }
}
