//! What passes on a connection, whatever it speaks, and what TCP knows of it.

use remora_abi::record::{Failed, OPEN_MIDSTREAM, Open};

use crate::protocol::End;

/// What passed on a connection since the last time that it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Since when, `CLOCK_MONOTONIC` nanoseconds.
    pub since: u64,
    /// It is told for the first time.
    pub opened: Option<Opened>,
    /// Bytes that this end read.
    pub read: u64,
    /// Bytes that it wrote.
    pub written: u64,
    /// The kernel's last estimate of the round-trip time in microseconds, 0 if there was no new one.
    pub round_trip: u32,
    /// Segments that TCP sent again.
    pub retransmits: u32,
    /// How often the other end broke it off.
    pub resets_received: u32,
    /// How often this end did.
    pub resets_sent: u32,
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

/// How a connection began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Nanoseconds from the process's wish to the connection's establishment, if both were seen; at the client's end.
    pub connecting: Option<u64>,
    /// Nanoseconds from the connection's establishment until a process accepted it, likewise; at the server's end.
    pub waiting: Option<u64>,
}

impl Opened {
    fn of(open: &Open) -> Self {
        let between = |from: u64, to: u64| (from > 0 && to > 0).then(|| to.saturating_sub(from));
        Self {
            connecting: between(open.began, open.established),
            waiting: between(open.established, open.accepted),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// Why.
    pub cause: End,
}

/// How a connection came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When the process asked for it, or, at the server's end, when it was established. `CLOCK_MONOTONIC` nanoseconds.
    pub began: u64,
    /// How long after that it was over, nanoseconds.
    pub lasted: u64,
    /// At the client's end the kernel's error, 0 if the process gave up.
    pub error: u32,
}

impl Failure {
    /// What the record says.
    #[must_use]
    pub fn of(failed: &Failed) -> Self {
        let Failed { began, error, .. } = *failed;
        Self { began, lasted: failed.header.time.saturating_sub(began), error }
    }
}

/// What passed on a connection, and what of it has not been told.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    untold: Traffic,
    /// Segments that TCP sent again, as far as they are in what was told or will be next.
    retransmits: u32,
}

impl Passed {
    /// Nothing yet, of a connection that begins to be looked at.
    #[must_use]
    pub fn new(open: &Open) -> Self {
        let untold = Traffic {
            since: open.header.time,
            opened: Some(Opened::of(open)),
            read: 0,
            written: 0,
            round_trip: 0,
            retransmits: 0,
            resets_received: 0,
            resets_sent: 0,
            ended: None,
            established: open.established,
        };
        // What was sent again before our time is not ours to tell; in a handshake that was seen it is.
        let before = if open.flags & OPEN_MIDSTREAM != 0 { open.retransmits } else { 0 };
        Self { untold, retransmits: before }
    }

    /// So many bytes were read, or written.
    pub fn add(&mut self, reading: bool, bytes: u64) {
        *(if reading { &mut self.untold.read } else { &mut self.untold.written }) += bytes;
    }

    /// TCP has this estimate of the round-trip time (0 if none), and has sent so many segments again in all.
    pub fn tcp(&mut self, round_trip: u32, retransmits: u32) {
        if round_trip > 0 {
            self.untold.round_trip = round_trip;
        }
        self.untold.retransmits += retransmits.saturating_sub(self.retransmits);
        self.retransmits = self.retransmits.max(retransmits);
    }

    /// The other end broke the connection off, or this one did.
    pub fn reset(&mut self, received: bool) {
        *(if received { &mut self.untold.resets_received } else { &mut self.untold.resets_sent }) += 1;
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
        self.untold = Traffic {
            since: now,
            opened: None,
            read: 0,
            written: 0,
            round_trip: 0,
            retransmits: 0,
            resets_received: 0,
            resets_sent: 0,
            ended: None,
            ..traffic
        };
        (traffic != Traffic { since: traffic.since, ..self.untold }).then_some(traffic)
    }
}

#[cfg(test)]
mod tests {
    use remora_abi::Plain;
    use remora_abi::record::Header;

    use super::*;

    const ENDED: Ended = Ended { time: 390, cause: End::Orderly };

    /// A connection that was established at that time and is told of at 100.
    fn open(established: u64) -> Open {
        let open = Open::read(&[0; size_of::<Open>()]).unwrap();
        Open { header: Header { time: 100, ..open.header }, established, ..open }
    }

    /// Nothing, of such a connection.
    fn nothing(since: u64) -> Traffic {
        let mut passed = Passed::new(&open(90));
        let first = passed.take(since).unwrap();
        Traffic { since, opened: None, ..first }
    }

    /// Everything is told once; nothing, if nothing has happened.
    #[test]
    fn told_once() {
        let mut passed = Passed::new(&Open { began: 70, accepted: 95, ..open(90) });
        passed.add(true, 5);
        passed.add(true, 6);
        passed.add(false, 7);
        passed.reset(true);
        let opened = Some(Opened { connecting: Some(20), waiting: Some(5) });
        let first = Traffic { opened, read: 11, written: 7, resets_received: 1, ..nothing(100) };
        assert_eq!(passed.take(200), Some(first));
        assert_eq!((first.lasted(), passed.take(300)), (None, None));
        passed.add(false, 1);
        passed.reset(false);
        passed.end(ENDED);
        let last = Traffic { written: 1, resets_sent: 1, ended: Some(ENDED), ..nothing(300) };
        assert_eq!((passed.take(400), last.lasted()), (Some(last), Some(300)));
    }

    /// However often TCP is asked meanwhile, and whichever answers are lost, the sum is what it knows at the end; and what
    /// it had sent again before our time is not in it.
    #[test]
    fn retransmits_add_up() {
        for (flags, before) in [(0, 0), (OPEN_MIDSTREAM, 4)] {
            let mut passed = Passed::new(&Open { flags, retransmits: 4, ..open(0) });
            let told: u32 =
                [(9, before), (0, before + 3), (8, before + 3), (7, before + 10), (6, before + 9)]
                    .into_iter()
                    .map(|(round_trip, retransmits)| {
                        passed.tcp(round_trip, retransmits);
                        let told = passed.take(200).unwrap_or(nothing(200));
                        assert_eq!(told.round_trip, round_trip);
                        told.retransmits
                    })
                    .sum();
            assert_eq!(told, 10);
        }
    }

    /// Of a connection that was there before, or is only forgotten, it is not known how long it lasted.
    #[test]
    fn unknown_duration() {
        for (established, cause) in [(0, End::Orderly), (90, End::Forgotten)] {
            let mut passed = Passed::new(&open(established));
            passed.end(Ended { cause, ..ENDED });
            let told = passed.take(200).unwrap();
            assert_eq!((told.lasted(), told.opened), (None, Some(Opened::default())));
        }
    }
}
