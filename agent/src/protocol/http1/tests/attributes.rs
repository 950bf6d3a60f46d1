//! What spans say.

use std::net::SocketAddr;
use std::sync::Arc;

use super::support::*;
use crate::protocol::http::Settings;
use crate::protocol::{Description, End, Endpoint, Exchange, Role, Scene, Stream, Value};

fn exchange(settings: Settings, request: &str, response: &str) -> Exchange {
    let mut c = Connection::with(settings, false);
    c.client(request);
    if !response.is_empty() {
        c.server(response);
    }
    c.stream_end(Stream::ToClient);
    assert_eq!(c.told.len(), 1);
    c.told.remove(0)
}

fn told(request: &str, response: &str, role: Role) -> Description {
    describe(&exchange(Settings::default(), request, response), role)
}

/// All attributes as `key=value`, sorted.
fn lines(description: &Description) -> Vec<String> {
    let mut lines: Vec<_> = description
        .attributes
        .iter()
        .map(|(key, value)| match value {
            Value::Text(text) => format!("{key}={text}"),
            Value::Integer(number) => format!("{key}={number}"),
            Value::Float(number) => format!("{key}={number}"),
            other => format!("{key}={other:?}"),
        })
        .collect();
    lines.sort();
    lines
}

const REQUEST: &str = "POST /users/42?q=1&token=t HTTP/1.1\r\nHost: shop.example:8080\r\n\
    User-Agent: curl/8.1\r\nContent-Length: 3\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
    tracestate: a=1\r\ntracestate: b=2\r\n\r\nabc";
const RESPONSE: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";

/// A server's span, whole.
#[test]
fn server() {
    let description = told(REQUEST, RESPONSE, Role::Server);
    assert_eq!(description.name, "POST /users/{id}");
    assert_eq!(
        lines(&description),
        [
            "client.address=10.0.0.2",
            "client.port=50000",
            "http.request.body.size=3",
            "http.request.method=POST",
            "http.response.body.size=2",
            "http.response.status_code=404",
            "http.route=/users/{id}",
            "network.local.address=10.0.0.1",
            "network.local.port=8080",
            "network.peer.address=10.0.0.2",
            "network.peer.port=50000",
            "network.protocol.version=1.1",
            "network.transport=tcp",
            "remora.time_to_first_byte=0.001",
            "server.address=shop.example",
            "server.port=8080",
            "url.path=/users/42",
            "url.query=q=1&token=REDACTED",
            "url.scheme=http",
            "user_agent.original=curl/8.1",
        ]
    );
    // 4xx is the client's error.
    assert_eq!(description.error, None);
    let parent = description.parent.unwrap();
    assert_eq!((parent.trace[0], parent.span[7], parent.flags), (0x4b, 0xb7, 1));
    assert_eq!(parent.state.as_deref(), Some("a=1,b=2"));
}

/// A client's span, whole.
#[test]
fn client() {
    let description = told(REQUEST, RESPONSE, Role::Client);
    assert_eq!(description.name, "POST");
    assert_eq!(
        lines(&description),
        [
            "error.type=404",
            "http.request.body.size=3",
            "http.request.method=POST",
            "http.response.body.size=2",
            "http.response.status_code=404",
            "network.peer.address=10.0.0.1",
            "network.peer.port=8080",
            "network.protocol.version=1.1",
            "network.transport=tcp",
            "remora.time_to_first_byte=0.001",
            "server.address=shop.example",
            "server.port=8080",
            "url.full=http://shop.example:8080/users/42?q=1&token=REDACTED",
            "url.scheme=http",
            "user_agent.original=curl/8.1",
        ]
    );
    assert_eq!(description.error.as_deref(), Some(""));
    assert!(description.parent.is_some());
}

/// The user's patterns name servers' routes and clients' templates.
#[test]
fn patterns() {
    let settings = Settings { routes: vec!["/users/{name}".into()], ..Settings::default() };
    let exchange = exchange(settings, REQUEST, RESPONSE);
    let server = describe(&exchange, Role::Server);
    assert_eq!(
        (server.name.as_str(), text(&server, "http.route").unwrap()),
        ("POST /users/{name}", "/users/{name}".into())
    );
    let client = describe(&exchange, Role::Client);
    assert_eq!(
        (client.name.as_str(), text(&client, "url.template").unwrap()),
        ("POST /users/{name}", "/users/{name}".into())
    );
    assert_eq!(text(&client, "http.route"), None);
}

