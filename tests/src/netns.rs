//! A network namespace for one test.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError};
use std::{ffi::CString, io};

use crate::place::{PREFIX, stale};
use crate::{Program, require_root};

const FOLDER: &str = "/run/netns";

/// How many namespaces one test program has at once: in each lives an agent with programs on the same kernel hooks.
const AT_ONCE: usize = 4;

/// A network namespace with its loopback up, mounted where `ip netns` would put it. Removed when dropped.
/// A test has one: it may have to wait until another test gave up its own.
#[derive(Debug)]
pub struct Netns {
    name: String,
    handle: Arc<File>,
    _slot: Slot,
}

impl Netns {
    /// Makes a namespace with a name that nobody else has.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it has an effect")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static CLEAN: Once = Once::new();
        require_root();
        let slot = Slot::take();
        CLEAN.call_once(remove_stale);
        std::fs::create_dir_all(FOLDER).expect("/run/netns");
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(FOLDER).join(&name);
        File::create(&path).expect("mount point");
        let mount_point = path.clone();
        // A thread's namespace is its own; the thread ends, the mount keeps the namespace.
        std::thread::spawn(move || make(&mount_point).expect("make a network namespace"))
            .join()
            .expect("namespace thread");
        let handle = Arc::new(File::open(&path).expect("namespace"));
        Self { name, handle, _slot: slot }
    }

    /// The path that `remora run --netns` takes.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// A program that will run inside.
    #[must_use]
    pub fn program(&self, executable: impl AsRef<std::ffi::OsStr>) -> Program {
        Program::new(executable).inside(self)
    }

    /// Runs `work` on a thread inside the namespace and waits for it. A panic of `work` goes on.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("in-netns".into());
            let thread = thread
                .spawn_scoped(scope, || {
                    self.join_thread();
                    work()
                })
                .expect("thread");
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread, and the threads it will start, into the namespace.
    pub fn join_thread(&self) {
        enter(&self.handle).expect("setns");
    }

    pub(crate) fn handle(&self) -> Arc<File> {
        Arc::clone(&self.handle)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        unmount(&self.path());
    }
}

/// Moves the calling thread into the namespace that `handle` stands for. Async-signal-safe.
pub(crate) fn enter(handle: &File) -> io::Result<()> {
    // SAFETY: a valid descriptor and a flag.
    check(unsafe { libc::setns(handle.as_raw_fd(), libc::CLONE_NEWNET) })
}

fn make(path: &Path) -> io::Result<()> {
    // SAFETY: a flag only; the thread shares nothing that depends on its network namespace.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    loopback_up()?;
    let target = CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: both paths are NUL-terminated; the other pointers may be null for a bind mount.
    check(unsafe {
        libc::mount(
            c"/proc/thread-self/ns/net".as_ptr(),
            target.as_ptr(),
            std::ptr::null(),
            libc::MS_BIND,
            std::ptr::null(),
        )
    })
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    check(socket)?;
    // SAFETY: an all-zero `ifreq` is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `request` is an `ifreq` that outlives the call.
    let result = check(unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) });
    // SAFETY: closed once.
    unsafe { libc::close(socket) };
    result
}

/// Removes what killed test programs left.
fn remove_stale() {
    stale(Path::new(FOLDER), unmount);
    stale(&std::env::temp_dir(), |folder| {
        // Somebody else may be at it, too.
        let _ = std::fs::remove_dir_all(folder);
    });
}

fn unmount(path: &Path) {
    if let Ok(target) = CString::new(path.as_os_str().as_encoded_bytes()) {
        // SAFETY: a NUL-terminated path.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        let _ = std::fs::remove_file(path);
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One of the tests that may run at once.
#[derive(Debug)]
struct Slot;

static SLOTS: (Mutex<usize>, Condvar) = (Mutex::new(AT_ONCE), Condvar::new());

impl Slot {
    fn take() -> Self {
        let free = SLOTS.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = SLOTS.1.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *SLOTS.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        SLOTS.1.notify_one();
    }
}
