//! Connections whose descriptors are never what they were: `identity FOLDER THREADS SECONDS`.
//!
//! THREADS threads open TCP and unix connections, make some HTTP exchanges on each, and meanwhile duplicate both ends'
//! descriptors, put them in place of one another, pass them over unix sockets to other threads and processes, leave them
//! to children, and close them, so that a number means another connection all the time; also while another thread is
//! blocked in a call that began with it (see [`hard`]).
//!
//! Every request and every response carries the name of its own connection ([`Name`]), so that a span that has another's
//! bytes can be told. One line is written for each request, see [`Exchange::line`].

mod descriptors;
mod exchange;
mod hard;

use std::io::Write;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use descriptors::{close, duplicate, fork, moved, over, pass, receive, reset_at_close, socketpair, wait};
use exchange::{Class, End, Exchange, Pair, answer, ask, connect, exchange, read_request};

/// Threads of this process that serve what is passed to them.
const THREADS_THAT_SERVE: usize = 8;
/// Other processes that do.
const PROCESSES_THAT_SERVE: usize = 2;

/// What all threads know.
pub struct Common {
    folder: PathBuf,
    serial: AtomicU64,
    lines: Mutex<String>,
    /// The way to those who serve in this process.
    threads: RawFd,
    /// The way to the others.
    processes: RawFd,
}

impl Common {
    /// Writes down that a request was answered.
    pub fn note(&self, exchange: &Exchange) {
        let mut lines = self.lines.lock().expect("lines");
        lines.push_str(&exchange.line());
        lines.push('\n');
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, threads, seconds] = &arguments[..] else { panic!("identity FOLDER THREADS SECONDS") };
    let threads: u64 = threads.parse().expect("threads");
    let seconds: u64 = seconds.parse().expect("seconds");

    // A thread that fails must not leave others waiting for it.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
    // Processes come before threads, so that they inherit no connection.
    let (processes, theirs) = socketpair();
    let children: Vec<_> = (0..PROCESSES_THAT_SERVE)
        .map(|_| {
            fork(|| {
                close(processes);
                serve_all(theirs);
            })
        })
        .collect();
    close(theirs);
    let (to_threads, theirs) = socketpair();
    let serving: Vec<_> =
        (0..THREADS_THAT_SERVE).map(|_| std::thread::spawn(move || serve_all(theirs))).collect();
    let common = Arc::new(Common {
        folder: Path::new(folder).to_owned(),
        serial: AtomicU64::new(1),
        lines: Mutex::default(),
        threads: to_threads,
        processes,
    });

    let end = Instant::now() + Duration::from_secs(seconds);
    let working: Vec<_> = (0..threads)
        .map(|number| {
            let common = Arc::clone(&common);
            std::thread::spawn(move || work(&common, &mut Random::new(number), end))
        })
        .collect();
    for thread in working {
        thread.join().expect("thread");
    }
    for channel in [to_threads, processes] {
        close(channel);
    }
    for thread in serving {
        thread.join().expect("serving thread");
    }
    children.into_iter().for_each(wait);
    std::io::stdout().write_all(common.lines.lock().expect("lines").as_bytes()).expect("stdout");
}

/// Serves the connections that come over `channel`, until nobody can send any more.
fn serve_all(channel: RawFd) {
    while let Some((descriptor, requests)) = receive(channel) {
        let mut end = End::new(descriptor);
        for _ in 0..requests {
            assert!(answer(&mut end), "the connection ended before its time");
            end.fd = moved(end.fd);
        }
        close(end.fd);
    }
}

/// A small generator of numbers (xorshift64*), so that a thread does the same in every run.
pub struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// One thread: a connection, some exchanges, a rest, and again.
fn work(common: &Common, random: &mut Random, end: Instant) {
    // Two numbers that this thread's connections get in turn, each over the one before, which ends by that.
    let mut slots = [None, None];
    while Instant::now() < end {
        match random.below(16) {
            0 => hard::read(common, random),
            1 => hard::write(common, random),
            2 => hard::end_of_stream(common, random),
            3 => cut_off(common, random),
            _ => ordinary(common, random, &mut slots),
        }
        // What the agent has to tell is bounded by this, however fast the machine.
        std::thread::sleep(Duration::from_millis(100 + random.below(400)));
    }
    slots.into_iter().flatten().for_each(close);
}

/// Some exchanges where both ends are at hand, and some where somebody else has the server's.
fn ordinary(common: &Common, random: &mut Random, slots: &mut [Option<RawFd>; 2]) {
    let (name, Pair { mut client, mut server }) = connect(common, random);
    let in_slots = random.below(3) == 0;
    if in_slots {
        client.fd = over(client.fd, &mut slots[0]);
        server.fd = over(server.fd, &mut slots[1]);
    }
    let here = random.below(3);
    for number in 0..here {
        common.note(&exchange(&name, number, &mut client, &mut server, Class::Exact));
        if !in_slots {
            client.fd = moved(client.fd);
            server.fd = moved(server.fd);
        }
    }
    let elsewhere = 1 + random.below(3);
    let mut child = None;
    let mut serving_here = false;
    match random.below(8) {
        0 | 1 => pass(common.threads, server.fd, elsewhere as u8),
        2 | 3 => pass(common.processes, server.fd, elsewhere as u8),
        4 => {
            // The child has all descriptors of all threads, too; it uses one of them.
            let mut inherited = End::new(server.fd);
            child = Some(fork(|| {
                for _ in 0..elsewhere {
                    answer(&mut inherited);
                }
            }));
        }
        5 => {
            // From this thread to itself: another number, another reference.
            let (one, other) = socketpair();
            pass(one, client.fd, 0);
            let (came, _) = receive(other).expect("what was just sent");
            if !in_slots {
                close(client.fd);
            }
            // It is the slot's no more, but has a number of its own that must be closed.
            client = End::new(came);
            for number in here..here + elsewhere {
                common.note(&exchange(&name, number, &mut client, &mut server, Class::Exact));
            }
            [one, other, came].into_iter().for_each(close);
            if !in_slots {
                close(server.fd);
            }
            return;
        }
        _ => serving_here = true,
    }
    if !serving_here && !in_slots {
        close(server.fd);
    }
    for number in here..here + elsewhere {
        let exchange = if serving_here {
            exchange(&name, number, &mut client, &mut server, Class::Exact)
        } else {
            ask(&mut client, &name, number, body(random)).answered(&mut client, Class::Exact)
        };
        common.note(&exchange);
    }
    child.into_iter().for_each(wait);
    if in_slots {
        return;
    }
    match random.below(3) {
        0 => {}
        1 => descriptors::shutdown_writing(client.fd),
        _ => reset_at_close(client.fd),
    }
    close(client.fd);
    if serving_here {
        close(server.fd);
    }
}

/// The client gives up before it is answered.
fn cut_off(common: &Common, random: &mut Random) {
    let (name, Pair { mut client, mut server }) = connect(common, random);
    let asked = ask(&mut client, &name, 0, body(random));
    assert!(read_request(&mut server).is_some());
    common.note(&asked.unanswered());
    reset_at_close(client.fd);
    close(client.fd);
    let last = duplicate(server.fd);
    close(server.fd);
    close(last);
}

/// Bytes of a request's body; most have none.
fn body(random: &mut Random) -> usize {
    if random.below(4) == 0 { random.below(2000) as usize } else { 0 }
}