/// 5xx is an error on both sides, 4xx on the client's, the rest on none.
#[test]
fn status_errors() {
    for (status, server, client) in [
        (200, None, None),
        (302, None, None),
        (400, None, Some("400")),
        (499, None, Some("499")),
        (500, Some("500"), Some("500")),
        (503, Some("503"), Some("503")),
        (999, Some("999"), Some("999")),
    ] {
        let response = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        for (role, expected) in [(Role::Server, server), (Role::Client, client)] {
            let description = told(REQUEST, &response, role);
            assert_eq!(text(&description, "error.type").as_deref(), expected, "{status} {role:?}");
            assert_eq!(description.error.as_deref(), expected.map(|_| ""), "{status} {role:?}");
        }
    }
}

/// How an exchange broke is told in one word.
#[test]
fn broken() {
    let end = |cause, response: &str| {
        let mut c = Connection::new();
        c.client(REQUEST);
        if !response.is_empty() {
            c.server(response);
        }
        c.end(cause);
        describe(&c.told.remove(0), Role::Server)
    };
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let none = "the connection ended before a response";
    let half = "the connection ended before the response was complete";
    let gone = "the process ended before the response was complete";
    for (cause, response, status, kind, outcome, error) in [
        (End::Orderly, "", None, Some("connection_closed"), Some("connection_closed"), Some(none)),
        (End::Broken(104), "", None, Some("connection_reset"), Some("connection_closed"), Some(none)),
        (End::Broken(32), "", None, Some("broken_pipe"), Some("connection_closed"), Some(none)),
        (End::Broken(110), "", None, Some("connection_timed_out"), Some("connection_closed"), Some(none)),
        (End::Broken(113), "", None, Some("network_unreachable"), Some("connection_closed"), Some(none)),
        (End::Broken(5), "", None, Some("connection_error"), Some("connection_closed"), Some(none)),
        (End::Broken(104), cut, Some(200), Some("connection_reset"), Some("connection_closed"), Some(half)),
        (End::ProcessGone, cut, Some(200), Some("process_gone"), Some("process_gone"), Some(gone)),
        (End::Forgotten, cut, Some(200), None, Some("unfinished"), None),
        (End::Forgotten, "", None, None, Some("unfinished"), None),
    ] {
        let description = end(cause, response);
        let seen = find(&description, "http.response.status_code");
        assert_eq!(seen, status.map(Value::Integer).as_ref(), "{cause:?}");
        assert_eq!(text(&description, "error.type").as_deref(), kind, "{cause:?}");
        assert_eq!(text(&description, "remora.outcome").as_deref(), outcome, "{cause:?}");
        assert_eq!(description.error.as_deref(), error, "{cause:?}");
        let size = status.map(|_| Value::Integer(4));
        assert_eq!(find(&description, "http.response.body.size"), size.as_ref(), "{cause:?}");
    }
    // A response that was lost to us is no error of the service.
    let mut c = Connection::new();
    c.client(REQUEST).hole(Stream::ToClient, 50).tick(5000);
    let description = describe(&c.told.remove(0), Role::Client);
    assert_eq!(text(&description, "error.type"), None);
    assert_eq!(text(&description, "remora.outcome").as_deref(), Some("response_lost"));
    assert_eq!(description.error, None);
}

/// The part of a request's body that was sent before the end.
#[test]
fn request_body_cut() {
    let mut c = Connection::new();
    c.client("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabcd").end(End::Broken(104));
    assert_eq!(Seen::new(&c.told[0]).request_body, Some(4));
}

