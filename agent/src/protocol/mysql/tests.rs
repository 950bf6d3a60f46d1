use super::*;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{Interest, Stream};

/// A packet.
fn p(number: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut packet = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(number);
    packet.extend_from_slice(payload);
    packet
}

/// Packets with numbers from 1 on.
fn response(payloads: &[&[u8]]) -> Vec<u8> {
    payloads.iter().zip(1_usize..).flat_map(|(payload, number)| p(number as u8, payload)).collect()
}

const CAPABILITIES: u32 = 0x0103_a20d;
const DEPRECATE_EOF: u32 = 1 << 24;

fn greeting(version: &str, capabilities: u32) -> Vec<u8> {
    let [a, b, c, d] = capabilities.to_le_bytes();
    let mut payload = vec![10];
    payload.extend_from_slice(version.as_bytes());
    payload.extend_from_slice(b"\0\x01\0\0\0saltsalt\0");
    payload.extend_from_slice(&[a, b, 45, 2, 0, c, d, 21]);
    payload.extend_from_slice(&[0; 10]);
    payload.extend_from_slice(b"saltsaltsalt\0mysql_native_password\0");
    p(0, payload)
}

fn login(capabilities: u32) -> Vec<u8> {
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.extend_from_slice(&[0, 0, 0, 1, 45]);
    payload.extend_from_slice(&[0; 23]);
    payload.extend_from_slice(b"me\0\x06s3cretshop\0mysql_native_password\0");
    p(1, payload)
}

fn opened() -> Conversation {
    Conversation::new()
        .server(greeting("5.5.5-10.11.6-MariaDB-0+deb12u1", CAPABILITIES))
        .client(login(CAPABILITIES))
        .server(p(2, b"\0\0\0\x02\0\0\0"))
}

fn query(sql: &str) -> Vec<u8> {
    p(0, [b"\x03", sql.as_bytes()].concat())
}

fn prepare(sql: &str) -> Vec<u8> {
    p(0, [b"\x16", sql.as_bytes()].concat())
}

fn execute(id: u8) -> Vec<u8> {
    p(0, [&[0x17, id, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0xfe, 0, 6][..], b"s3cret"].concat())
}

const COLUMN: &[u8] = b"\x03def\x04shop\x01t\x01t\x02id\x02id\x0c\x3f\0\x0b\0\0\0\x03\x03\x42\0\0\0";
const ROW: &[u8] = b"\x06s3cret";
const EOF: &[u8] = b"\xfe\0\0\x02\0";
const OK_EOF: &[u8] = b"\xfe\0\0\x02\0\0\0";
const OK: &[u8] = b"\0\0\0\x02\0\0\0";

fn affected(rows: u8) -> Vec<u8> {
    vec![0, rows, 0, 2, 0, 0, 0]
}

fn error(code: u16) -> Vec<u8> {
    [&[0xff][..], &code.to_le_bytes(), b"#42S02Table 's3cret' doesn't exist"].concat()
}

fn result(rows: usize, deprecate_eof: bool) -> Vec<u8> {
    let mut payloads = vec![&b"\x01"[..], COLUMN];
    if !deprecate_eof {
        payloads.push(EOF);
    }
    payloads.extend(std::iter::repeat_n(ROW, rows));
    payloads.push(if deprecate_eof { OK_EOF } else { EOF });
    response(&payloads)
}

fn protocol() -> Mysql {
    Mysql::new(Statements::Redacted)
}

fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&protocol(), conversation, false);
    assert_eq!(played.losses, Default::default(), "{played:#?}");
    for line in &played.told {
        assert!(!line.contains("s3cret"), "{line}");
    }
    played.told
}

const S: &str = "db.system.name=mariadb db.namespace=shop";

