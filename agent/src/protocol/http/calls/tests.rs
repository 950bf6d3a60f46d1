//! Calls over HTTP/1, in one piece and in all.

use crate::protocol::http::{Settings, Shared};
use crate::protocol::http1::Http1;
use crate::protocol::testing::{Conversation, Driver, checks};

fn http(bodies: bool) -> Http1 {
    Http1::with(&Shared::new(Settings::default(), bodies))
}

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn ok(media: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn chunked(media: &str, parts: &[&str]) -> String {
    let mut message =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n");
    for part in parts.iter().chain(&[""]) {
        message += &format!("{:x}\r\n{part}\r\n", part.len());
    }
    message
}

const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

/// The attributes behind HTTP's own, of the one exchange, which must be the same in all pieces.
#[track_caller]
fn call(request: &str, response: &str) -> String {
    let conversation = Conversation::new().client(request).server(response);
    checks::every_split(&http(true), &conversation);
    let told = Driver::whole(&http(true), &conversation, false).told;
    let [line] = &told[..] else { panic!("{told:#?}") };
    let ours = ["graphql.", "rpc.", "jsonrpc.", "gen_ai.", "db.", "aws.", "remora.", "error"];
    let words: Vec<&str> =
        line.split(' ').filter(|word| ours.iter().any(|ours| word.starts_with(ours))).collect();
    words.join(" ")
}

#[test]
fn graphql() {
    let body = r#"{"operationName":null,"query":"query Cart($id: ID!) {\n cart(id: $id) { total } }","variables":{"id":"secret"}}"#;
    assert_eq!(
        call(&post("/api", JSON, body), &ok("application/json", r#"{"data":{"cart":null}}"#)),
        "graphql.operation.type=query graphql.operation.name=Cart"
    );
    let answer = r#"{"errors":[{"message":"no"}],"data":null}"#;
    let body = r#"{"query":"mutation{ pay }","operationName":"Pay"}"#;
    assert_eq!(
        call(&post("/graphql", JSON, body), &ok("application/graphql-response+json", answer)),
        "graphql.operation.type=mutation graphql.operation.name=Pay error.type=graphql_errors error"
    );
    let document = post("/graphql", "Content-Type: application/graphql\r\n", "{ me { name } }");
    assert_eq!(call(&document, &ok("application/json", "{}")), "graphql.operation.type=query");
    let of = |body: &str| call(&post("/graphql", JSON, body), &ok("application/json", "{}"));
    // Of several operations the one that is asked for, whichever member comes first.
    for body in [
        r#"{"query":"query A(\u0024b: C = {d: \"}\"}) { e } mutation F { g }","operationName":"F"}"#,
        r#"{"operationName":"F","query":" # {\nfragment A on B { c } mutation F @d { g } query H { i }"}"#,
    ] {
        assert_eq!(of(body), "graphql.operation.type=mutation graphql.operation.name=F", "{body}");
    }
    // A document that is cut before its operation.
    let long = format!(r#"{{"query":"fragment A on B {{ {} }} query C {{ d }}"}}"#, "é ".repeat(300));
    assert_eq!(of(&long), "");
    let asked = long.replace("\"}", "\",\"operationName\":\"C\"}");
    assert_eq!(of(&asked), "graphql.operation.name=C");
    // What somebody looks for elsewhere is nobody's operation.
    for text in ["query secret words", "subscription", "mutation of secrets", "fragment of secrets", "[1]"] {
        assert_eq!(of(&format!(r#"{{"query":"{text}"}}"#)), "", "{text}");
    }
    let get = "GET /graphql?query=query+Me%7Bme%7D HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(call(get, &ok("application/json", "{}")).starts_with("graphql.operation.type=query"));
    let get = get.replace("Me%7Bme%7D", "%4de%28%24a%3AB%29{me}&operationName=");
    let told = call(&get, &ok("application/json", "{}"));
    assert_eq!(told, "graphql.operation.type=query graphql.operation.name=Me");
}

#[test]
fn jsonrpc() {
    let body = r#"{"jsonrpc":"2.0","method":"eth_call","params":[{"to":"0x1","method":"no"}],"id":7}"#;
    assert_eq!(
        call(&post("/", JSON, body), &ok("application/json", r#"{"jsonrpc":"2.0","id":7,"result":1}"#)),
        "rpc.system.name=jsonrpc rpc.method=eth_call jsonrpc.protocol.version=2.0 jsonrpc.request.id=7"
    );
    let answer = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"secret"}}"#;
    assert!(
        call(&post("/", JSON, body), &ok("application/json", answer))
            .ends_with("rpc.response.status_code=-32601 error.type=-32601 error")
    );
    let batch = r#"[{"jsonrpc":"2.0","method":"a","id":1},{"jsonrpc":"2.0","method":"b","id":2}]"#;
    assert_eq!(
        call(&post("/", JSON, batch), &ok("application/json", "[]")),
        "rpc.system.name=jsonrpc rpc.method=a jsonrpc.protocol.version=2.0 jsonrpc.request.id=1 remora.jsonrpc.batch=2"
    );
    // Any other JSON is nobody's call.
    assert_eq!(call(&post("/", JSON, r#"{"method":"a","id":1}"#), &ok("application/json", "{}")), "");
}

#[test]
fn soap() {
    let envelope = |body: &str| {
        format!(
            "<?xml version=\"1.0\"?>\n<s:Envelope xmlns:s=\"u\"><s:Header><a>b</a></s:Header><s:Body>\n{body}</s:Body></s:Envelope>"
        )
    };
    let fields = "Content-Type: text/xml\r\nSOAPAction: \"urn:GetPrice\"\r\n";
    let request =
        post("/ws", fields, &envelope("<m:GetPrice xmlns:m=\"x\"><m:Item>secret</m:Item></m:GetPrice>"));
    assert_eq!(
        call(&request, &ok("text/xml", &envelope("<m:GetPriceResponse/>"))),
        "rpc.system.name=soap rpc.method=GetPrice remora.soap.action=urn:GetPrice"
    );
    let fault = ok("text/xml", &envelope("<s:Fault><faultcode>x</faultcode></s:Fault>"));
    assert!(call(&request, &fault).ends_with("error.type=soap_fault error"));
    let fields = "Content-Type: application/soap+xml; action=\"urn:A\"\r\n";
    assert_eq!(
        call(&post("/ws", fields, &envelope("<A/>")), &ok("application/soap+xml", &envelope("<B/>"))),
        "rpc.system.name=soap rpc.method=A remora.soap.action=urn:A"
    );
}

#[test]
fn models() {
    let body = r#"{"model":"gpt-x","messages":[{"role":"user","content":"secret \"model\":\"y\""}],"stream":false,"max_tokens":50,"temperature":0.5}"#;
    let answer = r#"{"id":"c-1","model":"gpt-x-1","choices":[{"index":0,"message":{"role":"assistant","content":"secret"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":5}}}"#;
    assert_eq!(
        call(&post("/v1/chat/completions", JSON, body), &ok("application/json", answer)),
        "gen_ai.operation.name=chat gen_ai.provider.name=openai gen_ai.request.model=gpt-x \
         gen_ai.response.model=gpt-x-1 gen_ai.response.id=c-1 gen_ai.request.max_tokens=50 \
         gen_ai.usage.input_tokens=12 gen_ai.usage.output_tokens=34 gen_ai.request.temperature=0.5 \
         gen_ai.request.stream=false gen_ai.response.finish_reasons=stop"
    );
    let events = [
        "data: {\"id\":\"c-2\",\"model\":\"gpt-x-1\",\"choices\":[{\"delta\":{\"content\":\"sec\"},\"finish_reason\":null}]}\n\n",
        "data: {\"id\":\"c-2\",\"model\":\"gpt-x-1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: {\"id\":\"c-2\",\"choi",
        "ces\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n",
        "data: [DONE]\n\n",
    ];
    let body = r#"{"model":"gpt-x","stream":true,"messages":[]}"#;
    assert_eq!(
        call(&post("/v1/chat/completions", JSON, body), &chunked("text/event-stream", &events)),
        "gen_ai.operation.name=chat gen_ai.provider.name=openai gen_ai.request.model=gpt-x \
         gen_ai.response.model=gpt-x-1 gen_ai.response.id=c-2 gen_ai.usage.input_tokens=3 \
         gen_ai.usage.output_tokens=4 gen_ai.request.stream=true gen_ai.response.finish_reasons=length"
    );
    let events = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m-1\",\"model\":\"c-y\",\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"secret\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n",
    ];
    let fields = "anthropic-version: 2023-06-01\r\nContent-Type: application/json\r\n";
    let body = r#"{"model":"c-y","max_tokens":9,"stream":true}"#;
    assert_eq!(
        call(&post("/v1/messages", fields, body), &chunked("text/event-stream; charset=utf-8", &events)),
        "gen_ai.operation.name=chat gen_ai.provider.name=anthropic gen_ai.request.model=c-y \
         gen_ai.response.model=c-y gen_ai.response.id=m-1 gen_ai.request.max_tokens=9 \
         gen_ai.usage.input_tokens=25 gen_ai.usage.output_tokens=15 gen_ai.request.stream=true \
         gen_ai.response.finish_reasons=end_turn"
    );
}

#[test]
fn elasticsearch() {
    let search = post("/orders/_search?q=secret", JSON, "{}");
    let product = "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(
        call(&search, product),
        "db.system.name=elasticsearch db.operation.name=search db.collection.name=orders \
         db.response.status_code=200"
    );
    let get = "GET /orders/_doc/17 HTTP/1.1\r\nHost: h\r\nUser-Agent: opensearch-py/2.4\r\n\r\n";
    assert_eq!(
        call(get, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"),
        "db.system.name=opensearch db.operation.name=get db.collection.name=orders \
         db.response.status_code=404 error.type=404 error"
    );
    let health = "GET /_cluster/health HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(call(health, product).contains("db.operation.name=cluster.health"));
    // The clients' names tell where the paths could be anybody's.
    for (line, operation) in [
        ("GET /", "info"),
        ("HEAD /", "ping"),
        ("PUT /orders", "indices.create db.collection.name=orders"),
        ("DELETE /orders", "indices.delete db.collection.name=orders"),
        ("DELETE /_pit", "close_point_in_time"),
        ("POST /orders/_search/point_in_time", "create_pit db.collection.name=orders"),
    ] {
        let request = |agent: &str| format!("{line} HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n\r\n");
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let expected =
            format!("db.system.name=elasticsearch db.operation.name={operation} db.response.status_code=200");
        assert_eq!(call(&request("elasticsearch-py/9.5.1"), answer), expected);
        if !line.contains('_') {
            for agent in ["Elastic-Heartbeat/9.0", "elasticapm-python/6.0", "curl/8"] {
                assert_eq!(call(&request(agent), answer), "", "{line} {agent}");
            }
        }
    }
    // The path alone is not enough for a name that others have too.
    assert_eq!(call("GET /a/_source HTTP/1.1\r\nHost: h\r\n\r\n", &ok("text/plain", "x")), "");
}

#[test]
fn s3() {
    let signed = |line: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: localhost:9000\r\nx-amz-date: 20260101T000000Z\r\nAuthorization: \
             AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request, Signature=0\r\n\r\n"
        )
    };
    let answer = "HTTP/1.1 200 OK\r\nx-amz-request-id: R1\r\nContent-Length: 0\r\n\r\n";
    for (line, operation) in [
        ("GET /", "ListBuckets"),
        ("PUT /b", "CreateBucket aws.s3.bucket=b"),
        ("GET /b?list-type=2", "ListObjectsV2 aws.s3.bucket=b"),
        ("GET /b/k/l", "GetObject aws.s3.bucket=b"),
        ("PUT /b/k?partNumber=1&uploadId=u", "UploadPart aws.s3.bucket=b"),
        ("POST /b/k?uploads", "CreateMultipartUpload aws.s3.bucket=b"),
        ("DELETE /b/k", "DeleteObject aws.s3.bucket=b"),
        ("GET /b?acl", "GetBucketAcl aws.s3.bucket=b"),
        ("GET /b?prefix=k&x-id=ListObjects", "ListObjects aws.s3.bucket=b"),
        ("GET /b?analytics", "other aws.s3.bucket=b"),
        ("PUT /b?versioning", "PutBucketVersioning aws.s3.bucket=b"),
        ("DELETE /b?policy", "DeleteBucketPolicy aws.s3.bucket=b"),
        ("DELETE /b?policyStatus", "other aws.s3.bucket=b"),
        ("GET /b/k?uploadId=u", "ListParts aws.s3.bucket=b"),
        ("GET /b/k?retention", "GetObjectRetention aws.s3.bucket=b"),
    ] {
        let expected = format!("rpc.system.name=aws-api rpc.method=S3/{operation} aws.request_id=R1");
        assert_eq!(call(&signed(line), answer), expected, "{line}");
    }
    let copied = |line: &str| signed(line).replace("\r\nHost", "\r\nx-amz-copy-source: b/j\r\nHost");
    assert!(call(&copied("PUT /b/k"), answer).contains("S3/CopyObject"));
    assert!(call(&copied("PUT /b/k?partNumber=1&uploadId=u"), answer).contains("S3/UploadPartCopy"));
    // Signed for another service.
    assert_eq!(call(&signed("GET /b/k").replace("/s3/", "/sqs/"), answer), "");
}

/// Without the user's leave no body is looked at.
#[test]
fn bodies_are_read_only_on_demand() {
    let body = r#"{"jsonrpc":"2.0","method":"eth_call","id":7}"#;
    let conversation = Conversation::new().client(post("/", JSON, body)).server(ok("application/json", "{}"));
    let told = Driver::whole(&http(false), &conversation, false).told;
    assert!(!told[0].contains("rpc"), "{told:#?}");
}

/// What is missing of a body ends its reading, and does no other harm.
#[test]
fn holes() {
    let body = r#"{"jsonrpc":"2.0","method":"eth_call","id":7}"#;
    let conversation = Conversation::new()
        .client(post("/", JSON, body))
        .server(ok("application/json", r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601}}"#))
        .client(post("/", JSON, body))
        .server(ok("application/json", "{}"));
    checks::every_gap(&http(true), &conversation, checks::told_less);
    checks::every_late_start(&http(true), &conversation, checks::told_less);
}
