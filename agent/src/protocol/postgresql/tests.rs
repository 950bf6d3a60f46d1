use super::*;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{End, Interest, Stream};

/// A message.
fn m(kind: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut message = vec![kind];
    message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(body);
    message
}

fn startup(parameters: &str) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    body.extend_from_slice(parameters.as_bytes());
    body.push(0);
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

fn query(sql: &str) -> Vec<u8> {
    m(b'Q', format!("{sql}\0"))
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    m(b'P', format!("{name}\0{sql}\0\0\0"))
}

/// With one parameter, `s3cret`.
fn bind(portal: &str, name: &str) -> Vec<u8> {
    m(b'B', format!("{portal}\0{name}\0\0\0\0\x01\0\0\0\x06s3cret\0\x01\0\0"))
}

fn describe(what: &str) -> Vec<u8> {
    m(b'D', format!("{what}\0"))
}

fn execute(portal: &str, rows: u8) -> Vec<u8> {
    m(b'E', [portal.as_bytes(), &[0, 0, 0, 0, rows]].concat())
}

fn sync() -> Vec<u8> {
    m(b'S', "")
}

fn columns() -> Vec<u8> {
    m(b'T', b"\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0")
}

fn row() -> Vec<u8> {
    m(b'D', b"\0\x01\0\0\0\x05inner")
}

fn done(tag: &str) -> Vec<u8> {
    m(b'C', format!("{tag}\0"))
}

fn ready() -> Vec<u8> {
    m(b'Z', "I")
}

fn error(code: &str) -> Vec<u8> {
    m(b'E', format!("SERROR\0VERROR\0C{code}\0Mvalue \"s3cret\" is bad\0\0"))
}

fn join(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.concat()
}

/// A client that asks for TLS, is refused, and logs in.
fn opened() -> Conversation {
    let greeting = [m(b'R', [0; 4]), m(b'S', "standard_conforming_strings\0on\0"), m(b'K', [1; 8]), ready()];
    Conversation::new()
        .client([0, 0, 0, 8, 4, 210, 22, 47])
        .server("N")
        .client(startup("user\0me\0database\0shop\0application_name\0psql\0"))
        .server(m(b'R', b"\0\0\0\x05salt"))
        .client(m(b'p', "md5s3cret\0"))
        .server(join(&greeting))
}

fn protocol() -> Postgresql {
    Postgresql::new(Statements::Redacted)
}

fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&protocol(), conversation, false);
    assert_eq!(played.losses, Default::default(), "{played:#?}");
    for line in &played.told {
        assert!(!line.contains("s3cret") && !line.contains("inner"), "{line}");
    }
    played.told
}

const S: &str = "db.system.name=postgresql db.namespace=shop";

#[test]
fn simple_queries() {
    let conversation = opened()
        .client(query("select * from t where a = 's3cret'"))
        .server(join(&[columns(), row(), row(), done("SELECT 2"), ready()]))
        .client(query("insert into t values (1), (2) returning id"))
        .server(join(&[columns(), row(), row(), done("INSERT 0 2"), ready()]))
        .client(query("update u set x = 1; select 's3cret'; begin"))
        .server(join(&[done("UPDATE 7"), columns(), row(), done("SELECT 1"), done("BEGIN"), ready()]))
        .client(query("select 's3cret"))
        .server(join(&[error("42601"), ready()]))
        .client(query(";"))
        .server(join(&[m(b'I', ""), ready()]))
        .client(query("select slow from t"))
        .server(m(b'N', "SNOTICE\0VNOTICE\0C00000\0Mx\0\0"))
        .server(join(&[m(b'A', b"\0\0\0\x01channel\0s3cret\0"), done("SELECT 0"), ready()]));
    assert_eq!(
        told(&conversation),
        [
            format!(
                "SELECT t {S} db.operation.name=SELECT db.query.summary=SELECT t db.collection.name=t \
                 db.query.text=select * from t where a = ? db.response.returned_rows=2"
            ),
            format!(
                "INSERT t {S} db.operation.name=INSERT db.query.summary=INSERT t db.collection.name=t \
                 db.query.text=insert into t values (?) returning id db.response.returned_rows=2 \
                 remora.db.affected_rows=2"
            ),
            format!(
                "UPDATE u SELECT BEGIN {S} db.operation.name=UPDATE db.query.summary=UPDATE u SELECT BEGIN \
                 db.collection.name=u db.query.text=update u set x = ?; select ?; begin \
                 db.response.returned_rows=1 remora.db.affected_rows=7"
            ),
            format!(
                "SELECT {S} db.operation.name=SELECT db.query.summary=SELECT db.response.status_code=42601 \
                 error.type=42601 error"
            ),
            format!("postgresql {S} db.query.text=;"),
            format!(
                "SELECT t {S} db.operation.name=SELECT db.query.summary=SELECT t db.collection.name=t \
                 db.query.text=select slow from t db.response.returned_rows=0"
            ),
        ]
    );
}

