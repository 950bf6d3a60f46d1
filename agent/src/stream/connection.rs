//! One connection: its segments placed in order, its protocol found, its parser fed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use remora_abi::maps::{Control, MODE_FRAMES, MODE_HEADS, MODE_TURNS};
use remora_abi::record::{
    AF_INET, AF_INET6, AMBIGUOUS, Close, END_OF_STREAM, Failed, OPEN_EARLIER, OPEN_MIDSTREAM, Open, READ,
    ROLE_CLIENT, ROLE_SERVER, RUN_START, Reset, Sample, Segment, WRITE,
};

use super::Counters;
use super::inference::{Known, Outcome, Pending, Search, stream};
use super::reorder::Reorder;
use super::traffic::{Ended, Passed, Traffic};
use crate::probes::Controls;
use crate::protocol::{
    Chunk, End, Endpoint, Exchange, Interest, Moment, Parser, Registry, Rest, Role, Stream, Transport, Unit,
    Unknown, Upgrade,
};

/// What is known of a connection apart from its bytes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its number.
    pub id: u64,
    /// The process of its first segment; before that, one that holds the socket.
    pub process: u32,
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// What carries its bytes.
    pub transport: Transport,
    /// Which end this is: as the kernel saw it, or as the protocol tells.
    pub role: Option<Role>,
    /// What it speaks, once that is known.
    pub protocol: Option<&'static str>,
    /// Bytes passed before the first that is known.
    pub midstream: bool,
    /// Inode number of its network namespace, 0 if unknown.
    pub namespace: u32,
}

impl Facts {
    /// Of a connection that came to nothing.
    #[must_use]
    pub fn of_failed(failed: &Failed) -> Self {
        let Failed { family, local_port, remote_port, .. } = *failed;
        Self {
            id: failed.connection,
            process: failed.process,
            local: inet(family, &failed.local, local_port),
            remote: inet(family, &failed.remote, remote_port),
            transport: Transport::Stream,
            role: role(failed.role),
            protocol: None,
            midstream: false,
            namespace: failed.namespace,
        }
    }
}

/// Where a connection stands.
enum Stage {
    Searching(Box<Searching>),
    Parsing(Box<dyn Parser>),
    /// Of no known protocol, or not readable.
    Unknown(Box<Unknown>),
    /// It is over.
    Off,
}

/// The search for a connection's protocol, and meanwhile its turns, in case that it is of none that is known.
#[derive(Default)]
struct Searching {
    search: Search,
    unknown: Unknown,
}

/// A connection and all that is kept for it.
pub struct Connection {
    /// What is known of it.
    pub facts: Facts,
    stage: Stage,
    /// It was there when the agent came, and every byte behind position 0 has passed since.
    earlier: bool,
    /// Where the next byte of each stream is expected; `None` before the first.
    read: Option<u64>,
    written: Option<u64>,
    /// What passed, and what of it has been told.
    passed: Passed,
    /// At least one byte of it was captured, or that none was has been counted.
    captured: bool,
    reorder: Reorder,
    control: Control,
    /// Who moved bytes last, and when.
    pub last: Moment,
    /// The kernel said that it is over.
    closed: Option<Close>,
    /// The process of its first segment ended.
    owner_gone: bool,
    /// Number of the next exchange.
    pub exchanges: u64,
}

/// What a connection needs of its shard while it works.
pub struct Room<'a> {
    pub registry: &'a Registry,
    pub controls: &'a Controls,
    pub counters: &'a Counters,
    pub out: &'a mut Vec<Exchange>,
}

/// How long a connection that is over lingers: what had arrived before may still be read (a client that has shut down its
/// own stream is over for the kernel as soon as the server's end arrives). Nanoseconds.
const LINGER: u64 = 300_000_000;

impl Connection {
    /// A connection that begins to be looked at.
    #[must_use]
    pub fn new(open: &Open) -> Self {
        let unit = Unit { process: open.process, ..Unit::default() };
        Self {
            facts: Facts {
                id: open.connection,
                process: open.process,
                local: endpoint(open, &open.local, open.local_port),
                remote: endpoint(open, &open.remote, open.remote_port),
                transport: Transport::Stream,
                role: role(open.role),
                protocol: None,
                midstream: open.flags & OPEN_MIDSTREAM != 0,
                namespace: open.namespace,
            },
            stage: Stage::Searching(Box::default()),
            earlier: open.flags & OPEN_EARLIER != 0,
            read: None,
            written: None,
            passed: Passed::new(open),
            captured: false,
            reorder: Reorder::default(),
            control: Control { connection: open.connection, ..Control::default() },
            last: Moment { time: open.header.time, unit },
            closed: None,
            owner_gone: false,
            exchanges: 0,
        }
    }

