//! How many exchanges a second each protocol's parser makes of recorded conversations: the work of one core, from chunks
//! to exchanges, without describing or exporting them.
//!
//!     cargo bench -p remora --bench protocols

#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use remora::protocol;
use remora::protocol::http;
use remora::protocol::{Chunk, End, Exchange, Moment, Protocol, Registry, Settings, Stream};

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../src/protocol/testing/conversation.rs"]
mod conversation;

use conversation::Conversation;

fn play(protocol: &dyn Protocol, conversation: &Conversation, out: &mut Vec<Exchange>) {
    let datagram_parser = conversation.datagrams.then(|| protocol.datagram_parser()).flatten();
    let mut parser = datagram_parser.unwrap_or_else(|| protocol.parser(false));
    let (mut positions, mut last, mut at) = ([0; 2], None, Moment::default());
    for piece in &conversation.pieces {
        at.time += piece.after * 1_000;
        let position = &mut positions[usize::from(piece.stream == Stream::ToClient)];
        let length = piece.bytes.len() as u64 + piece.missing;
        let run_start = last != Some(piece.stream);
        let chunk = Chunk { at, position: *position, length, bytes: &piece.bytes, run_start };
        *position += length;
        last = Some(piece.stream);
        parser.chunk(piece.stream, &chunk, out);
        let _ = parser.interest();
    }
    parser.end(at, End::Orderly, out);
}

fn protocols(criterion: &mut Criterion) {
    let registry = Registry::new(&http::Settings::default(), &Settings::default());
    let mut group = criterion.benchmark_group("protocols");
    group.sample_size(20);
    for conversation in Conversation::recorded(None) {
        let protocol = registry
            .protocols()
            .find(|protocol| protocol.name() == conversation.protocol)
            .unwrap_or_else(|| panic!("{} names no protocol", conversation.name));
        let mut out = Vec::new();
        play(protocol.as_ref(), &conversation, &mut out);
        group.throughput(Throughput::Elements(out.len() as u64));
        group.bench_function(&conversation.name, |bencher| {
            bencher.iter(|| {
                out.clear();
                play(protocol.as_ref(), &conversation, &mut out);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, protocols);
criterion_main!(benches);
