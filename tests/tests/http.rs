//! What HTTP/1.0 and 1.1 can do on a connection.

use std::io::{Read, Write};
use std::time::Duration;

use remora_tests::{
    Agent, Client, Netns, Place, Running, Selection, Span, Spans, Tier, apache, each_tier, head_end, nginx,
    python_server, rust_http, serve,
};

const PORT: u16 = 8080;
const ADDRESS: &str = "127.0.0.1:8080";

each_tier!(
    pipelining_to_nginx,
    pipelining_to_axum,
    a_large_download,
    a_large_upload,
    large_chunked_bodies,
    heads_of_all_sizes
);

fn nginx_with(net: &Netns, place: &Place, locations: &str) -> Running {
    nginx(net, place, PORT, &format!("server {{ listen {ADDRESS}; {locations} }}"))
}

fn own() -> u32 {
    std::process::id()
}

fn statuses(spans: Selection<'_>) -> Vec<(String, i64)> {
    let spans = spans.in_order();
    spans.iter().map(|span| (span.text("http.request.method").to_owned(), span.code().unwrap_or(0))).collect()
}

/// Both ends of a port tell the same methods and statuses in the same order.
#[track_caller]
fn both(spans: &Spans, expected: &[(&str, i64)]) {
    let expected: Vec<(String, i64)> =
        expected.iter().map(|(method, code)| ((*method).to_owned(), *code)).collect();
    assert_eq!(statuses(spans.server(PORT).exactly(expected.len())), expected, "server");
    assert_eq!(statuses(spans.client(PORT).exactly(expected.len())), expected, "client");
    let _ = spans.all().exactly(2 * expected.len());
}

fn size(span: &Span, of: &str) -> i64 {
    span.integer(&format!("http.{of}.body.size")).unwrap_or(0)
}

