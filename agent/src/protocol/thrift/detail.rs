//! What is kept of an exchange, and how it reads in OpenTelemetry's words.
//!
//! By the semantic conventions for RPC. Thrift has no page of its own among them: `rpc.system.name` is `apache_thrift`,
//! `rpc.method` is the method, with its service where the client names it (`TMultiplexedProtocol`), and `error.type` is the
//! name of a `TApplicationException`'s type, or `declared_exception` for one that the method declares, whose name does not
//! pass (`remora.thrift.exception.field` is its number).

use std::borrow::Cow;

use super::head::{Encoding, Head, Kind, Transport};
use super::reply::{Answer, application_name};
use crate::protocol::instruments::rpc;
use crate::protocol::{Description, Detail, Exchange, Scene, Value};

/// A call and, later, its reply.
#[derive(Debug)]
pub(super) struct ThriftDetail {
    /// Empty if it could not be read.
    pub method: Box<str>,
    pub sequence: i32,
    pub answer: Answer,
    one_way: bool,
    transport: Transport,
    encoding: Encoding,
}

impl ThriftDetail {
    pub fn new(head: &Head, bytes: &[u8]) -> Self {
        let name = bytes.get(head.name.clone()).and_then(|name| std::str::from_utf8(name).ok());
        Self {
            method: name.unwrap_or_default().into(),
            sequence: head.sequence,
            answer: Answer::Unknown,
            one_way: head.kind == Some(Kind::OneWay),
            transport: head.transport,
            encoding: head.encoding,
        }
    }

    /// Does this name and number name it? Servers answer without the service that a client puts in front of the method.
    pub fn is(&self, name: &[u8], sequence: i32) -> bool {
        let method = self.method.as_bytes();
        self.sequence == sequence
            && method.strip_suffix(name).is_some_and(|service| service.is_empty() || service.ends_with(b":"))
    }
}

impl Detail for ThriftDetail {
    fn describe(&self, exchange: &Exchange, scene: &Scene<'_>) -> Description {
        let mut out = Vec::with_capacity(14);
        let mut text = |key: &'static str, text: Cow<'static, str>| out.push((key, Value::Text(text)));
        text("rpc.system.name", "apache_thrift".into());
        let method = match self.method.split_once(':') {
            Some((service, method)) => format!("{service}/{method}"),
            None => self.method.to_string(),
        };
        if !method.is_empty() {
            text("rpc.method", method.clone().into());
        }
        let transport = match self.transport {
            Transport::Unframed => "unframed",
            Transport::Framed => "framed",
            Transport::Header => "header",
        };
        text("remora.thrift.transport", transport.into());
        match self.encoding {
            Encoding::Binary => text("remora.thrift.protocol", "binary".into()),
            Encoding::Compact => text("remora.thrift.protocol", "compact".into()),
            Encoding::Compressed => text("remora.unreadable", "compressed".into()),
        }
        if self.one_way {
            out.push(("remora.one_way", Value::Flag(true)));
        }
        scene.addresses(&mut out);
        let failure = match self.answer {
            Answer::Result | Answer::Unknown => None,
            Answer::Declared(field) => {
                out.push(("remora.thrift.exception.field", Value::Integer(field.into())));
                Some("declared_exception")
            }
            Answer::Application(kind) => {
                let name = application_name(kind);
                out.push(("rpc.response.status_code", Value::Text(name.into())));
                Some(name)
            }
            Answer::Failed => Some("_OTHER"),
        };
        let error = exchange.outcome.describe(failure.map(Cow::Borrowed), &mut out);
        let name = if method.is_empty() { "thrift".to_owned() } else { method };
        Description { name, attributes: out, error, instruments: rpc::CALLS, ..Description::default() }
    }
}
