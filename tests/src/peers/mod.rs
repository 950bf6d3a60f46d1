//! Real servers of the protocols under test, each started in a test's own namespace and folder.

pub mod amqp;
pub mod cassandra;
pub mod dns;
pub mod dubbo;
pub mod fastcgi;
pub mod kafka;
pub mod memcached;
pub mod mongodb;
pub mod mqtt;
pub mod mysql;
pub mod nats;
pub mod postgresql;
pub mod redis;
pub mod thrift;
pub mod zookeeper;

use std::path::PathBuf;

use crate::{Netns, Program, repository, workload};

/// The interpreter with the Python clients that `cargo xtask setup` installed (`xtask/src/setup/peers.rs`).
#[must_use]
pub fn python_path() -> PathBuf {
    repository().join(".cache/peers/python/bin/python3")
}

/// Whether the Python clients include `module`, or each of several with commas between them; says that the test is skipped
/// if they do not. They are looked for and not imported, which takes seconds for some.
#[must_use]
pub fn python_has(module: &str) -> bool {
    const FIND: &str = "import sys\nfrom importlib.util import find_spec\n\
        sys.exit(not all(find_spec(name.strip()) for name in sys.argv[1].split(',')))";
    let path = python_path();
    let found = path.exists() && Program::new(&path).args(["-c", FIND, module]).run().status.success();
    if !found {
        println!("skipped: the Python package {module} is not installed");
    }
    found
}

/// A Python workload that uses the installed clients.
#[must_use]
pub fn python(netns: &Netns, script: &str) -> Program {
    netns.program(python_path()).arg(workload(script)).env("PYTHONDONTWRITEBYTECODE", "1")
}

/// The folder with the Node packages that `cargo xtask setup` installed.
#[must_use]
pub fn node_modules() -> PathBuf {
    repository().join(".cache/peers/node/node_modules")
}

/// A Node workload that uses the installed packages.
#[must_use]
pub fn node(netns: &Netns, script: &str) -> Program {
    netns.program("node").arg(workload(script)).env("NODE_PATH", node_modules())
}

/// The folder with the jars and classes that `cargo xtask setup` made of `tests/workloads/java/NAME`, if it could; says that
/// the test is skipped if not.
#[must_use]
pub fn java(name: &str) -> Option<PathBuf> {
    let folder = repository().join(".cache/peers/java").join(name);
    if !folder.join("ready").exists() {
        println!("skipped: the Java peer {name} is not installed");
        return None;
    }
    Some(folder)
}

/// The program that `cargo xtask setup` built of the Go module `tests/workloads/go-peers/NAME`, if it could; says that the
/// test is skipped if not.
#[must_use]
pub fn go(name: &str) -> Option<PathBuf> {
    let path = repository().join(".cache/peers/go").join(name);
    if !path.exists() {
        println!("skipped: the Go peer {name} is not installed");
        return None;
    }
    Some(path)
}
