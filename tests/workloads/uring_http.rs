//! HTTP/1.1 over io_uring: `uring-http serve|call ADDRESS SEND RECEIVE MODE CONNECTIONS [COUNT]`.
//!
//! Only accepting, connecting and closing are system calls; every byte moves through one ring, which all connections
//! share. The client asks `COUNT` times on each of them: `POST /SEND/RECEIVE/MODE/CONNECTION/NUMBER`. Bodies are checked at
//! both ends. Without arguments it prints the ways to send, to receive and the modes that this kernel has, a line each.

use std::io::{Error, Result};
use std::mem::zeroed;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, Probe, cqueue, opcode, types};
use libc::{iovec, msghdr};

/// Every head has this length, so that the bodies can be moved apart from it.
const HEAD: usize = 192;
/// The longest message.
const MOST: usize = HEAD + 300_000;
/// Room for what is received at once.
const ROOM: usize = 32 * 1024;
/// Provided buffers of a ring.
const PROVIDED: u16 = 16;
/// The group that they are in.
const GROUP: u16 = 7;

/// What a completion is about: the low byte of its number; the connection's index stands above it.
const SENT: u64 = 0;
const RECEIVED: u64 = 1;
const GIVEN: u64 = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        let [send, receive, modes] = known().expect("io_uring");
        println!("{}\n{}\n{}", send.join(" "), receive.join(" "), modes.join(" "));
        return;
    }
    let [role, address, send, receive, mode, connections, rest @ ..] = &arguments[..] else {
        panic!("uring-http serve|call ADDRESS SEND RECEIVE MODE CONNECTIONS [COUNT]")
    };
    let connections: usize = connections.parse().expect("connections");
    let streams: Vec<TcpStream> = if role == "serve" {
        let listener = TcpListener::bind(address).expect("bind");
        (0..connections).map(|_| listener.accept().expect("accept").0).collect()
    } else {
        (0..connections).map(|_| TcpStream::connect(address).expect("connect")).collect()
    };
    for stream in &streams {
        stream.set_nodelay(true).expect("nodelay");
    }
    let count = rest.first().map_or(0, |count| count.parse().expect("count"));
    let way = Way { send: send.clone(), receive: receive.clone(), mode: mode.clone() };
    Talk::new(way, streams, count).expect("io_uring").run().expect("io_uring");
}

/// The ways to send, to receive and the modes that this kernel has.
fn known() -> Result<[Vec<&'static str>; 3]> {
    let ring = IoUring::new(2)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let mut send = vec!["send", "sendmsg", "write", "writev", "fixed"];
    let mut receive = vec!["recv", "recvmsg", "read", "readv", "fixed", "selected"];
    let mut modes = vec!["plain", "async", "linked", "eventfd", "sqpoll"];
    if probe.is_supported(opcode::SendZc::CODE) {
        // Linux 6.0, which has multishot receives too.
        send.push("zerocopy");
        receive.push("multishot");
    }
    if IoUring::<Entry>::builder().setup_single_issuer().setup_defer_taskrun().build(2).is_ok() {
        modes.push("deferred");
    }
    Ok([send, receive, modes])
}

/// Bytes of the body of a request; the test knows the same numbers.
fn request_length(i: usize) -> usize {
    i * 377 % 3000 + 1
}

/// Bytes of the body of a response; every seventh is larger than socket buffers.
fn response_length(i: usize) -> usize {
    if i % 7 == 6 { 300_000 } else { i * 531 % 5000 + 1 }
}

/// How bytes are moved.
struct Way {
    send: String,
    receive: String,
    mode: String,
}

/// One connection. It stays where it is, since the kernel has addresses of its fields.
struct Peer {
    stream: Option<TcpStream>,
    /// What is being sent, and how much of it is gone.
    out: Vec<u8>,
    sent: usize,
    /// Zero-copy sends of which the kernel has not yet given back the bytes.
    lent: u32,
    /// Where the kernel puts what it receives, and what has come of the present message.
    room: Vec<u8>,
    got: Vec<u8>,
    /// A receive is on its way.
    receiving: bool,
    number: usize,
    vectors: [[iovec; 2]; 2],
    messages: [msghdr; 2],
}

/// All connections of one end, and the ring.
struct Talk {
    ring: IoUring,
    way: Way,
    peers: Vec<Peer>,
    provided: Vec<u8>,
    /// Where the kernel is told which of them are free, for receives of many shots.
    free: Option<Free>,
    event: Option<OwnedFd>,
    /// Requests on each connection; 0 at the server.
    count: usize,
    client: bool,
    open: usize,
}

