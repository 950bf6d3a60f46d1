//! Conversations as drivers and servers have them, and what goes wrong with them.

use super::MongoDb;
use super::framing::MORE_TO_COME;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{Inference, Losses, Protocol, Run, Statements, Stream};

/// A document of these elements.
pub(super) fn doc(elements: &[Vec<u8>]) -> Vec<u8> {
    let body = elements.concat();
    let mut bytes = (body.len() as i32 + 5).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    bytes.push(0);
    bytes
}

fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0], value].concat()
}

pub(super) fn int(name: &str, value: i32) -> Vec<u8> {
    element(0x10, name, &value.to_le_bytes())
}

pub(super) fn text(name: &str, value: &str) -> Vec<u8> {
    let length = (value.len() as i32 + 1).to_le_bytes();
    element(2, name, &[&length[..], value.as_bytes(), &[0]].concat())
}

fn double(name: &str, value: f64) -> Vec<u8> {
    element(1, name, &value.to_le_bytes())
}

fn inner(name: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    element(3, name, &doc(elements))
}

fn array(name: &str, items: &[Vec<u8>]) -> Vec<u8> {
    element(4, name, &doc(items))
}

fn message(id: i32, response_to: i32, code: i32, body: &[u8]) -> Vec<u8> {
    let header = [body.len() as i32 + 16, id, response_to, code];
    [&header.map(i32::to_le_bytes).concat()[..], body].concat()
}

fn msg(id: i32, response_to: i32, flags: u32, sections: &[Vec<u8>]) -> Vec<u8> {
    message(id, response_to, 2013, &[&flags.to_le_bytes()[..], &sections.concat()].concat())
}

fn body(elements: &[Vec<u8>]) -> Vec<u8> {
    [&[0][..], &doc(elements)].concat()
}

fn sequence(name: &str, documents: &[Vec<u8>]) -> Vec<u8> {
    let documents = documents.concat();
    let length = (4 + name.len() + 1 + documents.len()) as i32;
    [&[1][..], &length.to_le_bytes(), name.as_bytes(), &[0], &documents].concat()
}

fn find(id: i32) -> Vec<u8> {
    let filter = inner("filter", &[text("status", "paid"), inner("total", &[int("$gt", 100)])]);
    let session = inner("lsid", &[text("id", "0123456789abcdef")]);
    msg(id, 0, 0, &[body(&[text("find", "orders"), filter, int("limit", 5), session, text("$db", "shop")])])
}

fn batch(id: i32, response_to: i32, flags: u32, name: &str, rows: usize) -> Vec<u8> {
    let rows: Vec<_> = (0..rows).map(|row| inner(&row.to_string(), &[int("_id", row as i32)])).collect();
    let cursor = inner("cursor", &[array(name, &rows), int("id", 0), text("ns", "shop.orders")]);
    msg(id, response_to, flags, &[body(&[cursor, double("ok", 1.0)])])
}

fn insert(id: i32, flags: u32, documents: usize) -> Vec<u8> {
    let documents: Vec<_> = (0..documents).map(|each| doc(&[int("_id", each as i32)])).collect();
    let command = body(&[text("insert", "orders"), int("ordered", 1), text("$db", "shop")]);
    msg(id, 0, flags, &[command, sequence("documents", &documents)])
}

fn written(id: i32, response_to: i32, many: i32) -> Vec<u8> {
    msg(id, response_to, 0, &[body(&[int("n", many), double("ok", 1.0)])])
}

fn failed(id: i32, response_to: i32) -> Vec<u8> {
    let fields = [
        double("ok", 0.0),
        text("errmsg", "unknown operator: $foo"),
        int("code", 2),
        text("codeName", "BadValue"),
    ];
    msg(id, response_to, 0, &[body(&fields)])
}

fn duplicate(id: i32, response_to: i32) -> Vec<u8> {
    let error = inner("0", &[int("index", 0), int("code", 11000), text("errmsg", "E11000 duplicate key")]);
    msg(id, response_to, 0, &[body(&[int("n", 1), array("writeErrors", &[error]), double("ok", 1.0)])])
}

fn hello_query(id: i32) -> Vec<u8> {
    let command = doc(&[int("ismaster", 1), text("helloOk", "true")]);
    let fixed = [&0u32.to_le_bytes()[..], b"admin.$cmd\0", &0i32.to_le_bytes(), &(-1i32).to_le_bytes()];
    message(id, 0, 2004, &[&fixed.concat()[..], &command].concat())
}