/// Responses whose head promises a body that never comes do not shift the ones behind them.
#[test]
fn responses_without_a_body() {
    let (net, place) = (Netns::new(), Place::new());
    place.write("www/file", [b'f'; 5000]);
    let _server = nginx_with(&net, &place, "location = /none { return 204; }");
    let agent = Agent::start(&net);
    let mut client = Client::connect(&net, ADDRESS);
    let first = client.get("/file");
    let tag = first
        .head
        .lines()
        .find(|line| line.starts_with("ETag"))
        .expect("tag")
        .replace("ETag", "If-None-Match");
    client.send("HEAD /file HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.reply_without_body().status, 200);
    assert_eq!(client.get("/none").status, 204);
    client.send(format!("GET /file HTTP/1.1\r\nHost: test\r\n{tag}\r\n\r\n"));
    assert_eq!(client.reply().status, 304);
    assert_eq!(client.get("/file").body.len(), 5000);
    let spans = agent.stop();
    both(&spans, &[("GET", 200), ("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 200)]);
    for side in [spans.server(PORT), spans.client(PORT).by(own())] {
        let sizes: Vec<i64> = side.in_order().iter().map(|span| size(span, "response")).collect();
        assert_eq!((sizes[0], sizes[2], sizes[3], sizes[4]), (5000, 0, 0, 5000));
    }
}

/// `100 Continue` is not the response: one span, which ends with the final one.
#[test]
fn continue_is_waited_for() {
    let net = Netns::new();
    let _server = python_server(&net, "127.0.0.1", PORT);
    let agent = Agent::start(&net);
    let body = "x".repeat(100_000);
    let arguments = ["-s", "-H", "Expect: 100-continue", "--data-binary", "@-", "http://127.0.0.1:8080/echo"];
    let finished = net.program("curl").args(arguments).input(body).run().ok();
    assert_eq!(finished.output.len(), 100_000);
    let spans = agent.stop();
    both(&spans, &[("POST", 200)]);
    let _ = spans
        .all()
        .each("sizes", |span| (size(span, "request"), size(span, "response")) == (100_000, 100_000));
}

/// HTTP/1.0: the end of the connection is the end of the body.
#[test]
fn bodies_that_end_with_the_connection() {
    let net = Netns::new();
    let server = serve(&net, ADDRESS, |mut stream| {
        let head = head_end(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n").expect("head");
        for _ in 0..10 {
            stream.write_all(&[b'z'; 1000]).expect("body");
        }
        head
    });
    let agent = Agent::start(&net);
    let mut client = Client::connect(&net, ADDRESS);
    client.send("GET /old HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply().body.len(), 10_000);
    assert!(server.join().expect("server").starts_with("GET /old"));
    drop(client);
    let spans = agent.stop();
    both(&spans, &[("GET", 200)]);
    let _ = spans
        .all()
        .each_has("network.protocol.version", "1.0")
        .each_has("http.response.body.size", 10_000)
        .each("no error", |span| span.status != 2 && span.text("error.type").is_empty());
}

/// Ten thousand requests are on their way before the first answer is read.
fn pipeline(net: &Netns, tier: Tier) {
    const COUNT: usize = 10_000;
    let agent = Agent::watch(net).tier(tier).start();
    let mut client = Client::connect(net, ADDRESS);
    let requests: String =
        (0..COUNT).map(|i| format!("GET /hello?{i} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    let mut socket = client.socket().try_clone().expect("clone");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            requests.as_bytes().chunks(60_000).for_each(|part| socket.write_all(part).expect("send"))
        });
        for _ in 0..COUNT {
            assert_eq!(client.reply().status, 200);
        }
    });
    let spans = agent.stop();
    for side in [spans.server(PORT), spans.client(PORT)] {
        let side = side.exactly(COUNT).each_has("http.response.status_code", 200);
        let mut numbers: Vec<usize> =
            side.iter().filter_map(|span| span.target().rsplit('?').next()?.parse().ok()).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..COUNT), "a request is missing or told twice");
    }
}

fn pipelining_to_nginx(tier: Tier) {
    let (net, place) = (Netns::new(), Place::new());
    let _server = nginx_with(&net, &place, "location / { return 200 'hello\n'; }");
    pipeline(&net, tier);
}

fn pipelining_to_axum(tier: Tier) {
    let net = Netns::new();
    let _server = rust_http(&net).args(["serve", ADDRESS]).listen(PORT);
    pipeline(&net, tier);
}

/// 200 MB pass by: they are counted to the byte, and not copied.
fn a_large_download(tier: Tier) {
    const SIZE: i64 = 200 << 20;
    let (net, place) = (Netns::new(), Place::new());
    let file = std::fs::File::create(place.write("www/large", "")).expect("file");
    file.set_len(SIZE as u64).expect("size");
    let _server = nginx_with(&net, &place, "");
    let agent = Agent::watch(&net).tier(tier).start();
    let measure = ["-s", "-o", "/dev/null", "-w", "%{time_total} %{size_download}"];
    let finished = net.program("curl").args(measure).arg("http://127.0.0.1:8080/large").run().ok();
    let (seconds, bytes) = finished.output.split_once(' ').expect("curl's measurements");
    assert_eq!(bytes.parse(), Ok(SIZE));
    let seconds: f64 = seconds.parse().expect("seconds");
    let spans = agent.stop();
    both(&spans, &[("GET", 200)]);
    let _ = spans
        .all()
        .each_has("http.response.body.size", SIZE)
        .each("not longer than curl measured", |span| span.duration().as_secs_f64() <= seconds + 0.01);
    // The client's span ends with the last byte, so it is about as long as what curl measured.
    let client = spans.client(PORT).only().duration().as_secs_f64();
    assert!(client >= seconds * 0.5, "{client} of {seconds} s");
    let moved = spans.coverage.get("bytes");
    assert!((2 * SIZE..=2 * SIZE + 4096).contains(&moved), "{moved} bytes, {}", moved - 2 * SIZE);
    let copied = spans.coverage.get("captured_bytes");
    assert!(copied < 64 << 10, "{copied} bytes were copied");
}

/// The same the other way.
fn a_large_upload(tier: Tier) {
    const SIZE: usize = 50 << 20;
    let (net, place) = (Netns::new(), Place::new());
    let file = std::fs::File::create(place.write("upload", "")).expect("file");
    file.set_len(SIZE as u64).expect("size");
    place.write("www/x", "");
    let _server = nginx_with(&net, &place, "location / { dav_methods PUT; }");
    let agent = Agent::watch(&net).tier(tier).start();
    let upload = net.program("curl").args(["-s", "-H", "Expect:", "-T"]).arg(place.join("upload"));
    let _ = upload.arg("http://127.0.0.1:8080/new").run().ok();
    assert_eq!(std::fs::metadata(place.join("www/new")).expect("uploaded").len(), SIZE as u64);
    let spans = agent.stop();
    both(&spans, &[("PUT", 201)]);
    let _ = spans.all().each_has("http.request.body.size", SIZE as i64);
    assert!(spans.coverage.get("bytes") >= 2 * SIZE as i64);
    assert!(spans.coverage.get("captured_bytes") < 64 << 10);
}

/// 20 MB in chunks of many sizes, with extensions and a trailer, and a request behind them.
fn large_chunked_bodies(tier: Tier) {
    let net = Netns::new();
    let server = serve(&net, ADDRESS, |mut stream| {
        let _ = head_end(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").expect("head");
        let mut sent = 0;
        for i in 0..400_usize {
            let size = i * 7919 % 100_000 + 1;
            let mut chunk = format!("{size:x};name=value\r\n").into_bytes();
            chunk.resize(chunk.len() + size, b'c');
            stream.write_all(&[chunk, b"\r\n".to_vec()].concat()).expect("chunk");
            sent += size as i64;
        }
        stream.write_all(b"0\r\nTrailer: yes\r\n\r\n").expect("end");
        let _ = head_end(&mut stream);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("second");
        sent
    });
    let agent = Agent::watch(&net).tier(tier).start();
    let curl =
        ["-s", "-o", "/dev/null", "http://127.0.0.1:8080/1", "-o", "/dev/null", "http://127.0.0.1:8080/2"];
    let _ = net.program("curl").args(curl).run().ok();
    let sent = server.join().expect("server");
    let spans = agent.stop();
    both(&spans, &[("GET", 200), ("GET", 204)]);
    // The agent may not have seen every chunk's size; then it must not tell one.
    let large = spans.all().with("http.response.status_code", 200);
    let _ = large.each("the right size or none", |span| [0, sent].contains(&size(span, "response")));
}

/// The duration ends with the last byte; the first one's time is told, too.
#[test]
fn slow_bodies() {
    const PAUSE: Duration = Duration::from_millis(150);
    let net = Netns::new();
    let server = serve(&net, ADDRESS, |mut stream| {
        let _ = head_end(&mut stream);
        std::thread::sleep(PAUSE);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").expect("head");
        for _ in 0..3 {
            std::thread::sleep(PAUSE);
            stream.write_all(b"ab").expect("body");
        }
    });
    let agent = Agent::start(&net);
    let mut client = Client::connect(&net, ADDRESS);
    let started = std::time::Instant::now();
    let _ = client.get("/slow");
    let measured = started.elapsed();
    server.join().expect("server");
    let spans = agent.stop();
    both(&spans, &[("GET", 200)]);
    let _ = spans
        .all()
        .each("four pauses long", |span| span.lasts(PAUSE * 4, measured + Duration::from_millis(5)))
        .each("the first byte after one pause", |span| {
            let first = span.seconds("remora.time_to_first_byte").unwrap_or(0.0);
            first >= PAUSE.as_secs_f64()
                && first <= span.duration().as_secs_f64() - 3.0 * PAUSE.as_secs_f64() + 0.01
        });
}

/// After `101` the connection is no longer HTTP.
#[test]
fn upgrade_to_websocket() {
    let net = Netns::new();
    let server = serve(&net, ADDRESS, |mut stream| {
        let head = head_end(&mut stream);
        assert!(head.contains("Upgrade: websocket"));
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(answer.as_bytes()).expect("answer");
        let mut frame = [0; 64];
        let mut frames = 0;
        while let Ok(read @ 1..) = stream.read(&mut frame) {
            stream.write_all(&frame[..read]).expect("frame");
            frames += 1;
        }
        frames
    });
    let agent = Agent::start(&net);
    let mut client = Client::connect(&net, ADDRESS);
    client.send(
        "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.reply().status, 101);
    for _ in 0..20 {
        // A text frame whose payload looks like a request.
        client.send(b"\x81\x12GET /no HTTP/1.1\r\n");
        let mut echo = [0; 20];
        client.socket().try_clone().expect("clone").read_exact(&mut echo).expect("echo");
    }
    drop(client);
    assert!(server.join().expect("server") >= 20);
    let spans = agent.stop();
    // The connection is told too, and that nobody said goodbye.
    for side in [spans.server(PORT).exactly(2), spans.client(PORT).exactly(2)] {
        let _ = side
            .clone()
            .with("http.response.status_code", 101)
            .exactly(1)
            .each("no error", |s| s.status != 2);
        let talk = side.filter("websocket", |span| span.name == "websocket").exactly(1);
        let _ = talk.each_has("error.type", "connection_closed");
    }
}

/// A client that closes its half after the request still gets its answer.
#[test]
fn half_closed() {
    let net = Netns::new();
    let server = serve(&net, ADDRESS, |mut stream| {
        let _ = head_end(&mut stream);
        assert_eq!(stream.read(&mut [0; 1]).expect("end"), 0, "the client has closed its half");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("answer");
    });
    let agent = Agent::start(&net);
    let mut client = Client::connect(&net, ADDRESS);
    client.send("GET /half HTTP/1.1\r\nHost: test\r\n\r\n");
    client.socket().shutdown(std::net::Shutdown::Write).expect("shutdown");
    assert_eq!(client.reply().body, b"ok");
    server.join().expect("server");
    let spans = agent.stop();
    both(&spans, &[("GET", 200)]);
    let _ = spans.all().none_has("error.type").none_has("remora.outcome");
}

/// The answer comes while the request's body is still on its way.
#[test]
fn answered_before_the_request_was_read() {
    let (net, place) = (Netns::new(), Place::new());
    let body = place.write("body", vec![b'x'; 20_000_000]);
    let _server = nginx_with(&net, &place, "client_max_body_size 1k; location / { return 200 ok; }");
    let agent = Agent::start(&net);
    for _ in 0..3 {
        let upload =
            net.program("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect:", "-T"]);
        assert_eq!(upload.arg(&body).arg("http://127.0.0.1:8080/big").run().output, "413");
    }
    let spans = agent.stop();
    both(&spans, &[("PUT", 413), ("PUT", 413), ("PUT", 413)]);
}

/// Heads of many sizes on one connection: what stands at their beginning is always told.
fn heads_of_all_sizes(tier: Tier) {
    const COUNT: usize = 60;
    let net = Netns::new();
    let _server = python_server(&net, "127.0.0.1", PORT);
    let agent = Agent::watch(&net).tier(tier).start();
    let mut client = Client::connect(&net, ADDRESS);
    for i in 0..COUNT {
        // Small and large ones take turns; the length of the body stands behind the large field.
        let cookie = "c".repeat(if i % 3 == 0 { 20 } else { i * 1009 % 30_000 });
        let head = format!("POST /echo?{i} HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n");
        client.send(format!("{head}Content-Length: {}\r\n\r\n{}", i + 1, "b".repeat(i + 1)));
        assert_eq!(client.reply().body.len(), i + 1);
    }
    let spans = agent.stop();
    for side in [spans.server(PORT), spans.client(PORT)] {
        let side = side.exactly(COUNT).each_has("http.response.status_code", 200);
        let told: Vec<(String, i64)> =
            side.clone().in_order().iter().map(|span| (span.target(), size(span, "response"))).collect();
        let expected: Vec<(String, i64)> = (0..COUNT).map(|i| (format!("/echo?{i}"), i as i64 + 1)).collect();
        assert_eq!(told, expected);
        let _ = side.each("the request's size or none", |span| {
            [0, size(span, "response")].contains(&size(span, "request"))
        });
    }
}

/// `CONNECT` is an exchange of its own; the tunnel behind it belongs to its two ends.
#[test]
fn connect_through_a_proxy() {
    const ORIGIN: u16 = 9000;
    let (net, place) = (Netns::new(), Place::new());
    place.write("www/x", "");
    let _origin = python_server(&net, "127.0.0.1", ORIGIN);
    let settings =
        format!("ProxyRequests On\nAllowCONNECT {ORIGIN}\n<Proxy *>\nRequire all granted\n</Proxy>");
    let _proxy = apache(&net, &place, PORT, &settings);
    let agent = Agent::start(&net);
    let arguments = ["-s", "-p", "-x", "http://127.0.0.1:8080", "http://127.0.0.1:9000/hello"];
    assert_eq!(net.program("curl").args(arguments).run().ok().output, "hello\n");
    let spans = agent.stop();
    for (side, service) in [(spans.server(PORT), "apache2"), (spans.client(PORT), "curl")] {
        let span = side.service(service).only();
        assert_eq!((span.text("http.request.method"), span.code()), ("CONNECT", Some(200)), "{span}");
        assert_eq!(
            (span.text("server.address"), span.integer("server.port")),
            ("127.0.0.1", Some(9000)),
            "{span}"
        );
    }
    assert_eq!(spans.server(ORIGIN).service("py_server").only().target(), "/hello");
    assert_eq!(spans.client(ORIGIN).service("apache2").only().target(), "/hello");
    let _ = spans.all().exactly(4);
}
