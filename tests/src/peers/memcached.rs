//! Memcached.

use crate::{Netns, Running};

/// A memcached server.
#[must_use]
pub fn memcached(netns: &Netns, port: u16) -> Running {
    let port_text = port.to_string();
    netns
        .program("memcached")
        .args(["-u", "root", "-l", "127.0.0.1", "-U", "0", "-t", "2", "-p", &port_text])
        .listen(port)
}
