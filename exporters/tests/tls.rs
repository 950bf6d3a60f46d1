//! TLS for both carriers: a private CA, a client certificate, and what is said when either is missing.

mod common;

use common::{HttpCollector, config, expected, scope, spans, start, until};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use remora_exporters::Exporter;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

/// A CA with a server's and a client's certificate, as files and as rustls has them.
struct Pki {
    directory: TempDir,
    ca: CertificateDer<'static>,
    server: CertificateDer<'static>,
    server_key: PrivateKeyDer<'static>,
}

impl Pki {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let issue = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let key = KeyPair::generate().unwrap();
            (CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap(), key)
        };
        let (server, server_key) = issue(&["localhost", "127.0.0.1"]);
        let (client, client_key) = issue(&["agent"]);
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        write("ca.pem", ca.pem());
        write("client.pem", client.pem());
        write("client-key.pem", client_key.serialize_pem());
        write("empty.pem", String::new());
        let server_key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        Self { directory, ca: ca.der().clone(), server: server.der().clone(), server_key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn server(&self, wants_client: bool) -> TlsAcceptor {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.ca.clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let config =
            builder.with_single_cert(vec![self.server.clone()], self.server_key.clone_key()).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Serves HTTP over TLS on a free port.
async fn listen(collector: &HttpCollector, acceptor: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let collector = collector.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                collector.connection(stream);
            }
        }
    });
    port
}

/// With the CA and the client's identity, spans arrive; the server insists on both.
#[tokio::test]
async fn mutual() {
    let (pki, collector) = (Pki::new(), HttpCollector::default());
    let port = listen(&collector, pki.server(true)).await;
    let mut config = config("{}");
    config
        .apply_env(|name| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(format!("https://localhost:{port}")),
            "OTEL_EXPORTER_OTLP_CERTIFICATE" => Some(pki.path("ca.pem").display().to_string()),
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" => Some(pki.path("client.pem").display().to_string()),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY" => Some(pki.path("client-key.pem").display().to_string()),
            _ => None,
        })
        .unwrap();
    let exporter = Exporter::start(config.clone(), scope()).unwrap();
    exporter.spans(spans(0..5));
    until(&exporter, |s| s.traces.exported == 5).await;
    let request = ExportTraceServiceRequest::decode(collector.seen()[0].content()).unwrap();
    assert_eq!(request.resource_spans, expected(0..5));

    config.otlp.client_certificate = None;
    config.otlp.client_key = None;
    let exporter = Exporter::start(config, scope()).unwrap();
    exporter.spans(spans(0..5));
    until(&exporter, |s| s.traces.requests_failed >= 1).await;
    let statistics = exporter.shutdown(Duration::from_secs(1)).await;
    assert_eq!((statistics.traces.exported, statistics.traces.dropped.shutdown), (0, 5));
}

/// A collector whose certificate nobody trusted is not talked to, and the reason is told.
#[tokio::test]
async fn unknown_issuer() {
    let (pki, other, collector) = (Pki::new(), Pki::new(), HttpCollector::default());
    let port = listen(&collector, pki.server(false)).await;
    let ca = other.path("ca.pem");
    let exporter =
        start(&format!("otlp: {{ endpoint: 'https://localhost:{port}', certificate: '{}' }}", ca.display()));
    exporter.spans(spans(0..5));
    let statistics = until(&exporter, |s| s.traces.requests_failed >= 1).await;
    assert!(statistics.traces.last_error.unwrap().contains("certificate"));
    assert!(collector.seen().is_empty());
}

/// gRPC negotiates HTTP/2 over the same TLS.
#[tokio::test]
async fn grpc() {
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let pki = Pki::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tls = ServerConfig::clone(pki.server(false).config());
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let (paths, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            paths.send(request.uri().path().to_owned()).unwrap();
            // Success without a message, the status in the headers.
            let response = hyper::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0")
                .body(http_body_util::Empty::<hyper::body::Bytes>::new());
            async move { response }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(TokioIo::new(stream), service).await
    });
    let ca = pki.path("ca.pem");
    let exporter = start(&format!(
        "otlp: {{ endpoint: 'localhost:{port}', protocol: grpc, certificate: '{}' }}",
        ca.display()
    ));
    exporter.spans(spans(0..5));
    until(&exporter, |s| s.traces.exported == 5).await;
    assert_eq!(seen.recv().await.unwrap(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
}

/// A file that is missing, or holds no certificate, stops the start with its name.
#[tokio::test]
async fn bad_files() {
    let pki = Pki::new();
    for (field, file, what) in [
        ("certificate", "missing.pem", "CA certificate"),
        ("certificate", "empty.pem", "holds no certificate"),
        ("certificate", "client-key.pem", "holds no certificate"),
    ] {
        let path = pki.path(file);
        let yaml = format!("otlp: {{ endpoint: 'https://localhost:1', {field}: '{}' }}", path.display());
        let error = Exporter::start(config(&yaml), scope()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(file), "{error}");
    }
    let yaml = format!(
        "otlp: {{ endpoint: 'https://localhost:1', certificate: '{0}', client_certificate: '{1}', client_key: '{1}' }}",
        pki.path("ca.pem").display(),
        pki.path("client.pem").display()
    );
    let error = Exporter::start(config(&yaml), scope()).unwrap_err().to_string();
    assert!(error.contains("client key"), "{error}");
}

/// Outside a runtime there is an error instead of a panic.
#[test]
fn no_runtime() {
    let error = Exporter::start(config("{}"), scope()).unwrap_err();
    assert!(error.to_string().contains("needs a tokio runtime"), "{error}");
}
