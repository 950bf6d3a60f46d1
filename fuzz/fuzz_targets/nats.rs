//! NATS: any bytes, cut anyhow, with any holes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../agent/src/protocol/mod.rs"]
mod protocol;

fuzz_target!(|input: &[u8]| {
    protocol::testing::fuzz::drive(&protocol::nats::Nats, input);
});
