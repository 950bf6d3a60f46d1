//! What is kept of an exchange, and how it reads in OpenTelemetry's words.
//!
//! Attributes, span names and status follow the semantic conventions for HTTP spans (stable since 1.23).
//! Where a convention leaves room:
//!
//! - `http.route` is a guess of [`Router`](super::Router) unless the user gave patterns: the route that the
//!   framework matched is not in the bytes.
//! - `http.request.body.size` and `http.response.body.size` count what was sent as the body, without the
//!   framing of a chunked one, compressed if it is.
//! - A host without a port has its scheme's port.
//! - `error.type` of an exchange that broke is one of [`error_word`]'s. A response that was lost to us, or is
//!   still to come, is no error of the service; `remora.outcome` says why there is no status.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use super::head::{self, Response};
use super::target::{Target, default_port, host_and_port};
use super::texts::{Field, Texts, trace_state};
use super::{Shared, context, infer};
use crate::protocol::{
    Attribute, Description, Detail, Endpoint, Exchange, Outcome, Role, Scene, TraceParent, Value,
};

/// An HTTP request and, later, its response.
#[derive(Debug)]
pub(super) struct HttpDetail {
    shared: Arc<Shared>,
    texts: Texts,
    target_cut: bool,
    minor: Option<u8>,
    parent: Option<TraceParent>,
    pub status: Option<u16>,
    /// Bytes of the request's body.
    pub request_body: Option<u64>,
    /// Bytes of the response's body.
    pub response_body: Option<u64>,
}

impl HttpDetail {
    pub fn new(shared: &Arc<Shared>, head: &head::Request<'_>) -> Self {
        let client = head
            .forwarded
            .and_then(|value| context::forwarded(value, b"for"))
            // RFC 7239, 6.2 and 6.3: nobody, or somebody who does not want to be known.
            .filter(|client| !head::is(client, b"unknown") && !client.starts_with(b"_"))
            .or(head.forwarded_for.map(context::list_head));
        let host = head
            .forwarded
            .and_then(|value| context::forwarded(value, b"host"))
            .or(head.forwarded_host.map(context::list_head));
        let scheme = head
            .forwarded
            .and_then(|value| context::forwarded(value, b"proto"))
            .or(head.forwarded_proto.map(context::list_head));
        let parent = head.traceparent.filter(|_| !head.traceparent_ambiguous).and_then(context::trace_parent);
        let parent = parent.map(|parent| TraceParent { state: trace_state(&head.tracestate), ..parent });
        Self {
            shared: Arc::clone(shared),
            texts: Texts::new([
                head.method,
                head.target,
                head.host.unwrap_or_default(),
                head.user_agent.unwrap_or_default(),
                client.unwrap_or_default(),
                host.unwrap_or_default(),
                scheme.unwrap_or_default(),
            ]),
            target_cut: head.target_cut || head.target.len() > Field::Target.limit(),
            minor: head.minor,
            parent,
            status: None,
            request_body: None,
            response_body: None,
        }
    }

    /// Takes over what a response's head says.
    pub fn answered(&mut self, head: &Response<'_>) {
        self.status = Some(head.status);
        // The lower of the two versions is the one that was spoken.
        self.minor = Some(self.minor.map_or(head.minor, |minor| minor.min(head.minor)));
    }

    /// Bytes of memory, about.
    pub fn weight(&self) -> usize {
        let state =
            self.parent.as_ref().and_then(|parent| parent.state.as_ref()).map_or(0, |state| state.len());
        size_of::<Self>() + self.texts.len() + state
    }

    /// `http.request.method` and, if it is not known, the original.
    fn method(&self) -> (Cow<'static, str>, Option<&str>) {
        let method = self.texts.get(Field::Method);
        if !self.shared.settings.known_methods.iter().any(|known| known == method) {
            return (Cow::Borrowed("_OTHER"), Some(method));
        }
        let known = infer::METHODS.iter().find(|&&known| known == method);
        (known.map_or_else(|| Cow::Owned(method.to_owned()), |&known| Cow::Borrowed(known)), None)
    }

    /// The route of a path. The last segment of a path that was cut off is not what it seems.
    fn route(&self, path: &str) -> String {
        let whole = !self.target_cut || self.texts.get(Field::Target).contains('?');
        match path.rfind('/') {
            Some(slash) if !whole => {
                let parent = self.shared.router.route(&path[..slash]);
                format!("{}/*", parent.strip_suffix("/*").unwrap_or(&parent).trim_end_matches('/'))
            }
            _ => self.shared.router.route(path).into_owned(),
        }
    }

