//! Messages in the contents of a stream: a flag, a length of four bytes, and so many bytes.

/// Bytes before each message.
const PREFIX: usize = 5;
/// A message longer than this ends where the reader does not ask for anything in between.
const WORTH_SKIPPING: u64 = 4 * 1024;

/// The messages of one direction so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::protocol) struct Messages {
    /// Whose prefix was seen.
    count: u64,
    /// Bytes in them, as they were sent: compressed, if they are.
    bytes: u64,
    prefix: [u8; PREFIX],
    /// Bytes of `prefix` that are there.
    have: u8,
    /// Bytes that are left of the message under way.
    left: u64,
    /// The place was lost, or never known, or these are no messages: nothing is said of them.
    lost: bool,
}

impl Messages {
    /// So many bytes pass; the first of them are here.
    pub fn pass(&mut self, mut bytes: &[u8], passed: u64) {
        let mut hole = passed.saturating_sub(bytes.len() as u64);
        while !self.lost && (!bytes.is_empty() || hole > 0) {
            if self.left > 0 {
                let here = self.left.min(bytes.len() as u64);
                bytes = &bytes[here as usize..];
                let unseen = (self.left - here).min(hole);
                hole -= unseen;
                self.left -= here + unseen;
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                self.lost = true;
                return;
            };
            bytes = rest;
            self.prefix[usize::from(self.have)] = byte;
            self.have += 1;
            // Only the lowest bit has a meaning: the message is compressed.
            self.lost = self.prefix[0] > 1;
            if usize::from(self.have) == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.left = u64::from(u32::from_be_bytes(length));
                self.have = 0;
                self.count += 1;
                self.bytes += self.left;
            }
        }
    }

    /// Bytes of this direction were lost.
    pub fn lose(&mut self) {
        self.lost = true;
    }

    /// How many, and their bytes; `None` if that is not known.
    pub fn counts(&self) -> Option<(u64, u64)> {
        (!self.lost).then_some((self.count, self.bytes))
    }

    /// All that passed were messages, at least so many, and the last is complete.
    pub fn are_whole(&self, least: u64) -> bool {
        !self.lost && self.have == 0 && self.left == 0 && self.count >= least
    }

    /// Bytes from now on of which nothing is needed.
    pub fn quiet(&self) -> u64 {
        match (self.lost, self.left) {
            (true, _) => u64::MAX,
            (false, left) if left >= WORTH_SKIPPING => left,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\0\x01x";

    /// However the bytes are cut.
    #[test]
    fn every_split() {
        for first in 0..=TWO.len() {
            for second in first..=TWO.len() {
                let mut messages = Messages::default();
                for part in [&TWO[..first], &TWO[first..second], &TWO[second..]] {
                    messages.pass(part, part.len() as u64);
                }
                assert_eq!(messages.counts(), Some((3, 4)));
                assert!(messages.are_whole(3) && !messages.are_whole(4));
            }
        }
    }

    /// A hole in a message is passed, one in a prefix is not; and what is no message says nothing.
    #[test]
    fn holes() {
        let mut messages = Messages::default();
        messages.pass(b"\0\0\0\x20\0a", 5 + 8000);
        assert_eq!((messages.counts(), messages.quiet()), (Some((1, 8192)), 0));
        messages.pass(b"", 192);
        assert!(messages.are_whole(1));
        messages.pass(b"\0\0\0\x20\0a", 5 + 1000);
        assert_eq!(messages.quiet(), 7192);
        messages.pass(b"", 7193);
        assert_eq!(messages.counts(), None);
        let mut messages = Messages::default();
        messages.pass(b"{\"a\":1}", 7);
        assert_eq!((messages.counts(), messages.quiet()), (None, u64::MAX));
    }
}
