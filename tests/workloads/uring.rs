//! An io_uring for one operation at a time, by hand.

use std::io::{Error, Result};
use std::mem::zeroed;
use std::os::fd::RawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

/// `IORING_OP_SEND`
pub const SEND: u8 = 26;
/// `IORING_OP_RECV`
pub const RECV: u8 = 27;

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`: eight words and an address each; the words mean
/// head, tail, mask, entries, … and, at index 6 of the first and 5 of the second, where the array begins.
type Offsets = [u32; 10];

/// `struct io_uring_params`
#[repr(C)]
struct Parameters {
    fields: [u32; 10],
    submission: Offsets,
    completion: Offsets,
}

/// `struct io_uring_sqe`, as far as it is needed.
#[repr(C)]
struct Entry {
    operation: u8,
    flags: u8,
    priority: u16,
    descriptor: i32,
    offset: u64,
    address: u64,
    length: u32,
    message_flags: u32,
    rest: [u64; 4],
}

/// A ring with room for one operation. It lives as long as the process.
pub struct Ring {
    descriptor: libc::c_int,
    entry: *mut Entry,
    submitted: *const AtomicU32,
    completed: *const AtomicU32,
    mask: u32,
    /// `struct io_uring_cqe`: user data, result and flags.
    results: *const [i32; 4],
}

impl Ring {
    /// Makes a ring.
    pub fn new() -> Result<Self> {
        const RING: usize = 4096;
        // SAFETY: the parameters live and all zero is valid; the kernel tells the offsets inside the mapped rings.
        unsafe {
            let mut parameters: Parameters = zeroed();
            let descriptor = libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut parameters);
            if descriptor < 0 {
                return Err(Error::last_os_error());
            }
            let descriptor = descriptor as libc::c_int;
            // IORING_OFF_SQ_RING, IORING_OFF_CQ_RING and IORING_OFF_SQES
            let [submissions, completions, entries] = [0, 0x800_0000, 0x1000_0000].map(|offset| {
                let (protection, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
                libc::mmap(null_mut(), RING, protection, shared, descriptor, offset).cast::<u8>()
            });
            if [submissions, completions, entries].contains(&libc::MAP_FAILED.cast()) {
                return Err(Error::last_os_error());
            }
            let (submission, completion) = (parameters.submission, parameters.completion);
            // The only slot always names the only entry.
            submissions.add(submission[6] as usize).cast::<u32>().write(0);
            Ok(Self {
                descriptor,
                entry: entries.cast(),
                submitted: submissions.add(submission[1] as usize).cast(),
                completed: completions.add(completion[0] as usize).cast(),
                mask: completions.add(completion[2] as usize).cast::<u32>().read(),
                results: completions.add(completion[5] as usize).cast(),
            })
        }
    }

    /// Does one operation on a buffer and waits for it; gives the bytes moved.
    ///
    /// # Safety
    /// `address` points to `length` bytes that the operation may read (SEND) or write (RECV).
    pub unsafe fn run(
        &mut self,
        operation: u8,
        socket: RawFd,
        address: *const u8,
        length: usize,
    ) -> Result<usize> {
        // IORING_ENTER_GETEVENTS
        const WAIT: u32 = 1;
        // SAFETY: the pointers lie in the mapped rings, which nobody else uses; the caller vouches for the buffer.
        unsafe {
            self.entry.write(Entry {
                operation,
                flags: 0,
                priority: 0,
                descriptor: socket,
                offset: 0,
                address: address as u64,
                length: u32::try_from(length).unwrap_or(u32::MAX),
                message_flags: 0,
                rest: [0; 4],
            });
            (*self.submitted).fetch_add(1, Ordering::Release);
            let null = null_mut::<libc::c_void>();
            if libc::syscall(libc::SYS_io_uring_enter, self.descriptor, 1, 1, WAIT, null, 0) < 0 {
                return Err(Error::last_os_error());
            }
            let slot = (*self.completed).load(Ordering::Acquire) & self.mask;
            let result = (*self.results.add(slot as usize))[2];
            (*self.completed).fetch_add(1, Ordering::Release);
            if result < 0 { Err(Error::from_raw_os_error(-result)) } else { Ok(result as usize) }
        }
    }
}
