//! Datagrams: what a UDP socket and one peer say to each other, found and fed like a connection.
//!
//! UDP has no connections, so a "connection" is one (socket, peer) pair: its protocol is looked for in each datagram by
//! itself, its parser gets each as one chunk, and it is forgotten after [`SILENCE`]. Whether a socket's datagrams are worth
//! copying is decided for the socket as a whole: it is switched off when the first [`MOST_UNKNOWN`] of them were of no known
//! protocol.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use remora_abi::maps::{Control, MODE_OFF};
use remora_abi::record::{DATAGRAM_OWN, DATAGRAM_UNADDRESSED, DATAGRAM_UNREADABLE, Datagram, READ};
use rustc_hash::{FxHashMap, FxHashSet};

use super::connection::{Facts, Room};
use super::counters::Counters;
use super::inference::stream;
use super::shard::{Sink, Told};
use crate::protocol::{Chunk, End, Endpoint, Inference, Moment, Parser, Role, Run, Stream, Transport, Unit};

/// A pair that was silent for so long is forgotten, and so is a socket. Nanoseconds.
const SILENCE: u64 = 60_000_000_000;
/// Datagrams of no known protocol after which a socket is switched off, if none was of a known one.
const MOST_UNKNOWN: u32 = 8;

/// A socket and a peer.
type Key = (u64, SocketAddr);

/// All datagrams of a shard.
pub struct Datagrams {
    sockets: FxHashMap<u64, Socket>,
    pairs: FxHashMap<Key, Pair>,
    /// Pairs whose silence means something.
    waiting: FxHashSet<Key>,
    /// Pairs and sockets that are kept at most.
    limit: usize,
}

#[derive(Default)]
struct Socket {
    unknown: u32,
    known: bool,
    last: u64,
}

struct Pair {
    facts: Facts,
    parser: Box<dyn Parser>,
    /// Datagrams so far, to the server and to the client.
    passed: [u64; 2],
    /// Direction of the last one.
    last_stream: Option<Stream>,
    exchanges: u64,
    last: Moment,
}

