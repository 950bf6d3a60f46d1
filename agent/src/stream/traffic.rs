//! What passes on a connection, whatever it speaks.

use crate::protocol::End;

/// What passed on a connection since the last time that it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Since when, `CLOCK_MONOTONIC` nanoseconds.
    pub since: u64,
    /// It is told for the first time.
    pub opened: bool,
    /// Bytes that this end read.
    pub read: u64,
    /// Bytes that it wrote.
    pub written: u64,
    /// It is over, and this is the last time.
    pub ended: Option<Ended>,
    /// When the connection was established, 0 if that was not seen.
    pub established: u64,
}

impl Traffic {
    /// How long the connection lasted, in nanoseconds, if both ends of that time were seen.
    #[must_use]
    pub fn lasted(&self) -> Option<u64> {
        let ended = self.ended.filter(|ended| self.established > 0 && ended.cause != End::Forgotten)?;
        Some(ended.time.saturating_sub(self.established))
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// Why.
    pub cause: End,
    /// The kernel's last estimate of the round-trip time in microseconds, 0 if it had none.
    pub round_trip: u32,
    /// Segments that TCP sent again.
    pub retransmits: u32,
}

/// What passed on a connection, and what of it has not been told.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    untold: Traffic,
}

impl Passed {
    /// Nothing yet; the connection is known since `now`.
    #[must_use]
    pub fn new(now: u64, established: u64) -> Self {
        let untold = Traffic { since: now, opened: true, read: 0, written: 0, ended: None, established };
        Self { untold }
    }

    /// So many bytes were read, or written.
    pub fn add(&mut self, reading: bool, bytes: u64) {
        *(if reading { &mut self.untold.read } else { &mut self.untold.written }) += bytes;
    }

    /// Whether any bytes passed that have not been told.
    #[must_use]
    pub fn any(&self) -> bool {
        self.untold.read > 0 || self.untold.written > 0
    }

    /// The connection ended, or is forgotten.
    pub fn end(&mut self, ended: Ended) {
        self.untold.ended = Some(ended);
    }

    /// What has not been told, if anything has happened; told it is then, up to `now`.
    pub fn take(&mut self, now: u64) -> Option<Traffic> {
        let traffic = self.untold;
        self.untold = Traffic { since: now, opened: false, read: 0, written: 0, ended: None, ..traffic };
        (traffic != Traffic { since: traffic.since, ..self.untold }).then_some(traffic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: Ended = Ended { time: 390, cause: End::Orderly, round_trip: 3, retransmits: 1 };

    /// Everything is told once; nothing, if nothing has happened.
    #[test]
    fn told_once() {
        let mut passed = Passed::new(100, 90);
        passed.add(true, 5);
        passed.add(true, 6);
        passed.add(false, 7);
        let first = Traffic { since: 100, opened: true, read: 11, written: 7, ended: None, established: 90 };
        assert_eq!(passed.take(200), Some(first));
        assert_eq!((first.lasted(), passed.take(300)), (None, None));
        passed.add(false, 1);
        passed.end(ENDED);
        let last =
            Traffic { since: 300, opened: false, read: 0, written: 1, ended: Some(ENDED), established: 90 };
        assert_eq!((passed.take(400), last.lasted()), (Some(last), Some(300)));
    }

    /// Of a connection that was there before, or is only forgotten, it is not known how long it lasted.
    #[test]
    fn unknown_duration() {
        for (established, cause) in [(0, End::Orderly), (90, End::Forgotten)] {
            let mut passed = Passed::new(100, established);
            passed.end(Ended { cause, ..ENDED });
            assert_eq!(passed.take(200).unwrap().lasted(), None);
        }
    }
}
