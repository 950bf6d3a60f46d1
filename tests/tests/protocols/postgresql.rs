//! PostgreSQL with psql, psycopg, psycopg2 and pgbench.

use remora_tests::peers::{self, postgresql as pg};
use remora_tests::{Agent, Netns, Place, Recording, Running, Selection, Spans};

const PORT: u16 = 5432;
const SECRET: &str = "s3cret";

fn psql(net: &Netns, sql: &str) {
    let _ = pg::client(net, "psql", PORT).args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]).run().ok();
}

fn create(net: &Netns) {
    psql(net, "create table orders (id int primary key, note text)");
}

fn psycopg(net: &Netns) -> Running {
    peers::python(net, "postgresql/client.py").arg(PORT.to_string()).in_steps()
}

/// They have this text.
fn text<'a>(spans: Selection<'a>, text: &str) -> Selection<'a> {
    spans.each_has("db.query.text", text)
}

/// What one end told of `rounds` of psycopg's, `late` if the agent came after the first.
fn rounds(spans: &Selection<'_>, rounds: usize, late: bool) {
    let of = |summary: &'static str| spans.clone().with("db.query.summary", summary);
    let _ = spans.clone().each_has("db.system.name", "postgresql");
    let _ = spans.clone().each("no secret", |span| !format!("{span}").contains(SECRET));
    if !late {
        let _ = spans.clone().each_has("db.namespace", "postgres");
    }
    let _ = text(of("DELETE orders").exactly(rounds), "delete from orders where note like ?");
    let inserts = of("INSERT orders").exactly(7 * rounds).each_has("db.collection.name", "orders");
    let returning = inserts.clone().with("db.response.returned_rows", 2).exactly(rounds);
    let returning = text(returning, "insert into orders values ($1, $2) returning id");
    let _ = returning.each_has("remora.db.affected_rows", 2);
    let _ = inserts.clone().with("remora.db.affected_rows", 1).exactly(5 * rounds);
    let twice = inserts.with("db.response.status_code", "23505").exactly(rounds);
    let _ = twice.each_has("error.type", "23505").each("an error", |span| span.status == 2);
    let missing = of("SELECT missing").exactly(rounds).each_has("db.response.status_code", "42P01");
    let _ = text(missing, "select * from missing where x = $1");
    let prepared = of("SELECT orders").none_has("error.type");
    let named = prepared.clone().with("db.query.text", "select note from orders where id = $1");
    let _ = named.exactly(if late { 0 } else { 2 * rounds }).each_has("db.response.returned_rows", 1);
    if late {
        let unknown = spans.clone().with("remora.statement", "unknown").exactly(2 * rounds);
        let _ = unknown.each_has("db.response.returned_rows", 1).none_has("db.query.text");
    }
    let series =
        prepared.with("db.query.text", "select $1::int from generate_series(?, $2) g left join orders on ?");
    let rows = series
        .exactly(3 * rounds)
        .iter()
        .map(|span| span.integer("db.response.returned_rows").unwrap_or(0))
        .sum::<i64>();
    assert_eq!(rows, 6 * rounds as i64);
    let updates = of("UPDATE orders").exactly(3 * rounds);
    let _ = updates.clone().with("remora.db.affected_rows", 0).exactly(rounds);
    let _ = updates.with("error.type", "pipeline_aborted").exactly(rounds);
    let copies = of("COPY orders").exactly(2 * rounds);
    let _ = copies.clone().with("remora.db.affected_rows", 2).exactly(rounds);
    let _ = copies.with("db.response.returned_rows", 9).exactly(rounds);
    let _ = of("BEGIN").exactly(rounds);
    let _ = of("COMMIT").exactly(rounds);
    let _ = of("DECLARE SELECT orders").exactly(rounds);
    let fetched =
        of("FETCH").iter().map(|span| span.integer("db.response.returned_rows").unwrap_or(0)).sum::<i64>();
    assert_eq!(fetched, 9 * rounds as i64);
    let _ = of("CLOSE").exactly(rounds);
}

fn no_losses(spans: &Spans) {
    for counter in ["unpaired_responses", "unpaired_requests", "resynchronised", "over_limit"] {
        assert_eq!(spans.coverage.get(counter), 0, "{}", spans.coverage);
    }
}

