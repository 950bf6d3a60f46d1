//! MQTT: mosquitto, its own clients, and paho.

use std::collections::BTreeMap;
use std::time::Duration;

use remora_tests::peers::mqtt::mosquitto;
use remora_tests::peers::{python, python_has};
use remora_tests::{Agent, Kind, Netns, Place, Recording, Selection, installed, wait_for};

const PORT: u16 = 1883;
const PATIENCE: Duration = Duration::from_secs(20);
const SERVICE: &str = "mosquitto";
/// What `everything.py` does.
const EVERYTHING: [(&str, usize); 7] = [
    ("connect", 1),
    ("process sensors/+/state", 2),
    ("publish forbidden/topic", 1),
    ("publish sensors/+/state", 3),
    ("receive sensors/+/state", 1),
    ("subscribe sensors/+/state", 1),
    ("unsubscribe sensors/+/state", 1),
];
const SPANS: usize = 10;

/// One end's spans of `everything.py`.
#[track_caller]
fn everything(spans: &Selection<'_>, version: &str, size: i64) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for span in spans.iter() {
        *names.entry(&span.name).or_default() += 1;
    }
    assert_eq!(names.into_iter().collect::<Vec<_>>(), EVERYTHING, "version {version}");
    let spans = spans
        .clone()
        .each_has("messaging.system", "mqtt")
        .each_has("network.protocol.version", version)
        .none_has("remora.outcome");
    let messages = spans.clone().with("messaging.destination.name", "sensors/kitchen4711/state").exactly(6);
    for (qos, size) in [(0, 10), (1, 10), (2, size)] {
        let _ = messages
            .clone()
            .with("remora.mqtt.qos", qos)
            .exactly(2)
            .each_has("messaging.message.body.size", size);
    }
    if version == "5" {
        let _ = messages.each("a parent", |span| span.parent == "00f067aa0ba902b7");
        let _ = spans
            .filter("errors", |span| span.status == 2)
            .exactly(1)
            .each_has("error.type", "not_authorized");
    } else {
        let _ = spans.each("no error", |span| span.status != 2);
    }
}

#[test]
fn mosquitto_and_paho() {
    if !installed("mosquitto_pub") || !python_has("paho.mqtt") {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let server = mosquitto(&net, &place, PORT);
    let port = PORT.to_string();
    let mut steps = python(&net, "mqtt/steps.py").arg(&port).in_steps();
    let file = place.join("run.remora");
    let (agent, recorder) = (Agent::start(&net), Agent::record(&net, &file).start());
    let client = |version: &str| python(&net, "mqtt/everything.py").arg(&port).arg(version);
    let (three, five) = (client("4").run().ok().process, client("5").run().ok().process);
    // A recording has the beginnings of runs only.
    let _ = recorder.stop();
    // What passes before the agent knows that it is MQTT is copied in part only.
    let told = 4 * SPANS;
    assert!(wait_for(PATIENCE, || agent.told() >= told), "{} of {told} spans came", agent.told());
    let large = client("5").arg("large").in_steps();
    assert!(wait_for(PATIENCE, || agent.told() >= told + 2), "both ends have not told of the connection");
    let large = large.last_step().ok().process;
    let publish = net.program("mosquitto_pub").args(["-p", &port, "-t", "work/x", "-m", "hello", "-q", "2"]);
    let publisher = publish.run().ok().process;
    let early = steps.id();
    steps.step();
    let _ = steps.last_step().ok();
    let spans = agent.stop();
    drop(server);

    everything(&spans.all().by(three), "3.1.1", 10);
    everything(&spans.all().by(five), "5", 10);
    everything(&spans.all().by(large), "5", 100_000);
    let published = spans.all().by(publisher).exactly(2);
    let _ = published.of_kind(Kind::Producer).exactly(1).each_has("messaging.destination.name", "work/x");
    // The client that was there before.
    let of_early = spans.all().by(early).exactly(22).none_has("remora.outcome");
    let _ = of_early.clone().of_kind(Kind::Producer).exactly(10).each_has("messaging.operation.type", "send");
    let got = of_early.of_kind(Kind::Consumer).exactly(10);
    let _ = got.each("by the filter", |span| span.name == "process work/#");
    let _ = spans.server(PORT).service(SERVICE).exactly(3 * SPANS + 2 + 22);

    let recording = Recording::read(&file);
    recording.keep(
        "mqtt",
        PORT,
        0,
        "mqtt-3",
        "paho 2.2 does everything once with mosquitto 2.0, in version 3.1.1",
    );
    recording.keep(
        "mqtt",
        PORT,
        1,
        "mqtt-5",
        "paho 2.2 does everything once with mosquitto 2.0, in version 5",
    );
    everything(&recording.replay().all().by(five), "5", 10);

    // The acknowledgement of a publish is lost at the client's end.
    let mut lost = 0;
    let lossy = recording.losing(|piece| {
        let lose = piece.open.process == five && piece.read && piece.bytes.starts_with(&[0x40]) && lost == 0;
        lost += usize::from(lose);
        lose
    });
    assert_eq!(lost, 1);
    let lossy = lossy.replay();
    let of_five = lossy.all().by(five);
    let _ = of_five.with("remora.outcome", "response_lost").exactly(1).each_has("remora.mqtt.qos", 1);
    assert_eq!(lossy.coverage.get("unpaired_requests"), 1);
}
