//! Metrics of connections themselves, whatever they speak: who is connected with whom, how many bytes pass, how long it
//! lasts, what TCP knows of it, and what came to nothing. Of every connection, also of those whose protocol is not known or
//! that are encrypted.
//!
//! The conventions' `process.network.io` means all that a process moves; what is counted here is the payload of the
//! connections that are followed, by peer. So the name is one of our own, and the attributes are the conventions'.

use std::borrow::Cow;
use std::sync::Arc;

use remora_exporters::Resource;

use super::{Lost, Observation, Readings};
use crate::protocol::{Attribute, End, Endpoint, Instrument, Outcome, Reading, Role, Value};
use crate::stream::{Facts, Failure, Traffic};

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
/// Resets of one direction, likewise.
const BROKEN_OFF: &str = "remora.resets";
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
    description: "Connections that were made or accepted, or were open at the agent's start.",
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
    description: "The kernel's smoothed estimate of the round-trip time: one reading an interval of a connection on which \
                  bytes pass, and one at its end.",
    role: None,
    reading: Reading::Attribute(SECONDS),
    keys: EDGE,
};

static RETRANSMITS: Instrument = Instrument {
    name: "remora.network.retransmits",
    unit: "{segment}",
    description: "Segments that TCP sent again.",
    role: None,
    reading: Reading::Sum(RETRANSMITTED),
    keys: EDGE,
};

static RESETS: Instrument = Instrument {
    name: "remora.network.resets",
    unit: "{reset}",
    description: "Connections that one of their ends broke off (RST).",
    role: None,
    reading: Reading::Sum(BROKEN_OFF),
    keys: EDGE_AND_DIRECTION,
};

static CONNECT_DURATION: Instrument = Instrument {
    name: "remora.network.connect.duration",
    unit: "s",
    description: "Time from a process's wish for a connection until it was established, or failed.",
    role: Some(Role::Client),
    reading: Reading::Attribute(SECONDS),
    keys: EDGE_AND_ERROR,
};

static CONNECT_FAILURES: Instrument = Instrument {
    name: "remora.network.connect.failures",
    unit: "{connection}",
    description: "Connections that a process asked for and that were not established.",
    role: Some(Role::Client),
    reading: Reading::One,
    keys: EDGE_AND_ERROR,
};

static ACCEPT_DURATION: Instrument = Instrument {
    name: "remora.network.accept.duration",
    unit: "s",
    description: "Time from a connection's establishment until a process accepted it: its wait in the accept queue.",
    role: Some(Role::Server),
    reading: Reading::Attribute(SECONDS),
    keys: EDGE,
};

static ACCEPT_FAILURES: Instrument = Instrument {
    name: "remora.network.accept.failures",
    unit: "{connection}",
    description: "Connections that were established and that no process had accepted when the listener was closed.",
    role: Some(Role::Server),
    reading: Reading::One,
    keys: EDGE,
};

/// Reads what passed on a connection since the last time.
pub fn record(
    readings: &mut Readings,
    resource: &Arc<Resource>,
    connection: &Facts,
    traffic: &Traffic,
) -> Lost {
    let mut observer = Observer::new(readings, resource, connection, traffic.since);
    if let Some(opened) = traffic.opened {
        observer.observe(&CONNECTIONS, []);
        observer.seconds(&CONNECT_DURATION, opened.connecting, None);
        observer.seconds(&ACCEPT_DURATION, opened.waiting, None);
    }
    for (direction, bytes, resets) in [
        ("receive", traffic.read, traffic.resets_received),
        ("transmit", traffic.written, traffic.resets_sent),
    ] {
        let direction = ("network.io.direction", Value::Text(Cow::Borrowed(direction)));
        let bytes = Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX));
        observer.observe(&IO, [direction.clone(), (BYTES, bytes)]);
        observer.observe(&RESETS, [direction, (BROKEN_OFF, Value::Integer(resets.into()))]);
    }
    let round_trip = (traffic.round_trip > 0).then_some(u64::from(traffic.round_trip) * 1000);
    observer.seconds(&ROUND_TRIP, round_trip, None);
    observer.observe(&RETRANSMITS, [(RETRANSMITTED, Value::Integer(traffic.retransmits.into()))]);
    if let Some(ended) = &traffic.ended {
        observer.seconds(&DURATION, traffic.lasted(), error_type(ended.cause));
    }
    observer.lost
}

