//! Capture modes: the array in which user space tells the programs what it wants of each connection.
//!
//! The array is mapped into the agent's memory, so that a change of mode is a few stores and no system call.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use remora_abi::maps::Control;

/// The mapped array. Clones share it.
#[derive(Clone, Debug)]
pub struct Controls(Arc<Mapping>);

#[derive(Debug)]
struct Mapping {
    entries: u32,
    /// `None` where there are no programs to tell (a replay).
    address: Option<NonNull<u8>>,
}

// SAFETY: the mapping is shared memory that is only accessed atomically, and unmapped when the last owner goes.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Controls {
    /// Maps the array behind `map`, which has `entries` entries, a power of two.
    ///
    /// # Errors
    /// What `mmap` says.
    pub fn map(map: impl AsFd, entries: u32) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Mapping::size(entries),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_fd().as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(Arc::new(Mapping { entries, address: NonNull::new(address.cast()) })))
    }

    /// Controls of nothing: for a run without programs.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(Mapping { entries: 1, address: None }))
    }

    /// Says what is wanted of a connection. A connection that shares the entry falls back to the mode `unknown`, in
    /// which more is copied than needed, but nothing lost.
    pub fn set(&self, control: &Control) {
        let Some(base) = self.0.address else { return };
        let index = Control::index(control.connection, self.0.entries);
        // SAFETY: the index is below `entries`, so the fields lie in the mapping; they are aligned as the array is, and
        // only ever accessed atomically here.
        unsafe {
            let entry = base.as_ptr().cast::<Control>().add(index as usize);
            let connection = AtomicU64::from_ptr(&raw mut (*entry).connection);
            // Until the new values are complete the entry applies to nobody.
            if connection.load(Ordering::Relaxed) != control.connection {
                connection.store(0, Ordering::Release);
            }
            AtomicU64::from_ptr(&raw mut (*entry).read_quiet_until)
                .store(control.read_quiet_until, Ordering::Relaxed);
            AtomicU64::from_ptr(&raw mut (*entry).write_quiet_until)
                .store(control.write_quiet_until, Ordering::Relaxed);
            AtomicU32::from_ptr(&raw mut (*entry).mode).store(control.mode, Ordering::Relaxed);
            AtomicU32::from_ptr(&raw mut (*entry).budget).store(control.budget, Ordering::Relaxed);
            connection.store(control.connection, Ordering::Release);
        }
    }
}

impl Mapping {
    fn size(entries: u32) -> usize {
        entries as usize * size_of::<Control>()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            // SAFETY: our own mapping, of that size, and nobody holds it any more.
            unsafe { libc::munmap(address.as_ptr().cast(), Self::size(self.entries)) };
        }
    }
}
