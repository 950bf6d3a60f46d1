//! As much of an HTTP/1.1 client as the load needs: one connection, kept alive, one request at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Longer than the slowest route of the application takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One request.
pub struct Request {
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// JSON.
    pub body: Option<String>,
    /// The value of `x-request-id`.
    pub id: String,
    /// Whether to ask the server to close the connection afterwards.
    pub last: bool,
}

impl Request {
    pub fn get(target: impl Into<String>, id: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), body: None, id: id.into(), last: false }
    }
}

/// A connection to a server.
pub struct Connection {
    reader: BufReader<TcpStream>,
    host: SocketAddr,
    open: bool,
}

impl Connection {
    pub fn open(host: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&host, TIMEOUT).with_context(|| format!("no connection to {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { reader: BufReader::new(stream), host, open: true })
    }

    /// Whether the server is willing to take another request.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Sends a request and reads its whole answer; returns the status code.
    pub fn send(&mut self, request: &Request) -> Result<u16> {
        self.open = false;
        let body = request.body.as_deref().unwrap_or_default();
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: shop-load/1.0\r\nAccept: */*\r\nX-Request-Id: {}\r\n",
            request.method, request.target, self.host, request.id
        );
        if request.body.is_some() {
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        if request.last {
            head += "Connection: close\r\n";
        }
        self.reader.get_mut().write_all(format!("{head}\r\n{body}").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<u16> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.with_context(|| format!("not a status line: {line:?}"))?;
        let (mut length, mut chunked, mut close) = (None, false, false);
        loop {
            let header = self.line()?;
            let Some((name, value)) = header.split_once(':') else {
                ensure!(header.is_empty(), "not a header: {header:?}");
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse::<u64>()?),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => close = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        match (chunked, length) {
            (true, _) => while self.chunk()? > 0 {},
            (false, Some(length)) => self.skip(length)?,
            // Until the connection ends.
            (false, None) => {
                close = true;
                self.reader.read_to_end(&mut Vec::new())?;
            }
        }
        self.open = !close;
        Ok(status)
    }

    /// Reads one chunk; the last has no bytes.
    fn chunk(&mut self) -> Result<u64> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).with_context(|| format!("not a chunk size: {line:?}"))?;
        self.skip(size)?;
        ensure!(self.line()?.is_empty(), "a chunk is longer than it says");
        Ok(size)
    }

    fn skip(&mut self, length: u64) -> Result<()> {
        let read = std::io::copy(&mut self.reader.by_ref().take(length), &mut std::io::sink())?;
        ensure!(read == length, "the connection ended within a body");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("the connection ended before the answer");
        }
        Ok(line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers of every framing on one connection, in order.
    #[test]
    fn one_connection_carries_answers_of_every_framing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap();
        let answers = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ];
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            for answer in answers {
                let _ = stream.read(&mut buffer).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let mut connection = Connection::open(host).unwrap();
        for (status, open) in [(200, true), (404, true), (201, false)] {
            assert_eq!(connection.send(&Request::get("/", "1")).unwrap(), status);
            assert_eq!(connection.is_open(), open);
        }
        server.join().unwrap();
    }
}