/// Reads that a connection came to nothing.
pub fn failed(
    readings: &mut Readings,
    resource: &Arc<Resource>,
    connection: &Facts,
    failure: &Failure,
) -> Lost {
    let mut observer = Observer::new(readings, resource, connection, failure.began);
    if connection.role == Some(Role::Server) {
        observer.observe(&ACCEPT_FAILURES, []);
    } else {
        let error = connect_error(failure.error);
        observer.observe(&CONNECT_FAILURES, [("error.type", Value::Text(Cow::Borrowed(error)))]);
        observer.seconds(&CONNECT_DURATION, Some(failure.lasted), Some(error));
    }
    observer.lost
}

/// Reads one connection with one instrument after the other.
struct Observer<'a> {
    readings: &'a mut Readings,
    resource: &'a Arc<Resource>,
    role: Role,
    since: u64,
    /// The connection's attributes, behind which those of one reading are put.
    attributes: Vec<Attribute>,
    lost: Lost,
}

impl<'a> Observer<'a> {
    fn new(readings: &'a mut Readings, resource: &'a Arc<Resource>, connection: &Facts, since: u64) -> Self {
        let role = connection.role.unwrap_or(Role::Client);
        Self { readings, resource, role, since, attributes: edge(connection), lost: Lost::default() }
    }

    fn observe(&mut self, instrument: &'static Instrument, more: impl IntoIterator<Item = Attribute>) {
        let many = self.attributes.len();
        self.attributes.extend(more);
        let observation = Observation {
            instruments: &[instrument],
            role: self.role,
            attributes: &self.attributes,
            duration: None,
            span: None,
        };
        let lost = self.readings.record(self.resource, &observation, self.since);
        self.lost.overflowed += lost.overflowed;
        self.lost.dropped += lost.dropped;
        self.attributes.truncate(many);
    }

    /// A duration, if there is one.
    fn seconds(
        &mut self,
        instrument: &'static Instrument,
        nanoseconds: Option<u64>,
        error: Option<&'static str>,
    ) {
        let Some(nanoseconds) = nanoseconds else { return };
        let error = error.map(|error| ("error.type", Value::Text(Cow::Borrowed(error))));
        let seconds = (SECONDS, Value::Float(nanoseconds as f64 / 1e9));
        self.observe(instrument, error.into_iter().chain([seconds]));
    }
}

/// `error.type` of a connection that was not established, by the kernel's error (errno.h; the numbers are those of x86-64
/// and arm64).
fn connect_error(error: u32) -> &'static str {
    match i32::try_from(error).unwrap_or(-1) {
        0 => "cancelled",
        libc::ECONNREFUSED => "connection_refused",
        libc::ECONNRESET => "connection_reset",
        libc::ECONNABORTED => "connection_aborted",
        libc::ETIMEDOUT => "timeout",
        libc::EHOSTUNREACH => "host_unreachable",
        libc::ENETUNREACH => "network_unreachable",
        libc::EADDRNOTAVAIL => "address_not_available",
        libc::EACCES | libc::EPERM => "permission_denied",
        // The conventions' word for what has no name.
        _ => "_OTHER",
    }
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

    /// Each reason has a name, and what has none is said so.
    #[test]
    fn reasons() {
        for (error, reason) in [
            (0, "cancelled"),
            (libc::ECONNREFUSED, "connection_refused"),
            (libc::ETIMEDOUT, "timeout"),
            (libc::EHOSTUNREACH, "host_unreachable"),
            (libc::ENETUNREACH, "network_unreachable"),
            (remora_abi::record::NO_ADDRESS as i32, "address_not_available"),
            (libc::ENOPROTOOPT, "_OTHER"),
            (-1, "_OTHER"),
        ] {
            assert_eq!(connect_error(error as u32), reason);
        }
    }
}
