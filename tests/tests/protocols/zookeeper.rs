//! ZooKeeper by its own server, with its Java client, kazoo, and four-letter words.

use remora_tests::peers::zookeeper::{java_client, server};
use remora_tests::{Agent, Kind, Netns, Place, Recording, Spans, peers};

const PORT: u16 = 2181;

fn address() -> String {
    format!("127.0.0.1:{PORT}")
}

/// How often a client and the server told an operation, by its span's name.
#[track_caller]
fn both(spans: &Spans, service: &str, name: &str, count: usize) {
    let named = |kind| {
        spans
            .all()
            .of_kind(kind)
            .on(PORT)
            .filter(name, |span| span.name == name && span.text("remora.outcome").is_empty())
    };
    let _ = named(Kind::Client).service(service).exactly(count).each_has("db.system.name", "zookeeper");
    let _ = named(Kind::Server).exactly(count);
}

/// The Java client's session, as it happened, from the middle, and with a reply missing; and a four-letter word.
#[test]
fn java() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = server(&net, &place, PORT) else { return };
    let Some(client) = java_client(&net) else { return };
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let _ = client.arg(address()).run().ok();
    let ask = format!("exec 3<>/dev/tcp/127.0.0.1/{PORT}; printf ruok >&3; cat <&3");
    let told = net.program("bash").arg("-c").arg(ask).run().ok();
    assert_eq!(told.output, "imok");
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep(
        "zookeeper",
        PORT,
        0,
        "zookeeper-java",
        "the Java client does every common operation, some of which fail",
    );
    recording.keep("zookeeper", PORT, 1, "zookeeper-ruok", "a four-letter word");

    let whole = recording.replay();
    let service = "ZooKeeperWorkload";
    for (name, count) in [
        ("connect", 1),
        ("create /app", 2),
        ("create /app/lock-", 3),
        ("getData /app", 12),
        ("getChildren /app", 1),
        ("exists /missing", 1),
        ("getData /missing", 1),
        ("setData /app", 2),
        ("multi", 2),
        ("closeSession", 1),
    ] {
        both(&whole, service, name, count);
    }
    let _ = whole
        .client(PORT)
        .service("bash")
        .exactly(1)
        .each("its name", |span| span.name == "cat" || span.name == "ruok");
    let clients = || whole.client(PORT).service(service);
    let failed = |name: &str, error: &str| {
        let failed = clients().filter(name, |span| span.name == name).with("error.type", error).exactly(1);
        let _ = failed.each_has("db.response.status_code", error).each("an error", |span| span.status == 2);
    };
    failed("getData /missing", "NONODE");
    failed("create /app", "NODEEXISTS");
    failed("setData /app", "BADVERSION");
    failed("multi", "BADVERSION");
    let _ = clients().filter("errors", |span| span.status == 2).exactly(4);
    let _ = clients().with("db.operation.batch.size", 2).exactly(2);
    let missing = clients().filter("exists", |span| span.name == "exists /missing");
    let _ = missing.each_has("db.response.status_code", "NONODE").none_has("error.type");
    for kind in [Kind::Consumer, Kind::Producer] {
        let event =
            whole.all().of_kind(kind).exactly(1).each_has("remora.zookeeper.event", "NodeDataChanged");
        let _ = event.each_has("db.collection.name", "/app");
    }
    for counter in ["unpaired_requests", "unpaired_responses", "resynchronised", "over_limit"] {
        assert_eq!(whole.coverage.get(counter), 0, "{counter}");
    }

    // The agent comes behind the connect, the four creates and five reads.
    let late = recording.clone().late(PORT, 20).replay();
    both(&late, service, "connect", 0);
    both(&late, service, "getData /app", 7);
    both(&late, service, "multi", 2);

    // A reply to a read is lost at the client's end, and nothing else.
    let mut reads = 0;
    let lossy = recording.losing(|piece| {
        let client = piece.open.remote_port == PORT;
        reads += usize::from(client && !piece.read && piece.bytes.get(8..12) == Some(&[0, 0, 0, 4]));
        client && piece.read && reads == 3
    });
    let lossy = lossy.replay();
    let clients = lossy.client(PORT).filter("getData", |span| span.name == "getData /app").exactly(12);
    let _ = clients.with("remora.outcome", "response_lost").exactly(1);
    let _ = lossy.server(PORT).filter("getData", |span| span.name == "getData /app").exactly(12);
    assert_eq!(lossy.coverage.get("unpaired_requests"), 1);
}

/// kazoo: the agent comes while its session is open.
#[test]
fn kazoo() {
    let (net, place) = (Netns::new(), Place::new());
    if !peers::python_has("kazoo") {
        return;
    }
    let Some(_server) = server(&net, &place, PORT) else { return };
    let client = peers::python(&net, "zookeeper/kazoo_client.py").arg(address()).in_steps();
    let agent = Agent::start(&net);
    let _ = client.last_step().ok();
    let spans = agent.stop();
    let service = "kazoo_client";
    for (name, count) in [
        ("connect", 0),
        ("getData /kazoo", 16),
        ("setData /kazoo", 1),
        ("getData /missing", 1),
        ("multi", 1),
        ("delete /kazoo", 1),
        ("closeSession", 1),
    ] {
        both(&spans, service, name, count);
    }
    let _ = spans.client(PORT).service(service).filter("errors", |span| span.status == 2).exactly(1);
}
