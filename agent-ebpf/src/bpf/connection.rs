//! The table of connections: found by the address of the kernel's `struct sock`, never by a descriptor.

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_probe_read_kernel,
};
use remora_abi::loss::Counter;
use remora_abi::maps::{CONNECTING, Connection, NO_DIRECTION, OWN_CONNECTING, Stream};
use remora_abi::offsets::ticks;
use remora_abi::record::{
    self, AF_INET, AF_INET6, AF_UNIX, Close, Failed, Header, OPEN_EARLIER, OPEN_MIDSTREAM, Open, ROLE_CLIENT,
    ROLE_SERVER, ROLE_UNKNOWN, Sample,
};

use crate::globals::{CONNECTIONS, NUMBERS, PROCESSES, Program, UNIX_CONNECTIONS, count, offset, setting};
use crate::kernel::{STREAM, Sock, TCP, UDP, at, bounded, read};
use crate::role;
use crate::segment::reserve;

/// Enter only what is not in the map (include/uapi/linux/bpf.h).
pub const BPF_NOEXIST: u64 = 1;

/// Whether the configuration leaves the socket's network namespace out.
#[inline(always)]
pub fn foreign<const TYPED: bool>(sock: Sock<TYPED>) -> bool {
    setting!(only_namespace) != 0 && sock.namespace() != setting!(only_namespace)
}

/// A number that no other connection gets while the programs are loaded: a count, the program and the CPU.
/// Consecutive ones fall on different entries of the control array.
#[inline(always)]
pub fn number(giver: Program) -> u64 {
    let Some(last) = NUMBERS.get_ptr_mut(giver as u32) else { return 0 };
    // SAFETY: a live element of a per-CPU array that only this program writes on this CPU; a helper without
    // preconditions.
    unsafe {
        *last += 1;
        (((*last << 3) | giver as u64) << setting!(processor_bits)) | bpf_get_smp_processor_id() as u64
    }
}

/// A connection as it enters the table. `established` is 0 where that was not seen.
#[inline(always)]
fn new<const TYPED: bool>(
    sock: Sock<TYPED>,
    giver: Program,
    role: u8,
    established: u64,
    ignored: bool,
) -> Connection {
    let ports = sock.ports();
    let tcp = ports != 0;
    Connection {
        id: number(giver),
        established,
        began: 0,
        accepted: 0,
        inode: if tcp { 0 } else { sock.inode() },
        read: Stream { position: 0, sequence: if tcp { sock.copied() } else { 0 }, budget: 0 },
        write: Stream { position: 0, sequence: if tcp { sock.written() } else { 0 }, budget: 0 },
        ports,
        role,
        last_direction: NO_DIRECTION,
        opened: 0,
        ignored: ignored as u8,
        process: 0,
        generation: 0,
        goid_offset: 0,
        sampled: 0,
        unseen_read: 0,
        unseen_written: 0,
        awaited: 0,
        reserved: 0,
    }
}

/// A connection that is older than our view of it, as it enters the table: position 0 is the next byte.
#[inline(always)]
pub fn earlier<const TYPED: bool>(sock: Sock<TYPED>, giver: Program, tcp: bool, ignored: bool) -> Connection {
    let role = if tcp { role::of(sock.0) } else { ROLE_UNKNOWN };
    new(sock, giver, role, 0, ignored)
}

/// What a socket is to us.
pub enum Found {
    /// Nothing that is looked at.
    Nothing,
    /// A connection.
    Connection(*mut Connection),
    /// UDP.
    Datagrams,
}

impl Found {
    #[inline(always)]
    fn of(connection: Option<*mut Connection>) -> Self {
        match connection {
            Some(connection) => Found::Connection(connection),
            None => Found::Nothing,
        }
    }
}

