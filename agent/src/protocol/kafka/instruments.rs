//! The metrics that Kafka's exchanges are counted by.

use crate::protocol::{Instrument, Reading, Role};

const KEYS: &[&str] = &[
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
    "messaging.consumer.group.name",
    "error.type",
    "server.address",
    "server.port",
];

static CLIENT_DURATION: Instrument = Instrument {
    name: "messaging.client.operation.duration",
    unit: "s",
    description: "Duration of messaging operation initiated by a producer or consumer client",
    role: Some(Role::Client),
    reading: Reading::Duration,
    keys: KEYS,
};

static SERVER_DURATION: Instrument = Instrument {
    name: "remora.messaging.server.operation.duration",
    unit: "s",
    description: "Duration of messaging operations as the broker saw them",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: KEYS,
};

static SENT: Instrument = Instrument {
    name: "messaging.client.sent.messages",
    unit: "{message}",
    description: "Number of messages producer attempted to send to the broker",
    role: Some(Role::Client),
    reading: Reading::Sum("messaging.batch.message_count"),
    keys: KEYS,
};

static CONSUMED: Instrument = Instrument {
    name: "messaging.client.consumed.messages",
    unit: "{message}",
    description: "Number of messages that were delivered to the application",
    role: Some(Role::Client),
    reading: Reading::Sum("messaging.batch.message_count"),
    keys: KEYS,
};

static EMPTY: Instrument = Instrument {
    name: "remora.kafka.empty_fetches",
    unit: "{fetch}",
    description: "Number of fetches that ended without records",
    role: None,
    reading: Reading::One,
    keys: &["messaging.system", "messaging.destination.name", "server.address", "server.port"],
};

/// Records from a producer.
pub(super) static PRODUCED: &[&Instrument] = &[&CLIENT_DURATION, &SERVER_DURATION, &SENT];
/// Records for a consumer.
pub(super) static RECEIVED: &[&Instrument] = &[&CLIENT_DURATION, &SERVER_DURATION, &CONSUMED];
/// A long poll that found nothing: how long it waited says nothing of the broker.
pub(super) static WAITED: &[&Instrument] = &[&EMPTY];
/// Everything else.
pub(super) static OTHER: &[&Instrument] = &[&CLIENT_DURATION, &SERVER_DURATION];
