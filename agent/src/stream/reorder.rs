//! Cause before effect: a response that was read before its request was seen waits for it.
//!
//! A thread that writes a request is told of at the end of its system call; by then another thread may have read the
//! response. The kernel side says with each read how far the process had written by then, so what must come first is
//! known exactly, and nothing is guessed from times.

use std::collections::VecDeque;

use remora_abi::record::Segment;

/// Segments of one connection that wait for an earlier one of the other stream.
#[derive(Debug, Default)]
pub struct Reorder {
    held: VecDeque<(Segment, Vec<u8>)>,
    bytes: usize,
}

/// The most segments that wait.
const MOST: usize = 64;
/// The most captured bytes that wait.
const MOST_BYTES: usize = 256 * 1024;
/// How long one waits at most: if its cause has not come by then, it was lost. Nanoseconds.
const PATIENCE: u64 = 200_000_000;

impl Reorder {
    /// Whether `segment` must wait, given the position up to which the written stream has been seen; `None` if that is not
    /// known, as on a connection that was picked up in the middle.
    #[must_use]
    pub fn must_wait(&self, segment: &Segment, written: Option<u64>) -> bool {
        if !self.held.is_empty() {
            // Behind others that wait, unless it is what they wait for.
            return segment.direction == remora_abi::record::READ && self.has_room();
        }
        let ahead = written.map_or(0, |written| segment.other_position.saturating_sub(written));
        // The end of a stream takes one sequence number.
        segment.direction == remora_abi::record::READ && ahead > 1 && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.held.len() < MOST && self.bytes < MOST_BYTES
    }

    /// Lets a segment wait.
    pub fn hold(&mut self, segment: Segment, payload: &[u8]) {
        self.bytes += payload.len();
        self.held.push_back((segment, payload.to_vec()));
    }

    /// The next segment whose cause has been seen, or that has waited long enough by `now`.
    pub fn ready(&mut self, written: Option<u64>, now: u64) -> Option<(Segment, Vec<u8>)> {
        let (first, _) = self.held.front()?;
        let seen = written.is_none_or(|written| first.other_position <= written + 1);
        let late = now.saturating_sub(first.header.time) > PATIENCE;
        if seen || late { self.next() } else { None }
    }

    fn next(&mut self) -> Option<(Segment, Vec<u8>)> {
        let next = self.held.pop_front()?;
        self.bytes -= next.1.len();
        Some(next)
    }

    /// The position of the written stream that the first segment waits for, and the segment's time; `None` if none waits.
    #[must_use]
    pub fn awaits(&self) -> Option<(u64, u64)> {
        self.held.front().map(|(segment, _)| (segment.other_position, segment.header.time))
    }

    /// Whether any segment waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_abi::record::{Header, READ, WRITE};

    fn read(other_position: u64, time: u64) -> Segment {
        let header = Header { time, ..Header::default() };
        Segment { header, direction: READ, other_position, ..Segment::default() }
    }

    #[test]
    fn a_response_waits_for_its_request() {
        let mut reorder = Reorder::default();
        let response = read(100, 5);
        assert!(reorder.must_wait(&response, Some(0)));
        assert!(!reorder.must_wait(&response, None));
        assert!(!reorder.must_wait(&response, Some(100)));
        assert!(!reorder.must_wait(&response, Some(99)), "a FIN takes one number");
        reorder.hold(response, b"HTTP");
        assert!(reorder.must_wait(&read(0, 6), Some(0)), "reads stay in order");
        assert!(!reorder.must_wait(&Segment { direction: WRITE, ..Segment::default() }, Some(0)));
        assert_eq!(reorder.ready(Some(50), 6), None);
        assert_eq!(reorder.ready(Some(100), 6), Some((response, b"HTTP".to_vec())));
        assert!(reorder.is_empty());
    }

    /// What it waits for is told, so that it can be let go when that turns out to have passed unseen.
    #[test]
    fn says_what_is_awaited() {
        let mut reorder = Reorder::default();
        assert_eq!(reorder.awaits(), None);
        reorder.hold(read(100, 5), b"");
        reorder.hold(read(200, 6), b"");
        assert_eq!(reorder.awaits(), Some((100, 5)));
        assert!(reorder.ready(Some(100), 5).is_some());
        assert_eq!(reorder.awaits(), Some((200, 6)));
    }

    #[test]
    fn patience_ends() {
        let mut reorder = Reorder::default();
        reorder.hold(read(100, 5), b"");
        assert_eq!(reorder.ready(Some(0), 5 + PATIENCE), None);
        assert!(reorder.ready(Some(0), 6 + PATIENCE).is_some());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut reorder = Reorder::default();
        for _ in 0..MOST {
            assert!(reorder.must_wait(&read(100, 5), Some(0)));
            reorder.hold(read(100, 5), b"x");
        }
        assert!(!reorder.must_wait(&read(100, 5), Some(0)));
    }
}
