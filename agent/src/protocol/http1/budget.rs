//! How many bytes of each run are worth capturing.
//!
//! A connection starts with [`START`] bytes a run. What its messages would have needed to be framed exactly
//! decides from then on: the head of each, and with a chunked response its whole body if that fits into
//! [`MAX`] (the end of a chunked body can only be seen in its bytes; one that is larger ends, for us, where
//! the next run begins or in silence, and asking for more bytes would not change that). A head that was cut
//! doubles the budget at once. Every [`WINDOW`] messages the budget falls back to what the last ones needed.

/// Bytes of a run at first.
pub(super) const START: u32 = 1024;
/// Bytes of a run at most.
pub(super) const MAX: u32 = 16 * 1024;
const _: () = assert!(MAX as usize <= remora_abi::record::MAX_CAPTURE);
const WINDOW: u32 = 64;

/// An adaptive budget.
#[derive(Debug)]
pub(super) struct Budget {
    current: u32,
    largest: u32,
    seen: u32,
}

impl Budget {
    pub fn new() -> Self {
        Self { current: START, largest: 0, seen: 0 }
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

    /// A quarter more, to the next power of two.
    fn with_headroom(bytes: u32) -> u32 {
        (bytes + bytes / 4).next_power_of_two().clamp(START, MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small heads leave the budget alone, large ones and cut ones raise it, and it falls again.
    #[test]
    fn grows_and_falls_back() {
        let mut budget = Budget::new();
        budget.needed(300);
        assert_eq!(budget.get(), 1024);
        budget.needed(900);
        assert_eq!(budget.get(), 2048);
        budget.cut();
        assert_eq!(budget.get(), 4096);
        for _ in 0..10 {
            budget.cut();
        }
        assert_eq!(budget.get(), 16384);
        budget.needed(1 << 40);
        budget.needed(20_000);
        assert_eq!(budget.get(), 16384);
        for _ in 0..128 {
            budget.needed(300);
        }
        assert_eq!(budget.get(), 1024);
    }
}