/// The connection of a socket on which `bytes` have just moved in `direction`, entered into the table if it is not
/// there yet (then it is older than our view of it).
#[inline(always)]
pub fn find<const TYPED: bool>(sock: Sock<TYPED>, direction: u8, bytes: u32) -> Found {
    let (family, ports) = sock.head();
    match family {
        AF_INET | AF_INET6 => find_inet(sock, ports, direction, bytes),
        AF_UNIX => Found::of(find_unix(sock, direction)),
        _ => Found::Nothing,
    }
}

/// Whether a socket with the ports `now` is the one that had the ports `known`. When a connection is over, the local port
/// (the high half) is given back and becomes 0, though what has arrived may still be read.
#[inline(always)]
fn same_ports(known: u32, now: u32) -> bool {
    known & 0xffff == now & 0xffff && (known >> 16 == now >> 16 || now >> 16 == 0)
}

#[inline(always)]
fn find_inet<const TYPED: bool>(sock: Sock<TYPED>, ports: u32, direction: u8, bytes: u32) -> Found {
    if let Some(connection) = known_inet(sock, ports) {
        // SAFETY: a live element of the map; torn reads are of no consequence.
        let ignored = unsafe { (*connection).ignored };
        return Found::of(if ignored == 0 { Some(connection) } else { None });
    }
    match sock.protocol() {
        TCP => Found::of(enter_tcp(sock, direction, bytes)),
        UDP => Found::Datagrams,
        _ => Found::Nothing,
    }
}

/// The TCP connection of a socket, if the table has it.
#[inline(always)]
pub fn known_tcp<const TYPED: bool>(sock: Sock<TYPED>) -> Option<*mut Connection> {
    known_inet(sock, sock.ports())
}

#[inline(always)]
fn known_inet<const TYPED: bool>(sock: Sock<TYPED>, ports: u32) -> Option<*mut Connection> {
    let connection = CONNECTIONS.get_ptr_mut(sock.0)?;
    // SAFETY: a live element of the map; torn reads are of no consequence.
    if same_ports(unsafe { (*connection).ports }, ports) {
        return Some(connection);
    }
    // SAFETY: as above.
    // With TCP Fast Open bytes may pass before it is established.
    if unsafe { (*connection).ports } != 0 {
        count(Counter::Reused, 1);
    }
    None
}

/// Enters a TCP connection that is older than our view of it.
#[inline(always)]
pub fn enter_tcp<const TYPED: bool>(sock: Sock<TYPED>, direction: u8, bytes: u32) -> Option<*mut Connection> {
    let mut connection = earlier(sock, Program::of(direction), true, foreign(sock));
    // Position 0 is the first byte that we see; under a layer that changes the bytes, the next one.
    let bytes = if bytes != 0 && sock.layered() { 0 } else { bytes };
    if direction == record::READ {
        connection.read.sequence = connection.read.sequence.wrapping_sub(bytes);
    } else {
        connection.write.sequence = connection.write.sequence.wrapping_sub(bytes);
    }
    // Another socket may have been at this address. Or a pass of the iterator, or a call on another CPU, has entered this
    // one a moment ago: then it has its number.
    // SAFETY: a live element of the map; torn reads are of no consequence.
    let stale = CONNECTIONS
        .get_ptr(sock.0)
        .is_some_and(|known| unsafe { !same_ports((*known).ports, connection.ports) });
    let entered = CONNECTIONS.insert(sock.0, connection, if stale { 0 } else { BPF_NOEXIST });
    let known = CONNECTIONS.get_ptr_mut(sock.0);
    if entered.is_err() && known.is_none() {
        count(Counter::ConnectionsFull, 1);
    }
    // SAFETY: a live element of the map.
    known.filter(|known| unsafe { (**known).ignored } == 0)
}

