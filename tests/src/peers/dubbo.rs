//! Apache Dubbo, provider and consumer without a registry.

use crate::{Netns, Program, Running, peers};

/// A program of `tests/workloads/java/dubbo`; `None` if it is not installed.
fn java(netns: &Netns, class: &str) -> Option<Program> {
    let folder = peers::java("dubbo")?;
    let mut java = netns.program("java").args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
    // Hessian reads fields of Java's own classes.
    for package in ["lang", "math", "time", "util"] {
        java = java.args(["--add-opens", &format!("java.base/java.{package}=ALL-UNNAMED")]);
    }
    let classes = format!("{}:{}", folder.join("classes").display(), folder.join("jars/*").display());
    Some(java.args(["-cp", &classes, class]))
}

/// A provider, listening on `port` with Hessian 2 and on the next with Fastjson 2; `None` if it is not installed.
#[must_use]
pub fn provider(netns: &Netns, port: u16) -> Option<Running> {
    Some(java(netns, "org.example.Provider")?.arg(port.to_string()).listen(port))
}

/// A consumer of the provider at `port`, in steps.
///
/// # Panics
/// If it is not installed, where the provider is.
#[must_use]
pub fn consumer(netns: &Netns, port: u16, serialization: &str) -> Running {
    let java = java(netns, "org.example.Consumer").expect("the provider's jars");
    java.arg(port.to_string()).arg(serialization).in_steps()
}
