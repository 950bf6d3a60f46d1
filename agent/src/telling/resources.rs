//! The resources of processes, made once and kept at hand.

use std::sync::Arc;

use remora_exporters::Resource;
use rustc_hash::FxHashMap;

use crate::identity::{Identity, Store};
use crate::trace::resource;

/// Processes whose resource is kept at hand.
const MOST: usize = 4096;

/// The resources of the processes in a store.
pub struct Resources {
    store: Arc<Store>,
    known: FxHashMap<u32, (Arc<Identity>, Arc<Resource>)>,
}

impl Resources {
    /// Of the processes in `store`.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, known: FxHashMap::default() }
    }

    /// The resource of a process as it was at `time` (`CLOCK_MONOTONIC`, nanoseconds).
    pub fn of(&mut self, process: u32, time: u64) -> Arc<Resource> {
        let identity = self.store.identity_at(process, time);
        if let Some((known, resource)) = self.known.get(&process)
            && Arc::ptr_eq(known, &identity)
        {
            return Arc::clone(resource);
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let resource = resource(&identity);
        self.known.insert(process, (identity, Arc::clone(&resource)));
        resource
    }
}