/// As [`find`], of a unix socket.
#[inline(always)]
pub fn find_unix<const TYPED: bool>(sock: Sock<TYPED>, direction: u8) -> Option<*mut Connection> {
    if let Some(connection) = UNIX_CONNECTIONS.get_ptr_mut(sock.0) {
        // SAFETY: a live element of the map; torn reads are of no consequence.
        let known = unsafe { &*connection };
        if known.inode == sock.inode() {
            return if known.ignored == 0 { Some(connection) } else { None };
        }
        let _ = UNIX_CONNECTIONS.remove(sock.0);
    }
    if sock.kind() != STREAM {
        return None;
    }
    let connection = earlier(sock, Program::of(direction), false, foreign(sock));
    // As above, others may be as fast.
    let entered = UNIX_CONNECTIONS.insert(sock.0, connection, BPF_NOEXIST);
    let known = UNIX_CONNECTIONS.get_ptr_mut(sock.0);
    if entered.is_err() && known.is_none() {
        count(Counter::ConnectionsFull, 1);
    }
    // SAFETY: a live element of the map.
    known.filter(|known| unsafe { (**known).ignored } == 0)
}

/// Tells user space that a unix socket is gone, and forgets it.
#[inline(always)]
pub fn closed_unix(sock: Sock<false>) {
    let Some(connection) = UNIX_CONNECTIONS.get_ptr(sock.0) else { return };
    // SAFETY: a live element of the map.
    let connection = unsafe { &*connection };
    if connection.awaited != 0 {
        count(Counter::MissedReturns, 1);
    }
    if connection.opened != 0
        && connection.ignored == 0
        && let Some(mut entry) = reserve::<Close>()
    {
        // SAFETY: the reservation is of that size; a helper without preconditions.
        unsafe {
            entry.as_mut_ptr().write(Close {
                header: Header { kind: record::CLOSE, payload: 0, time: bpf_ktime_get_ns() },
                connection: connection.id,
                read_position: connection.read.position + connection.awaited as u64,
                write_position: connection.write.position,
                error: 0,
                round_trip: 0,
                retransmits: 0,
                reserved: 0,
            });
        }
        entry.submit(crate::segment::wake_flag(size_of::<Close>() as u64));
    }
    let _ = UNIX_CONNECTIONS.remove(sock.0);
}

/// Remembers a TCP connection that a process asks for: at the handshake's end, which is the next that is heard, it is not at
/// work. If it is the agent itself, the other end may be on this host, and must be known as that before it has read a byte.
#[inline(always)]
pub fn connecting<const TYPED: bool>(sock: Sock<TYPED>) {
    if foreign(sock) {
        return;
    }
    // SAFETY: helpers without preconditions.
    let (process, now) = unsafe { ((bpf_get_current_pid_tgid() >> 32) as u32, bpf_ktime_get_ns()) };
    let own = process == setting!(own_process);
    let mut connection = new(sock, Program::Handshake, ROLE_CLIENT, 0, true);
    if own {
        connection.ignored = OWN_CONNECTING;
    } else {
        connection.ignored = CONNECTING;
        // Its local port is not chosen yet.
        connection.ports = 0;
    }
    connection.process = process;
    connection.began = now;
    if CONNECTIONS.insert(sock.0, connection, 0).is_err() {
        count(Counter::ConnectionsFull, 1);
    }
}

/// Enters a TCP connection when its handshake is done.
#[inline(always)]
pub fn established<const TYPED: bool>(sock: Sock<TYPED>, role: u8) {
    if foreign(sock) {
        return;
    }
    // SAFETY: a helper without preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if let Some(known) = CONNECTIONS.get_ptr_mut(sock.0) {
        // SAFETY: a live element of the map.
        let connection = unsafe { &mut *known };
        if connection.ignored == OWN_CONNECTING {
            connection.ports = sock.ports();
            connection.ignored = 1;
            open(sock, connection, setting!(own_process), now);
            return;
        }
        if connection.ignored == CONNECTING {
            let began = connection.began;
            *connection = new(sock, Program::Handshake, ROLE_CLIENT, now, false);
            connection.began = began;
            return;
        }
        // SAFETY: a live element of the map.
        // With TCP Fast Open bytes may have passed before: the connection is then known already.
        if same_ports(unsafe { (*known).ports }, sock.ports()) {
            // SAFETY: as above.
            unsafe { (*known).role = role };
            return;
        }
        count(Counter::Reused, 1);
    }
    let connection = new(sock, Program::Handshake, role, now, false);
    if CONNECTIONS.insert(sock.0, connection, 0).is_err() {
        count(Counter::ConnectionsFull, 1);
    }
}

