//! HTTP/1: conversations in any pieces, with any gaps, and plain garbage.
//!
//! The input says which messages pass, how they are cut into chunks, which bytes were captured and which
//! segments were lost. Whatever happens, nothing may panic, times must be in order, and no response may be
//! told with another request than its own: request `n` has the path `/n`, its response a status that no other
//! has.

#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

// The protocols alone: the whole agent needs its eBPF programs built.
#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../agent/src/protocol/mod.rs"]
mod protocol;

use protocol::http::Settings;
use protocol::http1::Http1;
use protocol::{
    Chunk, End, Endpoint, Exchange, Inference, Moment, Outcome, Parser, Protocol, Role, Run, Scene, Stream,
    Unit, Value,
};

/// The input, byte by byte; zeros when it is used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

static HTTP: LazyLock<Http1> = LazyLock::new(|| Http1::new(Settings::default()));

struct Connection {
    parser: Box<dyn Parser>,
    told: Vec<Exchange>,
    positions: [u64; 2],
    time: u64,
}

impl Connection {
    fn new(midstream: bool) -> Self {
        Self { parser: HTTP.parser(midstream), told: Vec::new(), positions: [0; 2], time: 0 }
    }

    fn at(&self) -> Moment {
        Moment { time: self.time, unit: Unit::default() }
    }

    fn chunk(&mut self, stream: Stream, bytes: &[u8], hole: u64, run_start: bool) {
        let position = &mut self.positions[stream as usize];
        let length = bytes.len() as u64 + hole;
        let at = Moment { time: self.time, unit: Unit::default() };
        let chunk = Chunk { at, position: *position, length, bytes, run_start };
        *position += length;
        self.parser.chunk(stream, &chunk, &mut self.told);
        _ = (self.parser.interest(), self.parser.waiting());
    }
}

