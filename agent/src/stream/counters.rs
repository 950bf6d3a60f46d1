//! What the shards count. Each shard has counters of its own, written by it alone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::protocol::Losses;

/// Declares the counters, and a snapshot of them that can be summed over shards.
macro_rules! counters {
    ($($name:ident: $doc:literal),+ $(,)?) => {
        /// One shard's counters.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $(#[doc = $doc] pub $name: AtomicU64,)+
        }

        /// Values of all counters.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $(#[doc = $doc] pub $name: u64,)+
        }

        impl Counters {
            /// The present values.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.load(Relaxed),)+ }
            }
        }

        impl Snapshot {
            /// Adds another shard's.
            pub fn add(&mut self, other: &Snapshot) {
                $(self.$name += other.$name;)+
            }

            /// Names (as in `remora.coverage.*`), values and what they mean.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64, &'static str)> {
                vec![$((stringify!($name), self.$name, $doc),)+]
            }
        }
    };
}

counters! {
    connections: "Connections of which a shard was told.",
    datagram_pairs: "Pairs of a UDP socket and a peer on which a protocol was recognised.",
    evicted_datagram_pairs: "Pairs of a UDP socket and a peer forgotten because there were too many.",
    unknown_protocol_sockets: "UDP sockets of no protocol that is known.",
    exchanges: "Exchanges that became spans.",
    turns: "Turns on connections of unknown protocols, told in metrics only.",
    gap_bytes: "Bytes that passed unseen, or were not copied, between captured ones.",
    overlap_bytes: "Bytes seen twice, dropped.",
    held_segments: "Segments held back until their cause had been seen.",
    evicted_connections: "Connections forgotten because there were too many.",
    unread_connections: "Connections that carried bytes of which not one could be read: all moved by io_uring, sendfile or splice in a tier that cannot follow them, or through kernel TLS.",
    unknown_protocol_connections: "Connections of no protocol that is known.",
    encrypted_connections: "Connections that are encrypted with TLS, so not readable.",
    unpaired_responses: "Responses without their request.",
    unpaired_requests: "Requests whose response was lost.",
    resynchronised: "Times that a parser lost its place in a stream.",
    unparsed_bytes: "Bytes that passed while a parser had lost its place.",
    unreadable_connections: "Connections that their protocol made unreadable: encrypted or compressed after its first messages.",
    over_limit: "Messages given up because a limit was reached.",
    overflowed_readings: "Readings of metrics that went into an overflow set, because there were too many attribute sets.",
    dropped_readings: "Readings of metrics that were dropped, because there was no room even for an overflow set.",
}

impl Counters {
    /// Adds to a counter that only this thread writes.
    pub fn bump(counter: &AtomicU64, by: u64) {
        // A plain addition: nobody else writes it, and a lock prefix would cost more than the rest.
        counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// Adds what a parser lost.
    pub fn losses(&self, losses: &Losses) {
        if *losses == Losses::default() {
            return;
        }
        Self::bump(&self.unpaired_responses, losses.unpaired_responses);
        Self::bump(&self.unpaired_requests, losses.unpaired_requests);
        Self::bump(&self.resynchronised, losses.resynchronised);
        Self::bump(&self.unparsed_bytes, losses.unparsed_bytes);
        Self::bump(&self.over_limit, losses.over_limit);
        Self::bump(&self.unreadable_connections, losses.unreadable);
    }
}
