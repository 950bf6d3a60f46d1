//! Attributes under construction.

use std::borrow::Cow;

use crate::protocol::{Attribute, Endpoint, Scene, Value};

/// Attributes of a span.
pub(in crate::protocol) struct Attributes(pub Vec<Attribute>);

impl Attributes {
    pub fn new() -> Self {
        Self(Vec::with_capacity(24))
    }

    pub fn text(&mut self, key: &'static str, text: impl Into<Cow<'static, str>>) {
        self.0.push((key, Value::Text(text.into())));
    }

    pub fn integer(&mut self, key: &'static str, number: impl Into<i64>) {
        self.0.push((key, Value::Integer(number.into())));
    }

    /// A count; nothing if it is not known.
    pub fn count(&mut self, key: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.integer(key, i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    pub fn endpoint(&mut self, address: &'static str, port: &'static str, endpoint: &Endpoint) {
        match endpoint {
            Endpoint::Inet(socket) => {
                self.text(address, socket.ip().to_string());
                self.integer(port, socket.port());
            }
            Endpoint::Unix(path) if !path.is_empty() => self.text(address, path.to_string()),
            Endpoint::Unix(_) => {}
        }
    }

    /// `network.peer.*` and `network.transport`.
    pub fn network(&mut self, scene: &Scene<'_>) {
        self.endpoint("network.peer.address", "network.peer.port", scene.remote);
        let transport = match scene.remote {
            Endpoint::Inet(_) => "tcp",
            Endpoint::Unix(_) => "unix",
        };
        self.text("network.transport", transport);
    }
}
