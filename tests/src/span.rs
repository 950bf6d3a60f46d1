//! A span as OTLP/JSON tells it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;

/// Which end of the exchange the span tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It answered.
    Server,
    /// It asked.
    Client,
    /// It handed a message to a broker.
    Producer,
    /// It got a message from a broker.
    Consumer,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `stringValue`
    Text(String),
    /// `intValue`
    Integer(i64),
    /// `doubleValue`
    Float(f64),
    /// `boolValue`
    Flag(bool),
    /// `arrayValue`
    List(Vec<Value>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => number.fmt(f),
            Value::Float(number) => number.fmt(f),
            Value::Flag(flag) => flag.fmt(f),
            Value::List(list) => f.debug_list().entries(list).finish(),
        }
    }
}

/// Attributes by key.
pub type Attributes = BTreeMap<String, Value>;

/// A span with its resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The resource's attributes.
    pub resource: Attributes,
    /// Server or client.
    pub kind: Kind,
    /// The span's name.
    pub name: String,
    /// The span's attributes.
    pub attributes: Attributes,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// OTLP's status code: 0 unset, 1 ok, 2 error.
    pub status: i64,
    /// 32 hexadecimal digits.
    pub trace: String,
    /// 16 hexadecimal digits.
    pub id: String,
    /// 16 hexadecimal digits, or empty.
    pub parent: String,
}

impl Span {
    /// `service.name`
    #[must_use]
    pub fn service(&self) -> &str {
        match self.resource.get("service.name") {
            Some(Value::Text(name)) => name,
            _ => "",
        }
    }

    /// `process.pid` of the resource, 0 if it has none.
    #[must_use]
    pub fn process(&self) -> u32 {
        match self.resource.get("process.pid") {
            Some(Value::Integer(id)) => u32::try_from(*id).unwrap_or(0),
            _ => 0,
        }
    }

    /// An attribute of the span, else of its resource.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.get(key).or_else(|| self.resource.get(key))
    }

    /// A text attribute, or the empty text.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// An integer attribute.
    #[must_use]
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// An attribute that is a number of seconds.
    #[must_use]
    pub fn seconds(&self, key: &str) -> Option<f64> {
        match self.get(key) {
            Some(Value::Float(number)) => Some(*number),
            _ => None,
        }
    }

    /// End less start.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.start))
    }

    /// The response's status.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        self.integer("http.response.status_code")
    }

    /// Path and query of the request, whichever end the span tells of.
    #[must_use]
    pub fn target(&self) -> String {
        let path = self.text("url.path");
        if !path.is_empty() {
            let query = self.text("url.query");
            return if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        }
        let full = self.text("url.full");
        let rest = full.split_once("://").map_or(full, |(_, rest)| rest);
        rest.find('/').map_or(String::new(), |slash| rest[slash..].to_owned())
    }

    /// The port on which the server listens, as the connection's addresses tell it.
    #[must_use]
    pub fn server_port(&self) -> Option<i64> {
        match self.kind {
            Kind::Server => self.integer("network.local.port"),
            // Of messages, it is the broker's clients that tell.
            Kind::Client | Kind::Producer | Kind::Consumer => self.integer("network.peer.port"),
        }
    }

    /// All spans of one line that the agent wrote; nothing if the line holds something else.
    pub(crate) fn parse(request: &Json, into: &mut Vec<Span>) -> Result<(), String> {
        for group in list(request, "resourceSpans") {
            let resource = attributes(&group["resource"])?;
            for scope in list(group, "scopeSpans") {
                for span in list(scope, "spans") {
                    let span = Self::one(span, &resource).map_err(|error| format!("{error} in {span}"))?;
                    into.push(span);
                }
            }
        }
        Ok(())
    }

    fn one(json: &Json, resource: &Attributes) -> Result<Span, String> {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let nanos =
            |key: &str| text(key).parse::<u64>().map_err(|_| format!("{key} is not a number in a string"));
        let kind = match json["kind"].as_i64() {
            Some(2) => Kind::Server,
            Some(3) => Kind::Client,
            Some(4) => Kind::Producer,
            Some(5) => Kind::Consumer,
            other => return Err(format!("unexpected kind {other:?}")),
        };
        let span = Span {
            resource: resource.clone(),
            kind,
            name: text("name"),
            attributes: attributes(json)?,
            start: nanos("startTimeUnixNano")?,
            end: nanos("endTimeUnixNano")?,
            status: json["status"]["code"].as_i64().unwrap_or(0),
            trace: text("traceId"),
            id: text("spanId"),
            parent: text("parentSpanId"),
        };
        let hex = |id: &str, length: usize| {
            id.len() == length && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
        };
        if !hex(&span.trace, 32) || !hex(&span.id, 16) || !(span.parent.is_empty() || hex(&span.parent, 16)) {
            return Err("ids are not hexadecimal, of the right length and not zero".to_owned());
        }
        if span.end < span.start || span.service().is_empty() || span.name.is_empty() {
            return Err("no service, no name, or an end before the start".to_owned());
        }
        Ok(span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, process) = (self.service(), self.process());
        writeln!(f, "{:?} span {:?} of {service} ({process})", self.kind, self.name)?;
        writeln!(
            f,
            "    {:?}, status {}, trace {}, id {}",
            self.duration(),
            self.status,
            self.trace,
            self.id
        )?;
        for (key, value) in &self.attributes {
            writeln!(f, "    {key} = {value}")?;
        }
        Ok(())
    }
}

