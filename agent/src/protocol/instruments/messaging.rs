//! Of messages, by the conventions for messaging clients; what the broker sees has no convention.

use crate::protocol::{Instrument, Reading, Role};

const KEYS: &[&str] = &[
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.template",
    "error.type",
    "server.address",
    "server.port",
];

/// Of a message that is handed to a broker.
pub const SENDS: &[&Instrument] = &[&OPERATION, &SERVER_OPERATION, &SENT];
/// Of a message from its delivery to its acknowledgement.
pub const PROCESSES: &[&Instrument] = &[&PROCESS, &SERVER_OPERATION, &CONSUMED];
/// Of a message that needs none.
pub const RECEIVES: &[&Instrument] = &[&OPERATION, &SERVER_OPERATION, &CONSUMED];
/// Of everything else.
pub const OTHERS: &[&Instrument] = &[&OPERATION, &SERVER_OPERATION];

static OPERATION: Instrument = Instrument {
    name: "messaging.client.operation.duration",
    unit: "s",
    description: "Duration of messaging operations of clients.",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

static PROCESS: Instrument = Instrument {
    name: "messaging.process.duration",
    unit: "s",
    description: "Time from a message's delivery to its acknowledgement.",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

static SENT: Instrument = Instrument {
    name: "messaging.client.sent.messages",
    unit: "{message}",
    description: "Messages that producers sent to a broker.",
    role: Some(Role::Client),
    reading: Reading::One,
    keys: KEYS,
};

static CONSUMED: Instrument = Instrument {
    name: "messaging.client.consumed.messages",
    unit: "{message}",
    description: "Messages that were delivered to consumers.",
    role: Some(Role::Client),
    reading: Reading::One,
    keys: KEYS,
};

static SERVER_OPERATION: Instrument = Instrument {
    name: "remora.messaging.server.operation.duration",
    unit: "s",
    description: "Duration of messaging operations as a broker sees them.",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: KEYS,
};