/// A process accepts a connection: the current one. Does nothing unless it is a TCP connection whose establishment was seen.
#[inline(always)]
pub fn accepted<const TYPED: bool>(sock: Sock<TYPED>) {
    let Some(connection) = CONNECTIONS.get_ptr_mut(sock.0) else { return };
    // SAFETY: a live element of the map; a helper without preconditions.
    unsafe {
        if (*connection).established != 0 && (*connection).accepted == 0 {
            (*connection).accepted = bpf_ktime_get_ns();
        }
    }
}

/// Tells user space of a connection that came to nothing.
#[inline(always)]
pub fn failed(sock: Sock<false>, connection: &Connection, process: u32, ports: u32, began: u64, error: u32) {
    if let Some(special) = PROCESSES.get_ptr(process) {
        // SAFETY: a live element of the map, written whole by user space.
        if unsafe { (*special).ignored } != 0 {
            return;
        }
    }
    let Some(mut entry) = reserve::<Failed>() else { return };
    let record = entry.as_mut_ptr();
    let family = sock.family();
    // SAFETY: the reservation is of that size; a helper without preconditions.
    unsafe {
        record.write(Failed {
            header: Header { kind: record::FAILED, payload: 0, time: bpf_ktime_get_ns() },
            connection: connection.id,
            began,
            namespace: sock.namespace(),
            process,
            error,
            family,
            local_port: (ports >> 16) as u16,
            remote_port: u16::from_be(ports as u16),
            role: connection.role,
            reserved: [0; 5],
            local: [0; 16],
            remote: [0; 16],
        });
        addresses(sock, family, &raw mut (*record).local, &raw mut (*record).remote);
    }
    entry.submit(crate::segment::wake_flag(size_of::<Failed>() as u64));
}

/// Tells user space what TCP knows of a connection, if the last time is long enough ago.
#[inline(always)]
pub fn sample<const TYPED: bool>(sock: Sock<TYPED>, connection: &mut Connection, now: u64) {
    if ticks(now).wrapping_sub(connection.sampled) < setting!(sample_ticks) {
        return;
    }
    connection.sampled = ticks(now);
    let Some(mut entry) = reserve::<Sample>() else { return };
    // SAFETY: the reservation is of that size.
    unsafe {
        entry.as_mut_ptr().write(Sample {
            header: Header { kind: record::SAMPLE, payload: 0, time: now },
            connection: connection.id,
            round_trip: sock.round_trip(),
            retransmits: sock.retransmits(),
        });
    }
    entry.submit(crate::segment::wake_flag(size_of::<Sample>() as u64));
}

/// Writes the addresses of an IPv4 or IPv6 socket; of others nothing.
///
/// # Safety
/// The pointers are valid for writes, and both are of whole words.
#[inline(always)]
unsafe fn addresses<const TYPED: bool>(
    sock: Sock<TYPED>,
    family: u16,
    local: *mut [u8; 16],
    remote: *mut [u8; 16],
) {
    // SAFETY: as the caller promises.
    unsafe {
        match family {
            AF_INET => {
                local.cast::<u32>().write(read(at(sock.0, offset!(sock_local4))));
                remote.cast::<u32>().write(read(at(sock.0, offset!(sock_remote4))));
            }
            AF_INET6 => {
                local.cast::<[u64; 2]>().write(read(at(sock.0, offset!(sock_local6))));
                remote.cast::<[u64; 2]>().write(read(at(sock.0, offset!(sock_remote6))));
            }
            _ => {}
        }
    }
}

