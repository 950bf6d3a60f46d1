//! Raw HTTP over sockets of the test itself, where a test must decide about every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::{Netns, patience};

/// A connection from a test to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects from within a namespace.
    #[must_use]
    pub fn connect(netns: &Netns, address: &str) -> Self {
        let stream = netns.enter(|| TcpStream::connect(address)).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(Duration::from_secs(60) * patience())).expect("timeout");
        Self { stream: BufReader::new(stream) }
    }

    /// The port at this end.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.socket().local_addr().expect("address").port()
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends bytes with one system call if they fit.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("send");
    }

    /// Reads as many bytes as there is room for.
    pub fn receive(&mut self, into: &mut [u8]) {
        self.stream.read_exact(into).expect("bytes");
    }

    /// Sends a GET and reads the answer.
    pub fn get(&mut self, target: &str) -> Reply {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.reply()
    }

    /// Reads a response with a body.
    pub fn reply(&mut self) -> Reply {
        self.read(true)
    }

    /// Reads a response that has no body whatever its head says (to a HEAD).
    pub fn reply_without_body(&mut self) -> Reply {
        self.read(false)
    }

    /// Whether the server has closed the connection; reads what was left.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    fn read(&mut self, body: bool) -> Reply {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).expect("response head");
            assert!(read > 0, "the connection ended within the head {head:?}");
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("status");
        let mut reply = Reply { status, head, body: Vec::new() };
        if !body || status < 200 || status == 204 || status == 304 {
            return reply;
        }
        if let Some(length) = header(&reply.head, "content-length") {
            reply.body.resize(length.parse().expect("length"), 0);
            self.stream.read_exact(&mut reply.body).expect("body");
        } else if header(&reply.head, "transfer-encoding").is_some() {
            self.chunks(&mut reply.body);
        } else {
            self.stream.read_to_end(&mut reply.body).expect("body");
        }
        reply
    }

    fn chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("size of a chunk");
            let length = usize::from_str_radix(line.trim_end(), 16).expect("hexadecimal");
            let from = body.len();
            body.resize(from + length + 2, 0);
            self.stream.read_exact(&mut body[from..]).expect("chunk");
            body.truncate(from + length);
            if length == 0 {
                return;
            }
        }
    }
}

/// A header's value.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Reads a request's head byte by byte up to its end, and not further.
pub fn head_end(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).expect("request head") == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("head is text")
}

/// Listens inside a namespace and hands the first connection to `work`, on a thread of the test; the caller goes on
/// once the port listens, and joins the thread for the result.
#[must_use]
pub fn serve<T: Send + 'static>(
    netns: &Netns,
    address: &str,
    work: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let listener = netns.enter(|| TcpListener::bind(address)).expect("listen");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accept");
        stream.set_nodelay(true).expect("nodelay");
        work(stream)
    })
}
