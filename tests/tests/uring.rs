//! Processes that talk through io_uring: exact where the tier hooks the functions under it, counted where it does not.

use std::fmt::Write as _;
use std::time::Duration;

use remora_tests::exchange::{request_length, response_length, sees_all};
use remora_tests::{
    Agent, Client, Kind, Metrics, Netns, Program, Selection, Spans, Tier, Value, built, each_tier, remora,
    wait_for,
};

each_tier!(every_operation);

/// Connections in one ring.
const CONNECTIONS: usize = 3;
/// Requests on each; the seventh response is larger than the sockets' buffers.
const COUNT: usize = 8;
/// Bytes of every head; the workload knows the same number.
const HEAD: usize = 192;
const PATIENCE: Duration = Duration::from_secs(60);

/// A way to send, one to receive, and a mode of the ring.
type Way = [String; 3];

/// Each way to send, each to receive and each mode that this kernel has, once at least.
fn ways() -> Vec<Way> {
    let listed = Program::new(built("uring-http")).run().ok().output;
    let mut lines = listed.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let mut next = || lines.next().expect("a line of ways");
    let (send, receive, modes) = (next(), next(), next());
    let way = |send: &str, receive: &str, mode: &str| [send, receive, mode].map(str::to_owned);
    let mut ways: Vec<Way> = send.iter().map(|send| way(send, "recv", "plain")).collect();
    ways.extend(receive.iter().skip(1).map(|receive| way("send", receive, "plain")));
    for mode in modes.iter().skip(1) {
        ways.extend([way("send", "recv", mode), way("writev", "recvmsg", mode)]);
    }
    ways
}

/// Runs a server and a client to their ends; gives their process ids.
fn talk(net: &Netns, port: u16, way: &Way) -> [u32; 2] {
    let workload = |role: &str| {
        let program = net.program(built("uring-http")).arg(role).arg(format!("127.0.0.1:{port}"));
        program.args(way).arg(CONNECTIONS.to_string())
    };
    let server = workload("serve").listen(port);
    let client = workload("call").arg(COUNT.to_string()).run().ok();
    [server.finish(PATIENCE).ok().process, client.process]
}

/// What is wrong with the spans of one end of a run, if anything.
fn faults(end: &Selection<'_>, [send, receive, mode]: &Way) -> String {
    let mut faults = String::new();
    if end.len() != CONNECTIONS * COUNT {
        let _ = write!(faults, "{} spans; ", end.len());
    }
    for connection in 0..CONNECTIONS {
        for i in 0..COUNT {
            let target = format!("/{send}/{receive}/{mode}/{connection}/{i}");
            let spans: Vec<_> = end.iter().filter(|span| span.target() == target).collect();
            let [span] = spans[..] else {
                let _ = write!(faults, "{} of {target}; ", spans.len());
                continue;
            };
            let size = |of: &str| span.integer(&format!("http.{of}.body.size"));
            let told = (span.code(), span.status, size("request"), size("response"));
            let right = (Some(200), 0, Some(request_length(i) as i64), Some(response_length(i) as i64));
            if told != right {
                let _ = write!(faults, "{told:?} of {target}; ");
            }
        }
    }
    faults
}

/// A metric of the connections of one end of the run on a port.
fn edge(metrics: &Metrics, name: &str, role: &str, port: u16, direction: Option<&str>) -> i64 {
    let mut with = vec![("remora.role", Value::from(role)), ("server.port", i64::from(port).into())];
    with.extend(direction.map(|direction| ("network.io.direction", Value::from(direction))));
    metrics.total(name, &with)
}

/// What is wrong with the bytes and connections of the run on a port, if anything.
fn miscounted(metrics: &Metrics, port: u16) -> String {
    let all = |length: fn(usize) -> usize| {
        (CONNECTIONS * (0..COUNT).map(|i| HEAD + length(i)).sum::<usize>()) as i64
    };
    let (asked, answered) = (all(request_length), all(response_length));
    let mut faults = String::new();
    for (role, sent, received) in [("client", asked, answered), ("server", answered, asked)] {
        let io = |direction| edge(metrics, "remora.network.io", role, port, Some(direction));
        let connections = edge(metrics, "remora.network.connections", role, port, None);
        let told = (connections, io("transmit"), io("receive"));
        if told != (CONNECTIONS as i64, sent, received) {
            let _ = write!(faults, "{role}: {told:?}, not {:?}; ", (CONNECTIONS, sent, received));
        }
    }
    faults
}

