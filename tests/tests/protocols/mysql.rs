//! MariaDB with its own client, PyMySQL, MySQL's connector for Python, and sysbench.

use std::time::Duration;

use remora_tests::peers::{self, mysql};
use remora_tests::{Agent, Netns, Place, Recording, Running, Selection, Spans, wait_for};

const PORT: u16 = 3306;
const SECRET: &str = "s3cret";

/// Most of what both ends tell of a round of PyMySQL's: more than one of them does.
const ROUND: usize = 24;

/// PyMySQL; a round has a result with two rows of so many words, from round `from` on.
fn text_client(net: &Netns, place: &Place, words: &str, from: usize) -> Running {
    let rows: String = (0..20).map(|i| format!("{},s3cret\n", 900_000 + i)).collect();
    let file = place.write("rows.csv", rows);
    peers::python(net, "mysql/text.py")
        .arg(PORT.to_string())
        .arg(file)
        .arg(words)
        .arg(from.to_string())
        .in_steps()
}

/// What passes before the agent knows the protocol is copied in part only: waits until it has told of a round.
fn known(agent: &Agent, before: usize) {
    let round = before + ROUND;
    assert!(wait_for(Duration::from_secs(30), || agent.told() >= round), "{} of {round} spans", agent.told());
}

fn no_losses(spans: &Spans) {
    for counter in ["unpaired_responses", "unpaired_requests", "resynchronised", "over_limit"] {
        assert_eq!(spans.coverage.get(counter), 0, "{}", spans.coverage);
    }
}

/// What one end told of `rounds` of PyMySQL's; `late` if the agent came after the first.
fn text_rounds(spans: &Selection<'_>, rounds: usize, late: bool) {
    let system = if late { "mysql" } else { "mariadb" };
    let spans = spans.clone().each_has("db.system.name", system);
    let spans = spans.each("no secret", |span| !format!("{span}").contains(SECRET));
    let of = |summary: &'static str| spans.clone().with("db.query.summary", summary);
    let text = |summary, text: &str| of(summary).with("db.query.text", text);
    let _ = text("DELETE orders", "delete from orders where note like ?").exactly(rounds);
    let inserts = text("INSERT orders", "insert into orders values (?, ?)").exactly(2 * rounds);
    let _ = inserts.clone().with("remora.db.affected_rows", 5).exactly(rounds).none_has("error.type");
    let twice = inserts.with("db.response.status_code", "1062").exactly(rounds);
    let _ = twice.each_has("error.type", "1062").each_has("remora.db.sqlstate", "23000");
    let selects = text("SELECT orders", "select id, note from orders where note <> ? and id in (?)");
    let _ = selects.exactly(rounds).each_has("db.response.returned_rows", 2);
    let _ = of("SELECT missing").exactly(rounds).each_has("db.response.status_code", "1146");
    let several = of("UPDATE orders SELECT orders SELECT").exactly(rounds);
    let _ = several.each_has("remora.db.affected_rows", 3).each_has("db.response.returned_rows", 6);
    let command = |name: &'static str| {
        let named = spans.clone().with("db.operation.name", name);
        named.filter("no statement", |span| span.get("db.query.text").is_none()).exactly(rounds)
    };
    let _ = command("PING");
    let _ = command("USE");
    let _ = of("CREATE TABLE here").exactly(rounds).each_has("db.namespace", "other");
    let _ = of("USE shop").exactly(rounds).each_has("db.namespace", "other");
    let loads = of("LOAD orders").exactly(rounds).each_has("remora.db.affected_rows", 20);
    let _ = loads.each_has("db.namespace", "shop");
    let _ = of("BEGIN").exactly(rounds);
    let _ = of("COMMIT").exactly(rounds);
    let long = text("SELECT orders", "select repeat(?, ?) from orders limit ?").exactly(rounds);
    let _ = long.each_has("db.response.returned_rows", 2);
}

