//! What is kept of an exchange, and how it reads in OpenTelemetry's words.
//!
//! Attributes, span names and status follow the semantic conventions for HTTP spans (stable since 1.23).
//! Where a convention leaves room:
//!
//! - `http.route` is a guess of [`Router`](super::Router) unless the user gave patterns: the route that the
//!   framework matched is not in the bytes.
//! - `http.request.body.size` and `http.response.body.size` count what was sent as the body, without the
//!   framing of a chunked one or of HTTP/2, compressed if it is.
//! - A host without a port has its scheme's port.
//! - `error.type` of an exchange that broke is a word for how; see [`broken`].
//! - What HTTP/2's header compression hides, because it was said before we came, is left out, and counted by
//!   `remora.http.unknown_fields`.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use super::calls::{self, Call};
use super::target::{Target, default_port, host_and_port};
use super::texts::{Field, Texts};
use super::{Attributes, Fields, METHODS, Reset, Shared, broken, forwarded, instruments, is};
use crate::protocol::{
    Description, Detail, Endpoint, Exchange, Moment, Role, Scene, TraceParent, Value, context,
};

/// The versions, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::protocol) enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// `network.protocol.version`
    pub fn name(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }
    }
}

/// What a request's head says.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Request<'a> {
    /// Empty if it is not known.
    pub method: &'a [u8],
    /// Empty if it is not known, or if the method has none.
    pub target: &'a [u8],
    /// The target's end was not seen.
    pub target_cut: bool,
    /// As HTTP/2 says it; HTTP/1 has it in the target, if at all.
    pub scheme: Option<&'a [u8]>,
    pub version: Option<Version>,
    pub fields: Fields<'a>,
}

/// An HTTP request and, later, its response.
#[derive(Clone, Debug)]
pub(in crate::protocol) struct HttpDetail {
    shared: Arc<Shared>,
    texts: Texts,
    target_cut: bool,
    /// The version that was spoken, if it is known.
    pub version: Option<Version>,
    parent: Option<TraceParent>,
    pub status: Option<u16>,
    /// Bytes of the request's body.
    pub request_body: Option<u64>,
    /// Bytes of the response's body.
    pub response_body: Option<u64>,
    /// One end gave up.
    pub reset: Option<Reset>,
    /// Field lines that could not be read.
    pub unknown_fields: u32,
    /// What is called, where that has a name of its own.
    pub call: Option<Box<Call>>,
}

/// The request that made a connection go on in another protocol.
#[derive(Debug)]
pub(in crate::protocol) struct Upgraded {
    /// When the request began, if its answer comes in the new protocol; else when the answer came. Who was at work on it.
    pub start: Moment,
    pub detail: Box<HttpDetail>,
}

impl HttpDetail {
    pub fn new(shared: &Arc<Shared>, request: &Request<'_>) -> Self {
        let fields = &request.fields;
        let noted = |parameter| fields.forwarded.and_then(|value| forwarded::forwarded(value, parameter));
        let client = noted(b"for")
            // RFC 7239, 6.2 and 6.3: nobody, or somebody who does not want to be known.
            .filter(|client| !is(client, b"unknown") && !client.starts_with(b"_"))
            .or(fields.forwarded_for.map(forwarded::list_head));
        let host = noted(b"host").or(fields.forwarded_host.map(forwarded::list_head));
        let scheme = noted(b"proto").or(fields.forwarded_proto.map(forwarded::list_head));
        let parent = fields.traceparent.filter(|_| !fields.traceparent_ambiguous);
        let parent = parent.and_then(context::trace_parent).map(|parent| TraceParent {
            state: context::trace_state(fields.tracestate.iter().flatten().copied()),
            ..parent
        });
        Self {
            shared: Arc::clone(shared),
            texts: Texts::new([
                request.method,
                request.target,
                fields.host.unwrap_or_default(),
                fields.user_agent.unwrap_or_default(),
                client.unwrap_or_default(),
                host.unwrap_or_default(),
                scheme.unwrap_or_default(),
                request.scheme.unwrap_or_default(),
            ]),
            target_cut: request.target_cut || request.target.len() > Field::Target.limit(),
            version: request.version,
            parent,
            status: None,
            request_body: None,
            response_body: None,
            reset: None,
            unknown_fields: 0,
            call: Call::of(
                &calls::Head { method: request.method, target: request.target, fields },
                shared.bodies,
            ),
        }
    }

    /// Takes over what a response's head says.
    pub fn answered(&mut self, status: u16, version: Version, fields: &Fields<'_>) {
        self.status = Some(status);
        if let Some(call) = &mut self.call {
            call.answered(status, fields);
        }
        // The lower of the two versions is the one that was spoken.
        self.version = Some(self.version.map_or(version, |own| own.min(version)));
    }

