//! The metrics of HTTP exchanges, by the semantic conventions.

use super::calls::genai;
use crate::protocol::{Instrument, Reading, Role};

/// Of servers and of clients.
pub(super) const INSTRUMENTS: &[&Instrument] = &[&SERVER, &CLIENT];

/// Of calls of models.
pub(super) const OF_MODELS: &[&Instrument] =
    &[&SERVER, &CLIENT, &genai::DURATION, &genai::INPUT, &genai::OUTPUT];

static SERVER: Instrument = Instrument {
    name: "http.server.request.duration",
    unit: "s",
    description: "Duration of HTTP server requests.",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: &[
        "http.request.method",
        "url.scheme",
        "http.response.status_code",
        "http.route",
        "error.type",
        "network.protocol.version",
    ],
};

static CLIENT: Instrument = Instrument {
    name: "http.client.request.duration",
    unit: "s",
    description: "Duration of HTTP client requests.",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: &[
        "http.request.method",
        "server.address",
        "server.port",
        "http.response.status_code",
        "error.type",
        "network.protocol.version",
        "url.scheme",
        "url.template",
    ],
};