    /// The next segment, in the order in which the kernel told them.
    pub fn segment(&mut self, segment: &Segment, payload: &[u8], room: &mut Room<'_>) {
        if self.is_idle() && self.facts.process != segment.process {
            self.facts.process = segment.process;
            self.owner_gone = false;
        }
        // Where not all writes are told, it cannot be known whether a read's cause is still to come.
        let all_told = !matches!(self.stage, Stage::Unknown(_)) && self.control.mode != MODE_TURNS;
        if all_told && segment.direction == READ && self.reorder.must_wait(segment, self.seen_written()) {
            Counters::bump(&room.counters.held_segments, 1);
            self.reorder.hold(*segment, payload);
            return;
        }
        if segment.direction == WRITE && segment.flags & AMBIGUOUS == 0 {
            self.pass_unseen(segment, room);
        }
        self.place(segment, payload, room);
        let waits = !matches!(self.stage, Stage::Unknown(_));
        self.release(if waits { segment.header.time } else { u64::MAX }, room);
    }

    /// Reads may wait for something that passed unseen before this write: it came before them, and they before the write.
    fn pass_unseen(&mut self, write: &Segment, room: &mut Room<'_>) {
        let unit = Unit { process: write.process, ..Unit::default() };
        while let Some((position, time)) = self.reorder.awaits()
            && position <= write.position
        {
            self.pass(false, position, Moment { time, unit }, room);
            self.release(time, room);
        }
    }

    fn is_unused(&self) -> bool {
        self.read.is_none() && self.written.is_none()
    }

