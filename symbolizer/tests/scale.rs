//! What it costs to look at binaries: processor time, bytes read, memory.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use remora_symbolizer::{Cache, Inspection};
use support::{Go, SMALL};

/// Counts what is allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs something; returns the most that was allocated meanwhile beyond what was before, bytes.
fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    work();
    PEAK.load(Ordering::Relaxed) - before
}

/// Bytes that this process has asked the kernel to read.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).unwrap_or(0)
}

/// What this thread has used of processors, whatever else the machine does.
fn processor() -> Duration {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn what_binaries_cost() {
    one_by_one();
    two_hundred();
}

/// The largest binaries that are here: below 2 MiB of memory whatever their size.
fn one_by_one() {
    println!("{:<60} {:>9} {:>9} {:>9} {:>9}", "", "size", "read", "time", "peak");
    for path in [
        "/usr/bin/node",
        "/usr/bin/etcd",
        "/usr/sbin/nats-server",
        "/usr/bin/python3.11",
        "/lib/x86_64-linux-gnu/libssl.so.3",
        "/usr/sbin/nginx",
    ] {
        let Ok(metadata) = fs::metadata(path) else {
            println!("skipped: no {path}");
            continue;
        };
        let (read, start) = (bytes_read(), processor());
        let peak = peak(|| drop(Inspection::of(Path::new(path)).unwrap()));
        let (took, read) = (processor() - start, bytes_read() - read);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "{path:<60} {:>5.1} MiB {:>5.1} MiB {:>6.1} ms {:>5} KiB",
            mib(metadata.len()),
            mib(read),
            took.as_secs_f64() * 1e3,
            peak >> 10
        );
        assert!(peak < 2 << 20, "{path}: {peak} bytes");
        if metadata.len() > 50 << 20 {
            assert!(read < metadata.len() / 3 * 2, "{path}: {read} bytes read");
        }
    }
}

/// 200 Go programs of 100 MB each, all different: what is kept stays within its bound.
fn two_hundred() {
    const PROGRAMS: usize = 200;
    const SIZE: u64 = 100_000_000;
    const BOUND: usize = 256 << 10;
    let dir = tempfile::tempdir().unwrap();
    let Some(go) = Go::local() else { return };
    let id = format!("-ldflags=-s -w -B 0x{}", "5a".repeat(20));
    let program = fs::read(go.build(dir.path(), SMALL, "small", &[&id])).unwrap();
    let at = program.windows(20).position(|bytes| bytes == [0x5a; 20]).expect("the build id");
    let files: Vec<_> = (0..PROGRAMS)
        .map(|number| {
            let mut copy = program.clone();
            copy[at..at + 8].copy_from_slice(&number.to_le_bytes());
            let path = dir.path().join(number.to_string());
            fs::write(&path, copy).unwrap();
            // What follows the program is a hole, as large as debug information would be.
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(SIZE).unwrap();
            path
        })
        .collect();

    let mut cache = Cache::new(BOUND);
    let (read, start) = (bytes_read(), processor());
    let first = peak(|| files.iter().for_each(|file| drop(cache.inspect(file).unwrap())));
    let (took, read) = (processor() - start, bytes_read() - read);
    println!(
        "{PROGRAMS} programs of 100 MB: {:.1} ms and {:.2} MiB read each; peak {} KiB; {} KiB kept for {} of them",
        took.as_secs_f64() * 1e3 / PROGRAMS as f64,
        read as f64 / PROGRAMS as f64 / f64::from(1 << 20),
        first >> 10,
        cache.used_bytes() >> 10,
        cache.len()
    );
    assert_eq!(cache.statistics().parsed, PROGRAMS as u64);
    assert!(cache.used_bytes() <= BOUND);
    assert!(first < BOUND + (2 << 20), "{first} bytes");

    let start = processor();
    let newest = &files[PROGRAMS - 1];
    let parsed = cache.statistics().parsed;
    for _ in 0..1000 {
        cache.inspect(newest).unwrap();
    }
    assert_eq!(cache.statistics().parsed, parsed);
    println!("a file that is known: {:.1} µs", (processor() - start).as_secs_f64() * 1e3);
}
