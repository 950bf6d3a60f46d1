//! Inference: which protocol a connection speaks, from the first bytes of its runs.

use std::sync::Arc;

use crate::protocol::{Moment, Protocol, Registry, Stream};

/// Runs that are looked at before a connection is given up.
const MOST_RUNS: u32 = 8;
/// Bytes that a prefix needs at most to be told.
const MOST_PREFIX: usize = 256;
/// Chunks that are kept while a prefix grows.
const MOST_CHUNKS: usize = 64;

/// A chunk that waits for the protocol to be known.
#[derive(Debug)]
pub struct Pending {
    /// When it passed.
    pub at: Moment,
    /// Where.
    pub position: u64,
    /// Bytes that passed.
    pub length: u64,
    /// What was captured.
    pub bytes: Vec<u8>,
    /// The first of its run.
    pub run_start: bool,
}

/// What is known after a look at a chunk.
pub enum Outcome {
    /// The protocol, the stream that the run belongs to, and the chunks of the run so far.
    Known(Arc<dyn Protocol>, Stream, Vec<Pending>),
    /// Nothing yet.
    Unknown,
    /// TLS: the bytes say nothing.
    Encrypted,
    /// It is none of the known protocols.
    GivenUp,
}

/// The search for a connection's protocol.
#[derive(Debug, Default)]
pub struct Search {
    runs: u32,
    /// The beginning of the present run, while a longer prefix may still tell.
    prefix: Vec<u8>,
    pending: Vec<Pending>,
    searching: bool,
}

impl Search {
    /// Looks at the next chunk; `first` says that it is the connection's very first.
    pub fn look(&mut self, registry: &Registry, chunk: Pending, first: bool) -> Outcome {
        if chunk.run_start || first {
            self.prefix.clear();
            self.pending.clear();
            self.searching = !chunk.bytes.is_empty();
            self.runs += 1;
        } else if self.pending.last().is_none_or(|last| last.length > last.bytes.len() as u64) {
            // Bytes are missing: what comes now is not the prefix's continuation.
            self.searching = false;
        }
        if !self.searching {
            return self.give_up_or_wait();
        }
        let room = MOST_PREFIX - self.prefix.len();
        self.prefix.extend_from_slice(&chunk.bytes[..chunk.bytes.len().min(room)]);
        self.pending.push(chunk);
        match registry.infer(&self.prefix) {
            Ok((protocol, stream)) => {
                Outcome::Known(Arc::clone(protocol), stream, std::mem::take(&mut self.pending))
            }
            Err(_) if is_tls(&self.prefix) => Outcome::Encrypted,
            Err(true) if self.prefix.len() < MOST_PREFIX && self.pending.len() < MOST_CHUNKS => {
                Outcome::Unknown
            }
            Err(_) => {
                self.searching = false;
                self.prefix.clear();
                self.pending.clear();
                self.give_up_or_wait()
            }
        }
    }

    fn give_up_or_wait(&self) -> Outcome {
        if self.runs >= MOST_RUNS { Outcome::GivenUp } else { Outcome::Unknown }
    }
}

/// A TLS record of the handshake or of application data (RFC 8446, 5.1): content type, legacy version 3.x, and a
/// length that a record may have.
fn is_tls(prefix: &[u8]) -> bool {
    const MOST_RECORD: u16 = 16_384 + 256;
    match prefix {
        [20..=23, 3, 0..=4, high, low, ..] => (1..=MOST_RECORD).contains(&u16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(bytes: &[u8], run_start: bool) -> Pending {
        Pending {
            at: Moment::default(),
            position: 0,
            length: bytes.len() as u64,
            bytes: bytes.to_vec(),
            run_start,
        }
    }

    fn registry() -> Registry {
        Registry::new(crate::protocol::http1::Settings::default())
    }

    /// A request that comes byte by byte is known as soon as it can be, with all its bytes.
    #[test]
    fn grows_a_prefix() {
        let mut search = Search::default();
        let request = b"GET /index.html HTTP/1.1\r\n";
        for (i, byte) in request.iter().enumerate() {
            match search.look(&registry(), chunk(&[*byte], i == 0), i == 0) {
                Outcome::Unknown => {}
                Outcome::Known(protocol, stream, pending) => {
                    assert_eq!((protocol.name(), stream), ("http", Stream::ToServer));
                    assert_eq!(pending.len(), i + 1);
                    return;
                }
                _ => panic!("given up at {i}"),
            }
        }
        panic!("not known");
    }

    #[test]
    fn gives_up_after_some_runs() {
        let mut search = Search::default();
        for run in 1..=MOST_RUNS {
            let outcome =
                search.look(&registry(), chunk(b"\x00\x01\x02\x03\x04\x05\x06\x07", true), run == 1);
            assert_eq!(matches!(outcome, Outcome::GivenUp), run == MOST_RUNS, "{run}");
        }
    }

    #[test]
    fn tells_tls() {
        let mut search = Search::default();
        let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252];
        assert!(matches!(search.look(&registry(), chunk(&hello, true), true), Outcome::Encrypted));
        assert!(!is_tls(&[22, 3, 1, 0xff, 0xff]), "too long for a record");
        assert!(!is_tls(b"GET /"));
    }

    /// In the middle of a body nothing is taken for a message, and the next run is looked at afresh.
    #[test]
    fn waits_for_a_run_in_the_middle() {
        let mut search = Search::default();
        assert!(matches!(search.look(&registry(), chunk(&[0xff; 300], false), true), Outcome::Unknown));
        assert!(matches!(
            search.look(&registry(), chunk(b"GET / HTTP/1.1\r\n", false), false),
            Outcome::Unknown
        ));
        let outcome = search.look(&registry(), chunk(b"GET / HTTP/1.1\r\n\r\n", true), false);
        assert!(matches!(outcome, Outcome::Known(_, Stream::ToServer, _)));
    }
}