#[test]
fn agent_first() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = pg::postgresql(&net, &place, PORT, &[]) else { return };
    let agent = Agent::start(&net);
    create(&net);
    let mut steps = 0;
    if peers::python_has("psycopg") {
        let mut client = psycopg(&net);
        client.step();
        client.step();
        let _ = client.last_step().ok();
        steps = 2;
    }
    psql(&net, "select 's3cret'; begin; select id from orders where note = 's3cret'; rollback");
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let by_psql = side.clone().with("db.query.summary", "CREATE TABLE orders").only();
        assert_eq!(by_psql.name, "CREATE TABLE orders");
        let several = side.clone().with("db.query.summary", "SELECT BEGIN SELECT orders ROLLBACK").only();
        assert_eq!(
            several.text("db.query.text"),
            "select ?; begin; select id from orders where note = ?; rollback"
        );
        if steps > 0 {
            let _ = side.clone().with("db.query.text", "select ?, ?").exactly(1);
            let others = ["CREATE TABLE orders", "SELECT BEGIN SELECT orders ROLLBACK"];
            rounds(&side.filter("psycopg's", |span| !others.contains(&&*span.name)), steps, false);
        }
    }
    no_losses(&spans);
}

#[test]
fn agent_in_the_middle() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = pg::postgresql(&net, &place, PORT, &[]) else { return };
    if !peers::python_has("psycopg") {
        return;
    }
    create(&net);
    let mut client = psycopg(&net);
    client.step();
    let agent = Agent::start(&net);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        rounds(&side, 2, true);
    }
    no_losses(&spans);
}

/// A unix socket, transactions as psycopg2 writes them, and a statement that is cancelled over a connection of its own.
#[test]
fn unix_socket() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = pg::postgresql(&net, &place, PORT, &[]) else { return };
    if !peers::python_has("psycopg2") {
        return;
    }
    create(&net);
    let agent = Agent::start(&net);
    let mut client =
        peers::python(&net, "postgresql/client2.py").arg(place.path()).arg(PORT.to_string()).in_steps();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for kind in [remora_tests::Kind::Client, remora_tests::Kind::Server] {
        let side = spans.all().of_kind(kind).each("no secret", |span| !format!("{span}").contains(SECRET));
        let of = |summary: &'static str| side.clone().with("db.query.summary", summary);
        let _ = of("BEGIN").exactly(5);
        let _ = of("COMMIT").exactly(3);
        let _ = of("ROLLBACK").exactly(2);
        let _ = of("INSERT orders").exactly(1).each_has("db.query.text", "insert into orders values (?, ?)");
        let _ = of("DELETE orders").exactly(2);
        let _ = of("LISTEN NOTIFY").exactly(1).each_has("db.query.text", "listen channel; notify channel, ?");
        let slept = side.clone().with("db.query.text", "select pg_sleep(?)").only();
        assert_eq!(slept.text("db.response.status_code"), "57014");
        let _ = side.clone().with("db.operation.name", "CANCEL").exactly(1).none_has("error.type");
    }
    no_losses(&spans);
}

#[test]
fn pgbench() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = pg::postgresql(&net, &place, PORT, &[]) else { return };
    let bench = || pg::client(&net, "pgbench", PORT);
    let _ = bench().args(["-i", "-q", "-n"]).run().ok();
    for mode in ["simple", "extended", "prepared"] {
        let agent = Agent::start(&net);
        let _ = bench().args(["-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50"]).run().ok();
        let spans = agent.stop();
        for side in [spans.client(PORT), spans.server(PORT)] {
            let of = |summary: &'static str| side.clone().with("db.query.summary", summary);
            for (summary, count) in [
                ("BEGIN", 200),
                ("UPDATE pgbench_accounts", 200),
                ("SELECT pgbench_accounts", 200),
                ("UPDATE pgbench_tellers", 200),
                ("UPDATE pgbench_branches", 200),
                ("INSERT pgbench_history", 200),
                ("END", 200),
            ] {
                let _ = of(summary).exactly(count).none_has("remora.outcome").none_has("error.type");
            }
            let text = match mode {
                "simple" => "UPDATE pgbench_accounts SET abalance = abalance + ? WHERE aid = ?;",
                _ => "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2;",
            };
            let updates = of("UPDATE pgbench_accounts").each_has("db.query.text", text);
            let _ = updates.each_has("remora.db.affected_rows", 1);
        }
        no_losses(&spans);
    }
}

