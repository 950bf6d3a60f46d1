//! OTLP/HTTP: one POST a request, in protobuf or JSON.

use super::client::{HttpClient, client, describe, protocol_advice};
use super::retry::{Failure, Outcome, is_retryable_status, retry_after};
use super::{Payload, USER_AGENT, rpc};
use crate::config::{Compression, Protocol};
use crate::error::Error;
use crate::target::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use std::time::SystemTime;

/// How much of an answer is read.
const LONGEST_ANSWER: usize = 64 << 10;

/// A client for one signal.
#[derive(Debug)]
pub(super) struct Http {
    client: HttpClient<Bytes>,
    target: Target,
    headers: HeaderMap,
}

impl Http {
    pub(super) fn new(target: &Target) -> Result<Self, Error> {
        let content_type = if target.protocol == Protocol::HttpJson { JSON } else { PROTOBUF };
        let mut headers = target.headers.clone();
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if target.compression == Compression::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Self { client: client(target)?, target: target.clone(), headers })
    }

    pub(super) async fn send(&self, payload: &Payload) -> Outcome {
        let mut request = Request::new(Full::new(payload.bytes().clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        *request.headers_mut() = self.headers.clone();
        match self.client.request(request).await {
            Ok(response) => self.read(response).await,
            Err(error) => {
                let (error, advice) = describe(&error, &self.target);
                Outcome::retry(error, advice)
            }
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Outcome {
        let (head, body) = response.into_parts();
        // The status decides; a body that breaks off takes nothing from it.
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let is_type =
            |name| head.headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(name));
        if head.status.is_success() {
            let (rejected, message) = if is_type(JSON.as_bytes()) {
                rpc::json_partial_success(self.target.signal, &body)
            } else {
                rpc::partial_success(self.target.signal, &body)
            };
            return Outcome::Delivered { rejected, message };
        }
        let mut error = format!("HTTP {}", head.status);
        let excerpt = rpc::excerpt(&body, is_type(PROTOBUF.as_bytes()));
        if !excerpt.is_empty() {
            error = format!("{error}: {excerpt}");
        }
        if is_retryable_status(head.status) {
            let after = retry_after(&head.headers, SystemTime::now());
            let advice = "see the collector's log for what it is short of".to_owned();
            return Outcome::Retry { after, failure: Failure { error, advice } };
        }
        Outcome::Refused(Failure { error, advice: self.advice(head.status, &head.headers) })
    }

    fn advice(&self, status: StatusCode, headers: &HeaderMap) -> String {
        let fixed = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                "check the credentials in OTEL_EXPORTER_OTLP_HEADERS"
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                "check the endpoint's path; a signal's own endpoint must hold the whole path, such as /v1/traces"
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                "lower batch.max_request_bytes or raise the collector's limit on request bodies"
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                "try another OTEL_EXPORTER_OTLP_PROTOCOL or OTEL_EXPORTER_OTLP_COMPRESSION"
            }
            _ if status.is_redirection() => {
                let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
                return format!(
                    "redirects are not followed: set the endpoint to {}",
                    location.unwrap_or("where it redirects to")
                );
            }
            _ => protocol_advice(&self.target).unwrap_or("see the collector's log for what it refused"),
        };
        fixed.to_owned()
    }
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
