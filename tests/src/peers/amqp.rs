//! RabbitMQ.

use std::path::Path;

use crate::{Netns, Place, Running};

/// A broker that runs, with the port mapper that Erlang asks for.
#[derive(Debug)]
pub struct RabbitMq {
    /// The broker.
    pub broker: Running,
    _port_mapper: Running,
}

/// Whether RabbitMQ is installed; says that the test is skipped if it is not.
#[must_use]
pub fn has_rabbitmq() -> bool {
    let found = Path::new(SERVER).exists();
    if !found {
        println!("skipped: RabbitMQ is not installed");
    }
    found
}

/// Debian's script of this name in `PATH` would change user and folder.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// RabbitMQ with one node, listening on `port`; everything that it keeps is in `place`.
#[must_use]
pub fn rabbitmq(netns: &Netns, place: &Place, port: u16) -> RabbitMq {
    const PORT_MAPPER: u16 = 4369;
    // Otherwise the broker starts one that outlives it.
    let port_mapper = netns.program("epmd").listen(PORT_MAPPER);
    let settings = place.write("rabbitmq.conf", format!("listeners.tcp.1 = 127.0.0.1:{port}\n"));
    let plugins = place.write("enabled_plugins", "[].\n");
    let mut broker = netns
        .program(SERVER)
        .folder(place.path())
        .env("HOME", place.path())
        .env("RABBITMQ_NODENAME", "test@localhost")
        .env("RABBITMQ_CONFIG_FILE", settings)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .env("RABBITMQ_MNESIA_BASE", place.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", place.join("log"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_PID_FILE", place.join("rabbitmq.pid"))
        // Few schedulers: many tests run at once.
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none")
        .start();
    // It takes its time, and on a busy machine more than that of one wait.
    broker.wait_until("begins", |process| says(process, "Starting broker"));
    let listens = format!("started TCP listener on 127.0.0.1:{port}");
    broker.wait_until("listens", |process| says(process, &listens));
    RabbitMq { broker, _port_mapper: port_mapper }
}

/// Whether it wrote `text` to its log so far.
fn says(process: u32, text: &str) -> bool {
    std::fs::read(format!("/proc/{process}/fd/1"))
        .is_ok_and(|log| String::from_utf8_lossy(&log).contains(text))
}
