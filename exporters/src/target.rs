//! One signal's destination, resolved from the configuration: URL, headers, time, files.

use crate::config::{Compression, Config, Protocol, SignalConfig};
use crate::error::ConfigError;
use crate::signal::Signal;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::path::PathBuf;
use std::time::Duration;

/// The specification's default for one attempt.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where one signal goes and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) signal: Signal,
    pub(crate) protocol: Protocol,
    /// The whole URL a request is sent to.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) compression: Compression,
    /// How long one attempt may take, if it is limited.
    pub(crate) timeout: Option<Duration>,
    pub(crate) certificate: Option<PathBuf>,
    /// The client's certificate chain and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl Target {
    pub(crate) fn resolve(config: &Config, signal: Signal) -> Result<Self, ConfigError> {
        let (own, general) = (config.of(signal), &config.otlp);
        let protocol = own.protocol.or(general.protocol).unwrap_or_default();
        let client_certificate = own.client_certificate.as_ref().or(general.client_certificate.as_ref());
        let client_key = own.client_key.as_ref().or(general.client_key.as_ref());
        let identity = match (client_certificate, client_key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::ClientIdentity { missing: "the client key" }),
            (None, Some(_)) => return Err(ConfigError::ClientIdentity { missing: "the client certificate" }),
        };
        let timeout = own.timeout.or(general.timeout).unwrap_or(DEFAULT_TIMEOUT);
        Ok(Self {
            signal,
            protocol,
            uri: uri(own, general, signal, protocol)?,
            headers: headers(own, general)?,
            compression: own.compression.or(general.compression).unwrap_or_default(),
            // The specification reads 0 as "no limit".
            timeout: Some(timeout).filter(|timeout| !timeout.is_zero()),
            certificate: own.certificate.as_ref().or(general.certificate.as_ref()).cloned(),
            identity,
        })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }
}

/// The URL by the specification's rules: a signal's own endpoint as it stands, the general one as a base.
fn uri(
    own: &SignalConfig,
    general: &SignalConfig,
    signal: Signal,
    protocol: Protocol,
) -> Result<Uri, ConfigError> {
    let own_endpoint = own.endpoint.as_deref().map(str::trim).filter(|endpoint| !endpoint.is_empty());
    let general_endpoint = general.endpoint.as_deref().map(str::trim).filter(|endpoint| !endpoint.is_empty());
    let grpc = protocol == Protocol::Grpc;
    let default = if grpc { "http://localhost:4317" } else { "http://localhost:4318" };
    let endpoint = own_endpoint.or(general_endpoint).unwrap_or(default);
    let refuse = |reason: &str| ConfigError::Endpoint {
        signal: signal.name(),
        endpoint: without_credentials(endpoint),
        reason: reason.to_owned(),
        example: default,
        variable: if own_endpoint.is_some() {
            signal.endpoint_variable()
        } else {
            "OTEL_EXPORTER_OTLP_ENDPOINT"
        },
    };

    let (scheme, rest) = match endpoint.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None if grpc => {
            let insecure = own.insecure.or(general.insecure).unwrap_or(false);
            (if insecure { "http" } else { "https" }.to_owned(), endpoint)
        }
        None => return Err(refuse("it has no scheme")),
    };
    if scheme != "http" && scheme != "https" {
        return Err(refuse("its scheme is neither http nor https"));
    }
    // Fragment and query play no part in an export.
    let rest = rest.split(['#', '?']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(refuse("it holds credentials; send them as a header instead"));
    }
    let path = if grpc {
        signal.grpc_path().to_owned()
    } else if own_endpoint.is_some() {
        if path.is_empty() { "/".to_owned() } else { path.to_owned() }
    } else {
        format!("{}/{}", path.trim_end_matches('/'), signal.http_path())
    };
    let uri: Uri = format!("{scheme}://{authority}{path}").parse().map_err(|_| refuse("it is not a URL"))?;
    match uri.host() {
        None | Some("") => Err(refuse("it has no host")),
        Some(_) if uri.authority().is_some_and(|a| a.as_str().ends_with(':')) => {
            Err(refuse("its port is empty"))
        }
        Some(_) => Ok(uri),
    }
}

