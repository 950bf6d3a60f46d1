//! Apache Cassandra 5 and the Python driver, with the versions 3 to 5 of the protocol. One server does for all: it takes a
//! quarter of a minute to start.

use remora_tests::peers::{self, cassandra::cassandra};
use remora_tests::{Agent, Netns, Place, Recording, Running, Selection, Span, Spans};

const PORT: u16 = 9042;

fn driver(net: &Netns, version: u8) -> Running {
    peers::python(net, "cassandra/client.py").arg(PORT.to_string()).arg(version.to_string()).in_steps()
}

/// What one end told of `rounds` of a version. The inserts' text is known if their preparation was seen.
fn told(side: &Selection<'_>, version: u8, rounds: usize, prepared: bool) {
    let side = side.clone().with("db.system.name", "cassandra");
    let table = format!("shop{version}.orders");
    let ours = |operation: &'static str, count: usize| {
        let found = side.clone().with("db.operation.name", operation).with("db.collection.name", &*table);
        found
            .exactly(count)
            .each("named", |span| span.name == format!("{operation} {table}"))
            .each("redacted", |span| !span.text("db.query.text").contains("secret"))
            .each_has("cassandra.consistency.level", "one")
    };
    if prepared {
        let inserts = ours("INSERT", 10 * rounds).none_has("error.type");
        let text = format!("INSERT INTO {table} (day, id, note) VALUES (?, ?, ?)");
        let _ = inserts.each_has("db.query.text", &*text);
    }
    let selects = side.clone().filter("our pages", |span| span.integer("cassandra.page.size") == Some(4));
    let selects = selects.with("db.collection.name", &*table).exactly(3 * rounds);
    let selects = selects.each_has("db.query.text", &*format!("SELECT * FROM {table} WHERE day = ?"));
    let rows = selects.iter().map(|span| span.integer("db.response.returned_rows").unwrap_or_default());
    assert_eq!(rows.sum::<i64>(), 10 * rounds as i64);
    let batches = ours("BATCH UPDATE", rounds).each_has("db.operation.batch.size", 3).none_has("error.type");
    let text = format!("UPDATE {table} SET note = ? WHERE day = ? AND id = ?");
    let _ = batches.each_has("db.query.text", &*text);
    let papers = side.clone().with("db.collection.name", &*format!("shop{version}.papers"));
    let papers = papers.none_has("error.type").none_has("remora.outcome");
    let _ = papers.clone().with("db.operation.name", "INSERT").exactly(rounds);
    let _ =
        papers.with("db.operation.name", "SELECT").exactly(rounds).each_has("db.response.returned_rows", 1);
    let syntax = side.clone().with("error.type", "syntax_error").exactly(rounds);
    let _ = syntax.each_has("db.response.status_code", "8192").each("an error", |span| span.status == 2);
    let invalid = side.clone().with("error.type", "invalid").exactly(rounds);
    let _ = invalid.each_has("db.response.status_code", "8704").each_has("db.collection.name", &*table);
}

/// Requests without a response at the client's end. The driver asks for the cluster's tables all at once, and of the answers
/// only so much is copied as fits the budget of one turn: how many of its own are among these is a matter of how the
/// server's writes fall.
fn unpaired(spans: &Spans) -> Selection<'_> {
    spans.client(PORT).with("remora.outcome", "response_lost")
}

/// Whether the driver asked it for itself.
fn is_own(span: &Span) -> bool {
    span.text("db.collection.name").starts_with("system")
}

#[test]
fn all() {
    let (net, place) = (Netns::new(), Place::new());
    if !peers::python_has("cassandra") {
        return;
    }
    let Some(_server) = cassandra(&net, &place, PORT) else { return };

    // A driver with version 3 is there before the agent, those with 4 and 5 come after it.
    let mut before = driver(&net, 3);
    before.step();
    let agent = Agent::start(&net);
    let mut processes = vec![(3, before.id())];
    before.step();
    let _ = before.last_step().ok();
    for version in [4, 5] {
        let mut client = driver(&net, version);
        processes.push((version, client.id()));
        client.step();
        client.step();
        let _ = client.last_step().ok();
    }
    let spans = agent.stop();
    for (version, process) in processes {
        let (rounds, prepared) = if version == 3 { (1, false) } else { (2, true) };
        let client = spans.client(PORT).by(process);
        told(&client, version, rounds, prepared);
        if !prepared {
            // The statement's text passed before the agent came.
            let _ = client.clone().with("db.operation.name", "EXECUTE").exactly(10);
        }
    }
    let names = |side: Selection<'_>| {
        let side = side.iter().filter(|span| !is_own(span));
        let mut names: Vec<String> = side.map(|span| span.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(spans.client(PORT)), names(spans.server(PORT)), "{}", spans.coverage);

    // A recording, told again; then with the first page of rows lost at the client's end.
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut client = driver(&net, 5);
    client.step();
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    // The first connection is the driver's own, with long answers about the cluster.
    let about = "the Python driver asks Cassandra 5, version 5";
    recording.keep("cassandra", PORT, 1, "cassandra-python-v5", about);
    let whole = recording.replay();
    told(&whole.client(PORT), 5, 1, true);
    told(&whole.server(PORT), 5, 1, true);
    let is_error = |bytes: &[u8]| bytes.windows(8).any(|part| part == b"line 1:0");
    let lossy =
        recording.losing(|piece| piece.open.remote_port == PORT && piece.read && is_error(piece.bytes));
    let lossy = lossy.replay();
    told(&lossy.server(PORT), 5, 1, true);
    let lost = unpaired(&lossy).filter("ours", |span| !is_own(span)).only();
    assert_eq!((lost.text("db.query.text"), lost.text("error.type")), ("SELEC * FROM shop5.orders", ""));
    assert_eq!(unpaired(&lossy).len(), unpaired(&whole).len() + 1);
    let unpaired = |spans: &Spans| spans.coverage.get("unpaired_requests");
    assert_eq!(unpaired(&lossy), unpaired(&whole) + 1);
    assert_eq!(lossy.client(PORT).len(), whole.client(PORT).len());
}
