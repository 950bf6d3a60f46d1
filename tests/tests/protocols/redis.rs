//! Redis with its benchmark, its command line client, and redis-py.

use remora_tests::peers::{self, redis::redis};
use remora_tests::{Agent, Kind, Netns, Place, Recording, Running, Selection, Spans};

const PORT: u16 = 6379;
/// Commands of a round of `clients.py`.
const ROUND: usize = 82;

/// The client with a value of `size` bytes among others.
fn redis_py(net: &Netns, protocol: u32, size: u32) -> Running {
    peers::python(net, "redis/clients.py")
        .args([PORT.into(), protocol, size].map(|number: u32| number.to_string()))
        .in_steps()
}

/// What one end told of `rounds` of one client.
fn rounds(spans: &Selection<'_>, rounds: usize) {
    let spans = spans.clone().filter("commands", |span| span.get("db.system.name").is_some());
    let named = |name: &'static str| spans.clone().with("db.operation.name", name);
    let exactly = |name: &'static str, count: usize, text: &'static str| {
        named(name)
            .exactly(count * rounds)
            .each("named", |span| span.name == name)
            .each_has("db.query.text", text)
            .none_has("remora.outcome")
    };
    let sets = exactly("SET", 12, "SET ? ?");
    let _ = sets.filter("queued", |span| span.get("remora.redis.queued").is_some()).exactly(rounds);
    let _ = exactly("GET", 11, "GET ?").none_has("error.type");
    let _ = exactly("INCRBY", 51, "INCRBY ? ?");
    let _ = exactly("MULTI", 1, "MULTI");
    let _ = exactly("EXEC", 1, "EXEC").each_has("db.operation.batch.size", 2);
    let errors = exactly("LPUSH", 1, "LPUSH ? ?").each_has("db.response.status_code", "WRONGTYPE");
    let _ = errors.each("an error", |span| span.status == 2 && span.text("error.type") == "WRONGTYPE");
    let _ = exactly("HSET", 1, "HSET ? ? ? ? ?");
    let _ = exactly("HGETALL", 1, "HGETALL ?");
    let _ = exactly("PUBLISH", 3, "PUBLISH ? ?");
}

fn messages(spans: &Spans, count: usize) {
    let received = spans.all().on(PORT).of_kind(Kind::Consumer).exactly(count);
    let _ = received.each_has("messaging.system", "redis").each("named", |span| span.name == "receive");
    let _ = spans.server(PORT).with("messaging.operation.name", "deliver").exactly(count);
}

#[test]
fn agent_first() {
    if !peers::python_has("redis") {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = redis(&net, &place, PORT);
    let agent = Agent::start(&net);
    for protocol in [2, 3] {
        let mut client = redis_py(&net, protocol, 300_000);
        client.step();
        let _ = client.last_step().ok();
    }
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        rounds(&side, 2);
        let commands = side.filter("commands", |span| span.get("db.system.name").is_some());
        let _ = commands
            .clone()
            .with("db.operation.name", "HELLO")
            .exactly(3)
            .each_has("db.query.text", "HELLO ?");
        let _ = commands.clone().with("db.operation.name", "SUBSCRIBE").exactly(2);
        let _ = commands.exactly(2 * (ROUND + 2) + 3).each_has("db.namespace", "0");
    }
    messages(&spans, 6);
}

/// The connections were open, and the subscriptions made, before the agent came.
#[test]
fn agent_in_the_middle() {
    if !peers::python_has("redis") {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = redis(&net, &place, PORT);
    let mut clients = [redis_py(&net, 2, 300_000), redis_py(&net, 3, 300_000)];
    let agent = Agent::start(&net);
    for client in &mut clients {
        client.step();
        client.step();
    }
    for client in clients {
        let _ = client.last_step().ok();
    }
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        rounds(&side, 4);
        let commands = side.filter("commands", |span| span.get("db.system.name").is_some());
        // Pipelines take a connection of their own. Of those from before, nobody knows what they had selected.
        let commands = commands.exactly(4 * ROUND + 1);
        let _ = commands.filter("known", |span| span.get("db.namespace").is_some()).exactly(1 + 4 * 54);
    }
    messages(&spans, 12);
}

