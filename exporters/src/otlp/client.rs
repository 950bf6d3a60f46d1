//! The HTTP client both carriers use: connections, TLS, and connection errors in words.

use crate::config::Protocol;
use crate::error::Error;
use crate::target::Target;
use bytes::Buf;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the TCP connection to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an HTTP/2 connection that waits for an answer is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

pub(super) type HttpClient<B> = Client<HttpsConnector<HttpConnector>, Full<B>>;

/// A client that keeps its connection between requests.
pub(super) fn client<B: Buf + Send + 'static>(target: &Target) -> Result<HttpClient<B>, Error> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(target.timeout.map_or(CONNECT_TIMEOUT, |t| t.min(CONNECT_TIMEOUT))));
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls(target)?).https_or_http();
    let mut client = Client::builder(TokioExecutor::new());
    client.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_max_idle_per_host(2);
    if target.protocol == Protocol::Grpc {
        client
            .http2_only(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE / 2);
        Ok(client.build(builder.enable_http2().wrap_connector(http)))
    } else {
        Ok(client.build(builder.enable_http1().wrap_connector(http)))
    }
}

/// The endpoint as it stands in messages.
pub(super) fn shown(target: &Target) -> String {
    let uri = &target.uri;
    match target.protocol {
        Protocol::Grpc => {
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            format!("{}://{authority}", uri.scheme_str().unwrap_or("http"))
        }
        Protocol::HttpProtobuf | Protocol::HttpJson => uri.to_string(),
    }
}

fn tls(target: &Target) -> Result<ClientConfig, Error> {
    let refuse = |error: rustls::Error| Error::Tls { endpoint: shown(target), reason: error.to_string() };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refuse)?
        .with_root_certificates(roots(target)?);
    match &target.identity {
        Some((certificate, key)) if target.is_tls() => {
            let chain = certificates(certificate, "client certificate")?;
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| Error::Certificate {
                what: "client key",
                path: key.clone(),
                reason: error.to_string(),
            })?;
            builder.with_client_auth_cert(chain, key_der).map_err(refuse)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// Whom to trust: the configured certificates alone, or else the system's.
fn roots(target: &Target) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if !target.is_tls() {
        return Ok(roots);
    }
    if let Some(path) = &target.certificate {
        for certificate in certificates(path, "CA certificate")? {
            roots.add(certificate).map_err(|error| Error::Certificate {
                what: "CA certificate",
                path: path.clone(),
                reason: error.to_string(),
            })?;
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map_or_else(|| "none installed".to_owned(), ToString::to_string);
        return Err(Error::NoRoots { endpoint: shown(target), reason });
    }
    Ok(roots)
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refuse = |reason: String| Error::Certificate { what, path: path.to_owned(), reason };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| refuse(error.to_string()))?;
    if found.is_empty() { Err(refuse("it holds no certificate".to_owned())) } else { Ok(found) }
}

/// A connection error with all its causes, and what to do about it.
pub(super) fn describe(error: &hyper_util::client::legacy::Error, target: &Target) -> (String, String) {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        cause = error.source();
    }
    if text.is_empty() {
        text = error.to_string();
    }
    let advice = if text.contains("certificate") || text.contains("UnknownIssuer") {
        "give the CA that signed the collector's certificate in OTEL_EXPORTER_OTLP_CERTIFICATE, and check that the \
         endpoint's host name is in the certificate"
            .to_owned()
    } else if error.is_connect() {
        "check that the collector runs and that OTEL_EXPORTER_OTLP_ENDPOINT is its address".to_owned()
    } else {
        protocol_advice(target).unwrap_or("check the collector's log").to_owned()
    };
    (text, advice)
}

/// The usual mistake: the port of the one protocol with the other one.
pub(super) fn protocol_advice(target: &Target) -> Option<&'static str> {
    match (target.uri.port_u16(), target.protocol) {
        (Some(4317), Protocol::HttpProtobuf | Protocol::HttpJson) => Some(
            "port 4317 speaks gRPC by convention: set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use port 4318 for HTTP",
        ),
        (Some(4318), Protocol::Grpc) => Some(
            "port 4318 speaks HTTP by convention: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use port 4317 for gRPC",
        ),
        _ => None,
    }
}
