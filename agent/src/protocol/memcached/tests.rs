//! Conversations with a server, and what is told of them.

use super::Memcached;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{End, Interest, Losses, Statements, Stream};

fn memcached() -> Memcached {
    Memcached::new(Statements::Redacted)
}

/// What a whole connection tells, without what is the same in all.
fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&memcached(), conversation, false);
    assert_eq!(played.losses, Losses::default(), "{played:#?}");
    brief(played.told)
}

fn brief(told: Vec<String>) -> Vec<String> {
    told.into_iter()
        .map(|line| {
            let skip = ["db.system.name=", "db.operation.name=", "remora.memcached.protocol="];
            let kept: Vec<&str> =
                line.split(' ').filter(|word| !skip.iter().any(|key| word.starts_with(key))).collect();
            kept.join(" ").replace("remora.memcached.", "").replace("db.query.text=", "| ")
        })
        .collect()
}

fn text() -> Conversation {
    Conversation::new()
        .client("set k 0 0 5\r\nhello\r\nget k\r\n")
        .server("STORED\r\nVALUE k 0 5\r\nhello\r\nEND\r\n")
        .client("gets a b c\r\nadd k 0 0 1\r\nx\r\nincr n 1\r\ndelete k\r\ntouch k 5\r\n")
        .server("VALUE a 0 7 8\r\nEND\r\nab\r\nVALUE c 0 0 9\r\n\r\nEND\r\nNOT_STORED\r\n7\r\nDELETED\r\nNOT_FOUND\r\n")
        .client("set k 0 0 5 noreply\r\nhello\r\ncas k 0 0 2 17\r\nhi\r\nversion\r\nflush_all\r\nincr k 1\r\n")
        .server("EXISTS\r\nVERSION 1.6.18\r\nOK\r\nCLIENT_ERROR cannot increment\r\n")
        .client("stats\r\nget none\r\nset k 0 0 9999999\r\n")
        .server("STAT pid 1\r\nSTAT uptime 2\r\nEND\r\nEND\r\nSERVER_ERROR object too large for cache\r\n")
}

#[test]
fn classic() {
    let mut conversation = text();
    // What was too large is sent nevertheless.
    conversation = conversation.piece(Stream::ToServer, &[], 10_000_001).client("quit\r\n");
    assert_eq!(
        told(&conversation),
        [
            "set result=STORED | set ? ? ? ?",
            "get | get ? hits=1 misses=0",
            "gets | gets ? ? ? hits=2 misses=1",
            "add result=NOT_STORED | add ? ? ? ?",
            "incr | incr ? ?",
            "delete result=DELETED | delete ?",
            "touch result=NOT_FOUND | touch ? ?",
            "set | set ? ? ? ? ? no_reply=true",
            "cas result=EXISTS | cas ? ? ? ? ?",
            "version result=VERSION | version",
            "flush_all result=OK | flush_all",
            "incr | incr ? ? db.response.status_code=CLIENT_ERROR error.type=CLIENT_ERROR error",
            "stats | stats",
            "get | get ? hits=0 misses=1",
            "quit | quit no_reply=true",
        ]
        .map(str::to_owned)
        .to_vec()
        .tap(|lines| {
            let error = "db.response.status_code=SERVER_ERROR error.type=SERVER_ERROR error";
            lines.insert(14, format!("set | set ? ? ? ? {error}"));
        })
    );
}

trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Vec<String> {}

fn meta() -> Conversation {
    Conversation::new()
        .client("ms a 2\r\nhi\r\nmg a v\r\nmg b v\r\nma n\r\nmd a\r\nmn\r\nme a\r\n")
        .server("HD\r\nVA 2\r\nhi\r\nEN\r\nHD\r\nNF\r\nMN\r\nEN\r\n")
        .client("mg a v q k\r\nmg b v q k\r\nmg c v q O1\r\nms a 2 q\r\nhi\r\nmd a q\r\nmn\r\n")
        .server("VA 2 kb\r\nhi\r\nMN\r\n")
}

/// Quiet commands are over when a later one is answered.
#[test]
fn quiet_meta() {
    assert_eq!(
        told(&meta()),
        [
            "ms result=HD | ms ? ?",
            "mg | mg ? ? hits=1 misses=0",
            "mg result=EN | mg ? ? hits=0 misses=1",
            "ma result=HD | ma ?",
            "md result=NF | md ?",
            "mn result=MN | mn",
            "me result=EN | me ?",
            "mg | mg ? ? ? ? hits=0 misses=1",
            "mg | mg ? ? ? ? hits=1 misses=0",
            "mg | mg ? ? ? ? hits=0 misses=1",
            "ms | ms ? ? ?",
            "md | md ? ?",
            "mn result=MN | mn",
        ]
    );
}

