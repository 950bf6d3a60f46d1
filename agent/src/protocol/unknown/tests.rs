use super::*;
use crate::protocol::{Endpoint, Role, Scene, Signals, Unit, Value};
use proptest::prelude::*;

fn at(time: u64) -> Moment {
    Moment { time, unit: Unit { process: 7, thread: 8, goroutine: 0 } }
}

/// A chunk of one byte at a time, in milliseconds.
fn chunk(time: u64, run_start: bool) -> Chunk<'static> {
    Chunk { at: at(time * 1_000_000), position: 0, length: 1, bytes: b"x", run_start }
}

/// A chunk whose bytes were not copied.
fn unseen(time: u64, run_start: bool) -> Chunk<'static> {
    Chunk { bytes: b"", ..chunk(time, run_start) }
}

/// Start, first byte and end in milliseconds.
fn times(out: &[Exchange]) -> Vec<(u64, u64, u64)> {
    let milliseconds = |time| time / 1_000_000;
    out.iter()
        .map(|exchange| {
            let first = exchange.first_byte.unwrap();
            (milliseconds(exchange.start.time), milliseconds(first), milliseconds(exchange.end))
        })
        .collect()
}

use Stream::{ToClient, ToServer};

/// Each run of the client with the run of the server behind it is a turn.
#[test]
fn turns() {
    let mut parser = Unknown::default();
    let mut out = Vec::new();
    parser.settle(None, false, &mut out);
    for (stream, chunk) in [
        (ToServer, chunk(10, true)),
        (ToServer, unseen(11, false)),
        (ToClient, chunk(20, true)),
        (ToClient, unseen(25, false)),
        (ToServer, unseen(30, true)),
        (ToClient, unseen(34, true)),
    ] {
        parser.chunk(stream, &chunk, &mut out);
    }
    assert_eq!(times(&out), [(10, 20, 25)]);
    assert_eq!(out[0].start.unit.process, 7);
    assert!(parser.waiting());
    parser.tick(34_000_000 + SILENCE - 1, &mut out);
    assert_eq!(out.len(), 1);
    parser.tick(34_000_000 + SILENCE, &mut out);
    assert_eq!(times(&out)[1..], [(30, 34, 34)]);
    assert!(!parser.waiting());
    // Late bytes of a response that is told, and a goodbye without an answer, are no turns.
    parser.chunk(ToClient, &chunk(5000, false), &mut out);
    parser.chunk(ToServer, &chunk(5001, true), &mut out);
    parser.end(at(6_000_000_000), End::Orderly, &mut out);
    assert_eq!(out.len(), 2);
    assert_eq!(parser.take_losses(), Losses::default());
}

/// The server speaks first: that answers nothing.
#[test]
fn greeting() {
    let mut parser = Unknown::default();
    let mut out = Vec::new();
    parser.settle(None, false, &mut out);
    parser.chunk(ToClient, &chunk(1, true), &mut out);
    parser.chunk(ToServer, &chunk(2, true), &mut out);
    parser.chunk(ToClient, &chunk(3, true), &mut out);
    parser.end(at(9_000_000), End::Orderly, &mut out);
    assert_eq!(times(&out), [(2, 3, 3)]);
}

/// Bytes that passed unseen begin no run: nobody knows when they did.
#[test]
fn gaps_begin_nothing() {
    let mut parser = Unknown::default();
    let mut out = Vec::new();
    parser.settle(None, false, &mut out);
    parser.chunk(ToServer, &chunk(1, true), &mut out);
    parser.chunk(ToClient, &chunk(2, true), &mut out);
    // The rest of the first request was not seen; it is placed when the next begins.
    parser.chunk(ToServer, &unseen(50, false), &mut out);
    assert!(out.is_empty());
    parser.chunk(ToServer, &chunk(50, true), &mut out);
    assert_eq!(times(&out), [(1, 2, 2)]);
}

/// Until it is settled that the protocol is unknown, turns are kept; there are not many.
#[test]
fn withheld() {
    let mut parser = Unknown::default();
    let mut out = Vec::new();
    for turn in 0..70 {
        parser.chunk(ToServer, &chunk(turn * 10, true), &mut out);
        parser.chunk(ToClient, &chunk(turn * 10 + 5, true), &mut out);
    }
    assert!(out.is_empty() && !parser.waiting());
    assert_eq!(parser.take_losses().over_limit, 5);
    parser.settle(Some("tls"), true, &mut out);
    assert_eq!((out.len(), times(&out)[63]), (64, (630, 635, 635)));
}

/// By default a turn is for the metrics only; ports that are used once are in none of them.
#[test]
fn description() {
    let local = Endpoint::Inet("10.0.0.1:5000".parse().unwrap());
    let remote = Endpoint::Inet("10.0.0.2:6000".parse().unwrap());
    for (role, spans) in [(Role::Client, false), (Role::Server, true)] {
        let mut parser = Unknown::default();
        let mut out = Vec::new();
        parser.settle(Some("tls"), spans, &mut out);
        parser.chunk(ToServer, &chunk(1, true), &mut out);
        parser.chunk(ToClient, &chunk(2, true), &mut out);
        parser.end(at(3), End::Orderly, &mut out);
        let scene = Scene { role, local: &local, remote: &remote };
        let described = out[0].detail.describe(&out[0], &scene);
        assert_eq!(described.signals == Signals::SpanAndMetrics, spans);
        assert_eq!(described.name, "network");
        let get =
            |key: &str| described.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
        let port = if role == Role::Client { 6000 } else { 5000 };
        assert_eq!(get("server.port"), Some(&Value::Integer(port)));
        assert_eq!(get("network.protocol.name"), Some(&Value::Text("tls".into())));
        let of_role: Vec<_> =
            described.instruments.iter().filter(|instrument| instrument.role == Some(role)).collect();
        assert_eq!(of_role.len(), 1);
        assert!(!of_role[0].keys.contains(&"network.peer.port"));
        assert_eq!(of_role[0].keys.contains(&"server.address"), role == Role::Client);
    }
}

proptest! {
    /// Whatever comes: times are in order, turns do not overlap, and there are no more than runs of the server.
    #[test]
    fn anything(chunks in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0u64..5000), 0..200)) {
        let mut parser = Unknown::default();
        let mut out = Vec::new();
        parser.settle(None, false, &mut out);
        let mut now = 0;
        for (asks, run_start, seen, later) in chunks {
            now += later;
            let stream = if asks { ToServer } else { ToClient };
            let chunk = if seen { chunk(now, run_start) } else { unseen(now, run_start) };
            parser.chunk(stream, &chunk, &mut out);
            parser.tick(now * 1_000_000, &mut out);
        }
        parser.end(at(now * 1_000_000), End::Forgotten, &mut out);
        let mut last = 0;
        for (start, first, end) in times(&out) {
            prop_assert!(last <= start && start <= first && first <= end && end <= now);
            last = end;
        }
    }
}
