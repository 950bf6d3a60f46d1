//! Connections, and exchanges on them that carry their name.
//!
//! What serves a connection allocates nothing: a child of a process with threads may not.

use std::io::{Cursor, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;

use libc::iovec;

use crate::{Common, Random};

/// A connection's name: no other one ever has it.
#[derive(Debug)]
pub struct Name {
    /// `tcp4`, `tcp6`, `mapped` (IPv4 to a server that listens on IPv6) or `unix`.
    family: &'static str,
    /// The ports, 0 of a unix socket, whose path has the serial number.
    server: u16,
    client: u16,
    serial: u64,
}

/// Both ends of a connection.
pub struct Pair {
    pub client: End,
    pub server: End,
}

/// A new connection, both ends of it.
pub fn connect(common: &Common, random: &mut Random) -> (Name, Pair) {
    let serial = common.serial.fetch_add(1, Ordering::Relaxed);
    if random.below(3) == 0 {
        let path = common.folder.join(format!("{serial}.sock"));
        let listener = UnixListener::bind(&path).expect("bind");
        let client = UnixStream::connect(&path).expect("connect").into_raw_fd();
        let server = listener.accept().expect("accept").0.into_raw_fd();
        std::fs::remove_file(path).expect("the socket's file");
        let name = Name { family: "unix", server: 0, client: 0, serial };
        return (name, Pair { client: End::new(client), server: End::new(server) });
    }
    let (family, address): (_, SocketAddr) = match random.below(3) {
        0 => ("tcp4", ([127, 0, 0, 1], 0).into()),
        1 => ("tcp6", (Ipv6Addr::LOCALHOST, 0).into()),
        _ => ("mapped", (Ipv6Addr::UNSPECIFIED, 0).into()),
    };
    let listener = TcpListener::bind(address).expect("bind");
    let port = listener.local_addr().expect("address").port();
    let to = match family {
        "mapped" => ([127, 0, 0, 1], port).into(),
        _ => SocketAddr::new(address.ip(), port),
    };
    let client = TcpStream::connect(to).expect("connect");
    let server = listener.accept().expect("accept").0;
    for end in [&client, &server] {
        end.set_nodelay(true).expect("nodelay");
    }
    let name = Name { family, server: port, client: client.local_addr().expect("address").port(), serial };
    (name, Pair { client: End::new(client.into_raw_fd()), server: End::new(server.into_raw_fd()) })
}

/// What may be expected of the spans of an exchange.
#[derive(Clone, Copy, Debug)]
pub enum Class {
    /// No call began with a number that meant another connection when it ended: all is known.
    Exact,
    /// One did.
    Raced,
    /// It was not answered.
    Cut,
}

/// A request that was sent.
#[derive(Debug)]
pub struct Asked {
    target: String,
}

/// A request and what became of it.
#[derive(Debug)]
pub struct Exchange {
    class: Class,
    target: String,
    /// Who answered, 0 if nobody did.
    server: u32,
}

impl Exchange {
    /// Class, process of the client, process of the server and target: `exact 17 18 /tcp4/…`
    pub fn line(&self) -> String {
        let class = match self.class {
            Class::Exact => "exact",
            Class::Raced => "raced",
            Class::Cut => "cut",
        };
        format!("{class} {} {} {}", std::process::id(), self.server, self.target)
    }
}

/// Makes an exchange of a connection of which both ends are here.
pub fn exchange(name: &Name, number: u64, client: &mut End, server: &mut End, class: Class) -> Exchange {
    let asked = ask(client, name, number, 0);
    assert!(answer(server), "{asked:?}");
    asked.answered(client, class)
}

/// Sends a request with a body of `length` bytes: `/FAMILY/SERVER/CLIENT/SERIAL/NUMBER/STATUS/ANSWER/LENGTH`, the last
/// two being the lengths of the bodies.
pub fn ask(end: &mut End, name: &Name, number: u64, length: usize) -> Asked {
    let Name { family, server, client, serial } = name;
    let mixed = (serial * 31 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let status = [200, 201, 202, 203, 404, 503][(mixed % 6) as usize];
    let target = format!("/{family}/{server}/{client}/{serial}/{number}/{status}/{}/{length}", mixed % 3001);
    let method = if length == 0 { "GET" } else { "POST" };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: c{serial}.r{number}\r\nUser-Agent: {target}\r\n\
         traceparent: 00-{serial:016x}{:016x}-00000000000000ff-01\r\nContent-Length: {length}\r\n\r\n",
        number + 1
    );
    let body = format!("{target} ").repeat(length / target.len() + 1);
    end.send(head.as_bytes(), &body.as_bytes()[..length]);
    Asked { target }
}

impl Asked {
    /// Reads the answer.
    pub fn answered(self, end: &mut End, class: Class) -> Exchange {
        let mut buffer = [0; BUFFER];
        let head = end.receive(&mut buffer).expect("an answer");
        let Self { target } = self;
        assert_eq!(field(head, "X-Name: "), Some(target.as_str()), "the answer to another request");
        let server = field(head, "X-Process: ").and_then(|id| id.parse().ok()).expect("a process");
        Exchange { class, target, server }
    }

    /// There will be no answer.
    pub fn unanswered(self) -> Exchange {
        Exchange { class: Class::Cut, target: self.target, server: 0 }
    }
}

const BUFFER: usize = 16 * 1024;

/// Reads a request and answers it; false at the end of the stream.
pub fn answer(end: &mut End) -> bool {
    let mut buffer = [0; BUFFER];
    let Some(head) = end.receive(&mut buffer) else { return false };
    respond(end, head);
    true
}

/// Reads a request; its head.
pub fn read_request(end: &mut End) -> Option<String> {
    let mut buffer = [0; BUFFER];
    end.receive(&mut buffer).map(str::to_owned)
}

/// Answers the request with that head.
pub fn respond(end: &mut End, head: &str) {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let mut parts = target.split('/').skip(6);
    let status = parts.next().unwrap_or_default();
    let length: usize = parts.next().and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut response = Cursor::new([0; 1024]);
    // It fits. (`std::process::id` is a system call and nothing else.)
    let _ = write!(
        response,
        "HTTP/1.1 {status} Named\r\nX-Name: {target}\r\nX-Process: {}\r\nContent-Length: {length}\r\n\r\n",
        std::process::id()
    );
    let mut body = [0; 4096];
    let name = target.as_bytes();
    for (to, from) in body.iter_mut().zip(name.iter().cycle()) {
        *to = *from;
    }
    let written = response.position() as usize;
    end.send(&response.get_ref()[..written], &body[..length.min(4096)]);
}

/// The rest of the line that begins with `name`.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name))
}

