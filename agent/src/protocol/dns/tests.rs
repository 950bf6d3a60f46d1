//! Conversations of resolvers and servers, and what goes wrong with them.

use super::Dns;
use super::parser::{GRACE, TIMEOUT};
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{End, Inference, Losses, Protocol, Run, Stream};

const QUERY: u16 = 0x0100;
const RESPONSE: u16 = 0x8180;

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [id, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect()
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    [&wire(name)[..], &kind.to_be_bytes(), &[0, 1]].concat()
}

/// A record of the question's name.
fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length, data].concat()
}

fn edns(extended: u8) -> Vec<u8> {
    vec![0, 0, 41, 4, 208, extended, 0, 0, 0, 0, 0]
}

fn ask(id: u16, name: &str, kind: u16) -> Vec<u8> {
    [header(id, QUERY, [1, 0, 0, 0]), question(name, kind)].concat()
}

fn answer(id: u16, flags: u16, name: &str, kind: u16, records: &[Vec<u8>]) -> Vec<u8> {
    [header(id, flags, [1, records.len() as u16, 0, 0]), question(name, kind), records.concat()].concat()
}

fn framed(message: Vec<u8>) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

/// `getaddrinfo` asks for both kinds of addresses at once.
fn both() -> Conversation {
    Conversation { datagrams: true, protocol: "dns".into(), ..Conversation::default() }
        .client(ask(1, "shop.example", 1))
        .client(ask(2, "shop.example", 28))
        .server(answer(2, RESPONSE, "shop.example", 28, &[record(28, 60, &[0x20; 16])]))
        .server(answer(
            1,
            RESPONSE,
            "shop.example",
            1,
            &[record(1, 60, &[10, 0, 0, 1]), record(1, 9, &[10, 0, 0, 2])],
        ))
}

fn over_tcp() -> Conversation {
    let target = [&[0, 5, 0, 7, 0x1f, 0x90][..], &wire("a.example")].concat();
    Conversation { protocol: "dns".into(), ..Conversation::default() }
        .client(framed(ask(7, "_http._tcp.example", 33)))
        .server(framed(answer(7, RESPONSE, "_http._tcp.example", 33, &[record(33, 60, &target)])))
        .client([framed(ask(8, "a.example", 1)), framed(ask(9, "b.example", 15))].concat())
        .server(
            [
                framed(answer(
                    9,
                    RESPONSE,
                    "b.example",
                    15,
                    &[record(15, 60, &[&[0, 1][..], &wire("mx.b")].concat())],
                )),
                framed(answer(
                    8,
                    RESPONSE,
                    "A.Example",
                    1,
                    &[record(5, 60, &[0xc0, 14]), record(1, 60, &[10, 0, 0, 1])],
                )),
            ]
            .concat(),
        )
}

fn datagrams() -> Driver {
    Driver::of(Dns.datagram_parser().unwrap())
}

fn judged(bytes: &[u8]) -> Inference {
    let run = Run { bytes, passed: bytes.len() as u64, opening: true, stream: None };
    Dns.infer_datagram(&run)
}

#[test]
fn pairs_by_id_and_question() {
    let played = Driver::whole(&Dns, &both(), false);
    assert_eq!(
        played.told,
        [
            "DNS AAAA dns.question.name=shop.example remora.dns.question.type=AAAA network.transport=udp \
             remora.dns.response.code=NOERROR dns.answers=2020:2020:2020:2020:2020:2020:2020:2020",
            "DNS A dns.question.name=shop.example remora.dns.question.type=A network.transport=udp \
             remora.dns.response.code=NOERROR dns.answers=10.0.0.1,10.0.0.2",
        ]
    );
    assert_eq!(played.losses, Losses::default());
    let played = Driver::whole(&Dns, &over_tcp(), false);
    assert_eq!(
        played.told,
        [
            "DNS SRV dns.question.name=_http._tcp.example remora.dns.question.type=SRV network.transport=tcp \
             remora.dns.response.code=NOERROR remora.dns.records=SRV a.example:8080",
            "DNS MX dns.question.name=b.example remora.dns.question.type=MX network.transport=tcp \
             remora.dns.response.code=NOERROR remora.dns.records=MX mx.b",
            "DNS A dns.question.name=a.example remora.dns.question.type=A network.transport=tcp \
             remora.dns.response.code=NOERROR dns.answers=10.0.0.1 remora.dns.records=CNAME Example",
        ]
    );
    assert_eq!(played.losses, Losses::default());
}

