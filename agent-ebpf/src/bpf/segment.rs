//! What is done with bytes that moved: placed in their stream, counted, and as far as they matter, copied.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_user, bpf_ringbuf_output,
};
use aya_ebpf::maps::ring_buf::RingBufEntry;
use remora_abi::loss::Counter;
use remora_abi::maps::{
    Connection, Control, MODE_FRAMES, MODE_HEADS, MODE_OFF, MODE_TURNS, MODE_UNKNOWN, NO_DIRECTION,
    PIPELINE_BUDGET, PIPELINE_FACTOR, PIPELINE_THRESHOLD, READS_BODILESS, Stream, UNKNOWN_BUDGET,
    WRITES_BODILESS,
};
use remora_abi::record::{
    AMBIGUOUS, END_OF_STREAM, FAULT, Header, MAX_CAPTURE, READ, ROLE_CLIENT, ROLE_SERVER, RUN_START, SEGMENT,
    Segment, UNREACHABLE, WRITE,
};

use crate::connection::{self, Found};
use crate::globals::{
    CONTROLS, Cursor, GATHER, GENERATION, PROCESSES, RECORDS, Scratch, count, moved_bytes, setting,
};
use crate::kernel::{Sock, bounded, opaque, read_user};
use crate::pieces::Pieces;

/// Entries of an iovec that are followed; bytes beyond are counted, not copied.
const MAX_PIECES: u32 = 32;
/// Records that one call makes at most: each piece, and each [`MAX_CAPTURE`] bytes of one.
pub const MAX_RECORDS: u64 = 36;

/// Room for a record, or a count of its loss.
#[inline(always)]
pub fn reserve<T: 'static>() -> Option<RingBufEntry<T>> {
    let entry = RECORDS.reserve::<T>(0);
    if entry.is_none() {
        count(Counter::RingFull, 1);
    }
    entry
}

/// The flag to submit a record with that the reader should see at once.
pub const WAKE: u64 = BPF_RB_FORCE_WAKEUP as u64;

/// The flag to submit a record of `size` bytes with: the reader is woken when the bytes that wait for it pass the
/// configured mark, and otherwise comes by itself.
#[inline(always)]
pub fn wake_flag(size: u64) -> u64 {
    let mark = setting!(wake_bytes) as u64;
    let waiting = RECORDS.query(BPF_RB_AVAIL_DATA as u64);
    if waiting >= mark && waiting < mark + size + 8 {
        BPF_RB_FORCE_WAKEUP as u64
    } else {
        BPF_RB_NO_WAKEUP as u64
    }
}

/// Copies the `want` bytes at `address` behind those that the record has; false if they cannot be read.
#[inline(always)]
fn append(scratch: &mut Scratch, address: u64, want: u32) -> bool {
    let filled = bounded(scratch.cursor.filled, GATHER as u32);
    let want = bounded(want, MAX_CAPTURE as u32);
    // SAFETY: there is room for the most of both.
    let failed = unsafe {
        let to = (&raw mut scratch.bytes).cast::<u8>().add(filled as usize);
        bpf_probe_read_user(to.cast(), want, address as *const _)
    };
    if failed != 0 {
        scratch.segment.flags |= FAULT;
        count(Counter::ReadFault, 1);
        return false;
    }
    scratch.cursor.filled = filled + want;
    true
}

/// Sends the record, and begins the next one behind it.
#[inline(always)]
fn emit(scratch: &mut Scratch) {
    let payload = bounded(scratch.cursor.filled, (MAX_CAPTURE + GATHER) as u32);
    scratch.segment.header.payload = payload;
    count(Counter::CapturedBytes, payload as u64);
    send(scratch.again(), payload);
    let scratch = scratch.again();
    scratch.segment.flags &= !(RUN_START | FAULT);
    scratch.segment.position += scratch.segment.length as u64;
    scratch.segment.length = 0;
    scratch.cursor.filled = 0;
}