fn queries() -> Conversation {
    opened()
        .client(query("select id from t where a = \"s3cret\""))
        .server(result(2, false))
        .client(query("select id from t"))
        .server(result(700, false))
        .client(query("insert into t values ('it\\'s s3cret')"))
        .server(response(&[&affected(1)]))
        .client(query("select * from missing"))
        .server(response(&[&error(1146)]))
        .client(query("update t set a = 1; select 2; select 3"))
        .server(response(&[
            b"\0\x05\0\x0a\0\0\0",
            b"\x01",
            COLUMN,
            EOF,
            ROW,
            b"\xfe\0\0\x0a\0",
            b"\x01",
            COLUMN,
            EOF,
            ROW,
            ROW,
            EOF,
        ]))
        .client(query("use `other`"))
        .server(response(&[OK]))
        .client(p(0, b"\x0e"))
        .server(response(&[OK]))
        .client(p(0, b"\x02shop"))
        .server(response(&[OK]))
        .client(query("load data local infile 's3cret' into table t"))
        .server(response(&[b"\xfbs3cret"]))
        .client([p(2, b"s3cret"), p(3, b"")].concat())
        .server(p(4, affected(1)))
        .client(p(0, b"\x01"))
}

#[test]
fn text_protocol() {
    let t =
        |op: &str| format!("{op} t {S} db.operation.name={op} db.query.summary={op} t db.collection.name=t");
    assert_eq!(
        told(&queries()),
        [
            t("SELECT") + " db.query.text=select id from t where a = ? db.response.returned_rows=2",
            t("SELECT") + " db.query.text=select id from t db.response.returned_rows=700",
            t("INSERT") + " db.query.text=insert into t values (?) remora.db.affected_rows=1",
            format!(
                "SELECT missing {S} db.operation.name=SELECT db.query.summary=SELECT missing \
                 db.collection.name=missing db.query.text=select * from missing remora.db.sqlstate=42S02 \
                 db.response.status_code=1146 error.type=1146 error"
            ),
            format!(
                "UPDATE t SELECT {S} db.operation.name=UPDATE db.query.summary=UPDATE t SELECT \
                 db.collection.name=t db.query.text=update t set a = ?; select ?; select ? \
                 db.response.returned_rows=3 remora.db.affected_rows=5"
            ),
            format!(
                "USE other {S} db.operation.name=USE db.query.summary=USE other db.query.text=use `other`"
            ),
            "PING db.system.name=mariadb db.namespace=other db.operation.name=PING".to_owned(),
            "USE db.system.name=mariadb db.namespace=other db.operation.name=USE".to_owned(),
            t("LOAD") + " db.query.text=load data local infile ? into table t remora.db.affected_rows=1",
        ]
    );
}

/// A statement that is prepared, executed twice, and closed; with and without EOF packets, with a cursor, and refused.
fn prepared(deprecate_eof: bool) -> Conversation {
    let capabilities = CAPABILITIES & !DEPRECATE_EOF | if deprecate_eof { DEPRECATE_EOF } else { 0 };
    let mut ok: Vec<&[u8]> = vec![b"\0\x01\0\0\0\x01\0\x01\0\0\0\0", COLUMN];
    let mut cursor: Vec<&[u8]> = vec![b"\x01", COLUMN];
    if deprecate_eof {
        ok.push(COLUMN);
        cursor.push(b"\xfe\0\0\x42\0\0\0");
    } else {
        ok.extend([EOF, COLUMN, EOF]);
        cursor.push(b"\xfe\0\0\x42\0");
    }
    let end: &[u8] = if deprecate_eof { OK_EOF } else { EOF };
    Conversation::new()
        .server(greeting("8.4.2", capabilities))
        .client(login(capabilities))
        .server(p(2, b"\x01\x03"))
        .server(p(3, OK))
        .client(prepare("select id from t where a = ?"))
        .server(response(&ok))
        .client(execute(1))
        .server(result(3, deprecate_eof))
        .client(execute(1))
        .server(response(&cursor))
        .client(p(0, b"\x1c\x01\0\0\0\x02\0\0\0"))
        .server(response(&[ROW, ROW, end]))
        .client([p(0, b"\x19\x01\0\0\0"), prepare("selec 's3cret'")].concat())
        .server(response(&[&error(1064)]))
        .client(execute(1))
        .server(response(&[&error(1243)]))
}

