//! WebSocket: conversations in any pieces, with any gaps.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The protocols alone: the whole agent needs its eBPF programs built.
#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../agent/src/protocol/mod.rs"]
mod protocol;

fuzz_target!(|bytes: &[u8]| {
    protocol::testing::fuzz::drive(&protocol::websocket::WebSocket, bytes);
});
