//! Exchanges between two threads of this process over every way in which bytes can be moved through a socket:
//! `exchange FAMILY ADDRESS WRITE READ COUNT`, on one connection.
//!
//! `FAMILY` is `inet` (ADDRESS is IP:PORT), `mapped` (the server listens on IPv6, the client comes over IPv4; ADDRESS
//! is `[::]:PORT`), `tls` (as `inet`, and all but the first exchange passes through kernel TLS) or `unix` (a path).
//! Requests are `POST /WRITE/READ/NUMBER`; bodies are checked at both ends. At the end it prints how many bytes TCP carried
//! to the server and to the client.

use std::cell::RefCell;
use std::io::{Error, Result};
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr::{null, null_mut};

mod ktls;

use io_uring::{IoUring, opcode, types};
use libc::{c_int, c_void, iovec, mmsghdr, msghdr};

/// `(write ways, read ways)`, so that the test need not repeat them. `uring` moves bodies only, as sendfile and splice do, and
/// `zerocopy`, `vmsplice` and `mapped`, which TCP alone has.
const WRITE: &str =
    "write joined send sendto bytes writev sendmsg sendmmsg sendfile splice nonblocking faulty uring";
const READ: &str = "read recv recvfrom readv recvmsg recvmmsg peek tiny waitall truncate splice nonblocking interrupted uring";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        println!("{WRITE}\n{READ}");
        return;
    }
    let [family, address, write, read, count] = &arguments[..] else {
        panic!("exchange FAMILY ADDRESS WRITE READ COUNT")
    };
    let count = count.parse().expect("count");
    let (client, server) = connect(family, address);
    let (tls, tcp) = (family == "tls", family != "unix");
    let make = |fd| End { fd, write: write.clone(), read: read.clone(), kept: Vec::new() };
    if read == "interrupted" {
        interrupt_often();
    }
    for fd in [client, server] {
        if write == "nonblocking" || read == "nonblocking" {
            // SAFETY: plain flags on an open descriptor.
            check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) } as isize).expect("nonblocking");
            let small: c_int = 8192;
            // SAFETY: the option is an int.
            unsafe {
                let value = (&raw const small).cast();
                libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, value, size_of::<c_int>() as u32);
            }
        }
    }
    let mut server = make(server);
    let answering = std::thread::spawn(move || {
        for i in 0..count {
            if tls && i == 1 {
                ktls::encrypt(server.fd, false).expect("kernel TLS");
            }
            let (head, body) = server.receive();
            assert!(head.starts_with("POST /"), "{head}");
            server.check(&body, request_length(i));
            let length = response_length(i);
            if server.read == "interrupted" {
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            server.send(
                &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Filler: {i}\r\n\r\n"),
                length,
            );
        }
        server
    });
    let mut client = make(client);
    for i in 0..count {
        if tls && i == 1 {
            ktls::encrypt(client.fd, true).expect("kernel TLS");
        }
        let length = request_length(i);
        let target = format!("/{write}/{read}/{i}");
        client.send(
            &format!("POST {target} HTTP/1.1\r\nHost: exchange\r\nContent-Length: {length}\r\n\r\n"),
            length,
        );
        let (head, body) = client.receive();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        client.check(&body, response_length(i));
    }
    let server = answering.join().expect("server");
    if tcp {
        let carried = |end: &End| ktls::received(end.fd).expect("TCP's facts");
        println!("{} {}", carried(&server), carried(&client));
    }
}

/// Bytes of the body of a request; the test knows the same numbers.
fn request_length(i: usize) -> usize {
    i * 377 % 3000 + 1
}

/// Bytes of the body of a response; every seventh is larger than socket buffers.
fn response_length(i: usize) -> usize {
    if i % 7 == 6 { 300_000 } else { i * 531 % 5000 + 1 }
}

fn connect(family: &str, address: &str) -> (RawFd, RawFd) {
    if family == "unix" {
        let listener = UnixListener::bind(address).expect("bind");
        let client = UnixStream::connect(address).expect("connect");
        return (client.into_raw_fd(), listener.accept().expect("accept").0.into_raw_fd());
    }
    let listener = TcpListener::bind(address).expect("bind");
    let to: SocketAddr = match family {
        "mapped" => ([127, 0, 0, 1], listener.local_addr().expect("address").port()).into(),
        _ => address.parse().expect("address"),
    };
    let client = TcpStream::connect(to).expect("connect");
    client.set_nodelay(true).expect("nodelay");
    let server = listener.accept().expect("accept").0;
    server.set_nodelay(true).expect("nodelay");
    (client.into_raw_fd(), server.into_raw_fd())
}