    /// Bytes of memory, about.
    pub fn weight(&self) -> usize {
        let state = self.parent.as_ref().and_then(|parent| parent.state.as_ref());
        let call = self.call.as_ref().map_or(0, |_| size_of::<Call>());
        size_of::<Self>() + self.texts.len() + state.map_or(0, |state| state.len()) + call
    }

    /// The trace context that the request carried.
    pub fn parent(&self) -> Option<TraceParent> {
        self.parent.clone()
    }

    /// `user_agent.original`
    pub fn user_agent(&self, out: &mut Attributes) {
        if let Some(agent) = self.texts.find(Field::UserAgent) {
            out.text("user_agent.original", agent.to_owned());
        }
    }

    /// The target's path, without a query; `None` if there is none, or if it is not known or not known to its end.
    pub fn path(&self) -> Option<&str> {
        match self.target()? {
            Target::Origin { path, query } if query.is_some() || !self.target_cut => Some(path),
            _ => None,
        }
    }

    fn target(&self) -> Option<Target<'_>> {
        let method = self.texts.get(Field::Method);
        match self.texts.find(Field::Target) {
            // RFC 8441, 4: `CONNECT` with a path is not for a tunnel.
            Some(target) if self.version == Some(Version::Http2) && target.starts_with('/') => {
                Some(Target::parse("GET", target))
            }
            Some(target) => Some(Target::parse(method, target)),
            // RFC 9113, 8.5: the authority is a field.
            None if method == "CONNECT" => self.texts.find(Field::Host).map(Target::Authority),
            None => None,
        }
    }

    /// `http.request.method` and, if it is not one of the known ones, the original; `None` if it was not seen.
    fn method(&self) -> Option<(Cow<'static, str>, Option<&str>)> {
        let method = self.texts.find(Field::Method)?;
        if !self.shared.settings.known_methods.iter().any(|known| known == method) {
            return Some((Cow::Borrowed("_OTHER"), Some(method)));
        }
        let known = METHODS.iter().find(|&&known| known == method);
        Some((known.map_or_else(|| Cow::Owned(method.to_owned()), |&known| Cow::Borrowed(known)), None))
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

    /// `url.scheme`, if it is known.
    fn scheme(&self, role: Role) -> Option<&'static str> {
        let original = match role {
            Role::Server => self.texts.find(Field::OriginalScheme),
            Role::Client => None,
        };
        let https = |scheme: &str| scheme.eq_ignore_ascii_case("https");
        Some(match (original, self.target(), self.texts.find(Field::Scheme)) {
            (Some(scheme), _, _) if https(scheme) => "https",
            (_, Some(Target::Absolute { scheme, .. }), _) if https(scheme) => "https",
            (_, _, Some(scheme)) if https(scheme) => "https",
            (_, _, None) if self.version == Some(Version::Http2) => return None,
            _ => "http",
        })
    }

    /// `server.address` and `server.port`: as the client named the server, else of the socket.
    pub fn server(&self, scene: &Scene<'_>, out: &mut Attributes) {
        let named = match self.target() {
            Some(Target::Absolute { authority, .. } | Target::Authority(authority)) => Some(authority),
            _ => None,
        };
        let original = match scene.role {
            Role::Server => self.texts.find(Field::OriginalHost),
            Role::Client => None,
        };
        let named = named.or(original).or(self.texts.find(Field::Host));
        let (address, port) = match (named.and_then(host_and_port), scene.server()) {
            (Some((host, port)), _) => {
                let scheme = self.scheme(scene.role).unwrap_or("http");
                (host.to_owned(), Some(port.unwrap_or(default_port(scheme))))
            }
            (None, Endpoint::Inet(address)) => (address.ip().to_string(), Some(address.port())),
            (None, Endpoint::Unix(path)) => (path.to_string(), None),
        };
        if !address.is_empty() {
            out.text("server.address", address);
            if let Some(port) = port {
                out.integer("server.port", port);
            }
        }
    }

    /// `client.address` and `client.port`, for a server: as a proxy noted them, else of the socket.
    pub fn client(&self, scene: &Scene<'_>, out: &mut Attributes) {
        match self.texts.find(Field::Client).and_then(host_and_port) {
            Some((client, port)) => {
                out.text("client.address", client.to_owned());
                if let Some(port) = port {
                    out.integer("client.port", port);
                }
            }
            None => out.endpoint("client.address", "client.port", scene.remote),
        }
    }

    /// `url.full`
    fn url(&self, target: Target<'_>, scheme: &str, socket: &Endpoint) -> String {
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
                url.push_str(scheme);
                url.push_str("://");
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

    /// Tells which server and what on it: all of `server.*`, `client.*`, `url.*` and `http.route`. Gives what of that a
    /// span's name may say.
    pub fn place(&self, scene: &Scene<'_>, out: &mut Attributes) -> Option<String> {
        self.server(scene, out);
        let scheme = self.scheme(scene.role);
        if let Some(scheme) = scheme {
            out.text("url.scheme", scheme);
        }
        let target = self.target();
        if scene.role == Role::Server {
            let route = target.and_then(|target| self.path_of(target, out));
            self.client(scene, out);
            out.endpoint("network.local.address", "network.local.port", scene.local);
            return route.inspect(|route| out.text("http.route", route.clone()));
        }
        let target = target?;
        out.text("url.full", self.url(target, scheme.unwrap_or("http"), scene.remote));
        let template = match target {
            Target::Origin { path, .. } | Target::Absolute { path, .. } => self.shared.router.template(path),
            _ => None,
        };
        let template = template.filter(|_| !self.target_cut).map(str::to_owned);
        template.inspect(|template| out.text("url.template", template.clone()))
    }

    /// `url.path` and `url.query`; gives the route.
    fn path_of(&self, target: Target<'_>, out: &mut Attributes) -> Option<String> {
        let (path, query) = match target {
            Target::Origin { path, query } | Target::Absolute { path, query, .. } => (path, query),
            Target::Other(text) => (text, None),
            Target::Asterisk => ("*", None),
            Target::Authority(_) => ("", None),
        };
        out.text("url.path", self.shared.redactor.path(path).into_owned());
        if let Some(query) = query {
            out.text("url.query", self.shared.redactor.query(query).into_owned());
        }
        match target {
            Target::Origin { .. } | Target::Absolute { .. } => Some(self.route(path)),
            Target::Asterisk => Some("*".to_owned()),
            Target::Other(_) | Target::Authority(_) => None,
        }
    }

    /// `error.type`, `remora.outcome` and the span's status.
    fn fail(&self, exchange: &Exchange, role: Role, out: &mut Attributes) -> Option<Cow<'static, str>> {
        let bad = match role {
            Role::Server => 500,
            Role::Client => 400,
        };
        let status = self.status.filter(|&status| status >= bad);
        let broken = broken(exchange.outcome, self.reset, self.status.is_some(), out);
        match (status, &broken) {
            (Some(status), _) => out.text("error.type", status.to_string()),
            (None, Some(broken)) => out.text("error.type", broken.error_type),
            (None, None) => return None,
        }
        // A status code speaks for itself; how an exchange broke needs a sentence.
        Some(broken.map_or(Cow::Borrowed(""), |broken| broken.sentence))
    }
}