/// The endpoint as it may be shown.
fn without_credentials(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").map_or(("", endpoint), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

fn headers(own: &SignalConfig, general: &SignalConfig) -> Result<HeaderMap, ConfigError> {
    let mut map = HeaderMap::new();
    let Some(headers) = own.headers.as_ref().or(general.headers.as_ref()) else { return Ok(map) };
    for (name, value) in &headers.0 {
        let refuse = |reason| ConfigError::Header { name: name.clone(), reason };
        let key =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("its name is not a header name"))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| refuse("its value holds characters a header cannot carry"))?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(yaml: &str, signal: Signal) -> Result<Target, ConfigError> {
        Target::resolve(&serde_norway::from_str(yaml).unwrap(), signal)
    }

    /// Endpoints become URLs as the specification's rules and examples say.
    #[test]
    fn endpoints() {
        let grpc_traces = Signal::Traces.grpc_path();
        for (yaml, traces, metrics) in [
            ("{}", "http://localhost:4318/v1/traces", "http://localhost:4318/v1/metrics"),
            (
                "otlp: { endpoint: 'http://collector:4318' }",
                "http://collector:4318/v1/traces",
                "http://collector:4318/v1/metrics",
            ),
            (
                "{ traces: { endpoint: 'http://collector:4318' },\n\
                 metrics: { endpoint: 'https://collector.example.com/v1/metrics' } }",
                "http://collector:4318/",
                "https://collector.example.com/v1/metrics",
            ),
            (
                "{ otlp: { endpoint: 'http://collector:4318/mycollector/' },\n\
                 metrics: { endpoint: 'https://collector.example.com/v1/metrics/' } }",
                "http://collector:4318/mycollector/v1/traces",
                "https://collector.example.com/v1/metrics/",
            ),
            (
                "otlp: { endpoint: 'HTTP://[::1]:4318/?q#f' }",
                "http://[::1]:4318/v1/traces",
                "http://[::1]:4318/v1/metrics",
            ),
        ] {
            assert_eq!(resolve(yaml, Signal::Traces).unwrap().uri.to_string(), traces, "{yaml}");
            assert_eq!(resolve(yaml, Signal::Metrics).unwrap().uri.to_string(), metrics, "{yaml}");
        }
        for (yaml, origin) in [
            ("otlp: { protocol: grpc }", "http://localhost:4317"),
            ("otlp: { protocol: grpc, endpoint: 'collector:4317' }", "https://collector:4317"),
            ("otlp: { protocol: grpc, endpoint: 'collector:4317', insecure: true }", "http://collector:4317"),
            ("otlp: { protocol: grpc, endpoint: 'https://c:1/path', insecure: true }", "https://c:1"),
            ("{ otlp: { protocol: grpc }, traces: { endpoint: 'http://c:1' } }", "http://c:1"),
        ] {
            let uri = resolve(yaml, Signal::Traces).unwrap().uri.to_string();
            assert_eq!(uri, format!("{origin}{grpc_traces}"), "{yaml}");
        }
    }

    /// A signal's own settings replace the general ones, field by field; headers as a whole.
    #[test]
    fn own_settings_win() {
        let yaml = "otlp: { protocol: grpc, timeout: 1s, compression: gzip, headers: { a: '1', b: '2' } }\n\
                    traces: { protocol: http/json, timeout: 0, headers: { b: '3' } }\n";
        let traces = resolve(yaml, Signal::Traces).unwrap();
        assert_eq!((traces.protocol, traces.timeout), (Protocol::HttpJson, None));
        assert_eq!(traces.compression, Compression::Gzip);
        assert_eq!((traces.headers.len(), traces.headers["b"].to_str().unwrap()), (1, "3"));
        let metrics = resolve(yaml, Signal::Metrics).unwrap();
        assert_eq!((metrics.protocol, metrics.timeout), (Protocol::Grpc, Some(Duration::from_secs(1))));
        assert_eq!(metrics.headers.len(), 2);
        assert_eq!(resolve("{}", Signal::Traces).unwrap().timeout, Some(Duration::from_secs(10)));
    }

    /// What cannot be used is refused with the reason, and secrets are not shown.
    #[test]
    fn refusals() {
        for (yaml, text) in [
            ("otlp: { endpoint: 'collector:4318' }", "it has no scheme"),
            ("otlp: { endpoint: 'ftp://collector' }", "neither http nor https"),
            ("otlp: { endpoint: 'http://' }", "for traces cannot be used"),
            ("otlp: { endpoint: 'http://:4318' }", "it has no host"),
            ("otlp: { endpoint: 'http://a b' }", "it is not a URL"),
            ("otlp: { endpoint: 'http://user:hunter2@c:4318' }", "\"http://c:4318\""),
            ("traces: { endpoint: 'x' }", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
            ("otlp: { headers: { 'a b': x } }", "its name is not a header name"),
            ("otlp: { headers: { a: \"hunter2\\n\" } }", "its value holds characters"),
            ("otlp: { client_key: /k }", "the client certificate is not set"),
            ("otlp: { client_certificate: /c }", "the client key is not set"),
        ] {
            let error = resolve(yaml, Signal::Traces).unwrap_err().to_string();
            assert!(error.contains(text) && !error.contains("hunter2"), "{yaml}: {error}");
        }
    }
}