/// A signal every 500 µs whose handler does not restart system calls.
fn interrupt_often() {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: the handler does nothing; the structures are plain and outlive the calls.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = nothing as extern "C" fn(c_int) as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, null_mut());
        let every = libc::timeval { tv_sec: 0, tv_usec: 500 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut());
    }
}

fn check(result: isize) -> Result<usize> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result as usize) }
}

/// One end of the connection.
struct End {
    fd: RawFd,
    write: String,
    read: String,
    /// Bytes read beyond the message.
    kept: Vec<u8>,
}

impl End {
    /// Sends a message with a body of so many bytes `x`.
    fn send(&self, head: &str, length: usize) {
        let head = head.as_bytes();
        let body = vec![b'x'; length];
        match self.write.as_str() {
            "joined" => self.all(&[head, &body].concat(), plain_write),
            "bytes" => {
                head.iter().for_each(|byte| self.all(&[*byte], plain_write));
                self.all(&body, plain_write);
            }
            "writev" | "sendmsg" => self.vectors(head, &body),
            "sendmmsg" => self.messages(head, &body),
            "uring" => {
                self.all(head, plain_write);
                self.all(&body, |fd, bytes| {
                    ring(&opcode::Send::new(types::Fd(fd), bytes.as_ptr(), bytes.len() as u32).build())
                });
            }
            "sendfile" | "splice" | "vmsplice" => {
                self.all(head, plain_write);
                self.whole_file(&body);
            }
            "zerocopy" => self.lend(&[head, &body].concat()),
            way => {
                self.all(head, |fd, bytes| one_write(way, fd, bytes));
                self.all(&body, |fd, bytes| one_write(way, fd, bytes));
            }
        }
    }

    /// Calls `write` until all is gone.
    fn all(&self, mut bytes: &[u8], write: impl Fn(RawFd, &[u8]) -> Result<usize>) {
        while !bytes.is_empty() {
            let written = self.retry(libc::POLLOUT, || write(self.fd, bytes));
            bytes = &bytes[written..];
        }
    }

