//! Calls that are made over HTTP and have names of their own: GraphQL, JSON-RPC, SOAP, generative AI, Elasticsearch and
//! OpenSearch, and object stores that speak Amazon's S3.
//!
//! Elasticsearch and S3 are known by paths and fields. The others say what they are in bodies, which are read only if the
//! user switched that on: at most 64 KiB of each, as it passes, and nothing of it is kept but what is told.

mod elasticsearch;
pub(in crate::protocol::http) mod genai;
mod graphql;
mod json;
mod jsonrpc;
mod s3;
mod soap;
mod sse;

use super::target::Target;
use super::{Attributes, Fields, is};
use crate::protocol::text;
use json::Scanner;

/// Bytes of a name that is told.
const MOST_NAME: usize = 128;

/// What a request's head says of the call.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Head<'a> {
    /// `GET`, …
    pub method: &'a [u8],
    /// Path and query, or an absolute URL.
    pub target: &'a [u8],
    /// The rest.
    pub fields: &'a Fields<'a>,
}

/// A call, as far as it is known.
#[derive(Clone, Debug)]
pub(in crate::protocol) struct Call {
    kind: Kind,
    request: Reader,
    response: Reader,
}

#[derive(Clone, Debug)]
enum Kind {
    Elasticsearch(elasticsearch::Call),
    S3(s3::Call),
    GenAi(genai::Call),
    GraphQl(graphql::Call),
    Soap(soap::Call),
    /// JSON that may be JSON-RPC or GraphQL.
    Json(jsonrpc::Call, graphql::Call),
}

/// Reads one body as it passes.
#[derive(Clone, Debug, Default)]
enum Reader {
    /// It says nothing, or all it can has been read.
    #[default]
    Over,
    Json(Box<Scanner>),
    Events(Box<sse::Events>),
    Xml(Box<soap::Envelope>),
    /// The GraphQL document itself.
    Document(Box<graphql::Document>),
}

impl Reader {
    fn json() -> Self {
        Reader::Json(Box::default())
    }

    fn is_over(&self) -> bool {
        match self {
            Reader::Over => true,
            Reader::Json(scanner) => scanner.is_over(),
            Reader::Events(events) => events.is_over(),
            Reader::Xml(envelope) => envelope.is_over(),
            Reader::Document(document) => document.is_over(),
        }
    }
}

