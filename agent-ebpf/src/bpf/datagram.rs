//! UDP datagrams: who sent what to whom, and as far as anybody wants them, their first bytes.
//!
//! Nothing tells of a UDP socket's beginning or end, so sockets are kept like unix ones, in a table that forgets, and
//! recognised by inode number. Most UDP is no protocol of ours (QUIC, media): once user space has said so of a socket, a
//! datagram costs the look into that table and no more.

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns, bpf_probe_read_user, bpf_ringbuf_output,
};
use remora_abi::loss::Counter;
use remora_abi::maps::{Batch, Control, DatagramSocket, MODE_OFF};
use remora_abi::record::{
    self, AF_INET, AF_INET6, DATAGRAM_OWN, DATAGRAM_UNADDRESSED, DATAGRAM_UNREADABLE, Datagram, Header,
    MAX_DATAGRAM, READ, WRITE,
};

use crate::connection::{foreign, number};
use crate::globals::{
    BATCHES, CONTROLS, DATAGRAM_SOCKETS, PROCESSES, Program, RECORDS, SENDERS, Scratch, count, offset,
    setting,
};
use crate::kernel::{DATAGRAM, Sock, at, bounded, opaque, read, read_any};
use crate::pieces::{Pieces, number as call};
use crate::segment::wake_flag;

/// Entries of an iovec that a datagram is put together from.
const MAX_PIECES: u64 = 4;
/// `sizeof(struct mmsghdr)`
pub const MESSAGE_SIZE: u64 = 64;
/// The first 12 bytes of an IPv4 address that is mapped into IPv6, as words.
const MAPPED: [u32; 3] = [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff])];

/// A UDP socket on which a datagram has just moved, if datagrams on it are wanted.
#[inline(always)]
pub fn wanted<const TYPED: bool>(sock: Sock<TYPED>, direction: u8) -> Option<*mut DatagramSocket> {
    let inode = sock.inode();
    if let Some(socket) = DATAGRAM_SOCKETS.get_ptr_mut(sock.0) {
        // SAFETY: a live element of the map; torn reads are of no consequence.
        let known = unsafe { &*socket };
        if known.inode == inode {
            return if known.ignored != 0 || is_off(known.id) { None } else { Some(socket) };
        }
    }
    // What else has the protocol's number is a raw socket.
    if sock.kind() != DATAGRAM {
        return None;
    }
    let ignored = foreign(sock) as u32;
    let socket = DatagramSocket { id: number(Program::of(direction)), inode, ignored, reserved: 0 };
    if DATAGRAM_SOCKETS.insert(sock.0, socket, 0).is_err() {
        count(Counter::ConnectionsFull, 1);
        return None;
    }
    if ignored == 0 { DATAGRAM_SOCKETS.get_ptr_mut(sock.0) } else { None }
}

/// Whether user space wants no datagrams of the socket.
#[inline(always)]
pub fn is_off(id: u64) -> bool {
    CONTROLS
        .get(Control::index(id, setting!(controls)))
        .is_some_and(|control| control.connection == id && control.mode == MODE_OFF)
}

