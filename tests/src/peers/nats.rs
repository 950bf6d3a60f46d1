//! NATS.

use crate::{Netns, Place, Running};

/// A NATS server with `JetStream`, which keeps its streams in a folder.
#[must_use]
pub fn nats(netns: &Netns, place: &Place, port: u16) -> Running {
    let port_text = port.to_string();
    let program = netns.program("nats-server").args(["-a", "127.0.0.1", "-p", &port_text, "-js", "-sd"]);
    program.arg(place.path()).listen(port)
}