    fn vectors(&self, head: &[u8], body: &[u8]) {
        // The head in pieces of 1, 2, 4, … bytes with an empty one between, then the body in three.
        let mut pieces: Vec<&[u8]> = Vec::new();
        let (mut rest, mut step) = (head, 1);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(step.min(rest.len()));
            pieces.extend([piece, &[]]);
            (rest, step) = (behind, step * 2);
        }
        pieces.extend(body.chunks(body.len().div_ceil(3)));
        while !pieces.is_empty() {
            let vectors: Vec<iovec> = pieces.iter().map(|piece| vector(piece)).collect();
            let mut written = self.retry(libc::POLLOUT, || {
                if self.write == "writev" {
                    // SAFETY: the vectors point to live slices.
                    return check(unsafe { libc::writev(self.fd, vectors.as_ptr(), vectors.len() as c_int) });
                }
                let message = message(&vectors);
                // SAFETY: the message points to live vectors.
                check(unsafe { libc::sendmsg(self.fd, &raw const message, libc::MSG_NOSIGNAL) })
            });
            while let Some(first) = pieces.first_mut() {
                if first.len() > written {
                    *first = &first[written..];
                    break;
                }
                written -= first.len();
                pieces.remove(0);
            }
        }
    }

    fn messages(&self, head: &[u8], body: &[u8]) {
        let (half, other) = head.split_at(head.len() / 2);
        let first = [vector(half), vector(other)];
        let second = [vector(&body[..1]), vector(&body[1..])];
        let mut both = [&first, &second].map(|vectors| mmsghdr { msg_hdr: message(vectors), msg_len: 0 });
        let sent = self.retry(libc::POLLOUT, || {
            // SAFETY: the messages point to live vectors.
            check(unsafe { libc::sendmmsg(self.fd, both.as_mut_ptr(), 2, 0) } as isize)
        });
        let (whole, sent) =
            ([head, body].concat(), both[..sent].iter().map(|one| one.msg_len as usize).sum());
        self.all(&whole[sent..], plain_write);
    }

    /// Sends bytes that never were in this process's buffers, as far as the kernel can see.
    fn whole_file(&self, body: &[u8]) {
        // What is given to a pipe must stay as it is until it has been read at the other end.
        let body: &[u8] = if self.write == "vmsplice" { Vec::leak(body.to_vec()) } else { body };
        // SAFETY: plain system calls on descriptors of this function, buffers are live.
        unsafe {
            let file = libc::memfd_create(c"body".as_ptr(), 0);
            assert_eq!(
                check(libc::write(file, body.as_ptr().cast(), body.len())).expect("memfd"),
                body.len()
            );
            let mut offset = 0;
            let mut pipe = [0; 2];
            check(libc::pipe(pipe.as_mut_ptr()) as isize).expect("pipe");
            while (offset as usize) < body.len() {
                let left = body.len() - offset as usize;
                if self.write == "sendfile" {
                    let out = || check(libc::sendfile(self.fd, file, &raw mut offset, left));
                    self.retry(libc::POLLOUT, out);
                    continue;
                }
                let into = if self.write == "vmsplice" {
                    let piece = vector(&body[offset as usize..][..left.min(65536)]);
                    let gone = libc::vmsplice(pipe[1], &raw const piece, 1, 0);
                    offset += gone.max(0) as i64;
                    gone
                } else {
                    libc::splice(file, &raw mut offset, pipe[1], null_mut(), left.min(65536), 0)
                };
                let mut waiting = check(into).expect("splice into pipe");
                while waiting > 0 {
                    let out = || check(libc::splice(pipe[0], null_mut(), self.fd, null_mut(), waiting, 0));
                    waiting -= self.retry(libc::POLLOUT, out);
                }
            }
            for fd in [file, pipe[0], pipe[1]] {
                libc::close(fd);
            }
        }
    }

    /// Sends bytes out of this process's memory without a copy, and waits until TCP needs them no more.
    fn lend(&self, bytes: &[u8]) {
        ktls::set(self.fd, libc::SOL_SOCKET, libc::SO_ZEROCOPY, &1).expect("SO_ZEROCOPY");
        let mut calls = 0;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (data, length) = (rest.as_ptr().cast(), rest.len());
            let sent = self.retry(libc::POLLOUT, || {
                // SAFETY: a live slice, which stays until the kernel has said that it is done with it.
                check(unsafe { libc::send(self.fd, data, length, libc::MSG_ZEROCOPY) })
            });
            rest = &rest[sent..];
            calls += 1;
        }
        while calls > 0 {
            let mut control = [0u64; 16];
            let mut answer = message(&[]);
            answer.msg_control = control.as_mut_ptr().cast();
            answer.msg_controllen = size_of_val(&control) as _;
            // An error always ends the wait for it.
            let _ = self.retry(0, || {
                // SAFETY: a message without vectors, and room for what the kernel tells beside it.
                check(unsafe { libc::recvmsg(self.fd, &raw mut answer, libc::MSG_ERRQUEUE) })
            });
            // Behind the header, `struct sock_extended_err`: its last two words are the first and the last of the calls.
            let [first, last] = [control[3] as u32, (control[3] >> 32) as u32];
            calls -= last - first + 1;
        }
    }

    /// Receives a message: its head, and as many bytes of its body as were handed over (`truncate` drops them).
    fn receive(&mut self) -> (String, Vec<u8>) {
        let mut bytes = std::mem::take(&mut self.kept);
        // These take exactly the head first, and then the body in their own way.
        let exact =
            matches!(self.read.as_str(), "peek" | "waitall" | "truncate" | "splice" | "mapped" | "uring");
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let body = bytes.split_off(end + 4);
                break std::mem::replace(&mut bytes, body);
            }
            if exact {
                let seen = self.peek();
                let end =
                    seen.windows(4).position(|window| window == b"\r\n\r\n").map_or(seen.len(), |at| at + 4);
                bytes.extend(self.take(end));
            } else {
                bytes.extend(self.some());
            }
        };
        let head = String::from_utf8(head).expect("head");
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let length: usize = length.expect("length").parse().expect("number");
        while bytes.len() < length {
            let left = length - bytes.len();
            match self.read.as_str() {
                "peek" => {
                    let seen = self.peek().len().min(left);
                    bytes.extend(self.take(seen));
                }
                "waitall" => bytes.extend(self.recv(left, libc::MSG_WAITALL)),
                "truncate" => bytes.extend(self.drop_bytes(left)),
                "splice" => bytes.extend(self.through_pipe(left)),
                "mapped" => bytes.extend(self.mapped(left)),
                "uring" => {
                    let mut buffer = vec![0; left];
                    let receive = opcode::Recv::new(types::Fd(self.fd), buffer.as_mut_ptr(), left as u32);
                    let read = ring(&receive.build()).expect("io_uring");
                    bytes.extend(&buffer[..read]);
                }
                _ => bytes.extend(self.some()),
            }
        }
        self.kept = bytes.split_off(length);
        (head, bytes)
    }

    fn check(&self, body: &[u8], length: usize) {
        assert_eq!(body.len(), length, "{} {}", self.write, self.read);
        assert!(body.iter().all(|byte| *byte == b'x'), "{} {}", self.write, self.read);
    }

    fn recv(&self, length: usize, flags: c_int) -> Vec<u8> {
        let mut buffer = vec![0; length];
        let read = self.retry(libc::POLLIN, || {
            // SAFETY: the buffer is as long as said.
            check(unsafe { libc::recv(self.fd, buffer.as_mut_ptr().cast(), length, flags) })
        });
        assert!(read > 0, "the connection ended");
        buffer.truncate(read);
        buffer
    }

    fn peek(&self) -> Vec<u8> {
        self.recv(65536, libc::MSG_PEEK)
    }

    fn take(&self, length: usize) -> Vec<u8> {
        self.recv(length, 0)
    }

    /// Lets the kernel throw away bytes; they count as `x`. A unix socket has no such thing and reads them.
    fn drop_bytes(&self, length: usize) -> Vec<u8> {
        let mut buffer = vec![b'x'; length];
        let dropped = self.retry(libc::POLLIN, || {
            // SAFETY: the buffer is as long as said; TCP does not write to it.
            check(unsafe { libc::recv(self.fd, buffer.as_mut_ptr().cast(), length, libc::MSG_TRUNC) })
        });
        buffer.truncate(dropped);
        buffer
    }

    fn through_pipe(&self, length: usize) -> Vec<u8> {
        // SAFETY: plain system calls on descriptors of this function; the buffer is as long as said.
        unsafe {
            let mut pipe = [0; 2];
            check(libc::pipe(pipe.as_mut_ptr()) as isize).expect("pipe");
            let into = || check(libc::splice(self.fd, null_mut(), pipe[1], null_mut(), length.min(65536), 0));
            let moved = self.retry(libc::POLLIN, into);
            let mut buffer = vec![0; moved];
            let read = check(libc::read(pipe[0], buffer.as_mut_ptr().cast(), moved)).expect("read pipe");
            assert_eq!(read, moved);
            for fd in pipe {
                libc::close(fd);
            }
            buffer
        }
    }

    /// Lets the kernel map the pages that it has received, and reads what it cannot map.
    fn mapped(&self, length: usize) -> Vec<u8> {
        /// `TCP_ZEROCOPY_RECEIVE` and the first fields of its structure (include/uapi/linux/tcp.h).
        const RECEIVE: c_int = 35;
        #[repr(C)]
        struct Receive {
            address: u64,
            length: u32,
            skip: u32,
        }
        let room = length.next_multiple_of(4096);
        // SAFETY: new memory of that length, which is given back below; the kernel is told its length, and says how much of
        // it it has mapped.
        unsafe {
            let memory = libc::mmap(null_mut(), room, libc::PROT_READ, libc::MAP_SHARED, self.fd, 0);
            assert_ne!(memory, libc::MAP_FAILED, "{}", Error::last_os_error());
            let mut receive = Receive { address: memory as u64, length: length as u32, skip: 0 };
            let mut size = size_of::<Receive>() as u32;
            let to = (&raw mut receive).cast();
            let result = libc::getsockopt(self.fd, libc::IPPROTO_TCP, RECEIVE, to, &raw mut size);
            check(result as isize).expect("TCP_ZEROCOPY_RECEIVE");
            let mut bytes = std::slice::from_raw_parts(memory.cast::<u8>(), receive.length as usize).to_vec();
            libc::munmap(memory, room);
            let skip = length.min(bytes.len() + receive.skip as usize) - bytes.len();
            if skip > 0 || bytes.is_empty() {
                bytes.extend(self.take(skip.max(1)));
            }
            bytes
        }
    }

    /// At least one byte, in one system call of the way that was asked for.
    fn some(&self) -> Vec<u8> {
        let capacity = if self.read == "tiny" { 3 } else { 20_000 };
        let mut buffer = vec![0u8; capacity];
        let read = self.retry(libc::POLLIN, || one_read(&self.read, self.fd, &mut buffer));
        assert!(read > 0, "the connection ended");
        buffer.truncate(read);
        buffer
    }

    /// Repeats a call that was interrupted or had to wait.
    fn retry(&self, event: i16, mut call: impl FnMut() -> Result<usize>) -> usize {
        loop {
            match call() {
                Ok(moved) => return moved,
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                    let mut wait = libc::pollfd { fd: self.fd, events: event, revents: 0 };
                    // SAFETY: one live entry. An interrupted wait is as good as any.
                    unsafe { libc::poll(&raw mut wait, 1, 1000) };
                }
                Err(error) => panic!("{} {}: {error}", self.write, self.read),
            }
        }
    }
}