#[test]
fn prepared_statements() {
    let t = "SELECT t db.system.name=mysql db.namespace=shop db.operation.name=SELECT db.query.summary=SELECT t \
             db.collection.name=t db.query.text=select id from t where a = ? db.response.returned_rows=";
    for deprecate_eof in [false, true] {
        assert_eq!(
            told(&prepared(deprecate_eof)),
            [
                format!("{t}3"),
                format!("{t}0"),
                format!("{t}2"),
                "mysql db.system.name=mysql db.namespace=shop db.query.text=selec ? remora.db.sqlstate=42S02 \
                 db.response.status_code=1064 error.type=1064 error"
                    .to_owned(),
                "mysql db.system.name=mysql db.namespace=shop remora.statement=unknown \
                 remora.db.sqlstate=42S02 db.response.status_code=1243 error.type=1243 error"
                    .to_owned(),
            ],
            "{deprecate_eof}"
        );
    }
}

/// MariaDB's connectors do not wait to hear a statement's id, and bind many rows at once.
#[test]
fn mariadb_extensions() {
    let last = [0xff; 4];
    let conversation = opened()
        .client(
            [
                prepare("insert into t values (?)"),
                p(0, [&[0xfa][..], &last, b"\x80\0\x03\0\0\x06s3cret"].concat()),
            ]
            .concat(),
        )
        .server(
            [response(&[b"\0\x01\0\0\0\0\0\x01\0\0\0\0", COLUMN, EOF]), response(&[&affected(2)])].concat(),
        )
        // Definitions that the client has already: a flag behind the number of columns.
        .client(prepare("select id from t"))
        .server(response(&[b"\0\x02\0\0\0\x01\0\0\0\0\0\0", COLUMN, EOF]))
        .client(execute(2))
        .server(response(&[b"\x01\0", EOF, ROW, EOF]))
        // Progress is no error.
        .client(query("alter table t add b int"))
        .server(response(&[b"\xff\xff\xff\x01\x01\x01\0\0\0\x02no", OK]));
    let told = told(&conversation);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("INSERT t") && told[0].ends_with("remora.db.affected_rows=2"));
    assert!(told[1].starts_with("SELECT t") && told[1].ends_with("db.response.returned_rows=1"));
    assert!(told[2].starts_with("ALTER TABLE t") && !told[2].contains("error"));
}

/// A statement longer than a packet may be is one statement, and a row is one row.
#[test]
fn continued_packets() {
    let mut driver = Driver::new(&protocol(), false);
    driver.play(&opened());
    let mut head = b"\xff\xff\xff\0\x03insert into t values ('".to_vec();
    head.resize(1000, b's');
    driver.chunk(Stream::ToServer, &head, (0xff_ffff + 4) - 1000);
    driver.chunk(Stream::ToServer, b"\x02\0\0\x01')", 0);
    driver.chunk(Stream::ToClient, &response(&[&affected(1)]), 0);
    driver.chunk(Stream::ToServer, &query("select id from t"), 0);
    driver.chunk(Stream::ToClient, &response(&[b"\x01", COLUMN, EOF]), 0);
    driver.chunk(Stream::ToClient, b"\xff\xff\xff\x04\xfd", 0xff_ffff - 1);
    driver.chunk(Stream::ToClient, b"\x02\0\0\x05ab\x05\0\0\x06\xfe\0\0\x02\0", 0);
    let played = driver.finish();
    assert_eq!(played.told.len(), 2, "{played:#?}");
    assert!(played.told[0].contains("db.query.text=insert into t values (?…"), "{}", played.told[0]);
    assert!(played.told[1].ends_with("db.response.returned_rows=1"), "{}", played.told[1]);
    assert_eq!(played.losses, Default::default());
}