/// Methods that are not known, and a list of one's own.
#[test]
fn methods() {
    let description = told("FROB /a HTTP/1.1\r\n\r\n", RESPONSE, Role::Server);
    assert_eq!(description.name, "HTTP /a");
    assert_eq!(text(&description, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(text(&description, "http.request.method_original").as_deref(), Some("FROB"));
    let description = told("get /a HTTP/1.1\r\n\r\n", RESPONSE, Role::Client);
    assert_eq!(description.name, "HTTP");
    assert_eq!(text(&description, "http.request.method_original").as_deref(), Some("get"));
    let settings = Settings { known_methods: vec!["FROB".into()], ..Settings::default() };
    let description =
        describe(&exchange(settings.clone(), "FROB /a HTTP/1.1\r\n\r\n", RESPONSE), Role::Server);
    assert_eq!(description.name, "FROB /a");
    assert_eq!(text(&description, "http.request.method_original"), None);
    let description = describe(&exchange(settings, "GET /a HTTP/1.1\r\n\r\n", RESPONSE), Role::Server);
    assert_eq!(description.name, "HTTP /a");
}

/// Targets in all forms, as both sides tell them.
#[test]
fn targets() {
    let fields = |request: &str, role, keys: &[&str]| -> Vec<Option<String>> {
        let description = told(&format!("{request}\r\n\r\n"), RESPONSE, role);
        let get = |key: &str| match find(&description, key) {
            Some(Value::Text(text)) => Some(text.to_string()),
            Some(Value::Integer(number)) => Some(number.to_string()),
            _ => None,
        };
        keys.iter().map(|key| get(key)).chain([Some(description.name.clone())]).collect()
    };
    let client =
        |request: &str| fields(request, Role::Client, &["url.full", "server.address", "server.port"]);
    let server =
        |request: &str| fields(request, Role::Server, &["url.path", "server.address", "server.port"]);
    let some = |texts: [&str; 4]| texts.map(|text| Some(text.to_owned()));

    assert_eq!(client("GET /a HTTP/1.1\r\nHost: h"), some(["http://h/a", "h", "80", "GET"]));
    assert_eq!(client("GET /a HTTP/1.0"), some(["http://10.0.0.1:8080/a", "10.0.0.1", "8080", "GET"]));
    assert_eq!(client("GET /a HTTP/1.1\r\nHost: [::1]:81"), some(["http://[::1]:81/a", "::1", "81", "GET"]));
    assert_eq!(
        client("GET http://u:p@proxied/a?sig=1 HTTP/1.1\r\nHost: h"),
        some(["http://REDACTED:REDACTED@proxied/a?sig=REDACTED", "proxied", "80", "GET"])
    );
    assert_eq!(client("GET https://proxied HTTP/1.1"), some(["https://proxied/", "proxied", "443", "GET"]));
    assert_eq!(client("OPTIONS * HTTP/1.1\r\nHost: h"), some(["http://h", "h", "80", "OPTIONS"]));
    assert_eq!(client("CONNECT h:443 HTTP/1.1\r\nHost: h:443"), some(["//h:443", "h", "443", "CONNECT"]));
    assert_eq!(client("GET odd HTTP/1.1\r\nHost: h"), some(["http://h/odd", "h", "80", "GET"]));

    assert_eq!(server("GET /a HTTP/1.1\r\nHost: h:81"), some(["/a", "h", "81", "GET /a"]));
    assert_eq!(server("GET /a HTTP/1.0"), some(["/a", "10.0.0.1", "8080", "GET /a"]));
    assert_eq!(server("GET http://p:82/b HTTP/1.1\r\nHost: h"), some(["/b", "p", "82", "GET /b"]));
    assert_eq!(server("OPTIONS * HTTP/1.1\r\nHost: h"), some(["*", "h", "80", "OPTIONS *"]));
    assert_eq!(server("CONNECT h:443 HTTP/1.1"), some(["", "h", "443", "CONNECT"]));
}

/// Proxies' notes of the client, the host and the scheme.
#[test]
fn forwarded() {
    let fields = |headers: &str| {
        let request = format!("GET /a HTTP/1.1\r\nHost: inner\r\n{headers}\r\n");
        let description = told(&request, RESPONSE, Role::Server);
        ["client.address", "client.port", "server.address", "server.port", "url.scheme"]
            .map(|key| match find(&description, key) {
                Some(Value::Text(text)) => text.to_string(),
                Some(Value::Integer(number)) => number.to_string(),
                _ => "-".to_owned(),
            })
            .join(" ")
    };
    assert_eq!(fields(""), "10.0.0.2 50000 inner 80 http");
    assert_eq!(fields("X-Forwarded-For: 1.2.3.4, 10.0.0.9\r\n"), "1.2.3.4 - inner 80 http");
    assert_eq!(
        fields(
            "x-forwarded-for: [2001:db8::1]:99\r\nX-Forwarded-Host: outer\r\nX-Forwarded-Proto: https\r\n"
        ),
        "2001:db8::1 99 outer 443 https"
    );
    assert_eq!(
        fields(
            "Forwarded: for=\"1.2.3.4:5\";host=outer:81;proto=https, for=x\r\nX-Forwarded-For: 9.9.9.9\r\n"
        ),
        "1.2.3.4 5 outer 81 https"
    );
    assert_eq!(fields("Forwarded: for=unknown\r\nX-Forwarded-For: 9.9.9.9\r\n"), "9.9.9.9 - inner 80 http");
    assert_eq!(fields("Forwarded: for=_hidden\r\n"), "10.0.0.2 50000 inner 80 http");
}

/// Unix sockets have a path, or no name at all.
#[test]
fn unix_sockets() {
    let exchange = exchange(Settings::default(), "GET /info HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n");
    let path = Endpoint::Unix(Arc::from("/run/docker.sock"));
    let unnamed = Endpoint::Unix(Arc::from(""));
    let scene = Scene { role: Role::Client, local: &unnamed, remote: &path };
    let client = exchange.detail.describe(&exchange, &scene);
    assert_eq!(text(&client, "network.transport").as_deref(), Some("unix"));
    assert_eq!(text(&client, "server.address").as_deref(), Some("/run/docker.sock"));
    assert_eq!(find(&client, "server.port"), None);
    assert_eq!(text(&client, "url.full").as_deref(), Some("http://localhost/info"));
    assert_eq!(text(&client, "network.protocol.version").as_deref(), Some("1.0"));
    let scene = Scene { role: Role::Server, local: &path, remote: &unnamed };
    let server = exchange.detail.describe(&exchange, &scene);
    assert_eq!(text(&server, "client.address"), None);
    assert_eq!(text(&server, "network.peer.address"), None);
    assert_eq!(text(&server, "network.local.address").as_deref(), Some("/run/docker.sock"));
    let remote = Endpoint::Inet(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9)));
    let scene = Scene { role: Role::Client, local: &remote, remote: &remote };
    let client = exchange.detail.describe(&exchange, &scene);
    assert_eq!(text(&client, "url.full").as_deref(), Some("http://[::1]:9/info"));
}

