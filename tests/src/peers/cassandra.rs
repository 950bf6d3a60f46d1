//! Apache Cassandra, one node with little memory.

use std::fmt::Write as _;

use crate::{Netns, Place, Running, peers};

/// What Cassandra's `jvm17-server.options` opens to it.
const EXPORTS: &[&str] = &[
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
    "jdk.compiler/com.sun.tools.javac.code",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.compiler/com.sun.tools.javac.util",
];
const OPENS: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];
const STORAGE_PORT: u16 = 7000;

/// An empty node in a folder of its own, listening on `port`; `None` if it is not installed.
#[must_use]
pub fn cassandra(netns: &Netns, place: &Place, port: u16) -> Option<Running> {
    let jars = peers::java("cassandra")?.join("jars");
    let folder = place.path().display();
    let mut settings = format!(
        "cluster_name: test
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
num_tokens: 1
commitlog_sync: periodic
commitlog_sync_period: 10s
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: \"127.0.0.1:{STORAGE_PORT}\"}}]
listen_address: 127.0.0.1
storage_port: {STORAGE_PORT}
rpc_address: 127.0.0.1
native_transport_port: {port}
data_file_directories: [{folder}/data]
concurrent_reads: 4
concurrent_writes: 4
concurrent_counter_writes: 2
memtable_heap_space: 32MiB
memtable_offheap_space: 32MiB
commitlog_segment_size: 4MiB
commitlog_total_space: 32MiB
file_cache_enabled: false
key_cache_size: 0MiB
counter_cache_size: 0MiB
networking_cache_size: 16MiB\n"
    );
    for (key, name) in [
        ("commitlog_directory", "commitlog"),
        ("cdc_raw_directory", "cdc"),
        ("hints_directory", "hints"),
        ("saved_caches_directory", "caches"),
    ] {
        _ = writeln!(settings, "{key}: {folder}/{name}");
    }
    let file = place.write("cassandra.yaml", settings);
    let mut java = netns.program("java").folder(place.path());
    // It shall start soon rather than run fast for long.
    java = java.args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    for (option, packages) in [("--add-exports", EXPORTS), ("--add-opens", OPENS)] {
        for package in packages {
            java = java.arg(option).arg(format!("{package}=ALL-UNNAMED"));
        }
    }
    let meter = std::fs::read_dir(&jars)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("jamm")))?;
    for (key, value) in [
        ("jdk.attach.allowAttachSelf", "true".to_owned()),
        ("cassandra.config", format!("file://{}", file.display())),
        ("cassandra.storagedir", folder.to_string()),
        ("cassandra.logdir", folder.to_string()),
        ("cassandra-foreground", "yes".to_owned()),
        ("cassandra.ring_delay_ms", "100".to_owned()),
        ("cassandra.skip_wait_for_gossip_to_settle", "0".to_owned()),
        ("cassandra.superuser_setup_delay_ms", "0".to_owned()),
    ] {
        java = java.arg(format!("-D{key}={value}"));
    }
    java = java.arg(format!("-javaagent:{}", meter.display())).arg("-cp").arg(jars.join("*"));
    Some(java.arg("org.apache.cassandra.service.CassandraDaemon").listen(port))
}
