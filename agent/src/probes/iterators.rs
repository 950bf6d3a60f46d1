//! Passes over all sockets that processes hold: BPF iterators, each a program that the kernel runs for every open file
//! while user space reads a file.

use std::fs::File;
use std::io::{self, Read};

use aya::maps::{Array, MapData};
use aya::programs::{Iter, ProgramError};
use aya::{Btf, Ebpf};
use remora_abi::maps::Earlier;

/// Over what the programs here go: each file of each process, since Linux 5.8.
const FILES: &str = "task_file";
/// The agent's own connections come first, so that their other ends are recognised.
const EARLIER: [&str; 2] = ["own_connections", "earlier_connections"];

/// A program that is loaded and permitted, and has not run yet.
#[derive(Debug)]
pub struct Pass(File);

impl Pass {
    /// Prepares the program of that name. It may be prepared again after a run.
    ///
    /// # Errors
    /// Why the kernel refuses it.
    pub fn prepare(ebpf: &mut Ebpf, name: &str, types: &Btf) -> Result<Self, PassError> {
        let program: &mut Iter = ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| PassError::Missing(name.to_owned()))?;
        let refused = |error: ProgramError| PassError::Refused(reason(&error));
        if program.fd().is_err() {
            program.load(FILES, types).map_err(refused)?;
        }
        let link = program.attach().and_then(|id| program.take_link(id)).map_err(refused)?;
        let file = link.into_file().map_err(|error| PassError::Refused(with_sources(&error)))?;
        Ok(Self(file))
    }

    /// Lets the program run over all there is.
    ///
    /// # Errors
    /// What the kernel says when the iterator's file is read.
    pub fn run(mut self) -> io::Result<()> {
        let mut nothing = [0; 64];
        loop {
            match self.0.read(&mut nothing) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // The kernel takes a breath after a million files (kernel/bpf/bpf_iter.c).
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Why a pass cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The object lacks it.
    #[error("the object has no iterator `{0}`")]
    Missing(String),
    /// The kernel refuses it.
    #[error("{0}")]
    Refused(String),
    /// It was left out.
    #[error("`probes.iterators` is false")]
    NotWanted,
    /// It began, and failed.
    #[error("the kernel's iterator failed: {0}")]
    Failed(#[from] io::Error),
}

/// A refusal in one sentence.
fn reason(error: &ProgramError) -> String {
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        tracing::debug!(%verifier_log, "verifier's log for an iterator");
        return format!("the kernel refused to load the iterator ({io_error})");
    }
    with_sources(error)
}

/// An error and what it came from.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// The passes that enter the connections that are older than the agent.
pub struct EarlierConnections {
    passes: [Pass; 2],
    counts: Array<MapData, [u32; 6]>,
}

impl EarlierConnections {
    /// Prepares them.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub fn prepare(ebpf: &mut Ebpf, types: &Btf) -> Result<Self, PassError> {
        let [own, others] = EARLIER;
        let passes = [Pass::prepare(ebpf, own, types)?, Pass::prepare(ebpf, others, types)?];
        let counts = ebpf
            .take_map("EARLIER")
            .and_then(|map| map.try_into().ok())
            .ok_or_else(|| PassError::Missing("EARLIER".to_owned()))?;
        Ok(Self { passes, counts })
    }

    /// Enters them and tells of each by an `Open` record, so the ring buffer's reader must be at work, and all hooks in
    /// place. How many there were.
    ///
    /// # Errors
    /// What the kernel says; some may be entered all the same.
    pub fn enter(self) -> Result<Earlier, PassError> {
        for pass in self.passes {
            pass.run()?;
        }
        let [clients, servers, unknown, unix, left_out, reserved] =
            self.counts.get(&0, 0).map_err(|error| PassError::Failed(io::Error::other(error)))?;
        Ok(Earlier { clients, servers, unknown, unix, left_out, reserved })
    }
}
