//! OTLP to a collector: the client, gRPC, HTTP, and which failures are tried again.

mod client;
mod grpc;
mod http;
mod retry;
mod rpc;

use crate::config::{Compression, Protocol};
use crate::error::Error;
use crate::target::Target;
use bytes::Bytes;
use std::io::Write;
use std::time::Duration;

pub(crate) use retry::{Backoff, Failure, Outcome};

/// The name the requests go by (OTLP exporter specification, "User Agent").
const USER_AGENT: &str = concat!("Remora-OTLP-Exporter/", env!("CARGO_PKG_VERSION"), " (Rust)");

/// The client of one signal.
#[derive(Debug)]
pub(crate) struct Otlp {
    carrier: Carrier,
    compression: Compression,
    timeout: Option<Duration>,
    endpoint: String,
}

#[derive(Debug)]
enum Carrier {
    Grpc(grpc::Grpc),
    Http(http::Http),
}

/// A request's body. It is compressed once, when it is first sent.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    bytes: Bytes,
    is_compressed: bool,
}

impl Payload {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, is_compressed: false }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Compresses the body on a thread where that may take its time.
    async fn compress(&mut self) -> Result<(), Failure> {
        if self.is_compressed {
            return Ok(());
        }
        let bytes = self.bytes.clone();
        let compressed = match tokio::task::spawn_blocking(move || gzip(&bytes)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match compressed {
            Ok(compressed) => {
                self.bytes = compressed;
                self.is_compressed = true;
                Ok(())
            }
            Err(error) => Err(Failure {
                error: format!("the request could not be compressed ({error})"),
                advice: "set OTEL_EXPORTER_OTLP_COMPRESSION=none".to_owned(),
            }),
        }
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let output = Vec::with_capacity(bytes.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(output, flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

impl Otlp {
    pub(crate) fn new(target: &Target) -> Result<Self, Error> {
        let carrier = match target.protocol {
            Protocol::Grpc => Carrier::Grpc(grpc::Grpc::new(target)?),
            Protocol::HttpProtobuf | Protocol::HttpJson => Carrier::Http(http::Http::new(target)?),
        };
        Ok(Self {
            carrier,
            compression: target.compression,
            timeout: target.timeout,
            endpoint: client::shown(target),
        })
    }

    /// The endpoint, as it may be shown.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Tries once. `limit` holds where the configuration does not limit an attempt.
    pub(crate) async fn send(&self, payload: &mut Payload, limit: Option<Duration>) -> Outcome {
        if self.compression == Compression::Gzip
            && let Err(failure) = payload.compress().await
        {
            return Outcome::Refused(failure);
        }
        let timeout = self.timeout.or(limit);
        let attempt = async {
            match &self.carrier {
                Carrier::Grpc(grpc) => grpc.send(payload, timeout).await,
                Carrier::Http(http) => http.send(payload).await,
            }
        };
        let Some(timeout) = timeout else { return attempt.await };
        tokio::time::timeout(timeout, attempt).await.unwrap_or_else(|_| {
            Outcome::retry(
                format!("no answer within {} ms", timeout.as_millis()),
                "check that the collector keeps up, or raise OTEL_EXPORTER_OTLP_TIMEOUT",
            )
        })
    }
}
