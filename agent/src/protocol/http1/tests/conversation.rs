//! Conversations, and ways to cut them.

use std::ops::Range;

use super::support::Connection;
use crate::protocol::Stream;

/// What must be told of a request.
#[derive(Clone, Debug)]
pub struct Expected {
    pub method: &'static str,
    pub status: i64,
    pub request_body: Option<i64>,
    pub response_body: Option<i64>,
}

/// Runs in their order, and what they say. The path of request `n` begins with `/` and three digits.
#[derive(Clone, Default)]
pub struct Conversation {
    pub runs: Vec<(Stream, Vec<u8>)>,
    pub expected: Vec<Expected>,
    /// No body begins like a head. Where bytes are lost such a body may be taken for one.
    pub honest: bool,
    /// The client pipelines.
    pub pipelined: bool,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.runs.iter().try_for_each(|(stream, run)| writeln!(f, "{stream:?} {}", run.escape_ascii()))
    }
}

impl Conversation {
    pub fn client(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.run(Stream::ToServer, bytes.as_ref())
    }

    pub fn server(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.run(Stream::ToClient, bytes.as_ref())
    }

    pub fn run(&mut self, stream: Stream, bytes: &[u8]) -> &mut Self {
        match self.runs.last_mut() {
            Some((last, run)) if *last == stream => run.extend_from_slice(bytes),
            _ => self.runs.push((stream, bytes.to_vec())),
        }
        self
    }

    pub fn expect(&mut self, method: &'static str, status: i64, request: Option<i64>, response: Option<i64>) {
        self.expected.push(Expected { method, status, request_body: request, response_body: response });
    }

    pub fn len(&self) -> usize {
        self.runs.iter().map(|(_, run)| run.len()).sum()
    }

    /// Adds one exchange of the given kind; its status is its own.
    pub fn add(&mut self, kind: usize) {
        let n = self.expected.len();
        let status = if n == 4 { 299 } else { 200 + n as i64 };
        let path = format!("/{n:03}/a");
        match kind {
            0 => {
                self.client(format!("GET {path}?q=1 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n"));
                self.server(format!("HTTP/1.1 {status} OK\r\nContent-Length: 5\r\n\r\nhello"));
                self.expect("GET", status, None, Some(5));
            }
            1 => {
                let body = if self.honest { "twenty bytes of body" } else { "GET / HTTP/1.1\r\n\r\nab" };
                self.client(format!("POST {path} HTTP/1.1\r\nContent-Length: 20\r\nHost: h\r\n\r\n{body}"));
                self.server(format!("HTTP/1.1 {status} OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
                self.server("4;x=y\r\nabcd\r\n00F\r\n0123456789abcde\r\n0\r\nTrailer: 1\r\n\r\n");
                self.expect("POST", status, Some(20), Some(19));
            }
            2 => {
                self.client(format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
                self.server(format!("HTTP/1.1 {status} OK\r\nContent-Length: 100\r\n\r\n"));
                self.expect("HEAD", status, None, None);
            }
            3 => {
                self.client(format!(
                    "PUT {path} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n"
                ));
                self.server("HTTP/1.1 100 Continue\r\n\r\n").client("seven b");
                self.server(format!("HTTP/1.1 {status} Done\r\nContent-Length: 0\r\n\r\n"));
                self.expect("PUT", status, Some(7), Some(0));
            }
            4 => {
                self.client(format!("\r\nGET {path} HTTP/1.1\nHost: h\nX: a\n b\n\n"));
                self.server("HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n");
                self.server(format!(
                    "HTTP/1.1 {status} OK\nContent-Length: 9\nTransfer-Encoding:\n chunked\n\n2\nhi\n0\n\n"
                ));
                self.expect("GET", status, None, Some(2));
            }
            5 => {
                self.client(format!(
                    "POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                ));
                self.client("0\r\n\r\n").server("HTTP/1.1 204 No Content\r\n\r\n");
                self.expect("POST", 204, Some(3), None);
            }
            _ => {
                self.client(format!("POST {path} HTTP/1.1\r\nContent-Length: 50\r\n\r\n0123456789"));
                self.server(format!("HTTP/1.1 {status} Early\r\nContent-Length: 3\r\n\r\nbig"));
                let body = [
                    "HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n\r\n   ",
                    "forty bytes that nobody will ever read ..",
                ];
                self.client(&body[usize::from(self.honest)][..40]);
                self.expect("POST", status, Some(50), Some(3));
            }
        }
    }

    /// A conversation to take runs from, with the same expectations.
    fn continued(&mut self) -> Self {
        self.pipelined = true;
        Self { runs: Vec::new(), expected: std::mem::take(&mut self.expected), ..*self }
    }

    /// Adds requests in one run and their responses in the next.
    pub fn batch(&mut self, kinds: &[usize]) {
        let mut batch = self.continued();
        // Only kinds of two runs can be sent ahead.
        kinds.iter().for_each(|kind| batch.add([0, 1, 2, 5][kind % 4]));
        for wanted in [Stream::ToServer, Stream::ToClient] {
            for (_, run) in batch.runs.iter().filter(|(stream, _)| *stream == wanted) {
                self.run(wanted, run);
            }
        }
        self.expected = batch.expected;
    }

    /// A client that keeps two requests in flight.
    pub fn window(&mut self, count: usize) {
        let mut all = self.continued();
        (0..count).for_each(|_| all.add(0));
        let requests: Vec<_> = all.runs.iter().step_by(2).map(|(_, run)| run).collect();
        let responses: Vec<_> = all.runs.iter().skip(1).step_by(2).map(|(_, run)| run).collect();
        self.client(requests[0]);
        for (i, response) in responses.iter().enumerate() {
            if let Some(request) = requests.get(i + 1) {
                self.client(request);
            }
            self.server(response);
        }
        self.expected = all.expected;
    }
}

/// Everything on one connection, ending with a body that lasts until the close.
pub fn rich(honest: bool) -> Conversation {
    let mut all = Conversation { honest, ..Conversation::default() };
    (0..7).for_each(|kind| all.add(kind));
    all.batch(&[0, 1, 2, 3, 0]);
    all.add(0);
    let n = all.expected.len();
    all.client(format!("GET /{n:03} HTTP/1.1\r\nConnection: close\r\n\r\n"));
    all.server(format!("HTTP/1.1 {} OK\r\n\r\nuntil the end", 200 + n));
    all.expect("GET", 200 + n as i64, None, Some(13));
    all
}

/// Feeds a conversation: `cuts` and `gaps` are in bytes of all its runs one after the other. Every run takes
/// a millisecond, and so do its pieces.
pub fn feed(c: &mut Connection, conversation: &Conversation, cuts: &[usize], gaps: &[Range<usize>]) {
    let mut offset = 0;
    for (stream, run) in &conversation.runs {
        c.time += 1;
        let missing = |at: usize| gaps.iter().any(|gap| gap.contains(&at));
        let mut start = 0;
        for end in 1..=run.len() {
            let (before, at) = (offset + end - 1, offset + end);
            // A piece ends at a cut, and where captured bytes follow others that were not.
            let captured_again = missing(before) && !missing(at);
            if end < run.len() && !cuts.contains(&at) && !captured_again {
                continue;
            }
            let captured = (start..end).find(|&index| missing(offset + index)).unwrap_or(end);
            c.chunk(*stream, &run[start..captured], (end - start) as u64, None);
            start = end;
        }
        offset += run.len();
    }
}