/// Says in the scratch who is at work and on which socket. False if that is not to be looked at.
#[inline(always)]
pub fn begin<const TYPED: bool>(
    scratch: &mut Scratch,
    sock: Sock<TYPED>,
    socket: *mut DatagramSocket,
    direction: u8,
) -> bool {
    // SAFETY: helpers without preconditions.
    let (now, who) = unsafe { (bpf_ktime_get_ns(), bpf_get_current_pid_tgid()) };
    let process = if scratch.borrowed != 0 { scratch.borrowed } else { (who >> 32) as u32 };
    scratch.goid_offset = 0;
    if let Some(special) = PROCESSES.get_ptr(process) {
        // SAFETY: a live element of the map, written whole by user space; and a live element of another.
        unsafe {
            if (*special).ignored != 0 {
                (*socket).ignored = 1;
                return false;
            }
            scratch.goid_offset = (*special).goid_offset;
        }
    }
    let ports = sock.ports();
    scratch.datagram = Datagram {
        header: Header { kind: record::DATAGRAM, payload: 0, time: now },
        // SAFETY: a live element of the map.
        socket: unsafe { (*socket).id },
        goroutine: 0,
        length: 0,
        process,
        thread: who as u32,
        namespace: sock.namespace(),
        local: [0; 16],
        remote: [0; 16],
        local_port: (ports >> 16) as u16,
        remote_port: u16::from_be(ports as u16),
        direction,
        flags: 0,
        reserved: 0,
    };
    let scratch = scratch.again();
    let (local, remote) = (&raw mut scratch.datagram.local, &raw mut scratch.datagram.remote);
    // SAFETY: both are 16 bytes long and aligned to 8.
    unsafe {
        match sock.family() {
            AF_INET => {
                put4(local.cast(), read(at(sock.0, offset!(sock_local4))));
                put4(remote.cast(), read(at(sock.0, offset!(sock_remote4))));
            }
            _ => {
                local.cast::<[u64; 2]>().write(read(at(sock.0, offset!(sock_local6))));
                remote.cast::<[u64; 2]>().write(read(at(sock.0, offset!(sock_remote6))));
            }
        }
    }
    if process == setting!(own_process) {
        // User space is told of the addresses once, so that it can leave the other end alone too.
        if direction == WRITE {
            scratch.datagram.flags = DATAGRAM_OWN;
            // SAFETY: a live element of the map.
            unsafe { (*socket).ignored = 1 };
            send(scratch.again());
        }
        return false;
    }
    if scratch.goid_offset != 0 {
        scratch.datagram.goroutine = scratch.call.goroutine(scratch.goid_offset);
    }
    true
}

/// Writes an IPv4 address as one mapped into IPv6.
///
/// # Safety
/// There is room for 16 bytes, aligned to 4.
#[inline(always)]
unsafe fn put4(to: *mut u32, address: u32) {
    // SAFETY: as the caller promises.
    unsafe {
        to.write_volatile(MAPPED[0]);
        to.add(1).write_volatile(MAPPED[1]);
        to.add(2).write_volatile(MAPPED[2]);
        to.add(3).write_volatile(address);
    }
}

/// Who the other end of a datagram is.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Peer {
    /// The address at [`Pieces::name`] in the process, if there is one; else the one that the socket is connected to.
    Named,
    /// The one that the socket is connected to, else what [`SENDERS`] says.
    Remembered,
    /// The one that the socket is connected to; of others it is not known.
    Connected,
    /// The one that the datagram's record says already.
    Known,
}

/// Tells the datagram of `length` bytes that the scratch describes. `whole` says that the bytes must fill the pieces exactly,
/// which is asked for where it is not certain that they are this message's.
#[inline(always)]
pub fn tell<const TYPED: bool>(
    scratch: &mut Scratch,
    sock: Sock<TYPED>,
    length: u32,
    peer: Peer,
    whole: bool,
) {
    count(Counter::Datagrams, 1);
    scratch.datagram.length = length;
    scratch.datagram.header.payload = 0;
    scratch.cursor.next = 0;
    address(scratch.again(), sock, peer);
    let scratch = scratch.again();
    if !scratch.pieces.reachable() || !gather(scratch, whole) {
        let scratch = scratch.again();
        scratch.datagram.flags |= DATAGRAM_UNREADABLE;
        scratch.cursor.next = 0;
        count(Counter::DatagramsUnreadable, 1);
    }
    let scratch = scratch.again();
    let payload = scratch.cursor.next;
    scratch.datagram.header.payload = bounded(payload, MAX_DATAGRAM as u32);
    count(Counter::CapturedBytes, payload as u64);
    send(scratch.again());
}

/// Finds the other end's address.
#[inline(always)]
fn address<const TYPED: bool>(scratch: &mut Scratch, sock: Sock<TYPED>, peer: Peer) {
    let connected = scratch.datagram.remote_port != 0;
    let known = match peer {
        Peer::Named if scratch.pieces.name != 0 => named(scratch),
        Peer::Remembered if !connected => remembered(scratch, sock),
        Peer::Known => true,
        _ => connected,
    };
    if !known {
        let scratch = scratch.again();
        scratch.datagram.flags |= DATAGRAM_UNADDRESSED;
        count(Counter::DatagramsUnaddressed, 1);
    }
}

