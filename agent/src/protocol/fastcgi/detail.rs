//! A request as OpenTelemetry has it: HTTP's attributes, and what FastCGI adds.

use std::borrow::Cow;

use crate::protocol::http::HttpDetail;
use crate::protocol::{Description, Detail, Exchange, Role, Scene, Value};

/// A request and, later, its response.
#[derive(Debug)]
pub(super) struct FastCgiDetail {
    /// `None` until its variables are known.
    pub http: Option<HttpDetail>,
    /// The script's file.
    pub script: Option<Box<str>>,
    /// Bytes written to `STDERR`.
    pub errors: u64,
    /// Exit status, as `END_REQUEST` says it.
    pub application: u32,
    /// How the application took the request (5.5), 0 if it did.
    pub protocol: u8,
    /// The web server gave up.
    pub aborted: bool,
}

/// How an application refuses a request.
fn refusal(status: u8) -> Option<&'static str> {
    Some(match status {
        0 => return None,
        1 => "cant_mpx_conn",
        2 => "overloaded",
        3 => "unknown_role",
        _ => "unknown_protocol_status",
    })
}

impl Detail for FastCgiDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut description = match &self.http {
            Some(http) => http.describe(exchange, scene),
            None => Description { name: "FastCGI".to_owned(), ..Description::default() },
        };
        let out = &mut description.attributes;
        if scene.role == Role::Client || self.http.is_none() {
            // The web server asks the application, not the host that its own client asked.
            let of_peer = ["server.", "network.peer.", "network.local."];
            out.retain(|(key, _)| !of_peer.iter().any(|prefix| key.starts_with(prefix)));
            scene.addresses(out);
        }
        out.push(("network.protocol.name", Value::Text("fastcgi".into())));
        if let Some(script) = &self.script {
            out.push(("remora.fastcgi.script", Value::Text(script.to_string().into())));
        }
        if self.errors > 0 {
            let errors = i64::try_from(self.errors).unwrap_or(i64::MAX);
            out.push(("remora.fastcgi.stderr.size", Value::Integer(errors)));
        }
        if self.application != 0 {
            out.push(("remora.fastcgi.app_status", Value::Integer(self.application.into())));
        }
        if self.aborted {
            out.push(("remora.fastcgi.aborted", Value::Flag(true)));
        }
        if let Some(refusal) = refusal(self.protocol) {
            out.retain(|(key, _)| *key != "error.type");
            out.push(("error.type", Value::Text(refusal.into())));
            description.error = Some(Cow::Borrowed("the application refused the request"));
        }
        description
    }
}
