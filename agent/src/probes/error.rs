//! What can keep probes from being attached.

use std::path::PathBuf;

use super::privileges::{Capability, names};
use super::tier::{Choice, Tier};

/// Why nothing could be attached.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The kernel does not tell its types.
    #[error(
        "{path}: {reason}; Remora needs the kernel's type information: use a kernel built with CONFIG_DEBUG_INFO_BTF=y \
         (all current distributions' are)"
    )]
    NoBtf {
        /// The file that was looked for.
        path: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// A system call was refused for lack of rights.
    #[error("{}", refused_for_lack(action, missing))]
    Privilege {
        /// What was tried.
        action: String,
        /// What is needed and lacking.
        missing: Vec<Capability>,
    },
    /// The agent's own object could not be prepared.
    #[error("the eBPF programs could not be prepared: {0}")]
    Prepare(String),
    /// No tier could be attached.
    #[error("no tier of `{choice}` can be had on this kernel: {}", list(refused))]
    NoTier {
        /// What was asked for.
        choice: Choice,
        /// What was tried, and why it was refused.
        refused: Vec<(Tier, String)>,
    },
    /// A network namespace that was named in the configuration cannot be found.
    #[error("network namespace {path}: {reason}; give a file such as /run/netns/NAME or /proc/PID/ns/net")]
    Namespace {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
}

fn refused_for_lack(action: &str, missing: &[Capability]) -> String {
    if missing.is_empty() {
        return format!(
            "the kernel refused to {action}, though all capabilities for it are there: they must be held in the initial user \
             namespace, and kernel lockdown or a security module may forbid it"
        );
    }
    let names = names(missing.iter().copied());
    format!(
        "missing {names}: the kernel refused to {action}; run as root, or give the process what `remora doctor` lists for the \
         tier, in the initial user namespace"
    )
}

fn list(refused: &[(Tier, String)]) -> String {
    refused.iter().map(|(tier, reason)| format!("{tier}: {reason}")).collect::<Vec<_>>().join("; ")
}
