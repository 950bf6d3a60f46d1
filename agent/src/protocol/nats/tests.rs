//! Conversations with a server, and what is told of them.

use super::Nats;
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{End, Interest, Losses, Stream};

const INFO: &str = "INFO {\"server_id\":\"NX\",\"version\":\"2.9.10\",\"max_payload\":1048576} \r\n";
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"python3\"}\r\nPING\r\n";
const PARENT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn begin() -> Conversation {
    Conversation::new().server(INFO).client(CONNECT).server("PONG\r\n")
}

fn brief(told: Vec<String>) -> Vec<String> {
    told.into_iter()
        .map(|line| {
            let skip = ["messaging.system=", "messaging.operation.name=", "messaging.destination.template="];
            let kept: Vec<&str> =
                line.split(' ').filter(|word| !skip.iter().any(|key| word.starts_with(key))).collect();
            kept.join(" ").replace("messaging.", "").replace("remora.nats.", "")
        })
        .collect()
}

fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&Nats, conversation, false);
    assert_eq!(played.losses, Losses::default(), "{played:#?}");
    brief(played.told)
}

fn publishing() -> Conversation {
    let headers = format!("NATS/1.0\r\n{PARENT}\r\nNats-Msg-Id: m1\r\n\r\n");
    begin()
        .client(format!("SUB orders.* workers 1\r\nPUB orders.7 5\r\nhello\r\nPUB orders.7 0\r\n\r\nHPUB a.b {} {}\r\n{headers}hi\r\n", headers.len(), headers.len() + 2))
        .server(format!("MSG orders.7 1 5\r\nhello\r\nMSG orders.7 1 0\r\n\r\nHMSG a.b 9 {} {}\r\n{headers}hi\r\n", headers.len(), headers.len() + 2))
        .server("PING\r\n")
        .client("PONG\r\n")
        .server("-ERR 'Permissions Violation for Publish to \"secret.subject\"'\r\n")
}

#[test]
fn one_way() {
    assert_eq!(
        told(&publishing()),
        [
            "publish orders.* operation.type=send destination.name=orders.7 message.body.size=5",
            "publish orders.* operation.type=send destination.name=orders.7 message.body.size=0",
            "publish a.b operation.type=send destination.name=a.b message.id=m1 message.body.size=2",
            "receive orders.* operation.type=receive destination.name=orders.7 consumer.group.name=workers message.body.size=5",
            "receive orders.* operation.type=receive destination.name=orders.7 consumer.group.name=workers message.body.size=0",
            "receive a.b operation.type=receive destination.name=a.b message.id=m1 message.body.size=2",
            "error error.type=Permissions Violation error",
        ]
    );
}

/// The trace goes on in the headers.
#[test]
fn parents() {
    let mut driver = Driver::new(&Nats, false);
    driver.play(&publishing());
    let parents: Vec<bool> = driver
        .told
        .iter()
        .map(|exchange| {
            crate::protocol::testing::drive::describe(exchange, crate::protocol::Role::Client)
                .parent
                .is_some()
        })
        .collect();
    assert_eq!(parents, [false, false, true, false, false, true, false]);
}

fn asking() -> Conversation {
    begin()
        .client("SUB _INBOX.abc.* 1\r\nPUB help _INBOX.abc.1 4\r\nwhat\r\nPUB help _INBOX.abc.2 4\r\nwhat\r\n")
        .server("MSG _INBOX.abc.2 1 6\r\nsecond\r\nMSG _INBOX.abc.1 1 5\r\nfirst\r\n")
        .client("PUB nobody _INBOX.abc.3 0\r\n\r\n")
        .server("HMSG _INBOX.abc.3 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")
        .client("PUB $JS.API.CONSUMER.MSG.NEXT.S.C _INBOX.abc.4 1\r\n1\r\n")
        .server("MSG orders.new 1 $JS.ACK.S.C.1.1.1.1.0 5\r\nhello\r\nHMSG _INBOX.abc.4 1 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n")
        .client("PUB $JS.ACK.S.C.1.1.1.1.0 4\r\n+WPI\r\nPUB $JS.ACK.S.C.1.1.1.1.0 4\r\n+ACK\r\n")
        .client("PUB $JS.ACK.S.C.1.2.2.2.0 4\r\n-NAK\r\nPUB $JS.ACK.S.C.1.3.3.3.0 _INBOX.abc.5 4\r\n+ACK\r\n")
        .server("MSG _INBOX.abc.5 1 0\r\n\r\n")
}

/// Requests end with their replies, messages with their acknowledgements.
#[test]
fn request_and_reply() {
    assert_eq!(
        told(&asking()),
        [
            "request help operation.type=send destination.name=help message.body.size=4 reply.body.size=6",
            "request help operation.type=send destination.name=help message.body.size=4 reply.body.size=5",
            "request nobody operation.type=send destination.name=nobody status=503 message.body.size=0 reply.body.size=0 error.type=503 error no responders",
            "publish $JS.API.CONSUMER.MSG.NEXT.S.C operation.type=send destination.name=$JS.API.CONSUMER.MSG.NEXT.S.C message.body.size=1",
            "process orders.new operation.type=process destination.name=orders.new ack=ack message.body.size=5",
            "ack $JS.ACK.* operation.type=settle destination.name=$JS.ACK.S.C.1.2.2.2.0 ack=nak message.body.size=4",
            "ack $JS.ACK.* operation.type=settle destination.name=$JS.ACK.S.C.1.3.3.3.0 ack=ack message.body.size=4 reply.body.size=0",
        ]
    );
}