    /// Host and port of the server as the client named it, else of the socket.
    fn server(
        &self,
        target: Target<'_>,
        role: Role,
        scheme: &str,
        socket: &Endpoint,
    ) -> (String, Option<u16>) {
        let named = match target {
            Target::Absolute { authority, .. } | Target::Authority(authority) => Some(authority),
            _ => None,
        };
        let original = match role {
            Role::Server => self.texts.find(Field::OriginalHost),
            Role::Client => None,
        };
        let named = named.or(original).or(self.texts.find(Field::Host));
        match (named.and_then(host_and_port), socket) {
            (Some((host, port)), _) => (host.to_owned(), Some(port.unwrap_or(default_port(scheme)))),
            (None, Endpoint::Inet(address)) => (address.ip().to_string(), Some(address.port())),
            (None, Endpoint::Unix(path)) => (path.to_string(), None),
        }
    }

    /// `url.full`
    fn url(&self, target: Target<'_>, socket: &Endpoint) -> String {
        let mut url = String::with_capacity(64);
        let redactor = &self.shared.redactor;
        let (path, query) = match target {
            Target::Absolute { scheme, userinfo, authority, path, query } => {
                let userinfo = if userinfo { "REDACTED:REDACTED@" } else { "" };
                _ = write!(url, "{scheme}://{userinfo}{authority}");
                (path, query)
            }
            // A tunnel has no scheme.
            Target::Authority(authority) => return format!("//{authority}"),
            Target::Origin { .. } | Target::Asterisk | Target::Other(_) => {
                url.push_str("http://");
                match (self.texts.find(Field::Host), socket) {
                    (Some(host), _) => url.push_str(host.rsplit('@').next().unwrap_or(host)),
                    (None, Endpoint::Inet(address)) => _ = write!(url, "{address}"),
                    (None, Endpoint::Unix(_)) => url.push_str("localhost"),
                }
                match target {
                    Target::Origin { path, query } => (path, query),
                    Target::Other(text) => {
                        url.push('/');
                        (text, None)
                    }
                    _ => ("", None),
                }
            }
        };
        url.push_str(&redactor.path(path));
        if let Some(query) = query {
            url.push('?');
            url.push_str(&redactor.query(query));
        }
        url
    }

    /// What only a server's span has; gives its route.
    fn describe_server(
        &self,
        target: Target<'_>,
        scheme: &str,
        scene: &Scene<'_>,
        out: &mut Attributes,
    ) -> Option<String> {
        let (path, query) = match target {
            Target::Origin { path, query } | Target::Absolute { path, query, .. } => (path, query),
            Target::Other(text) => (text, None),
            Target::Asterisk => ("*", None),
            Target::Authority(_) => ("", None),
        };
        out.text("url.scheme", scheme.to_owned());
        out.text("url.path", self.shared.redactor.path(path).into_owned());
        if let Some(query) = query {
            out.text("url.query", self.shared.redactor.query(query).into_owned());
        }
        let forwarded = self.texts.find(Field::Client).and_then(host_and_port);
        match (forwarded, scene.remote) {
            (Some((client, port)), _) => {
                out.text("client.address", client.to_owned());
                if let Some(port) = port {
                    out.integer("client.port", port);
                }
            }
            (None, Endpoint::Inet(address)) => {
                out.text("client.address", address.ip().to_string());
                out.integer("client.port", address.port());
            }
            (None, Endpoint::Unix(path)) if !path.is_empty() => out.text("client.address", path.to_string()),
            (None, Endpoint::Unix(_)) => {}
        }
        out.endpoint("network.local.address", "network.local.port", scene.local);
        match target {
            Target::Origin { .. } | Target::Absolute { .. } => Some(self.route(path)),
            Target::Asterisk => Some("*".to_owned()),
            Target::Other(_) | Target::Authority(_) => None,
        }
    }
}

