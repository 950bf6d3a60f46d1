//! What TCP knows of connections: those that fail and why, resets, segments that are sent again, the wait to be accepted, and
//! what is told while a connection lasts.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::{Duration, Instant};

use remora_tests::{Agent, Data, Metrics, Netns, Place, Recording, Tier, Value, each_tier, wait_for};

each_tier!(
    refused,
    unreachable,
    timed_out,
    given_up,
    without_an_address,
    resets,
    retransmits,
    accept_queue,
    never_accepted
);

const PATIENCE: Duration = Duration::from_secs(30);
const PORT: u16 = 9001;
const ADDRESS: &str = "127.0.0.1:9001";
const FAILURES: &str = "remora.network.connect.failures";
const CONNECTS: &str = "remora.network.connect.duration";
const ACCEPTS: &str = "remora.network.accept.duration";
const RETRANSMITS: &str = "remora.network.retransmits";
const RESETS: &str = "remora.network.resets";

fn error(error: &str) -> [(&str, Value); 1] {
    [("error.type", error.into())]
}

fn role(role: &str) -> [(&str, Value); 1] {
    [("remora.role", role.into())]
}

/// Sum of a histogram's values, and the greatest.
#[track_caller]
fn seconds(metrics: &Metrics, name: &str, with: &[(&str, Value)]) -> (f64, f64) {
    let points = metrics.last(name, with);
    let [point] = &points[..] else { panic!("{} points of {name}\n{}", points.len(), metrics.summary()) };
    let Data::Histogram { sum, max, .. } = point.data else { panic!("{point:#?}") };
    (sum, max)
}

/// So many connects failed for this reason, to this address and port, and nothing else did.
#[track_caller]
fn failed(metrics: &Metrics, reason: &str, address: &str, port: u16, many: i64) -> (f64, f64) {
    let why = error(reason);
    assert_eq!(metrics.total(FAILURES, &why), many, "{reason}\n{}", metrics.summary());
    assert_eq!(metrics.total(FAILURES, &[]), many, "{}", metrics.summary());
    for point in metrics.last(FAILURES, &[]) {
        assert_eq!(point.process(), std::process::id(), "{point:#?}");
        for (key, value) in [
            ("remora.role", Value::from("client")),
            ("server.address", address.into()),
            ("server.port", i64::from(port).into()),
            ("network.peer.address", address.into()),
            ("network.transport", "tcp".into()),
        ] {
            assert_eq!(point.attributes.get(key), Some(&value), "{point:#?}");
        }
        assert_eq!(point.attributes.len(), 6, "{point:#?}");
    }
    assert_eq!(metrics.total(CONNECTS, &why), many, "{}", metrics.summary());
    seconds(metrics, CONNECTS, &why)
}

/// A socket that does not wait for its connection.
fn begin(address: &str) -> TcpStream {
    let SocketAddr::V4(address) = address.parse().expect("address") else { panic!("IPv4 only") };
    // SAFETY: no pointers; the descriptor is nobody else's; the address lives and is as long as said.
    unsafe {
        let socket =
            libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        assert!(socket >= 0, "{}", std::io::Error::last_os_error());
        let stream = TcpStream::from_raw_fd(socket);
        let to = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
            sin_zero: [0; 8],
        };
        let length = size_of_val(&to) as u32;
        assert_eq!(libc::connect(socket, (&raw const to).cast(), length), -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINPROGRESS));
        stream
    }
}

fn set<T>(socket: &impl AsRawFd, level: i32, option: i32, value: T) {
    let length = size_of::<T>() as u32;
    // SAFETY: the value lives and is as long as said.
    let set =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// What the kernel says of a connection.
fn info(stream: &TcpStream) -> libc::tcp_info {
    // SAFETY: zeros are a valid `tcp_info`; it lives and is as long as said.
    unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let mut length = size_of_val(&info) as u32;
        let got = libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        );
        assert_eq!(got, 0, "{}", std::io::Error::last_os_error());
        info
    }
}

