//! HTTP/2 and gRPC in hyper and tonic: `serve PORT`, `fetch PORT`, `call PORT`. Messages are bytes, so that no compiler is
//! needed. The service, and a round of calls, are those of the Python peer; `fetch` asks for eight items at once.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut, Bytes};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::BoxFuture;
use tonic::server::{ClientStreamingService, ServerStreamingService, StreamingService, UnaryService};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

type Message = Vec<u8>;
type Messages = tokio_stream::Iter<std::vec::IntoIter<Result<Message, Status>>>;

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Message;
    type Decode = Message;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, item: Message, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Message;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Message>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, port] = &arguments[..] else { anyhow::bail!("serve|fetch|call PORT") };
    let address = format!("127.0.0.1:{port}");
    match mode.as_str() {
        "serve" => serve(&address).await,
        "fetch" => fetch(&address).await,
        _ => call(&address).await,
    }
}

// The server.

struct Shop;

impl UnaryService<Message> for Shop {
    type Response = Message;
    type Future = BoxFuture<Response<Message>, Status>;

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        Box::pin(async move {
            match request.get_ref().first() {
                Some(b'f') => Err(Status::not_found("no such item")),
                Some(b's') => std::future::pending().await,
                _ => Ok(Response::new(request.into_inner())),
            }
        })
    }
}

impl ClientStreamingService<Message> for Shop {
    type Response = Message;
    type Future = BoxFuture<Response<Message>, Status>;

    fn call(&mut self, request: Request<Streaming<Message>>) -> Self::Future {
        Box::pin(async move {
            let mut messages = request.into_inner();
            let mut count = 0;
            while messages.message().await?.is_some() {
                count += 1;
            }
            Ok(Response::new(count.to_string().into_bytes()))
        })
    }
}

impl ServerStreamingService<Message> for Shop {
    type Response = Message;
    type ResponseStream = Messages;
    type Future = BoxFuture<Response<Messages>, Status>;

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        let answers = vec![Ok(request.into_inner()); 3];
        Box::pin(async move { Ok(Response::new(tokio_stream::iter(answers))) })
    }
}

impl StreamingService<Message> for Shop {
    type Response = Message;
    type ResponseStream = Streaming<Message>;
    type Future = BoxFuture<Response<Streaming<Message>>, Status>;

    fn call(&mut self, request: Request<Streaming<Message>>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner())) })
    }
}

async fn answer(request: hyper::Request<Incoming>) -> Result<hyper::Response<tonic::body::Body>, Infallible> {
    let mut grpc = tonic::server::Grpc::new(Raw);
    Ok(match request.uri().path() {
        "/remora.test.Shop/Upload" => grpc.client_streaming(Shop, request).await,
        "/remora.test.Shop/List" => grpc.server_streaming(Shop, request).await,
        "/remora.test.Shop/Chat" => grpc.streaming(Shop, request).await,
        path if path.starts_with("/remora.test.Shop/") => grpc.unary(Shop, request).await,
        path => hyper::Response::new(tonic::body::Body::new(Full::new(Bytes::from(path.to_owned())))),
    })
}

async fn serve(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
        tokio::spawn(connection);
    }
}

// The clients.

/// Says that it is ready, and waits to be told to go on; false at the end.
async fn go_on(lines: &mut tokio::io::Lines<BufReader<tokio::io::Stdin>>) -> Result<bool> {
    println!("ready");
    Ok(lines.next_line().await?.is_some())
}

async fn fetch(address: &str) -> Result<()> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut number = 0;
    while go_on(&mut lines).await? {
        let mut all = Vec::new();
        for i in 0..8 {
            let mut sender = sender.clone();
            let target = format!("http://{address}/items/{}", 1000 + 10 * number + i);
            all.push(tokio::spawn(async move {
                let request = hyper::Request::get(target).body(Empty::<Bytes>::new())?;
                let response = sender.send_request(request).await?;
                let body = response.into_body().collect().await?.to_bytes();
                anyhow::Ok(body.len())
            }));
        }
        for answer in all {
            ensure!(answer.await?? == "/items/1000".len());
        }
        number += 1;
    }
    Ok(())
}

async fn call(address: &str) -> Result<()> {
    let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
    let mut client = tonic::client::Grpc::new(channel);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    round(&mut client).await?;
    while go_on(&mut lines).await? {
        round(&mut client).await?;
    }
    Ok(())
}

async fn round(client: &mut tonic::client::Grpc<Channel>) -> Result<()> {
    let path = |method: &str| hyper::http::uri::PathAndQuery::try_from(format!("/remora.test.Shop/{method}"));
    let body = |first: u8| [vec![first], vec![b'x'; 999]].concat();
    let up = || tokio_stream::iter(vec![b"up".to_vec(); 3]);
    client.ready().await?;
    let _ = client.unary(Request::new(body(b'g')), path("Get")?, Raw).await?;
    client.ready().await?;
    let failed = client.unary(Request::new(body(b'f')), path("Fail")?, Raw).await.err().context("found")?;
    ensure!(failed.code() == Code::NotFound);
    client.ready().await?;
    let mut slow = Request::new(body(b's'));
    slow.set_timeout(Duration::from_millis(100));
    ensure!(client.unary(slow, path("Slow")?, Raw).await.is_err());
    client.ready().await?;
    let _ = client.client_streaming(Request::new(up()), path("Upload")?, Raw).await?;
    client.ready().await?;
    let mut list =
        client.server_streaming(Request::new(b"up".to_vec()), path("List")?, Raw).await?.into_inner();
    while list.message().await?.is_some() {}
    client.ready().await?;
    let mut chat = client.streaming(Request::new(up()), path("Chat")?, Raw).await?.into_inner();
    while chat.message().await?.is_some() {}
    Ok(())
}
