//! Redis.

use crate::{Netns, Place, Running};

/// A Redis server without persistence.
#[must_use]
pub fn redis(netns: &Netns, place: &Place, port: u16) -> Running {
    let port_text = port.to_string();
    netns
        .program("redis-server")
        .args(["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
        .arg(place.path())
        .listen(port)
}