/// At full speed, pipelined, and inline.
#[test]
fn benchmark() {
    let (net, place) = (Netns::new(), Place::new());
    let _server = redis(&net, &place, PORT);
    let agent = Agent::start(&net);
    let port = PORT.to_string();
    let run = ["-p", &port, "-n", "320", "-P", "16", "-c", "4", "-t", "ping,set,get", "-q"];
    let _ = net.program("redis-benchmark").args(run).run().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let side = side.none_has("error.type").none_has("remora.outcome");
        for (name, count) in [("PING", 640), ("SET", 320), ("GET", 320), ("CONFIG GET", 2)] {
            let _ = side.clone().with("db.operation.name", name).exactly(count);
        }
    }
}

/// A replica's connection is told up to where it becomes a stream of changes; what clients do on both servers goes on.
#[test]
fn replication() {
    let (net, place, other) = (Netns::new(), Place::new(), Place::new());
    let _master = redis(&net, &place, PORT);
    let _replica = redis(&net, &other, PORT + 1);
    let agent = Agent::start(&net);
    let cli = |port: u16, words: &[&str]| {
        net.program("redis-cli").args(["-p", &port.to_string()]).args(words).run().ok().output
    };
    let _ = cli(PORT, &["SET", "k", "v"]);
    let _ = cli(PORT + 1, &["REPLICAOF", "127.0.0.1", &PORT.to_string()]);
    let came =
        remora_tests::wait_for(std::time::Duration::from_secs(30), || cli(PORT + 1, &["GET", "k"]) == "v\n");
    assert!(came, "the replica has not got the key");
    let _ = cli(PORT, &["SET", "k", "w"]);
    assert!(cli(PORT, &["LPUSH", "k", "w"]).starts_with("WRONGTYPE"));
    let spans = agent.stop();
    let _ = spans.server(PORT).with("db.operation.name", "SET").exactly(2);
    let _ = spans.server(PORT).with("db.operation.name", "PSYNC").exactly(1).none_has("error.type");
    let _ = spans.client(PORT).with("db.operation.name", "PSYNC").exactly(1);
    let _ = spans.client(PORT).service("redis-cli").exactly(3);
    let _ = spans.server(PORT + 1).with("db.operation.name", "REPLICAOF").exactly(1);
}

/// Bytes are missing: no reply goes to another's command, and what follows is right.
#[test]
fn recorded_and_lost() {
    if !peers::python_has("redis") {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = redis(&net, &place, PORT);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    for protocol in [2, 3] {
        let mut client = redis_py(&net, protocol, 300);
        client.step();
        let _ = client.last_step().ok();
    }
    let _ = agent.stop();
    let recording = Recording::read(&file);
    for (index, name) in ["resp2", "resp2-subscriber", "resp3", "resp3-subscriber"].into_iter().enumerate() {
        recording.keep("redis", PORT, index, &format!("redis-{name}"), "redis-py");
    }

    let whole = recording.replay();
    rounds(&whole.client(PORT), 2);
    rounds(&whole.server(PORT), 2);
    messages(&whole, 6);

    // The replies to 50 INCR in a pipeline do not reach the client's end.
    let is_pipeline = |bytes: &[u8]| bytes.starts_with(b":1\r\n:2\r\n:3\r\n");
    let lossy = recording
        .clone()
        .losing(|piece| piece.open.remote_port == PORT && piece.read && is_pipeline(piece.bytes))
        .replay();
    rounds(&lossy.server(PORT), 2);
    let lost = lossy.client(PORT).with("remora.outcome", "response_lost");
    assert!(!lost.is_empty() && lost.len() <= 50, "{} lost", lost.len());
    assert_eq!(lossy.coverage.get("unpaired_requests"), lost.len() as i64);
    let _ = lost.each("INCRBY", |span| span.name == "INCRBY");
    let _ = lossy
        .client(PORT)
        .with("db.response.status_code", "WRONGTYPE")
        .exactly(2)
        .each("LPUSH", |span| span.name == "LPUSH");

    // The server's end does not see one command: its reply belongs to nobody.
    let lossy = recording
        .losing(|piece| {
            piece.open.local_port == PORT
                && piece.read
                && piece.bytes.windows(4).any(|window| window == b"HSET")
        })
        .replay();
    rounds(&lossy.client(PORT), 2);
    let _ = lossy.server(PORT).with("db.operation.name", "HSET").exactly(0);
    let _ = lossy.server(PORT).with("db.operation.name", "HGETALL").exactly(2).none_has("error.type");
    assert_eq!(lossy.coverage.get("unpaired_responses"), 2);
}
