use std::sync::{Arc, Mutex};

use remora_abi::record::Header;

use super::super::traffic::{Failure, Traffic};
use super::*;
use crate::probes::Controls;
use crate::protocol::dns::Dns;
use crate::protocol::{Exchange, Outcome, Registry};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 53];

/// What was told: the pair's number, the exchange's, and how it ended.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(u64, u64, Outcome)>>>);

impl Sink for Heard {
    fn tell(&mut self, told: Told<'_>) {
        assert_eq!(told.connection.transport, Transport::Datagram);
        self.0.lock().unwrap().push((told.connection.id, told.number, told.exchange.outcome));
    }
    fn traffic(&mut self, _: &Facts, _: &Traffic) {}
    fn failed(&mut self, _: &Facts, _: &Failure) {}
    fn due(&self, _: u64) -> bool {
        false
    }
    fn turn(&mut self, _: u64) {}
    fn finish(&mut self, _: u64) {}
}

struct World {
    datagrams: Datagrams,
    registry: Registry,
    counters: Counters,
    out: Vec<Exchange>,
    heard: Heard,
}

impl World {
    fn new(limit: usize) -> Self {
        Self {
            datagrams: Datagrams::new(limit),
            registry: Registry::of(vec![Arc::new(Dns)]),
            counters: Counters::default(),
            out: Vec::new(),
            heard: Heard::default(),
        }
    }

    fn work(&mut self, work: impl FnOnce(&mut Datagrams, &mut Room<'_>, &mut dyn Sink)) {
        let controls = Controls::none();
        let mut room = Room {
            registry: &self.registry,
            controls: &controls,
            counters: &self.counters,
            out: &mut self.out,
        };
        work(&mut self.datagrams, &mut room, &mut self.heard);
    }

    fn pass(&mut self, datagram: Datagram, bytes: &[u8]) {
        let datagram = Datagram { length: bytes.len() as u32, ..datagram };
        self.work(|all, room, sink| all.datagram(&datagram, bytes, room, sink));
    }

    fn told(&self) -> Vec<(u64, u64, Outcome)> {
        std::mem::take(&mut self.heard.0.lock().unwrap())
    }
}

/// A datagram on the client's socket at `time`, to or from the server.
fn at_client(time: u64, direction: u8) -> Datagram {
    let mapped = |four: [u8; 4]| std::net::Ipv4Addr::from(four).to_ipv6_mapped().octets();
    Datagram {
        header: Header { time, ..Header::default() },
        socket: 5,
        process: 7,
        thread: 7,
        local: mapped(CLIENT),
        local_port: 40_000,
        remote: mapped(SERVER),
        remote_port: 53,
        direction,
        ..Datagram::default()
    }
}

/// The same at the server's socket, which is bound to no address.
fn at_server(time: u64, direction: u8) -> Datagram {
    let client = at_client(time, direction);
    Datagram {
        socket: 6,
        process: 8,
        local: [0; 16],
        local_port: 53,
        remote: client.local,
        remote_port: client.local_port,
        ..client
    }
}

fn query(id: u16) -> Vec<u8> {
    let mut bytes = [id, 0x0100, 1, 0, 0, 0].map(u16::to_be_bytes).concat();
    bytes.extend_from_slice(b"\x01x\x00\x00\x01\x00\x01");
    bytes
}

fn response(id: u16) -> Vec<u8> {
    let mut bytes = query(id);
    bytes[2..4].copy_from_slice(&0x8180_u16.to_be_bytes());
    bytes
}

const WRITE: u8 = remora_abi::record::WRITE;

/// Both ends of a lookup are told, each under its own number, and counted on.
#[test]
fn pairs() {
    let mut world = World::new(10);
    for id in 1..3 {
        let time = u64::from(id) * 1000;
        world.pass(at_client(time, WRITE), &query(id));
        world.pass(at_server(time + 1, READ), &query(id));
        world.pass(at_server(time + 2, WRITE), &response(id));
        world.pass(at_client(time + 3, READ), &response(id));
    }
    let told = world.told();
    let numbers: Vec<u64> = told.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, [0, 0, 1, 1]);
    assert_ne!(told[0].0, told[1].0, "two ends");
    assert_eq!(told[0].0, told[2].0, "one pair");
    assert!(told.iter().all(|(id, _, outcome)| *outcome == Outcome::Complete && id >> 63 == 1));
}

/// After a minute of silence a pair is forgotten, and comes back as another.
#[test]
fn silence() {
    let mut world = World::new(10);
    world.pass(at_client(1, WRITE), &query(1));
    world.work(|all, room, sink| all.tick(6_000_000_000, room, sink));
    let first = world.told();
    assert_eq!(first[0].2, Outcome::TimedOut);
    world.work(|all, room, sink| all.sweep(SILENCE + 2, room, sink));
    assert!(world.datagrams.pairs.is_empty() && world.datagrams.sockets.is_empty());
    world.pass(at_client(SILENCE + 3, WRITE), &query(2));
    world.work(|all, room, sink| all.finish(SILENCE + 4, room, sink));
    let second = world.told();
    assert_eq!(second[0].2, Outcome::Unfinished);
    assert_ne!(first[0].0, second[0].0);
}

/// A socket of no known protocol is switched off after a few datagrams; one that has spoken a known one is not.
#[test]
fn unknown_sockets() {
    let off = |world: &World| world.counters.snapshot().unknown_protocol_sockets;
    let mut world = World::new(10);
    for time in 0..u64::from(MOST_UNKNOWN) {
        assert_eq!(off(&world), 0);
        world.pass(at_client(time, WRITE), b"\x40something else");
    }
    assert_eq!(off(&world), 1);
    let mut world = World::new(10);
    world.pass(at_client(0, WRITE), &query(1));
    let other = Datagram { remote_port: 9, ..at_client(1, WRITE) };
    for _ in 0..2 * MOST_UNKNOWN {
        world.pass(other, b"\x40something else");
    }
    assert_eq!(off(&world), 0);
    // What has no address is of no pair.
    world.pass(Datagram { flags: DATAGRAM_UNADDRESSED, ..at_server(1, READ) }, &query(1));
    assert_eq!(world.datagrams.pairs.len(), 1);
}

/// What the agent itself asks is not told by who is asked, whoever was faster.
#[test]
fn own_questions() {
    let mut world = World::new(10);
    world.pass(at_server(1, READ), &query(1));
    world.pass(Datagram { flags: DATAGRAM_OWN, ..at_client(2, WRITE) }, b"");
    world.work(|all, room, sink| all.finish(3, room, sink));
    assert_eq!(world.told(), []);
}

/// There are never more pairs than the limit; who waits is told when it has to go, or its process ends.
#[test]
fn bounds() {
    let mut world = World::new(4);
    for port in 1..10 {
        world.pass(Datagram { local_port: port, remote_port: port, ..at_client(1, WRITE) }, &query(1));
    }
    assert_eq!(world.datagrams.pairs.len(), 4);
    assert_eq!(world.counters.snapshot().evicted_datagram_pairs, 5);
    assert_eq!(world.told().len(), 5);
    assert!(world.datagrams.waits(7) && !world.datagrams.waits(8));
    world.work(|all, room, sink| all.process_gone(7, 2, room, sink));
    assert_eq!(world.told().iter().filter(|(.., outcome)| *outcome == Outcome::ProcessGone).count(), 4);
    assert!(world.datagrams.waiting.is_empty());
}
