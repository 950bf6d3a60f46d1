//! The agent's own connections: it never tells of its own traffic, at neither end.

use std::collections::VecDeque;

use remora_abi::record::{Datagram, Open};

/// Addresses of one end as its kernel structure has them.
type Address = ([u8; 16], u16);

/// Connections that the agent made, remembered so that their other end on this host can be told.
#[derive(Debug, Default)]
pub struct OwnConnections {
    /// Local and remote address, newest last.
    known: VecDeque<(Address, Address)>,
    /// The same of UDP sockets.
    datagrams: VecDeque<(Address, Address)>,
}

/// How many are remembered: an exporter keeps a handful.
const MOST: usize = 256;

impl OwnConnections {
    /// The agent made this connection.
    pub fn add(&mut self, open: &Open) {
        if self.known.len() == MOST {
            self.known.pop_front();
        }
        self.known.push_back((local(open), remote(open)));
    }

    /// Whether this is the other end of a connection that the agent made.
    #[must_use]
    pub fn is_other_end(&self, open: &Open) -> bool {
        open.local_port != 0 && self.known.iter().any(|known| *known == (remote(open), local(open)))
    }

    /// The agent sent this datagram.
    pub fn add_datagram(&mut self, datagram: &Datagram) {
        if self.datagrams.len() == MOST {
            self.datagrams.pop_front();
        }
        let local = (datagram.local, datagram.local_port);
        self.datagrams.push_back((local, (datagram.remote, datagram.remote_port)));
    }

    /// Whether this datagram was exchanged with a socket of the agent.
    #[must_use]
    pub fn is_with_own(&self, datagram: &Datagram) -> bool {
        self.datagrams.iter().any(|known| is_other_end(known, datagram))
    }
}

/// Whether a datagram passed at the other end of a socket with these addresses.
fn is_other_end((local, remote): &(Address, Address), datagram: &Datagram) -> bool {
    // A server's socket is often bound to no address, and so may the agent's be.
    let same = |known: &Address, seen: ([u8; 16], u16)| {
        known.1 == seen.1 && (known.0 == seen.0 || is_unspecified(known.0) || is_unspecified(seen.0))
    };
    same(local, (datagram.remote, datagram.remote_port))
        && same(remote, (datagram.local, datagram.local_port))
}

fn is_unspecified(address: [u8; 16]) -> bool {
    let address = std::net::Ipv6Addr::from(address);
    address.is_unspecified() || address.to_ipv4_mapped().is_some_and(|four| four.is_unspecified())
}

fn local(open: &Open) -> Address {
    (unmapped(open.family, open.local), open.local_port)
}

fn remote(open: &Open) -> Address {
    (unmapped(open.family, open.remote), open.remote_port)
}

/// An IPv4-mapped IPv6 address as the IPv4 address that the other end sees.
fn unmapped(family: u16, address: [u8; 16]) -> [u8; 16] {
    const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    if family == remora_abi::record::AF_INET6 && address.starts_with(&MAPPED) {
        let mut short = [0; 16];
        short[..4].copy_from_slice(&address[12..]);
        return short;
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_abi::Plain;
    use remora_abi::record::{AF_INET, AF_INET6};

    fn open(family: u16, local: (&[u8], u16), remote: (&[u8], u16)) -> Open {
        let mut open = Open::read(&[0; size_of::<Open>()]).unwrap();
        open.family = family;
        (open.local_port, open.remote_port) = (local.1, remote.1);
        open.local[..local.0.len()].copy_from_slice(local.0);
        open.remote[..remote.0.len()].copy_from_slice(remote.0);
        open
    }

    #[test]
    fn knows_the_other_end_of_datagrams() {
        let four = |a: u8| std::net::Ipv4Addr::new(127, 0, 0, a).to_ipv6_mapped().octets();
        let none = std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets();
        let datagram = |local, local_port, remote, remote_port| Datagram {
            local,
            local_port,
            remote,
            remote_port,
            ..Datagram::default()
        };
        let mut own = OwnConnections::default();
        own.add_datagram(&datagram(four(1), 40_000, four(53), 53));
        assert!(own.is_with_own(&datagram(four(53), 53, four(1), 40_000)));
        assert!(own.is_with_own(&datagram(none, 53, four(1), 40_000)));
        assert!(!own.is_with_own(&datagram(none, 53, four(2), 40_000)));
        assert!(!own.is_with_own(&datagram(four(53), 53, four(1), 40_001)));
    }

    #[test]
    fn knows_the_other_end() {
        let mut own = OwnConnections::default();
        own.add(&open(AF_INET, (&[127, 0, 0, 1], 50_000), (&[127, 0, 0, 1], 4317)));
        assert!(own.is_other_end(&open(AF_INET, (&[127, 0, 0, 1], 4317), (&[127, 0, 0, 1], 50_000))));
        assert!(!own.is_other_end(&open(AF_INET, (&[127, 0, 0, 1], 4317), (&[127, 0, 0, 1], 50_001))));
        assert!(!own.is_other_end(&open(AF_INET, (&[127, 0, 0, 1], 50_000), (&[127, 0, 0, 1], 4317))));
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
        assert!(own.is_other_end(&open(AF_INET6, (&mapped, 4317), (&mapped, 50_000))));
    }
}