impl Talk {
    fn new(way: Way, streams: Vec<TcpStream>, count: usize) -> Result<Self> {
        let mut builder = IoUring::builder();
        match way.mode.as_str() {
            "sqpoll" => builder.setup_sqpoll(20),
            "deferred" => builder.setup_single_issuer().setup_defer_taskrun(),
            _ => &mut builder,
        };
        let ring: IoUring = builder.build(256)?;
        let descriptors: Vec<_> = streams.iter().map(AsRawFd::as_raw_fd).collect();
        let open = streams.len();
        // SAFETY: all zeros are valid vectors and messages.
        let (vectors, messages) = unsafe { (zeroed(), zeroed()) };
        let mut peers: Vec<Peer> = streams
            .into_iter()
            .map(|stream| Peer {
                stream: Some(stream),
                out: Vec::with_capacity(MOST),
                sent: 0,
                lent: 0,
                room: vec![0; ROOM],
                got: Vec::new(),
                receiving: false,
                number: 0,
                vectors,
                messages,
            })
            .collect();
        if way.mode == "sqpoll" {
            // Linux 5.10 knows no other descriptors in this mode.
            ring.submitter().register_files(&descriptors)?;
        }
        if way.send == "fixed" || way.receive == "fixed" {
            let buffer = |address: *mut u8, length| iovec { iov_base: address.cast(), iov_len: length };
            let buffers: Vec<iovec> = peers
                .iter_mut()
                .flat_map(|peer| [buffer(peer.out.as_mut_ptr(), MOST), buffer(peer.room.as_mut_ptr(), ROOM)])
                .collect();
            // SAFETY: neither grows or moves while the ring lives.
            unsafe { ring.submitter().register_buffers(&buffers)? };
        }
        let event = if way.mode == "eventfd" {
            // SAFETY: a new descriptor, which nobody else owns.
            let event = unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, 0))?) };
            ring.submitter().register_eventfd(event.as_raw_fd())?;
            Some(event)
        } else {
            None
        };
        let provided = vec![0; usize::from(PROVIDED) * ROOM];
        let free = if way.receive == "multishot" { Some(Free::new(&ring)?) } else { None };
        Ok(Self { ring, way, peers, provided, free, event, count, client: count > 0, open })
    }

    fn run(mut self) -> Result<()> {
        if matches!(self.way.receive.as_str(), "selected" | "multishot") {
            (0..PROVIDED).for_each(|buffer| self.provide(buffer));
        }
        for index in 0..self.peers.len() {
            if self.client {
                self.request(index);
            } else {
                self.receive(index);
            }
        }
        while self.open > 0 {
            self.wait()?;
            let completions: Vec<_> = self
                .ring
                .completion()
                .map(|entry| (entry.user_data(), entry.result(), entry.flags()))
                .collect();
            for (about, result, flags) in completions {
                let index = (about >> 8) as usize;
                match about & 0xff {
                    SENT => self.sent(index, result, flags),
                    RECEIVED => self.received(index, result, flags),
                    _ => assert!(result >= 0, "a buffer was refused: {result}"),
                }
            }
        }
        Ok(())
    }

    /// Waits for a completion.
    fn wait(&mut self) -> Result<()> {
        let Some(event) = &self.event else {
            return match self.ring.submit_and_wait(1) {
                Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
                _ => Ok(()),
            };
        };
        self.ring.submit()?;
        // What the ring has to do is now done while this thread is in another system call.
        let mut times = 0u64;
        // SAFETY: eight bytes, as an event descriptor wants.
        check(unsafe { libc::read(event.as_raw_fd(), (&raw mut times).cast(), 8) } as i32).map(drop)
    }

    /// Puts an operation on a connection into the ring.
    fn push(&mut self, index: usize, about: u64, entry: Entry, more: Flags) {
        let flags = if self.way.mode == "async" { more | Flags::ASYNC } else { more };
        let entry = entry.user_data((index as u64) << 8 | about).flags(flags);
        // SAFETY: what the entry points to lies in the peers and the provided buffers, which stay until the end.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.ring.submit().expect("submit");
        }
    }

    fn provide(&mut self, buffer: u16) {
        // SAFETY: within the buffers.
        let address = unsafe { self.provided.as_mut_ptr().add(usize::from(buffer) * ROOM) };
        if let Some(free) = &mut self.free {
            free.add(address, buffer);
            return;
        }
        let entry = opcode::ProvideBuffers::new(address, ROOM as i32, 1, GROUP, buffer).build();
        self.push(0, GIVEN, entry, Flags::empty());
    }

    /// The next request of a client.
    fn request(&mut self, index: usize) {
        let Way { send, receive, mode } = &self.way;
        let number = self.peers[index].number;
        let length = request_length(number);
        let head = format!(
            "POST /{send}/{receive}/{mode}/{index}/{number} HTTP/1.1\r\nHost: uring\r\nContent-Length: {length}\r\n"
        );
        self.message(index, &head, length);
    }

    /// Begins to send a message.
    fn message(&mut self, index: usize, head: &str, length: usize) {
        let peer = &mut self.peers[index];
        let filler = HEAD - head.len() - "X-Filler: \r\n\r\n".len();
        let head = format!("{head}X-Filler: {}\r\n\r\n", "-".repeat(filler));
        assert!(peer.sent == peer.out.len() && peer.lent == 0 && head.len() == HEAD);
        peer.out.clear();
        peer.out.extend_from_slice(head.as_bytes());
        peer.out.resize(HEAD + length, b'x');
        peer.sent = 0;
        self.send(index);
        if !self.peers[index].receiving {
            self.receive(index);
        }
    }

    /// Sends what is left of a message.
    fn send(&mut self, index: usize) {
        let polled = self.way.mode == "sqpoll";
        let peer = &mut self.peers[index];
        let Some(stream) = &peer.stream else { return };
        let socket = stream.as_raw_fd();
        let rest = &peer.out[peer.sent..];
        let (address, length) = (rest.as_ptr(), rest.len() as u32);
        let half = rest.len() / 2;
        peer.vectors[0] = [vector(&rest[..half]), vector(&rest[half..])];
        peer.messages[0] = message(&mut peer.vectors[0]);
        let (vectors, whole) = (peer.vectors[0].as_ptr(), &raw const peer.messages[0]);
        let in_head = HEAD.saturating_sub(peer.sent) as u32;
        macro_rules! on {
            ($fd:expr) => {
                match self.way.send.as_str() {
                    "sendmsg" => opcode::SendMsg::new($fd, whole).build(),
                    "write" => opcode::Write::new($fd, address, length).build(),
                    "writev" => opcode::Writev::new($fd, vectors, 2).build(),
                    "fixed" if in_head > 0 => opcode::Send::new($fd, address, in_head).build(),
                    "fixed" => opcode::WriteFixed::new($fd, address, length, index as u16 * 2).build(),
                    "zerocopy" => opcode::SendZc::new($fd, address, length).build(),
                    _ => opcode::Send::new($fd, address, length).build(),
                }
            };
        }
        let entry = if polled { on!(types::Fixed(index as u32)) } else { on!(types::Fd(socket)) };
        let linked = self.way.mode == "linked" && !self.peers[index].receiving;
        self.push(index, SENT, entry, if linked { Flags::IO_LINK } else { Flags::empty() });
        if linked {
            // It is done when all of the message is gone, and cancelled otherwise.
            self.receive(index);
        }
    }

    /// Begins to receive.
    fn receive(&mut self, index: usize) {
        let polled = self.way.mode == "sqpoll";
        let peer = &mut self.peers[index];
        let Some(stream) = &peer.stream else { return };
        let socket = stream.as_raw_fd();
        peer.receiving = true;
        let (address, length) = (peer.room.as_mut_ptr(), ROOM as u32);
        let (one, other) = peer.room.split_at(ROOM / 3);
        peer.vectors[1] = [vector(one), vector(other)];
        peer.messages[1] = message(&mut peer.vectors[1]);
        let (vectors, whole) = (peer.vectors[1].as_ptr(), &raw mut peer.messages[1]);
        let in_head = HEAD.saturating_sub(peer.got.len()) as u32;
        let left = (HEAD + body_length(&peer.got)).saturating_sub(peer.got.len()).min(ROOM) as u32;
        macro_rules! on {
            ($fd:expr) => {
                match self.way.receive.as_str() {
                    "recvmsg" => opcode::RecvMsg::new($fd, whole).build(),
                    "read" => opcode::Read::new($fd, address, length).build(),
                    "readv" => opcode::Readv::new($fd, vectors, 2).build(),
                    "fixed" if in_head > 0 => opcode::Recv::new($fd, address, in_head).build(),
                    "fixed" => opcode::ReadFixed::new($fd, address, left, index as u16 * 2 + 1).build(),
                    "selected" => {
                        opcode::Recv::new($fd, std::ptr::null_mut(), length).buf_group(GROUP).build()
                    }
                    "multishot" => opcode::RecvMulti::new($fd, GROUP).build(),
                    _ => opcode::Recv::new($fd, address, length).build(),
                }
            };
        }
        let entry = if polled { on!(types::Fixed(index as u32)) } else { on!(types::Fd(socket)) };
        let selected = self.way.receive == "selected";
        self.push(index, RECEIVED, entry, if selected { Flags::BUFFER_SELECT } else { Flags::empty() });
    }

    fn sent(&mut self, index: usize, result: i32, flags: u32) {
        let peer = &mut self.peers[index];
        if cqueue::notif(flags) {
            peer.lent -= 1;
        } else {
            assert!(result > 0 || peer.stream.is_none(), "sent: {}", Error::from_raw_os_error(-result));
            peer.lent += u32::from(cqueue::more(flags));
            peer.sent += result.max(0) as usize;
            if peer.sent < peer.out.len() {
                self.send(index);
                return;
            }
        }
        self.progress(index);
    }

    fn received(&mut self, index: usize, result: i32, flags: u32) {
        let peer = &mut self.peers[index];
        peer.receiving = cqueue::more(flags);
        if peer.stream.is_none() {
            // A receive of many shots sees the other end's end, too.
            return;
        }
        let buffer = cqueue::buffer_select(flags);
        match (result, buffer) {
            // A link that was broken by a short send, or no buffer is left: again, later.
            (error, _)
                if [-libc::ECANCELED, -libc::ENOBUFS, -libc::EINTR, -libc::EAGAIN].contains(&error) => {}
            (..0, _) => panic!("received: {}", Error::from_raw_os_error(-result)),
            (0, _) => {
                assert!(peer.got.is_empty() && !self.client, "the connection ended");
                self.end(index);
                return;
            }
            (_, Some(buffer)) => {
                let at = usize::from(buffer) * ROOM;
                peer.got.extend_from_slice(&self.provided[at..at + result as usize]);
                self.provide(buffer);
            }
            (_, None) => peer.got.extend_from_slice(&peer.room[..result as usize]),
        }
        self.progress(index);
    }

    /// Goes on with a message that has come, and receives what is still to come.
    fn progress(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let free = peer.sent == peer.out.len() && peer.lent == 0;
        if peer.got.len() >= HEAD && free {
            let length = body_length(&peer.got);
            assert!(peer.got.len() <= HEAD + length, "more than was asked for");
            if peer.got.len() == HEAD + length {
                assert!(peer.got[HEAD..].iter().all(|byte| *byte == b'x'));
                let number = peer.number;
                peer.number += 1;
                peer.got.clear();
                if self.client {
                    assert_eq!(length, response_length(number));
                    if number + 1 == self.count { self.end(index) } else { self.request(index) }
                } else {
                    assert_eq!(length, request_length(number));
                    let length = response_length(number);
                    self.message(index, &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n"), length);
                }
                return;
            }
        }
        // A linked receive waits for its send.
        if !self.peers[index].receiving && (free || self.way.mode != "linked") {
            self.receive(index);
        }
    }

    /// A connection is over.
    fn end(&mut self, index: usize) {
        let stream = self.peers[index].stream.take().expect("open");
        // A receive that is on its way, and a registered descriptor, hold the socket: closing it would end nothing.
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        self.open -= 1;
    }
}

