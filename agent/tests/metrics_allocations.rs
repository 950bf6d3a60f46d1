//! Reading an exchange allocates nothing once its series are known.

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use remora::metrics::{Histogram, Limits, Lost, Observation, Settings, Table};
use remora::protocol::{Attribute, Instrument, Reading, Role, Value};
use remora_exporters::Resource;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what a thread allocates.
struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static DURATION: Instrument = Instrument {
    name: "test.duration",
    unit: "s",
    description: "",
    role: Some(Role::Server),
    reading: Reading::Duration,
    keys: &["method", "status", "route"],
};
static SIZE: Instrument =
    Instrument { name: "test.size", unit: "By", reading: Reading::Attribute("size"), ..DURATION };
static COUNT: Instrument = Instrument { name: "test.count", reading: Reading::One, ..DURATION };

fn attributes(route: usize, size: i64) -> Vec<Attribute> {
    vec![
        ("url", Value::Text(Cow::Owned(format!("/items/{route}?{size}")))),
        ("method", Value::Text(Cow::Borrowed("GET"))),
        ("route", Value::Text(Cow::Owned(format!("/items/{route}")))),
        ("status", Value::Integer(200)),
        ("size", Value::Integer(size)),
    ]
}

fn record(table: &mut Table, resource: &Arc<Resource>, attributes: &[Attribute], seconds: f64) {
    let observation = Observation {
        instruments: &[&DURATION, &SIZE, &COUNT],
        role: Role::Server,
        attributes,
        duration: Some(seconds),
        span: Some((1, [1; 16], [2; 8])),
    };
    assert_eq!(table.record(resource, &observation), Lost::default());
}

#[test]
fn a_known_series_allocates_nothing() {
    let mut table = Table::new(Histogram::Exponential, Limits::from(&Settings::default()));
    let resource = Arc::new(Resource::new(Default::default(), ""));
    let all: Vec<Vec<Attribute>> = (0..2000).map(|n| attributes(n % 50, (n * 7) as i64)).collect();
    let round = |table: &mut Table| {
        for (n, attributes) in all.iter().enumerate() {
            record(table, &resource, attributes, 0.001 + n as f64 * 1e-5);
        }
    };
    // Series come into being, and their buckets grow as wide as the values are.
    round(&mut table);
    let before = ALLOCATIONS.get();
    let began = std::time::Instant::now();
    round(&mut table);
    round(&mut table);
    let each = began.elapsed() / 12_000;
    assert_eq!(ALLOCATIONS.get() - before, 0);
    println!("{each:?} a reading");
}
