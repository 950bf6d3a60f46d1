//! Bytes that pass through no buffer that could be read, or change on their way: each is counted where it stands in its
//! stream, so that what comes behind it is still understood.

use std::fmt::Write as _;
use std::os::fd::AsRawFd;
use std::time::Duration;

use remora_tests::exchange::{faults, sees_all, untruths};
use remora_tests::{
    Agent, AgentBuilder, Client, Kind, Metrics, Netns, Program, Spans, Tier, Value, built, each_tier, serve,
    wait_for,
};

each_tier!(without_a_copy, kernel_tls, spliced_to_the_end);

/// Exchanges on each connection; the seventh response is larger than the sockets' buffers.
const COUNT: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);

fn watch(net: &Netns, tier: Tier) -> AgentBuilder {
    Agent::watch(net).tier(tier).args(["--metrics-interval", "300"])
}

/// Bytes that one end of the connections to a port moved.
fn io(metrics: &Metrics, role: &str, port: u16, direction: &str) -> i64 {
    let with = [
        ("remora.role", Value::from(role)),
        ("server.port", i64::from(port).into()),
        ("network.io.direction", direction.into()),
    ];
    metrics.total("remora.network.io", &with)
}

/// What TCP carried to the server and to the client.
type Carried = [i64; 2];

/// What is wrong with the bytes of the connection to a port, if anything.
fn miscounted(metrics: &Metrics, port: u16, [asked, answered]: Carried) -> String {
    let mut faults = String::new();
    for (role, sent, received) in [("client", asked, answered), ("server", answered, asked)] {
        let told = [io(metrics, role, port, "transmit"), io(metrics, role, port, "receive")];
        if told != [sent, received] {
            let _ = write!(faults, "{role}: {told:?}, not {:?}; ", [sent, received]);
        }
    }
    faults
}

/// Runs the workload in each of `ways` on ports from 9000 on. Gives what TCP carried of each, and what the agent told.
fn run(tier: Tier, family: &str, ways: &[(&str, &str)]) -> (Vec<Carried>, Spans) {
    let net = Netns::new();
    let agent = watch(&net, tier).start();
    let mut carried = Vec::new();
    for (port, (write, read)) in (9000..).zip(ways) {
        let address = format!("127.0.0.1:{port}");
        let workload = net.program(built("exchange")).args([family, &address, write, read]);
        let output = workload.arg(COUNT.to_string()).run().ok().output;
        let mut numbers = output.split_whitespace().map(|number| number.parse().expect("a number"));
        carried.push([(); 2].map(|()| numbers.next().expect("two numbers")));
    }
    let ends = 2 * ways.len() as i64;
    let ended = || agent.so_far().metrics.total("remora.network.connection.duration", &[]) == ends;
    assert!(wait_for(PATIENCE, ended), "not all connections ended:\n{}", agent.so_far().metrics.summary());
    (carried, agent.stop())
}

