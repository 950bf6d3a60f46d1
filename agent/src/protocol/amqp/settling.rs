//! What waits to be settled by its number: publishes that a broker is to confirm, deliveries that a consumer is to
//! acknowledge.

use std::collections::BTreeMap;

use super::detail::{AmqpDetail, Settlement};
use crate::protocol::pairing::Pending;
use crate::protocol::{Exchange, Losses, Outcome};

/// What may wait on one connection, in all its channels. A message is about 400 bytes.
const MAX_WAITING: usize = 16_384;

/// Where a channel puts what it tells.
pub(super) struct Room<'a> {
    pub out: &'a mut Vec<Exchange>,
    pub losses: &'a mut Losses,
    /// How many wait to be settled on the connection.
    pub waiting: &'a mut usize,
}

/// A settlement: one number, or all up to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settle {
    pub tag: u64,
    pub multiple: bool,
    pub how: Settlement,
    /// Nanoseconds.
    pub time: u64,
}

/// Messages by their numbers.
#[derive(Debug, Default)]
pub(super) struct Settling {
    waiting: BTreeMap<u64, Pending<AmqpDetail>>,
}

impl Settling {
    /// Waits for a settlement; if too many do, it is told as it is.
    pub fn push(&mut self, tag: u64, mut message: Pending<AmqpDetail>, end: u64, room: &mut Room<'_>) {
        if *room.waiting >= MAX_WAITING {
            room.losses.over_limit += 1;
            message.detail.settles = false;
            message.tell(end, Outcome::Complete, room.out);
            return;
        }
        *room.waiting += 1;
        if let Some(older) = self.waiting.insert(tag, message) {
            *room.waiting -= 1;
            room.losses.unpaired_requests += 1;
            older.tell(end, Outcome::ResponseLost, room.out);
        }
    }

    /// Tells what is settled; whether anything was.
    pub fn settle(&mut self, settle: Settle, room: &mut Room<'_>) -> bool {
        let Settle { tag, multiple, how, time } = settle;
        let mut any = false;
        let mut tell = |mut message: Pending<AmqpDetail>| {
            any = true;
            *room.waiting -= 1;
            message.detail.settlement = Some(how);
            message.tell(time, Outcome::Complete, room.out);
        };
        if !multiple {
            self.waiting.remove(&tag).into_iter().for_each(&mut tell);
            return any;
        }
        // Number 0 means all.
        let last = if tag == 0 { u64::MAX } else { tag };
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= last
        {
            tell(entry.remove());
        }
        any
    }

    /// The oldest message for which `is` holds, of the first few.
    pub fn find(&mut self, is: impl Fn(&AmqpDetail) -> bool) -> Option<&mut Pending<AmqpDetail>> {
        const FEW: usize = 64;
        self.waiting.values_mut().take(FEW).find(|message| is(&message.detail))
    }

    /// Tells all, oldest first, after `change`; how many.
    pub fn tell_all(
        &mut self,
        end: u64,
        outcome: Outcome,
        room: &mut Room<'_>,
        change: impl Fn(&mut AmqpDetail),
    ) -> u64 {
        let all = std::mem::take(&mut self.waiting);
        let many = all.len();
        for (_, mut message) in all {
            change(&mut message.detail);
            message.tell(end, outcome, room.out);
        }
        *room.waiting -= many;
        many as u64
    }
}