/// Sends the scratch's segment with the first `payload` bytes.
#[inline(always)]
fn send(scratch: &mut Scratch, payload: u32) {
    const FIXED: u32 = size_of::<Segment>() as u32;
    let size = bounded(FIXED + payload, FIXED + (MAX_CAPTURE + GATHER) as u32) as u64;
    let ring = (&raw const RECORDS).cast_mut();
    // SAFETY: the segment and the bytes behind it are of that size; the map is a ring buffer.
    let failed =
        unsafe { bpf_ringbuf_output(ring.cast(), (&raw mut scratch.segment).cast(), size, wake_flag(size)) };
    if failed != 0 {
        count(Counter::RingFull, 1);
    }
}

/// Does a run that begins with these bytes consist of requests without a body? The one look that the kernel side
/// takes at a protocol: such runs are copied whole, since each byte of them is the head of a message.
#[inline(always)]
fn bodiless_request(pieces: &Pieces) -> bool {
    const GET: u32 = u32::from_ne_bytes(*b"GET ");
    const HEAD: u32 = u32::from_ne_bytes(*b"HEAD");
    const DELETE: u32 = u32::from_ne_bytes(*b"DELE");
    const OPTIONS: u32 = u32::from_ne_bytes(*b"OPTI");
    let (address, length) = pieces.first();
    if length < 4 {
        return false;
    }
    matches!(read_user::<u32>(address), Some(GET | HEAD | DELETE | OPTIONS))
}

/// What user space wants of the connection.
#[inline(always)]
fn control(id: u64) -> Control {
    if let Some(control) = CONTROLS.get(Control::index(id, setting!(controls)))
        && control.connection == id
    {
        return *control;
    }
    Control { connection: 0, read_quiet_until: 0, write_quiet_until: 0, mode: MODE_UNKNOWN, budget: 0 }
}

/// Places the bytes that moved in their stream: sets the segment's position, sequence, perhaps [`AMBIGUOUS`], and where a
/// layer above TCP changes the bytes, their number. False if nothing moved that can be told.
#[inline(always)]
fn place<const TYPED: bool>(
    scratch: &mut Scratch,
    stream: &mut Stream,
    sock: Sock<TYPED>,
    tcp: bool,
) -> bool {
    let mut bytes = scratch.segment.length;
    if !tcp {
        scratch.segment.position = stream.position;
        stream.position += bytes as u64;
        return true;
    }
    let reading = scratch.segment.direction == READ;
    let sequence = (if reading { sock.copied() } else { sock.written() }).wrapping_sub(scratch.behind);
    let mut moved = sequence.wrapping_sub(stream.sequence);
    if moved != bytes {
        if reading
            && moved != 0
            && scratch.behind == 0
            && peer_closed(sock.state())
            && sequence == sock.received()
        {
            // The FIN takes a sequence number of its own and is consumed together with the last bytes.
            moved -= 1;
        }
        if bytes != 0 && sock.layered() {
            // The call's result is the length of the plain text, which must not be put where TCP carries the records of it.
            // (At a call that makes or needs no new record nothing moves.)
            if moved == 0 {
                stream.sequence = sequence;
                return false;
            }
            bytes = moved;
            scratch.segment.length = moved;
            scratch.segment.flags |= UNREACHABLE;
        }
    }
    scratch.segment.sequence = sequence;
    // In a mode in which the rest of a run is not told, any number may have passed.
    if moved >= bytes && (moved < 1 << 31 || scratch.control.mode == MODE_TURNS) {
        // Bytes that we were not told of (splice, io_uring on older kernels, a missed event) stand before ours.
        let position = stream.position + (moved - bytes) as u64;
        scratch.segment.position = position;
        stream.position = position + bytes as u64;
        stream.sequence = sequence;
    } else {
        scratch.segment.position = stream.position;
        scratch.segment.flags |= AMBIGUOUS;
    }
    true
}

/// Whether the peer's FIN has arrived: TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK or CLOSING (include/net/tcp_states.h).
#[inline(always)]
pub fn peer_closed(state: u8) -> bool {
    matches!(state, 6..=9 | 11)
}

