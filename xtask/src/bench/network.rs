//! A network namespace of the benchmark's own: its ports are free, and the agent, told to look at this namespace only,
//! counts no traffic but the benchmark's.

use std::io;
use std::mem::zeroed;

use anyhow::{Context, Result};

/// Moves this program, and so all children that it starts from now on, into a new network namespace with a loopback
/// interface. The kernel removes it with the last process in it.
pub fn own_namespace() -> Result<()> {
    // SAFETY: changes the calling thread only, and no other thread has been started yet.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error()).context(
            "cannot make a network namespace (the benchmark attaches eBPF programs: run it as root)",
        );
    }
    loopback_up().context("cannot bring up the loopback interface")
}

fn loopback_up() -> io::Result<()> {
    let check = |result: libc::c_int| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: all bits zero make a valid request, whose name is then NUL-terminated.
    let mut request: libc::ifreq = unsafe { zeroed() };
    request.ifr_name[0] = b'l'.cast_signed();
    request.ifr_name[1] = b'o'.cast_signed();
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: a new descriptor, closed below; the request outlives the call.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let result = check(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request));
        libc::close(socket);
        result.map(|_| ())
    }
}
