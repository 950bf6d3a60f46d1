//! Apache Dubbo 3 with its own protocol. Java takes its time to start, so one provider does for all.

use remora_tests::peers::dubbo::{consumer, provider};
use remora_tests::{Agent, Kind, Netns, Place, Recording, Selection};

const PORT: u16 = 20_880;

/// What one end told of a consumer's `rounds`.
fn told(side: &Selection<'_>, rounds: usize) {
    let method = |name: &str, count: usize| {
        let found = side.clone().with("rpc.method", name).exactly(count).each_has("rpc.system.name", "dubbo");
        found.each("named", |span| span.name == name)
    };
    let stock = |name: &str, count: usize| {
        method(&format!("org.example.Stock/{name}"), count).each_has("remora.dubbo.service.version", "1.2.3")
    };
    let counts = stock("count", 3 * rounds).each_has("rpc.response.status_code", "OK");
    let _ = counts.none_has("error.type").none_has("remora.outcome");
    let thrown = stock("take", rounds).each_has("error.type", "org.example.OutOfStock");
    let _ = thrown.each_has("rpc.response.status_code", "OK").each("an error", |span| span.status == 2);
    let _ = stock("forget", rounds)
        .each("one-way", |span| span.get("remora.one_way").is_some())
        .none_has("error.type");
    // That nobody offers it is the consumer's fault.
    let unknown =
        method("org.example.Cellar/depth", rounds).each_has("rpc.response.status_code", "BAD_REQUEST");
    let _ = unknown.each("the client's error", |span| (span.status == 2) == (span.kind == Kind::Client));
}

#[test]
fn all() {
    let (net, place) = (Netns::new(), Place::new());
    let Some(_provider) = provider(&net, PORT) else { return };

    // A recording, told again; then with one result lost at the consumer's end.
    let file = place.join("run.remora");
    let agent = Agent::record(&net, &file).start();
    let mut hessian = consumer(&net, PORT, "hessian2");
    hessian.step();
    let mut jsonb = consumer(&net, PORT + 1, "fastjson2");
    jsonb.step();
    let _ = agent.stop();
    let recording = Recording::read(&file);
    recording.keep("dubbo", PORT, 0, "dubbo-hessian2", "a consumer asks a provider, Dubbo 3.2");
    recording.keep("dubbo", PORT + 1, 0, "dubbo-fastjson2", "a consumer asks a provider, Dubbo 3.2");
    let whole = recording.replay();
    for port in [PORT, PORT + 1] {
        told(&whole.client(port), 1);
        told(&whole.server(port), 1);
    }
    let mut results = 0;
    let lossy = recording.losing(|piece| {
        // A response, status OK, of a value with attachments.
        let is_result = piece.read
            && piece.open.remote_port == PORT
            && piece.bytes.starts_with(&[0xda, 0xbb, 0x02, 20])
            && matches!(piece.bytes.get(16), Some(0x91 | 0x94));
        results += usize::from(is_result);
        is_result && results == 2
    });
    let lossy = lossy.replay();
    told(&lossy.server(PORT), 1);
    let lost = lossy.client(PORT).with("remora.outcome", "response_lost").only();
    assert_eq!(lost.text("rpc.method"), "org.example.Stock/count");
    assert_eq!(lossy.coverage.get("unpaired_requests"), 1);

    // An agent in the middle of these connections.
    let agent = Agent::start(&net);
    for consumer in [&mut hessian, &mut jsonb] {
        consumer.step();
        consumer.step();
    }
    let _ = (hessian.last_step().ok(), jsonb.last_step().ok());
    let spans = agent.stop();
    for port in [PORT, PORT + 1] {
        told(&spans.client(port), 2);
        told(&spans.server(port), 2);
    }
    assert_eq!(spans.coverage.get("unpaired_responses"), 0, "{}", spans.coverage);
}