#[test]
fn agent_first() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = mysql::mariadb(&net, &place, PORT, &[]) else { return };
    let agent = Agent::start(&net);
    let _ =
        mysql::client(&net, PORT, "insert into orders values (7, \"s3cret\"); delete from orders").run().ok();
    let python = peers::python_has("pymysql");
    if python {
        let before = agent.told();
        let mut client = text_client(&net, &place, "50000", 1);
        client.step();
        known(&agent, before);
        client.step();
        let _ = client.last_step().ok();
    }
    let wrong = mysql::client(&net, PORT, "select 1").arg("--password=s3cret-wrong").run();
    assert!(!wrong.status.success());
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        let refused = side.clone().with("db.operation.name", "CONNECT").only();
        assert_eq!((refused.text("error.type"), refused.status), ("1045", 2));
        let own = side.clone().with("db.query.text", "delete from orders").only();
        assert_eq!((&*own.name, own.integer("remora.db.affected_rows")), ("DELETE orders", Some(1)));
        if python {
            let apart = ["CONNECT"];
            let others = side
                .filter("PyMySQL's", |span| !apart.contains(&span.text("db.operation.name")))
                .filter("not the first client's", |span| span.text("db.query.text") != "delete from orders");
            let one = others.clone().with("remora.db.affected_rows", 1);
            let one = one.with("db.query.text", "insert into orders values (?, ?)").only();
            let id = one.id.clone();
            text_rounds(&others.filter("others", |span| span.id != id), 2, false);
        }
    }
    no_losses(&spans);
}

#[test]
fn agent_in_the_middle() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = mysql::mariadb(&net, &place, PORT, &[]) else { return };
    if !peers::python_has("pymysql") {
        return;
    }
    let mut client = text_client(&net, &place, "50000", 2);
    client.step();
    let agent = Agent::start(&net);
    client.step();
    known(&agent, 0);
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        text_rounds(&side, 2, true);
    }
    no_losses(&spans);
}

/// Statements that are prepared; one of them before the agent came, in the second half.
#[test]
fn prepared_statements() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = mysql::mariadb(&net, &place, PORT, &[]) else { return };
    if !peers::python_has("mysql.connector") {
        return;
    }
    let start = || peers::python(&net, "mysql/prepared.py").arg(PORT.to_string()).in_steps();
    for late in [false, true] {
        let _ = mysql::client(&net, PORT, "delete from orders").run().ok();
        let (mut client, agent) = if late {
            let client = start();
            (client, Agent::start(&net))
        } else {
            let agent = Agent::start(&net);
            (start(), agent)
        };
        client.step();
        client.step();
        let _ = client.last_step().ok();
        let spans = agent.stop();
        for side in [spans.client(PORT), spans.server(PORT)] {
            let side = side.each("no secret", |span| !format!("{span}").contains(SECRET));
            let inserts = if late {
                side.clone().with("remora.statement", "unknown").exactly(8)
            } else {
                let known = side.clone().with("db.query.summary", "INSERT orders").exactly(9);
                known.each_has("db.query.text", "insert into orders values (?, ?)")
            };
            let _ = inserts.clone().with("remora.db.affected_rows", 1).exactly(if late { 6 } else { 7 });
            let _ = inserts.with("db.response.status_code", "1062").exactly(2);
            let selects =
                side.clone().with("db.query.text", "select id, note from orders where note = ? and id >= ?");
            let _ = selects
                .exactly(2)
                .each_has("db.response.returned_rows", 3)
                .each_has("db.collection.name", "orders");
            let _ = side
                .with("db.response.status_code", "1146")
                .exactly(2)
                .each_has("db.query.summary", "SELECT missing");
        }
        no_losses(&spans);
    }
}