/// Whatever comes to this socket from now on is lost, or no longer is: a filter that takes nothing.
fn lose_all(socket: &impl AsRawFd, lose: bool) {
    let mut nothing = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let filter = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    let option = if lose { libc::SO_ATTACH_FILTER } else { libc::SO_DETACH_FILTER };
    set(socket, libc::SOL_SOCKET, option, filter);
}

/// Both ends of a connection to a listener.
fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    (client, listener.accept().expect("accept").0)
}

/// So many bytes from one end to the other.
fn pass(mut from: &TcpStream, mut to: &TcpStream, many: usize) {
    from.write_all(&vec![0xe7; many]).expect("write");
    to.read_exact(&mut vec![0; many]).expect("read");
}

/// Nobody listens. Each connect counts once, and one whose socket tries again counts twice.
fn refused(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    net.enter(|| {
        for _ in 0..7 {
            let error = TcpStream::connect(ADDRESS).expect_err("nobody listens");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    });
    let metrics = agent.stop().metrics;
    let (_, longest) = failed(&metrics, "connection_refused", "127.0.0.1", PORT, 7);
    assert!(longest < 5.0, "{}", metrics.summary());

    let agent = Agent::watch(&net).tier(tier).start();
    net.enter(|| {
        for _ in 0..3 {
            let _ = TcpStream::connect(("::1", PORT)).expect_err("nobody listens");
        }
        // A listener makes no difference to those before it, nor they to it.
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        let (client, server) = pair(&listener);
        pass(&client, &server, 10);
    });
    let metrics = agent.stop().metrics;
    let with = [("server.address", Value::from("::1")), error("connection_refused")[0].clone()];
    assert_eq!(metrics.total(FAILURES, &with), 3, "{}", metrics.summary());
    assert_eq!(metrics.total(CONNECTS, &[("server.address", "127.0.0.1".into())]), 1);
}

/// The next hop does not answer.
fn unreachable(tier: Tier) {
    let net = Netns::new();
    let veth = net.program("ip").args(["link", "add", "v0", "type", "veth", "peer", "name", "v1"]).run();
    if !veth.status.success() {
        println!("skipped: no veth: {}", veth.errors);
        return;
    }
    for arguments in ["addr add 10.9.0.1/24 dev v0", "link set v0 up", "link set v1 up"] {
        let _ = net.program("ip").args(arguments.split(' ')).run().ok();
    }
    let agent = Agent::watch(&net).tier(tier).start();
    net.enter(|| {
        let folder = "/proc/sys/net/ipv4/neigh/v0";
        std::fs::write(format!("{folder}/mcast_solicit"), "1").expect("a setting");
        std::fs::write(format!("{folder}/retrans_time_ms"), "100").expect("a setting");
        let error = TcpStream::connect(("10.9.0.2", PORT)).expect_err("nobody is there");
        assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH));
    });
    let metrics = agent.stop().metrics;
    let _ = failed(&metrics, "host_unreachable", "10.9.0.2", PORT, 1);
}

/// Nothing answers.
fn timed_out(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    net.enter(|| {
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        lose_all(&listener, true);
        let stream = begin(ADDRESS);
        set(&stream, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 500_u32);
        let failed =
            || stream.take_error().expect("a socket").is_some_and(|e| e.kind() == ErrorKind::TimedOut);
        assert!(wait_for(PATIENCE, failed), "the kernel has not given up");
    });
    let metrics = agent.stop().metrics;
    let (took, _) = failed(&metrics, "timeout", "127.0.0.1", PORT, 1);
    assert!((0.5..30.0).contains(&took), "{took}");
}

/// The process closes the socket before there is an answer.
fn given_up(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    net.enter(|| {
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        lose_all(&listener, true);
        (0..3).for_each(|_| drop(begin(ADDRESS)));
    });
    let _ = failed(&agent.stop().metrics, "cancelled", "127.0.0.1", PORT, 3);
}

