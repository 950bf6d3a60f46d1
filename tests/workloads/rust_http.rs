//! The workload server in axum and the client in hyper: `serve ADDRESS:PORT` or `fetch ADDRESS:PORT`.
//!
//! The client's standard input: METHOD TARGET BODY a line; its standard output: STATUS BYTES START END a line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, address] = &arguments[..] else { anyhow::bail!("serve|fetch ADDRESS:PORT") };
    if mode == "serve" { serve(address).await } else { fetch(address).await }
}

async fn serve(address: &str) -> Result<()> {
    let routes = Router::new()
        .route("/hello", get(async || "hello\n"))
        .route("/bytes/{count}", get(async |Path(count): Path<usize>| "b".repeat(count)))
        .route("/status/{status}", get(status))
        .route("/slow/{milliseconds}", get(slow))
        .route("/chunked/{length}", get(chunked))
        .route("/echo", post(async |body: Bytes| body));
    axum::serve(TcpListener::bind(address).await?, routes).await?;
    Ok(())
}

async fn status(Path(status): Path<u16>) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
}

async fn slow(Path(milliseconds): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    "slow\n"
}

async fn chunked(Path(length): Path<usize>) -> Body {
    // A body of unknown length goes in chunks.
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        for _ in 0..3 {
            let _ = sender.send("c".repeat(length / 3).into()).await;
        }
    });
    Body::new(Parts(receiver))
}

/// A body whose parts come from a channel.
struct Parts(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

async fn fetch(address: &str) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    for line in std::io::read_to_string(std::io::stdin())?.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [method, target, body] = fields[..] else { anyhow::bail!("not a request: {line}") };
        let chunked = body.starts_with("chunked:");
        let length: usize = body.trim_start_matches("chunked:").parse().unwrap_or(0);
        let payload = Bytes::from("r".repeat(length));
        let body = if chunked {
            let (send, receive) = tokio::sync::mpsc::channel(5);
            for part in payload.chunks(length / 5) {
                send.send(Bytes::copy_from_slice(part)).await?;
            }
            Parts(receive).boxed()
        } else {
            Full::new(payload).boxed()
        };
        let request = hyper::Request::builder().method(method).uri(target);
        let request = request.header("host", address).header("user-agent", "rust-http/1").body(body)?;
        let start = now();
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let size = response.into_body().collect().await.context("body")?.to_bytes().len();
        println!("{status} {size} {start} {}", now());
    }
    Ok(())
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()
}
