//! WebSocket: Python's `websockets`.

use remora_tests::{Agent, Netns, Place, Recording, Running, Selection, peers};

const PORT: u16 = 8765;

fn server(net: &Netns) -> Option<Running> {
    let program = peers::python(net, "websocket/server.py").arg(PORT.to_string());
    peers::python_has("websockets").then(|| program.listen(PORT))
}

fn client(net: &Netns) -> Running {
    peers::python(net, "websocket/client.py").arg(PORT.to_string()).in_steps()
}

/// What one end told of so many rounds.
fn rounds(spans: &Selection<'_>, rounds: usize) {
    let upgrades = spans.clone().with("http.response.status_code", 101);
    let _ = upgrades.filter("of the rounds", |span| !span.target().contains("before")).exactly(2 * rounds);
    let all = spans.clone().filter("connections", |span| span.name == "websocket");
    let talks = all.clone().filter("talks", |span| span.target().contains("/chat/42")).exactly(rounds);
    let bytes = 10 * "message 0".len() as i64 + 100_000;
    let talks = talks
        .each_has("remora.websocket.client.messages", 11)
        .each_has("remora.websocket.client.bytes", bytes);
    let talks = talks
        .each_has("remora.websocket.server.messages", 12)
        .each_has("remora.websocket.server.bytes", bytes + 5);
    let talks =
        talks.each_has("remora.websocket.close_code", 1000).each_has("remora.websocket.closed_by", "client");
    let _ = talks.none_has("error.type").each("redacted", |span| !format!("{span:?}").contains("secret"));
    let failed = all.filter("failed", |span| span.target().contains("/chat/fail")).exactly(rounds);
    let failed = failed.each_has("remora.websocket.close_code", 1011).each_has("error.type", "1011");
    let _ = failed.each_has("remora.websocket.closed_by", "server");
}

#[test]
fn from_the_beginning() {
    let net = Netns::new();
    let Some(_server) = server(&net) else { return };
    let agent = Agent::start(&net);
    let mut client = client(&net);
    client.step();
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        rounds(&side, 2);
        let before =
            side.filter("the first", |span| span.name == "websocket" && span.target().contains("before"));
        let _ = before.exactly(1).each_has("remora.websocket.client.messages", 2);
    }
}

/// A connection from before is not known to be one; those that follow are told.
#[test]
fn from_the_middle() {
    let net = Netns::new();
    let Some(_server) = server(&net) else { return };
    let mut client = client(&net);
    let agent = Agent::start(&net);
    client.step();
    let _ = client.last_step().ok();
    let spans = agent.stop();
    for side in [spans.client(PORT), spans.server(PORT)] {
        rounds(&side, 1);
        let _ = side.filter("the first", |span| span.target().contains("before")).exactly(0);
    }
}

#[test]
fn recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_server) = server(&net) else { return };
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut client = client(&net);
    client.step();
    let _ = client.last_step().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep("http", PORT, 2, "http-websocket", "a WebSocket that the server closes, by way of HTTP/1");
    rounds(&recording.replay().client(PORT), 1);
    // The text messages that the server sends back are lost at the client's end: nobody knows how many there were.
    let lossy = recording.losing(|piece| {
        piece.open.remote_port == PORT
            && piece.read
            && piece.bytes.windows(9).any(|part| part == b"message 7")
    });
    let spans = lossy.replay();
    rounds(&spans.server(PORT), 1);
    let talk = spans
        .client(PORT)
        .filter("the talk", |span| span.name == "websocket" && span.target().contains("/42"));
    let _ = talk
        .exactly(1)
        .each_has("remora.websocket.client.messages", 11)
        .none_has("remora.websocket.server.messages");
}