/// One end of a connection.
pub struct End {
    pub fd: RawFd,
    /// Where the calls after the first go, if another descriptor than `fd` is to be used.
    pub then: Option<RawFd>,
    /// Which system call comes next.
    way: u32,
}

impl End {
    pub fn new(fd: RawFd) -> Self {
        Self { fd, then: None, way: fd as u32 }
    }

    /// The first call with `fd`, all others with `then`.
    pub fn first(fd: RawFd, then: RawFd) -> Self {
        Self { then: Some(then), ..Self::new(fd) }
    }

    /// The first call takes head and body together.
    pub fn vectored(self) -> Self {
        Self { way: 1 + (self.way & 1), ..self }
    }

    fn next(&mut self) -> (RawFd, u32) {
        let fd = self.fd;
        if let Some(then) = self.then {
            self.fd = then;
        }
        self.way = self.way.wrapping_add(1);
        (fd, self.way % 4)
    }

    /// Sends all.
    fn send(&mut self, head: &[u8], body: &[u8]) {
        let total = head.len() + body.len();
        let mut sent = 0;
        while sent < total {
            let (fd, way) = self.next();
            let body = &body[sent.saturating_sub(head.len())..];
            let head = &head[sent.min(head.len())..];
            let vectors = [head, body]
                .map(|part| iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
            // SAFETY: the vectors are those of live slices; the message points to them.
            let result = unsafe {
                let mut message: libc::msghdr = std::mem::zeroed();
                message.msg_iov = vectors.as_ptr().cast_mut();
                message.msg_iovlen = 2;
                let one = if head.is_empty() { vectors[1] } else { vectors[0] };
                match way {
                    0 => libc::write(fd, one.iov_base, one.iov_len),
                    1 => libc::send(fd, one.iov_base, one.iov_len, libc::MSG_NOSIGNAL),
                    2 => libc::writev(fd, vectors.as_ptr(), 2),
                    _ => libc::sendmsg(fd, &raw const message, libc::MSG_NOSIGNAL),
                }
            };
            assert!(result > 0, "{}", std::io::Error::last_os_error());
            sent += result as usize;
        }
    }

    /// Reads a message to its end; its head, or `None` at the end of the stream.
    fn receive<'a>(&mut self, buffer: &'a mut [u8; BUFFER]) -> Option<&'a str> {
        let mut filled = 0;
        let end = loop {
            let read = self.read(&mut buffer[filled..]);
            if read == 0 {
                return None;
            }
            filled += read;
            if let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = std::str::from_utf8(&buffer[..end]).ok()?;
        let length: usize = field(head, "Content-Length: ")?.parse().ok()?;
        let mut missing = (end + length).saturating_sub(filled);
        let mut rest = [0; BUFFER];
        while missing > 0 {
            let room = missing.min(BUFFER);
            missing -= self.read(&mut rest[..room]);
        }
        std::str::from_utf8(&buffer[..end]).ok()
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let (fd, way) = self.next();
        let (half, other) = buffer.split_at_mut(buffer.len() / 2);
        let vectors =
            [half, other].map(|part| iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() });
        // SAFETY: the vectors are those of live slices, one behind the other; the message points to them.
        let result = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = vectors.as_ptr().cast_mut();
            message.msg_iovlen = 2;
            match way {
                0 => libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()),
                1 => libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0),
                2 => libc::readv(fd, vectors.as_ptr(), 2),
                _ => libc::recvmsg(fd, &raw mut message, 0),
            }
        };
        assert!(result >= 0, "{}", std::io::Error::last_os_error());
        result as usize
    }
}