#[test]
fn unreadable() {
    for (capability, packet) in [
        (1 << 11, p(1, [&(CAPABILITIES | 1 << 11).to_le_bytes()[..], &[0; 28]].concat())),
        (1 << 5, login(CAPABILITIES | 1 << 5)),
    ] {
        let mut driver = Driver::new(&protocol(), false);
        driver.chunk(Stream::ToClient, &greeting("8.0.36", CAPABILITIES | capability), 0);
        driver.chunk(Stream::ToServer, &packet, 0);
        driver.chunk(Stream::ToClient, &p(2, OK), 0);
        assert_eq!(driver.parser.interest(), Interest::Nothing);
        assert_eq!(driver.losses.unreadable, 1);
    }
    // A server that cannot compress does not.
    let mut driver = Driver::new(&protocol(), false);
    driver.chunk(Stream::ToClient, &greeting("8.0.36", CAPABILITIES), 0);
    driver.chunk(Stream::ToServer, &login(CAPABILITIES | 1 << 5), 0);
    driver.chunk(Stream::ToClient, &p(2, OK), 0);
    assert!(matches!(driver.parser.interest(), Interest::Frames { .. }));
}

#[test]
fn refused() {
    let denied = [&b"\xff\x15\x04#28000"[..], b"Access denied for user 's3cret'"].concat();
    let conversation = Conversation::new()
        .server(greeting("8.0.36", CAPABILITIES))
        .client(login(CAPABILITIES))
        .server(p(2, denied));
    assert_eq!(
        told(&conversation),
        [
            "CONNECT db.system.name=mysql db.namespace=shop db.operation.name=CONNECT remora.db.sqlstate=28000 \
          db.response.status_code=1045 error.type=1045 error"
        ]
    );
}

/// Trace context in a query attribute, as MySQL's connectors send it, and in a comment.
#[test]
fn trace_context() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let attributes = CAPABILITIES | 1 << 27;
    let mut with = vec![3, 2, 1, 0, 1, 0xfe, 0, 1, b'n', 0xfe, 0, 11];
    with.extend_from_slice(b"traceparent");
    with.extend_from_slice(b"\x06s3cret\x37");
    with.extend_from_slice(parent.as_bytes());
    with.extend_from_slice(b"select id from t");
    let mut driver = Driver::new(&protocol(), false);
    driver.play(
        &Conversation::new()
            .server(greeting("8.4.2", attributes))
            .client(login(attributes))
            .server(p(2, OK))
            .client(p(0, with))
            .server(result(0, true))
            .client(p(0, b"\x03\0\x01select id from t"))
            .server(result(0, true))
            .client(p(0, format!("\x03\0\x01select id from t /*traceparent='{parent}'*/")))
            .server(result(0, true)),
    );
    let described: Vec<_> = driver
        .told
        .iter()
        .map(|exchange| crate::protocol::testing::drive::describe(exchange, crate::protocol::Role::Client))
        .collect();
    let parents: Vec<bool> = described.iter().map(|description| description.parent.is_some()).collect();
    assert_eq!(parents, [true, false, true]);
    assert!(driver.take().iter().all(|line| line.contains("db.query.text=select id from t")));
}

/// The server says whether backslashes escape.
#[test]
fn no_backslash_escapes() {
    let conversation = opened()
        .client(query("set sql_mode = 'NO_BACKSLASH_ESCAPES'"))
        .server(response(&[b"\0\0\0\x02\x02\0\0"]))
        .client(query("select 'a\\', ' s3cret '"))
        .server(result(1, true));
    assert!(told(&conversation)[1].contains("db.query.text=select ?, ?"));
}

