//! Kernel TLS with keys that both ends know beforehand (Documentation/networking/tls.rst), and what TCP says of itself.

use std::io::{Error, Result};
use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::RawFd;

/// `TCP_ULP` (include/uapi/linux/tcp.h)
const TCP_ULP: libc::c_int = 31;
/// `SOL_TLS` (include/linux/socket.h)
const SOL_TLS: libc::c_int = 282;
/// `TLS_TX` and `TLS_RX` (include/uapi/linux/tls.h)
const SEND: libc::c_int = 1;
const RECEIVE: libc::c_int = 2;

/// `struct tls12_crypto_info_aes_gcm_128` there.
#[repr(C)]
struct Keys {
    version: u16,
    cipher: u16,
    vector: [u8; 8],
    key: [u8; 16],
    salt: [u8; 4],
    sequence: [u8; 8],
}

/// Encrypts what this end sends from now on, and decrypts what it receives.
pub fn encrypt(socket: RawFd, client: bool) -> Result<()> {
    // TLS 1.2 and AES-GCM with 128 bits.
    let keys = |way: u8| Keys {
        version: 0x0303,
        cipher: 51,
        vector: [way; 8],
        key: [way; 16],
        salt: [way; 4],
        sequence: [0; 8],
    };
    set(socket, libc::IPPROTO_TCP, TCP_ULP, b"tls")?;
    set(socket, SOL_TLS, SEND, &keys(u8::from(client)))?;
    set(socket, SOL_TLS, RECEIVE, &keys(u8::from(!client)))
}

/// Bytes of the stream that TCP has received.
pub fn received(socket: RawFd) -> Result<u64> {
    // `tcpi_bytes_received` of `struct tcp_info` (include/uapi/linux/tcp.h); libc's structure ends before it.
    const WORD: usize = 16;
    // SAFETY: integers may be zero; the kernel writes as many bytes as there are.
    unsafe {
        let mut facts: [u64; WORD + 1] = zeroed();
        let mut length = size_of_val(&facts) as u32;
        let to = facts.as_mut_ptr().cast();
        let result = libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut length);
        if result < 0 { Err(Error::last_os_error()) } else { Ok(facts[WORD]) }
    }
}

/// Sets an option of a socket.
pub fn set<T: ?Sized>(socket: RawFd, level: libc::c_int, name: libc::c_int, value: &T) -> Result<()> {
    let length = size_of_val(value) as u32;
    // SAFETY: the value lives and has that length.
    let result = unsafe { libc::setsockopt(socket, level, name, std::ptr::from_ref(value).cast(), length) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

const _: () = assert!(size_of::<Keys>() == 40);