#[test]
fn holds_whatever_happens() {
    checks::every_split(&Dns, &over_tcp());
    checks::every_prefix(&Dns, &over_tcp());
    checks::every_late_start(&Dns, &over_tcp(), |expected, got| expected == got);
    checks::every_gap(&Dns, &over_tcp(), |expected, got| {
        // Of a response of which the end is missing, the answers are.
        let known = |word: &str| word == "remora.dns.incomplete=true" || expected.contains(word);
        expected == got || got.split(' ').all(known)
    });
    checks::garbage(&Dns, &[over_tcp(), both()]);
}

/// The name is answered in the letters that it was asked in; an address is believed for as long as it says.
#[test]
fn names() {
    let mut driver = datagrams();
    driver.play(&both());
    let names = driver.told[1].detail.names().unwrap();
    assert_eq!(names.name, "shop.example");
    assert_eq!(names.addresses, [([10, 0, 0, 1].into(), 60), ([10, 0, 0, 2].into(), 9)]);
}

/// A response code is the client's error; of the server's, only what is its fault.
#[test]
fn errors() {
    use crate::protocol::Role;
    use crate::protocol::testing::drive::describe;
    for (code, extended, name, server) in [
        (3, 0, "NXDOMAIN", false),
        (2, 0, "SERVFAIL", true),
        (5, 0, "REFUSED", false),
        (0, 1, "BADVERS", false),
    ] {
        let mut driver = datagrams();
        driver.chunk(Stream::ToServer, &ask(1, "x.example", 1), 0);
        let response =
            [header(1, RESPONSE | code, [1, 0, 0, 1]), question("x.example", 1), edns(extended)].concat();
        driver.chunk(Stream::ToClient, &response, 0);
        let error = |role| describe(&driver.told[0], role).error.is_some();
        assert_eq!((error(Role::Client), error(Role::Server)), (true, server), "{name}");
        assert!(driver.take()[0].contains(&format!("error.type={name}")), "{name}");
    }
}

/// A query that is sent again is the same; one that nobody answers ends five seconds after it was last sent.
#[test]
fn retransmission_and_timeout() {
    let mut driver = datagrams();
    driver.chunk(Stream::ToServer, &ask(1, "x.example", 1), 0);
    driver.pass(TIMEOUT);
    driver.chunk(Stream::ToServer, &ask(1, "x.example", 1), 0);
    driver.pass(TIMEOUT + GRACE - 100_000_000);
    assert!(driver.told.is_empty());
    driver.pass(200_000_000);
    let told = &driver.told[0];
    assert_eq!(told.end - told.start.time, 2 * TIMEOUT);
    let line = driver.take().remove(0);
    assert!(
        line.contains("remora.dns.transmissions=2 remora.outcome=timed_out error.type=timeout"),
        "{line}"
    );
    assert!(!driver.parser.waiting());
    // Too late.
    driver.chunk(Stream::ToClient, &answer(1, RESPONSE, "x.example", 1, &[]), 0);
    assert_eq!((driver.losses.unpaired_responses, driver.told.len()), (1, 0));
}

#[test]
fn a_response_to_another_question_is_nobodys() {
    let mut driver = datagrams();
    driver.chunk(Stream::ToServer, &ask(1, "x.example", 1), 0);
    driver.chunk(Stream::ToClient, &answer(1, RESPONSE, "y.example", 1, &[]), 0);
    assert_eq!((driver.losses.unpaired_responses, driver.told.len()), (1, 0));
    // Refused without a question.
    driver.chunk(Stream::ToClient, &header(1, RESPONSE | 5, [0; 4]), 0);
    assert!(driver.take()[0].ends_with("error.type=REFUSED error"));
    driver.chunk(Stream::ToServer, &ask(2, "z.example", 1), 0);
    driver.end(End::ProcessGone);
    assert!(driver.take()[0].contains("remora.outcome=process_gone"));
}