impl Detail for HttpDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let (method, original) = self.method();
        let target = Target::parse(self.texts.get(Field::Method), self.texts.get(Field::Target));
        let original_scheme = match scene.role {
            Role::Server => self.texts.find(Field::OriginalScheme),
            Role::Client => None,
        };
        let scheme = match (original_scheme, target) {
            (Some(scheme), _) if scheme.eq_ignore_ascii_case("https") => "https",
            (_, Target::Absolute { scheme, .. }) if scheme.eq_ignore_ascii_case("https") => "https",
            _ => "http",
        };
        let mut out = Attributes(Vec::with_capacity(24));

        // The conventions' name for a method that is not known is `HTTP`.
        let mut name = if original.is_some() { "HTTP".to_owned() } else { method.to_string() };
        out.0.push(("http.request.method", Value::Text(method)));
        if let Some(original) = original {
            out.text("http.request.method_original", original.to_owned());
        }
        let socket = match scene.role {
            Role::Client => scene.remote,
            Role::Server => scene.local,
        };
        let (address, port) = self.server(target, scene.role, scheme, socket);
        if !address.is_empty() {
            out.text("server.address", address);
            if let Some(port) = port {
                out.integer("server.port", port);
            }
        }
        let target_name = match (scene.role, target) {
            (Role::Server, _) => {
                let route = self.describe_server(target, scheme, scene, &mut out);
                route.inspect(|route| out.text("http.route", route.clone()))
            }
            (Role::Client, _) => {
                out.text("url.full", self.url(target, socket));
                out.text("url.scheme", scheme.to_owned());
                let template = match target {
                    Target::Origin { path, .. } | Target::Absolute { path, .. } => {
                        self.shared.router.template(path)
                    }
                    _ => None,
                };
                let template = template.filter(|_| !self.target_cut).map(str::to_owned);
                template.inspect(|template| out.text("url.template", template.clone()))
            }
        };
        if let Some(target) = target_name {
            name.push(' ');
            name.push_str(&target);
        }
        out.endpoint("network.peer.address", "network.peer.port", scene.remote);
        let transport = match scene.remote {
            Endpoint::Inet(_) => "tcp",
            Endpoint::Unix(_) => "unix",
        };
        out.0.push(("network.transport", Value::Text(Cow::Borrowed(transport))));
        match self.minor {
            Some(0) => out.0.push(("network.protocol.version", Value::Text(Cow::Borrowed("1.0")))),
            Some(_) => out.0.push(("network.protocol.version", Value::Text(Cow::Borrowed("1.1")))),
            None => {}
        }
        if let Some(agent) = self.texts.find(Field::UserAgent) {
            out.text("user_agent.original", agent.to_owned());
        }
        if let Some(status) = self.status {
            out.integer("http.response.status_code", status);
        }
        for (key, size) in
            [("http.request.body.size", self.request_body), ("http.response.body.size", self.response_body)]
        {
            if let Some(size) = size {
                out.0.push((key, Value::Integer(i64::try_from(size).unwrap_or(i64::MAX))));
            }
        }
        if let Some(first) = exchange.first_byte {
            let seconds = first.saturating_sub(exchange.start.time) as f64 / 1e9;
            out.0.push(("remora.time_to_first_byte", Value::Float(seconds)));
        }
        let error = self.fail(exchange.outcome, scene.role, &mut out);
        Description { name, attributes: out.0, error, parent: self.parent.clone(), ..Description::default() }
    }
}

impl HttpDetail {
    /// `error.type`, `remora.outcome` and the span's status.
    fn fail(&self, outcome: Outcome, role: Role, out: &mut Attributes) -> Option<Cow<'static, str>> {
        let bad = match role {
            Role::Server => 500,
            Role::Client => 400,
        };
        let status = self.status.filter(|&status| status >= bad);
        let (word, broken) = match outcome {
            Outcome::Complete => (None, None),
            Outcome::ConnectionClosed(errno) => (Some("connection_closed"), Some(error_word(errno))),
            Outcome::ProcessGone => (Some("process_gone"), Some("process_gone")),
            Outcome::ResponseLost => (Some("response_lost"), None),
            Outcome::Unfinished => (Some("unfinished"), None),
            Outcome::TimedOut => (Some("timed_out"), None),
        };
        if let Some(word) = word {
            out.0.push(("remora.outcome", Value::Text(Cow::Borrowed(word))));
        }
        let error_type = match (status, broken) {
            (Some(status), _) => Cow::Owned(status.to_string()),
            (None, Some(word)) => Cow::Borrowed(word),
            (None, None) => return None,
        };
        out.0.push(("error.type", Value::Text(error_type)));
        // A status code speaks for itself; how an exchange broke needs a sentence.
        Some(match (broken, self.status) {
            (None, _) => Cow::Borrowed(""),
            (Some("process_gone"), _) => Cow::Borrowed("the process ended before the response was complete"),
            (Some(_), None) => Cow::Borrowed("the connection ended before a response"),
            (Some(_), Some(_)) => Cow::Borrowed("the connection ended before the response was complete"),
        })
    }
}

/// `error.type` for the way a connection ended (Linux error numbers, `errno(3)`).
fn error_word(errno: u32) -> &'static str {
    match errno {
        0 => "connection_closed",
        32 => "broken_pipe",
        103 => "connection_aborted",
        104 => "connection_reset",
        110 => "connection_timed_out",
        100..=102 | 112 | 113 => "network_unreachable",
        _ => "connection_error",
    }
}

/// Attributes under construction.
struct Attributes(Vec<Attribute>);

impl Attributes {
    fn text(&mut self, key: &'static str, text: String) {
        self.0.push((key, Value::Text(Cow::Owned(text))));
    }

    fn integer(&mut self, key: &'static str, number: u16) {
        self.0.push((key, Value::Integer(i64::from(number))));
    }

    fn endpoint(&mut self, address: &'static str, port: &'static str, endpoint: &Endpoint) {
        match endpoint {
            Endpoint::Inet(socket) => {
                self.text(address, socket.ip().to_string());
                self.integer(port, socket.port());
            }
            Endpoint::Unix(path) if !path.is_empty() => self.text(address, path.to_string()),
            Endpoint::Unix(_) => {}
        }
    }
}
