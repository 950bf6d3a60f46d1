//! Apache ZooKeeper: one server, alone.

use crate::{Netns, Place, Program, Running, peers};

/// A server without nodes in a folder of its own, listening on `port` of 127.0.0.1, that answers all four-letter words;
/// `None` if it is not installed.
#[must_use]
pub fn server(netns: &Netns, place: &Place, port: u16) -> Option<Running> {
    let java = java(netns)?;
    let settings = format!(
        "tickTime=2000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
         4lw.commands.whitelist=*\n",
        place.join("zookeeper").display(),
    );
    let file = place.write("zoo.cfg", settings);
    Some(java.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(file).listen(port))
}

/// The Java client's workload (`tests/workloads/java/zookeeper`).
#[must_use]
pub fn java_client(netns: &Netns) -> Option<Program> {
    Some(java(netns)?.arg("ZooKeeperWorkload"))
}

fn java(netns: &Netns) -> Option<Program> {
    let folder = peers::java("zookeeper")?;
    let classes = format!("{0}/jars/*:{0}/classes", folder.display());
    let java = netns.program("java").args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    Some(java.arg(classes))
}