/// A truncated response is one, and says so.
#[test]
fn truncation() {
    let mut driver = datagrams();
    driver.chunk(Stream::ToServer, &ask(1, "x.example", 16), 0);
    driver.chunk(Stream::ToClient, &answer(1, RESPONSE | 0x0200, "x.example", 16, &[]), 0);
    let line = driver.take().remove(0);
    assert!(line.contains("remora.dns.response.code=NOERROR remora.dns.truncated=true"), "{line}");
}

/// What looks like DNS and is not.
#[test]
fn strict() {
    let query = ask(1, "x.example", 1);
    assert_eq!(judged(&query), Inference::Yes(Stream::ToServer));
    assert_eq!(judged(&ask(1, "", 2)), Inference::Yes(Stream::ToServer), "the root");
    assert_eq!(judged(&[&query[..], &[0]].concat()), Inference::No, "a byte too many");
    for end in 1..query.len() {
        assert_eq!(judged(&query[..end]), Inference::No, "{end}");
    }
    let mdns = [header(0, 0, [1, 0, 0, 0]), question("printer.local", 12)].concat();
    assert_eq!(judged(&mdns), Inference::No, "multicast DNS");
    let llmnr = [header(77, 0, [1, 0, 0, 0]), question("printer", 1)].concat();
    assert_eq!(judged(&llmnr), Inference::No, "LLMNR");
    let iterative = [header(77, 0, [1, 0, 0, 1]), question("example", 1), edns(0)].concat();
    assert_eq!(judged(&iterative), Inference::Yes(Stream::ToServer), "a server asks another");
    let netbios = ask(1, "CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 33);
    assert_eq!(judged(&netbios), Inference::No, "NetBIOS");
    let two = [header(1, QUERY, [2, 0, 0, 0]), question("a.example", 1), question("b.example", 1)].concat();
    assert_eq!(judged(&two), Inference::No, "several questions");
    let update = [header(1, 5 << 11, [1, 0, 0, 0]), question("example", 6)].concat();
    assert_eq!(judged(&update), Inference::No, "an update");
    let class = [header(1, QUERY, [1, 0, 0, 0]), wire("a"), vec![0, 1, 0x80, 1]].concat();
    assert_eq!(judged(&class), Inference::No, "a class of multicast DNS");
}

/// Pointers lead back and come to an end; names are bounded.
#[test]
fn names_are_bounded() {
    use super::message::{Flaw, read_name, skip_name};
    let mut out = String::new();
    let read = |message: &[u8], at, out: &mut String| {
        out.clear();
        read_name(message, at, out)
    };
    let mut message = header(1, QUERY, [1, 0, 0, 0]);
    message.extend(b"\x01a\xc0\x0c");
    assert_eq!(read(&message, 12, &mut out), Err(Flaw::Foreign), "a loop");
    assert_eq!(skip_name(&[0xc0], 0), Err(Flaw::Cut));
    assert_eq!(skip_name(&[0x80], 0), Err(Flaw::Foreign));
    let long: Vec<u8> = [&[0; 12][..], &[63; 64].repeat(5), &[0]].concat();
    assert_eq!(read(&long, 12, &mut out), Err(Flaw::Foreign), "too long");
    let odd = [&[0; 12][..], b"\x05a.\x00 \\\x01b\x00"].concat();
    assert_eq!(read(&odd, 12, &mut out), Ok(odd.len()));
    assert_eq!(out, "a\\.\\000\\032\\\\.b");
}

/// Whatever was recorded of real programs is known, and told without loss.
#[test]
fn recorded() {
    for conversation in Conversation::recorded(Some("dns")) {
        let played = Driver::whole(&Dns, &conversation, false);
        assert_eq!(played.losses, Losses::default(), "{}", conversation.name);
        assert!(!played.told.is_empty(), "{}", conversation.name);
    }
}
