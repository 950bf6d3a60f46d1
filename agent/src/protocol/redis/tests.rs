//! Conversations with a server, and what is told of them.

use super::Redis;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{End, Interest, Losses, Statements, Stream};

fn redis() -> Redis {
    Redis::new(Statements::Redacted)
}

/// A command as clients send it.
fn command(words: &str) -> Vec<u8> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes += &format!("${}\r\n{word}\r\n", word.len());
    }
    bytes.into_bytes()
}

fn commands(all: &[&str]) -> Vec<u8> {
    all.iter().flat_map(|words| command(words)).collect()
}

/// What a whole connection tells.
fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&redis(), conversation, false);
    assert_eq!(played.losses, Losses::default(), "{played:#?}");
    played.told
}

/// The parts of a line that matter here: name, text, and what is beside the ordinary.
fn brief(told: &[String]) -> Vec<String> {
    told.iter()
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or_default();
            match line.split_once("db.query.text=") {
                Some((_, text)) => text.replace(" db.namespace=0", ""),
                None => format!("{name} {}", rest.replace("messaging.system=redis ", "")),
            }
        })
        .collect()
}

fn every_kind() -> Conversation {
    Conversation::new()
        .client(command("HELLO 3"))
        .server("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n")
        .client(commands(&["SET k v", "GET k", "incr n", "LPUSH k 1", "HGETALL h"]))
        .server("+OK\r\n$1\r\nv\r\n:1\r\n-WRONGTYPE Operation against a key\r\n")
        .server("%1\r\n+a\r\n*2\r\n:1\r\n,1.5\r\n")
        .client(b"PING\r\n")
        .server("+PONG\r\n")
        .client(command("SELECT 5"))
        .server("+OK\r\n")
        .client(commands(&["ZSCORE z m", "GET none", "CONFIG GET save"]))
        .server(",1.25\r\n_\r\n|1\r\n+key\r\n:90\r\n%1\r\n$4\r\nsave\r\n$0\r\n\r\n")
        .client(command("MEMORY DOCTOR"))
        .server("=15\r\ntxt:Some string\r\n")
}

#[test]
fn replies_of_all_types() {
    let told = told(&every_kind());
    assert_eq!(
        told[1],
        "SET db.system.name=redis db.operation.name=SET db.query.text=SET ? ? db.namespace=0"
    );
    assert_eq!(
        brief(&told),
        [
            "HELLO ?",
            "SET ? ?",
            "GET ?",
            "INCR ?",
            "LPUSH ? ? db.response.status_code=WRONGTYPE error.type=WRONGTYPE error",
            "HGETALL ?",
            "PING",
            "SELECT ?",
            "ZSCORE ? ? db.namespace=5",
            "GET ? db.namespace=5",
            "CONFIG GET ? db.namespace=5",
            "MEMORY DOCTOR db.namespace=5",
        ]
    );
}

fn transaction() -> Conversation {
    Conversation::new()
        .client(commands(&["WATCH k", "MULTI", "SET k v", "SELECT 2", "LPOP k", "EXEC", "GET k"]))
        .server("+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n")
        .server("*3\r\n+OK\r\n+OK\r\n-WRONGTYPE bad\r\n$-1\r\n")
        .client(commands(&["MULTI", "SELECT 2", "EXEC", "GET k"]))
        .server("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$-1\r\n")
        .client(commands(&["MULTI", "GET", "EXEC", "MULTI", "PING", "EXEC", "MULTI", "EXEC"]))
        .server("+OK\r\n-ERR wrong number\r\n-EXECABORT Transaction discarded\r\n")
        .server("+OK\r\n+QUEUED\r\n*-1\r\n+OK\r\n*0\r\n")
}

/// Commands are queued, run by EXEC, and what they did to the database counts then.
#[test]
fn transactions() {
    assert_eq!(
        brief(&told(&transaction())),
        [
            "WATCH ?",
            "MULTI",
            "SET ? ? remora.redis.queued=true",
            "SELECT ? remora.redis.queued=true",
            "LPOP ? remora.redis.queued=true",
            "EXEC db.operation.batch.size=3 db.response.status_code=WRONGTYPE error.type=WRONGTYPE error",
            "GET ?",
            "MULTI",
            "SELECT ? remora.redis.queued=true",
            "EXEC",
            "GET ? db.namespace=2",
            "MULTI db.namespace=2",
            "GET db.namespace=2 db.response.status_code=ERR error.type=ERR error",
            "EXEC db.namespace=2 db.response.status_code=EXECABORT error.type=EXECABORT error",
            "MULTI db.namespace=2",
            "PING db.namespace=2 remora.redis.queued=true",
            "EXEC db.namespace=2 remora.redis.aborted=true",
            "MULTI db.namespace=2",
            "EXEC db.namespace=2 db.operation.batch.size=0",
        ]
    );
}

