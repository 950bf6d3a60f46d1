//! Names that were looked up: what a service called an address by.
//!
//! A name is kept for the network namespace in which it was looked up, since addresses mean nothing outside it, and with
//! the process that asked: where several names stand for one address, a process gets the one that it asked for itself.
//! A process that asks through another (`systemd-resolved`, a proxy) gets what was asked for last; but not of a loopback
//! address, which stands for whatever listens there.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;

/// Addresses whose names are kept.
const MOST_ADDRESSES: usize = 16_384;
/// Names kept of one address.
const MOST_NAMES: usize = 4;
/// A name is believed for so long at least: who has looked it up connects a moment later, whatever its time to live.
/// Nanoseconds.
const SHORTEST: u64 = 60_000_000_000;

/// The names that were looked up. Bounded; every method may be called from any thread.
#[derive(Debug, Default)]
pub struct Names {
    addresses: DashMap<(u32, IpAddr), Vec<Name>>,
}

#[derive(Clone, Debug)]
struct Name {
    process: u32,
    name: Arc<str>,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    since: u64,
    until: u64,
}

impl Names {
    /// In a network namespace, a process was told at `time` (`CLOCK_MONOTONIC`, nanoseconds) that `name` stands for these
    /// addresses, each for so many seconds.
    pub fn add(&self, namespace: u32, process: u32, time: u64, name: &str, addresses: &[(IpAddr, u32)]) {
        let name: Arc<str> = name.into();
        for (address, seconds) in addresses {
            self.make_room(time);
            let until = time.saturating_add(SHORTEST.max(u64::from(*seconds) * 1_000_000_000));
            let new = Name { process, name: Arc::clone(&name), since: time, until };
            let mut known = self.addresses.entry((namespace, *address)).or_default();
            known.retain(|old| old.until > time && !(old.process == process && old.name == name));
            if known.len() >= MOST_NAMES {
                known.remove(0);
            }
            known.push(new);
        }
    }

    /// What a process in a network namespace called an address by at `time` (`CLOCK_MONOTONIC`, nanoseconds).
    #[must_use]
    pub fn find(&self, namespace: u32, process: u32, time: u64, address: IpAddr) -> Option<Arc<str>> {
        let known = self.addresses.get(&(namespace, address))?;
        let valid = || known.iter().rev().filter(|name| name.since <= time && time < name.until);
        let own = valid().find(|name| name.process == process);
        let others = || valid().next().filter(|_| !address.is_loopback());
        own.or_else(others).map(|name| Arc::clone(&name.name))
    }

    /// Before an insertion: if there are too many, forgets what has expired, or else the sixteenth that expires first.
    fn make_room(&self, time: u64) {
        if self.addresses.len() < MOST_ADDRESSES {
            return;
        }
        let until = |names: &[Name]| names.iter().map(|name| name.until).max().unwrap_or(0);
        self.addresses.retain(|_, names| until(names) > time);
        if self.addresses.len() < MOST_ADDRESSES {
            return;
        }
        let mut ends: Vec<u64> = self.addresses.iter().map(|names| until(names.value())).collect();
        let (_, end, _) = ends.select_nth_unstable(MOST_ADDRESSES / 16);
        let end = *end;
        self.addresses.retain(|_, names| until(names) > end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_process_gets_its_own_name() {
        let names = Names::default();
        let address: IpAddr = [10, 0, 0, 1].into();
        names.add(1, 7, 0, "shop", &[(address, 300)]);
        names.add(1, 8, SECOND, "cart", &[(address, 1)]);
        let find = |namespace, process, time: u64| names.find(namespace, process, time * SECOND, address);
        assert_eq!(find(1, 7, 2).as_deref(), Some("shop"));
        assert_eq!(find(1, 8, 2).as_deref(), Some("cart"));
        assert_eq!(find(1, 9, 2).as_deref(), Some("cart"), "the last one asked for");
        assert_eq!(find(1, 9, 62).as_deref(), Some("shop"), "the other has expired");
        assert_eq!(find(2, 7, 2), None, "another namespace");
        assert_eq!(find(1, 7, 301), None);
        let loopback: IpAddr = [127, 0, 0, 1].into();
        names.add(1, 7, 0, "shop", &[(loopback, 300)]);
        assert_eq!(names.find(1, 7, 1, loopback).as_deref(), Some("shop"));
        assert_eq!(names.find(1, 8, 1, loopback), None, "anybody may listen there");
    }

    #[test]
    fn is_bounded() {
        let names = Names::default();
        for number in 0..2 * MOST_ADDRESSES as u32 {
            names.add(1, 7, 0, "x", &[(number.to_be_bytes().into(), number)]);
        }
        assert!(names.addresses.len() <= MOST_ADDRESSES);
        for process in 0..100 {
            names.add(1, process, 0, "x", &[([10, 0, 0, 1].into(), 1)]);
        }
        assert_eq!(names.addresses.get(&(1, [10, 0, 0, 1].into())).unwrap().len(), MOST_NAMES);
    }
}