pub(crate) fn list<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json[key].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn attributes(json: &Json) -> Result<Attributes, String> {
    let mut all = Attributes::new();
    for pair in list(json, "attributes") {
        let key = pair["key"].as_str().ok_or("an attribute without a key")?;
        if all.insert(key.to_owned(), value(&pair["value"])?).is_some() {
            return Err(format!("two attributes {key}"));
        }
    }
    Ok(all)
}

fn value(json: &Json) -> Result<Value, String> {
    let object = json.as_object().ok_or("an attribute without a value")?;
    let (kind, inner) = object.iter().next().ok_or("an attribute with an empty value")?;
    let value = match (kind.as_str(), inner) {
        ("stringValue", Json::String(text)) => Value::Text(text.clone()),
        // 64-bit integers are strings in OTLP/JSON.
        ("intValue", Json::String(digits)) => Value::Integer(digits.parse().map_err(|_| "a bad intValue")?),
        ("doubleValue", Json::Number(number)) => Value::Float(number.as_f64().ok_or("a bad doubleValue")?),
        ("boolValue", Json::Bool(flag)) => Value::Flag(*flag),
        ("arrayValue", array) => {
            Value::List(list(array, "values").iter().map(value).collect::<Result<_, _>>()?)
        }
        _ => return Err(format!("an attribute's value is {json}")),
    };
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(span: &str) -> Result<Vec<Span>, String> {
        let json = format!(
            r#"{{"resourceSpans": [{{"resource": {{"attributes": [
                {{"key": "service.name", "value": {{"stringValue": "cart"}}}},
                {{"key": "process.pid", "value": {{"intValue": "42"}}}}]}},
                "scopeSpans": [{{"spans": [{span}]}}]}}]}}"#
        );
        let mut spans = Vec::new();
        Span::parse(&serde_json::from_str(&json).expect("JSON"), &mut spans).map(|()| spans)
    }

    const GOOD: &str = r#"{"kind": 3, "name": "GET", "startTimeUnixNano": "5", "endTimeUnixNano": "9",
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331",
        "attributes": [{"key": "url.full", "value": {"stringValue": "http://[::1]:80/a?b"}},
            {"key": "network.peer.port", "value": {"intValue": "80"}}]}"#;

    /// A span in OTLP/JSON is read with its resource.
    #[test]
    fn reads() {
        let spans = request(GOOD).expect("a good span");
        let span = &spans[0];
        assert_eq!((span.service(), span.process(), span.kind), ("cart", 42, Kind::Client));
        assert_eq!((span.target().as_str(), span.server_port()), ("/a?b", Some(80)));
        assert_eq!(span.duration(), Duration::from_nanos(4));
    }

    /// What is not as OTLP/JSON wants it is refused.
    #[test]
    fn refuses() {
        for (from, to) in [
            ("\"intValue\": \"80\"", "\"intValue\": 80"),
            ("b7ad6b7169203331", "b7ad6b716920333"),
            ("b7ad6b7169203331", "0000000000000000"),
            ("\"endTimeUnixNano\": \"9\"", "\"endTimeUnixNano\": 9"),
            ("\"endTimeUnixNano\": \"9\"", "\"endTimeUnixNano\": \"4\""),
            ("\"kind\": 3", "\"kind\": \"SPAN_KIND_CLIENT\""),
            ("network.peer.port", "url.full"),
        ] {
            assert!(request(&GOOD.replace(from, to)).is_err(), "{to}");
        }
    }
}