/// Waits until the ends of all connections have been told: the kernel closes what is in a ring a little after its process.
fn ended(agent: &Agent, ports: &[u16]) -> bool {
    wait_for(PATIENCE, || {
        let metrics = agent.so_far().metrics;
        let ends = |port: &u16| {
            ["client", "server"].iter().all(|role| {
                edge(&metrics, "remora.network.connection.duration", role, *port, None) == CONNECTIONS as i64
            })
        };
        ports.iter().all(ends)
    })
}

/// Every operation that moves bytes, in every mode of the ring.
fn every_operation(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).args(["--metrics-interval", "300"]).start();
    let ways = ways();
    let ports: Vec<u16> = (9100..).take(ways.len()).collect();
    let processes: Vec<_> = ways.iter().zip(&ports).map(|(way, port)| talk(&net, *port, way)).collect();
    let all = ended(&agent, &ports);
    let told = agent.stop();
    let mut wrong = String::new();
    for ((way, port), processes) in ways.iter().zip(&ports).zip(processes) {
        let bytes = miscounted(&told.metrics, *port);
        if !bytes.is_empty() {
            let _ = writeln!(wrong, "bytes of {way:?}: {bytes}");
        }
        for (kind, process) in [Kind::Server, Kind::Client].into_iter().zip(processes) {
            let end = told.all().of_kind(kind).on(*port);
            let spans = if sees_all(tier) {
                let _ = end.clone().each("of its process", |span| span.process() == process);
                faults(&end, way)
            } else if end.is_empty() {
                String::new()
            } else {
                format!("{} spans of bytes that nobody saw", end.len())
            };
            if !spans.is_empty() {
                let _ = writeln!(wrong, "{kind:?} of {way:?}: {}", &spans[..spans.len().min(400)]);
            }
        }
    }
    assert!(wrong.is_empty() && all, "{wrong}\n{}\n{}", told.coverage, told.log);
    counted(tier, &told, 2 * ways.len() * CONNECTIONS);
}

/// The doctor names a process that has a ring, and says whether what moves through it is covered in the tier that it would
/// take.
#[test]
fn doctor() {
    let net = Netns::new();
    let server =
        net.program(built("uring-http")).args(["serve", "127.0.0.1:9100", "send", "recv", "plain", "1"]);
    let mut server = server.listen(9100);
    // It makes its ring when it has accepted.
    let _client = Client::connect(&net, "127.0.0.1:9100");
    server.wait_until("has a ring", |process| {
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.any(|target| target.to_string_lossy() == "anon_inode:[io_uring]")
    });
    let json = Program::new(remora()).args(["doctor", "--json"]).run().ok().output;
    let found: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let processes = found["processes"].as_array().expect("processes");
    let process = processes.iter().find(|process| process["pid"] == server.id()).expect("the server");
    let covered = matches!(found["tier"].as_str(), Some("fentry" | "kprobe"));
    assert_eq!(process["io_uring"]["captured"], covered, "{process}");
    let why = process["io_uring"]["why"].as_str().expect("a reason");
    assert!(covered || why.contains("its io_uring traffic is not covered: needs kprobes or fentry"), "{why}");
}

/// Connections of which not a byte could be read are counted, once each.
fn counted(tier: Tier, told: &Spans, connections: usize) {
    let unread = if sees_all(tier) { 0 } else { connections as i64 };
    assert_eq!(told.coverage.get("unread_connections"), unread, "{}", told.coverage);
    assert_eq!(told.coverage.get("connections"), connections as i64, "{}", told.coverage);
    assert_eq!(told.coverage.get("unknown_protocol_connections"), 0, "{}", told.coverage);
    let _ = told.all().exactly(if sees_all(tier) { connections * COUNT } else { 0 });
}
