//! How many bytes of each run are worth capturing.
//!
//! A connection starts with [`MAX`] bytes a run. What its messages would have needed to be framed exactly decides
//! after the first [`WINDOW`] of them, and after each [`WINDOW`] more: the head of each, and of a chunked message
//! its whole body if that fits into [`MAX`] (the end of a chunked body can only be seen in its bytes; one that is
//! larger ends, for us, where the next run begins or in silence). A head that was cut doubles the budget at once, and
//! a chunked body that was cut raises it to [`MAX`]: how long it would have been cannot be told.

/// Bytes of a run at least.
pub(super) const LEAST: u32 = 1024;
/// Bytes of a run at most.
pub(super) const MAX: u32 = 16 * 1024;
const _: () = assert!(MAX as usize <= remora_abi::record::MAX_CAPTURE);
const WINDOW: u32 = 256;

/// An adaptive budget.
#[derive(Debug)]
pub(super) struct Budget {
    current: u32,
    largest: u32,
    seen: u32,
}

impl Budget {
    pub fn new() -> Self {
        Self { current: MAX, largest: 0, seen: 0 }
    }

    /// Bytes of a run.
    pub fn get(&self) -> u32 {
        self.current
    }

    /// A message's framing lay in the first `bytes` bytes of its run. More than [`MAX`] cannot be had and is
    /// ignored.
    pub fn needed(&mut self, bytes: u64) {
        let Some(bytes) = u32::try_from(bytes).ok().filter(|&bytes| bytes <= MAX) else { return };
        self.current = self.current.max(Self::with_headroom(bytes));
        self.largest = self.largest.max(bytes);
        self.seen += 1;
        if self.seen == WINDOW {
            *self = Self { current: Self::with_headroom(self.largest), largest: 0, seen: 0 };
        }
    }

    /// A head was longer than what was captured.
    pub fn cut(&mut self) {
        self.current = (self.current * 2).min(MAX);
        self.largest = self.largest.max(self.current / 2 + 1);
    }

    /// A chunked body was longer than what was captured.
    pub fn body_cut(&mut self) {
        self.current = MAX;
    }

    /// A quarter more, to the next power of two.
    fn with_headroom(bytes: u32) -> u32 {
        (bytes + bytes / 4).next_power_of_two().clamp(LEAST, MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It begins with all there is, falls to what messages need, and rises as soon as something was cut.
    #[test]
    fn falls_and_rises() {
        let mut budget = Budget::new();
        assert_eq!(budget.get(), MAX);
        for _ in 0..WINDOW {
            assert_eq!(budget.get(), MAX);
            budget.needed(300);
        }
        assert_eq!(budget.get(), 1024);
        budget.needed(900);
        assert_eq!(budget.get(), 2048);
        budget.cut();
        assert_eq!(budget.get(), 4096);
        for _ in 0..10 {
            budget.cut();
        }
        assert_eq!(budget.get(), MAX);
        budget.needed(1 << 40);
        budget.needed(20_000);
        assert_eq!(budget.get(), MAX);
        for _ in 0..2 * WINDOW {
            budget.needed(300);
        }
        assert_eq!(budget.get(), 1024);
    }
}
