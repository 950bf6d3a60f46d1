//! A turn in OpenTelemetry's words.

use std::borrow::Cow;

use crate::protocol::{
    Description, Detail, Endpoint, Exchange, Instrument, Reading, Role, Scene, Signals, Value,
};

static CLIENT_TURN: Instrument = Instrument {
    name: "remora.network.turn.duration",
    unit: "s",
    description: "Time from the first byte of a client's run to the last of the server's run behind it, where the protocol is \
                  not known.",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: &["remora.role", "server.address", "server.port", "network.transport", "network.protocol.name"],
};

static SERVER_TURN: Instrument = Instrument {
    role: Some(Role::Server),
    keys: &["remora.role", "server.port", "network.transport", "network.protocol.name"],
    ..CLIENT_TURN
};

static INSTRUMENTS: [&Instrument; 2] = [&CLIENT_TURN, &SERVER_TURN];

/// What is known of a turn besides its times.
#[derive(Debug)]
pub(super) struct TurnDetail {
    /// What is known of the protocol.
    pub protocol: Option<&'static str>,
    /// It becomes a span.
    pub spans: bool,
}

impl Detail for TurnDetail {
    fn describe(&self, _: &Exchange, scene: &Scene<'_>) -> Description {
        let fixed = |text: &'static str| Value::Text(Cow::Borrowed(text));
        let mut attributes = Vec::with_capacity(8);
        scene.addresses(&mut attributes);
        let transport = match scene.remote {
            Endpoint::Inet(_) => "tcp",
            Endpoint::Unix(_) => "unix",
        };
        let role = match scene.role {
            Role::Client => "client",
            Role::Server => "server",
        };
        attributes.push(("network.transport", fixed(transport)));
        attributes.push(("remora.role", fixed(role)));
        if let Some(protocol) = self.protocol {
            attributes.push(("network.protocol.name", fixed(protocol)));
        }
        Description {
            name: "network".to_owned(),
            attributes,
            instruments: &INSTRUMENTS,
            signals: if self.spans { Signals::SpanAndMetrics } else { Signals::Metrics },
            ..Description::default()
        }
    }
}
