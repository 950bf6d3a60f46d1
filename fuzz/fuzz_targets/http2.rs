//! HTTP/2, HPACK and gRPC: conversations in any pieces, with any gaps.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The protocols alone: the whole agent needs its eBPF programs built.
#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../agent/src/protocol/mod.rs"]
mod protocol;

use protocol::http::{Settings, Shared};

fuzz_target!(|bytes: &[u8]| {
    protocol::testing::fuzz::drive(&protocol::http2::Http2::new(&Shared::new(Settings::default(), true)), bytes);
});