/// Reads a `struct sockaddr`.
#[inline(always)]
fn named(scratch: &mut Scratch) -> bool {
    // Family and port, IPv4 address (or IPv6 flow), padding (or the first half of the IPv6 address).
    let Some([head, four, _, _]) = read_any::<[u32; 4]>(scratch.pieces.name) else { return false };
    let remote = &raw mut scratch.datagram.remote;
    match head as u16 {
        // SAFETY: 16 bytes, aligned to 8.
        AF_INET => unsafe { put4(remote.cast(), four) },
        AF_INET6 => {
            let Some(six) = read_any::<[u64; 2]>(scratch.pieces.name + 8) else { return false };
            // SAFETY: as above.
            unsafe { remote.cast::<[u64; 2]>().write(six) };
        }
        _ => return false,
    }
    scratch.datagram.remote_port = u16::from_be((head >> 16) as u16);
    true
}

/// Writes the sender of a received datagram, as its headers in the kernel's buffer (`struct sk_buff`) say, into the record;
/// false if it is neither IPv4 nor IPv6.
#[inline(always)]
pub fn sender_in(scratch: &mut Scratch, buffer: u64) -> bool {
    /// `ETH_P_IP` and `ETH_P_IPV6` in network order (include/uapi/linux/if_ether.h)
    const IPV4: u16 = 0x0800_u16.to_be();
    const IPV6: u16 = 0x86dd_u16.to_be();
    let head: u64 = read(at(buffer, offset!(buffer_head)));
    let network: u16 = read(at(buffer, offset!(buffer_network)));
    let transport: u16 = read(at(buffer, offset!(buffer_transport)));
    let header = head + network as u64;
    let remote = &raw mut scratch.datagram.remote;
    match read::<u16>(at(buffer, offset!(buffer_protocol))) {
        // SAFETY: 16 bytes, aligned to 8. The source address stands at byte 12 (RFC 791), or 8 (RFC 8200).
        IPV4 => unsafe { put4(remote.cast(), read(header + 12)) },
        // SAFETY: as above.
        IPV6 => unsafe { remote.cast::<[u64; 2]>().write(read(header + 8)) },
        _ => return false,
    }
    // RFC 768: the source port comes first.
    scratch.datagram.remote_port = u16::from_be(read(head + transport as u64));
    true
}

/// Takes the address that the hook within this very call has left.
#[inline(always)]
fn remembered<const TYPED: bool>(scratch: &mut Scratch, sock: Sock<TYPED>) -> bool {
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task() };
    let Some(sender) = SENDERS.get_ptr(task) else { return false };
    // SAFETY: a live element of the map, which only this thread writes; and 16 bytes, aligned to 8.
    unsafe {
        if (*sender).socket != sock.0 {
            return false;
        }
        let from = (&raw const (*sender).address).cast::<u64>();
        let to = (&raw mut scratch.datagram.remote).cast::<u64>();
        to.write_volatile(from.read_volatile());
        to.add(1).write_volatile(from.add(1).read_volatile());
        scratch.datagram.remote_port = (*sender).port as u16;
    }
    true
}

/// Puts the first bytes of the datagram behind its record, and their number into the cursor. False if they cannot be had.
#[inline(always)]
fn gather(scratch: &mut Scratch, whole: bool) -> bool {
    let length = scratch.datagram.length;
    scratch.cursor.left = if length < MAX_DATAGRAM as u32 { length } else { MAX_DATAGRAM as u32 };
    scratch.cursor.address = 0;
    if scratch.pieces.vector == 0 {
        let (buffer, room) = (scratch.pieces.buffer, scratch.pieces.length);
        return append(scratch.again(), buffer, room);
    }
    let mut i = 0;
    while i < MAX_PIECES {
        let scratch = scratch.again();
        if i >= scratch.pieces.count {
            break;
        }
        let Some([base, room]) = scratch.pieces.entry(i) else { return false };
        scratch.cursor.address = scratch.cursor.address.saturating_add(room);
        if scratch.cursor.left != 0 && room != 0 && !append(scratch.again(), base, room) {
            return false;
        }
        i = opaque(i) + 1;
    }
    let scratch = scratch.again();
    !whole || (scratch.pieces.count <= MAX_PIECES && scratch.cursor.address == scratch.datagram.length as u64)
}

