//! Iterators: programs that the kernel runs for each open file of each process (`iter/task_file`, since Linux 5.8) when
//! user space reads a file. Each is a pass for one purpose, over the sockets that processes hold.
//!
//! Those here enter connections that are older than the agent, so that they are known before they carry a byte: with
//! their addresses, the end that each is, the process that holds them, and where both streams stand.
//!
//! The hooks are attached before, and a connection may be busy. No position comes out wrong for it:
//!
//! - A pass only enters what is not there (`BPF_NOEXIST`), and so do the hooks. Whoever is first gives the number, and
//!   the other goes on with it; so a connection is told once, whoever holds it besides.
//! - What is entered is where the socket's sequence numbers stand at that moment. Of a call that is at work then, a
//!   part may lie before: its bytes are then more than the numbers have moved, which the hook takes for ambiguous and
//!   copies nowhere, and the next segment stands where the numbers say. A reader that waits has moved nothing yet. A unix
//!   socket has no numbers: its position 0 is the first byte told.
//! - The record is reserved before the entry is made and submitted behind it, so that user space hears of the connection
//!   before it hears of its first segment, wherever the hook runs.
//! - A file that the pass looks at is held by the kernel meanwhile, so the socket cannot be freed, and its address not be
//!   another's, before the entry is there for `tcp_destroy_sock` to remove. A connection that is reset between the look
//!   at its state and the entry would be told as open: the state is looked at again.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use remora_abi::maps::Earlier;
use remora_abi::offsets::ticks;
use remora_abi::record::{AF_INET, AF_INET6, AF_UNIX, Open, ROLE_CLIENT, ROLE_SERVER};

use crate::connection::{self, BPF_NOEXIST, foreign};
use crate::globals::{CONNECTIONS, EARLIER, PROCESSES, Program, RECORDS, UNIX_CONNECTIONS, offset, setting};
use crate::kernel::{STREAM, Sock, TCP, at, read};
use crate::segment::wake_flag;

/// Places in `struct bpf_iter__task_file` (kernel/bpf/task_iter.c), in words: `meta`, `task`, `fd`, `file`.
const TASK: usize = 1;
const FILE: usize = 3;

/// One file of one process.
struct Held {
    /// The process.
    process: u32,
    /// Address of the `struct file`.
    file: u64,
}

impl Held {
    /// What the pass has come to; `None` at its end.
    #[inline(always)]
    fn of(context: *mut c_void) -> Option<Self> {
        let context = context.cast::<u64>();
        // SAFETY: the context of an iterator over files has these words.
        let (task, file) = unsafe { (context.add(TASK).read_volatile(), context.add(FILE).read_volatile()) };
        if task == 0 || file == 0 {
            return None;
        }
        Some(Self { process: read(at(task, offset!(task_process))), file })
    }
}

/// Enters the agent's own connections. A pass before the other: what is at their other ends on this host must be
/// recognised when it is told.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn own_connections(context: *mut c_void) -> i32 {
    if let Some(held) = Held::of(context)
        && held.process == setting!(own_process)
        && let Some(sock) = Sock::of_file(held.file)
    {
        enter(sock, held.process, true);
    }
    0
}

/// Enters the connections of all other processes.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn earlier_connections(context: *mut c_void) -> i32 {
    if let Some(held) = Held::of(context)
        && held.process != setting!(own_process)
        && let Some(sock) = Sock::of_file(held.file)
    {
        enter(sock, held.process, false);
    }
    0
}

/// Enters the connection of a socket, if it is one, and is looked at, and is not known.
#[inline(always)]
fn enter(sock: Sock<false>, process: u32, own: bool) {
    let tcp = match sock.family() {
        AF_INET | AF_INET6 => true,
        AF_UNIX => false,
        _ => return,
    };
    if !open(sock, tcp) || foreign(sock) {
        return;
    }
    // SAFETY: a live element of the map.
    if PROCESSES.get_ptr(process).is_some_and(|special| unsafe { (*special).ignored } != 0) {
        return;
    }
    let known = if tcp { CONNECTIONS.get_ptr(sock.0) } else { UNIX_CONNECTIONS.get_ptr(sock.0) };
    let Some(counts) = EARLIER.get_ptr_mut(0) else { return };
    // SAFETY: an array's element, that one pass at a time writes.
    let counts = unsafe { &mut *counts };
    if known.is_some() {
        return;
    }
    // What comes after must find room: half of each table is left.
    let has_room = if tcp {
        counts.clients + counts.servers + counts.unknown < setting!(earlier_connections)
    } else {
        counts.unix < setting!(earlier_unix)
    };
    if !has_room || !tell(sock, process, tcp, own, counts) {
        counts.left_out += 1;
    }
}

/// Whether it is a connection on which bytes may still pass: ESTABLISHED, FIN_WAIT1, FIN_WAIT2 or CLOSE_WAIT
/// (include/net/tcp_states.h); unix sockets have the first of these.
#[inline(always)]
fn open(sock: Sock<false>, tcp: bool) -> bool {
    let state = sock.state();
    if tcp {
        sock.protocol() == TCP && matches!(state, 1 | 4 | 5 | 8)
    } else {
        sock.kind() == STREAM && state == 1
    }
}

/// Makes the entry and tells user space; false if there is no room. See the module's text for the order.
#[inline(always)]
fn tell(sock: Sock<false>, process: u32, tcp: bool, own: bool, counts: &mut Earlier) -> bool {
    let Some(mut entry) = RECORDS.reserve::<Open>(0) else { return false };
    let mut connection = connection::earlier(sock, Program::Iterator, tcp, own);
    // SAFETY: a helper without preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    connection.opened = 1;
    connection.sampled = ticks(now);
    // SAFETY: the reservation is of that size.
    unsafe { connection::describe(entry.as_mut_ptr(), sock, &connection, process, now, true) };
    let entered = if tcp {
        CONNECTIONS.insert(sock.0, connection, BPF_NOEXIST)
    } else {
        UNIX_CONNECTIONS.insert(sock.0, connection, BPF_NOEXIST)
    };
    if entered.is_err() {
        entry.discard(0);
        // A hook was first, or the table is full.
        return if tcp { CONNECTIONS.get_ptr(sock.0) } else { UNIX_CONNECTIONS.get_ptr(sock.0) }.is_some();
    }
    if !open(sock, tcp) {
        entry.discard(0);
        let _ = if tcp { CONNECTIONS.remove(sock.0) } else { UNIX_CONNECTIONS.remove(sock.0) };
        return true;
    }
    entry.submit(wake_flag(size_of::<Open>() as u64));
    if own {
        return true;
    }
    match connection.role {
        _ if !tcp => counts.unix += 1,
        ROLE_CLIENT => counts.clients += 1,
        ROLE_SERVER => counts.servers += 1,
        _ => counts.unknown += 1,
    }
    true
}