    /// It was there when the agent came, and nothing has passed on it since. The process that held it then need not be the
    /// one that will use it: that may be a child of it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.earlier && self.is_unused()
    }

    /// Whether position 0 is where the agent's view of it begins. Otherwise that is wherever its first segment stands.
    fn begins_at_zero(&self) -> bool {
        self.earlier || !self.facts.midstream
    }

    /// How far the written stream has been seen; `None` if that is not known. A connection of which nothing was written yet
    /// has been seen up to its beginning.
    fn seen_written(&self) -> Option<u64> {
        self.written.or(self.begins_at_zero().then_some(0))
    }

    /// Goes on with segments that need not wait any more.
    fn release(&mut self, now: u64, room: &mut Room<'_>) {
        while let Some((segment, payload)) = self.reorder.ready(self.seen_written(), now) {
            self.place(&segment, &payload, room);
        }
    }

    /// Places a segment in its stream: what is missing before it becomes a gap, what was there already is dropped.
    fn place(&mut self, segment: &Segment, payload: &[u8], room: &mut Room<'_>) {
        let unit = Unit { process: segment.process, thread: segment.thread, goroutine: segment.goroutine };
        let at = Moment { time: segment.header.time, unit };
        self.last = at;
        if segment.flags & AMBIGUOUS != 0 {
            return;
        }
        self.captured |= !payload.is_empty();
        let reading = segment.direction == READ;
        if segment.flags & END_OF_STREAM != 0 {
            self.stream_end(reading, at, room);
            return;
        }
        // What passed before the very first segment passed before our time.
        self.facts.midstream |= self.is_unused() && segment.position > 0;
        self.pass(reading, segment.position, at, room);
        let expected = if reading { &mut self.read } else { &mut self.written };
        let place = expected.unwrap_or(segment.position);
        let end = segment.position + u64::from(segment.length);
        *expected = Some(place.max(end));
        self.passed.add(reading, end.saturating_sub(place));
        if end <= place && segment.length > 0 {
            Counters::bump(&room.counters.overlap_bytes, u64::from(segment.length));
            return;
        }
        let overlap = place.saturating_sub(segment.position);
        Counters::bump(&room.counters.overlap_bytes, overlap);
        let skipped = overlap.min(payload.len() as u64) as usize;
        let chunk = Chunk {
            at,
            position: segment.position + overlap,
            length: u64::from(segment.length) - overlap,
            bytes: &payload[skipped..],
            run_start: segment.flags & RUN_START != 0,
        };
        self.gap(chunk.length.saturating_sub(chunk.bytes.len() as u64), room);
        self.chunk(reading, &chunk, room);
    }

    /// What passed of a stream up to `position` and was not seen becomes a gap.
    fn pass(&mut self, reading: bool, position: u64, at: Moment, room: &mut Room<'_>) {
        let start = if self.begins_at_zero() { 0 } else { position };
        let expected = if reading { &mut self.read } else { &mut self.written };
        let place = expected.unwrap_or(start);
        *expected = Some(place.max(position));
        let gap = position.saturating_sub(place);
        if gap > 0 {
            self.passed.add(reading, gap);
            self.gap(gap, room);
            let chunk = Chunk { at, position: place, length: gap, bytes: &[], run_start: false };
            self.chunk(reading, &chunk, room);
        }
    }

    /// So many bytes are missing, unless nobody asked for them.
    fn gap(&self, bytes: u64, room: &Room<'_>) {
        if self.control.mode != MODE_TURNS {
            Counters::bump(&room.counters.gap_bytes, bytes);
        }
    }

    /// Gives a chunk to the parser, or looks for the protocol in it.
    fn chunk(&mut self, reading: bool, chunk: &Chunk<'_>, room: &mut Room<'_>) {
        match &mut self.stage {
            Stage::Off => {}
            Stage::Unknown(unknown) => {
                if let Some(role) = self.facts.role {
                    unknown.chunk(stream(role, reading), chunk, room.out);
                }
            }
            Stage::Parsing(parser) => {
                parser.chunk(stream(self.facts.role.unwrap_or(Role::Client), reading), chunk, room.out);
                self.follow(room);
            }
            Stage::Searching(searching) => {
                let Searching { search, unknown } = searching.as_mut();
                // Who asks is clear only if the kernel saw who connected.
                if let Some(role) = self.facts.role {
                    unknown.chunk(stream(role, reading), chunk, room.out);
                }
                let pending = Pending {
                    at: chunk.at,
                    position: chunk.position,
                    length: chunk.length,
                    bytes: chunk.bytes.to_vec(),
                    run_start: chunk.run_start,
                };
                let opening = chunk.position == 0 && !self.facts.midstream;
                match search.look(room.registry, pending, reading, opening, self.facts.role) {
                    Outcome::Unknown => {}
                    Outcome::Encrypted => {
                        Counters::bump(&room.counters.encrypted_connections, 1);
                        self.unknown(Some("tls"), room);
                    }
                    Outcome::GivenUp => {
                        if !self.unread(room) {
                            Counters::bump(&room.counters.unknown_protocol_connections, 1);
                        }
                        self.unknown(None, room);
                    }
                    Outcome::Known(known) => self.parse(reading, known, room),
                }
            }
        }
    }

    /// The protocol is known: its parser gets what passed while it was looked for.
    fn parse(&mut self, reading: bool, known: Known, room: &mut Room<'_>) {
        let Known { protocol, stream, before, run } = known;
        self.facts.role = Some(match (stream, reading) {
            (Stream::ToServer, true) | (Stream::ToClient, false) => Role::Server,
            (Stream::ToServer, false) | (Stream::ToClient, true) => Role::Client,
        });
        // Bytes of another protocol, or of this one that were not understood, passed before.
        let other_before = match before.first() {
            Some(first) => first.position,
            None => if reading { self.written } else { self.read }.unwrap_or(0),
        };
        let midstream =
            self.facts.midstream || run.first().is_some_and(|first| first.position > 0) || other_before > 0;
        let mut parser = protocol.parser(midstream);
        self.facts.protocol = Some(protocol.name());
        let before = before.iter().map(|chunk| (stream.other(), chunk));
        for (stream, chunk) in before.chain(run.iter().map(|chunk| (stream, chunk))) {
            let Pending { at, position, length, ref bytes, run_start } = *chunk;
            parser.chunk(stream, &Chunk { at, position, length, bytes, run_start }, room.out);
        }
        self.stage = Stage::Parsing(parser);
        self.follow(room);
    }

    /// The connection goes on in another protocol, if that is known.
    fn upgrade(&mut self, mut upgrade: Upgrade, room: &mut Room<'_>) {
        let Some(mut parser) = room.registry.upgraded(&mut upgrade) else {
            Counters::bump(&room.counters.unknown_protocol_connections, 1);
            self.unknown(None, room);
            return;
        };
        for (stream, rest) in [Stream::ToServer, Stream::ToClient].into_iter().zip(&upgrade.rest) {
            if let Some(Rest { at, position, length, bytes }) = rest {
                let chunk = Chunk { at: *at, position: *position, length: *length, bytes, run_start: false };
                parser.chunk(stream, &chunk, room.out);
            }
        }
        self.stage = Stage::Parsing(parser);
        self.follow(room);
    }

    fn stream_end(&mut self, reading: bool, at: Moment, room: &mut Room<'_>) {
        if let Stage::Parsing(parser) = &mut self.stage {
            parser.stream_end(stream(self.facts.role.unwrap_or(Role::Client), reading), at, room.out);
            self.follow(room);
        }
    }

    /// Whether not one byte could be read of it so far; counted once.
    fn unread(&mut self, room: &Room<'_>) -> bool {
        let unread = !std::mem::replace(&mut self.captured, true);
        if unread {
            Counters::bump(&room.counters.unread_connections, 1);
        }
        unread
    }

    /// No parser wants it: what is left to be told is who speaks when, if it is known who asks, and how much.
    fn unknown(&mut self, protocol: Option<&'static str>, room: &mut Room<'_>) {
        self.settle(protocol, room);
        self.follow(room);
    }

    fn settle(&mut self, protocol: Option<&'static str>, room: &mut Room<'_>) {
        let mut unknown = match std::mem::replace(&mut self.stage, Stage::Off) {
            Stage::Searching(searching) => Box::new(searching.unknown),
            Stage::Unknown(unknown) => unknown,
            Stage::Parsing(_) | Stage::Off => Box::default(),
        };
        self.facts.protocol = self.facts.protocol.or(protocol);
        unknown.settle(self.facts.protocol, room.registry.network_spans, room.out);
        self.stage = Stage::Unknown(unknown);
    }

    /// Tells the kernel side what the parser wants to see, and counts what it lost.
    fn follow(&mut self, room: &mut Room<'_>) {
        let parser: &mut dyn Parser = match &mut self.stage {
            Stage::Parsing(parser) => parser.as_mut(),
            // Also where it is not known who asks: it is what tells how many bytes pass while it lasts.
            Stage::Unknown(unknown) => unknown.as_mut(),
            Stage::Searching(..) | Stage::Off => return,
        };
        room.counters.losses(&parser.take_losses());
        let (mode, budget, quiet_until) = match parser.interest() {
            Interest::Heads { budget, quiet_until } => (MODE_HEADS, budget, quiet_until),
            Interest::Frames { quiet_until } => (MODE_FRAMES, 0, quiet_until),
            Interest::Nothing => {
                self.unknown(None, room);
                return;
            }
            Interest::Turns => (MODE_TURNS, 0, [0; 2]),
            Interest::Upgraded => {
                let upgrade = parser.take_upgrade();
                self.upgrade(upgrade, room);
                return;
            }
        };
        let [to_server, to_client] = quiet_until;
        let (read_quiet_until, write_quiet_until) = match self.facts.role {
            Some(Role::Server) => (to_server, to_client),
            _ => (to_client, to_server),
        };
        self.set(
            Control { connection: self.facts.id, read_quiet_until, write_quiet_until, mode, budget },
            room,
        );
    }

    fn set(&mut self, control: Control, room: &Room<'_>) {
        if control != self.control {
            self.control = control;
            room.controls.set(&control);
        }
    }

    /// The kernel says that it is over. Bytes that had arrived before may still be read.
    pub fn close(&mut self, close: &Close) {
        self.closed.get_or_insert(*close);
    }

    /// What TCP knows of it now.
    pub fn sample(&mut self, sample: &Sample) {
        self.passed.tcp(sample.round_trip, sample.retransmits);
    }

    /// One of its ends broke it off.
    pub fn reset(&mut self, reset: &Reset) {
        self.passed.reset(reset.direction == READ);
    }

    /// The process of its first segment ended.
    pub fn owner_gone(&mut self) {
        self.owner_gone = true;
    }

    /// Lets silence be noticed. True if the connection is over and all has been told.
    pub fn tick(&mut self, now: u64, room: &mut Room<'_>) -> bool {
        self.release(now, room);
        if let Some(close) = self.closed {
            if now.saturating_sub(close.header.time.max(self.last.time)) < LINGER {
                return false;
            }
            self.finish(now, room);
            return true;
        }
        match &mut self.stage {
            Stage::Parsing(parser) if parser.waiting() => {
                parser.tick(now, room.out);
                self.follow(room);
            }
            Stage::Unknown(unknown) if unknown.waiting() => unknown.tick(now, room.out),
            _ => {}
        }
        false
    }

    /// Nothing more will come: it ends as the kernel said, or is forgotten.
    pub fn finish(&mut self, now: u64, room: &mut Room<'_>) {
        let Some(close) = self.closed else {
            self.end(now, End::Forgotten, room);
            return;
        };
        self.release(u64::MAX, room);
        let at = Moment { time: close.header.time.max(self.last.time), unit: self.last.unit };
        self.unseen(true, close.read_position, at, room);
        self.unseen(false, close.write_position, at, room);
        let cause = match close.error {
            _ if self.owner_gone && self.last.unit.process == self.facts.process => End::ProcessGone,
            0 => End::Orderly,
            error => End::Broken(error),
        };
        self.end(at.time, cause, room);
    }

    /// Its process ended at `time`, and nothing more will come: it ends as the kernel said, if it did, and with the process
    /// otherwise.
    pub fn abandon(&mut self, time: u64, room: &mut Room<'_>) {
        if self.closed.is_some() {
            self.finish(time, room);
        } else {
            self.end(time, End::ProcessGone, room);
        }
    }

    /// The stream had come to `position` when the connection closed: what was not seen of it is a gap.
    fn unseen(&mut self, reading: bool, position: u64, at: Moment, room: &mut Room<'_>) {
        let start = if self.begins_at_zero() { 0 } else { position };
        let seen = if reading { self.read } else { self.written }.unwrap_or(start);
        let gap = position.saturating_sub(seen);
        if gap > 0 && gap < 1 << 31 {
            self.gap(gap, room);
            self.passed.add(reading, gap);
            if !matches!(self.stage, Stage::Parsing(_)) {
                // When they passed is not known, so they are no turn.
                return;
            }
            let chunk = Chunk { at, position: seen, length: gap, bytes: &[], run_start: false };
            self.chunk(reading, &chunk, room);
        }
    }

    /// It is over: tells what was in flight.
    pub fn end(&mut self, time: u64, cause: End, room: &mut Room<'_>) {
        self.release(u64::MAX, room);
        if let Stage::Searching(..) = self.stage {
            // It ended before it was decided.
            if self.read.is_some() || self.written.is_some() || self.passed.any() {
                self.unread(room);
            }
            self.settle(None, room);
        }
        let parser: Option<&mut dyn Parser> = match &mut self.stage {
            Stage::Parsing(parser) => Some(parser.as_mut()),
            Stage::Unknown(unknown) => Some(unknown.as_mut()),
            Stage::Searching(..) | Stage::Off => None,
        };
        if let Some(parser) = parser {
            parser.end(Moment { time, unit: self.last.unit }, cause, room.out);
            room.counters.losses(&parser.take_losses());
        }
        self.stage = Stage::Off;
        if let Some(close) = self.closed {
            self.passed.tcp(close.round_trip, close.retransmits);
        }
        let time = self.closed.map_or(time, |close| close.header.time);
        self.passed.end(Ended { time, cause });
    }

    /// What passed on it since the last time that this was asked.
    pub fn traffic(&mut self) -> Option<Traffic> {
        self.passed.take(self.last.time)
    }

    /// Whether [`tick`](Self::tick) is of use.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.closed.is_some()
            || !self.reorder.is_empty()
            || match &self.stage {
                Stage::Parsing(parser) => parser.waiting(),
                Stage::Unknown(unknown) => unknown.waiting(),
                Stage::Searching(..) | Stage::Off => false,
            }
    }
}

