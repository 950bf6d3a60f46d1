//! Of databases, by the conventions for database clients; what the server sees has no convention.

use crate::protocol::{Instrument, Reading, Role};

/// The attributes that durations are told apart by. `db.query.summary` is of low cardinality by its definition.
const KEYS: &[&str] = &[
    "db.system.name",
    "db.namespace",
    "db.operation.name",
    "db.collection.name",
    "db.query.summary",
    "db.response.status_code",
    "error.type",
    "server.address",
    "server.port",
];

/// <https://opentelemetry.io/docs/specs/semconv/database/database-metrics/>
static CLIENT_DURATION: Instrument = Instrument {
    name: "db.client.operation.duration",
    unit: "s",
    description: "Duration of database client operations.",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

static SERVER_DURATION: Instrument = Instrument {
    name: "remora.db.server.operation.duration",
    unit: "s",
    description: "Duration of database operations as their server saw them.",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: KEYS,
};

static RETURNED_ROWS: Instrument = Instrument {
    name: "db.client.response.returned_rows",
    unit: "{row}",
    description: "The actual number of records returned by the database operation.",
    role: Some(Role::Client),
    reading: Reading::Attribute("db.response.returned_rows"),
    keys: KEYS,
};

/// Of a statement or command.
pub const STATEMENTS: &[&Instrument] = &[&CLIENT_DURATION, &SERVER_DURATION, &RETURNED_ROWS];