/// A connection that goes on in TLS is counted, and nothing is told of it.
#[test]
fn tls() {
    let (net, place) = (Netns::new(), Place::new());
    let (key, certificate) = (place.join("key.pem"), place.join("certificate.pem"));
    if pg::programs().is_none() || !remora_tests::installed("openssl") {
        return;
    }
    pg::give(&place);
    let _ = net
        .program("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .user(65_534)
        .run()
        .ok();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_key_file={}", key.display()),
        format!("ssl_cert_file={}", certificate.display()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let Some(_server) = pg::postgresql(&net, &place, PORT, &settings) else { return };
    let agent = Agent::start(&net);
    let _ =
        pg::client(&net, "psql", PORT).env("PGSSLMODE", "require").args(["-X", "-c", "select 1"]).run().ok();
    let spans = agent.stop();
    let _ = spans.all().exactly(0);
    assert_eq!(spans.coverage.get("unreadable_connections"), 2, "{}", spans.coverage);
}

#[test]
fn recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = pg::postgresql(&net, &place, PORT, &[]) else { return };
    if !peers::python_has("psycopg") {
        return;
    }
    create(&net);
    // Its COPY is more than a recording holds of a run.
    let _ = pg::client(&net, "pgbench", PORT).args(["-i", "-q", "-n"]).run().ok();
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut client = psycopg(&net);
    client.step();
    let _ = client.last_step().ok();
    let bench = |mode| pg::client(&net, "pgbench", PORT).args(["-n", "-M", mode, "-t", "3"]).run().ok();
    let _ = bench("prepared");
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep(
        "postgresql",
        PORT,
        0,
        "postgresql-psycopg",
        "psycopg 3: one round of tests/workloads/postgresql/client.py",
    );
    let last = recording.conversations("postgresql", PORT).len() - 1;
    recording.keep(
        "postgresql",
        PORT,
        last,
        "postgresql-pgbench",
        "pgbench -M prepared -t 3 (PostgreSQL 15)",
    );

    let whole = recording.replay();
    let psycopg = |spans: &Spans| {
        spans.client(PORT).filter("psycopg's", |span| !span.service().starts_with("pgbench")).len()
    };
    let total = psycopg(&whole);
    rounds(&whole.client(PORT).filter("psycopg's", |span| !span.service().starts_with("pgbench")), 1, false);
    no_losses(&whole);

    // Some answer of each connection is lost at the client's end.
    let lossy = recording
        .clone()
        .losing(|piece| piece.open.remote_port == PORT && piece.read && piece.number == 21)
        .replay();
    assert_eq!(lossy.server(PORT).len(), whole.server(PORT).len());
    let lost = lossy.client(PORT).with("remora.outcome", "response_lost");
    assert!(!lost.is_empty(), "{}", lossy.coverage);
    assert_eq!(lost.len() as i64, lossy.coverage.get("unpaired_requests"), "{}", lossy.coverage);
    assert_eq!(psycopg(&lossy), total, "every request is told, with or without its answer");

    // A request is lost: so is its span, and no other gets its answer.
    let lossy = recording
        .losing(|piece| piece.open.remote_port == PORT && !piece.read && piece.number == 20)
        .replay();
    let told: Vec<String> = lossy
        .client(PORT)
        .filter("known", |span| {
            ["remora.outcome", "remora.statement"].iter().all(|key| span.get(key).is_none())
        })
        .iter()
        .map(|span| span.essence())
        .collect();
    let mut expected: Vec<String> = whole.client(PORT).iter().map(|span| span.essence()).collect();
    for essence in told {
        let at = expected.iter().position(|other| *other == essence);
        let at = at.unwrap_or_else(|| panic!("told, but not of the whole recording: {essence}"));
        let _ = expected.swap_remove(at);
    }
    let (all, left) = (whole.client(PORT).len(), lossy.client(PORT).len());
    assert!(left < all && left + 10 > all, "{left} of {all}");
}
