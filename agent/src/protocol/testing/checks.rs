//! What must hold for every parser.
//!
//! Each check plays a conversation in many ways; `same` compares what is told then with what is told of the whole, for
//! protocols whose exchanges may know less after a loss (`expected`, of the whole; `got`).

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Conversation, Driver, Played};
use crate::protocol::{Interest, Losses, Protocol, Run, Stream};

/// The same, or less: some attributes may not be known, but none is another.
pub fn told_less(expected: &str, got: &str) -> bool {
    let expected: Vec<&str> = expected.split(' ').collect();
    got.split(' ').all(|word| expected.contains(&word))
}

/// The same exchanges, and no loss, however the bytes are cut into chunks.
pub fn every_split(protocol: &dyn Protocol, conversation: &Conversation) {
    assert!(!conversation.datagrams, "datagrams come as they are");
    let whole = Driver::whole(protocol, conversation, false);
    assert_eq!(whole.losses, Losses::default(), "{whole:#?}");
    for size in [1, 2, 3, 5, 16, 1000] {
        let mut driver = Driver::new(protocol, false);
        for piece in &conversation.pieces {
            for chunk in piece.bytes.chunks(size) {
                driver.chunk(piece.stream, chunk, 0);
            }
            if piece.missing > 0 {
                driver.chunk(piece.stream, &[], piece.missing);
            }
        }
        assert_eq!(driver.finish(), whole, "in chunks of {size} bytes");
    }
    for (i, cut) in conversation.pieces.iter().enumerate() {
        for at in 1..cut.bytes.len().min(4096) {
            let mut driver = Driver::new(protocol, false);
            for (j, piece) in conversation.pieces.iter().enumerate() {
                if i == j {
                    driver.chunk(piece.stream, &piece.bytes[..at], 0);
                    driver.chunk(piece.stream, &piece.bytes[at..], piece.missing);
                } else {
                    driver.chunk(piece.stream, &piece.bytes, piece.missing);
                }
            }
            assert_eq!(driver.finish(), whole, "piece {i} cut at {at}");
        }
    }
}

/// A connection may end anywhere: nothing panics, and no more is told than of the whole.
pub fn every_prefix(protocol: &dyn Protocol, conversation: &Conversation) {
    let whole = Driver::whole(protocol, conversation, false);
    for (i, cut) in conversation.pieces.iter().enumerate() {
        for at in 0..cut.bytes.len().min(4096) {
            let mut driver = new(protocol, conversation, false);
            for piece in &conversation.pieces[..i] {
                driver.chunk(piece.stream, &piece.bytes, piece.missing);
            }
            driver.chunk(cut.stream, &cut.bytes[..at], 0);
            let played = driver.finish();
            assert!(
                played.told.len() <= whole.told.len(),
                "piece {i} cut at {at}: {:#?}\nof the whole: {:#?}",
                played.told,
                whole.told
            );
        }
    }
}

/// The agent may come at any piece: what it then tells is what it would have told of the whole.
pub fn every_late_start(
    protocol: &dyn Protocol,
    conversation: &Conversation,
    same: impl Fn(&str, &str) -> bool,
) {
    let whole = Driver::whole(protocol, conversation, false);
    for start in 1..conversation.pieces.len() {
        let mut driver = new(protocol, conversation, true);
        for piece in &conversation.pieces[start..] {
            driver.chunk(piece.stream, &piece.bytes, piece.missing);
        }
        among(&whole, &driver.finish(), &same, &format!("from piece {start}"));
    }
}

/// Bytes may be missing anywhere: an exchange is told as it is, or as lost, but never with another's response.
pub fn every_gap(protocol: &dyn Protocol, conversation: &Conversation, same: impl Fn(&str, &str) -> bool) {
    let whole = Driver::whole(protocol, conversation, false);
    for (i, cut) in conversation.pieces.iter().enumerate() {
        let length = cut.bytes.len();
        for captured in [0, 1, length / 2, length.saturating_sub(1)] {
            let mut driver = new(protocol, conversation, false);
            for (j, piece) in conversation.pieces.iter().enumerate() {
                let captured = if i == j { captured } else { piece.bytes.len() };
                let missing = piece.missing + (piece.bytes.len() - captured) as u64;
                driver.chunk(piece.stream, &piece.bytes[..captured], missing);
            }
            among(&whole, &driver.finish(), &same, &format!("piece {i} cut off at {captured}"));
        }
    }
}

fn new(protocol: &dyn Protocol, conversation: &Conversation, midstream: bool) -> Driver {
    if conversation.datagrams {
        Driver::of(protocol.datagram_parser().expect("a protocol of datagrams"))
    } else {
        Driver::new(protocol, midstream)
    }
}

/// Whatever is told as complete was told of the whole, and not more often.
fn among(whole: &Played, played: &Played, same: impl Fn(&str, &str) -> bool, what: &str) {
    let mut left: HashMap<usize, &String> = whole.told.iter().enumerate().collect();
    for told in played.told.iter().filter(|told| !told.contains("remora.outcome=")) {
        let mut found: Vec<usize> =
            left.iter().filter(|(_, expected)| same(expected, told)).map(|(index, _)| *index).collect();
        found.sort_unstable();
        let Some(index) = found.first() else {
            panic!("{what}: told\n  {told}\nwhich is not among\n{:#?}", whole.told)
        };
        left.remove(index);
    }
}

/// Bytes may be anything: nothing panics, and nothing is asked for that makes no sense.
pub fn garbage(protocol: &dyn Protocol, conversations: &[Conversation]) {
    let pieces: Vec<(Stream, Vec<u8>)> = conversations
        .iter()
        .flat_map(|conversation| &conversation.pieces)
        .map(|piece| (piece.stream, piece.bytes.clone()))
        .collect();
    let random = (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(to_server, bytes)| (if to_server { Stream::ToServer } else { Stream::ToClient }, bytes));
    let real = proptest::sample::select(pieces);
    let flips = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let damaged = (real, flips).prop_map(|((stream, mut bytes), flips)| {
        for (index, byte) in flips {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        }
        (stream, bytes)
    });
    let piece = prop_oneof![1 => random, 5 => damaged];
    let missing = prop_oneof![8 => Just(0u64), 1 => 1u64..100, 1 => Just(1u64 << 33)];
    let pieces = proptest::collection::vec((piece, missing), 0..40);
    proptest!(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() },
    |(midstream in any::<bool>(), pieces in pieces)| {
        let mut driver = Driver::new(protocol, midstream);
        for ((stream, bytes), missing) in pieces {
            let run = Run { bytes: &bytes, passed: bytes.len() as u64 + missing, opening: false, stream: None };
            if !bytes.is_empty() {
                let _ = (protocol.infer(&run), protocol.infer_datagram(&run));
            }
            driver.time += 1_000_000;
            driver.chunk(stream, &bytes, missing);
            if driver.parser.interest() == Interest::Upgraded {
                break;
            }
            driver.pass(250_000_000);
        }
        let _ = driver.finish();
    });
}
