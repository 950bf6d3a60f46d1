//! The hard case: a number comes to mean another connection while a thread is blocked in a call that began with it.
//!
//! A is the connection of the blocked call, B the one that takes its number. A lives on behind another descriptor.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use crate::descriptors::{close, duplicate, duplicate_from, replace, shutdown_writing, small_buffer};
use crate::exchange::{Class, End, Name, Pair, answer, ask, connect, exchange, read_request, respond};
use crate::{Common, Random};

/// Two connections, of which one, both or none have been used before.
fn two(common: &Common, random: &mut Random) -> [(Name, Pair); 2] {
    let mut two = [connect(common, random), connect(common, random)];
    for (name, pair) in &mut two {
        if random.coin() {
            common.note(&exchange(name, 0, &mut pair.client, &mut pair.server, Class::Exact));
        }
    }
    two
}

/// Gives `end` another number: that one, which means another connection. If another thread is faster and takes it when it
/// is free for a moment, that is as good.
fn take(number: RawFd, end: &mut End, random: &mut Random) {
    let own = end.fd;
    if random.coin() {
        replace(number, own);
        end.fd = number;
    } else {
        close(number);
        end.fd = duplicate_from(number, own);
    }
    close(own);
}

/// A thread that does `work`, whose first system call is one on `fd` that blocks.
fn blocked<'scope, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    fd: RawFd,
    work: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    let thread = Arc::new(AtomicI32::new(0));
    let told = Arc::clone(&thread);
    let handle = scope.spawn(move || {
        // SAFETY: no arguments, cannot fail.
        told.store(unsafe { libc::gettid() }, Ordering::Release);
        work()
    });
    let end = Instant::now() + Duration::from_secs(120);
    while !asleep(thread.load(Ordering::Acquire), fd) {
        assert!(Instant::now() < end, "the thread has not blocked");
        std::thread::sleep(Duration::from_micros(500));
    }
    handle
}

/// Whether a thread of this process sleeps in a system call that moves bytes on `fd`.
fn asleep(thread: i32, fd: RawFd) -> bool {
    // Its number and its arguments, or `running` (proc_pid_syscall(5)).
    let call = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).unwrap_or_default();
    let mut words = call.split(' ');
    let number = words.next().and_then(|number| number.parse::<i64>().ok());
    let moves = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
    ];
    number.is_some_and(|number| moves.contains(&number)) && words.next() == Some(&format!("{fd:#x}"))
}

/// A is read from.
pub fn read(common: &Common, random: &mut Random) {
    let [(a, mut a_ends), (b, mut b_ends)] = two(common, random);
    let number = a_ends.server.fd;
    let kept = duplicate(number);
    std::thread::scope(|scope| {
        let reader = blocked(scope, number, || answer(&mut End::first(number, kept)));
        take(number, &mut b_ends.server, random);
        if random.coin() {
            common.note(&exchange(&b, 1, &mut b_ends.client, &mut b_ends.server, Class::Exact));
        }
        let asked = ask(&mut a_ends.client, &a, 1, 0);
        common.note(&exchange(&b, 2, &mut b_ends.client, &mut b_ends.server, Class::Exact));
        common.note(&asked.answered(&mut a_ends.client, Class::Raced));
        assert!(reader.join().expect("reader"));
    });
    common.note(&exchange(&b, 3, &mut b_ends.client, &mut b_ends.server, Class::Exact));
    common.note(&exchange(&a, 2, &mut a_ends.client, &mut End::new(kept), Class::Raced));
    [kept, a_ends.client.fd, b_ends.client.fd, b_ends.server.fd].into_iter().for_each(close);
}

/// A is written to, more than fits.
pub fn write(common: &Common, random: &mut Random) {
    const MORE_THAN_FITS: usize = 500_000;
    let [(a, mut a_ends), (b, mut b_ends)] = two(common, random);
    small_buffer(a_ends.client.fd);
    let number = a_ends.client.fd;
    let kept = duplicate(number);
    std::thread::scope(|scope| {
        let writer =
            blocked(scope, number, || ask(&mut End::first(number, kept).vectored(), &a, 1, MORE_THAN_FITS));
        take(number, &mut b_ends.client, random);
        common.note(&exchange(&b, 1, &mut b_ends.client, &mut b_ends.server, Class::Exact));
        assert!(answer(&mut a_ends.server));
        let asked = writer.join().expect("writer");
        common.note(&asked.answered(&mut End::new(kept), Class::Raced));
    });
    common.note(&exchange(&b, 2, &mut b_ends.client, &mut b_ends.server, Class::Exact));
    common.note(&exchange(&a, 2, &mut End::new(kept), &mut a_ends.server, Class::Raced));
    [kept, a_ends.server.fd, b_ends.client.fd, b_ends.server.fd].into_iter().for_each(close);
}

/// A's end of stream is read, while a request of B waits for its answer.
pub fn end_of_stream(common: &Common, random: &mut Random) {
    let [(_, a_ends), (b, mut b_ends)] = two(common, random);
    let number = a_ends.server.fd;
    let kept = duplicate(number);
    std::thread::scope(|scope| {
        let reader = blocked(scope, number, || answer(&mut End::first(number, kept)));
        take(number, &mut b_ends.server, random);
        let asked = ask(&mut b_ends.client, &b, 1, 0);
        let request = read_request(&mut b_ends.server).expect("a request");
        shutdown_writing(a_ends.client.fd);
        assert!(!reader.join().expect("reader"));
        respond(&mut b_ends.server, &request);
        common.note(&asked.answered(&mut b_ends.client, Class::Exact));
    });
    common.note(&exchange(&b, 2, &mut b_ends.client, &mut b_ends.server, Class::Exact));
    [kept, a_ends.client.fd, b_ends.client.fd, b_ends.server.fd].into_iter().for_each(close);
}