fn hello_reply(id: i32, response_to: i32) -> Vec<u8> {
    let fixed = [8u32.to_le_bytes(), [0; 4], [0; 4], [0; 4], 1u32.to_le_bytes()].concat();
    message(id, response_to, 1, &[&fixed[..], &doc(&[int("maxWireVersion", 21), double("ok", 1.0)])].concat())
}

fn protocol() -> MongoDb {
    MongoDb::new(Statements::Redacted)
}

fn conversation() -> Conversation {
    Conversation::new()
        .client(hello_query(1))
        .server(hello_reply(101, 1))
        .client(find(2))
        .server(batch(102, 2, 0, "firstBatch", 3))
        .client(insert(3, 0, 2))
        .server(written(103, 3, 2))
        .client(insert(4, 0, 2))
        .server(duplicate(104, 4))
        .client(find(5))
        .server(failed(105, 5))
        .client(insert(6, MORE_TO_COME, 3))
        .client(msg(7, 0, 0, &[body(&[int("ping", 1), text("$db", "admin")])]))
        .server(msg(107, 7, 0, &[body(&[double("ok", 1.0)])]))
}

fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&protocol(), conversation, false);
    assert_eq!(played.losses, Losses::default());
    played.told
}

const FIND: &str = "find orders db.system.name=mongodb db.operation.name=find db.collection.name=orders db.namespace=shop \
     db.query.text={\"find\":\"orders\",\"filter\":{\"status\":\"?\",\"total\":{\"$gt\":\"?\"}},\"limit\":\"?\"}";

const INSERT: &str = "insert orders db.system.name=mongodb db.operation.name=insert db.collection.name=orders \
     db.namespace=shop db.query.text={\"insert\":\"orders\",\"ordered\":\"?\"}";

#[test]
fn tells() {
    assert_eq!(
        told(&conversation()),
        [
            "ismaster admin db.system.name=mongodb db.operation.name=ismaster db.namespace=admin".to_owned(),
            format!("{FIND} db.response.returned_rows=3"),
            format!("{INSERT} db.operation.batch.size=2"),
            format!("{INSERT} db.operation.batch.size=2 db.response.status_code=11000 error.type=11000 error"),
            format!("{FIND} db.response.status_code=2 error.type=BadValue error"),
            format!("{INSERT} db.operation.batch.size=3"),
            "ping admin db.system.name=mongodb db.operation.name=ping db.namespace=admin db.query.text={\"ping\":\"?\"}"
                .to_owned(),
        ]
    );
}

#[test]
fn survives() {
    let mut all = Conversation::recorded(None);
    all.retain(|conversation| conversation.protocol == "mongodb");
    all.push(conversation());
    for conversation in &all {
        checks::every_split(&protocol(), conversation);
        checks::every_prefix(&protocol(), conversation);
        checks::every_late_start(&protocol(), conversation, |whole, got| whole == got);
        checks::every_gap(&protocol(), conversation, knows_less);
    }
    checks::garbage(&protocol(), &all);
}

/// With bytes missing, less may be known of the same exchange.
fn knows_less(whole: &str, got: &str) -> bool {
    got.split(' ').all(|part| {
        // A command that was cut, perhaps within a value that would have been told as a document.
        let cut = part.starts_with("db.query.text=") && part.ends_with('…');
        matches!(part, "mongodb" | "error.type=_OTHER") || cut || whole.contains(part)
    })
}

/// Values are told only when asked for, secrets never.
#[test]
fn statements() {
    let asked = Conversation::new().client(find(2)).server(batch(102, 2, 0, "firstBatch", 1));
    let raw = Driver::whole(&MongoDb::new(Statements::Raw), &asked, false).told;
    assert!(raw[0].contains(r#""filter":{"status":"paid","total":{"$gt":100}},"limit":5}"#), "{raw:?}");
    let off = Driver::whole(&MongoDb::new(Statements::Off), &asked, false).told;
    assert!(!off[0].contains("db.query.text"), "{off:?}");
    let login =
        msg(1, 0, 0, &[body(&[int("saslStart", 1), text("payload", "hunter2"), text("$db", "admin")])]);
    let raw = Driver::whole(&MongoDb::new(Statements::Raw), &Conversation::new().client(login), false).told;
    assert!(raw[0].starts_with("saslStart admin") && !raw[0].contains("hunter2"), "{raw:?}");
}

/// A cursor that the server empties by itself is one exchange; a greeting's later replies are no exchanges.
#[test]
fn exhaust() {
    const EXHAUST_ALLOWED: u32 = 1 << 16;
    let more = body(&[int("getMore", 7), text("collection", "orders"), text("$db", "shop")]);
    let hello = body(&[int("hello", 1), text("$db", "admin")]);
    let answer = body(&[int("maxWireVersion", 21), double("ok", 1.0)]);
    let conversation = Conversation::new()
        .client(msg(1, 0, EXHAUST_ALLOWED, &[more]))
        .server(batch(101, 1, MORE_TO_COME, "nextBatch", 2))
        .server(batch(102, 101, MORE_TO_COME, "nextBatch", 2))
        .server(batch(103, 102, 0, "nextBatch", 1))
        .client(msg(2, 0, EXHAUST_ALLOWED, &[hello]))
        .server(msg(104, 2, MORE_TO_COME, std::slice::from_ref(&answer)))
        .server(msg(105, 104, MORE_TO_COME, std::slice::from_ref(&answer)))
        .server(msg(106, 105, MORE_TO_COME, &[answer]));
    let told = told(&conversation);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].starts_with("getMore orders") && told[0].ends_with("db.response.returned_rows=5"),
        "{told:?}"
    );
    assert!(told[1].starts_with("hello admin"), "{told:?}");
}

