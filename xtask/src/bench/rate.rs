//! A steady load: so many requests a second, whatever the server does (an open loop, so that a slow answer delays no
//! other request and is not left out of the latencies).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;

use super::load::{Answer, CONNECTIONS, Loaded};
use super::usage;
use crate::process;

/// Requests become due in bundles, this often: finer pacing would be waking up instead of load.
const TICK: Duration = Duration::from_micros(500);
/// How long the last answers may take.
const LINGER: Duration = Duration::from_secs(5);

struct Connection {
    stream: TcpStream,
    /// When the request in flight was due.
    due: Option<Instant>,
    /// Bytes of its answer so far.
    received: usize,
    /// Bytes of a whole answer, once one has been seen.
    answer: Option<usize>,
    head: Vec<u8>,
}

/// Sends `rate` requests a second for `duration` and waits for all answers; an error unless every one came.
pub fn steady(
    address: SocketAddr,
    path: &str,
    rate: u32,
    duration: Duration,
    mut meanwhile: impl FnMut(),
) -> Result<Loaded> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: steady\r\n\r\n").into_bytes();
    let mut connections = (0..CONNECTIONS).map(|_| Connection::open(address)).collect::<Result<Vec<_>>>()?;
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let cpu = usage::of_this_thread();
    let start = Instant::now();
    let total = (f64::from(rate) * duration.as_secs_f64()) as u64;
    let (mut sent, mut answered) = (0, 0);
    let mut looked = start;
    let mut last = start;
    while answered < total {
        let now = Instant::now();
        ensure!(!process::stop_requested(), "interrupted");
        ensure!(
            now < start + duration + LINGER,
            "the server is too slow: {answered} of {total} requests answered"
        );
        if now - looked > Duration::from_millis(200) {
            looked = now;
            meanwhile();
        }
        // Whole ticks only: what is due within one is due at its beginning.
        let tick = (now - start).as_micros() / TICK.as_micros();
        let due = ((tick + 1) as f64 * TICK.as_secs_f64() * f64::from(rate)) as u64;
        while sent < due.min(total) {
            let Some(idle) = connections.iter_mut().find(|connection| connection.due.is_none()) else {
                break;
            };
            let at = (sent as f64 / f64::from(rate) / TICK.as_secs_f64()).floor();
            idle.send(&request, start + TICK.mul_f64(at))?;
            sent += 1;
        }
        let next = start + TICK.mul_f64(tick as f64 + 1.0);
        wait(&mut connections, next.saturating_duration_since(Instant::now()), |connection| {
            if let Some(due) = connection.receive()? {
                answered += 1;
                last = Instant::now();
                latencies.saturating_record((last - due).as_micros() as u64);
            }
            Ok(())
        })?;
    }
    Ok(Loaded {
        answer: Answer {
            requests: answered,
            rate: answered as f64 / (last - start).as_secs_f64(),
            p50: latencies.value_at_quantile(0.5) as f64,
            p99: latencies.value_at_quantile(0.99) as f64,
        },
        client_cpu: usage::of_this_thread().saturating_sub(cpu),
        in_process: true,
    })
}

/// Waits until a busy connection can be read, or for `most`.
fn wait(
    connections: &mut [Connection],
    most: Duration,
    mut readable: impl FnMut(&mut Connection) -> Result<()>,
) -> Result<()> {
    let mut polled: Vec<libc::pollfd> = connections
        .iter()
        .map(|connection| libc::pollfd {
            // A negative descriptor is left out.
            fd: if connection.due.is_some() { connection.stream.as_raw_fd() } else { -1 },
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let timeout = libc::timespec { tv_sec: 0, tv_nsec: i64::from(most.min(TICK).subsec_nanos()) };
    // SAFETY: as many valid entries as it says, and a timeout; no signal mask.
    let ready = unsafe {
        libc::ppoll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, &raw const timeout, std::ptr::null())
    };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) };
    }
    for (connection, _) in connections.iter_mut().zip(&polled).filter(|(_, polled)| polled.revents != 0) {
        readable(connection)?;
    }
    Ok(())
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("the server takes no connection")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, due: None, received: 0, answer: None, head: Vec::new() })
    }

    fn send(&mut self, request: &[u8], due: Instant) -> Result<()> {
        // So few bytes always find room in the socket's buffer.
        self.stream.write_all(request).context("a request could not be sent")?;
        self.due = Some(due);
        self.received = 0;
        Ok(())
    }

    /// Takes what has come; when the request was due, if its answer is now complete.
    fn receive(&mut self) -> Result<Option<Instant>> {
        let mut buffer = [0; 4096];
        let got = match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.received += got;
        if self.answer.is_none() {
            self.head.extend_from_slice(&buffer[..got]);
            self.answer = answer_length(&self.head)?;
        }
        Ok(if self.answer.is_some_and(|whole| self.received >= whole) { self.due.take() } else { None })
    }
}

/// Bytes of an answer with its head; all answers of one file are of one length.
fn answer_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..head]);
    ensure!(text.starts_with("HTTP/1.1 200"), "the server answers: {text}");
    let body = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .context("the server's answer has no Content-Length")?;
    Ok(Some(head + 4 + body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_when_an_answer_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for end in 0..answer.len() - 5 {
            assert_eq!(answer_length(&answer[..end]).unwrap(), None);
        }
        assert_eq!(answer_length(answer).unwrap(), Some(answer.len()));
        assert!(answer_length(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
    }
}