fn subscriber(push: char) -> Conversation {
    let text = |text: &str| text.replace('>', &push.to_string());
    Conversation::new()
        .client(command("SUBSCRIBE a b"))
        .server(text(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"))
        .server(text(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n"))
        .client(command("PSUBSCRIBE c*"))
        .server(text(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n"))
        .server(text(">3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:3\r\n"))
        .server(text(">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\ncc\r\n$5\r\nhello\r\n"))
        .client(commands(&["UNSUBSCRIBE", "PUNSUBSCRIBE c*"]))
        .server(text(
            ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n>3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n",
        ))
        .server(text(">3\r\n$12\r\npunsubscribe\r\n$2\r\nc*\r\n:0\r\n"))
        .client(command("LRANGE l 0 2"))
        .server("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n")
}

/// Confirmations are replies, messages are not, in either version of the protocol.
#[test]
fn subscriptions() {
    let expected = [
        "SUBSCRIBE ? ?",
        "receive messaging.operation.name=receive messaging.operation.type=receive messaging.message.envelope.size=35",
        "receive messaging.operation.name=receive messaging.operation.type=receive messaging.message.envelope.size=35",
        "PSUBSCRIBE ?",
        "receive messaging.operation.name=receive messaging.operation.type=receive messaging.message.envelope.size=45",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE ?",
        "LRANGE ? ? ?",
    ];
    assert_eq!(brief(&told(&subscriber('*'))), expected);
    assert_eq!(brief(&told(&subscriber('>'))), expected);
}

/// Whom the client told to be silent is not waited for.
#[test]
fn silenced() {
    let conversation = Conversation::new()
        .client(commands(&["CLIENT REPLY SKIP", "SET a 1", "GET a"]))
        .server("$1\r\n1\r\n")
        .client(commands(&["CLIENT REPLY OFF", "SET a 1", "CLIENT REPLY ON"]))
        .server("+OK\r\n");
    assert_eq!(
        brief(&told(&conversation)),
        [
            "CLIENT REPLY ? remora.redis.no_reply=true",
            "SET ? ? remora.redis.no_reply=true",
            "GET ?",
            "CLIENT REPLY ? remora.redis.no_reply=true",
            "SET ? ? remora.redis.no_reply=true",
            "CLIENT REPLY ?",
        ]
    );
}

/// What the server does not know has no name of its own; scripts have; passwords are never told.
#[test]
fn names() {
    let conversation = Conversation::new()
        .client(commands(&["FOO.BAR x", "CONFIG NONSENSE", "EVALSHA abc123 0", "JSON.SET k $ v", "AUTH u p"]))
        .server("-ERR unknown command 'FOO.BAR', with args beginning with: 'x' \r\n-ERR unknown subcommand 'NO'\r\n")
        .server("-NOSCRIPT No matching script\r\n+OK\r\n-WRONGPASS invalid\r\n");
    let error = |name: &str| format!("db.response.status_code={name} error.type={name} error");
    let expected = [
        format!("_OTHER ? {}", error("ERR")),
        format!("CONFIG {}", error("ERR")),
        format!("EVALSHA ? ? db.stored_procedure.name=abc123 {}", error("NOSCRIPT")),
        "JSON.SET ? ? ?".to_owned(),
        format!("AUTH ? ? {}", error("WRONGPASS")),
    ];
    assert_eq!(brief(&told(&conversation)), expected);
    let raw = Driver::whole(&Redis::new(Statements::Raw), &conversation, false);
    assert!(raw.told[3].contains("db.query.text=JSON.SET k $ v"), "{}", raw.told[3]);
    assert!(raw.told[4].contains("db.query.text=AUTH ? ?"), "{}", raw.told[4]);
    let off = Driver::whole(&Redis::new(Statements::Off), &conversation, false);
    assert!(off.told.iter().all(|line| !line.contains("db.query.text")));
}

/// Many arguments are not written one by one.
#[test]
fn long_commands() {
    let conversation =
        Conversation::new().client(command(&format!("MSET{}", " k v".repeat(20)))).server("+OK\r\n");
    assert!(told(&conversation)[0].contains(&format!("MSET{} …", " ?".repeat(16))));
}

/// Of large strings nothing is copied, and nothing is waited for but their end.
#[test]
fn large_strings() {
    let mut driver = Driver::new(&redis(), false);
    driver.chunk(Stream::ToServer, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nabc", 0);
    let at = 20 + 10;
    assert_eq!(driver.parser.interest(), Interest::Frames { quiet_until: [at + 1_000_001, 0] });
    driver.chunk(Stream::ToServer, b"", 999_997 + 2);
    driver.chunk(Stream::ToClient, b"+OK\r\n", 0);
    driver.chunk(Stream::ToServer, &command("GET k"), 0);
    driver.chunk(Stream::ToClient, b"$1000000\r\nab", 999_998 + 2);
    assert_eq!(brief(&driver.take()), ["SET ? ?", "GET ?"]);
    assert_eq!(driver.losses, Losses::default());
}

/// A replica's connection is no conversation.
#[test]
fn replication() {
    let mut driver = Driver::new(&redis(), false);
    driver.chunk(Stream::ToServer, &command("REPLCONF listening-port 1"), 0);
    driver.chunk(Stream::ToClient, b"+OK\r\n", 0);
    driver.chunk(Stream::ToServer, &command("PSYNC ? -1"), 0);
    driver.chunk(Stream::ToClient, b"\n\n", 0);
    driver.chunk(Stream::ToClient, b"+FULLRESYNC abc 0\r\n$5\r\nREDIS", 0);
    assert_eq!(driver.parser.interest(), Interest::Nothing);
    assert_eq!(brief(&driver.take()), ["REPLCONF ? ?", "PSYNC ? ?"]);
    // The stream of a master, taken for a client that came before the agent.
    let mut driver = Driver::new(&redis(), true);
    driver.chunk(Stream::ToServer, &command("SET k v"), 0);
    driver.chunk(Stream::ToClient, &command("REPLCONF ACK 123"), 0);
    assert_eq!(driver.parser.interest(), Interest::Nothing);
    assert_eq!(brief(&driver.take()), [""; 0]);
    let mut driver = Driver::new(&redis(), false);
    driver.chunk(Stream::ToServer, b"MONITOR\r\n", 0);
    driver.chunk(Stream::ToClient, b"+OK\r\n+1700000000.1 [0 127.0.0.1:1] \"get\" \"x\"\r\n", 0);
    assert_eq!(driver.parser.interest(), Interest::Nothing);
    assert_eq!(brief(&driver.take()), ["MONITOR"]);
}

/// A connection that breaks leaves its commands without a reply; SHUTDOWN wants none.
#[test]
fn broken_off() {
    let mut driver = Driver::new(&redis(), false);
    driver.chunk(Stream::ToServer, &commands(&["GET a", "GET b"]), 0);
    driver.chunk(Stream::ToClient, b"$10\r\nabc", 0);
    driver.end(End::Broken(104));
    let told = brief(&driver.take());
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("remora.outcome=connection_closed error.type=connection_closed"), "{}", told[0]);
    let mut driver = Driver::new(&redis(), false);
    driver.chunk(Stream::ToServer, &command("SHUTDOWN NOSAVE"), 0);
    driver.end(End::Orderly);
    assert_eq!(brief(&driver.take()), ["SHUTDOWN ?"]);
}

/// Replies of commands from before belong to nobody, and the database is not known.
#[test]
fn late() {
    let mut driver = Driver::new(&redis(), true);
    driver.chunk(Stream::ToClient, b"$1\r\nx\r\n", 0);
    driver.chunk(Stream::ToServer, &command("GET a"), 0);
    driver.chunk(Stream::ToClient, b"$1\r\nx\r\n", 0);
    driver.chunk(Stream::ToServer, &commands(&["SELECT 3", "GET a"]), 0);
    driver.chunk(Stream::ToClient, b"+OK\r\n$1\r\nx\r\n", 0);
    let told = driver.take();
    assert!(!told[0].contains("namespace") && !told[1].contains("namespace"), "{told:?}");
    assert!(told[2].contains("db.namespace=3"), "{told:?}");
    assert_eq!(driver.losses, Losses { unpaired_responses: 1, ..Losses::default() });
}

/// Lost replies leave their commands without; the next time that the client speaks, all is known again.
#[test]
fn lost_replies() {
    let mut driver = Driver::new(&redis(), false);
    driver.chunk(Stream::ToServer, &commands(&["GET a", "GET b", "GET c"]), 0);
    driver.chunk(Stream::ToClient, b"$1\r\na\r\n", 0);
    driver.chunk(Stream::ToClient, b"", 7);
    driver.chunk(Stream::ToClient, b"$1\r\nc\r\n", 0);
    driver.chunk(Stream::ToServer, &command("GET d"), 0);
    driver.chunk(Stream::ToClient, b"$1\r\nd\r\n", 0);
    let lost = "remora.outcome=response_lost";
    assert_eq!(
        brief(&driver.take()),
        ["GET ?".to_owned(), format!("GET ? {lost}"), format!("GET ? {lost}"), "GET ?".to_owned()]
    );
    assert_eq!((driver.losses.unpaired_requests, driver.losses.resynchronised), (2, 1));
}

/// Replies behind those of lost commands belong to nobody.
#[test]
fn lost_commands() {
    let mut driver = Driver::new(&redis(), false);
    driver.chunk(Stream::ToServer, &command("GET a"), 0);
    driver.chunk(Stream::ToServer, b"", 22);
    driver.chunk(Stream::ToClient, b"$1\r\na\r\n$1\r\nb\r\n", 0);
    driver.chunk(Stream::ToServer, &command("INCR n"), 0);
    driver.chunk(Stream::ToClient, b":1\r\n", 0);
    let told = driver.take();
    assert_eq!(told.len(), 2);
    assert!(told[1].starts_with("INCR ") && !told[1].contains("outcome") && !told[1].contains("namespace"));
    assert_eq!(driver.losses.unpaired_responses, 1);
}

/// The last bytes of a command passed unseen: its reply comes before they are known to have passed.
#[test]
fn early_reply() {
    let mut driver = Driver::new(&redis(), false);
    driver.chunk(Stream::ToServer, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n", 0);
    driver.chunk(Stream::ToClient, b"+OK\r\n", 0);
    driver.chunk(Stream::ToServer, b"", 1002);
    driver.chunk(Stream::ToServer, &command("GET k"), 0);
    driver.chunk(Stream::ToClient, b"$1\r\nx\r\n", 0);
    assert_eq!(brief(&driver.take()), ["SET ? ?", "GET ?"]);
    assert_eq!(driver.losses, Losses::default());
}

/// A connection that threads share: a reply that its command never has shows that the order is wrong.
#[test]
fn shared_connection() {
    let mut driver = Driver::new(&redis(), true);
    // Somebody waits for a GET from before the agent came.
    driver.chunk(Stream::ToServer, &command("INCR a"), 0);
    driver.chunk(Stream::ToClient, b"$1\r\nx\r\n", 0);
    driver.chunk(Stream::ToServer, &command("GET b"), 0);
    driver.chunk(Stream::ToClient, b":1\r\n", 0);
    driver.time += 200_000_000;
    driver.chunk(Stream::ToServer, &command("GET c"), 0);
    driver.chunk(Stream::ToClient, b"$1\r\nc\r\n", 0);
    let told = brief(&driver.take());
    let whole: Vec<&String> = told.iter().filter(|line| !line.contains("response_lost")).collect();
    assert_eq!(whole, ["GET ?"]);
    assert_eq!(told.len(), 3);
}

/// Far more commands than are remembered still leave the order right.
#[test]
fn too_many() {
    let mut driver = Driver::new(&redis(), false);
    for _ in 0..40_000 {
        driver.chunk(Stream::ToServer, &command("INCR a"), 0);
    }
    for _ in 0..40_000 {
        driver.chunk(Stream::ToClient, b":1\r\n", 0);
    }
    driver.chunk(Stream::ToServer, &command("GET a"), 0);
    driver.chunk(Stream::ToClient, b"$1\r\nx\r\n", 0);
    let told = driver.take();
    assert_eq!((told.len(), driver.losses.over_limit), (32 * 1024 + 1, 40_000 - 32 * 1024));
    assert!(told.last().is_some_and(|line| line.starts_with("GET ") && !line.contains("outcome")));
}

/// What clients really sent, and what is rarer.
#[test]
fn in_pieces() {
    let mut all = Conversation::recorded(Some("redis"));
    all.extend([every_kind(), transaction(), subscriber('*'), subscriber('>')]);
    for conversation in &all {
        checks::every_split(&redis(), conversation);
        checks::every_prefix(&redis(), conversation);
        // The database is not always known.
        checks::every_gap(&redis(), conversation, checks::told_less);
        checks::every_late_start(&redis(), conversation, checks::told_less);
    }
    checks::garbage(&redis(), &all);
    checks::garbage(&Redis::new(Statements::Raw), &all);
}