fn role(role: u8) -> Option<Role> {
    match role {
        ROLE_CLIENT => Some(Role::Client),
        ROLE_SERVER => Some(Role::Server),
        _ => None,
    }
}

fn endpoint(open: &Open, address: &[u8; 16], port: u16) -> Endpoint {
    match open.family {
        AF_INET | AF_INET6 => inet(open.family, address, port),
        _ => Endpoint::Unix(unix_path(&open.path)),
    }
}

fn inet(family: u16, address: &[u8; 16], port: u16) -> Endpoint {
    match family {
        AF_INET => {
            let [a, b, c, d, ..] = *address;
            Endpoint::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port))
        }
        _ => {
            // An IPv4-mapped address is IPv4 on the wire, and told so.
            let ip = Ipv6Addr::from(*address);
            let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
            Endpoint::Inet(SocketAddr::new(ip, port))
        }
    }
}

/// A unix socket's path; an abstract one begins with `@`.
fn unix_path(path: &[u8; 104]) -> Arc<str> {
    let (prefix, path) = match path {
        [0, abstract_name @ ..] if abstract_name[0] != 0 => ("@", &abstract_name[..]),
        path => ("", &path[..]),
    };
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    format!("{prefix}{}", String::from_utf8_lossy(&path[..end])).into()
}