/// What is kept is bounded, and is text whatever came.
#[test]
fn bounds() {
    let request = format!(
        "GET /{}/x?y HTTP/1.1\r\nHost: h\r\nUser-Agent: {}\r\n\r\n",
        "é/".repeat(2000),
        "u".repeat(999)
    );
    let description = told(&request, RESPONSE, Role::Server);
    assert_eq!(text(&description, "url.path").unwrap().len(), 2047);
    assert_eq!(text(&description, "user_agent.original").unwrap().len(), 512);
    assert_eq!(description.name, format!("GET {}/*", "/{id}".repeat(8)));

    let mut c = Connection::new();
    c.client(b"GET /\xff\x80 HTTP/1.1\r\nUser-Agent: a\r\n b\r\n\r\n").server(RESPONSE);
    let description = describe(&c.told[0], Role::Server);
    assert_eq!(text(&description, "url.path").as_deref(), Some("/\u{fffd}\u{fffd}"));
    assert_eq!(text(&description, "user_agent.original").as_deref(), Some("a   b"));

    let state = "k=0123456789,".repeat(60);
    let request = REQUEST.replace("tracestate: a=1", &format!("tracestate: {state}"));
    let parent = told(&request, RESPONSE, Role::Server).parent.unwrap();
    assert_eq!(parent.state.unwrap().len(), 39 * 13 - 1);
}

/// Trace context that contradicts itself is none.
#[test]
fn ambiguous_trace_context() {
    let other = "traceparent: 00-00000000000000000000000000000001-00f067aa0ba902b7-01\r\n";
    let request = REQUEST.replace("tracestate: a=1\r\n", other);
    assert_eq!(told(&request, RESPONSE, Role::Server).parent, None);
}
