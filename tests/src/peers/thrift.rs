//! Apache Thrift's servers in Python and Java.

use crate::{Netns, Place, Program, Running, installed, peers, workload};

/// Ways to speak Thrift that the Python server knows, each at a port of its own: `tests/workloads/thrift/kinds.py`.
pub const KINDS: [(&str, &str); 7] = [
    ("unframed", "binary"),
    ("unframed", "binary"),
    ("unframed", "compact"),
    ("framed", "binary"),
    ("framed", "compact"),
    ("header", "binary"),
    ("header", "compact"),
];

/// What the Python programs need: the library, the compiler, and what it writes into a folder. False if that is not
/// installed.
#[must_use]
pub fn generate(place: &Place) -> bool {
    if !peers::python_has("thrift") || !installed("thrift") {
        return false;
    }
    let compiler = Program::new("thrift").arg("-out").arg(place.path()).args(["--gen", "py"]);
    let _ = compiler.arg(workload("thrift/shop.thrift")).run().ok();
    true
}

/// The Python servers at `port` and those behind it, each for one of [`KINDS`].
#[must_use]
pub fn python_server(netns: &Netns, place: &Place, port: u16) -> Running {
    let server = peers::python(netns, "thrift/server.py").arg(port.to_string()).arg(place.path());
    let mut server = server.listen(port);
    // They begin to listen one after the other.
    let last = port + KINDS.len() as u16 - 1;
    server.wait_until(&format!("listens on port {last}"), |process| crate::process::listens(process, last));
    server
}

/// The Python clients of the servers at `port` and behind it: `python` or `java`.
#[must_use]
pub fn client(netns: &Netns, place: &Place, port: u16, servers: &str) -> Running {
    let client = peers::python(netns, "thrift/client.py").arg(port.to_string());
    client.arg(place.path()).arg(servers).in_steps()
}

/// Java's servers: framed and binary at `port`, unframed and compact at the next; `None` if they are not installed.
#[must_use]
pub fn java_server(netns: &Netns, port: u16) -> Option<Running> {
    let folder = peers::java("thrift")?;
    let classes = format!("{}:{}", folder.join("classes").display(), folder.join("jars/*").display());
    let java = netns.program("java").args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &classes]);
    let mut server = java.arg("ThriftServer").arg(port.to_string()).listen(port);
    server.wait_until("listens on its second port", |process| crate::process::listens(process, port + 1));
    Some(server)
}
