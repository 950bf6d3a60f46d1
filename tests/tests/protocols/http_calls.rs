//! Calls over HTTP, made by real clients: S3 (boto3 and moto), GraphQL (fetch and graphql-http), JSON-RPC (jayson,
//! jsonrpclib-pelix), SOAP (zeep and spyne), generative AI (the clients of OpenAI and Anthropic), Elasticsearch and
//! OpenSearch (their clients).
//!
//! The servers of the last two are no real ones, which are too large for a test or not to be had: `http_calls/stub.py`
//! answers as their makers document it.

use std::time::Duration;

use remora_tests::{
    Agent, Data, Finished, Netns, Point, Program, Running, Selection, Span, Spans, Value, installed, peers,
};

const PORT: u16 = 8080;
const BODIES: &str = "protocols:\n  http_bodies: true\n";

/// Method and path, then values of attributes, those that it has, of each span in order.
fn lines(spans: &Selection<'_>, keys: &[&str]) -> Vec<String> {
    let line = |span: &Span| {
        let target = span.target();
        let path = target.split('?').next().unwrap_or_default();
        let mut line = format!("{} {path}", span.text("http.request.method"));
        for key in keys {
            match span.get(key) {
                Some(Value::Text(text)) => line += &format!(" {text}"),
                Some(other) => line += &format!(" {other}"),
                None => {}
            }
        }
        line
    };
    spans.clone().in_order().into_iter().map(line).collect()
}

/// Both ends tell the same lines, and nothing of what was said.
#[track_caller]
fn both(spans: &Spans, keys: &[&str], expected: &[&str]) {
    assert_eq!(lines(&spans.client(PORT), keys), expected, "of the client");
    assert_eq!(lines(&spans.server(PORT), keys), expected, "of the server");
    silent(spans);
}

/// All that is secret in the workloads says so.
#[track_caller]
fn silent(spans: &Spans) {
    let _ = spans.all().each("without secrets", |span| !format!("{span:?}").contains("secret"));
    let points = format!("{:?}", spans.metrics.points());
    assert!(!points.contains("secret"), "{points}");
}

/// Errors of one end, in order.
fn errors(spans: &Selection<'_>) -> Vec<String> {
    let failed = spans.clone().filter("failed", |span| span.get("error.type").is_some());
    failed
        .each("an error", |span| span.status == 2)
        .in_order()
        .iter()
        .map(|span| span.text("error.type").to_owned())
        .collect()
}

fn python(net: &Netns, script: &str, arguments: &[&str]) -> Program {
    peers::python(net, &format!("http_calls/{script}")).args(arguments)
}

fn node(net: &Netns, script: &str, arguments: &[&str]) -> Program {
    peers::node(net, &format!("http_calls/{script}")).args(arguments)
}

/// What an agent tells of a client's run.
fn watched(net: &Netns, config: &str, client: Program) -> Spans {
    let agent = Agent::watch(net).config(config).start();
    let _: Finished = client.run().ok();
    agent.stop()
}

fn stub(net: &Netns) -> Running {
    python(net, "stub.py", &["8080"]).listen(PORT)
}

fn node_has(module: &str) -> bool {
    let found = installed("node") && peers::node_modules().join(module).exists();
    if !found {
        println!("skipped: the Node package {module} is not installed");
    }
    found
}

