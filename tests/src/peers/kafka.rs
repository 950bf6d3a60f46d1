//! Apache Kafka: a broker that is its own controller (KRaft).

use std::path::Path;

use crate::{Netns, Place, Program, Running, peers};

/// Which Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// 3.9, the last that knows the oldest versions of requests.
    Three,
    /// The newest: topics by id in Produce, too.
    Four,
}

/// A small Java machine that starts fast.
fn java(program: Program, classes: &str) -> Program {
    program.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classes])
}

fn classes(folder: &Path) -> String {
    format!("{0}/jars/*:{0}/classes", folder.display())
}

/// A broker without topics in a folder of its own, listening on `port` of 127.0.0.1 (and on the next port as its own
/// controller); `None` if it is not installed.
#[must_use]
pub fn broker(netns: &Netns, place: &Place, port: u16, generation: Generation) -> Option<Running> {
    let folder = peers::java(match generation {
        Generation::Three => "kafka-3",
        Generation::Four => "kafka",
    })?;
    let (data, controller) = (place.join("kafka"), port + 1);
    let settings = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
",
        data = data.display(),
    );
    let file = place.write("kafka.properties", settings);
    let classes = classes(&folder);
    let format = java(Program::new("java"), &classes).arg("kafka.tools.StorageTool");
    let _ = format.args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"]).arg(&file).run().ok();
    Some(java(netns.program("java"), &classes).arg("kafka.Kafka").arg(file).listen(port))
}

/// The newest Java client's workload (`tests/workloads/java/kafka`).
#[must_use]
pub fn java_client(netns: &Netns) -> Option<Program> {
    let classes = classes(&peers::java("kafka")?);
    Some(java(netns.program("java"), &classes).arg("KafkaWorkload"))
}
