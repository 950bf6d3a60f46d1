//! OTLP/gRPC: one unary call a request.
//!
//! The call is framed here, and read with tonic: tonic's own client would take the message instead of its bytes,
//! and so encode and compress it anew on an async thread for every attempt.

use super::client::{HttpClient, client, describe, protocol_advice};
use super::retry::{Failure, Outcome, is_retryable_code, is_retryable_status};
use super::{Payload, USER_AGENT, rpc};
use crate::config::Compression;
use crate::error::Error;
use crate::target::Target;
use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use http_body_util::Full;
use std::time::Duration;
use tonic::codec::{DecodeBuf, Decoder, Streaming};
use tonic::{Code, Status};

/// A call's body: the frame's header and the message, without copying them together.
type Frame = Chain<Bytes, Bytes>;

/// A client for one signal.
#[derive(Debug)]
pub(super) struct Grpc {
    client: HttpClient<Frame>,
    target: Target,
    headers: HeaderMap,
}

impl Grpc {
    pub(super) fn new(target: &Target) -> Result<Self, Error> {
        let mut headers = target.headers.clone();
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if target.compression == Compression::Gzip {
            headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        }
        Ok(Self { client: client(target)?, target: target.clone(), headers })
    }

    pub(super) async fn send(&self, payload: &Payload, timeout: Option<Duration>) -> Outcome {
        let Some(frame) = frame(payload) else {
            return Outcome::Refused(Failure {
                error: "a request of 4 GiB or more".to_owned(),
                advice: "lower batch.max_request_bytes".to_owned(),
            });
        };
        let mut request = Request::new(Full::new(frame));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.target.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(value) = timeout.and_then(grpc_timeout) {
            request.headers_mut().insert("grpc-timeout", value);
        }
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let (error, advice) = describe(&error, &self.target);
                return Outcome::retry(error, advice);
            }
        };
        let status = response.status();
        // An answer without body has its status in the headers ("Trailers-Only").
        match Status::from_header_map(response.headers()) {
            Some(status) if status.code() == Code::Ok => {
                return Outcome::Delivered { rejected: 0, message: String::new() };
            }
            Some(status) => return self.failed(&status),
            None if status != StatusCode::OK => return self.not_grpc(status),
            None => {}
        }
        let mut stream = Streaming::new_response(Raw, response.into_body(), status, None, None);
        let message = match stream.message().await {
            Ok(message) => message.unwrap_or_default(),
            Err(status) => return self.failed(&status),
        };
        if let Err(status) = stream.trailers().await {
            return self.failed(&status);
        }
        let (rejected, message) = rpc::partial_success(self.target.signal, &message);
        Outcome::Delivered { rejected, message }
    }

    fn failed(&self, status: &Status) -> Outcome {
        let after = rpc::retry_delay(status.details());
        let text = rpc::excerpt(status.message().as_bytes(), false);
        let failure = |advice: &str| Failure {
            error: format!("gRPC status {:?}: {text}", status.code()),
            advice: advice.to_owned(),
        };
        // A source means that no answer came: the connection broke, which is worth another try.
        let is_broken = std::error::Error::source(status).is_some();
        if is_broken || is_retryable_code(status.code(), after) {
            return Outcome::Retry {
                after,
                failure: failure("see the collector's log for what it is short of"),
            };
        }
        Outcome::Refused(failure(match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => {
                "check the credentials in OTEL_EXPORTER_OTLP_HEADERS"
            }
            Code::Unimplemented => {
                "check that the endpoint is an OTLP/gRPC receiver that takes this signal and compression"
            }
            Code::ResourceExhausted => {
                "lower batch.max_request_bytes, or raise the collector's limit on message sizes"
            }
            _ => "see the collector's log for what it refused",
        }))
    }

    /// Something answered that does not speak gRPC, such as a proxy
    /// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
    fn not_grpc(&self, status: StatusCode) -> Outcome {
        let error = format!("HTTP {status} instead of a gRPC status");
        if is_retryable_status(status) {
            return Outcome::retry(error, "check the proxy in front of the collector");
        }
        let advice = protocol_advice(&self.target).unwrap_or(
            "check that OTEL_EXPORTER_OTLP_ENDPOINT is an OTLP/gRPC receiver, by convention on port 4317",
        );
        Outcome::Refused(Failure { error, advice: advice.to_owned() })
    }
}

/// A length-prefixed message: whether it is compressed, its length in four bytes, the message. Nothing if the length
/// does not fit.
fn frame(payload: &Payload) -> Option<Frame> {
    let length = u32::try_from(payload.bytes().len()).ok()?.to_be_bytes();
    let [a, b, c, d] = length;
    let head = Bytes::copy_from_slice(&[u8::from(payload.is_compressed), a, b, c, d]);
    Some(head.chain(payload.bytes().clone()))
}

/// At most eight digits and a unit: milliseconds, or else seconds.
fn grpc_timeout(timeout: Duration) -> Option<HeaderValue> {
    const LARGEST: u128 = 99_999_999;
    let text = if timeout.as_millis() <= LARGEST {
        format!("{}m", timeout.as_millis())
    } else {
        format!("{}S", u128::from(timeout.as_secs()).min(LARGEST))
    };
    HeaderValue::from_str(&text).ok()
}

/// Leaves a message as it is.
struct Raw;

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header's value stays within eight digits.
    #[test]
    fn timeouts() {
        for (timeout, text) in [
            (Duration::from_secs(10), "10000m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_millis(100_000_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(grpc_timeout(timeout).unwrap(), text);
        }
    }

    /// A frame is the flag, the length in network order and the message.
    #[test]
    fn frames() {
        let mut frame = frame(&Payload::new(Bytes::from_static(b"abc"))).unwrap();
        assert_eq!(frame.copy_to_bytes(frame.remaining()).as_ref(), b"\0\0\0\0\x03abc");
    }
}