/// Decides what may be copied of the run that begins, in a mode other than [`MODE_FRAMES`].
#[inline(always)]
fn run_budget(scratch: &mut Scratch) {
    let heads = scratch.control.mode == MODE_HEADS;
    let base = if heads { scratch.control.budget } else { UNKNOWN_BUDGET };
    scratch.run.base = base;
    scratch.run.single = if heads && base / 2 > PIPELINE_THRESHOLD { base / 2 } else { PIPELINE_THRESHOLD };
    let scratch = scratch.again();
    // Behind a long run of requests, the next may begin in the middle of one.
    let goes_on = scratch.run.own >= scratch.run.single;
    let asks = scratch.run.asks != 0;
    scratch.run.bodiless = (asks && (goes_on || bodiless_request(&scratch.pieces))) as u32;
    let scratch = scratch.again();
    scratch.run.budget = if scratch.run.bodiless != 0 {
        PIPELINE_BUDGET
    } else {
        // A long run of requests earns a long run of answers.
        let requests = scratch.run.other.saturating_sub(scratch.run.single);
        scratch.run.base.saturating_add(requests.saturating_mul(PIPELINE_FACTOR))
    };
}

/// Bytes of a run of requests without bodies that has so much left of its budget.
#[inline(always)]
fn requested(last: u8, bit: u8, left: u32) -> u32 {
    if last == NO_DIRECTION || last & bit == 0 { 0 } else { PIPELINE_BUDGET.saturating_sub(left) }
}

/// The connection of the socket on which `bytes` bytes have moved, if more is wanted of it than their number. The first
/// thing to ask: on most hosts most connections are of protocols that are not read.
#[inline(always)]
pub fn wanted<const TYPED: bool>(sock: Sock<TYPED>, direction: u8, bytes: u32) -> Found {
    let found = connection::find(sock, direction, bytes);
    let Found::Connection(entry) = found else { return found };
    // SAFETY: a live element of the map; torn reads are of no consequence.
    let connection = unsafe { &mut *entry };
    if only_counted(connection, direction, bytes) {
        if connection.ports == 0 {
            // TCP's sequence numbers tell of them with the next segment; here nothing else would.
            stream(connection, direction).position += bytes as u64;
        }
        return Found::Nothing;
    }
    found
}

/// Whether no more is wanted of `bytes` bytes that have moved than that they are counted, which is done then.
#[inline(always)]
pub fn only_counted(connection: &Connection, direction: u8, bytes: u32) -> bool {
    let Some(control) = CONTROLS.get(Control::index(connection.id, setting!(controls))) else { return false };
    let counted = control.connection == connection.id
        && (control.mode == MODE_OFF
            || control.mode == MODE_TURNS && bytes != 0 && goes_on(connection, direction));
    if counted {
        moved_bytes(bytes);
    }
    counted
}

/// The connection's stream of that direction.
#[inline(always)]
pub fn stream(connection: &mut Connection, direction: u8) -> &mut Stream {
    if direction == READ { &mut connection.read } else { &mut connection.write }
}

/// Whether bytes in this direction belong to the run that has begun.
#[inline(always)]
fn goes_on(connection: &Connection, direction: u8) -> bool {
    connection.last_direction != NO_DIRECTION && connection.last_direction & 1 == direction
}

/// `bytes` bytes moved on a connection in the call that the scratch describes; 0 bytes read means the end of the stream.
/// They make `RECORDS` records at most.
#[inline(always)]
pub fn moved<const RECORDS: u64, const TYPED: bool>(
    scratch: &mut Scratch,
    sock: Sock<TYPED>,
    entry: *mut Connection,
    direction: u8,
    bytes: u32,
) {
    // SAFETY: a live element of the map. Two threads may be at work on one connection; what they could spoil is
    // checked against the socket's own sequence numbers.
    let connection = unsafe { &mut *entry };
    if observe(scratch.again(), connection, sock, direction, bytes) {
        copy::<RECORDS>(scratch.again());
    }
}

