//! Conversations, made up and recorded.

use super::FastCgi;
use crate::protocol::http::{Settings, Shared};
use crate::protocol::testing::{Conversation, Driver, checks};
use crate::protocol::{Inference, Losses, Protocol, Run, Stream};

fn fastcgi() -> FastCgi {
    FastCgi::new(&Shared::new(Settings::default(), false))
}

fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    let padding = (8 - content.len() % 8) % 8;
    let mut bytes = vec![1, kind];
    bytes.extend(id.to_be_bytes());
    bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    bytes.extend([u8::try_from(padding).unwrap(), 0]);
    bytes.extend(content);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        for length in [name.len(), value.len()] {
            match u8::try_from(length) {
                Ok(short @ 0..=127) => bytes.push(short),
                _ => bytes.extend((u32::try_from(length).unwrap() | 1 << 31).to_be_bytes()),
            }
        }
        bytes.extend(name.bytes().chain(value.bytes()));
    }
    bytes
}

fn variables(method: &str, uri: &str) -> Vec<u8> {
    pairs(&[
        ("SCRIPT_FILENAME", "/srv/index.php"),
        ("QUERY_STRING", uri.split_once('?').map_or("", |(_, query)| query)),
        ("REQUEST_METHOD", method),
        ("SCRIPT_NAME", "/index.php"),
        ("REQUEST_URI", uri),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("SERVER_NAME", "shop.example"),
        ("HTTP_HOST", "shop.example:8080"),
        ("HTTP_COOKIE", &"secret".repeat(40)),
        ("HTTP_TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ])
}

const BEGIN: [u8; 8] = [0, 1, 1, 0, 0, 0, 0, 0];

fn request(id: u16, method: &str, uri: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        [record(1, id, &BEGIN), record(4, id, &variables(method, uri)), record(4, id, &[])].concat();
    if !body.is_empty() {
        bytes.extend(record(5, id, body));
    }
    bytes.extend(record(5, id, &[]));
    bytes
}

fn response(id: u16, head: &str, body: &str) -> Vec<u8> {
    let end = record(3, id, &[0; 8]);
    [record(6, id, format!("{head}\r\n\r\n{body}").as_bytes()), record(6, id, &[]), end].concat()
}

fn whole() -> Conversation {
    Conversation::new()
        .client(request(1, "GET", "/users/17?token=x&page=2", b""))
        .server(response(1, "Content-type: text/html", "hello"))
        .client(request(1, "POST", "/orders", b"a=b"))
        .server(
            [record(7, 1, b"PHP message: no"), response(1, "Status: 500 Internal Server Error", "")].concat(),
        )
        .client([request(7, "GET", "/seven", b""), request(8, "GET", "/eight", b"")].concat())
        .server(
            [
                record(6, 8, b"Status: 404 Not Found\r\nContent-type: a"),
                record(6, 7, b"Content-type: a\r\n\r\n7"),
                response(8, "", "8"),
                record(3, 7, &[0, 0, 0, 9, 0, 0, 0, 0]),
            ]
            .concat(),
        )
}

/// Without what all have.
fn brief(told: &[String]) -> Vec<String> {
    let left_out = ["network.", "http.request.method", "url.scheme", "remora.fastcgi.script"];
    let words = |line: &String| {
        let words = line.split(' ').filter(|word| !left_out.iter().any(|key| word.starts_with(key)));
        words.collect::<Vec<_>>().join(" ")
    };
    told.iter().map(words).collect()
}

fn told(conversation: &Conversation) -> Vec<String> {
    let played = Driver::whole(&fastcgi(), conversation, false);
    assert_eq!(played.losses, Losses::default());
    brief(&played.told)
}

/// As HTTP's client tells it, one after the other and several at once.
#[test]
fn requests() {
    assert_eq!(
        told(&whole()),
        [
            "GET url.full=http://shop.example:8080/users/17?token=REDACTED&page=2 http.response.status_code=200 \
             http.response.body.size=5",
            "POST url.full=http://shop.example:8080/orders http.response.status_code=500 http.request.body.size=3 \
             http.response.body.size=0 error.type=500 remora.fastcgi.stderr.size=15 error",
            "GET url.full=http://shop.example:8080/eight http.response.status_code=404 http.response.body.size=1 \
             error.type=404 error",
            "GET url.full=http://shop.example:8080/seven http.response.status_code=200 http.response.body.size=1 \
             remora.fastcgi.app_status=9",
        ]
    );
}

/// The application's end has a route, and knows whom it serves.
#[test]
fn server() {
    let mut driver = Driver::new(&fastcgi(), false);
    driver.play(&whole());
    let description =
        crate::protocol::testing::drive::describe(&driver.told[0], crate::protocol::Role::Server);
    assert_eq!(description.name, "GET /users/{id}");
    let get =
        |key| description.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone());
    let text = |text: &'static str| Some(crate::protocol::Value::Text(text.into()));
    assert_eq!(get("url.path"), text("/users/17"));
    assert_eq!(get("url.query"), text("token=REDACTED&page=2"));
    assert_eq!(get("server.address"), text("shop.example"));
    assert_eq!(get("client.address"), text("192.0.2.7"));
    assert_eq!(get("network.protocol.name"), text("fastcgi"));
    assert_eq!(get("remora.fastcgi.script"), text("/srv/index.php"));
    assert_eq!(description.parent.map(|parent| parent.flags), Some(1));
}

/// Variables in many records, and a request that the application refuses.
#[test]
fn pieces() {
    let variables = variables("GET", "/pieces");
    let mut bytes = record(1, 1, &BEGIN);
    for piece in variables.chunks(7) {
        bytes.extend(record(4, 1, piece));
    }
    bytes.extend([record(4, 1, &[]), record(5, 1, &[])].concat());
    let refused = record(3, 2, &[0, 0, 0, 0, 2, 0, 0, 0]);
    let conversation = Conversation::new()
        .client(bytes)
        .server(response(1, "Content-type: a", ""))
        .client([request(2, "GET", "/", b""), record(2, 2, &[])].concat())
        .server(refused);
    let told = told(&conversation);
    assert_eq!(
        told[0],
        "GET url.full=http://shop.example:8080/pieces http.response.status_code=200 http.response.body.size=0"
    );
    assert!(told[1].ends_with(
        "remora.fastcgi.aborted=true error.type=overloaded error the application refused the request"
    ));
}

/// In the middle of a request there is an end without a beginning; when the web server's bytes are missing, a response.
#[test]
fn losses() {
    let mut driver = Driver::new(&fastcgi(), true);
    driver.chunk(Stream::ToClient, &response(1, "Status: 200", "x"), 0);
    driver.chunk(Stream::ToServer, &request(1, "GET", "/next", b""), 0);
    driver.chunk(Stream::ToClient, b"", 100);
    let lost = driver.take();
    assert!(lost[0].contains("/next") && lost[0].contains("remora.outcome=response_lost"), "{lost:?}");
    driver.chunk(Stream::ToServer, &request(1, "GET", "/last", b""), 0);
    driver.chunk(Stream::ToClient, &response(1, "Status: 200", "x"), 0);
    let played = driver.finish();
    assert!(played.told[0].contains("/last") && played.told[0].contains("status_code=200"));
    assert_eq!((played.losses.unpaired_responses, played.losses.unpaired_requests), (1, 1));
}

fn same(expected: &str, got: &str) -> bool {
    // Of a request whose variables were cut off, less is known.
    expected == got || got.starts_with("FastCGI") || !got.contains("url.full")
}

#[test]
fn everywhere() {
    let fastcgi = fastcgi();
    let mut conversations = vec![whole()];
    conversations.extend(Conversation::recorded(Some("fastcgi")));
    for conversation in &conversations {
        checks::every_split(&fastcgi, conversation);
        checks::every_prefix(&fastcgi, conversation);
        checks::every_late_start(&fastcgi, conversation, same);
        checks::every_gap(&fastcgi, conversation, same);
    }
    checks::garbage(&fastcgi, &conversations);
}

/// What is FastCGI and what is not.
#[test]
fn inference() {
    let infer = |bytes: &[u8]| {
        fastcgi().infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream: None })
    };
    let request = request(1, "GET", "/", b"");
    assert_eq!(infer(&request), Inference::Yes(Stream::ToServer));
    for cut in 1..16 {
        assert_eq!(infer(&request[..cut]), Inference::Maybe, "{cut}");
    }
    assert_eq!(infer(&response(1, "Content-type: a", "")), Inference::Yes(Stream::ToClient));
    let long = record(6, 1, format!("Status: 200\r\n\r\n{}", "x".repeat(5000)).as_bytes());
    assert_eq!(infer(&long[..512]), Inference::Likely(Stream::ToClient));
    let mut wrong = request.clone();
    wrong[15] = 1;
    assert_eq!(infer(&wrong), Inference::No);
    assert_eq!(infer(b"\x01\x00\x00\x00\x00\x00\x00\x08"), Inference::No);
    assert_eq!(infer(b"\x01\x01\x00\x01\x00\x09\x00\x00"), Inference::No);
}