/// What is compressed is told with its times; one that got no answer before the next was answered wanted none.
#[test]
fn compressed() {
    let squeezed = |id, response_to| {
        let fixed = [&2013i32.to_le_bytes()[..], &100i32.to_le_bytes(), &[2], b"x\x9c-not-read"].concat();
        message(id, response_to, 2012, &fixed)
    };
    let conversation =
        Conversation::new().client(squeezed(1, 0)).client(squeezed(2, 0)).server(squeezed(101, 2));
    let line = "mongodb db.system.name=mongodb remora.unreadable=compressed remora.mongodb.compressor=zlib";
    assert_eq!(told(&conversation), [line, line]);
    checks::every_split(&protocol(), &conversation);
}

/// The body may lie behind the documents, and a document before the database's name.
#[test]
fn order_of_sections() {
    let documents = [doc(&[text("note", &"x".repeat(9000))]), doc(&[int("a", 1)])];
    let command =
        body(&[text("insert", "orders"), inner("comment", &[text("c", "why")]), text("$db", "shop")]);
    let conversation = Conversation::new()
        .client(msg(1, 0, 0, &[sequence("documents", &documents), command]))
        .server(written(101, 1, 2));
    assert!(told(&conversation)[0].starts_with("insert orders db.system.name=mongodb"));
    // So far behind that it is not read, the sequence still says what is done with it.
    let documents = vec![doc(&[text("note", &"x".repeat(9000))]); 3];
    let command = body(&[text("insert", "orders"), text("$db", "shop")]);
    let conversation = Conversation::new()
        .client(msg(1, 0, 0, &[sequence("documents", &documents), command]))
        .server(written(101, 1, 3));
    assert_eq!(
        told(&conversation),
        ["insert db.system.name=mongodb db.operation.name=insert db.operation.batch.size=3"]
    );
}

/// A reply whose request was not seen is counted; a request whose reply was lost is told without a status when a later one
/// is answered.
#[test]
fn late_and_lost() {
    let mut driver = Driver::new(&protocol(), true);
    driver.chunk(Stream::ToClient, &batch(101, 1, 0, "firstBatch", 1), 0);
    driver.chunk(Stream::ToServer, &find(2), 0);
    driver.chunk(Stream::ToClient, b"", 500);
    driver.chunk(Stream::ToServer, &find(3), 0);
    driver.chunk(Stream::ToClient, &batch(103, 3, 0, "firstBatch", 1), 0);
    let played = driver.finish();
    assert_eq!(played.told.len(), 2);
    assert!(played.told.iter().any(|told| told.contains("remora.outcome=response_lost")), "{played:?}");
    assert_eq!((played.losses.unpaired_responses, played.losses.unpaired_requests), (1, 1));
}

#[test]
fn inference() {
    let infer = |bytes: &[u8]| {
        let run = Run { bytes, passed: bytes.len() as u64, opening: true, stream: None };
        protocol().infer(&run)
    };
    for piece in conversation().pieces {
        assert_eq!(infer(&piece.bytes), Inference::Yes(piece.stream));
        assert_eq!(infer(&piece.bytes[..16]), Inference::Maybe);
        assert_eq!(infer(&piece.bytes[..3]), Inference::Maybe);
    }
    assert_eq!(infer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Inference::No);
    assert_eq!(infer(&[0; 64]), Inference::No);
    let mut foreign = find(1);
    foreign[16] = 0x80;
    assert_eq!(infer(&foreign), Inference::No);
}