/// One operation on this thread's ring; its buffer is live and as long as said.
fn ring(operation: &io_uring::squeue::Entry) -> Result<usize> {
    thread_local!(static RING: RefCell<IoUring> = RefCell::new(IoUring::new(1).expect("io_uring")));
    RING.with_borrow_mut(|ring| {
        // SAFETY: as the callers promise; the operation is waited for.
        unsafe { ring.submission().push(operation).expect("room for one") };
        ring.submit_and_wait(1)?;
        let result = ring.completion().next().expect("a result").result();
        if result < 0 { Err(Error::from_raw_os_error(-result)) } else { Ok(result as usize) }
    })
}

fn plain_write(fd: RawFd, bytes: &[u8]) -> Result<usize> {
    // SAFETY: a live slice.
    check(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}

fn one_write(way: &str, fd: RawFd, bytes: &[u8]) -> Result<usize> {
    let (data, length) = (bytes.as_ptr().cast::<c_void>(), bytes.len());
    match way {
        // SAFETY: a live slice.
        "send" => check(unsafe { libc::send(fd, data, length, libc::MSG_NOSIGNAL) }),
        // SAFETY: a live slice; a connected socket needs no address.
        "sendto" => check(unsafe { libc::sendto(fd, data, length, 0, null(), 0) }),
        "faulty" => {
            // SAFETY: the kernel refuses the address (or to wait) and writes nothing.
            let refused = check(unsafe { libc::write(fd, 16 as *const c_void, length) });
            let reason = refused.expect_err("an address that is not mapped").raw_os_error();
            assert!(matches!(reason, Some(libc::EFAULT | libc::EAGAIN)), "{reason:?}");
            plain_write(fd, bytes)
        }
        _ => plain_write(fd, bytes),
    }
}

fn one_read(way: &str, fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    let (data, length) = (buffer.as_mut_ptr(), buffer.len());
    let mut vectors: Vec<iovec> = Vec::new();
    let (mut at, mut step) = (0, 1);
    while at < length {
        let piece = &mut buffer[at..length.min(at + step)];
        vectors.push(iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: piece.len() });
        (at, step) = (at + piece.len(), step * 3);
    }
    match way {
        // SAFETY: here and below, vectors and buffer are live and as long as said.
        "readv" => check(unsafe { libc::readv(fd, vectors.as_ptr(), vectors.len() as c_int) }),
        // SAFETY: as above.
        "recv" => check(unsafe { libc::recv(fd, data.cast(), length, 0) }),
        // SAFETY: as above; no address is asked for.
        "recvfrom" => check(unsafe { libc::recvfrom(fd, data.cast(), length, 0, null_mut(), null_mut()) }),
        "recvmsg" => {
            let mut message = message(&vectors);
            // SAFETY: as above.
            check(unsafe { libc::recvmsg(fd, &raw mut message, 0) })
        }
        "recvmmsg" => {
            let (first, second) = vectors.split_at(vectors.len() / 2);
            let mut both = [first, second].map(|part| mmsghdr { msg_hdr: message(part), msg_len: 0 });
            // SAFETY: as above. Does not wait for the second message.
            let got =
                check(unsafe { libc::recvmmsg(fd, both.as_mut_ptr(), 2, libc::MSG_WAITFORONE, null_mut()) }
                    as isize)?;
            let sizes: Vec<usize> = both[..got].iter().map(|one| one.msg_len as usize).collect();
            // A first message that came short leaves a hole before the second.
            let room: usize = first.iter().map(|vector| vector.iov_len).sum();
            let (one, two) = (sizes[0], sizes.get(1).copied().unwrap_or(0));
            buffer.copy_within(room..room + two, one);
            Ok(one + two)
        }
        // SAFETY: as above.
        _ => check(unsafe { libc::read(fd, data.cast(), length) }),
    }
}

fn vector(bytes: &[u8]) -> iovec {
    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

fn message(vectors: &[iovec]) -> msghdr {
    // SAFETY: all zero is a valid message without vectors.
    let mut message: msghdr = unsafe { zeroed() };
    message.msg_iov = vectors.as_ptr().cast_mut();
    message.msg_iovlen = vectors.len() as _;
    message
}
