//! Exchanges that do not end as they should, and bytes that are none.

use std::io::{Read, Write};
use std::time::Duration;

use remora_tests::{
    Agent, Client, Netns, Place, Running, Selection, Span, head_end, nginx, python_server, serve, wait_for,
};

const PORT: u16 = 8080;
const ADDRESS: &str = "127.0.0.1:8080";

/// A span of a request that got no answer.
#[track_caller]
fn unanswered(spans: Selection<'_>) -> &Span {
    spans
        .each("an error with its type, and no response", |span| {
            span.status == 2 && !span.text("error.type").is_empty() && span.code().is_none()
        })
        .only()
}

/// A span of a request that still waits for its answer.
#[track_caller]
fn unfinished(spans: Selection<'_>) -> &Span {
    spans
        .each_has("remora.outcome", "unfinished")
        .each("neither response nor error", |span| span.status != 2 && span.code().is_none())
        .only()
}

/// curl, waiting for a server that takes its time.
fn waiting_curl(net: &Netns, server: &mut Running) -> Running {
    let curl = net.program("curl").args(["-s", "http://127.0.0.1:8080/slow/20000"]).start();
    // A thread of the server sleeps, so it has read the request.
    server.wait_until("serves", |process| {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let mut calls =
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("syscall")).ok());
        calls.any(|call| {
            call.split_whitespace().next().and_then(|call| call.parse().ok())
                == Some(libc::SYS_clock_nanosleep)
        })
    });
    curl
}

/// A client killed in the middle: its span ends with its process, as an error.
#[test]
fn client_killed() {
    let net = Netns::new();
    let mut server = python_server(&net, "127.0.0.1", PORT);
    let agent = Agent::start(&net);
    let curl = waiting_curl(&net, &mut server);
    curl.signal(libc::SIGKILL);
    let process = curl.finish(Duration::from_secs(5)).process;
    let spans = agent.stop();
    let span = unanswered(spans.client(PORT));
    assert_eq!((span.service(), span.process()), ("curl", process));
    // Its server is still at work when the agent stops: that is no error.
    let _ = unfinished(spans.server(PORT));
    let _ = spans.all().exactly(2);
}

/// A server killed in the middle: its client sees the end of the connection.
#[test]
fn server_killed() {
    let net = Netns::new();
    let mut server = python_server(&net, "127.0.0.1", PORT);
    let agent = Agent::start(&net);
    let curl = waiting_curl(&net, &mut server);
    server.signal(libc::SIGKILL);
    let status = curl.finish(Duration::from_secs(5)).status;
    assert!(!status.success(), "curl got no answer");
    let process = server.id();
    let _ = server.finish(Duration::from_secs(5));
    let spans = agent.stop();
    assert_eq!(unanswered(spans.client(PORT)).service(), "curl");
    assert_eq!(unanswered(spans.server(PORT)).process(), process);
    let _ = spans.all().exactly(2);
}

/// The server closes within a body that it had announced: the status is known, and that something was wrong.
#[test]
fn body_cut_off() {
    let net = Netns::new();
    let server = serve(&net, ADDRESS, |mut stream| {
        let _ = head_end(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").expect("head");
        stream.write_all(&[b'x'; 400]).expect("half a body");
    });
    let agent = Agent::start(&net);
    let mut client = Client::connect(&net, ADDRESS);
    client.send("GET /half HTTP/1.1\r\nHost: test\r\n\r\n");
    server.join().expect("server");
    assert!(client.rest().ends_with(&[b'x'; 400]));
    drop(client);
    let spans = agent.stop();
    for side in [spans.server(PORT), spans.client(PORT)] {
        let span = side.only();
        assert_eq!((span.code(), span.integer("http.response.body.size")), (Some(200), Some(400)), "{span}");
        assert!(span.status == 2 && !span.text("error.type").is_empty(), "{span}");
    }
}

/// A server that resets the connection instead of answering.
#[test]
fn connection_reset() {
    use std::os::fd::AsRawFd;
    let net = Netns::new();
    let server = serve(&net, ADDRESS, |mut stream| {
        let _ = head_end(&mut stream);
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the option is a `linger`. With time 0, close resets.
        unsafe {
            let size = size_of::<libc::linger>() as libc::socklen_t;
            let value = (&raw const linger).cast();
            libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, size);
        }
    });
    let agent = Agent::start(&net);
    let mut client = Client::connect(&net, ADDRESS);
    client.send("GET /reset HTTP/1.1\r\nHost: test\r\n\r\n");
    server.join().expect("server");
    assert!(client.rest().is_empty());
    drop(client);
    let spans = agent.stop();
    assert_eq!(unanswered(spans.client(PORT)).text("error.type"), "connection_reset");
    let _ = unanswered(spans.server(PORT));
}

/// A client that goes away before the answer, in good order: the server's answer reaches nobody.
#[test]
fn client_gave_up() {
    let net = Netns::new();
    let _server = python_server(&net, "127.0.0.1", PORT);
    let agent = Agent::start(&net);
    let url = "http://127.0.0.1:8080/slow/1500";
    let curl = net.program("curl").args(["-s", "--max-time", "0.3", url]).run();
    assert_eq!(curl.status.code(), Some(28), "curl timed out");
    let spans = agent.stop();
    let span = unanswered(spans.client(PORT));
    assert!(span.lasts(Duration::from_millis(200), Duration::from_millis(1400)), "{span}");
}

