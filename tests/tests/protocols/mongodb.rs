//! MongoDB's drivers for Python and Go.

use remora_tests::peers::{self, mongodb::ferretdb};
use remora_tests::{Agent, Netns, Place, Recording, Running, Selection};

const PORT: u16 = 27_017;

fn pymongo(net: &Netns) -> Running {
    peers::python(net, "mongodb/client.py").arg(PORT.to_string()).in_steps()
}

/// What one end told of pymongo's `rounds`, the greetings of drivers apart.
fn python_rounds(spans: &Selection<'_>, rounds: usize) {
    let operation = |name: &'static str| spans.clone().with("db.operation.name", name);
    let orders = |name: &'static str, count: usize| {
        operation(name)
            .with("db.collection.name", "orders")
            .exactly(count)
            .each_has("db.system.name", "mongodb")
            .each_has("db.namespace", "shop")
            .each("named", |span| span.name == format!("{name} orders"))
            .each("redacted", |span| !span.text("db.query.text").contains("secret"))
    };
    let inserts = orders("insert", 2 * rounds);
    let _ = inserts.clone().with("db.operation.batch.size", 5).exactly(rounds).none_has("error.type");
    let duplicates = inserts.with("db.response.status_code", "11000").exactly(rounds);
    let _ = duplicates.each("an error", |span| span.status == 2 && span.text("error.type") == "11000");
    let finds = orders("find", rounds).each_has("db.response.returned_rows", 2);
    let _ = finds.each_has(
        "db.query.text",
        r#"{"find":"orders","filter":{"_id":{"$gte":"?"},"note":{"$ne":"?"}},"batchSize":"?"}"#,
    );
    let more = orders("getMore", 2 * rounds);
    let rows = more.iter().map(|span| span.integer("db.response.returned_rows").unwrap_or_default());
    assert_eq!(rows.sum::<i64>(), 3 * rounds as i64);
    let _ = orders("update", rounds).none_has("error.type");
    let papers = |name: &'static str| operation(name).with("db.collection.name", "papers").exactly(rounds);
    let _ = papers("insert").none_has("error.type").none_has("remora.outcome");
    let _ = papers("find").none_has("error.type").none_has("remora.outcome");
    let nonsense = operation("nonsense").exactly(rounds).each_has("db.response.status_code", "59");
    let nonsense = nonsense.each_has("error.type", "CommandNotFound").none_has("db.collection.name");
    let _ = nonsense.each_has("db.query.text", r#"{"nonsense":"?"}"#);
}

fn go_rounds(spans: &Selection<'_>, rounds: usize) {
    let operation = |name: &'static str| {
        let found = spans.clone().with("db.operation.name", name);
        found.each_has("db.namespace", "library").each_has("db.collection.name", "books")
    };
    let inserts = operation("insert").exactly(2 * rounds);
    let _ = inserts.clone().with("db.operation.batch.size", 2).exactly(rounds);
    let _ = inserts.with("db.response.status_code", "11000").exactly(rounds);
    let rows = |name| {
        let found = operation(name);
        let rows = found.iter().map(|span| span.integer("db.response.returned_rows").unwrap_or_default());
        rows.sum::<i64>()
    };
    let _ = operation("find").exactly(rounds);
    assert_eq!(rows("find") + rows("getMore"), 2 * rounds as i64);
}

#[test]
fn agent_first() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = ferretdb(&net, &place, PORT) else { return };
    let agent = Agent::start(&net);
    if peers::python_has("pymongo") {
        let mut client = pymongo(&net);
        client.step();
        client.step();
        let _ = client.last_step().ok();
    }
    let go = peers::go("mongo").map(|client| {
        let mut client = net.program(client).arg(PORT.to_string()).in_steps();
        let process = client.id();
        client.step();
        client.step();
        let _ = client.last_step().ok();
        process
    });
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let shop = side.clone().with("db.namespace", "shop");
        if !shop.is_empty() {
            python_rounds(&shop, 2);
            let _ = shop.with("db.operation.name", "ping").exactly(1);
        }
        if go.is_some() {
            go_rounds(&side.with("db.namespace", "library"), 2);
        }
    }
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
    assert_eq!(spans.coverage.get("unpaired_requests"), 0, "{}", spans.coverage);
}

#[test]
fn agent_in_the_middle() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = ferretdb(&net, &place, PORT) else { return };
    if !peers::python_has("pymongo") {
        return;
    }
    let mut client = pymongo(&net);
    client.step();
    let agent = Agent::start(&net);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        python_rounds(&side.with("db.namespace", "shop"), 2);
    }
}

#[test]
fn recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = ferretdb(&net, &place, PORT) else { return };
    if !peers::python_has("pymongo") {
        return;
    }
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut client = pymongo(&net);
    client.step();
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    // The first connection watches over the server.
    recording.keep("mongodb", PORT, 0, "mongodb-pymongo-hello", "pymongo greets FerretDB");
    recording.keep("mongodb", PORT, 1, "mongodb-pymongo", "pymongo asks FerretDB");
    python_rounds(&recording.replay().client(PORT).with("db.namespace", "shop"), 1);

    // The find's reply is lost at the client's end: it is told without a status, and everything else as it was.
    let has = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    let is_find = |bytes: &[u8]| has(bytes, b"firstBatch") && has(bytes, b"shop.orders");
    let lossy =
        recording.losing(|piece| piece.open.remote_port == PORT && piece.read && is_find(piece.bytes));
    let spans = lossy.replay();
    python_rounds(&spans.server(PORT).with("db.namespace", "shop"), 1);
    let clients = spans.client(PORT).with("db.namespace", "shop");
    let find =
        clients.clone().with("db.operation.name", "find").with("remora.outcome", "response_lost").only();
    assert_eq!(find.text("db.collection.name"), "orders");
    assert_eq!(clients.with("db.operation.name", "getMore").len(), 2);
    assert_eq!(spans.coverage.get("unpaired_requests"), 1);
}
