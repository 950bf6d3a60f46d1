//! What a collector answers: partial success, `google.rpc.Status`, `google.rpc.RetryInfo`.

use crate::signal::Signal;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::time::Duration;

/// `google.rpc.Status` (google/rpc/status.proto).
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `google.rpc.RetryInfo` (google/rpc/error_details.proto).
#[derive(Clone, PartialEq, Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// The delay a status asks for, if its details hold a `RetryInfo`. One without a delay asks for none: zero.
pub(super) fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = Status::decode(details).ok()?;
    let any = status.details.iter().find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(any.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    Some(Duration::new(u64::try_from(delay.seconds).unwrap_or(0), u32::try_from(delay.nanos).unwrap_or(0)))
}

/// What a collector said about a request it took: how many records it rejected, and why.
pub(super) type PartialSuccess = (u64, String);

/// Reads the protobuf answer. An answer that cannot be read is taken as full success: the request was accepted.
pub(super) fn partial_success(signal: Signal, body: &[u8]) -> PartialSuccess {
    let partial = match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| (partial.rejected_spans, partial.error_message)),
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
    };
    partial.map_or_else(Default::default, |(rejected, text)| (u64::try_from(rejected).unwrap_or(0), text))
}

/// Reads the JSON answer, where a 64-bit number may be a string.
pub(super) fn json_partial_success(signal: Signal, body: &[u8]) -> PartialSuccess {
    let field = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
    };
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = &answer["partialSuccess"];
    let rejected = match &partial[field] {
        serde_json::Value::String(text) => text.parse().unwrap_or(0),
        value => value.as_u64().unwrap_or(0),
    };
    (rejected, partial["errorMessage"].as_str().unwrap_or_default().to_owned())
}

/// The start of an error's body as one line: the message of a `google.rpc.Status`, in protobuf or JSON, or text.
pub(super) fn excerpt(body: &[u8], is_protobuf: bool) -> String {
    const LONGEST: usize = 200;
    let message = if is_protobuf {
        Status::decode(body).ok().map(|status| status.message)
    } else {
        let json = serde_json::from_slice::<serde_json::Value>(body).ok();
        json.and_then(|json| json["message"].as_str().map(str::to_owned))
    };
    let text =
        message.filter(|text| !text.is_empty()).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let printable = text.chars().map(|c| if c.is_control() || c == '\u{fffd}' { ' ' } else { c });
    let line: Vec<String> = printable.collect::<String>().split_whitespace().map(str::to_owned).collect();
    let line = line.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(delay: Option<ProtoDuration>) -> Vec<u8> {
        let info = RetryInfo { retry_delay: delay }.encode_to_vec();
        let other = Any { type_url: "type.googleapis.com/google.rpc.Help".into(), value: Vec::new() };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info };
        Status { code: 14, message: "busy".into(), details: vec![other, any] }.encode_to_vec()
    }

    /// A `RetryInfo` is found among the details; nonsense is not one.
    #[test]
    fn retry_info() {
        let delay = ProtoDuration { seconds: 2, nanos: 500_000_000 };
        assert_eq!(retry_delay(&details(Some(delay))), Some(Duration::from_millis(2_500)));
        assert_eq!(retry_delay(&details(None)), Some(Duration::ZERO));
        let negative = ProtoDuration { seconds: -2, nanos: -1 };
        assert_eq!(retry_delay(&details(Some(negative))), Some(Duration::ZERO));
        assert_eq!(retry_delay(b""), None);
        assert_eq!(retry_delay(b"\xff\xff"), None);
    }

    /// Numbers are read from both encodings, and an unreadable answer rejects nothing.
    #[test]
    fn partial() {
        let body = br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}"#;
        assert_eq!(json_partial_success(Signal::Traces, body), (3, "no".to_owned()));
        let body = br#"{"partialSuccess":{"rejectedDataPoints":4}}"#;
        assert_eq!(json_partial_success(Signal::Metrics, body), (4, String::new()));
        assert_eq!(json_partial_success(Signal::Metrics, b"{}"), (0, String::new()));
        assert_eq!(json_partial_success(Signal::Metrics, b"<html>"), (0, String::new()));
        assert_eq!(partial_success(Signal::Traces, b""), (0, String::new()));
        assert_eq!(partial_success(Signal::Traces, b"\xff"), (0, String::new()));
    }

    /// An excerpt is one short line, whatever the body.
    #[test]
    fn excerpts() {
        let status = Status { code: 3, message: "bad\n span".into(), details: Vec::new() }.encode_to_vec();
        assert_eq!(excerpt(&status, true), "bad span");
        assert_eq!(excerpt(br#"{"code":3,"message":"bad"}"#, false), "bad");
        assert_eq!(excerpt(b"plain \x00 text", true), "plain text");
        assert_eq!(excerpt("é".repeat(300).as_bytes(), false), format!("{}…", "é".repeat(200)));
        assert_eq!(excerpt(b"", true), "");
    }
}