/// S3's calls are known without bodies.
#[test]
fn s3() {
    let net = Netns::new();
    if !peers::python_has("boto3, moto") {
        return;
    }
    let moto = net.program(peers::python_path()).args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "8080"]);
    let _server = moto.env("PYTHONDONTWRITEBYTECODE", "1").listen(PORT);
    let spans = watched(&net, "", python(&net, "s3.py", &["8080"]));
    let expected = [
        "PUT /orders S3/CreateBucket orders",
        "PUT /orders/2026/bill%201 S3/PutObject orders",
        "GET /orders/2026/bill%201 S3/GetObject orders",
        "HEAD /orders/2026/bill%201 S3/HeadObject orders",
        "PUT /orders/copy S3/CopyObject orders",
        "PUT /orders/copy S3/PutObjectTagging orders",
        "GET /orders/copy S3/GetObjectTagging orders",
        "GET /orders S3/ListObjectsV2 orders",
        "GET /orders S3/ListObjects orders",
        "POST /orders/big S3/CreateMultipartUpload orders",
        "PUT /orders/big S3/UploadPart orders",
        "POST /orders/big S3/CompleteMultipartUpload orders",
        "PUT /orders S3/PutBucketVersioning orders",
        "GET /orders S3/GetBucketVersioning orders",
        "GET /orders S3/GetBucketAcl orders",
        "GET /orders S3/GetBucketLocation orders",
        "GET /orders/missing S3/GetObject orders",
        "GET /orders/copy S3/GetObject orders",
        "DELETE /orders/copy S3/DeleteObject orders",
        "POST /orders S3/DeleteObjects orders",
        "DELETE /orders S3/DeleteBucket orders",
        "GET / S3/ListBuckets",
    ];
    both(&spans, &["rpc.method", "aws.s3.bucket"], &expected);
    assert_eq!(errors(&spans.client(PORT)), ["404"]);
    assert_eq!(errors(&spans.server(PORT)), [""; 0]);
    let all = spans.all().each_has("rpc.system.name", "aws-api");
    // moto names no requests.
    let all = all.none_has("aws.request_id");
    // Of the signed URL only what is not its signature.
    let signed = all.filter("signed", |span| span.target().contains("X-Amz-Date="));
    let _ = signed.exactly(2).each("redacted", |span| {
        let target = span.target();
        target.contains("X-Amz-Signature=REDACTED") && !format!("{span:?}").contains("AKIAREMORA")
    });
}

#[test]
fn elasticsearch() {
    if !peers::python_has("elasticsearch") {
        return;
    }
    let net = Netns::new();
    let _server = stub(&net);
    let spans = watched(&net, "", python(&net, "search.py", &["elasticsearch", "8080"]));
    let expected = [
        "GET / elasticsearch info 200",
        "PUT /orders elasticsearch indices.create orders 200",
        "PUT /orders/_doc/17 elasticsearch index orders 200",
        "GET /orders/_doc/17 elasticsearch get orders 200",
        "HEAD /orders/_doc/17 elasticsearch exists orders 200",
        "POST /orders/_update/17 elasticsearch update orders 200",
        "PUT /_bulk elasticsearch bulk 200",
        "POST /orders/_refresh elasticsearch indices.refresh orders 200",
        "POST /orders/_search elasticsearch search orders 200",
        "POST /_msearch elasticsearch msearch 200",
        "POST /orders/_count elasticsearch count orders 200",
        "POST /orders/_delete_by_query elasticsearch delete_by_query orders 200",
        "GET /orders/_mapping elasticsearch indices.get_mapping orders 200",
        "GET /_cluster/health elasticsearch cluster.health 200",
        "POST /orders/_pit elasticsearch open_point_in_time orders 200",
        "DELETE /_pit elasticsearch close_point_in_time 200",
        "GET /orders/_doc/missing elasticsearch get orders 404",
        "DELETE /orders/_doc/17 elasticsearch delete orders 200",
        "DELETE /orders elasticsearch indices.delete orders 200",
    ];
    both(&spans, SEARCH, &expected);
    assert_eq!(errors(&spans.client(PORT)), ["404"]);
}

const SEARCH: &[&str] =
    &["db.system.name", "db.operation.name", "db.collection.name", "db.response.status_code"];

#[test]
fn opensearch() {
    if !peers::python_has("opensearchpy") {
        return;
    }
    let net = Netns::new();
    let _server = stub(&net);
    let spans = watched(&net, "", python(&net, "search.py", &["opensearch", "8080"]));
    let expected = [
        "GET / opensearch info 200",
        "PUT /orders opensearch indices.create orders 200",
        "PUT /orders/_doc/17 opensearch index orders 200",
        "GET /orders/_doc/17 opensearch get orders 200",
        "HEAD /orders/_doc/17 opensearch exists orders 200",
        "POST /orders/_update/17 opensearch update orders 200",
        "POST /_bulk opensearch bulk 200",
        "POST /orders/_refresh opensearch indices.refresh orders 200",
        "POST /orders/_search opensearch search orders 200",
        "POST /_msearch opensearch msearch 200",
        "POST /orders/_count opensearch count orders 200",
        "POST /orders/_delete_by_query opensearch delete_by_query orders 200",
        "GET /orders/_mapping opensearch indices.get_mapping orders 200",
        "GET /_cluster/health opensearch cluster.health 200",
        "GET /orders/_doc/missing opensearch get orders 404",
        "DELETE /orders/_doc/17 opensearch delete orders 200",
        "DELETE /orders opensearch indices.delete orders 200",
    ];
    both(&spans, SEARCH, &expected);
    assert_eq!(errors(&spans.client(PORT)), ["404"]);
}