/// Places and describes the bytes; true if there are some to be copied. Everything that needs the connection is done
/// here, so that the verifier can forget it before it comes to the copying.
#[inline(always)]
fn observe<const TYPED: bool>(
    scratch: &mut Scratch,
    connection: &mut Connection,
    sock: Sock<TYPED>,
    direction: u8,
    bytes: u32,
) -> bool {
    // SAFETY: helpers without preconditions.
    let (now, who) = unsafe { (bpf_ktime_get_ns(), bpf_get_current_pid_tgid()) };
    let process = if scratch.borrowed != 0 { scratch.borrowed } else { (who >> 32) as u32 };
    let generation = GENERATION.get(0).copied().unwrap_or(0);
    if connection.process != process || connection.generation != generation {
        let mut goid_offset = 0;
        if let Some(special) = PROCESSES.get_ptr(process) {
            // SAFETY: a live element of the map, written whole by user space.
            unsafe {
                if (*special).ignored != 0 {
                    connection.ignored = 1;
                    return false;
                }
                goid_offset = (*special).goid_offset;
            }
        }
        connection.process = process;
        connection.generation = generation;
        connection.goid_offset = goid_offset;
    }
    scratch.goid_offset = connection.goid_offset;
    let tcp = connection.ports != 0;
    scratch.segment = Segment {
        header: Header { kind: SEGMENT, payload: 0, time: now },
        connection: connection.id,
        position: 0,
        other_position: if tcp && direction == READ {
            let written = sock.written().wrapping_sub(connection.write.sequence);
            connection.write.position + written as u64
        } else {
            0
        },
        goroutine: 0,
        length: bytes,
        skipped: 0,
        sequence: 0,
        process,
        thread: who as u32,
        direction,
        flags: 0,
        reserved: 0,
    };
    if connection.opened == 0 {
        if !connection::open(sock, connection, process, now) {
            return false;
        }
        if process == setting!(own_process) {
            // User space now knows the connection as the agent's own, and will leave its other end alone too.
            connection.ignored = 1;
            return false;
        }
    }
    if tcp {
        connection::sample(sock, connection, now);
    }
    let scratch = scratch.again();
    scratch.control = control(connection.id);
    moved_bytes(bytes);
    let scratch = scratch.again();
    let last = connection.last_direction;
    let (own_bit, other_bit) =
        if direction == READ { (READS_BODILESS, WRITES_BODILESS) } else { (WRITES_BODILESS, READS_BODILESS) };
    let (stream, other, quiet_until) = if direction == READ {
        (&mut connection.read, &connection.write, scratch.control.read_quiet_until)
    } else {
        (&mut connection.write, &connection.read, scratch.control.write_quiet_until)
    };
    if !place(scratch, stream, sock, tcp) {
        return false;
    }
    let scratch = scratch.again();
    if last == NO_DIRECTION || last & 1 != direction {
        scratch.segment.flags |= RUN_START;
        scratch.run.asks = match connection.role {
            ROLE_CLIENT => (direction == WRITE) as u32,
            ROLE_SERVER => (direction == READ) as u32,
            _ => 1,
        };
        scratch.run.own = requested(last, own_bit, stream.budget);
        scratch.run.other = requested(last, other_bit, other.budget);
        match scratch.control.mode {
            mode @ (MODE_FRAMES | MODE_TURNS) => {
                scratch.run.budget = if mode == MODE_FRAMES { u32::MAX } else { 0 };
                scratch.run.bodiless = 0;
            }
            _ => run_budget(scratch.again()),
        }
        let scratch = scratch.again();
        let others = if last == NO_DIRECTION { 0 } else { last & other_bit };
        connection.last_direction = direction | others | if scratch.run.bodiless != 0 { own_bit } else { 0 };
        stream.budget = scratch.run.budget;
    } else if scratch.control.mode == MODE_FRAMES {
        stream.budget = u32::MAX;
    }

    let scratch = scratch.again();
    if scratch.goid_offset != 0 {
        scratch.segment.goroutine = scratch.call.goroutine(scratch.goid_offset);
    }
    let budget = stream.budget;
    scratch.cursor.budget = budget;
    if bytes == 0 {
        scratch.segment.flags |= END_OF_STREAM;
    } else if scratch.segment.flags & AMBIGUOUS != 0 {
        count(Counter::Ambiguous, 1);
    } else if scratch.segment.position + scratch.segment.length as u64 <= quiet_until {
        count(Counter::OverBudget, scratch.segment.length as u64);
        return false;
    } else if scratch.control.mode == MODE_TURNS {
        scratch.cursor.budget = 0;
    } else if !scratch.pieces.reachable() || scratch.segment.flags & UNREACHABLE != 0 {
        count(Counter::Unreachable, 1);
        scratch.segment.flags |= UNREACHABLE;
    } else {
        stream.budget = budget.saturating_sub(bytes);
    }
    if scratch.segment.flags & (END_OF_STREAM | AMBIGUOUS | UNREACHABLE) != 0 {
        scratch.cursor.budget = 0;
    }
    true
}

