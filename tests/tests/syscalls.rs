//! Every way to move bytes through a socket, in every tier.

use std::fmt::Write as _;

use remora_tests::exchange::{faults, untruths};
use remora_tests::{Agent, Kind, Netns, Place, Program, Span, Tier, built, each_tier};

/// Requests on each connection; the seventh response is larger than the sockets' buffers.
const COUNT: usize = 8;

each_tier!(
    every_way_of_writing_and_reading,
    every_way_over_unix_sockets,
    every_way_over_ipv6,
    every_way_over_mapped_addresses,
    one_byte_at_a_time
);

/// The ways that the workload knows. Those that are no system calls pass by the tier that hooks system calls.
fn ways(tier: Tier) -> (Vec<String>, Vec<String>) {
    let seen = |way: &&str| tier != Tier::SyscallTracepoint || *way != "uring";
    let listed = Program::new(built("exchange")).run().ok().output;
    let mut lines = listed.lines().map(|line| line.split(' ').filter(seen).map(str::to_owned).collect());
    (lines.next().expect("ways to write"), lines.next().expect("ways to read"))
}

/// Each way to write against one way to read, and the other way round.
fn cross(tier: Tier) -> Vec<(String, String)> {
    let (write, read) = ways(tier);
    let first = write.iter().map(|way| (way.clone(), "read".to_owned()));
    first.chain(read.iter().skip(1).map(|way| ("write".to_owned(), way.clone()))).collect()
}

/// Whether a tier sees the bytes of every message. The socket layer's tracepoints do not tell which message of several
/// they are about, and they do not fire for splice: such bytes are counted, and that is all.
fn sees(tier: Tier, write: &str, read: &str) -> bool {
    tier != Tier::SocketTracepoint || (write != "sendmmsg" && read != "recvmmsg" && read != "splice")
}

/// Runs the workload in each of `ways`, one after the other, and checks both ends of each.
fn check(
    tier: Tier,
    ways: &[(String, String)],
    family: &str,
    address: impl Fn(usize) -> String,
    belongs: impl Fn(&Span, usize) -> bool,
) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    for (index, (write, read)) in ways.iter().enumerate() {
        let workload = net.program(built("exchange")).args([family, &address(index), write, read]);
        let _ = workload.arg(COUNT.to_string()).run().ok();
    }
    let spans = agent.stop();
    let mut wrong = String::new();
    for (index, (write, read)) in ways.iter().enumerate() {
        let run = spans.all().filter(&address(index), |span| belongs(span, index));
        for kind in [Kind::Server, Kind::Client] {
            // A unix socket has no sequence numbers: what splice took from it leaves no trace at all, so the exchange is
            // told as ended with its process. docs/testing.md says so.
            if tier == Tier::SocketTracepoint && family == "unix" && read == "splice" {
                continue;
            }
            let end = run.clone().of_kind(kind);
            let seen = sees(tier, write, read);
            let faults =
                if seen { faults(&end, write, read, COUNT) } else { untruths(&end, write, read, COUNT) };
            if !faults.is_empty() {
                let _ = writeln!(wrong, "{kind:?} of {write}/{read}: {}", &faults[..faults.len().min(600)]);
            }
        }
    }
    assert!(wrong.is_empty(), "{family}:\n{wrong}\n{}", spans.coverage);
    let seen = spans.all().each_has("service.name", "exchange").filter("seen whole", |span| {
        let target = span.target();
        let mut way = target.split('/').skip(1);
        sees(tier, way.next().unwrap_or_default(), way.next().unwrap_or_default())
    });
    let _ = seen.exactly(2 * COUNT * ways.iter().filter(|(write, read)| sees(tier, write, read)).count());
}

fn port_is(span: &Span, port: usize) -> bool {
    span.server_port() == Some(port as i64)
}

/// All of them against all of them.
fn every_way_of_writing_and_reading(tier: Tier) {
    let (write, read) = ways(tier);
    let all: Vec<_> = write.iter().flat_map(|w| read.iter().map(move |r| (w.clone(), r.clone()))).collect();
    check(tier, &all, "inet", |i| format!("127.0.0.1:{}", 9000 + i), |span, i| port_is(span, 9000 + i));
}

/// Unix stream sockets.
fn every_way_over_unix_sockets(tier: Tier) {
    let place = Place::new();
    let path = |i: usize| place.join(&format!("{i}.sock")).to_string_lossy().into_owned();
    check(tier, &cross(tier), "unix", path, |span, i| {
        let end = if span.kind == Kind::Server { "local" } else { "peer" };
        span.text(&format!("network.{end}.address")) == path(i)
    });
}

/// IPv6.
fn every_way_over_ipv6(tier: Tier) {
    let belongs =
        |span: &Span, i: usize| port_is(span, 9000 + i) && span.text("network.peer.address") == "::1";
    check(tier, &cross(tier), "inet", |i| format!("[::1]:{}", 9000 + i), belongs);
}

/// IPv4 that arrives on an IPv6 socket is told as IPv4.
fn every_way_over_mapped_addresses(tier: Tier) {
    let belongs =
        |span: &Span, i: usize| port_is(span, 9000 + i) && span.text("network.peer.address") == "127.0.0.1";
    check(tier, &cross(tier), "mapped", |i| format!("[::]:{}", 9000 + i), belongs);
}

/// Heads in one-byte writes that meet three-byte reads.
fn one_byte_at_a_time(tier: Tier) {
    let ways = [("bytes".to_owned(), "tiny".to_owned())];
    check(tier, &ways, "inet", |i| format!("127.0.0.1:{}", 9000 + i), |span, i| port_is(span, 9000 + i));
}