#[test]
fn graphql() {
    if !node_has("graphql-http") {
        return;
    }
    let net = Netns::new();
    let _server = node(&net, "graphql.js", &["server", "8080"]).listen(PORT);
    let spans = watched(&net, BODIES, node(&net, "graphql.js", &["client", "8080"]));
    let expected = [
        "POST /graphql query Cart",
        "POST /graphql query",
        "POST /graphql mutation Pay graphql_errors",
        "POST /graphql query Spread",
        "POST /graphql query Commented",
        "POST /graphql query Unknown graphql_errors",
        "GET /graphql query Got",
    ];
    both(&spans, &["graphql.operation.type", "graphql.operation.name", "error.type"], &expected);
    for side in [spans.client(PORT), spans.server(PORT)] {
        let _ = side.with("error.type", "graphql_errors").each("an error", |span| span.status == 2);
    }
}

const RPC: &[&str] = &[
    "rpc.system.name",
    "jsonrpc.protocol.version",
    "rpc.method",
    "jsonrpc.request.id",
    "remora.jsonrpc.batch",
    "rpc.response.status_code",
];

#[test]
fn jsonrpc_of_jayson() {
    if !node_has("jayson") {
        return;
    }
    let net = Netns::new();
    let _server = node(&net, "jayson.js", &["server", "8080"]).listen(PORT);
    let spans = watched(&net, BODIES, node(&net, "jayson.js", &["client", "8080"]));
    let expected = [
        "POST / jsonrpc 2.0 add 1",
        "POST / jsonrpc 2.0 fail two -32050",
        "POST / jsonrpc 2.0 missing 3 -32601",
        // A notification.
        "POST / jsonrpc 2.0 add",
        "POST / jsonrpc 2.0 add 10 3 -32050",
    ];
    both(&spans, RPC, &expected);
    for side in [spans.client(PORT), spans.server(PORT)] {
        assert_eq!(errors(&side), ["-32050", "-32601", "-32050"]);
    }
}

#[test]
fn jsonrpc_of_jsonrpclib() {
    if !peers::python_has("jsonrpclib") {
        return;
    }
    let net = Netns::new();
    let _server = python(&net, "jsonrpc.py", &["server", "8080"]).listen(PORT);
    let spans = watched(&net, BODIES, python(&net, "jsonrpc.py", &["client", "8080"]));
    let keys: Vec<&str> = RPC.iter().copied().filter(|key| *key != "jsonrpc.request.id").collect();
    let expected = [
        "POST / jsonrpc 2.0 cart.add",
        "POST / jsonrpc 2.0 cart.fail -32603",
        "POST / jsonrpc 2.0 cart.missing -32601",
        "POST / jsonrpc 2.0 cart.add",
        "POST / jsonrpc 2.0 cart.add 2",
    ];
    both(&spans, &keys, &expected);
    for side in [spans.client(PORT), spans.server(PORT)] {
        assert_eq!(errors(&side), ["-32603", "-32601"]);
        // A UUID each, but for the notification.
        let named = side.filter("named", |span| span.text("jsonrpc.request.id").len() == 36);
        let _ = named.exactly(4);
    }
}

/// SOAP 1.1 names the action in a field, 1.2 in the media type.
#[test]
fn soap() {
    if !peers::python_has("zeep, spyne") {
        return;
    }
    let net = Netns::new();
    let versions = [("1.1", "8080", 8080), ("1.2", "8081", 8081)];
    let _servers = versions
        .map(|(version, text, port)| python(&net, "soap.py", &[version, "server", text]).listen(port));
    let agent = Agent::watch(&net).config(BODIES).start();
    for (version, text, _) in versions {
        let _: Finished = python(&net, "soap.py", &[version, "client", text]).run().ok();
    }
    let spans = agent.stop();
    silent(&spans);
    for (_, _, port) in versions {
        for side in [spans.client(port), spans.server(port)] {
            assert_eq!(
                lines(&side, &["rpc.system.name", "rpc.method", "remora.soap.action"]),
                ["GET /shop", "POST /shop soap GetPrice GetPrice", "POST /shop soap Refuse Refuse"]
            );
            assert_eq!(errors(&side), ["500"]);
        }
    }
}