impl Detail for HttpDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out = Attributes::new();
        let mut name = "HTTP".to_owned();
        if let Some((method, original)) = self.method() {
            match original {
                // The conventions' name for a method that is not known is `HTTP`.
                Some(original) => out.text("http.request.method_original", original.to_owned()),
                None => name = method.to_string(),
            }
            out.text("http.request.method", method);
        }
        if let Some(target) = self.place(scene, &mut out) {
            name.push(' ');
            name.push_str(&target);
        }
        out.network(scene);
        if let Some(version) = self.version {
            out.text("network.protocol.version", version.name());
        }
        self.user_agent(&mut out);
        if let Some(status) = self.status {
            out.integer("http.response.status_code", status);
        }
        out.count("http.request.body.size", self.request_body);
        out.count("http.response.body.size", self.response_body);
        if self.unknown_fields > 0 {
            out.integer("remora.http.unknown_fields", self.unknown_fields);
        }
        if let Some(first) = exchange.first_byte {
            let seconds = first.saturating_sub(exchange.start.time) as f64 / 1e9;
            out.0.push(("remora.time_to_first_byte", Value::Float(seconds)));
        }
        let call = self.call.as_ref().and_then(|call| call.describe(&mut out));
        let mut error = self.fail(exchange, scene.role, &mut out);
        // A call may fail where HTTP does not.
        if let (None, Some(call)) = (&error, call) {
            out.text("error.type", call);
            error = Some(Cow::Borrowed(""));
        }
        let genai = self.call.as_ref().is_some_and(|call| call.is_genai());
        Description {
            name,
            attributes: out.0,
            error,
            parent: self.parent(),
            instruments: if genai { instruments::OF_MODELS } else { instruments::INSTRUMENTS },
            ..Description::default()
        }
    }
}
