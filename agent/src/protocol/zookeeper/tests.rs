//! Sessions, as clients and servers speak them.

use super::ZooKeeper;
use crate::protocol::testing::{Conversation, Driver, checks, drive};
use crate::protocol::{End, Inference, Losses, Protocol, Role, Run, Statements, Stream};

const ZOOKEEPER: ZooKeeper = ZooKeeper { statements: Statements::Redacted };

fn sized(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn text(text: &str) -> Vec<u8> {
    sized(&[text.as_bytes()])
}

fn request(xid: i32, operation: i32, body: &[u8]) -> Vec<u8> {
    sized(&[&xid.to_be_bytes(), &operation.to_be_bytes(), body])
}

fn reply(xid: i32, zxid: i64, error: i32, body: &[u8]) -> Vec<u8> {
    sized(&[&xid.to_be_bytes(), &zxid.to_be_bytes(), &error.to_be_bytes(), body])
}

fn connect(session: i64) -> Vec<u8> {
    let password = sized(&[&[7; 16]]);
    sized(&[&[0; 4], &[0; 8], &30_000_i32.to_be_bytes(), &session.to_be_bytes(), &password, &[0]])
}

fn connected(session: i64, timeout: i32) -> Vec<u8> {
    let password = sized(&[&[7; 16]]);
    sized(&[&[0; 4], &timeout.to_be_bytes(), &session.to_be_bytes(), &password, &[0]])
}

fn get(xid: i32, path: &str) -> Vec<u8> {
    request(xid, 4, &[&text(path)[..], &[0]].concat())
}

fn create(xid: i32, path: &str, data: &[u8]) -> Vec<u8> {
    let acl = [&1_i32.to_be_bytes()[..], &31_i32.to_be_bytes(), &text("world"), &text("anyone")].concat();
    request(xid, 1, &[&text(path)[..], &sized(&[data]), &acl, &[0; 4]].concat())
}

fn event(kind: i32, path: &str) -> Vec<u8> {
    reply(-1, -1, 0, &[&kind.to_be_bytes()[..], &3_i32.to_be_bytes(), &text(path)].concat())
}

/// A multi of a create and a check.
fn multi(xid: i32) -> Vec<u8> {
    let create = create(0, "/a", b"secret").split_off(12);
    let header = |code: i32, done: u8| [&code.to_be_bytes()[..], &[done], &(-1_i32).to_be_bytes()].concat();
    let check = [&text("/b")[..], &3_i32.to_be_bytes()].concat();
    request(xid, 14, &[header(1, 0), create, header(13, 0), check, header(-1, 1)].concat())
}

fn failed(xid: i32, errors: &[i32]) -> Vec<u8> {
    let mut body = Vec::new();
    for error in errors {
        body.extend([&(-1_i32).to_be_bytes()[..], &[0], &error.to_be_bytes(), &error.to_be_bytes()].concat());
    }
    body.extend([0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff]);
    reply(xid, 12, 0, &body)
}

fn session() -> Conversation {
    Conversation::new()
        .client(connect(0))
        .server(connected(0x1234, 30_000))
        .client(create(1, "/app/lock-", b"secret"))
        .server(reply(1, 10, 0, &text("/app/lock-0000000001")))
        .client([get(2, "/brokers/ids/1"), get(3, "/none")].concat())
        .client(request(-2, 11, &[]))
        .server(reply(-2, 10, 0, &[]))
        .server(
            [reply(2, 10, 0, &text("data")), event(3, "/brokers/ids/1"), reply(3, 10, -101, &[])].concat(),
        )
        .client(request(4, 3, &[&text("/none")[..], &[1]].concat()))
        .server(reply(4, 10, -101, &[]))
        .client(multi(5))
        .server(failed(5, &[0, -103]))
        .client(request(6, -11, &[]))
        .server(reply(6, 13, 0, &[]))
}

/// A session from its beginning to its end.
#[test]
fn sessions() {
    let played = Driver::whole(&ZOOKEEPER, &session(), false);
    assert_eq!(played.losses, Losses::default());
    let system = "db.system.name=zookeeper db.operation.name=";
    assert_eq!(
        played.told,
        [
            format!("connect {system}connect remora.zookeeper.session=0x1234"),
            format!(
                "create /app/lock- {system}create db.collection.name=/app/lock- remora.zookeeper.zxid=10"
            ),
            format!("ping {system}ping remora.zookeeper.zxid=10"),
            format!(
                "getData /brokers/ids/* {system}getData db.collection.name=/brokers/ids/* remora.zookeeper.zxid=10"
            ),
            format!(
                "watch NodeDataChanged {system}watch db.collection.name=/brokers/ids/* \
                 remora.zookeeper.event=NodeDataChanged"
            ),
            format!(
                "getData /none {system}getData db.collection.name=/none remora.zookeeper.zxid=10 \
                 db.response.status_code=NONODE error.type=NONODE error"
            ),
            format!(
                "exists /none {system}exists db.collection.name=/none remora.zookeeper.zxid=10 \
                 db.response.status_code=NONODE"
            ),
            format!(
                "multi {system}multi db.operation.batch.size=2 remora.zookeeper.zxid=12 \
                 db.response.status_code=BADVERSION error.type=BADVERSION error"
            ),
            format!("closeSession {system}closeSession remora.zookeeper.zxid=13"),
        ]
    );
    checks::every_split(&ZOOKEEPER, &session());
    checks::every_prefix(&ZOOKEEPER, &session());
}

/// Late, with bytes missing, or damaged: what is told is what was told, or less.
#[test]
fn losses() {
    checks::every_late_start(&ZOOKEEPER, &session(), less);
    checks::every_gap(&ZOOKEEPER, &session(), less);
    checks::garbage(&ZOOKEEPER, &[session()]);
}

/// A lost reply leaves its request without one, and no other.
#[test]
fn lost_reply() {
    let mut driver = Driver::new(&ZOOKEEPER, true);
    driver.chunk(Stream::ToServer, &get(1, "/a"), 0);
    driver.chunk(Stream::ToServer, &get(2, "/b"), 0);
    driver.chunk(Stream::ToClient, &[], 20);
    driver.chunk(Stream::ToClient, &reply(2, 1, -101, &[]), 0);
    driver.chunk(Stream::ToClient, &reply(9, 1, 0, &[]), 0);
    let played = driver.finish();
    assert!(played.told[0].starts_with("getData /a ") && played.told[0].contains("response_lost"));
    assert!(played.told[1].starts_with("getData /b ") && played.told[1].contains("NONODE"));
    assert_eq!((played.losses.unpaired_requests, played.losses.unpaired_responses), (1, 1));
}

/// What is told of paths is the user's choice; data never is.
#[test]
fn statements() {
    for (statements, name) in [
        (Statements::Redacted, "create /app/*"),
        (Statements::Raw, "create /app/12345"),
        (Statements::Off, "create db.system"),
    ] {
        let mut driver = Driver::new(&ZooKeeper::new(statements), true);
        driver.chunk(Stream::ToServer, &create(1, "/app/12345", b"secret"), 0);
        driver.chunk(Stream::ToClient, &reply(1, 1, 0, &text("/app/12345")), 0);
        let told = driver.take();
        assert!(told[0].starts_with(name), "{told:?}");
        assert!(!told[0].contains("secret"), "{told:?}");
    }
}

/// A session that the server does not know any more; a connection that breaks.
#[test]
fn sessions_that_end() {
    let mut driver = Driver::new(&ZOOKEEPER, false);
    driver.chunk(Stream::ToServer, &connect(0x99), 0);
    driver.chunk(Stream::ToClient, &connected(0, 0), 0);
    assert!(
        driver.take()[0]
            .ends_with("session=0x99 db.response.status_code=SESSIONEXPIRED error.type=SESSIONEXPIRED error")
    );
    driver.chunk(Stream::ToServer, &get(1, "/a"), 0);
    driver.end(End::Broken(104));
    assert!(driver.take()[0].contains("error.type=connection_closed"));
}

/// A four-letter word is answered by text that ends with the connection.
#[test]
fn words() {
    let talk = Conversation::new().client("ruok").server("imok");
    let mut driver = Driver::new(&ZOOKEEPER, false);
    driver.play(&talk);
    driver.stream_end(Stream::ToClient);
    assert_eq!(driver.take(), ["ruok db.system.name=zookeeper db.operation.name=ruok"]);
    checks::every_split(&ZOOKEEPER, &talk);
    let infer = |bytes: &[u8], opening| {
        ZOOKEEPER.infer(&Run { bytes, passed: bytes.len() as u64, opening, stream: None })
    };
    assert_eq!(infer(b"ruok", true), Inference::Likely(Stream::ToServer));
    assert_eq!(infer(b"mntr\n", true), Inference::Likely(Stream::ToServer));
    assert_eq!(infer(b"stat me", true), Inference::No);
    assert_eq!(infer(b"ruo", true), Inference::Maybe);
    assert_eq!(infer(b"ruok", false), Inference::No);
    assert_eq!(infer(b"imok", true), Inference::Likely(Stream::ToClient));
    assert_eq!(
        infer(b"cons is not executed because it is not in the whitelist.\n", true),
        Inference::Likely(Stream::ToClient)
    );
    assert_eq!(infer(b"rwx rwx rwx", true), Inference::No);
}

/// A watch event has the kind of a message: the server produces it, the client consumes it.
#[test]
fn kinds() {
    let mut driver = Driver::new(&ZOOKEEPER, false);
    driver.play(&session());
    let mut out = Vec::new();
    driver.parser.end(driver.at(Stream::ToServer), End::Orderly, &mut out);
    let mut parser = ZOOKEEPER.parser(true);
    let bytes = event(1, "/a");
    let chunk = crate::protocol::Chunk {
        at: driver.at(Stream::ToClient),
        position: 0,
        length: bytes.len() as u64,
        bytes: &bytes,
        run_start: true,
    };
    parser.chunk(Stream::ToClient, &chunk, &mut out);
    let kinds = [Role::Client, Role::Server].map(|role| drive::describe(&out[0], role).kind);
    assert_eq!(kinds, [crate::protocol::Kind::Consumer, crate::protocol::Kind::Producer]);
}

/// Requests are known as soon as their path is, and a connection by its first message.
#[test]
fn inference() {
    let infer = |bytes: &[u8], passed: usize, opening| {
        ZOOKEEPER.infer(&Run { bytes, passed: passed as u64, opening, stream: None })
    };
    let yes = Inference::Yes(Stream::ToServer);
    for (request, opening) in [
        (connect(0), true),
        (connect(7), true),
        (get(1, "/a"), false),
        (create(9, "/a/b", b"data"), false),
        (multi(3), false),
        (request(-2, 11, &[]), false),
        (request(-8, 101, &[0; 20]), false),
        ([get(1, "/a"), get(2, "/b")].concat(), false),
    ] {
        assert_eq!(infer(&request, request.len(), opening), yes, "{request:?}");
        for cut in 1..10 {
            assert_ne!(infer(&request[..cut], cut, opening), Inference::No, "{cut} of {request:?}");
        }
    }
    let large = create(1, "/large", &[7; 100_000]);
    assert_eq!(infer(&large[..512], large.len(), false), yes);
    for bytes in [
        connect(0),
        reply(1, 10, 0, &text("/a")),
        connected(1, 30_000),
        request(5, -11, &[]),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 100],
        vec![1; 100],
        b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff".to_vec(),
    ] {
        assert_eq!(infer(&bytes, bytes.len(), false), Inference::No, "{bytes:?}");
    }
}

/// What real clients and servers said.
#[test]
fn recorded() {
    let conversations = Conversation::recorded(Some("zookeeper"));
    for conversation in &conversations {
        checks::every_split(&ZOOKEEPER, conversation);
        checks::every_prefix(&ZOOKEEPER, conversation);
        checks::every_late_start(&ZOOKEEPER, conversation, less);
        checks::every_gap(&ZOOKEEPER, conversation, less);
    }
    checks::garbage(&ZOOKEEPER, &conversations);
}

/// Whether what is told after a loss is what was told of the whole, or less.
fn less(expected: &str, got: &str) -> bool {
    let expected: Vec<&str> = expected.split(' ').collect();
    got.split(' ').all(|word| expected.contains(&word))
}