/// Reads a unix socket's name into the 104 bytes at `path`; true if it has one.
#[inline(always)]
fn unix_name(sock: u64, path: *mut [u8; 104]) -> bool {
    let address: u64 = read(at(sock, offset!(unix_address)));
    if address == 0 {
        return false;
    }
    // `name` is a `struct sockaddr_un`; its path begins behind the two bytes of the family.
    let length: i32 = read(at(address, offset!(unix_address_length)));
    let length = (length as u32).saturating_sub(2);
    if length == 0 {
        return false;
    }
    let length = bounded(length, 104);
    let name = at(address, offset!(unix_address_name)) + 2;
    // SAFETY: the destination is 104 bytes long, and `length` no longer.
    unsafe { bpf_probe_read_kernel(path.cast(), length, name as *const _) == 0 }
}

/// Writes zeros. Volatile, since the compiler would make one call of many, which goes byte by byte.
///
/// # Safety
/// There is room for `N` words at `words`.
#[inline(always)]
unsafe fn clear<const N: usize>(words: *mut u64) {
    let mut i = 0;
    while i < N {
        // SAFETY: as the caller promises.
        unsafe { words.add(i).write_volatile(0) };
        i += 1;
    }
}

/// Tells user space of a connection whose first segment is about to follow. False if the record was lost; it is
/// tried again with the next segment.
#[inline(always)]
pub fn open<const TYPED: bool>(
    sock: Sock<TYPED>,
    connection: &mut Connection,
    process: u32,
    now: u64,
) -> bool {
    let Some(mut entry) = reserve::<Open>() else { return false };
    // SAFETY: the reservation is of that size.
    unsafe { describe(entry.as_mut_ptr(), sock, connection, process, now, false) };
    entry.submit(crate::segment::wake_flag(size_of::<Open>() as u64));
    connection.opened = 1;
    connection.sampled = ticks(now);
    true
}

/// Writes what is to be told of a connection; `earlier` if it was there when the agent came.
///
/// # Safety
/// There is room for it at `record`.
#[inline(always)]
pub unsafe fn describe<const TYPED: bool>(
    record: *mut Open,
    sock: Sock<TYPED>,
    connection: &Connection,
    process: u32,
    now: u64,
    earlier: bool,
) {
    let family = sock.family();
    // SAFETY: as the caller promises. Each field is written where it stands: a copy of the whole would be made
    // byte by byte, and the verifier would follow each.
    unsafe {
        (*record).header = Header { kind: record::OPEN, payload: 0, time: now };
        (*record).connection = connection.id;
        (*record).established = connection.established;
        (*record).began = connection.began;
        (*record).accepted = connection.accepted;
        (*record).inode = sock.inode();
        (*record).socket = sock.0;
        (*record).namespace = sock.namespace();
        (*record).process = process;
        (*record).read_sequence = connection.read.sequence.wrapping_sub(connection.read.position as u32);
        (*record).write_sequence = connection.write.sequence.wrapping_sub(connection.write.position as u32);
        (*record).retransmits = 0;
        (*record).reserved = 0;
        (*record).family = family;
        (*record).local_port = (connection.ports >> 16) as u16;
        (*record).remote_port = u16::from_be(connection.ports as u16);
        (*record).role = connection.role;
        (*record).flags = if connection.established == 0 { OPEN_MIDSTREAM } else { 0 }
            | if earlier { OPEN_EARLIER } else { 0 };
        clear::<2>((&raw mut (*record).local).cast());
        clear::<2>((&raw mut (*record).remote).cast());
        clear::<13>((&raw mut (*record).path).cast());
        match family {
            AF_INET | AF_INET6 => {
                addresses(sock, family, &raw mut (*record).local, &raw mut (*record).remote);
                (*record).retransmits = sock.retransmits();
            }
            _ => {
                // An accepted socket has its listener's name; a connected one usually has none, but its peer has.
                if unix_name(sock.0, &raw mut (*record).path) {
                    (*record).role = ROLE_SERVER;
                } else {
                    let peer: u64 = read(at(sock.0, offset!(unix_peer)));
                    if peer != 0 && unix_name(peer, &raw mut (*record).path) {
                        (*record).role = ROLE_CLIENT;
                    }
                }
            }
        }
    }
}