/// All local ports are taken. What has no route at all fails before TCP begins: nothing is told of it.
fn without_an_address(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    net.enter(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").expect("a setting");
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        let _open: Vec<_> = (0..2).map(|_| pair(&listener)).collect();
        for _ in 0..2 {
            let error = TcpStream::connect(ADDRESS).expect_err("no port is left");
            assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
            let error = TcpStream::connect("192.0.2.1:80").expect_err("no route");
            assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
        }
    });
    let _ = failed(&agent.stop().metrics, "address_not_available", "127.0.0.1", PORT, 2);
}

/// Connections that are broken off, by the client and by the server, are told so at both ends; orderly ones are not.
fn resets(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    net.enter(|| {
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        for _ in 0..3 {
            let (client, mut server) = pair(&listener);
            pass(&client, &server, 10);
            pass(&server, &client, 20);
            // Not to linger is to break off.
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            set(&client, libc::SOL_SOCKET, libc::SO_LINGER, linger);
            drop(client);
            let error = server.read(&mut [0]).expect_err("broken off");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        for _ in 0..2 {
            let (mut client, server) = pair(&listener);
            pass(&client, &server, 10);
            client.write_all(&[0xe7; 5]).expect("write");
            // There is something left to be read.
            assert_eq!(server.peek(&mut [0; 5]).expect("peek"), 5);
            drop(server);
            let error = client.read(&mut [0]).expect_err("broken off");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        for _ in 0..4 {
            let (mut client, server) = pair(&listener);
            pass(&client, &server, 10);
            drop(server);
            assert_eq!(client.read(&mut [0]).expect("an end"), 0);
        }
    });
    let metrics = agent.stop().metrics;
    for (role, direction, many) in [
        ("client", "transmit", 3),
        ("server", "receive", 3),
        ("server", "transmit", 2),
        ("client", "receive", 2),
    ] {
        let with = [("remora.role", Value::from(role)), ("network.io.direction", direction.into())];
        assert_eq!(metrics.total(RESETS, &with), many, "{role} {direction}\n{}", metrics.summary());
    }
    for (role, many) in [("client", 2), ("server", 3)] {
        let with = [("remora.role", role.into()), error("connection_reset")[0].clone()];
        let ended = metrics.total("remora.network.connection.duration", &with);
        assert_eq!(ended, many, "{role}\n{}", metrics.summary());
    }
    assert_eq!(metrics.total("remora.network.connections", &[]), 18, "{}", metrics.summary());
}

/// What is sent again is told while the connection lasts and at its end, and adds up to what the kernel says; so is the
/// round-trip time.
fn retransmits(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).args(["--metrics-interval", "300"]).start();
    let told = |name: &str, who: &str| agent.so_far().metrics.total(name, &role(who));
    let lose = |client: &mut TcpStream, server: &mut TcpStream| {
        let before = info(client).tcpi_total_retrans;
        lose_all(server, true);
        client.write_all(&[0xe7; 100]).expect("write");
        assert!(wait_for(PATIENCE, || info(client).tcpi_total_retrans >= before + 2), "not sent again");
        lose_all(server, false);
        server.read_exact(&mut [0; 100]).expect("read");
        assert!(wait_for(PATIENCE, || info(client).tcpi_unacked == 0), "not acknowledged");
        i64::from(info(client).tcpi_total_retrans)
    };
    let (mut client, mut server) = net.enter(|| {
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        pair(&listener)
    });
    let after = lose(&mut client, &mut server);
    let come = || {
        pass(&client, &server, 10);
        pass(&server, &client, 10);
        std::thread::sleep(Duration::from_millis(50));
        told(RETRANSMITS, "client") >= after && told("remora.network.round_trip.time", "server") > 0
    };
    assert!(wait_for(PATIENCE, come), "nothing is told before the end\n{}", agent.so_far().metrics.summary());
    let after = lose(&mut client, &mut server);
    drop((client, server));
    let metrics = agent.stop().metrics;
    assert_eq!(metrics.total(RETRANSMITS, &role("client")), after, "{}", metrics.summary());
    assert_eq!(metrics.total(RETRANSMITS, &role("server")), 0, "{}", metrics.summary());
    assert!(metrics.total("remora.network.round_trip.time", &role("client")) > 1, "{}", metrics.summary());
    metrics.consistent();
}

/// A server that does not come to accept: how long its connections waited, where the tier sees a process accept.
fn accept_queue(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    let (least, most, connecting) = net.enter(|| {
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        let began = Instant::now();
        let client = TcpStream::connect(ADDRESS).expect("connect");
        let connected = Instant::now();
        // Busy with something else.
        std::thread::sleep(Duration::from_millis(300));
        let accepts = Instant::now();
        let (server, _) = listener.accept().expect("accept");
        let (least, most) = (accepts - connected, began.elapsed());
        pass(&client, &server, 10);
        (least.as_secs_f64(), most.as_secs_f64(), (connected - began).as_secs_f64())
    });
    let metrics = agent.stop().metrics;
    assert_eq!(metrics.total(CONNECTS, &[]), 1, "{}", metrics.summary());
    let (took, _) = seconds(&metrics, CONNECTS, &role("client"));
    assert!(took > 0.0 && took <= connecting, "{took} of {connecting}");
    if tier == Tier::SocketTracepoint {
        assert!(metrics.last(ACCEPTS, &[]).is_empty(), "{}", metrics.summary());
        return;
    }
    assert_eq!(metrics.total(ACCEPTS, &[]), 1, "{}", metrics.summary());
    let (waited, _) = seconds(&metrics, ACCEPTS, &role("server"));
    assert!((least..=most).contains(&waited), "{waited}, not {least} to {most}");
}

/// Connections that nobody has accepted when their listener is closed; those that are accepted and silent are not among them.
fn never_accepted(tier: Tier) {
    let net = Netns::new();
    let agent = Agent::watch(&net).tier(tier).start();
    net.enter(|| {
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        let silent: Vec<_> = (0..3).map(|_| pair(&listener)).collect();
        let waiting: Vec<_> = (0..4).map(|_| TcpStream::connect(ADDRESS).expect("connect")).collect();
        drop(listener);
        for mut client in waiting {
            let error = client.read(&mut [0]).expect_err("broken off");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        drop(silent);
    });
    let metrics = agent.stop().metrics;
    const ACCEPT_FAILURES: &str = "remora.network.accept.failures";
    assert_eq!(metrics.total(ACCEPT_FAILURES, &[]), 4, "{}", metrics.summary());
    for point in metrics.last(ACCEPT_FAILURES, &[]) {
        assert_eq!(point.process(), std::process::id(), "{point:#?}");
        assert_eq!(point.attributes.get("server.port"), Some(&i64::from(PORT).into()), "{point:#?}");
    }
    assert!(metrics.last(FAILURES, &[]).is_empty(), "{}", metrics.summary());
}

/// A recording has it all.
#[test]
fn replayed() {
    let (net, place) = (Netns::new(), Place::new());
    let file = place.join("recording");
    let recorder = Agent::record(&net, &file).start();
    net.enter(|| {
        let _ = TcpStream::connect(("127.0.0.1", 9)).expect_err("nobody listens");
        let listener = TcpListener::bind(ADDRESS).expect("listen");
        let (client, server) = pair(&listener);
        pass(&client, &server, 10);
        set(&client, libc::SOL_SOCKET, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 });
    });
    let _ = recorder.stop();
    let metrics = Recording::read(&file).replay().metrics;
    assert_eq!(metrics.total(FAILURES, &error("connection_refused")), 1, "{}", metrics.summary());
    assert_eq!(metrics.total(RESETS, &role("server")), 1, "{}", metrics.summary());
    assert_eq!(metrics.total(CONNECTS, &role("client")), 2, "{}", metrics.summary());
}