fn message(magic: u8, code: u8, status: u16, opaque: u32, extras: &[u8], key: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![magic, code];
    bytes.extend((key.len() as u16).to_be_bytes());
    bytes.extend([extras.len() as u8, 0]);
    bytes.extend(status.to_be_bytes());
    bytes.extend(((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    bytes.extend(opaque.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend(extras);
    bytes.extend(key.as_bytes());
    bytes.extend(value.as_bytes());
    bytes
}

fn ask(code: u8, opaque: u32, extras: &[u8], key: &str, value: &str) -> Vec<u8> {
    message(0x80, code, 0, opaque, extras, key, value)
}

fn answer(code: u8, status: u16, opaque: u32, extras: &[u8], key: &str, value: &str) -> Vec<u8> {
    message(0x81, code, status, opaque, extras, key, value)
}

fn binary() -> Conversation {
    Conversation::new()
        .client(ask(0x01, 1, &[0; 8], "k", "hello"))
        .server(answer(0x01, 0, 1, &[], "", ""))
        .client([ask(0x09, 2, &[], "k", ""), ask(0x0d, 3, &[], "no", ""), ask(0x0a, 4, &[], "", "")].concat())
        .server([answer(0x09, 0, 2, &[0; 4], "", "hello"), answer(0x0a, 0, 4, &[], "", "")].concat())
        .client(
            [ask(0x00, 5, &[], "no", ""), ask(0x05, 6, &[0; 20], "k", ""), ask(0x04, 7, &[], "k", "")]
                .concat(),
        )
        .server(
            [answer(0x00, 1, 5, &[], "", "Not found"), answer(0x05, 6, 6, &[], "", "Non-numeric")].concat(),
        )
        .server(answer(0x04, 0, 7, &[], "", ""))
        .client([ask(0x10, 8, &[], "", ""), ask(0x17, 9, &[], "", "")].concat())
        .server([answer(0x10, 0, 8, &[], "pid", "1"), answer(0x10, 0, 8, &[], "", "")].concat())
}

#[test]
fn binaries() {
    assert_eq!(
        told(&binary()),
        [
            "set",
            "getq hits=1 misses=0",
            "getkq hits=0 misses=1",
            "noop",
            "get result=NOT_FOUND hits=0 misses=1",
            "increment db.response.status_code=0x0006 error.type=0x0006 error",
            "delete",
            "quitq no_reply=true",
            "stat",
        ]
    );
}

/// Of large values nothing is copied.
#[test]
fn large_values() {
    let mut driver = Driver::new(&memcached(), false);
    driver.chunk(Stream::ToServer, b"set k 0 0 100000\r\nab", 0);
    assert_eq!(driver.parser.interest(), Interest::Frames { quiet_until: [18 + 100_001, 0] });
    driver.chunk(Stream::ToServer, b"", 100_000);
    driver.chunk(Stream::ToClient, b"STORED\r\n", 0);
    assert_eq!(brief(driver.take()), ["set result=STORED | set ? ? ? ?"]);
    assert_eq!(driver.losses, Losses::default());
}

#[test]
fn losses() {
    let mut driver = Driver::new(&memcached(), true);
    driver.chunk(Stream::ToClient, b"STORED\r\n", 0);
    driver.chunk(Stream::ToServer, b"get a\r\nget b\r\n", 0);
    driver.chunk(Stream::ToClient, b"", 20);
    driver.chunk(Stream::ToClient, b"END\r\n", 0);
    driver.chunk(Stream::ToServer, b"delete c\r\n", 0);
    driver.chunk(Stream::ToClient, b"DELETED\r\n", 0);
    driver.chunk(Stream::ToServer, b"get d\r\n", 0);
    driver.end(End::Broken(104));
    let told = brief(driver.take());
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].contains("response_lost") && told[1].contains("response_lost"));
    assert_eq!(told[2], "delete result=DELETED | delete ?");
    assert!(told[3].contains("error.type=connection_closed"));
    assert_eq!((driver.losses.unpaired_requests, driver.losses.unpaired_responses), (2, 1));
}

#[test]
fn feeds_end() {
    let mut driver = Driver::new(&memcached(), false);
    driver.chunk(Stream::ToServer, b"watch fetchers\r\n", 0);
    driver.chunk(Stream::ToClient, b"OK\r\nts=1 gid=1 type=item_get\r\n", 0);
    assert_eq!(driver.parser.interest(), Interest::Nothing);
}

/// What clients really sent, and what is rarer.
#[test]
fn in_pieces() {
    let mut all = Conversation::recorded(Some("memcached"));
    all.extend([text(), meta(), binary()]);
    for conversation in &all {
        checks::every_split(&memcached(), conversation);
        checks::every_prefix(&memcached(), conversation);
        checks::every_gap(&memcached(), conversation, checks::told_less);
        checks::every_late_start(&memcached(), conversation, checks::told_less);
    }
    checks::garbage(&memcached(), &all);
}