impl Datagrams {
    /// None yet, and never more than `limit` pairs.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            sockets: FxHashMap::default(),
            pairs: FxHashMap::default(),
            waiting: FxHashSet::default(),
            limit: limit.max(1),
        }
    }

    /// The next datagram.
    pub fn datagram(&mut self, datagram: &Datagram, bytes: &[u8], room: &mut Room<'_>, sink: &mut dyn Sink) {
        let remote = address(datagram.remote, datagram.remote_port);
        if datagram.flags & DATAGRAM_OWN != 0 {
            let own = address(datagram.local, datagram.local_port);
            self.forget_other_end(own, remote);
            return;
        }
        let key = (datagram.socket, remote);
        let unit = Unit { process: datagram.process, thread: datagram.thread, goroutine: datagram.goroutine };
        let at = Moment { time: datagram.header.time, unit };
        let reading = datagram.direction == READ;
        let readable =
            datagram.flags & (DATAGRAM_UNREADABLE | DATAGRAM_UNADDRESSED) == 0 && !bytes.is_empty();
        if self.sockets.len() >= self.limit && !self.sockets.contains_key(&datagram.socket) {
            // What is forgotten of a socket is how many datagrams were of no known protocol.
            self.sockets.clear();
        }
        let socket = self.sockets.entry(datagram.socket).or_default();
        socket.last = at.time;
        if readable
            && !self.pairs.contains_key(&key)
            && let Some((parser, role, protocol)) = infer(bytes, datagram.length, reading, room)
        {
            socket.known = true;
            Counters::bump(&room.counters.datagram_pairs, 1);
            let facts = Facts {
                id: pair_id(&key, at.time),
                process: datagram.process,
                local: Endpoint::Inet(address(datagram.local, datagram.local_port)),
                remote: Endpoint::Inet(remote),
                transport: Transport::Datagram,
                role: Some(role),
                protocol: Some(protocol),
                midstream: false,
                namespace: datagram.namespace,
            };
            if self.pairs.len() >= self.limit {
                self.evict(at.time, room, sink);
            }
            let pair = Pair { facts, parser, passed: [0; 2], last_stream: None, exchanges: 0, last: at };
            self.pairs.insert(key, pair);
        }
        let Some(pair) = self.pairs.get_mut(&key).filter(|_| readable) else {
            self.unknown(key.0, room);
            return;
        };
        pair.last = at;
        let stream = stream(pair.facts.role.unwrap_or(Role::Client), reading);
        let chunk = Chunk {
            at,
            position: pair.passed[stream as usize],
            length: u64::from(datagram.length),
            bytes,
            run_start: pair.last_stream != Some(stream),
        };
        pair.passed[stream as usize] += 1;
        pair.last_stream = Some(stream);
        pair.parser.chunk(stream, &chunk, room.out);
        pair.tell(room, sink);
        if pair.parser.waiting() {
            self.waiting.insert(key);
        }
    }

    /// A datagram was of no known protocol.
    fn unknown(&mut self, id: u64, room: &Room<'_>) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.unknown += 1;
        if socket.unknown == MOST_UNKNOWN && !socket.known {
            Counters::bump(&room.counters.unknown_protocol_sockets, 1);
            room.controls.set(&Control { connection: id, mode: MODE_OFF, ..Control::default() });
        }
    }

    /// What the agent's own socket at `own` sent to `to` is not told: drops what has been seen of it at the other end.
    fn forget_other_end(&mut self, own: SocketAddr, to: SocketAddr) {
        self.pairs.retain(|(_, remote), pair| {
            let Endpoint::Inet(local) = pair.facts.local else { return true };
            let mirrored = *remote == own
                && local.port() == to.port()
                && (local.ip() == to.ip() || local.ip().is_unspecified());
            !mirrored
        });
        let pairs = &self.pairs;
        self.waiting.retain(|key| pairs.contains_key(key));
    }

    /// Lets silence be noticed (`CLOCK_MONOTONIC`, nanoseconds).
    pub fn tick(&mut self, now: u64, room: &mut Room<'_>, sink: &mut dyn Sink) {
        let pairs = &mut self.pairs;
        self.waiting.retain(|key| {
            let Some(pair) = pairs.get_mut(key) else { return false };
            pair.parser.tick(now, room.out);
            pair.tell(room, sink);
            pair.parser.waiting()
        });
    }

    /// Forgets what was silent for too long.
    pub fn sweep(&mut self, now: u64, room: &mut Room<'_>, sink: &mut dyn Sink) {
        self.pairs.retain(|key, pair| {
            let keep = now.saturating_sub(pair.last.time) <= SILENCE;
            if !keep {
                pair.end(now, End::Forgotten, room, sink);
                self.waiting.remove(key);
            }
            keep
        });
        self.sockets.retain(|_, socket| now.saturating_sub(socket.last) <= SILENCE);
    }

    /// Whether something that the process asked is not answered yet.
    #[must_use]
    pub fn waits(&self, process: u32) -> bool {
        let pairs = self.waiting.iter().filter_map(|key| self.pairs.get(key));
        pairs.into_iter().any(|pair| pair.last.unit.process == process)
    }

    /// A process ended at `time`: nobody waits any more for what it asked.
    pub fn process_gone(&mut self, process: u32, time: u64, room: &mut Room<'_>, sink: &mut dyn Sink) {
        let pairs = &mut self.pairs;
        self.waiting.retain(|key| {
            let Some(pair) = pairs.get_mut(key) else { return false };
            let own = pair.last.unit.process == process && pair.last.time <= time;
            if own {
                pair.end(time, End::ProcessGone, room, sink);
                pairs.remove(key);
            }
            !own
        });
    }

    /// Forgets the sixteenth of the pairs that has been silent longest.
    fn evict(&mut self, now: u64, room: &mut Room<'_>, sink: &mut dyn Sink) {
        let mut ages: Vec<(u64, Key)> = self.pairs.iter().map(|(key, pair)| (pair.last.time, *key)).collect();
        let many = (ages.len() / 16).max(1).min(ages.len());
        ages.select_nth_unstable(many - 1);
        Counters::bump(&room.counters.evicted_datagram_pairs, many as u64);
        for (_, key) in &ages[..many] {
            if let Some(mut pair) = self.pairs.remove(key) {
                pair.end(now, End::Forgotten, room, sink);
            }
            self.waiting.remove(key);
        }
    }

    /// The end: tells all that is in flight.
    pub fn finish(&mut self, now: u64, room: &mut Room<'_>, sink: &mut dyn Sink) {
        let mut all: Vec<Key> = self.pairs.keys().copied().collect();
        all.sort_unstable();
        for key in all {
            if let Some(mut pair) = self.pairs.remove(&key) {
                pair.end(now, End::Forgotten, room, sink);
            }
        }
        self.waiting.clear();
    }
}

impl Pair {
    /// Hands on what the parser has told.
    fn tell(&mut self, room: &mut Room<'_>, sink: &mut dyn Sink) {
        room.counters.losses(&self.parser.take_losses());
        for exchange in room.out.drain(..) {
            let number = self.exchanges;
            self.exchanges += 1;
            sink.tell(Told { exchange, connection: &self.facts, number });
        }
    }

    fn end(&mut self, time: u64, cause: End, room: &mut Room<'_>, sink: &mut dyn Sink) {
        self.parser.end(Moment { time, unit: self.last.unit }, cause, room.out);
        self.tell(room, sink);
    }
}

/// The parser of the protocol that a datagram is of, which end this one is, and the protocol's name.
fn infer(
    bytes: &[u8],
    length: u32,
    reading: bool,
    room: &Room<'_>,
) -> Option<(Box<dyn Parser>, Role, &'static str)> {
    let run = Run { bytes, passed: u64::from(length), opening: true, stream: None };
    room.registry.infer_datagram(&run).find_map(|(protocol, inference)| {
        let Inference::Yes(stream) = inference else { return None };
        let role = match (stream, reading) {
            (Stream::ToServer, true) | (Stream::ToClient, false) => Role::Server,
            (Stream::ToServer, false) | (Stream::ToClient, true) => Role::Client,
        };
        Some((protocol.datagram_parser()?, role, protocol.name()))
    })
}

/// An address of a record: IPv4 is mapped into IPv6 there.
fn address(address: [u8; 16], port: u16) -> SocketAddr {
    let six = Ipv6Addr::from(address);
    SocketAddr::new(six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4), port)
}

/// A number for the pair that began at `time`, of a kind that no connection has. The same when a recording is replayed.
fn pair_id((socket, remote): &Key, time: u64) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    (socket, remote, time).hash(&mut hasher);
    hasher.finish() | 1 << 63
}

#[cfg(test)]
mod tests;
