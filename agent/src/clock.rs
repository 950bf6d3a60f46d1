//! The clocks: kernel times are `CLOCK_MONOTONIC`, OTLP's are the wall clock's.

/// `CLOCK_MONOTONIC` in nanoseconds.
#[must_use]
pub fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The wall clock in nanoseconds since 1970.
#[must_use]
pub fn wall() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// Wall clock minus `CLOCK_MONOTONIC`, nanoseconds.
#[must_use]
pub fn offset() -> i64 {
    // The closest of a few: the thread may be interrupted between the two readings.
    let one = || {
        let before = monotonic();
        let wall = wall();
        let after = monotonic();
        (after - before, wall.cast_signed() - (before + (after - before) / 2).cast_signed())
    };
    (0..5).map(|_| one()).min().map_or(0, |(_, offset)| offset)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid destination, and clocks that every kernel has.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_leads_from_one_clock_to_the_other() {
        let offset = offset();
        let difference = wall().abs_diff(monotonic().saturating_add_signed(offset));
        assert!(difference < 1_000_000_000, "{difference} ns apart");
    }
}
