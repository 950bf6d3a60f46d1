//! Inference: which protocol a connection speaks, from the first bytes of its runs.
//!
//! A run that can be nothing else decides by itself. One that only looks like a protocol is kept until a run of the other
//! stream looks like the same protocol; both together decide, and both are handed to its parser.

use std::sync::Arc;

use crate::protocol::{Inference, Moment, Protocol, Registry, Role, Run, Stream};

/// Runs that are looked at before a connection is given up; twice as many if the last ones still look like something.
const MOST_RUNS: u32 = 16;
/// Bytes of a run that protocols are shown at most.
const MOST_PREFIX: usize = 512;
/// Chunks of a run that are kept while it is not decided.
const MOST_CHUNKS: usize = 64;
/// Captured bytes of a run that are kept while it is not decided.
const MOST_BYTES: usize = 64 * 1024;

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

impl Pending {
    fn is_whole(&self) -> bool {
        self.length == self.bytes.len() as u64
    }
}

/// The protocol of a connection, and what passed while it was looked for.
pub struct Known {
    /// It.
    pub protocol: Arc<dyn Protocol>,
    /// The stream of the last run.
    pub stream: Stream,
    /// The run of the other stream before the last one, if it is part of the evidence.
    pub before: Vec<Pending>,
    /// The last run so far. What told the protocol is one chunk, so that a parser that begins in the middle sees no less
    /// than what told it.
    pub run: Vec<Pending>,
}

/// What is known after a look at a chunk.
pub enum Outcome {
    /// The protocol.
    Known(Known),
    /// Nothing yet.
    Unknown,
    /// TLS: the bytes say nothing.
    Encrypted,
    /// It is none of the known protocols.
    GivenUp,
}

/// A run that is not decided.
#[derive(Default)]
struct Undecided {
    reading: bool,
    opening: bool,
    passed: u64,
    /// Its beginning, while a longer prefix may still tell.
    prefix: Vec<u8>,
    /// The prefix can still grow.
    growing: bool,
    chunks: Vec<Pending>,
    bytes: usize,
    likely: Vec<(Arc<dyn Protocol>, Stream)>,
}

impl Undecided {
    fn push(&mut self, chunk: Pending) {
        self.passed += chunk.length;
        if self.growing {
            let room = MOST_PREFIX - self.prefix.len();
            self.prefix.extend_from_slice(&chunk.bytes[..chunk.bytes.len().min(room)]);
        }
        let fits = self.chunks.len() < MOST_CHUNKS && self.bytes + chunk.bytes.len() <= MOST_BYTES;
        match self.chunks.last_mut() {
            // What tells the protocol stays in one piece.
            Some(last) if self.growing && last.is_whole() && fits => {
                self.bytes += chunk.bytes.len();
                last.length += chunk.length;
                last.bytes.extend_from_slice(&chunk.bytes);
            }
            // Too much: a hole.
            Some(last) if !fits => last.length += chunk.length,
            _ => {
                self.bytes += chunk.bytes.len();
                self.chunks.push(chunk);
            }
        }
        let whole = self.chunks.last().is_some_and(Pending::is_whole);
        self.growing &= whole && self.prefix.len() < MOST_PREFIX;
    }

    fn forget(&mut self) {
        self.growing = false;
        self.prefix.clear();
        self.chunks.clear();
        self.likely.clear();
    }
}

/// The search for a connection's protocol.
#[derive(Default)]
pub struct Search {
    runs: u32,
    run: Undecided,
    /// The run before, if it is likely to be something.
    before: Option<Undecided>,
}