/// Sends the pieces while the budget lasts, small ones together, and one record without bytes for the rest.
#[inline(always)]
fn copy<const RECORDS: u64>(scratch: &mut Scratch) {
    let bytes = scratch.segment.length;
    scratch.segment.length = 0;
    scratch.cursor.address = scratch.pieces.buffer;
    scratch.cursor.piece = if scratch.pieces.vector == 0 { bytes } else { 0 };
    scratch.cursor.left = bytes;
    scratch.cursor.next = 0;
    scratch.cursor.filled = 0;
    let mut i = 0;
    while i < RECORDS {
        i = opaque(i) + 1;
        let scratch = scratch.again();
        if scratch.cursor.left == 0 || scratch.cursor.budget == 0 {
            break;
        }
        if scratch.cursor.piece == 0 && !next_piece(scratch) {
            break;
        }
        step(scratch.again());
    }
    let scratch = scratch.again();
    if scratch.segment.length > 0 {
        emit(scratch);
    }
    let scratch = scratch.again();
    let left = scratch.cursor.left;
    if left > 0 || bytes == 0 {
        let over = scratch.cursor.budget == 0;
        if scratch.segment.flags & (AMBIGUOUS | UNREACHABLE) == 0 {
            count(if over { Counter::OverBudget } else { Counter::Pieces }, left as u64);
        }
        scratch.segment.length = left;
        scratch.segment.header.payload = 0;
        send(scratch, 0);
    }
}

/// Goes on to the next entry of the iovec; false if there is none.
#[inline(always)]
fn next_piece(scratch: &mut Scratch) -> bool {
    let next = scratch.cursor.next;
    if next >= MAX_PIECES || next as u64 >= scratch.pieces.count {
        return false;
    }
    let Some([base, length]) = scratch.pieces.entry(next as u64) else { return false };
    let left = scratch.cursor.left;
    scratch.cursor.next = next + 1;
    scratch.cursor.address = base;
    scratch.cursor.piece = if length > left as u64 { left } else { length as u32 };
    true
}

/// Adds the present piece, or as much of it as fits, to the record, and sends that unless more may follow.
#[inline(always)]
fn step(scratch: &mut Scratch) {
    let Cursor { address, piece, budget, .. } = scratch.cursor;
    if piece == 0 {
        return;
    }
    let want = if piece < MAX_CAPTURE as u32 { piece } else { MAX_CAPTURE as u32 };
    // What of the piece is over the budget is told by the same record.
    let (length, captured) = if budget < want { (piece, budget) } else { (want, want) };
    scratch.segment.length += length;
    scratch.cursor.address = address + length as u64;
    scratch.cursor.piece = piece - length;
    scratch.cursor.left -= length;
    scratch.cursor.budget = budget - captured;
    let whole = append(scratch.again(), address, captured) && captured == length;
    let scratch = scratch.again();
    if !whole || scratch.cursor.filled > GATHER as u32 {
        emit(scratch);
    }
}
