//! Go programs: tells the eBPF programs where a process keeps its goroutine's id.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use remora_abi::maps::Process;
use remora_symbolizer::go;
use rustc_hash::FxHashMap;

use crate::probes::ProcessTable;

/// Executables whose answer is remembered.
const MOST_EXECUTABLES: usize = 4096;

/// Looks at each executable once.
pub struct GoProcesses {
    table: ProcessTable,
    /// By device and inode: the offset of `goid`, 0 for what is not Go (or of an unknown layout).
    executables: FxHashMap<(u64, u64), u32>,
}

impl GoProcesses {
    /// Fills `table`.
    #[must_use]
    pub fn new(table: ProcessTable) -> Self {
        Self { table, executables: FxHashMap::default() }
    }

    /// A process runs a program that it did not run before.
    pub fn look(&mut self, pid: u32) {
        let path = format!("/proc/{pid}/exe");
        // Gone already, or a kernel thread.
        let Ok(metadata) = std::fs::metadata(&path) else { return };
        let key = (metadata.dev(), metadata.ino());
        let goid_offset = match self.executables.get(&key) {
            Some(&known) => known,
            None => {
                if self.executables.len() >= MOST_EXECUTABLES {
                    self.executables.clear();
                }
                let offset = go::goid_offset(Path::new(&path)).unwrap_or(0);
                self.executables.insert(key, offset);
                offset
            }
        };
        if goid_offset != 0 {
            self.table.set(pid, Process { ignored: 0, goid_offset });
        } else {
            self.table.remove(pid);
        }
    }

    /// A process ended.
    pub fn gone(&mut self, pid: u32) {
        self.table.remove(pid);
    }
}
