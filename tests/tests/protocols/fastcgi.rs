//! FastCGI: php-fpm behind nginx.

use remora_tests::peers::fastcgi::{has_php_fpm, nginx_with_php, php_fpm};
use remora_tests::{Agent, Netns, Place, Program, Recording, Selection, workload};

const PORT: u16 = 8080;
const APPLICATION: u16 = 9000;

/// Target, status, and bytes of the answer.
const REQUESTS: [(&str, i64, i64); 5] = [
    ("/users/17?token=secret", 200, 5),
    ("/missing", 404, 8),
    ("/broken", 500, 0),
    ("/noisy", 200, 4),
    ("/", 200, 5),
];

fn ask(net: &Netns) -> Program {
    let urls = REQUESTS.iter().map(|(target, ..)| format!("http://127.0.0.1:{PORT}{target}"));
    net.program("curl").arg("-s").args(urls)
}

/// One end's spans of `rounds` times all requests.
#[track_caller]
fn told(spans: &Selection<'_>, rounds: usize) {
    let spans = spans.clone().exactly(rounds * REQUESTS.len()).each_has("network.protocol.name", "fastcgi");
    for (target, status, size) in REQUESTS {
        let target = target.replace("secret", "REDACTED");
        let of = spans.clone().filter(&target, |span| span.target() == target).exactly(rounds);
        let of = of.each_has("http.response.status_code", status).each_has("http.response.body.size", size);
        let errors = matches!(target.as_str(), "/broken" | "/noisy");
        let _ = of.each("bytes to STDERR", |span| {
            span.integer("remora.fastcgi.stderr.size").is_some_and(|size| size > 10) == errors
        });
    }
    let _ = spans.none_has("remora.outcome");
}

#[test]
fn nginx_and_php_fpm() {
    if !has_php_fpm() {
        return;
    }
    let (net, place) = (Netns::new(), Place::new());
    let script = std::fs::read(workload("fastcgi/index.php")).expect("the script");
    let _ = place.write("www/index.php", script);
    let application = php_fpm(&net, &place, APPLICATION);
    let nginx = nginx_with_php(&net, &place, PORT, APPLICATION);
    // The connection is there before the agents are.
    let _ = ask(&net).run().ok();
    let late = Agent::start(&net);
    let _ = ask(&net).run().ok();
    let large =
        net.program("curl").args(["-s", "-o", "/dev/null"]).arg(format!("http://127.0.0.1:{PORT}/large"));
    let _ = large.run().ok();
    let _ = ask(&net).run().ok();
    let late = late.stop();
    for end in [late.server(APPLICATION), late.client(APPLICATION)] {
        let is_large = |span: &remora_tests::Span| span.target() == "/large";
        told(&end.clone().filter("small", |span| !is_large(span)), 2);
        let _ = end.filter("large", is_large).exactly(1).each_has("http.response.body.size", 200_000);
    }

    // A new connection, since the worker is a new one.
    drop(application);
    let application = php_fpm(&net, &place, APPLICATION);
    let file = place.join("run.remora");
    let (agent, recorder) = (Agent::start(&net), Agent::record(&net, &file).start());
    let _ = ask(&net).run().ok();
    let post =
        net.program("curl").args(["-s", "-d", "1234567"]).arg(format!("http://127.0.0.1:{PORT}/orders"));
    let _ = post.run().ok();
    let _ = recorder.stop();
    let spans = agent.stop();
    drop((nginx, application));
    let both = |spans: &remora_tests::Spans| {
        for end in [spans.server(APPLICATION), spans.client(APPLICATION)] {
            told(&end.clone().with("http.request.method", "GET"), 1);
            let _ = end.with("http.request.method", "POST").exactly(1).each_has("http.request.body.size", 7);
        }
    };
    both(&spans);
    let server = spans.server(APPLICATION).filter("users", |span| span.text("url.path") == "/users/17");
    let _ = server.each_has("http.route", "/users/{id}").each_has("client.address", "127.0.0.1");

    let recording = Recording::read(&file);
    recording.keep(
        "fastcgi",
        APPLICATION,
        0,
        "fastcgi-php",
        "nginx 1.22 asks php-fpm 8.2, over a connection that it keeps",
    );
    both(&recording.replay());

    // The first answer is lost at nginx's end.
    let mut lost = 0;
    let lossy = recording.losing(|piece| {
        let lose = piece.open.remote_port == APPLICATION && piece.read && lost == 0;
        lost += usize::from(lose);
        lose
    });
    let lossy = lossy.replay();
    let _ = lossy.client(APPLICATION).with("remora.outcome", "response_lost").exactly(1);
    let _ = lossy.client(APPLICATION).exactly(REQUESTS.len() + 1);
    assert_eq!(lossy.coverage.get("unpaired_requests"), 1);
}