impl Search {
    /// Looks at the next chunk of what this end reads, or writes; `opening` says that nothing of that stream passed before
    /// it, `role` which end this is, as far as the kernel knows.
    pub fn look(
        &mut self,
        registry: &Registry,
        chunk: Pending,
        reading: bool,
        opening: bool,
        role: Option<Role>,
    ) -> Outcome {
        if chunk.run_start || self.runs == 0 || reading != self.run.reading {
            let finished = std::mem::replace(
                &mut self.run,
                Undecided { reading, opening, growing: !chunk.bytes.is_empty(), ..Undecided::default() },
            );
            self.before = Some(finished).filter(|run| !run.likely.is_empty() && run.reading != reading);
            self.runs += 1;
        }
        let grew = self.run.growing;
        if !grew && self.run.likely.is_empty() {
            return self.give_up_or_wait();
        }
        self.run.push(chunk);
        if !grew {
            return Outcome::Unknown;
        }
        let stream = role.map(|role| stream(role, reading));
        let run = Run { bytes: &self.run.prefix, passed: self.run.passed, opening: self.run.opening, stream };
        let mut likely = Vec::new();
        let mut maybe = false;
        let mut known = None;
        for (protocol, inference) in registry.infer(&run) {
            let before = |stream: Stream| {
                self.before.as_ref().is_some_and(|before| {
                    before.likely.iter().any(|(other, its)| Arc::ptr_eq(other, protocol) && *its != stream)
                })
            };
            match inference {
                Inference::Yes(stream) => {
                    known = Some((Arc::clone(protocol), stream, before(stream)));
                    break;
                }
                // A protocol that is sure goes before one that has become likely twice.
                Inference::Likely(stream) if known.is_none() && before(stream) => {
                    known = Some((Arc::clone(protocol), stream, true));
                }
                Inference::Likely(stream) => likely.push((Arc::clone(protocol), stream)),
                Inference::Maybe => maybe = true,
                Inference::No => {}
            }
        }
        if let Some((protocol, stream, with_before)) = known {
            let before = self.before.take().filter(|_| with_before).map_or_else(Vec::new, |run| run.chunks);
            return Outcome::Known(Known {
                protocol,
                stream,
                before,
                run: std::mem::take(&mut self.run.chunks),
            });
        }
        if likely.is_empty() && is_tls(&self.run.prefix) {
            return Outcome::Encrypted;
        }
        self.run.likely = likely;
        self.run.growing &= maybe || !self.run.likely.is_empty();
        if !self.run.growing && self.run.likely.is_empty() {
            self.run.forget();
            return self.give_up_or_wait();
        }
        // What looks like something again and again, and never more than that, is nothing.
        if self.runs >= 2 * MOST_RUNS { Outcome::GivenUp } else { Outcome::Unknown }
    }

    fn give_up_or_wait(&self) -> Outcome {
        if self.runs >= MOST_RUNS { Outcome::GivenUp } else { Outcome::Unknown }
    }
}

