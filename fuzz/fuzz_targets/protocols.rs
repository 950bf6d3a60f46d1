//! Every protocol of the registry, the one that `REMORA_PROTOCOL` names: connections cut anywhere, with bytes missing, and
//! plain garbage. Nothing may panic, no time may run backwards.
//!
//! `REMORA_PROTOCOL=list` prints the names; with `REMORA_SEEDS=FOLDER` the recorded conversations become its first inputs.

#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;

// The protocols alone: the whole agent needs its eBPF programs built.
#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../agent/src/protocol/mod.rs"]
mod protocol;

use protocol::testing::{Conversation, fuzz};
use protocol::{Protocol, Registry, Settings, http};

static PROTOCOL: LazyLock<Arc<dyn Protocol>> = LazyLock::new(|| {
    let wanted = std::env::var("REMORA_PROTOCOL").unwrap_or_default();
    let settings = Settings { http_bodies: true, ..Settings::default() };
    let registry = Registry::new(&http::Settings::default(), &settings);
    if wanted == "list" {
        for protocol in registry.protocols() {
            println!("{}", protocol.name());
        }
        std::process::exit(0);
    }
    let Some(protocol) = registry.protocols().find(|protocol| protocol.name() == wanted) else {
        eprintln!("REMORA_PROTOCOL={wanted} is no protocol: REMORA_PROTOCOL=list prints them");
        std::process::exit(2);
    };
    if let Some(folder) = std::env::var_os("REMORA_SEEDS") {
        let conversations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/conversations");
        for conversation in Conversation::recorded_in(&conversations, Some(&wanted)) {
            let path = Path::new(&folder).join(&conversation.name);
            if let Err(error) = std::fs::write(&path, fuzz::seed(&conversation)) {
                eprintln!("{}: {error}", path.display());
            }
        }
    }
    Arc::clone(protocol)
});

fuzz_target!(init: { LazyLock::force(&PROTOCOL); }, |data: &[u8]| fuzz::drive(&**PROTOCOL, data));