/// Who answers works from the message to the answer.
#[test]
fn answering() {
    let mut driver = Driver::new(&Nats, false);
    driver.chunk(Stream::ToServer, b"SUB help 1\r\n", 0);
    driver.chunk(
        Stream::ToClient,
        b"MSG help 1 _INBOX.x.1 4\r\nwhat\r\nMSG help 1 _INBOX.x.2 4\r\nwhat\r\n",
        0,
    );
    driver.time += 5_000_000;
    driver.chunk(Stream::ToServer, b"PUB _INBOX.x.1 2\r\nso\r\n", 0);
    assert_eq!(driver.told[0].end - driver.told[0].start.time, 5_000_000);
    driver.pass(32_000_000_000);
    assert_eq!(
        brief(driver.take()),
        [
            "process help operation.type=process destination.name=help message.body.size=4 reply.body.size=2",
            "receive help operation.type=receive destination.name=help message.body.size=4",
        ]
    );
    assert!(!driver.parser.waiting());
}

fn verbose() -> Conversation {
    Conversation::new()
        .server(INFO)
        .client("CONNECT {\"verbose\":true,\"pedantic\":true}\r\n")
        .server("+OK\r\n")
        .client("SUB a 1\r\nPUB b 2\r\nhi\r\nPUB c 2\r\nhi\r\n")
        .server("+OK\r\n+OK\r\n-ERR 'Invalid Subject'\r\n")
}

#[test]
fn confirmed() {
    assert_eq!(
        told(&verbose()),
        [
            "publish b operation.type=send destination.name=b message.body.size=2",
            "publish c operation.type=send destination.name=c message.body.size=2 error.type=Invalid Subject error",
        ]
    );
}

#[test]
fn waiting_in_vain() {
    let mut driver = Driver::new(&Nats, false);
    driver.chunk(Stream::ToServer, b"PUB a _INBOX.1 0\r\n\r\n", 0);
    driver.pass(32_000_000_000);
    driver.chunk(Stream::ToServer, b"PUB a _INBOX.2 0\r\n\r\n", 0);
    driver.chunk(Stream::ToClient, b"", 30);
    driver.chunk(Stream::ToServer, b"PUB a _INBOX.3 0\r\n\r\n", 0);
    driver.time += 1;
    driver.end(End::Broken(104));
    let told = brief(driver.take());
    assert!(told[0].contains("error.type=timeout"), "{told:#?}");
    assert!(told[1].contains("outcome=response_lost") && !told[1].contains("error.type"));
    assert_eq!(told.len(), 3);
}

/// Of payloads nothing is copied; after a loss a whole message is believed anywhere.
#[test]
fn payloads_and_losses() {
    let mut driver = Driver::new(&Nats, true);
    driver.chunk(Stream::ToClient, b"MSG a 1 100000\r\nab", 0);
    assert_eq!(driver.parser.interest(), Interest::Frames { quiet_until: [0, 16 + 100_001] });
    driver.chunk(Stream::ToClient, b"", 100_000);
    driver.chunk(Stream::ToClient, b"", 20);
    driver.chunk(Stream::ToClient, b"loadMSG b 1 5\r\nhello\r\n", 0);
    driver.chunk(Stream::ToClient, b"MSG c 1 5\r\nhello\r\n", 0);
    let told = brief(driver.take());
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with("receive a ") && told[1].starts_with("receive c "));
    assert_eq!(driver.losses.resynchronised, 1);
}

#[test]
fn in_pieces() {
    let mut all = Conversation::recorded(Some("nats"));
    all.extend([publishing(), asking(), verbose()]);
    for (i, conversation) in all.iter().enumerate() {
        checks::every_split(&Nats, conversation);
        checks::every_prefix(&Nats, conversation);
        // If it is not known that each command is answered, an error is told apart from what it answers.
        if i + 1 < all.len() {
            checks::every_gap(&Nats, conversation, less);
            checks::every_late_start(&Nats, conversation, less);
        }
    }
    checks::garbage(&Nats, &all);
}

/// A subscription that was not seen has no template, what was asked from before is not known, and what is acknowledged
/// without having been seen is told by itself.
fn less(expected: &str, got: &str) -> bool {
    let word = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let to = |line: &str| {
        line.split("destination.name=").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned)
    };
    let apart = match (&*word(expected), &*word(got)) {
        ("receive" | "process", "receive") => to(expected) == to(got),
        ("request" | "ack", "receive") | ("process", "publish") => {
            to(got).is_some_and(|to| to.starts_with("_INBOX."))
        }
        ("process", "ack") => true,
        _ => false,
    };
    checks::told_less(expected, got) || apart
}
