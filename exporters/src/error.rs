//! What can be wrong with a configuration or with starting the exporter. Each text says what to do.

use std::path::PathBuf;

/// A setting the exporter cannot work with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An environment variable or a configuration field has a value outside its set.
    #[error("{name} is {value:?}: use {expected}")]
    Value {
        /// The variable or field, as the user wrote it.
        name: String,
        /// The value that was given.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// An endpoint is not a URL the protocol can use.
    #[error(
        "the endpoint {endpoint:?} for {signal} cannot be used ({reason}): write it like {example:?}, in the \
         configuration or in {variable}"
    )]
    Endpoint {
        /// The signal the endpoint is for: `traces` or `metrics`.
        signal: &'static str,
        /// The endpoint, without credentials.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
        /// A form that works.
        example: &'static str,
        /// The variable that sets it.
        variable: &'static str,
    },
    /// A header's name or value cannot stand in an HTTP request. The value is not shown: it may be a secret.
    #[error(
        "the header {name:?} cannot be sent ({reason}): correct it in the configuration or in \
         OTEL_EXPORTER_OTLP_HEADERS, written as key1=value1,key2=value2 with values percent-encoded"
    )]
    Header {
        /// The header's name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// One half of the client's identity is missing.
    #[error(
        "a client certificate needs its key and a key its certificate, and {missing} is not set: set both \
         OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY, or neither"
    )]
    ClientIdentity {
        /// The half that is missing.
        missing: &'static str,
    },
    /// A bound is zero.
    #[error("{name} is 0, which would export nothing: set it to at least 1 or leave it out")]
    Zero {
        /// The field.
        name: &'static str,
    },
}

/// The exporter cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no tokio runtime to run the workers in.
    #[error("the exporter needs a tokio runtime: call Exporter::start inside one")]
    NoRuntime,
    /// A certificate or key file cannot be read.
    #[error("the {what} {path:?} cannot be used ({reason}): give the path of a readable PEM file")]
    Certificate {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// An `https` endpoint was given and this system has no root certificates.
    #[error(
        "no root certificates were found on this system, so {endpoint} cannot be verified: install \
         ca-certificates, or set OTEL_EXPORTER_OTLP_CERTIFICATE to the collector's CA file ({reason})"
    )]
    NoRoots {
        /// The endpoint.
        endpoint: String,
        /// What was tried.
        reason: String,
    },
    /// The TLS library refuses the settings.
    #[error("TLS cannot be set up for {endpoint} ({reason}): check the certificate and key files")]
    Tls {
        /// The endpoint.
        endpoint: String,
        /// What the library said.
        reason: String,
    },
    /// The thread that writes standard output cannot be started.
    #[error("the thread that writes standard output cannot be started ({0}): check the limit on threads")]
    Thread(#[source] std::io::Error),
}
