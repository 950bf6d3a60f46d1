//! What is kept of an exchange, and how it reads in OpenTelemetry's words.
//!
//! By the semantic conventions for Apache Dubbo: `rpc.system.name` is `dubbo`, `rpc.method` the service and the method, and
//! `rpc.response.status_code` the status's name. An exception of the service comes with the status `OK`; it is an error by
//! its class.

use std::borrow::Cow;

use super::header::status_name;
use super::request::Request;
use super::response::Response;
use crate::protocol::instruments::rpc;
use crate::protocol::{Description, Detail, Exchange, Role, Scene, Value};

/// A request and, later, its response.
#[derive(Debug)]
pub(super) struct DubboDetail {
    pub request: Request,
    pub response: Response,
    /// The requests' order on the connection.
    pub order: u64,
}

impl DubboDetail {
    pub fn new(request: Request, order: u64) -> Self {
        Self { request, response: Response::default(), order }
    }

    /// The error that the response tells, for this end: of the server's statuses, those that are its own fault.
    fn failure(&self, role: Role) -> Option<Cow<'static, str>> {
        if self.response.thrown {
            return Some(match &self.response.class {
                Some(class) => Cow::Owned(class.to_string()),
                None => Cow::Borrowed("_OTHER"),
            });
        }
        let name = status_name(self.response.status).filter(|&name| name != "OK")?;
        let own = matches!(
            name,
            "SERVER_ERROR" | "SERVER_THREADPOOL_EXHAUSTED_ERROR" | "SERVER_TIMEOUT" | "SERVICE_ERROR"
        );
        (role == Role::Client || own).then_some(Cow::Borrowed(name))
    }
}

impl Detail for DubboDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let request = &self.request;
        let mut out = Vec::with_capacity(14);
        let mut text = |key: &'static str, text: Cow<'static, str>| out.push((key, Value::Text(text)));
        text("rpc.system.name", "dubbo".into());
        let method = match (&request.service, &request.method) {
            (Some(service), Some(method)) => Some(format!("{service}/{method}")),
            (Some(service), None) => Some(service.to_string()),
            (None, _) => None,
        };
        if let Some(method) = &method {
            text("rpc.method", method.clone().into());
        }
        if let Some(version) = &request.version {
            text("remora.dubbo.service.version", version.to_string().into());
        }
        if let Some(status) = status_name(self.response.status) {
            text("rpc.response.status_code", status.into());
        }
        if request.unreadable {
            text("remora.unreadable", "serialization".into());
        }
        if request.one_way {
            out.push(("remora.one_way", Value::Flag(true)));
        }
        scene.addresses(&mut out);
        let error = exchange.outcome.describe(self.failure(scene.role), &mut out);
        let name = method.unwrap_or_else(|| "dubbo".to_owned());
        let parent = request.parent.clone();
        Description {
            name,
            attributes: out,
            error,
            parent,
            instruments: rpc::CALLS,
            ..Description::default()
        }
    }
}