/// What psycopg, JDBC and pgbench do: a statement that is prepared once and executed with other names later, portals in parts.
fn extended() -> Conversation {
    opened()
        .client(join(&[
            parse("", "select a from t where b = $1"),
            bind("", ""),
            describe("P"),
            execute("", 0),
            sync(),
        ]))
        .server(join(&[m(b'1', ""), m(b'2', ""), columns(), row(), done("SELECT 1"), ready()]))
        .client(join(&[parse("S_1", "delete from t where b = $1"), describe("SS_1"), sync()]))
        .server(join(&[m(b'1', ""), m(b't', b"\0\x01\0\0\0\x17"), m(b'n', ""), ready()]))
        .client(join(&[bind("", "S_1"), execute("", 0), sync()]))
        .server(join(&[m(b'2', ""), done("DELETE 3"), ready()]))
        .client(join(&[parse("", "select a from big"), bind("C_1", ""), execute("C_1", 2), sync()]))
        .server(join(&[m(b'1', ""), m(b'2', ""), row(), row(), m(b's', ""), ready()]))
        .client(join(&[execute("C_1", 2), m(b'C', "PC_1\0"), sync()]))
        .server(join(&[row(), done("SELECT 1"), m(b'3', ""), ready()]))
}

#[test]
fn extended_queries() {
    let t =
        |op: &str| format!("{op} t {S} db.operation.name={op} db.query.summary={op} t db.collection.name=t");
    let big = format!(
        "SELECT big {S} db.operation.name=SELECT db.query.summary=SELECT big db.collection.name=big \
         db.query.text=select a from big"
    );
    assert_eq!(
        told(&extended()),
        [
            t("SELECT") + " db.query.text=select a from t where b = $1 db.response.returned_rows=1",
            t("DELETE") + " db.query.text=delete from t where b = $1 remora.db.affected_rows=3",
            format!("{big} db.response.returned_rows=2"),
            format!("{big} db.response.returned_rows=1"),
        ]
    );
}

/// Many statements before one Sync; one fails, and those behind it are not executed.
fn pipelined() -> Conversation {
    let one =
        |name: &str| [parse("", &format!("select 1 from {name}")), bind("", ""), execute("", 0)].concat();
    let fine = [m(b'1', ""), m(b'2', ""), row(), done("SELECT 1")].concat();
    opened()
        .client(join(&[one("a"), one("b"), one("c"), one("d"), sync()]))
        .client(join(&[one("e"), sync()]))
        .server(join(&[fine.clone(), m(b'1', ""), error("22P02")]))
        .server(join(&[ready(), fine, ready()]))
        // The error comes before the client has sent all of what will not be executed.
        .client(join(&[parse("", "select 1 from x"), m(b'H', "")]))
        .server(error("42P01"))
        .client(join(&[bind("", ""), execute("", 0), sync()]))
        .server(ready())
        .client(join(&[one("f"), m(b'H', "")]))
        .server(join(&[m(b'1', ""), m(b'2', ""), done("SELECT 0")]))
        .client(sync())
        .server(ready())
}

#[test]
fn pipelines() {
    let told = told(&pipelined());
    let short: Vec<(&str, bool, bool)> = told
        .iter()
        .map(|line| {
            let name = line.split(" db.").next().unwrap();
            (name, line.contains("status_code=22P02"), line.contains("pipeline_aborted"))
        })
        .collect();
    assert_eq!(
        short,
        [
            ("SELECT a", false, false),
            ("SELECT b", true, false),
            ("SELECT c", false, true),
            ("SELECT d", false, true),
            ("SELECT e", false, false),
            ("SELECT x", false, false),
            ("SELECT f", false, false),
        ]
    );
}

