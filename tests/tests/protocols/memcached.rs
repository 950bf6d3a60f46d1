//! Memcached with pymemcache (text), python-binary-memcached, and meta commands by hand.

use remora_tests::peers::{self, memcached::memcached};
use remora_tests::{Agent, Netns, Place, Recording, Running, Selection};

const PORT: u16 = 11_211;
/// Commands of a round of `clients.py`, in the text protocol, by the meta commands, and in the binary protocol.
const ROUND: usize = 30 + 6 + 14;

fn clients(net: &Netns, size: u32) -> Running {
    peers::python(net, "memcached/clients.py").args([u32::from(PORT), size].map(|n| n.to_string())).in_steps()
}

fn installed() -> bool {
    peers::python_has("pymemcache") && peers::python_has("bmemcached")
}

/// What one end told of `rounds`.
fn rounds(spans: &Selection<'_>, rounds: usize) {
    let protocol = |name: &'static str| spans.clone().with("remora.memcached.protocol", name);
    let text = |name: &'static str, count: usize| {
        let found = protocol("text").with("db.operation.name", name).exactly(count * rounds);
        found
            .each_has("db.system.name", "memcached")
            .each("named", |span| span.name == name)
            .none_has("remora.outcome")
    };
    let sum =
        |spans: &Selection<'_>, key: &str| spans.iter().filter_map(|span| span.integer(key)).sum::<i64>();
    let count = rounds as i64;
    let _ = text("set", 13).none_has("error.type").with("db.query.text", "set ? ? ? ? ?").exactly(rounds);
    let gets = text("get", 12);
    let hits = (sum(&gets, "remora.memcached.hits"), sum(&gets, "remora.memcached.misses"));
    assert_eq!(hits, (14 * count, count));
    let errors = text("incr", 2).with("error.type", "CLIENT_ERROR").exactly(rounds);
    let _ =
        errors.each_has("db.response.status_code", "CLIENT_ERROR").each("an error", |span| span.status == 2);
    let _ = text("add", 1).each_has("remora.memcached.result", "NOT_STORED").none_has("error.type");
    let _ = text("delete", 1).each_has("remora.memcached.result", "DELETED");
    let _ = text("touch", 1).each_has("remora.memcached.result", "NOT_FOUND");
    let _ = text("ms", 1).each_has("remora.memcached.result", "HD").each_has("db.query.text", "ms ? ?");
    let meta = text("mg", 4);
    let hits = (sum(&meta, "remora.memcached.hits"), sum(&meta, "remora.memcached.misses"));
    assert_eq!(hits, (2 * count, 2 * count));
    let binary =
        |name: &'static str| protocol("binary").with("db.operation.name", name).none_has("error.type");
    let _ = binary("set").exactly(5 * rounds);
    let _ = binary("delete").exactly(rounds);
    let reads = protocol("binary").filter("reads", |span| span.name.starts_with("get"));
    let hits = (sum(&reads, "remora.memcached.hits"), sum(&reads, "remora.memcached.misses"));
    assert_eq!(hits, (7 * count, count));
}

#[test]
fn agent_first() {
    if !installed() {
        return;
    }
    let net = Netns::new();
    let _server = memcached(&net, PORT);
    let agent = Agent::start(&net);
    let mut client = clients(&net, 300_000);
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        // One of each protocol when they began.
        let first =
            side.clone().in_order().into_iter().map(|span| span.name.clone()).take(3).collect::<Vec<_>>();
        assert_eq!(first, ["version", "get", "mn"]);
        let _ = side.clone().with("db.operation.name", "mn").exactly(2);
        let _ = side.exactly(ROUND + 3);
    }
}

/// The connections were open before the agent came.
#[test]
fn agent_in_the_middle() {
    if !installed() {
        return;
    }
    let net = Netns::new();
    let _server = memcached(&net, PORT);
    let mut client = clients(&net, 300_000);
    let agent = Agent::start(&net);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        rounds(&side, 2);
        let _ = side.exactly(2 * ROUND);
    }
}

/// Bytes are missing: no response goes to another's command, and what follows is right.
#[test]
fn recorded_and_lost() {
    if !installed() {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let _server = memcached(&net, PORT);
    let mut client = clients(&net, 300);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    for (index, name) in ["text", "binary", "meta"].into_iter().enumerate() {
        recording.keep(
            "memcached",
            PORT,
            index,
            &format!("memcached-{name}"),
            "pymemcache, bmemcached, or by hand",
        );
    }

    let whole = recording.replay();
    rounds(&whole.client(PORT), 2);
    rounds(&whole.server(PORT), 2);

    // The client's end does not see two answers, the server's end two commands.
    let has = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let lossy = recording
        .losing(|piece| {
            piece.read
                && (piece.open.remote_port == PORT && has(piece.bytes, b"NOT_STORED")
                    || piece.open.local_port == PORT && has(piece.bytes, b"delete counter"))
        })
        .replay();
    let lost = lossy.client(PORT).with("remora.outcome", "response_lost").exactly(2);
    let _ = lost.each("add", |span| span.name == "add");
    let _ = lossy.client(PORT).exactly(2 * ROUND);
    let _ = lossy.server(PORT).exactly(2 * ROUND - 2).none_has("remora.outcome");
    let _ = lossy
        .server(PORT)
        .with("remora.memcached.result", "NOT_FOUND")
        .with("db.operation.name", "touch")
        .exactly(2);
    assert_eq!((lossy.coverage.get("unpaired_requests"), lossy.coverage.get("unpaired_responses")), (2, 2));
}
