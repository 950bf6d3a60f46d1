//! Of remote procedure calls, by the conventions for them.

use crate::protocol::{Instrument, Reading, Role};

const KEYS: &[&str] = &[
    "rpc.system.name",
    "rpc.method",
    "rpc.response.status_code",
    "error.type",
    "server.address",
    "server.port",
];

static CLIENT_DURATION: Instrument = Instrument {
    name: "rpc.client.call.duration",
    unit: "s",
    description: "Measures the duration of outbound remote procedure calls (RPC).",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

static SERVER_DURATION: Instrument = Instrument {
    name: "rpc.server.call.duration",
    unit: "s",
    description: "Measures the duration of inbound remote procedure calls (RPC).",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: KEYS,
};

/// Of a call.
pub const CALLS: &[&Instrument] = &[&CLIENT_DURATION, &SERVER_DURATION];
