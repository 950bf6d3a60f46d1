//! Metrics of connections themselves, whatever they speak: who is connected with whom, how many bytes pass, how long it
//! lasts. Of every connection, also of those whose protocol is not known or that are encrypted.
//!
//! The conventions' `process.network.io` means all that a process moves; what is counted here is the payload of the
//! connections that are followed, by peer. So the name is one of our own, and the attributes are the conventions'.

use std::borrow::Cow;

use super::{Lost, Observation, Readings};
use crate::protocol::{Attribute, End, Endpoint, Instrument, Outcome, Reading, Role, Value};
use crate::stream::{Facts, Traffic};

/// Attributes that name an edge. The peer's port is not among them unless the peer is the server: it is another one for
/// each connection.
const EDGE: &[&str] = &[
    "remora.role",
    "network.peer.address",
    "server.address",
    "server.port",
    "network.transport",
    "network.protocol.name",
];

/// The same, and the direction of the bytes.
const EDGE_AND_DIRECTION: &[&str] = &[
    "remora.role",
    "network.peer.address",
    "server.address",
    "server.port",
    "network.transport",
    "network.protocol.name",
    "network.io.direction",
];

/// The same, and how it broke.
const EDGE_AND_ERROR: &[&str] = &[
    "remora.role",
    "network.peer.address",
    "server.address",
    "server.port",
    "network.transport",
    "network.protocol.name",
    "error.type",
];

/// Bytes of one direction, in an attribute that no metric has.
const BYTES: &str = "remora.bytes";
/// Segments that were sent again, likewise.
const RETRANSMITTED: &str = "remora.retransmits";
/// A duration in seconds, likewise.
const SECONDS: &str = "remora.seconds";

static IO: Instrument = Instrument {
    name: "remora.network.io",
    unit: "By",
    description: "Bytes that passed on connections, without headers and retransmissions.",
    role: None,
    reading: Reading::Sum(BYTES),
    keys: EDGE_AND_DIRECTION,
};

static CONNECTIONS: Instrument = Instrument {
    name: "remora.network.connections",
    unit: "{connection}",
    description: "Connections on which bytes passed.",
    role: None,
    reading: Reading::One,
    keys: EDGE,
};

static DURATION: Instrument = Instrument {
    name: "remora.network.connection.duration",
    unit: "s",
    description: "Time from a connection's establishment to its end.",
    role: None,
    reading: Reading::Attribute(SECONDS),
    keys: EDGE_AND_ERROR,
};

static ROUND_TRIP: Instrument = Instrument {
    name: "remora.network.round_trip.time",
    unit: "s",
    description: "The kernel's smoothed estimate of the round-trip time, at a connection's end.",
    role: None,
    reading: Reading::Attribute(SECONDS),
    keys: EDGE,
};

static RETRANSMITS: Instrument = Instrument {
    name: "remora.network.retransmits",
    unit: "{segment}",
    description: "Segments that TCP sent again, told at a connection's end.",
    role: None,
    reading: Reading::Sum(RETRANSMITTED),
    keys: EDGE,
};

/// Reads what passed on a connection since the last time.
pub fn record(
    readings: &mut Readings,
    resource: &std::sync::Arc<remora_exporters::Resource>,
    connection: &Facts,
    traffic: &Traffic,
) -> Lost {
    let mut lost = Lost::default();
    let role = connection.role.unwrap_or(Role::Client);
    let mut attributes = edge(connection);
    let many = attributes.len();
    let mut observe = |instrument: &'static Instrument, attributes: &[Attribute]| {
        let observation =
            Observation { instruments: &[instrument], role, attributes, duration: None, span: None };
        let more = readings.record(resource, &observation, traffic.since);
        lost.overflowed += more.overflowed;
        lost.dropped += more.dropped;
    };
    if traffic.opened {
        observe(&CONNECTIONS, &attributes);
    }
    for (direction, bytes) in [("receive", traffic.read), ("transmit", traffic.written)] {
        attributes.truncate(many);
        attributes.push(("network.io.direction", Value::Text(Cow::Borrowed(direction))));
        attributes.push((BYTES, Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX))));
        observe(&IO, &attributes);
    }
    if let Some(ended) = &traffic.ended {
        let round_trip = (ended.round_trip > 0).then_some(u64::from(ended.round_trip) * 1000);
        for (instrument, nanoseconds) in [(&DURATION, traffic.lasted()), (&ROUND_TRIP, round_trip)] {
            let Some(nanoseconds) = nanoseconds else { continue };
            attributes.truncate(many);
            if let Some(error) = error_type(ended.cause) {
                attributes.push(("error.type", Value::Text(Cow::Borrowed(error))));
            }
            attributes.push((SECONDS, Value::Float(nanoseconds as f64 / 1e9)));
            observe(instrument, &attributes);
        }
        attributes.truncate(many);
        attributes.push((RETRANSMITTED, Value::Integer(ended.retransmits.into())));
        observe(&RETRANSMITS, &attributes);
    }
    lost
}

/// `error.type` of a connection that ended so; an orderly end is none.
fn error_type(cause: End) -> Option<&'static str> {
    match cause {
        End::Orderly => None,
        End::Broken(_) => Some("connection_reset"),
        other => Outcome::of(other).error_type(),
    }
}

/// The attributes of a connection.
fn edge(connection: &Facts) -> Vec<Attribute> {
    let text = |text: String| Value::Text(Cow::Owned(text));
    let fixed = |text: &'static str| Value::Text(Cow::Borrowed(text));
    let mut attributes = Vec::with_capacity(8);
    attributes.push((
        "remora.role",
        fixed(match connection.role {
            Some(Role::Client) => "client",
            Some(Role::Server) => "server",
            None => "unknown",
        }),
    ));
    match (&connection.remote, &connection.local) {
        (Endpoint::Inet(remote), Endpoint::Inet(local)) => {
            let peer = remote.ip().to_string();
            match connection.role {
                Some(Role::Client) => {
                    attributes.push(("server.address", text(peer.clone())));
                    attributes.push(("server.port", Value::Integer(remote.port().into())));
                }
                Some(Role::Server) => attributes.push(("server.port", Value::Integer(local.port().into()))),
                // Either port may be one that is used once.
                None => {}
            }
            attributes.push(("network.peer.address", text(peer)));
            attributes.push(("network.transport", fixed("tcp")));
        }
        (Endpoint::Unix(path), _) | (_, Endpoint::Unix(path)) => {
            if !path.is_empty() {
                attributes.push(("server.address", text(path.to_string())));
            }
            attributes.push(("network.transport", fixed("unix")));
        }
    }
    if let Some(protocol) = connection.protocol {
        attributes.push(("network.protocol.name", fixed(protocol)));
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Transport;

    fn facts(role: Option<Role>) -> Facts {
        Facts {
            id: 1,
            process: 2,
            local: Endpoint::Inet("10.0.0.1:8080".parse().unwrap()),
            remote: Endpoint::Inet("10.0.0.2:51234".parse().unwrap()),
            transport: Transport::Stream,
            role,
            protocol: Some("http"),
            midstream: false,
            namespace: 0,
        }
    }

    /// Ports that are used once are no attribute.
    #[test]
    fn no_ephemeral_port() {
        let port = |role| {
            let attributes = edge(&facts(role));
            attributes.iter().find(|(key, _)| *key == "server.port").map(|(_, value)| value.clone())
        };
        assert_eq!(port(Some(Role::Server)), Some(Value::Integer(8080)));
        assert_eq!(port(Some(Role::Client)), Some(Value::Integer(51234)), "here it is the server's");
        assert_eq!(port(None), None);
    }
}