#[test]
fn models() {
    if !peers::python_has("openai, anthropic") {
        return;
    }
    let net = Netns::new();
    let _server = stub(&net);
    let spans = watched(&net, BODIES, python(&net, "models.py", &["8080"]));
    let keys = [
        "gen_ai.provider.name",
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "gen_ai.request.stream",
        "gen_ai.request.max_tokens",
        "gen_ai.request.temperature",
        "gen_ai.request.top_p",
        "gen_ai.response.model",
        "gen_ai.response.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    ];
    let expected = [
        "POST /v1/chat/completions openai chat gpt-remora 50 0.5 0.25 gpt-remora-2026 chatcmpl-1 [Text(\"stop\")] 12 34",
        // The stream is longer than what is read of other bodies.
        "POST /v1/chat/completions openai chat gpt-stream true 60 gpt-remora-2026 chatcmpl-1 [Text(\"length\")] 12 34",
        "POST /v1/responses openai chat gpt-remora 70 gpt-remora-2026 resp_1 7 9",
        "POST /v1/responses openai chat gpt-stream true gpt-remora-2026 resp_1 7 9",
        "POST /v1/embeddings openai embeddings embed embed-remora-2026 3",
        "POST /v1/chat/completions openai chat broken",
        "POST /v1/messages anthropic chat claude-remora 80 claude-remora-2026 msg_1 [Text(\"end_turn\")] 21 22",
        "POST /v1/messages anthropic chat claude-stream true 90 claude-remora-2026 msg_1 [Text(\"max_tokens\")] 25 15",
        "POST /v1/messages anthropic chat broken 100",
    ];
    both(&spans, &keys, &expected);
    assert_eq!(errors(&spans.client(PORT)), ["429", "529"]);
    let tokens = |of: &str, provider: &str| -> f64 {
        let name = format!("remora.gen_ai.client.{of}_tokens");
        let last = spans.metrics.last(&name, &[("gen_ai.provider.name", Value::from(provider))]);
        let sum = |point: &&Point| match point.data {
            Data::Histogram { sum, .. } => sum,
            Data::Sum(_) => panic!("{point:?}"),
        };
        last.iter().map(sum).sum()
    };
    let calls = |provider: &str| {
        let provider = [("gen_ai.provider.name", Value::from(provider))];
        spans.metrics.total("gen_ai.client.operation.duration", &provider)
    };
    assert_eq!((calls("openai"), calls("anthropic")), (6, 3));
    assert_eq!(tokens("input", "openai"), f64::from(12 + 12 + 7 + 7 + 3));
    assert_eq!(tokens("output", "openai"), f64::from(34 + 34 + 9 + 9));
    assert_eq!(tokens("input", "anthropic"), f64::from(21 + 25));
    assert_eq!(tokens("output", "anthropic"), f64::from(22 + 15));
}

/// Without the user's leave nothing of bodies is told, only what paths and fields say.
#[test]
fn no_bodies_by_default() {
    if !peers::python_has("jsonrpclib, openai, elasticsearch") {
        return;
    }
    const RPC: u16 = 8081;
    let net = Netns::new();
    let _servers = (stub(&net), python(&net, "jsonrpc.py", &["server", "8081"]).listen(RPC));
    let agent = Agent::start(&net);
    let clients = [
        ("jsonrpc.py", &["client", "8081"][..]),
        ("models.py", &["8080", "openai"]),
        ("search.py", &["elasticsearch", "8080"]),
    ]
    .map(|(script, arguments)| python(&net, script, arguments).start());
    for client in clients {
        let _ = client.finish(Duration::from_secs(60)).ok();
    }
    let spans = agent.stop();
    silent(&spans);
    let body = |key: &String| {
        ["rpc.", "jsonrpc.", "gen_ai.", "remora.jsonrpc."].iter().any(|prefix| key.starts_with(prefix))
    };
    let _ = spans.all().each("nothing of bodies", |span| !span.attributes.keys().any(body));
    for side in [spans.client(PORT), spans.server(PORT)] {
        let _ = side.clone().exactly(6 + 19).with("db.system.name", "elasticsearch").exactly(19);
    }
    for side in [spans.client(RPC), spans.server(RPC)] {
        let _ = side.exactly(5);
    }
    assert_eq!(spans.metrics.total("gen_ai.client.operation.duration", &[]), 0);
}