/// The stream of what an end reads, or writes.
#[must_use]
pub fn stream(role: Role, reading: bool) -> Stream {
    match (role, reading) {
        (Role::Server, true) | (Role::Client, false) => Stream::ToServer,
        (Role::Server, false) | (Role::Client, true) => Stream::ToClient,
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
    use crate::protocol::{Parser, Settings};

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
        Registry::new(&crate::protocol::http::Settings::default(), &Settings::default())
    }

    /// A request that comes byte by byte is known as soon as it can be, with all its bytes in one piece.
    #[test]
    fn grows_a_prefix() {
        let mut search = Search::default();
        let request = b"GET /index.html HTTP/1.1\r\n";
        for (i, byte) in request.iter().enumerate() {
            match search.look(&registry(), chunk(&[*byte], i == 0), true, i == 0, None) {
                Outcome::Unknown => {}
                Outcome::Known(known) => {
                    assert_eq!((known.protocol.name(), known.stream), ("http", Stream::ToServer));
                    assert_eq!(known.run.len(), 1);
                    assert_eq!(known.run[0].bytes, request[..=i]);
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
            // Long enough that no protocol waits for more of it.
            let chunk = chunk(&[0xff; 64], true);
            let outcome = search.look(&registry(), chunk, true, run == 1, None);
            assert_eq!(matches!(outcome, Outcome::GivenUp), run == MOST_RUNS, "{run}");
        }
    }

    #[test]
    fn tells_tls() {
        let mut search = Search::default();
        let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252];
        let outcome = search.look(&registry(), chunk(&hello, true), true, true, None);
        assert!(matches!(outcome, Outcome::Encrypted));
        assert!(!is_tls(&[22, 3, 1, 0xff, 0xff]), "too long for a record");
        assert!(!is_tls(b"GET /"));
    }

    /// In the middle of a body nothing is taken for a message, and the next run is looked at afresh.
    #[test]
    fn waits_for_a_run_in_the_middle() {
        let mut search = Search::default();
        let mut look = |chunk, opening| search.look(&registry(), chunk, true, opening, None);
        assert!(matches!(look(chunk(&[0xff; 300], false), true), Outcome::Unknown));
        assert!(matches!(look(chunk(b"GET / HTTP/1.1\r\n", false), false), Outcome::Unknown));
        let outcome = look(chunk(b"GET / HTTP/1.1\r\n\r\n", true), false);
        assert!(matches!(outcome, Outcome::Known(Known { stream: Stream::ToServer, .. })));
    }

    /// `?` is likely a question, `!` likely an answer, and either may be something else.
    struct Shy;

    impl Protocol for Shy {
        fn name(&self) -> &'static str {
            "shy"
        }

        fn infer(&self, run: &Run<'_>) -> Inference {
            match run.bytes[0] {
                b'?' => Inference::Likely(Stream::ToServer),
                b'!' => Inference::Likely(Stream::ToClient),
                _ => Inference::No,
            }
        }

        fn parser(&self, _: bool) -> Box<dyn Parser> {
            unreachable!("only looked for")
        }
    }

    /// What is only likely needs both streams, and the bytes of both are handed over, with the pieces of a long run.
    #[test]
    fn two_runs_decide() {
        let registry = Registry::of(vec![Arc::new(Shy)]);
        let mut search = Search::default();
        let mut look = |bytes: &[u8], run_start, reading| {
            search.look(&registry, chunk(bytes, run_start), reading, true, None)
        };
        assert!(matches!(look(b"!", true, true), Outcome::Unknown), "an answer to nothing");
        assert!(matches!(look(b"hm", true, false), Outcome::Unknown), "which nobody asked");
        assert!(matches!(look(b"!", true, true), Outcome::Unknown), "nor did this");
        assert!(matches!(look(b"?a", true, false), Outcome::Known(_)), "but here is a question");
        let mut search = Search::default();
        let mut look = |bytes: &[u8], run_start, reading| {
            search.look(&registry, chunk(bytes, run_start), reading, true, None)
        };
        assert!(matches!(look(b"?b", true, false), Outcome::Unknown));
        assert!(matches!(look(&[b'x'; 600], false, false), Outcome::Unknown));
        assert!(matches!(look(b"yz", false, false), Outcome::Unknown));
        let Outcome::Known(known) = look(b"!c", true, true) else { panic!("not known") };
        let bytes = |chunks: &[Pending]| chunks.iter().map(|c| c.bytes.len()).collect::<Vec<_>>();
        assert_eq!((bytes(&known.before), bytes(&known.run)), (vec![602, 2], vec![2]));
        assert_eq!(known.stream, Stream::ToClient);
    }

    /// Who connected is the client, whatever the bytes look like.
    #[test]
    fn the_kernel_knows_the_roles() {
        let registry = Registry::of(vec![Arc::new(Shy)]);
        let mut search = Search::default();
        let role = Some(Role::Client);
        assert!(matches!(search.look(&registry, chunk(b"?", true), true, true, role), Outcome::Unknown));
        assert!(matches!(search.look(&registry, chunk(b"!", true), false, true, role), Outcome::Unknown));
    }
}