#[test]
fn sysbench() {
    let (net, place) = (Netns::new(), Place::new());
    if !remora_tests::installed("sysbench") {
        return;
    }
    let Some(_server) = mysql::mariadb(&net, &place, PORT, &[]) else { return };
    let bench = |command: &str| {
        net.program("sysbench")
            .args(["oltp_read_write", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=app"])
            .arg(format!("--mysql-password={}", mysql::PASSWORD))
            .arg(format!("--mysql-port={PORT}"))
            .args([
                "--mysql-db=shop",
                "--tables=1",
                "--table-size=200",
                "--threads=3",
                "--events=60",
                "--time=0",
            ])
            .arg(command)
            .run()
            .ok()
    };
    let _ = bench("prepare");
    let agent = Agent::start(&net);
    let report = bench("run").output;
    let spans = agent.stop();
    let count = |what: &str| {
        let line = report.lines().find(|line| line.trim_start().starts_with(what));
        let word = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|word| word.parse().ok());
        word.unwrap_or_else(|| panic!("no {what} in {report}"))
    };
    let (reads, writes, other): (usize, usize, usize) = (count("read:"), count("write:"), count("other:"));
    for side in [spans.client(PORT), spans.server(PORT)] {
        // A statement that failed (two transactions that meet) is done again, and not counted.
        let fine = side.clone().filter("fine", |span| span.get("error.type").is_none());
        let of = |operation: &'static str| fine.clone().with("db.operation.name", operation).len();
        let _ = fine.clone().none_has("remora.statement");
        assert_eq!(of("SELECT"), reads, "{report}");
        assert_eq!(of("UPDATE") + of("DELETE") + of("INSERT"), writes, "{report}");
        assert_eq!(of("BEGIN") + of("COMMIT"), other, "{report}");
        let _ = side.none_has("remora.outcome");
    }
    no_losses(&spans);
}

/// Connections that go on compressed or in TLS are counted, and nothing is told of them.
#[test]
fn unreadable() {
    let (net, place) = (Netns::new(), Place::new());
    if !remora_tests::installed("openssl") {
        return;
    }
    peers::postgresql::give(&place);
    let (key, certificate) = (place.join("key.pem"), place.join("certificate.pem"));
    let _ = net
        .program("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .user(65_534)
        .run()
        .ok();
    let settings = [format!("--ssl-key={}", key.display()), format!("--ssl-cert={}", certificate.display())];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let Some(_server) = mysql::mariadb(&net, &place, PORT, &settings) else { return };
    let agent = Agent::start(&net);
    let _ = mysql::client(&net, PORT, "select 1").args(["--compress", "--skip-ssl"]).run().ok();
    let _ = mysql::client(&net, PORT, "select 1").args(["--ssl", "--skip-ssl-verify-server-cert"]).run().ok();
    let spans = agent.stop();
    let _ = spans.all().exactly(0);
    assert_eq!(spans.coverage.get("unreadable_connections"), 4, "{}", spans.coverage);
}

#[test]
fn recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = mysql::mariadb(&net, &place, PORT, &[]) else { return };
    if !peers::python_has("pymysql") || !peers::python_has("mysql.connector") {
        return;
    }
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut client = text_client(&net, &place, "50", 0);
    client.step();
    let _ = client.last_step().ok();
    let _ = mysql::client(&net, PORT, "delete from orders").run().ok();
    let mut client = peers::python(&net, "mysql/prepared.py").arg(PORT.to_string()).in_steps();
    client.step();
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep("mysql", PORT, 1, "mysql-mariadb", "the mariadb client deletes rows (MariaDB 10.11)");
    recording.keep(
        "mysql",
        PORT,
        2,
        "mysql-prepared",
        "MySQL's connector for Python, prepared statements (MariaDB 10.11)",
    );

    let whole = recording.replay();
    no_losses(&whole);
    let total = whole.client(PORT).len();
    assert_eq!(whole.server(PORT).len(), total);

    // A response is lost at the client's end, and nothing else, in each connection that is long enough.
    let lossy = recording
        .clone()
        .losing(|piece| piece.open.remote_port == PORT && piece.read && piece.number == 13)
        .replay();
    let _ = lossy.server(PORT).exactly(total);
    let clients = lossy.client(PORT).exactly(total);
    let lost = clients.with("remora.outcome", "response_lost");
    assert!(!lost.is_empty(), "{}", lossy.coverage);
    assert_eq!(lost.len() as i64, lossy.coverage.get("unpaired_requests"), "{}", lossy.coverage);

    // A request is lost: so is its span, and no other gets its response.
    let lossy = recording
        .losing(|piece| piece.open.remote_port == PORT && !piece.read && piece.number == 12)
        .replay();
    let known = |key: &str| !["remora.outcome", "remora.statement"].contains(&key);
    let told: Vec<String> = lossy
        .client(PORT)
        .filter("known", |span| span.attributes.keys().all(|key| known(key)))
        .iter()
        .map(|span| span.essence())
        .collect();
    let mut expected: Vec<String> = whole.client(PORT).iter().map(|span| span.essence()).collect();
    for essence in told {
        // The database is not known behind a request that may have chosen another.
        let at = expected.iter().position(|other| {
            *other == essence || other.replace("\"db.namespace=\\\"shop\\\"\", ", "") == essence
        });
        let at =
            at.unwrap_or_else(|| panic!("told, but not of the whole recording: {essence}\n{expected:#?}"));
        let _ = expected.swap_remove(at);
    }
}
