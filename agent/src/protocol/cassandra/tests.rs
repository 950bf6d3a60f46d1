//! Conversations as drivers and servers have them, and what goes wrong with them.

use super::Cassandra;
use super::segment::crc24;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{Inference, Interest, Losses, Protocol, Run, Statements, Stream};

const ID: &[u8; 16] = b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10";

fn envelope(version: u8, flags: u8, stream: i16, code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![version, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.push(code);
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn long(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

fn int(number: i32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn short(number: u16) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// The client's messages of one version.
struct Client(u8);

impl Client {
    fn startup(&self, compression: bool) -> Vec<u8> {
        let mut options = vec![string("CQL_VERSION"), string("3.0.0")];
        if compression {
            options.extend([string("COMPRESSION"), string("lz4")]);
        }
        let many = short(options.len() as u16 / 2);
        envelope(self.0, 0, 0, 1, &[many, options.concat()].concat())
    }

    fn options(&self, stream: i16) -> Vec<u8> {
        envelope(self.0, 0, stream, 5, &[])
    }

    fn flags(&self, flags: u8) -> Vec<u8> {
        if self.0 >= 5 { int(flags.into()) } else { vec![flags] }
    }

    /// At QUORUM, with one value, and pages of 5000 rows.
    fn parameters(&self) -> Vec<u8> {
        [short(4), self.flags(0x05), short(1), long("secret"), int(5000)].concat()
    }

    fn query(&self, stream: i16, text: &str) -> Vec<u8> {
        envelope(self.0, 0, stream, 7, &[long(text), self.parameters()].concat())
    }

    fn prepare(&self, stream: i16, text: &str) -> Vec<u8> {
        let rest = if self.0 >= 5 { int(0) } else { Vec::new() };
        envelope(self.0, 0, stream, 9, &[long(text), rest].concat())
    }

    fn execute(&self, stream: i16) -> Vec<u8> {
        let id = [&short(16)[..], ID].concat();
        let metadata = if self.0 >= 5 { id.clone() } else { Vec::new() };
        envelope(self.0, 0, stream, 10, &[id, metadata, self.parameters()].concat())
    }

    fn batch(&self, stream: i16, texts: &[&str]) -> Vec<u8> {
        let mut body = [vec![0], short(texts.len() as u16)].concat();
        for text in texts {
            body.extend([vec![0], long(text), short(1), long("v")].concat());
        }
        body.extend([short(6), self.flags(0)].concat());
        envelope(self.0, 0, stream, 13, &body)
    }
}

/// The server's messages of one version.
struct Server(u8);

impl Server {
    fn message(&self, stream: i16, code: u8, body: &[u8]) -> Vec<u8> {
        envelope(self.0 | 0x80, 0, stream, code, body)
    }

    fn ready(&self, stream: i16) -> Vec<u8> {
        self.message(stream, 2, &[])
    }

    fn supported(&self, stream: i16) -> Vec<u8> {
        let options = [short(1), string("CQL_VERSION"), short(1), string("3.4.7")].concat();
        self.message(stream, 6, &options)
    }

    fn void(&self, stream: i16) -> Vec<u8> {
        self.message(stream, 8, &int(1))
    }

    fn rows(&self, stream: i16, rows: i32) -> Vec<u8> {
        let columns =
            [string("id"), short(0x09), string("tags"), short(0x21), short(0x0d), short(0x22), short(0x09)];
        let metadata = [int(1), int(2), string("shop"), string("orders"), columns.concat()].concat();
        let values = [long("abcd"), int(-1)].concat().repeat(rows as usize);
        self.message(stream, 8, &[int(2), metadata, int(rows), values].concat())
    }

    fn keyspace(&self, stream: i16) -> Vec<u8> {
        self.message(stream, 8, &[int(3), string("shop")].concat())
    }

    fn prepared(&self, stream: i16) -> Vec<u8> {
        let id = [&short(16)[..], ID].concat();
        self.message(stream, 8, &[int(4), id.clone(), id, int(0), int(0)].concat())
    }

    fn error(&self, stream: i16, code: i32) -> Vec<u8> {
        // With a warning in front.
        let body = [short(1), string("careful"), int(code), string("no viable alternative")].concat();
        envelope(self.0 | 0x80, 0x08, stream, 0, &body)
    }

    fn event(&self) -> Vec<u8> {
        self.message(-1, 12, &[string("STATUS_CHANGE"), string("UP")].concat())
    }
}

fn segment(payload: &[u8], self_contained: bool) -> Vec<u8> {
    let fields = payload.len() as u32 | if self_contained { 1 << 17 } else { 0 };
    let mut bytes = fields.to_le_bytes()[..3].to_vec();
    bytes.extend(&crc24(&bytes).to_le_bytes()[..3]);
    bytes.extend(payload);
    bytes.extend([0xaa; 4]);
    bytes
}

/// What is said once the connection is started; `wrap` puts envelopes into segments where there are such.
fn statements(mut all: Conversation, version: u8, wrap: impl Fn(Vec<u8>) -> Vec<u8>) -> Conversation {
    let (client, server) = (Client(version), Server(version));
    let select = "SELECT id, tags FROM orders WHERE id = 'secret'";
    all = all
        .client(wrap(client.query(1, "USE shop")))
        .server(wrap(server.keyspace(1)))
        .client(wrap(client.query(2, select)))
        .server(wrap([server.event(), server.rows(2, 3)].concat()))
        .client(wrap(client.prepare(3, "INSERT INTO orders (id) VALUES (?)")))
        .server(wrap(server.prepared(3)))
        // Two at a time, answered the other way round.
        .client(wrap([client.execute(4), client.query(5, "SELEC 1")].concat()))
        .server(wrap([server.error(5, 0x2000), server.void(4)].concat()))
        .client(wrap(
            client.batch(6, &["INSERT INTO orders (id) VALUES (1)", "INSERT INTO orders (id) VALUES (2)"]),
        ))
        .server(wrap(server.void(6)))
        .client(wrap(client.options(7)))
        .server(wrap(server.supported(7)));
    all
}

fn conversation(version: u8) -> Conversation {
    let (client, server) = (Client(version), Server(version));
    let start = Conversation::new()
        .client(client.options(0))
        .server(server.supported(0))
        .client(client.startup(false))
        .server(server.ready(0));
    statements(start, version, |envelopes| if version >= 5 { segment(&envelopes, true) } else { envelopes })
}

fn protocol() -> Cassandra {
    Cassandra::new(Statements::Redacted)
}

const TOLD: [&str; 8] = [
    "OPTIONS db.system.name=cassandra db.operation.name=OPTIONS",
    "STARTUP db.system.name=cassandra db.operation.name=STARTUP",
    "USE shop db.system.name=cassandra db.operation.name=USE db.query.text=USE shop db.query.summary=USE shop \
     cassandra.consistency.level=quorum cassandra.page.size=5000",
    "SELECT orders db.system.name=cassandra db.operation.name=SELECT db.collection.name=orders db.namespace=shop \
     db.query.text=SELECT id, tags FROM orders WHERE id = ? db.query.summary=SELECT orders \
     cassandra.consistency.level=quorum cassandra.page.size=5000 db.response.returned_rows=3",
    "PREPARE db.system.name=cassandra db.operation.name=PREPARE db.collection.name=orders db.namespace=shop \
     db.query.text=INSERT INTO orders (id) VALUES (?) db.query.summary=INSERT orders",
    "INSERT orders db.system.name=cassandra db.operation.name=INSERT db.collection.name=orders db.namespace=shop \
     db.query.text=INSERT INTO orders (id) VALUES (?) db.query.summary=INSERT orders \
     cassandra.consistency.level=quorum cassandra.page.size=5000",
    "BATCH INSERT orders db.system.name=cassandra db.operation.name=BATCH INSERT db.collection.name=orders \
     db.namespace=shop db.query.text=INSERT INTO orders (id) VALUES (?) \
     db.query.summary=BATCH INSERT orders cassandra.consistency.level=local_quorum db.operation.batch.size=2",
    "OPTIONS db.system.name=cassandra db.operation.name=OPTIONS db.namespace=shop",
];

/// The same is told of all versions.
#[test]
fn tells() {
    for version in 3..=5 {
        let played = Driver::whole(&protocol(), &conversation(version), false);
        assert_eq!(played.losses, Losses::default(), "{version}");
        let (syntax, others): (Vec<_>, Vec<_>) =
            played.told.into_iter().partition(|told| told.contains("syntax_error"));
        assert_eq!(others, TOLD, "{version}");
        assert_eq!(syntax.len(), 1);
        assert!(syntax[0].contains("db.response.status_code=8192 error.type=syntax_error"), "{syntax:?}");
    }
}

#[test]
fn survives() {
    let mut all: Vec<_> = Conversation::recorded(None)
        .into_iter()
        .filter(|conversation| conversation.protocol == "cassandra")
        .collect();
    all.extend((3..=5).map(conversation));
    for conversation in &all {
        checks::every_split(&protocol(), conversation);
        checks::every_prefix(&protocol(), conversation);
        checks::every_late_start(&protocol(), conversation, knows_less);
        checks::every_gap(&protocol(), conversation, knows_less);
    }
    checks::garbage(&protocol(), &all);
}

/// With bytes missing, or from the middle, less may be known of the same exchange: a statement that was prepared when
/// nobody looked, and the keyspace.
fn knows_less(whole: &str, got: &str) -> bool {
    let unknown =
        ["EXECUTE", "db.operation.name=EXECUTE", "db.operation.name=BATCH", "db.operation.name=QUERY"];
    got.split(' ').all(|part| {
        unknown.contains(&part) || whole.contains(part.trim_end_matches(['…', ';'])) || part == "QUERY"
    })
}

/// An envelope over several segments, of which the middle is lost: its place is found again.
#[test]
fn long_envelopes() {
    let (client, server) = (Client(5), Server(5));
    let query = client.query(1, "SELECT * FROM shop.orders");
    let rows = server.rows(1, 100);
    let parts: Vec<Vec<u8>> = rows.chunks(300).map(|part| segment(part, false)).collect();
    let mut driver = Driver::new(&protocol(), true);
    driver.chunk(Stream::ToServer, &segment(&query, true), 0);
    for part in &parts {
        driver.chunk(Stream::ToClient, &part[..20], part.len() as u64 - 20);
    }
    driver.chunk(Stream::ToServer, &segment(&query, true), 0);
    driver.chunk(Stream::ToClient, &parts[0], 0);
    driver.chunk(Stream::ToClient, b"", parts[1].len() as u64);
    for part in &parts[2..] {
        driver.chunk(Stream::ToClient, part, 0);
    }
    driver.chunk(Stream::ToServer, &segment(&query, true), 0);
    driver.chunk(Stream::ToClient, &segment(&server.rows(1, 2), true), 0);
    let played = driver.finish();
    assert_eq!(played.told.len(), 3, "{played:#?}");
    assert_eq!(played.told[1].split_once("remora.outcome=").map(|(_, word)| word), Some("response_lost"));
    assert!(played.told[2].ends_with("returned_rows=2"), "{played:#?}");
}

/// A request whose first bytes are known is told even if its end cannot be followed: the next segment begins in a hole.
#[test]
fn long_requests() {
    let (client, server) = (Client(5), Server(5));
    let query = client.query(1, &format!("SELECT * FROM shop.orders WHERE note = '{}'", "x".repeat(100_000)));
    let parts: Vec<Vec<u8>> = query.chunks(60_000).map(|part| segment(part, false)).collect();
    let mut driver = Driver::new(&protocol(), true);
    driver.chunk(Stream::ToServer, &parts[0][..50_000], 10_000);
    driver.chunk(Stream::ToServer, b"", parts[0].len() as u64 - 60_000 + parts[1].len() as u64);
    driver.chunk(Stream::ToClient, &segment(&server.rows(1, 2), true), 0);
    let played = driver.finish();
    assert_eq!(played.told.len(), 1, "{played:#?}");
    assert!(played.told[0].ends_with("returned_rows=2"), "{played:#?}");
}

/// Compressed bodies are told without their contents, compressed segments not at all.
#[test]
fn compressed() {
    let body = b"\0\0\0\x40\xf0\x12lz4";
    let conversation = Conversation::new()
        .client(Client(4).startup(true))
        .server(Server(4).ready(0))
        .client(envelope(4, 1, 1, 7, body))
        .server(envelope(0x84, 1, 1, 8, body))
        .client(envelope(4, 1, 1, 13, body))
        .server(envelope(0x84, 1, 1, 0, body));
    let told = Driver::whole(&protocol(), &conversation, false).told;
    assert_eq!(
        told[1..],
        [
            "QUERY db.system.name=cassandra db.operation.name=QUERY remora.unreadable=compressed",
            "BATCH db.system.name=cassandra db.operation.name=BATCH remora.unreadable=compressed error.type=_OTHER error",
        ]
    );
    let mut driver = Driver::new(&protocol(), false);
    driver.chunk(Stream::ToServer, &Client(5).startup(true), 0);
    driver.chunk(Stream::ToClient, &Server(5).ready(0), 0);
    assert_eq!(driver.parser.interest(), Interest::Nothing);
}

/// What was prepared on one connection is known on another.
#[test]
fn prepared_elsewhere() {
    let protocol = protocol();
    let (client, server) = (Client(4), Server(4));
    let prepare = Conversation::new()
        .client(client.prepare(1, "SELECT v FROM shop.t WHERE k = ?"))
        .server(server.prepared(1));
    let execute = Conversation::new().client(client.execute(1)).server(server.rows(1, 1));
    let unknown = Driver::whole(&protocol, &execute, true).told;
    assert!(
        unknown[0].starts_with("EXECUTE orders") && unknown[0].contains("db.namespace=shop"),
        "{unknown:?}"
    );
    let _ = Driver::whole(&protocol, &prepare, false);
    let known = Driver::whole(&protocol, &execute, true).told;
    assert!(known[0].starts_with("SELECT shop.t"), "{known:?}");
}

#[test]
fn inference() {
    let infer = |bytes: &[u8]| {
        let bytes = &bytes[..bytes.len().min(512)];
        protocol().infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream: None })
    };
    for version in 3..=5 {
        for piece in conversation(version).pieces {
            let plain = piece.bytes.len() == 9;
            let expected = if plain { Inference::Likely(piece.stream) } else { Inference::Yes(piece.stream) };
            assert_eq!(infer(&piece.bytes), expected, "{version} {piece:?}");
            assert_eq!(infer(&piece.bytes[..5]), Inference::Maybe);
        }
    }
    for foreign in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0; 64],
        &[4; 64],
        b"\x05\x01\0",
        b"\x04\x01\x00\x50\x7f\0\0\x01\0",
    ] {
        assert!(!matches!(infer(foreign), Inference::Yes(_) | Inference::Likely(_)), "{foreign:?}");
    }
}