/// Copies up to `room` bytes at `from`.
#[inline(always)]
fn append(scratch: &mut Scratch, from: u64, room: u64) -> bool {
    let left = scratch.cursor.left;
    let want = bounded(if room < left as u64 { room as u32 } else { left }, MAX_DATAGRAM as u32);
    let filled = bounded(scratch.cursor.next, MAX_DATAGRAM as u32);
    scratch.cursor.left = left - want;
    scratch.cursor.next = filled + want;
    // SAFETY: there is room for twice the most that either can be.
    let failed = unsafe {
        bpf_probe_read_user(
            (&raw mut scratch.datagram_bytes).cast::<u8>().add(filled as usize).cast(),
            want,
            from as *const _,
        )
    };
    failed == 0
}

/// Sends the scratch's datagram with the payload that its header tells.
#[inline(always)]
fn send(scratch: &mut Scratch) {
    const FIXED: u32 = size_of::<Datagram>() as u32;
    let size = bounded(FIXED + scratch.datagram.header.payload, FIXED + MAX_DATAGRAM as u32) as u64;
    let ring = (&raw const RECORDS).cast_mut();
    // SAFETY: the record and the bytes behind it are of that size; the map is a ring buffer.
    let failed =
        unsafe { bpf_ringbuf_output(ring.cast(), (&raw mut scratch.datagram).cast(), size, wake_flag(size)) };
    if failed != 0 {
        count(Counter::RingFull, 1);
    }
}

/// Within a call: a datagram of `length` bytes moved on the socket; the call may be one of many messages, of which this is
/// some one.
#[inline(always)]
pub fn within<const TYPED: bool>(scratch: &mut Scratch, sock: Sock<TYPED>, direction: u8, length: u32) {
    let many = matches!(scratch.call.number, call::SENDMMSG | call::RECVMMSG);
    scratch.pieces = if scratch.call.compat != 0 {
        Pieces::UNREACHABLE
    } else if many {
        let header = message(&scratch.call);
        if header == 0 { Pieces::UNREACHABLE } else { Pieces::of_message(header) }
    } else {
        Pieces::of(&scratch.call)
    };
    if length == 0 {
        return;
    }
    let scratch = scratch.again();
    let peer = match (direction, scratch.call.number) {
        (READ, call::RECVMSG | call::RECVMMSG) => Peer::Remembered,
        (READ, call::RECVFROM) if scratch.call.fifth != 0 => Peer::Remembered,
        (READ, _) => Peer::Connected,
        _ => Peer::Named,
    };
    let whole = many && direction == WRITE;
    tell(scratch, sock, length, peer, whole);
}

/// The `struct mmsghdr` of the message that has just moved in a `sendmmsg` or `recvmmsg`; 0 if that is not certain.
///
/// Each message of the call comes here, or as an error to [`interrupted`], which ends the call. Only a `recvmmsg` with a
/// timeout may end unseen.
#[inline(always)]
fn message(now: &crate::registers::Call) -> u64 {
    let (vector, many) = (now.second, now.third as u32);
    if now.number == call::RECVMMSG && now.fifth != 0 && many > 1 {
        return 0;
    }
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task() };
    let mut index = 0;
    if let Some(batch) = BATCHES.get_ptr(task) {
        // SAFETY: a live element of the map, which only this thread writes.
        let batch = unsafe { &*batch };
        if batch.vector == vector && batch.many == many {
            index = batch.next;
        }
    }
    if index + 1 < many {
        // A table that forgets never refuses.
        let _ = BATCHES.insert(task, Batch { vector, many, next: index + 1 }, 0);
    } else {
        let _ = BATCHES.remove(task);
    }
    vector + index as u64 * MESSAGE_SIZE
}

/// A send or receive of this thread failed: if it was one of many, the call is over.
#[inline(always)]
pub fn interrupted() {
    // SAFETY: a helper without preconditions.
    let task = unsafe { bpf_get_current_task() };
    if BATCHES.get_ptr(task).is_some() {
        let _ = BATCHES.remove(task);
    }
}