/// A statement that cannot be parsed is told though it was never executed; one that fails when it is committed, too.
#[test]
fn refused() {
    let conversation = opened()
        .client(join(&[parse("x", "selec 1"), describe("Sx"), m(b'H', "")]))
        .server(error("42601"))
        .client(sync())
        .server(ready())
        .client(join(&[parse("", "insert into t values ($1)"), bind("", ""), execute("", 0), sync()]))
        .server(join(&[m(b'1', ""), m(b'2', ""), done("INSERT 0 1"), error("23503"), ready()]))
        .client(join(&[bind("", "gone"), execute("", 0), sync()]))
        .server(join(&[error("26000"), ready()]));
    let told = told(&conversation);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("db.query.text=selec ?") && told[0].contains("error.type=42601"), "{}", told[0]);
    assert!(told[1].contains("remora.db.affected_rows=1") && told[1].contains("error.type=23503"));
    assert!(told[2].contains("remora.statement=unknown") && told[2].contains("error.type=26000"));
}

/// Copying, as libpq does it: in a Query; and as PQsendQueryParams does it, with a Sync that the server passes over.
#[test]
fn copies() {
    let g = m(b'G', b"\0\0\x01\0\0");
    let conversation = opened()
        .client(query("copy t from stdin"))
        .server(g.clone())
        .client(join(&[m(b'd', "s3cret\n"), m(b'd', "s3cret\n")]))
        .client(m(b'c', ""))
        .server(join(&[done("COPY 2"), ready()]))
        .client(query("copy t to stdout"))
        .server(join(&[m(b'H', b"\0\0\x01\0\0"), m(b'd', "s3cret\n"), m(b'c', ""), done("COPY 1"), ready()]))
        .client(join(&[parse("", "copy t from stdin"), bind("", ""), describe("P"), execute("", 0), sync()]))
        .server(join(&[m(b'1', ""), m(b'2', ""), m(b'n', ""), g.clone()]))
        .client(join(&[m(b'd', "s3cret\n"), m(b'c', ""), sync()]))
        .server(join(&[done("COPY 1"), ready()]))
        .client(query("copy t from stdin"))
        .server(g)
        .client(m(b'f', "s3cret\0"))
        .server(join(&[error("57014"), ready()]));
    let told = told(&conversation);
    let rows: Vec<_> = told.iter().map(|line| line.split("stdin ").last().unwrap_or_default()).collect();
    assert_eq!(rows[0], "remora.db.affected_rows=2");
    assert!(rows[1].ends_with("db.response.returned_rows=1"));
    assert_eq!(rows[2], "remora.db.affected_rows=1");
    assert!(rows[3].contains("57014"));
    assert_eq!(rows.len(), 4);
}

