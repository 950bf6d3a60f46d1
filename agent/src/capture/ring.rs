//! The reader of the ring buffer.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

/// How long records may gather before they are read: what a ring buffer of 8 MiB takes in that time is 1.6 GiB/s.
const GATHER: Duration = Duration::from_millis(5);

/// The consumer's end of the ring buffer. The kernel side wakes it only once much has gathered; otherwise it comes by
/// itself, so that an idle host costs a few wake-ups a second and a busy one few a millisecond.
pub struct Ring {
    ring: RingBuf<MapData>,
}

impl Ring {
    /// Reads `ring`.
    #[must_use]
    pub fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// Lets records gather, then waits until there are some, or the kernel says that there are many, or `most` has
    /// passed.
    ///
    /// # Errors
    /// What `poll` says, but for an interruption.
    pub fn wait(&self, most: Duration) -> io::Result<()> {
        // A buffer that holds a record counts as readable at once: without this pause a busy host would cost a system
        // call for every few records.
        std::thread::sleep(GATHER.min(most));
        let rest = most.saturating_sub(GATHER);
        let milliseconds = i32::try_from(rest.as_millis()).unwrap_or(i32::MAX);
        let mut descriptor =
            libc::pollfd { fd: self.ring.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid descriptor.
        if unsafe { libc::poll(&raw mut descriptor, 1, milliseconds) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives each waiting record to `take`, at most `most` of them; how many there were.
    pub fn drain(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        let mut taken = 0;
        while taken < most {
            let Some(record) = self.ring.next() else { break };
            take(&record);
            taken += 1;
        }
        taken
    }
}
