//! mosquitto.

use crate::{Netns, Place, Running};

/// mosquitto, listening on `port`; nobody may write to `forbidden/…` (with version 5 it says so).
#[must_use]
pub fn mosquitto(netns: &Netns, place: &Place, port: u16) -> Running {
    let rules = place.write("rules", "topic readwrite sensors/#\ntopic readwrite work/#\n");
    let settings = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}\nuser root\npersistence false\n",
        rules.display()
    );
    let file = place.write("mosquitto.conf", settings);
    netns.program("/usr/sbin/mosquitto").arg("-c").arg(file).listen(port)
}
