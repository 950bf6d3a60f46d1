//! OTLP/JSON as the agent writes it to standard output, one export request a line: as much of it as the demo shows.

use std::borrow::Cow;
use std::fmt;

use anyhow::{Result, bail};
use serde::de::{Error, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

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
    let request: Request<'_> = serde_json::from_str(line)?;
    let others = [&request.resource_metrics, &request.resource_logs, &request.resource_profiles];
    if request.resource_spans.is_none() && others.iter().all(|other| other.is_none()) {
        bail!("no OTLP export request");
    }
    let mut found = Vec::new();
    for resource in request.resource_spans.unwrap_or_default() {
        let service = text(&resource.resource.attributes, "service.name").unwrap_or("unknown");
        let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        found.extend(spans.map(|span| span.digest(service)));
    }
    Ok(found)
}

// Borrowed where it can be: a busy host makes tens of thousands of spans a second.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    resource_spans: Option<Vec<ResourceSpans<'a>>>,
    resource_metrics: Option<IgnoredAny>,
    resource_logs: Option<IgnoredAny>,
    resource_profiles: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    #[serde(borrow, default)]
    resource: Resource<'a>,
    #[serde(borrow, default)]
    scope_spans: Vec<ScopeSpans<'a>>,
}

#[derive(Default, Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    attributes: Vec<Attribute<'a>>,
}

#[derive(Deserialize)]
struct ScopeSpans<'a> {
    #[serde(borrow, default)]
    spans: Vec<RawSpan<'a>>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<AnyValue<'a>>,
}

/// Of `AnyValue`, what the demo looks at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue<'a> {
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
    int_value: Option<Number>,
}

/// Borrowed unless it holds escapes. (`Option<Cow>` by itself would always copy.)
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// 64-bit integers are strings in OTLP/JSON; numbers are accepted too.
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer, or a string with one")
            }

            fn visit_u64<E: Error>(self, number: u64) -> std::result::Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> std::result::Result<Number, E> {
                Ok(Number(u64::try_from(number).unwrap_or_default()))
            }

            fn visit_str<E: Error>(self, text: &str) -> std::result::Result<Number, E> {
                let number: i128 = text.parse().map_err(E::custom)?;
                Ok(Number(u64::try_from(number).unwrap_or_default()))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpan<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    kind: u8,
    start_time_unix_nano: Number,
    end_time_unix_nano: Number,
    #[serde(borrow, default)]
    attributes: Vec<Attribute<'a>>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(default)]
    code: u8,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

impl RawSpan<'_> {
    fn digest(&self, service: &str) -> Span {
        let attribute = |key| text(&self.attributes, key);
        let (start, end) = (self.start_time_unix_nano.0, self.end_time_unix_nano.0);
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
            name: self.name.clone().into_owned(),
            status: value(&self.attributes, "http.response.status_code")
                .and_then(|value| value.int_value.as_ref()?.0.try_into().ok()),
            path,
            error,
            end,
            duration: end.saturating_sub(start),
        }
    }
}

fn value<'a>(attributes: &'a [Attribute<'a>], key: &str) -> Option<&'a AnyValue<'a>> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()
}

fn text<'a>(attributes: &'a [Attribute<'a>], key: &str) -> Option<&'a str> {
    value(attributes, key)?.string_value.as_ref().map(|text| &*text.0)
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
        {"key":"error.type","value":{"stringValue":"503"}},{"key":"retries","value":{"intValue":"-1"}},
        {"key":"list","value":{"arrayValue":{"values":[{"intValue":"1"}]}}},{"key":"empty","value":null}],
        "status":{"code":2}}]}]}]}"#;

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