/// A ring of free buffers, in a page that the kernel reads.
struct Free {
    entries: *mut types::BufRingEntry,
    tail: u16,
}

impl Free {
    fn new(ring: &IoUring) -> Result<Self> {
        const PAGE: usize = 4096;
        let (protection, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, which stays until the end; it has room for the entries and nobody else writes to it.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), PAGE, protection, kind, -1, 0);
            if page == libc::MAP_FAILED {
                return Err(Error::last_os_error());
            }
            ring.submitter().register_buf_ring_with_flags(page as u64, PROVIDED, GROUP, 0)?;
            Ok(Self { entries: page.cast(), tail: 0 })
        }
    }

    fn add(&mut self, address: *mut u8, buffer: u16) {
        // SAFETY: within the page; the entry behind the tail is the kernel's only when the tail has passed it.
        unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail % PROVIDED));
            entry.set_addr(address as u64);
            entry.set_len(ROOM as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = types::BufRingEntry::tail(self.entries).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

/// What the head says; 0 while it is not complete.
fn body_length(got: &[u8]) -> usize {
    let Some(head) = got.get(..HEAD) else { return 0 };
    let head = std::str::from_utf8(head).expect("head");
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next());
    length.expect("length").parse().expect("number")
}

fn check(result: i32) -> Result<i32> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

fn vector(bytes: &[u8]) -> iovec {
    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

fn message(vectors: &mut [iovec; 2]) -> msghdr {
    // SAFETY: all zero is a valid message without vectors.
    let mut message: msghdr = unsafe { zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    message
}
