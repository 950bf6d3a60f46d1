//! What the tiers `fentry` and `kprobe` have in common: the bodies behind functions of the socket layer.
//!
//! A function that moves bytes is entered with a message (`struct msghdr`), whose iterator says where the process wants them.
//! That is remembered for the thread ([`begin`]). When they have moved, the iterator has gone on by their number, so that
//! what it said before tells where they are ([`Transfer`]). Whoever moved them, by whatever system call or io_uring, the
//! message is the same.
//!
//! What moved is told as far as possible at entries of functions, not at returns: a kretprobe has few places (on Linux 5.10 no
//! more than there are CPUs), each taken while a call sleeps or waits for a processor, and returns beyond them go unseen. Where
//! there is no other way than a return, a call that awaited one is known by the thread's next ([`Transfer::awaited`]).

pub mod tcp;
pub mod udp;
pub mod unix;

use aya_ebpf::helpers::generated::bpf_get_current_task;
use remora_abi::loss::Counter;
use remora_abi::maps::{SHAPE_BUFFER, SHAPE_NONE, SHAPE_VECTOR, Transfer};

use crate::globals::{Scratch, TRANSFERS, count, offset, setting};
use crate::kernel::{Mover, Sock, at, read};
use crate::pieces::{MSG_TRUNC, Pieces, number};
use crate::registers::Call;

/// The key of the current thread's transfer.
#[inline(always)]
fn thread() -> u64 {
    // SAFETY: a helper without preconditions.
    unsafe { bpf_get_current_task() }
}

/// What the iterator of a message says now. No message, no place.
#[inline(always)]
fn look(socket: u64, message: u64, direction: u32) -> Transfer {
    let mut transfer = Transfer { socket, message, direction, ..Transfer::default() };
    if message == 0 {
        return transfer;
    }
    // All of `struct iov_iter` at once; what stands behind it, if it is shorter, belongs to the message.
    let iterator: [u64; 6] = read(at(message, offset!(message_iterator)));
    let field = |offset: u32| {
        // SAFETY: the verifier, which knows the offset, makes sure that it lies in the array.
        unsafe { iterator.as_ptr().cast::<u8>().add(offset as usize).cast::<u64>().read_volatile() }
    };
    let kind = field(offset!(iterator_type)) as u8 as u32 & setting!(iterator_mask);
    transfer.vector = field(offset!(iterator_vector));
    transfer.offset = field(offset!(iterator_offset));
    transfer.left = field(offset!(iterator_left));
    transfer.entries = field(offset!(iterator_entries));
    transfer.shape = if kind == setting!(iterator_vector) {
        SHAPE_VECTOR
    } else if kind == setting!(iterator_buffer) {
        SHAPE_BUFFER
    } else {
        SHAPE_NONE
    };
    transfer
}

/// A thread begins to move the bytes of a message on a socket.
#[inline(always)]
pub fn begin(socket: u64, message: u64, direction: u32) {
    let transfer = look(socket, message, direction);
    let thread = thread();
    if let Some(known) = TRANSFERS.get_ptr_mut(thread) {
        // SAFETY: a live element of the map, which only this thread writes.
        unsafe {
            if (*known).awaited != 0 {
                count(Counter::MissedReturns, 1);
            }
            *known = transfer;
        }
    } else {
        // A table that forgets never refuses.
        let _ = TRANSFERS.insert(thread, transfer, 0);
    }
}

/// The current thread's transfer, if it is on that socket and in that direction.
#[inline(always)]
fn current(socket: u64, direction: u32) -> Option<&'static mut Transfer> {
    let transfer = TRANSFERS.get_ptr_mut(thread())?;
    // SAFETY: a live element of the map, which only this thread writes.
    let transfer = unsafe { &mut *transfer };
    if transfer.socket == socket && transfer.direction == direction { Some(transfer) } else { None }
}

