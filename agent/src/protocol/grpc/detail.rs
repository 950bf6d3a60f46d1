//! How a call reads in OpenTelemetry's words: the semantic conventions for gRPC as they are since 1.39 (`rpc.method` is the
//! full name, statuses are names).
//!
//! - A status that was not sent but follows from how the call ended (a reset stream, a proxy's 502) is what gRPC's
//!   documents say that clients make of it. Of a connection that ended no status is told.
//! - A call that lasts is told in parts while it goes on: see [`GrpcDetail::part`].

use std::borrow::Cow;

use super::{Call, instruments, status};
use crate::protocol::http::{Attributes, HttpDetail, broken};
use crate::protocol::{Description, Detail, Exchange, Outcome, Role, Scene, Value};

/// A longer name is nobody's method.
const MOST_METHOD: usize = 256;

/// A call.
#[derive(Debug)]
pub(in crate::protocol) struct GrpcDetail {
    pub http: HttpDetail,
    pub call: Call,
    /// 0 for a call that is told once. Calls that last are told in parts, counted from 1: each but the last is a span
    /// from where the one before ended, with the counts so far; the last is a span of the whole call.
    pub part: u32,
    /// This is the last part, or the only one.
    pub last: bool,
}

impl GrpcDetail {
    /// `package.Service/Method`, if the path is one that gRPC makes.
    fn method(&self) -> Option<&str> {
        let method = self.http.path()?.strip_prefix('/')?;
        let (service, name) = method.rsplit_once('/')?;
        let fits = method.len() <= MOST_METHOD && !service.is_empty() && !name.is_empty();
        fits.then_some(method)
    }

    /// The status, sent or concluded.
    fn status(&self, exchange: &Exchange) -> Option<u32> {
        if self.call.status.is_some() {
            return self.call.status;
        }
        if let Some(reset) = self.http.reset {
            let lasted = exchange.end.saturating_sub(exchange.start.time);
            // Timers fire late, and the request takes a while to come here.
            let late = self.call.timeout.is_some_and(|timeout| lasted >= timeout - timeout / 10);
            return Some(status::of_reset(reset, late));
        }
        match (exchange.outcome, self.http.status) {
            (Outcome::Complete, Some(http)) if http != 200 => Some(status::of_http(http)),
            // The response is over, and there was none.
            (Outcome::Complete, Some(_)) if !self.call.status_hidden => Some(status::UNKNOWN),
            _ => None,
        }
    }

    fn fail(
        &self,
        status: Option<u32>,
        exchange: &Exchange,
        role: Role,
        out: &mut Attributes,
    ) -> Option<Cow<'static, str>> {
        // A status in trailers is an answer, whatever came after.
        let reset = self.http.reset.filter(|_| self.call.status.is_none());
        let broken = broken(exchange.outcome, reset, self.http.status.is_some(), out);
        match (status, broken) {
            (Some(status), broken) => {
                if !status::is_error(status, role) {
                    return None;
                }
                out.text("error.type", status::name(status));
                let sentence = broken.map_or(Cow::Borrowed(""), |broken| broken.sentence);
                Some(self.call.message.as_ref().map_or(sentence, |message| message.to_string().into()))
            }
            (None, Some(broken)) => {
                out.text("error.type", broken.error_type);
                Some(broken.sentence)
            }
            (None, None) => None,
        }
    }
}

impl Detail for GrpcDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out = Attributes::new();
        out.text("rpc.system.name", "grpc");
        let name = match self.method() {
            Some(method) => {
                out.text("rpc.method", method.to_owned());
                method.to_owned()
            }
            None => {
                if self.http.path().is_some() {
                    out.text("rpc.method", "_OTHER");
                }
                "grpc".to_owned()
            }
        };
        self.http.server(scene, &mut out);
        if scene.role == Role::Server {
            self.http.client(scene, &mut out);
            out.endpoint("network.local.address", "network.local.port", scene.local);
        }
        out.network(scene);
        out.text("network.protocol.name", "http");
        if let Some(version) = self.http.version {
            out.text("network.protocol.version", version.name());
        }
        self.http.user_agent(&mut out);
        if let Some(timeout) = self.call.timeout {
            out.0.push(("remora.rpc.timeout", Value::Float(timeout as f64 / 1e9)));
        }
        for (messages, count, bytes) in [
            (&self.call.requests, "remora.rpc.request.messages", "remora.rpc.request.bytes"),
            (&self.call.responses, "remora.rpc.response.messages", "remora.rpc.response.bytes"),
        ] {
            out.count(count, messages.counts().map(|(count, _)| count));
            out.count(bytes, messages.counts().map(|(_, bytes)| bytes));
        }
        if self.http.unknown_fields > 0 {
            out.integer("remora.http.unknown_fields", self.http.unknown_fields);
        }
        if self.part > 0 {
            out.integer("remora.stream.part", self.part);
        }
        let parent = self.http.parent();
        if !self.last {
            return Description { name, attributes: out.0, parent, ..Description::default() };
        }
        if let Some(first) = exchange.first_byte {
            let seconds = first.saturating_sub(exchange.start.time) as f64 / 1e9;
            out.0.push(("remora.time_to_first_byte", Value::Float(seconds)));
        }
        let status = self.status(exchange);
        if let Some(status) = status {
            out.text("rpc.response.status_code", status::name(status));
        }
        let error = self.fail(status, exchange, scene.role, &mut out);
        let instruments = instruments::INSTRUMENTS;
        Description { name, attributes: out.0, error, parent, instruments, ..Description::default() }
    }
}
