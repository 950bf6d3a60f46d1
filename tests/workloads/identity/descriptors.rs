//! What can be done to descriptors, in the system calls' own words.

use std::io::Error;
use std::os::fd::RawFd;

use libc::{c_int, pid_t};

fn check(result: c_int) -> c_int {
    assert!(result >= 0, "{}", Error::last_os_error());
    result
}

/// Closes it.
pub fn close(fd: RawFd) {
    // SAFETY: the caller owns the descriptor.
    check(unsafe { libc::close(fd) });
}

/// Another number for the same.
pub fn duplicate(fd: RawFd) -> RawFd {
    // SAFETY: an open descriptor.
    check(unsafe { libc::dup(fd) })
}

/// Another number for the same; the one that it had is free for somebody else.
pub fn moved(fd: RawFd) -> RawFd {
    let new = duplicate(fd);
    close(fd);
    new
}

/// Puts `fd` in place of what `slot` holds, which is closed by that; the number that it has then.
pub fn over(fd: RawFd, slot: &mut Option<RawFd>) -> RawFd {
    let Some(number) = *slot else {
        *slot = Some(fd);
        return fd;
    };
    replace(number, fd);
    close(fd);
    number
}

/// Lets the number `old` mean what `by` means, in one step.
pub fn replace(old: RawFd, by: RawFd) {
    // SAFETY: two open descriptors.
    check(unsafe { libc::dup2(by, old) });
}

/// The first free number from `from` on, for what `fd` means.
pub fn duplicate_from(from: RawFd, fd: RawFd) -> RawFd {
    // SAFETY: an open descriptor.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD, from) })
}

/// The peer reads the end of the stream.
pub fn shutdown_writing(fd: RawFd) {
    // SAFETY: an open descriptor. The peer may have gone.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// The last close of a TCP socket sends a reset instead of an orderly end.
pub fn reset_at_close(fd: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option is of that type.
    let result = unsafe {
        let size = size_of::<libc::linger>() as u32;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    check(result);
}

/// Lets the kernel keep few bytes that were not sent yet.
pub fn small_buffer(fd: RawFd) {
    let bytes: c_int = 8192;
    // SAFETY: the option is an int.
    let result = unsafe {
        let size = size_of::<c_int>() as u32;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, (&raw const bytes).cast(), size)
    };
    check(result);
}

/// A pair of sockets to pass descriptors over. They are no streams, so nobody takes them for connections.
pub fn socketpair() -> (RawFd, RawFd) {
    let mut pair = [0; 2];
    // SAFETY: room for two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, pair.as_mut_ptr()) });
    (pair[0], pair[1])
}

/// Room for one descriptor beside a message, aligned as its header is.
#[repr(C, align(8))]
struct Ancillary([u8; 24]);

/// Passes a descriptor and a number.
pub fn pass(channel: RawFd, fd: RawFd, mut number: u8) {
    let mut vector = libc::iovec { iov_base: (&raw mut number).cast(), iov_len: 1 };
    let mut room = Ancillary([0; 24]);
    // SAFETY: all that the message points to lives; `room` is as large as `CMSG_SPACE` of one descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut room).cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
        check(libc::sendmsg(channel, &raw const message, 0) as c_int);
    }
}

/// A descriptor that was passed, and the number with it; `None` if nobody can pass any more.
pub fn receive(channel: RawFd) -> Option<(RawFd, u8)> {
    let mut number = 0_u8;
    let mut vector = libc::iovec { iov_base: (&raw mut number).cast(), iov_len: 1 };
    let mut room = Ancillary([0; 24]);
    // SAFETY: as above.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut room).cast();
        message.msg_controllen = size_of::<Ancillary>();
        let length = check(libc::recvmsg(channel, &raw mut message, 0) as c_int);
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if length == 0 || header.is_null() {
            return None;
        }
        Some((libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned(), number))
    }
}

/// A child that does `work` and ends. If this process has threads, `work` must not allocate and take no lock.
pub fn fork(work: impl FnOnce()) -> pid_t {
    // SAFETY: the child does only what the caller promises.
    let child = check(unsafe { libc::fork() });
    if child == 0 {
        work();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    child
}

/// Waits for a child's end.
pub fn wait(child: pid_t) {
    let mut status = 0;
    // SAFETY: a child that nobody else waits for.
    check(unsafe { libc::waitpid(child, &raw mut status, 0) });
    assert_eq!(status, 0, "a child failed");
}
