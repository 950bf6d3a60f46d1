//! The collector that the agent exports to: takes every OTLP/HTTP request, says yes, and lets the kernel throw the
//! body away, so that it uses as little of the machine as a receiver on the same machine can.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::{Context, Result};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";

/// A running receiver; its threads live as long as this program.
#[derive(Clone)]
pub struct Sink {
    pub address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl Sink {
    pub fn start() -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the OTLP receiver")?;
        let sink = Self { address: listener.local_addr()?, bytes: Arc::default() };
        let bytes = Arc::clone(&sink.bytes);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bytes = Arc::clone(&bytes);
                // A connection that breaks off is the agent's to complain about.
                thread::spawn(move || serve(stream, &bytes));
            }
        });
        Ok(sink)
    }

    /// Bytes of OTLP requests received so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

fn serve(mut stream: TcpStream, bytes: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 << 10];
    let mut filled = 0;
    loop {
        let Some(head) = head_length(&buffer[..filled]) else {
            match stream.read(&mut buffer[filled..])? {
                0 => return Ok(()),
                more => filled += more,
            }
            continue;
        };
        let body = content_length(&buffer[..head]);
        let here = (filled - head).min(body);
        discard(&stream, body - here)?;
        // Before the answer: who has read that may ask.
        bytes.fetch_add(body as u64, Relaxed);
        stream.write_all(ANSWER)?;
        buffer.copy_within(head + here..filled, 0);
        filled -= head + here;
    }
}

/// Receives and forgets: on TCP, `MSG_TRUNC` throws bytes away without copying them (tcp(7)).
fn discard(stream: &TcpStream, mut left: usize) -> io::Result<()> {
    while left > 0 {
        // SAFETY: with MSG_TRUNC nothing is written to the buffer.
        let got = unsafe { libc::recv(stream.as_raw_fd(), std::ptr::null_mut(), left, libc::MSG_TRUNC) };
        match usize::try_from(got) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => left -= got,
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head);
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two requests on one connection, cut in odd places, each get their answer.
    #[test]
    fn takes_requests_one_after_the_other() {
        let sink = Sink::start().unwrap();
        let mut stream = TcpStream::connect(sink.address).unwrap();
        let body = vec![b'x'; 100_000];
        for cut in [10, 60, 50_000] {
            let mut request =
                format!("POST /v1/traces HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
            request.extend_from_slice(&body);
            stream.write_all(&request[..cut]).unwrap();
            stream.write_all(&request[cut..]).unwrap();
            let mut answer = vec![0; ANSWER.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, ANSWER);
        }
        assert_eq!(sink.bytes(), 300_000);
    }
}
