//! OTLP/JSON as the agent writes it to standard output, one export request a line: as much of it as the demo shows.

use std::fmt;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What the demo keeps of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub service: String,
    pub kind: Kind,
    pub name: String,
    /// HTTP status code, where there was an answer.
    pub status: Option<u16>,
    /// `url.path`, or the path of `url.full`.
    pub path: Option<String>,
    /// `error.type`, or the status message of a span with an error.
    pub error: Option<String>,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Nanoseconds.
    pub duration: u64,
}

/// On which side of the exchange a span was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Server,
    Client,
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Other => "other",
        })
    }
}

/// Reads one line. A request with metrics or logs only has no spans, and that is fine.
pub fn spans(line: &str) -> Result<Vec<Span>> {
    let request: Request = serde_json::from_str(line)?;
    let known = ["resourceSpans", "resourceMetrics", "resourceLogs", "resourceProfiles"];
    if !request.0.keys().any(|key| known.contains(&key.as_str())) {
        bail!("no OTLP export request");
    }
    let resources: Vec<ResourceSpans> = match request.0.get("resourceSpans") {
        Some(value) => Deserialize::deserialize(value)?,
        None => Vec::new(),
    };
    let mut found = Vec::new();
    for resource in resources {
        let service = text(&resource.resource.attributes, "service.name").unwrap_or("unknown");
        let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        found.extend(spans.map(|span| span.digest(service)));
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Request(Map<String, Value>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(default)]
    resource: Resource,
    #[serde(default)]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Default, Deserialize)]
struct Resource {
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default)]
    spans: Vec<RawSpan>,
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    #[serde(default)]
    value: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpan {
    name: String,
    #[serde(default)]
    kind: u8,
    start_time_unix_nano: Value,
    end_time_unix_nano: Value,
    #[serde(default)]
    attributes: Vec<Attribute>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u8,
    #[serde(default)]
    message: String,
}

impl RawSpan {
    fn digest(&self, service: &str) -> Span {
        let attribute = |key| text(&self.attributes, key);
        let start = number(&self.start_time_unix_nano).unwrap_or_default();
        let end = number(&self.end_time_unix_nano).unwrap_or_default();
        let status = self.attributes.iter().find(|attribute| attribute.key == "http.response.status_code");
        let path = attribute("url.path").or_else(|| attribute("url.full").map(path_of)).map(str::to_owned);
        let failed = self.status.as_ref().filter(|status| status.code == 2);
        let error = failed.map(|status| attribute("error.type").unwrap_or(&status.message).to_owned());
        Span {
            service: service.to_owned(),
            kind: match self.kind {
                2 => Kind::Server,
                3 => Kind::Client,
                _ => Kind::Other,
            },
            name: self.name.clone(),
            status: status
                .and_then(|attribute| number(attribute.value.get("intValue")?))
                .and_then(|code| code.try_into().ok()),
            path,
            error,
            end,
            duration: end.saturating_sub(start),
        }
    }
}

fn text<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.get("stringValue")?.as_str()
}

/// 64-bit integers are strings in OTLP/JSON; numbers are accepted too.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The path of `http://host:port/path?query`.
fn path_of(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after.find('/').map_or("/", |slash| &after[slash..]);
    path.split('?').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"resourceSpans":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"frontend"}}]},
        "scopeSpans":[{"scope":{"name":"remora"},"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c",
        "spanId":"b7ad6b7169203331","name":"GET /products/{id}","kind":3,
        "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000012500000",
        "attributes":[{"key":"http.response.status_code","value":{"intValue":"503"}},
        {"key":"url.full","value":{"stringValue":"http://127.0.0.1:80/products/7?token=REDACTED"}},
        {"key":"error.type","value":{"stringValue":"503"}}],"status":{"code":2}}]}]}]}"#;

    #[test]
    fn a_span_is_read_with_its_resource() {
        let expected = Span {
            service: "frontend".into(),
            kind: Kind::Client,
            name: "GET /products/{id}".into(),
            status: Some(503),
            path: Some("/products/7".into()),
            error: Some("503".into()),
            end: 1_700_000_000_012_500_000,
            duration: 12_500_000,
        };
        assert_eq!(spans(LINE).unwrap(), [expected]);
    }

    #[test]
    fn only_export_requests_are_accepted() {
        assert_eq!(spans(r#"{"resourceMetrics":[]}"#).unwrap(), []);
        assert!(spans(r#"{"level":"info"}"#).is_err());
        assert!(spans("starting").is_err());
    }
}