/// The current thread's transfer in that direction, on whatever socket.
#[inline(always)]
fn any(direction: u32) -> Option<&'static mut Transfer> {
    let transfer = TRANSFERS.get_ptr_mut(thread())?;
    // SAFETY: a live element of the map, which only this thread writes.
    let transfer = unsafe { &mut *transfer };
    if transfer.socket != 0 && transfer.direction == direction { Some(transfer) } else { None }
}

/// Where the `bytes` bytes are that have moved since the transfer was looked at last; it is brought up to date.
///
/// The iterator must have gone on by exactly that number. If the transfer is over and what moved is another's (a splice, the
/// kernel's own TLS), the message's memory holds anything, and it has not.
#[inline(always)]
fn pieces(transfer: &mut Transfer, bytes: u64) -> Pieces {
    let now = look(transfer.socket, transfer.message, transfer.direction);
    let before = *transfer;
    let passed = before.left.wrapping_sub(now.left) == bytes && now.shape == before.shape;
    *transfer = now;
    match before.shape {
        SHAPE_BUFFER if passed && now.vector == before.vector && now.offset == before.offset + bytes => {
            Pieces {
                vector: 0,
                count: 0,
                buffer: before.vector + before.offset,
                length: bytes,
                name: 0,
                skip: 0,
            }
        }
        SHAPE_VECTOR if passed && before.entries >= now.entries => Pieces {
            vector: before.vector,
            count: before.entries,
            buffer: 0,
            length: 0,
            name: 0,
            skip: before.offset,
        },
        _ => Pieces::UNREACHABLE,
    }
}

/// Where the `bytes` bytes are that are about to be taken from the message.
#[inline(always)]
fn ahead(transfer: &mut Transfer, bytes: u64) -> Pieces {
    let now = look(transfer.socket, transfer.message, transfer.direction);
    match now.shape {
        SHAPE_BUFFER => {
            Pieces { vector: 0, count: 0, buffer: now.vector + now.offset, length: bytes, name: 0, skip: 0 }
        }
        SHAPE_VECTOR => {
            Pieces { vector: now.vector, count: now.entries, buffer: 0, length: 0, name: 0, skip: now.offset }
        }
        _ => Pieces::UNREACHABLE,
    }
}

/// Where the bytes are that the current thread has been given by a read that it was waiting in when the programs came, so that
/// nothing of it is remembered: the arguments of its system call say it. Not the first bytes of that read if it may have
/// waited for more (`MSG_WAITALL`, `SO_RCVLOWAT`). The scratch has the registers then.
#[inline(always)]
fn waited_for<const TYPED: bool>(scratch: &mut Scratch, sock: Sock<TYPED>) -> Pieces {
    /// `MSG_WAITALL`
    const WAIT_ALL: u64 = 0x100;
    if TRANSFERS.get_ptr(thread()).is_some() || scratch.borrowed != 0 || sock.low_water() > 1 {
        return Pieces::UNREACHABLE;
    }
    registers(scratch.again());
    let scratch = scratch.again();
    let flags = match scratch.call.number {
        number::RECVFROM => scratch.call.fourth,
        number::RECVMSG => scratch.call.third,
        _ => 0,
    };
    if scratch.call.compat != 0 || flags & (WAIT_ALL | MSG_TRUNC) != 0 {
        return Pieces::UNREACHABLE;
    }
    Pieces::of(&scratch.call)
}

/// Says in the scratch whose call this is, as far as that is not the current thread's. False if it is the kernel's own affair
/// (NFS, a splice between sockets).
#[inline(always)]
fn whose(scratch: &mut Scratch) -> bool {
    scratch.borrowed = match Mover::of(thread()) {
        Mover::Itself => 0,
        Mover::Borrower(process) => process,
        Mover::Kernel => return false,
    };
    true
}

/// Reads the user registers into the scratch, for a process whose goroutines are asked for.
#[inline(always)]
fn registers(scratch: &mut Scratch) {
    scratch.call = if setting!(stack_bytes) == 0 {
        Call::current()
    } else {
        let stack: u64 = read(at(thread(), offset!(task_stack)));
        Call::on_stack(at(stack, setting!(stack_bytes)), &mut scratch.registers)
    };
}