/// Of the middle of a connection, MariaDB is not known from MySQL, and statements of before are unknown.
#[test]
fn late() {
    let mut driver = Driver::new(&protocol(), true);
    driver.chunk(Stream::ToServer, &execute(1), 0);
    driver.chunk(Stream::ToClient, &result(2, true), 0);
    driver.chunk(Stream::ToServer, &query("select id from t"), 0);
    assert_eq!(
        driver.take(),
        ["mysql db.system.name=mysql remora.statement=unknown db.response.returned_rows=2"]
    );
    driver.chunk(Stream::ToClient, &result(1, false), 0);
    assert_eq!(driver.take().len(), 1);
}

/// A lost response costs its own exchange, and no other.
#[test]
fn lost() {
    let mut driver = Driver::new(&protocol(), false);
    driver.play(&opened().client(query("select id from a")));
    driver.chunk(Stream::ToClient, &[], 60);
    driver.chunk(Stream::ToServer, &query("select id from b"), 0);
    driver.chunk(Stream::ToClient, &result(1, false), 0);
    driver.chunk(Stream::ToServer, &query("select id from c"), 0);
    driver.chunk(Stream::ToClient, &result(1, false), 0);
    let played = driver.finish();
    let names: Vec<_> = played.told.iter().map(|line| line.split(" db.").next().unwrap()).collect();
    assert_eq!(names, ["SELECT a", "SELECT b", "SELECT c"]);
    assert!(played.told[0].contains("remora.outcome=response_lost"));
    assert_eq!((played.losses.unpaired_requests, played.losses.resynchronised), (1, 1));
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
    for conversation in [queries(), prepared(false), prepared(true)] {
        checks::every_split(&protocol(), &conversation);
        checks::every_prefix(&protocol(), &conversation);
        checks::every_late_start(&protocol(), &conversation, same);
        checks::every_gap(&protocol(), &conversation, same);
    }
    checks::garbage(&protocol(), &[queries(), prepared(true)]);
}

#[test]
fn inference() {
    let infer = |bytes: &[u8]| {
        let opening = false;
        protocol().infer(&Run { bytes, passed: bytes.len() as u64, opening, stream: None })
    };
    for piece in queries().pieces.iter().chain(&prepared(true).pieces) {
        match infer(&piece.bytes[..piece.bytes.len().min(512)]) {
            Inference::Yes(stream) | Inference::Likely(stream) => {
                assert_eq!(stream, piece.stream, "{piece:?}")
            }
            other => assert!(matches!(other, Inference::Maybe | Inference::No)),
        }
    }
    assert_eq!(infer(&query("select 1")), Inference::Yes(Stream::ToServer));
    assert_eq!(infer(&greeting("8.0.36", CAPABILITIES)), Inference::Yes(Stream::ToClient));
    assert_eq!(infer(&login(CAPABILITIES)), Inference::Yes(Stream::ToServer));
    assert_eq!(infer(&result(2, true)), Inference::Yes(Stream::ToClient));
    assert_eq!(infer(&p(1, OK)), Inference::Likely(Stream::ToClient));
    for other in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0\0\x05\0\0\0\0\0\x01hello",
        b"\x04\0\0\0\x07\0\0\0\x05hello\0\0",
        b"Q\0\0\0\x0dselect 1\0",
        b"\0\0\0\x15\0\x03\0\0\0\0\0\x01\0\x07console",
        b"*1\r\n$4\r\nPING\r\n",
    ] {
        assert!(!matches!(infer(other), Inference::Yes(_) | Inference::Likely(_)), "{other:?}");
    }
}

#[test]
fn recorded() {
    for conversation in Conversation::recorded(Some("mysql")) {
        checks::every_split(&protocol(), &conversation);
        checks::every_prefix(&protocol(), &conversation);
        checks::every_late_start(&protocol(), &conversation, same);
        checks::every_gap(&protocol(), &conversation, same);
    }
    checks::garbage(&protocol(), &Conversation::recorded(Some("mysql")));
}
