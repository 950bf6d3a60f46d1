//! Kafka by its newest broker and the last before 4.0, with the clients of Java, librdkafka and kafka-python.

use remora_tests::peers::kafka::{Generation, broker, java_client};
use remora_tests::{Agent, Netns, Place, Recording, peers};

const PORT: u16 = 9092;

fn address() -> String {
    format!("127.0.0.1:{PORT}")
}

#[test]
fn newest() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_broker) = broker(&net, &place, PORT, Generation::Four) else { return };
    let Some(java) = java_client(&net) else { return };
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let _ = java.arg(address()).arg("orders").run().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    std::fs::copy(&file, "/tmp/kf/newest.remora").unwrap();
    let whole = recording.replay();
    for span in whole.all().in_order() {
        println!("{span}");
    }
}

#[test]
fn older() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_broker) = broker(&net, &place, PORT, Generation::Three) else { return };
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let _ = peers::python(&net, "kafka/kafka_python.py").arg(address()).arg("orders").run().ok();
    let _ = peers::python(&net, "kafka/librdkafka.py").arg(address()).arg("payments").run().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    std::fs::copy(&file, "/tmp/kf/older.remora").unwrap();
    let whole = recording.replay();
    for span in whole.all().in_order() {
        println!("{span}");
    }
}
