//! HTTP/1 by a recording: what was recorded is told again, from the middle too, and with bytes missing.

use remora_tests::{Agent, Netns, Place, Recording, nginx};

const PORT: u16 = 8080;

#[test]
fn recorded_and_lost() {
    let (net, place) = (Netns::new(), Place::new());
    let server = format!("server {{ listen 127.0.0.1:{PORT}; location / {{ return 200 'hello\n'; }} }}");
    let _server = nginx(&net, &place, PORT, &server);
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let urls: Vec<String> = (0..10).map(|i| format!("http://127.0.0.1:{PORT}/{i}")).collect();
    let _ = net.program("curl").arg("-s").args(&urls).run().ok();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep("http", PORT, 0, "http-curl", "curl asks nginx for ten things over one connection");

    let whole = recording.replay();
    let _ = whole.client(PORT).service("curl").exactly(10);
    let _ = whole.server(PORT).service("nginx").exactly(10);

    // The agent comes before the fourth request.
    let late = recording.clone().late(PORT, 6).replay();
    let _ = late.client(PORT).exactly(7);
    let _ = late.server(PORT).exactly(7);

    // The response to the third request is lost at the client's end, and nothing else.
    let lossy = recording.losing(|piece| piece.open.remote_port == PORT && piece.number == 5).replay();
    let _ = lossy.server(PORT).exactly(10);
    let clients = lossy.client(PORT).exactly(10);
    let _ = clients.filter("without a status", |span| span.code().is_none()).exactly(1);
    assert_eq!(lossy.coverage.get("unpaired_requests"), 1);
}
