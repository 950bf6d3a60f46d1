//! The metrics of calls, by the semantic conventions for RPC.

use crate::protocol::{Instrument, Reading, Role};

/// Of servers and of clients.
pub(super) const INSTRUMENTS: &[&Instrument] = &[&SERVER, &CLIENT];

static SERVER: Instrument = Instrument {
    name: "rpc.server.call.duration",
    unit: "s",
    description: "Duration of incoming remote procedure calls.",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: &["rpc.system.name", "rpc.method", "rpc.response.status_code", "error.type"],
};

static CLIENT: Instrument = Instrument {
    name: "rpc.client.call.duration",
    unit: "s",
    description: "Duration of outgoing remote procedure calls.",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: &[
        "rpc.system.name",
        "rpc.method",
        "rpc.response.status_code",
        "error.type",
        "server.address",
        "server.port",
    ],
};