/// A response that nobody asked for is counted and makes no span; the next exchange is whole.
#[test]
fn response_to_nothing() {
    let net = Netns::new();
    let server = serve(&net, ADDRESS, |mut stream| {
        stream.write_all(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").expect("408");
        let _ = head_end(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("200");
    });
    let agent = Agent::start(&net);
    let mut client = Client::connect(&net, ADDRESS);
    assert_eq!(client.reply().status, 408);
    assert_eq!(client.get("/after").status, 200);
    server.join().expect("server");
    let spans = agent.stop();
    assert_eq!(spans.server(PORT).only().code(), Some(200));
    assert_eq!(spans.client(PORT).only().code(), Some(200));
    assert_eq!(spans.coverage.get("unpaired_responses"), 2, "one at each end");
}

/// Other protocols and garbage make no spans and do no harm to those beside them.
#[test]
fn not_http() {
    let (net, place) = (Netns::new(), Place::new());
    let _server =
        nginx(&net, &place, PORT, &format!("server {{ listen {ADDRESS}; location / {{ return 200 ok; }} }}"));
    let agent = Agent::start(&net);
    for (index, bytes) in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"*1\r\n$4\r\nPING\r\n".to_vec(),
        vec![0; 100_000],
        (0..=255).cycle().take(70_000).collect(),
        b"GET".to_vec(),
        b"HTTP/1.1 200 OK".to_vec(),
        b"\r\n\r\n\r\n".to_vec(),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("127.0.0.1:{}", 9000 + index);
        let length = bytes.len();
        let peer = serve(&net, &address, move |mut stream| {
            let mut read = vec![0; length];
            stream.read_exact(&mut read).expect("bytes");
            stream.write_all(&read).expect("echo");
        });
        let mut client = Client::connect(&net, &address);
        let mut socket = client.socket().try_clone().expect("clone");
        let echo = std::thread::spawn(move || socket.write_all(&bytes));
        assert_eq!(client.rest().len(), length);
        echo.join().expect("writer").expect("write");
        peer.join().expect("peer");
        assert_eq!(Client::connect(&net, ADDRESS).get(&format!("/{index}")).status, 200);
    }
    let spans = agent.stop();
    let _ = spans.server(PORT).exactly(8).each_has("http.response.status_code", 200);
    let _ = spans.client(PORT).exactly(8).each_has("http.response.status_code", 200);
    // One of them is a command of Redis, and so is its echo.
    let _ = spans.all().on(9002).each_has("db.operation.name", "PING").exactly(2);
    let _ = spans.all().exactly(18);
}

/// The agent stops while a request waits: that is told, and not as an answer.
#[test]
fn agent_stops_in_between() {
    let net = Netns::new();
    let mut server = python_server(&net, "127.0.0.1", PORT);
    let agent = Agent::start(&net);
    let _curl = waiting_curl(&net, &mut server);
    let spans = agent.stop();
    let _ = unfinished(spans.server(PORT));
    let _ = unfinished(spans.client(PORT));
}

/// Values of sensitive query parameters and credentials do not leave the host; trace context is taken over.
#[test]
fn secrets_and_trace_context() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";
    let (net, place) = (Netns::new(), Place::new());
    let _server =
        nginx(&net, &place, PORT, &format!("server {{ listen {ADDRESS}; location / {{ return 200 ok; }} }}"));
    let agent = Agent::start(&net);
    let url =
        "http://user:hunter2@127.0.0.1:8080/pay?id=7&sig=hunter2&X-Amz-Signature=hunter2&password=hunter2";
    let context = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    let _ = net.program("curl").args(["-s", "-H", &context, "-H", "Cookie: hunter2", url]).run().ok();
    assert!(
        wait_for(Duration::from_secs(10), || agent.so_far().all().len() == 2),
        "two spans come by themselves"
    );
    let spans = agent.stop();
    let told = format!("{spans:?}");
    assert!(!told.contains("hunter2"), "{told}");
    for side in [spans.server(PORT), spans.client(PORT)] {
        let span = side.only();
        assert!(span.target().starts_with("/pay?id=7&sig=REDACTED"), "{span}");
        assert_eq!(span.trace, TRACE, "{span}");
    }
    assert_eq!(spans.client(PORT).only().parent, PARENT, "the caller's own span is the parent");
}

/// Routes are of few kinds though paths are of many, and patterns of the user come first.
#[test]
fn routes() {
    let (net, place) = (Netns::new(), Place::new());
    let _server =
        nginx(&net, &place, PORT, &format!("server {{ listen {ADDRESS}; location / {{ return 200 ok; }} }}"));
    let agent = Agent::watch(&net).config("http: {routes: ['/shop/{shop}/items/*']}\n").start();
    let mut client = Client::connect(&net, ADDRESS);
    for i in 0..200 {
        let _ = client.get(&format!("/users/{}/orders", 1000 + i));
        let _ = client.get(&format!("/blobs/{:08x}-0000-4000-8000-00000000{:04x}", i * 77_777, i));
        let _ = client.get(&format!("/shop/name{i}/items/a/b/{i}"));
        let _ = client.get("/health");
    }
    let spans = agent.stop();
    let server = spans.server(PORT).exactly(800);
    let routes: std::collections::BTreeSet<&str> =
        server.iter().map(|span| span.text("http.route")).collect();
    assert_eq!(routes.len(), 4, "{routes:?}");
    assert!(routes.contains("/health") && routes.contains("/shop/{shop}/items/*"), "{routes:?}");
    let _ = server
        .each("a name of method and route", |span| span.name == format!("GET {}", span.text("http.route")));
}