/// A media type without its parameters.
fn media_type(value: &[u8]) -> &[u8] {
    value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

fn is_json(content_type: Option<&[u8]>) -> bool {
    content_type.map(media_type).is_some_and(|media| {
        is(media, b"application/json")
            || media.len() > 5 && is(&media[media.len() - 5..], b"+json")
            || is(media, b"application/json-rpc")
    })
}

/// Nobody compressed it.
fn is_plain(content_encoding: Option<&[u8]>) -> bool {
    content_encoding.is_none_or(|coding| coding.is_empty() || is(coding, b"identity"))
}

impl Call {
    /// The call that a request's head begins, if it may be one; `bodies` says that bodies may be read.
    pub fn of(head: &Head<'_>, bodies: bool) -> Option<Box<Self>> {
        let method = std::str::from_utf8(head.method).ok()?;
        let target = std::str::from_utf8(head.target).ok()?;
        let (path, query) = match Target::parse(method, target) {
            Target::Origin { path, query } | Target::Absolute { path, query, .. } => {
                (path, query.unwrap_or(""))
            }
            _ => return None,
        };
        if let Some(call) = s3::Call::of(head, method, path, query) {
            return Some(Self::only(Kind::S3(call)));
        }
        if let Some(call) = elasticsearch::Call::of(head, method, path) {
            return Some(Self::only(Kind::Elasticsearch(call)));
        }
        if !bodies {
            return None;
        }
        let readable = is_plain(head.fields.content_encoding);
        let json = readable && is_json(head.fields.content_type);
        if let Some(call) = genai::Call::of(head, path).filter(|_| method == "POST") {
            let request = if json { Reader::json() } else { Reader::Over };
            return Some(Box::new(Self { kind: Kind::GenAi(call), request, response: Reader::Over }));
        }
        if let Some(call) = soap::Call::of(head) {
            let request = if readable { Reader::Xml(Box::default()) } else { Reader::Over };
            return Some(Box::new(Self { kind: Kind::Soap(call), request, response: Reader::Over }));
        }
        if let Some(call) = graphql::Call::of_query(path, query) {
            return Some(Self::only(Kind::GraphQl(call)));
        }
        if method != "POST" || !readable {
            return None;
        }
        if head.fields.content_type.map(media_type).is_some_and(|media| is(media, b"application/graphql")) {
            let request = Reader::Document(Box::default());
            let kind = Kind::GraphQl(graphql::Call::default());
            return Some(Box::new(Self { kind, request, response: Reader::Over }));
        }
        json.then(|| {
            let kind = Kind::Json(jsonrpc::Call::default(), graphql::Call::default());
            Box::new(Self { kind, request: Reader::json(), response: Reader::Over })
        })
    }

    fn only(kind: Kind) -> Box<Self> {
        Box::new(Self { kind, request: Reader::Over, response: Reader::Over })
    }

    /// Bytes of the request's body are of use.
    pub fn reads_request(&self) -> bool {
        !self.request.is_over()
    }

    /// Bytes of the response's body are of use.
    pub fn reads_response(&self) -> bool {
        !self.response.is_over()
    }

    /// The next bytes of the request's body.
    pub fn request(&mut self, bytes: &[u8]) {
        match &mut self.request {
            Reader::Over | Reader::Events(_) => {}
            Reader::Json(scanner) => scanner.read(bytes, |path, value| match &mut self.kind {
                Kind::GenAi(call) => call.asked(path, value),
                Kind::Json(rpc, graphql) => {
                    rpc.asked(path, value);
                    graphql.asked(path, value);
                }
                _ => {}
            }),
            Reader::Xml(envelope) => {
                if let Kind::Soap(call) = &mut self.kind
                    && let Some(operation) = envelope.read(bytes)
                {
                    call.operation = Some(operation);
                }
            }
            Reader::Document(document) => {
                if let Kind::GraphQl(call) = &mut self.kind {
                    document.read(bytes, call);
                }
            }
        }
    }

    /// Bytes of the request's body are missing.
    pub fn request_cut(&mut self) {
        self.request = Reader::Over;
    }

    /// A response's head has come.
    pub fn answered(&mut self, status: u16, fields: &Fields<'_>) {
        self.request = Reader::Over;
        if let Kind::Json(rpc, graphql) = &mut self.kind {
            if !rpc.is_one() && graphql.is_one() {
                self.kind = Kind::GraphQl(std::mem::take(graphql));
            } else if !rpc.is_one() {
                return;
            }
        }
        let readable = is_plain(fields.content_encoding);
        match &mut self.kind {
            Kind::Elasticsearch(call) => call.answered(status, fields),
            Kind::S3(call) => call.answered(fields),
            Kind::GenAi(_) if readable => {
                let events = fields.content_type.map(media_type).is_some_and(|m| is(m, b"text/event-stream"));
                if events {
                    self.response = Reader::Events(Box::default());
                } else if is_json(fields.content_type) {
                    self.response = Reader::json();
                }
            }
            Kind::GraphQl(_) | Kind::Json(..) if readable && is_json(fields.content_type) => {
                self.response = Reader::json();
            }
            Kind::Soap(_) if readable => self.response = Reader::Xml(Box::default()),
            _ => {}
        }
    }

    /// The next bytes of the response's body.
    pub fn response(&mut self, bytes: &[u8]) {
        match &mut self.response {
            Reader::Over | Reader::Document(_) => {}
            Reader::Json(scanner) => scanner.read(bytes, |path, value| match &mut self.kind {
                Kind::GenAi(call) => call.answered(path, value),
                Kind::GraphQl(call) => call.answered(path, value),
                Kind::Json(rpc, _) => rpc.answered(path, value),
                _ => {}
            }),
            Reader::Events(events) => {
                if let Kind::GenAi(call) = &mut self.kind {
                    events.read(bytes, |path, value| call.answered(path, value));
                }
            }
            Reader::Xml(envelope) => {
                if let Kind::Soap(call) = &mut self.kind
                    && let Some(operation) = envelope.read(bytes)
                {
                    call.fault |= &*operation == "Fault";
                }
            }
        }
    }

    /// Bytes of the response's body are missing. Events begin again at the next line.
    pub fn response_cut(&mut self) {
        match &mut self.response {
            Reader::Events(events) => events.cut(),
            other => *other = Reader::Over,
        }
    }

    /// The call's attributes. Gives what went wrong, if the call says so where HTTP does not: `error.type`.
    pub fn describe(&self, out: &mut Attributes) -> Option<String> {
        match &self.kind {
            Kind::Elasticsearch(call) => call.describe(out),
            Kind::S3(call) => call.describe(out),
            Kind::GenAi(call) => return call.describe(out),
            Kind::GraphQl(call) => return call.describe(out),
            Kind::Soap(call) => return call.describe(out),
            Kind::Json(rpc, _) if rpc.is_one() => return rpc.describe(out),
            // Not answered yet.
            Kind::Json(_, graphql) if graphql.is_one() => return graphql.describe(out),
            Kind::Json(..) => {}
        }
        None
    }

    /// The metrics that count it beside HTTP's.
    pub fn is_genai(&self) -> bool {
        matches!(self.kind, Kind::GenAi(_))
    }
}

fn name(bytes: &[u8]) -> Box<str> {
    text::bounded(bytes, MOST_NAME)
}

#[cfg(test)]
mod tests;