/// Adds an exchange to the runs: what the client sends, what the server answers, and so on in turn.
fn exchange(kind: u8, n: usize) -> Vec<String> {
    let status = 205 + n;
    match kind % 7 {
        0 => vec![
            format!("GET /{n}/a?q=1 HTTP/1.1\r\nHost: h\r\nUser-Agent: fuzz\r\n\r\n"),
            format!("HTTP/1.1 {status} OK\r\nContent-Length: 5\r\n\r\nhello"),
        ],
        1 => vec![
            format!("POST /{n}/a HTTP/1.1\r\nContent-Length: 20\r\n\r\ntwenty bytes of body"),
            format!(
                "HTTP/1.1 {status} OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nabcd\r\n\
                 0A\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
            ),
        ],
        2 => vec![
            format!("HEAD /{n}/a HTTP/1.1\r\nHost: h\r\n\r\n"),
            format!("HTTP/1.1 {status} OK\r\nContent-Length: 100\r\n\r\n"),
        ],
        3 => vec![
            format!("PUT /{n}/a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            "seven b".to_owned(),
            format!("HTTP/1.1 {status} Done\r\nContent-Length: 0\r\n\r\n"),
        ],
        4 => vec![
            format!("\r\nGET /{n}/a HTTP/1.1\nHost: h\nX: a\n b\n\n"),
            format!(
                "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 {status} OK\n\
                 Content-Length: 9\nTransfer-Encoding:\n chunked\n\n2\nhi\n0\n\n"
            ),
        ],
        5 => vec![
            format!("POST /{n}/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            format!("HTTP/1.1 {status} OK\r\nContent-Length: 700\r\n\r\n{}", "x".repeat(700)),
        ],
        _ => vec![
            format!("POST /{n}/a HTTP/1.1\r\nContent-Length: 50\r\n\r\n0123456789"),
            format!("HTTP/1.1 {status} Early\r\nContent-Length: 3\r\n\r\nbig"),
            "forty bytes that nobody will ever read .".to_owned(),
        ],
    }
}

/// What was told of an exchange: path, status.
fn describe(exchange: &Exchange, role: Role) -> (String, Option<i64>) {
    let end = Endpoint::Unix("".into());
    let description = exchange.detail.describe(exchange, &Scene { role, local: &end, remote: &end });
    let find = |key| description.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
    let path = match find("url.path") {
        Some(Value::Text(path)) => path.to_string(),
        _ => String::new(),
    };
    match find("http.response.status_code") {
        Some(Value::Integer(status)) => (path, Some(*status)),
        _ => (path, None),
    }
}

fn conversation(input: &mut Input<'_>) {
    let flags = input.byte();
    let (kernel_flags, lossless) = (flags & 1 != 0, flags & 2 != 0);
    let mut runs: Vec<(Stream, Vec<u8>)> = Vec::new();
    let mut push = |stream: Stream, bytes: &str| match runs.last_mut() {
        Some((last, run)) if *last == stream => run.extend_from_slice(bytes.as_bytes()),
        _ => runs.push((stream, bytes.as_bytes().to_vec())),
    };
    let mut count = 0;
    for _ in 0..1 + input.byte() % 12 {
        let kind = input.byte();
        // A batch: requests in one run, responses in the next.
        let batch = if kind & 0x80 == 0 { 1 } else { 1 + usize::from(kind >> 4 & 3) };
        let turns: Vec<_> = (0..batch)
            .map(|i| {
                exchange(if batch > 1 { [0, 1, 2, 5][(usize::from(kind) + i) % 4] } else { kind }, count + i)
            })
            .collect();
        count += batch;
        for turn in 0..4 {
            for messages in &turns {
                if let Some(message) = messages.get(turn) {
                    push(if turn % 2 == 0 { Stream::ToServer } else { Stream::ToClient }, message);
                }
            }
        }
    }

    let mut c = Connection::new(false);
    let mut lost = [0_u64; 2];
    let mut last_told = None;
    let mut last_sent = None;
    for (stream, run) in &runs {
        let mut rest = run.as_slice();
        while !rest.is_empty() {
            c.time += 1_000_000 * u64::from(input.byte() % 4);
            let length = (1 + usize::from(input.byte())).min(rest.len());
            let (piece, after) = rest.split_at(length);
            rest = after;
            let fate = if lossless { 255 } else { input.byte() };
            let starts = last_sent != Some(*stream);
            last_sent = Some(*stream);
            if fate < 16 {
                // The segment never arrives; the next one of its stream shows that.
                lost[*stream as usize] += length as u64;
                continue;
            }
            let hole = std::mem::take(&mut lost[*stream as usize]);
            if hole > 0 {
                c.chunk(*stream, &[], hole, last_told != Some(*stream));
                last_told = Some(*stream);
            }
            let run_start = if kernel_flags { starts } else { last_told != Some(*stream) };
            last_told = Some(*stream);
            // Not all of the segment was captured.
            let captured = if fate < 32 { usize::from(input.byte()).min(length) } else { length };
            c.chunk(*stream, &piece[..captured], (length - captured) as u64, run_start);
        }
    }
    c.time += 1_000_000;
    let at = c.at();
    c.parser.end(at, End::Orderly, &mut c.told);

    let mut seen = HashSet::new();
    for exchange in &c.told {
        assert!(exchange.start.time <= exchange.end);
        assert!(
            exchange.first_byte.is_none_or(|first| exchange.start.time <= first && first <= exchange.end)
        );
        let (path, status) = describe(exchange, Role::Server);
        let Some((id, _)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else { continue };
        let Ok(id) = id.parse::<i64>() else { continue };
        assert!(seen.insert(id), "{id} told twice");
        if let Some(status) = status {
            assert_eq!(status, 205 + id, "the response of another");
        }
        assert!(exchange.outcome != Outcome::Complete || status.is_some());
    }
    if lossless {
        assert_eq!(seen.len(), count);
        assert!(c.told.iter().all(|exchange| exchange.outcome == Outcome::Complete));
        assert_eq!(c.parser.take_losses(), Default::default());
    }
}

fn garbage(input: &mut Input<'_>) {
    let mut c = Connection::new(input.byte() & 1 != 0);
    while !input.0.is_empty() {
        let flags = input.byte();
        let stream = if flags & 1 == 0 { Stream::ToServer } else { Stream::ToClient };
        c.time += u64::from(flags >> 5) * 200_000_000;
        match flags >> 1 & 7 {
            0 => {
                let at = c.at();
                c.parser.stream_end(stream, at, &mut c.told);
            }
            1 => c.parser.tick(c.time, &mut c.told),
            2 => {
                let hole = u64::from(input.byte()) << (flags & 0x1f);
                c.chunk(stream, &[], hole, flags & 16 != 0);
            }
            _ => {
                let length = usize::from(input.byte());
                let bytes = input.bytes(length);
                let passed = bytes.len() as u64;
                let run = Run { bytes, passed, opening: false, stream: None };
                if let Inference::Yes(_) = HTTP.infer(&run) {
                    assert!(bytes.windows(7).any(|window| window == b"HTTP/1.") || bytes.len() >= 64);
                }
                c.chunk(stream, bytes, 0, flags & 16 != 0);
            }
        }
    }
    let at = c.at();
    c.parser.end(at, End::Broken(104), &mut c.told);
    for exchange in &c.told {
        assert!(exchange.start.time <= exchange.end);
        describe(exchange, Role::Server);
        describe(exchange, Role::Client);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    if input.byte() & 1 == 0 {
        conversation(&mut input);
    } else {
        garbage(&mut input);
    }
});