/// sendfile, splice, `MSG_ZEROCOPY`, `MSG_TRUNC` and `TCP_ZEROCOPY_RECEIVE`: the numbers are exact in every tier, and so are
/// the messages wherever the moves are seen when they happen. Zero-copy sends have an address: they are copied.
fn without_a_copy(tier: Tier) {
    let ways = [
        ("zerocopy", "read"),
        ("sendfile", "read"),
        ("splice", "recv"),
        ("vmsplice", "read"),
        ("write", "truncate"),
        ("zerocopy", "truncate"),
        ("write", "splice"),
        ("write", "mapped"),
        ("splice", "splice"),
        ("sendfile", "mapped"),
        ("uring", "read"),
        ("write", "uring"),
    ];
    let (carried, told) = run(tier, "inet", &ways);
    let mut wrong = String::new();
    for ((port, (write, read)), carried) in (9000..).zip(ways).zip(carried) {
        let bytes = miscounted(&told.metrics, port, carried);
        if !bytes.is_empty() {
            let _ = writeln!(wrong, "bytes of {write}/{read}: {bytes}");
        }
        // Of what passes without a call that the tier sees, it learns with the next that it sees.
        let late = match tier {
            _ if sees_all(tier) => false,
            Tier::SocketTracepoint => matches!(read, "splice" | "mapped"),
            _ => matches!(read, "mapped" | "uring"),
        };
        for kind in [Kind::Server, Kind::Client] {
            let end = told.all().of_kind(kind).on(port);
            let check = if late { untruths } else { faults };
            let faults = check(&end, write, read, COUNT);
            if !faults.is_empty() {
                let _ = writeln!(wrong, "{kind:?} of {write}/{read}: {}", &faults[..faults.len().min(600)]);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n{}", told.coverage);
    assert!(told.coverage.get("unreachable") > 0, "{}", told.coverage);
    for none in ["ambiguous", "overlap_bytes", "unread_connections", "read_fault"] {
        assert_eq!(told.coverage.get(none), 0, "{none}\n{}", told.coverage);
    }
}

/// Under kernel TLS a call's result is the length of the plain text. What is told is what TCP carried, and nothing of the
/// plain text is taken for it: of these connections the first exchange, which is not encrypted, is a span, and no other.
fn kernel_tls(tier: Tier) {
    let _ = Program::new("modprobe").arg("tls").run();
    let layers = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    if !layers.split_whitespace().any(|layer| layer == "tls") {
        println!("skipped: this kernel has no kTLS (modprobe tls)");
        return;
    }
    let ways = [
        ("write", "read"),
        ("sendmsg", "recvmsg"),
        ("writev", "readv"),
        ("bytes", "tiny"),
        ("sendfile", "recv"),
        ("splice", "splice"),
        ("sendto", "recvmmsg"),
        ("nonblocking", "nonblocking"),
        ("send", "peek"),
    ];
    let (carried, told) = run(tier, "tls", &ways);
    let mut wrong = String::new();
    for ((port, (write, read)), carried) in (9000..).zip(ways).zip(carried) {
        let bytes = miscounted(&told.metrics, port, carried);
        if !bytes.is_empty() {
            let _ = writeln!(wrong, "bytes of {write}/{read}: {bytes}");
        }
        for kind in [Kind::Server, Kind::Client] {
            let end = told.all().of_kind(kind).on(port);
            // Of these the first exchange, too, is only counted there.
            let unseen = tier == Tier::SocketTracepoint && matches!(read, "splice" | "recvmmsg");
            let check = if unseen { untruths } else { faults };
            let faults = check(&end, write, read, 1);
            if !faults.is_empty() {
                let _ = writeln!(wrong, "{kind:?} of {write}/{read}: {}", &faults[..faults.len().min(600)]);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n{}", told.coverage);
    assert!(told.coverage.get("unreachable") > 0, "{}", told.coverage);
    assert_eq!(told.coverage.get("ambiguous"), 0, "{}", told.coverage);
}

/// The end of a stream takes a sequence number, and is no byte, also where splice is what reads it.
fn spliced_to_the_end(tier: Tier) {
    const BYTES: i64 = 300_000;
    let net = Netns::new();
    let agent = watch(&net, tier).start();
    let server = serve(&net, "127.0.0.1:9000", |stream| {
        let mut pipe = [0; 2];
        // SAFETY: two new descriptors, and calls on those and the stream's.
        unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            let null = std::ptr::null_mut;
            let mut sum = 0;
            loop {
                let moved = libc::splice(stream.as_raw_fd(), null(), pipe[1], null(), 60_000, 0);
                if moved <= 0 {
                    assert_eq!((moved, sum), (0, BYTES as isize));
                    break;
                }
                sum += moved;
                let mut buffer = [0u8; 60_000];
                assert_eq!(libc::read(pipe[0], buffer.as_mut_ptr().cast(), moved as usize), moved);
            }
        }
    });
    let mut client = Client::connect(&net, "127.0.0.1:9000");
    client.send([0xe7; BYTES as usize]);
    drop(client);
    server.join().expect("server");
    let seen =
        |metrics: &Metrics| [io(metrics, "client", 9000, "transmit"), io(metrics, "server", 9000, "receive")];
    let all = wait_for(PATIENCE, || seen(&agent.so_far().metrics) == [BYTES; 2]);
    let told = agent.stop();
    assert!(all && seen(&told.metrics) == [BYTES; 2], "{}", told.metrics.summary());
}