#[test]
fn openings() {
    // TLS follows.
    let mut driver = Driver::new(&protocol(), false);
    driver.chunk(Stream::ToServer, &[0, 0, 0, 8, 4, 210, 22, 47], 0);
    driver.chunk(Stream::ToClient, b"S", 0);
    assert_eq!(driver.parser.interest(), Interest::Nothing);
    assert_eq!(driver.losses.unreadable, 1);
    // A wrong password, and the name of the user for the database's.
    let refused =
        Conversation::new().client(startup("user\0shop\0")).server(m(b'E', "SFATAL\0VFATAL\0C28P01\0M\0\0"));
    assert_eq!(
        told(&refused),
        [format!(
            "CONNECT {S} db.operation.name=CONNECT remora.db.severity=FATAL db.response.status_code=28P01 \
             error.type=28P01 error"
        )]
    );
    let cancel = Conversation::new().client([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(told(&cancel), ["CANCEL db.system.name=postgresql db.operation.name=CANCEL"]);
    let asked = Conversation::new().client(startup("user\0shop\0")).server(m(b'R', b"\0\0\0\x03"));
    assert!(told(&asked).is_empty(), "a client that is asked for a password may come again");
}

/// What is in flight when the connection ends says why it has no answer.
#[test]
fn ends() {
    let mut driver = Driver::new(&protocol(), false);
    driver.play(&opened().client(query("select pg_sleep(5)")));
    driver.end(End::Broken(104));
    let told = driver.take();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("remora.outcome=connection_closed error.type=connection_closed"), "{}", told[0]);
    let mut driver = Driver::new(&protocol(), false);
    driver.play(&opened().client(query("select 1")));
    driver.chunk(Stream::ToClient, &m(b'E', "SFATAL\0VFATAL\0C57P01\0M\0\0"), 0);
    driver.end(End::Orderly);
    let told = driver.take();
    assert!(told[0].contains("error.type=57P01") && !told[0].contains("remora.outcome"), "{}", told[0]);
}

/// Backslashes mean something only if the server says so.
#[test]
fn standard_conforming_strings() {
    let conversation =
        opened().client(query("select 'a\\', s3cret")).server(join(&[done("SELECT 0"), ready()]));
    let played = Driver::whole(&protocol(), &conversation, false);
    assert!(played.told[0].contains("select ?, s3cret"), "{}", played.told[0]);
    let conversation = opened()
        .client(query("set standard_conforming_strings = off"))
        .server(join(&[done("SET"), m(b'S', "standard_conforming_strings\0off\0"), ready()]))
        .client(query("select 'a\\', s3cret'"))
        .server(join(&[done("SELECT 0"), ready()]));
    assert!(told(&conversation)[1].contains("db.query.text=select ?"));
}

/// The trace context in a statement's text is that of its first execution.
#[test]
fn trace_context() {
    let sql = "select 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/";
    let run = [bind("", "s"), execute("", 0), sync()].concat();
    let answer = [m(b'2', ""), done("SELECT 1"), ready()].concat();
    let mut driver = Driver::new(&protocol(), false);
    driver.play(
        &opened()
            .client([parse("s", sql), run.clone()].concat())
            .server([m(b'1', ""), answer.clone()].concat())
            .client(run)
            .server(answer),
    );
    let parents: Vec<bool> = driver
        .told
        .iter()
        .map(|exchange| {
            let description =
                crate::protocol::testing::drive::describe(exchange, crate::protocol::Role::Client);
            description.parent.is_some()
        })
        .collect();
    assert_eq!(parents, [true, false]);
}

/// In the middle, nothing is told before it is clear that answers belong to what was asked; statements of before are unknown.
#[test]
fn late() {
    let mut driver = Driver::new(&protocol(), true);
    driver.chunk(Stream::ToServer, &[bind("", "S_1"), execute("", 0), sync()].concat(), 0);
    driver.chunk(Stream::ToClient, &[m(b'2', ""), done("DELETE 3"), ready()].concat(), 0);
    // What the client sent first may be the rest of a pipeline: its answer is not believed.
    assert_eq!(
        driver.take(),
        ["postgresql db.system.name=postgresql remora.statement=unknown remora.outcome=response_lost"]
    );
    driver.chunk(Stream::ToServer, &[bind("", "S_1"), execute("", 0), sync()].concat(), 0);
    driver.chunk(Stream::ToClient, &[m(b'2', ""), done("DELETE 3"), ready()].concat(), 0);
    assert!(driver.take().is_empty());
    driver.chunk(Stream::ToServer, &query("select 1 from t"), 0);
    let told = driver.take();
    assert_eq!(
        told,
        ["postgresql db.system.name=postgresql remora.statement=unknown remora.db.affected_rows=3"]
    );
    driver.chunk(Stream::ToClient, &[done("SELECT 1"), ready()].concat(), 0);
    assert_eq!(driver.take().len(), 1);
    // Two answers to one question: it was another's.
    let mut driver = Driver::new(&protocol(), true);
    driver.chunk(Stream::ToServer, &query("select 1 from t"), 0);
    driver.chunk(Stream::ToClient, &[done("SELECT 1"), ready(), done("SELECT 7"), ready()].concat(), 0);
    driver.chunk(Stream::ToServer, &query("select 2 from t"), 0);
    assert!(driver.take().is_empty());
    assert_eq!((driver.losses.unpaired_responses, driver.losses.unpaired_requests), (1, 1));
    // Silence is as good as another question.
    let mut driver = Driver::new(&protocol(), true);
    driver.chunk(Stream::ToServer, &query("select 1 from t"), 0);
    driver.chunk(Stream::ToClient, &[done("SELECT 1"), ready()].concat(), 0);
    driver.pass(2_000_000_000);
    assert_eq!(driver.take().len(), 1);
}

/// A lost answer costs its own exchange and no other.
#[test]
fn lost() {
    let mut driver = Driver::new(&protocol(), false);
    driver.play(&opened().client(query("select 1 from a")));
    driver.chunk(Stream::ToClient, &[], 60);
    driver.chunk(Stream::ToServer, &query("select 1 from b"), 0);
    driver.chunk(Stream::ToClient, &[done("SELECT 1"), ready()].concat(), 0);
    driver.chunk(Stream::ToServer, &query("select 1 from c"), 0);
    driver.chunk(Stream::ToClient, &[done("SELECT 1"), ready()].concat(), 0);
    let played = driver.finish();
    let names: Vec<_> = played.told.iter().map(|line| line.split(" db.").next().unwrap()).collect();
    assert_eq!(names, ["SELECT a", "SELECT b", "SELECT c"]);
    assert!(played.told[0].contains("remora.outcome=response_lost"));
    assert_eq!((played.losses.unpaired_requests, played.losses.resynchronised), (1, 1));
}

/// Statements and steps without end are given up, not kept.
#[test]
fn bounded() {
    let mut driver = Driver::new(&protocol(), false);
    driver.play(&opened());
    for i in 0..20_000 {
        driver.chunk(Stream::ToServer, &parse(&format!("s{i}"), &format!("select {i} from t{i}")), 0);
    }
    assert!(driver.losses.over_limit > 1);
    let told = driver.finish().told;
    assert!(told.is_empty(), "none was executed");
}

/// What is told of a part is what is told of the whole, but for what was said before (statements, the database), and for
/// what is missing of a text or of an error.
fn same(expected: &str, got: &str) -> bool {
    let parts = |line: &str| -> Vec<String> {
        line.split(" db.").skip(1).flat_map(|part| part.split(" remora.")).map(str::to_owned).collect()
    };
    let (expected, got) = (parts(expected), parts(&got.replace(" error.type=_OTHER error", "")));
    let known = |part: &&String| !part.starts_with("statement=unknown") && !part.starts_with("system.name=");
    got.iter().filter(known).all(|part| {
        let begun = part.trim_end_matches(['…', '?']);
        expected.iter().any(|whole| whole == part || whole.starts_with(begun))
    })
}

#[test]
fn built_conversations() {
    for conversation in [extended(), pipelined()] {
        checks::every_split(&protocol(), &conversation);
        checks::every_prefix(&protocol(), &conversation);
        checks::every_late_start(&protocol(), &conversation, same);
        checks::every_gap(&protocol(), &conversation, same);
    }
    checks::garbage(&protocol(), &[extended(), pipelined()]);
}

#[test]
fn inference() {
    let infer = |bytes: &[u8]| {
        let opening = false;
        protocol().infer(&Run { bytes, passed: bytes.len() as u64, opening, stream: None })
    };
    for piece in extended().pieces.iter().chain(&pipelined().pieces) {
        let got = infer(&piece.bytes);
        let hello = matches!(piece.bytes[..], [b'N'] | [b'p', ..]);
        let small = matches!(piece.bytes[..], [b'S' | b'Z', _, _, _, _] | [b'Z', _, _, _, _, _]);
        match got {
            Inference::Yes(stream) => assert_eq!(stream, piece.stream),
            Inference::Likely(stream) => assert!(small && stream == piece.stream, "{piece:?}"),
            _ => assert!(hello, "{got:?} {piece:?}"),
        }
    }
    let long = query(&format!("insert into t values ({})", "1, ".repeat(1000)));
    assert_eq!(infer(&long[..512]), Inference::Yes(Stream::ToServer));
    for other in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"QUIT\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x51\0\0\0\x03select 1",
        b"\0\0\0\x15\0\x03\0\0\0\0\0\x01\0\x07console\xff\xff\xff\xff",
        b"\0\0\0\x08\0\x03\0\0",
        b"S\0\0\0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"E\0\0\0\x09\x01\x02\x03\x04\x05",
        b"D\0\0\0\x05x",
    ] {
        assert!(!matches!(infer(other), Inference::Yes(_) | Inference::Likely(_)), "{other:?}");
    }
}

#[test]
fn recorded() {
    let conversations = Conversation::recorded(Some("postgresql"));
    for conversation in &conversations {
        checks::every_late_start(&protocol(), conversation, same);
        checks::every_gap(&protocol(), conversation, same);
    }
    // The longest have too many bytes to cut at each.
    for conversation in conversations.iter().filter(|conversation| conversation.name.ends_with("pgbench")) {
        checks::every_split(&protocol(), conversation);
        checks::every_prefix(&protocol(), conversation);
    }
    checks::garbage(&protocol(), &conversations);
}
