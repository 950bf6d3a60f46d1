//! Trace and span ids.
//!
//! They are a function of the run's seed, the connection and the exchange's number on it, so that a recording told
//! again gives the same ids. The seed is random, so two runs or two hosts give different ones.

use std::io::Read;

/// Makes ids.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    seed: u64,
}

impl Ids {
    /// Ids of the run with that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A seed that no other run has.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn random_seed() -> std::io::Result<u64> {
        let mut bytes = [0; 8];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// The span id of an exchange; not zero.
    #[must_use]
    pub fn span(&self, connection: u64, number: u64) -> [u8; 8] {
        self.mixed(connection, number, 1).to_be_bytes()
    }

    /// The id of the trace that an exchange begins; not zero.
    #[must_use]
    pub fn trace(&self, connection: u64, number: u64) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.mixed(connection, number, 2).to_be_bytes());
        id[8..].copy_from_slice(&self.mixed(connection, number, 3).to_be_bytes());
        id
    }

    fn mixed(&self, connection: u64, number: u64, salt: u64) -> u64 {
        let mixed = mix(mix(mix(self.seed ^ salt) ^ connection) ^ number);
        if mixed == 0 { 1 } else { mixed }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014): a
/// bijection whose every output bit depends on every input bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_the_same_again_and_differ_from_each_other() {
        let ids = Ids::new(7);
        let mut spans = HashSet::new();
        let mut traces = HashSet::new();
        for connection in 0..300 {
            for number in 0..300 {
                spans.insert(ids.span(connection, number));
                traces.insert(ids.trace(connection, number));
            }
        }
        assert_eq!((spans.len(), traces.len()), (90_000, 90_000));
        assert_eq!(Ids::new(7).span(3, 4), ids.span(3, 4));
        assert_ne!(Ids::new(8).span(3, 4), ids.span(3, 4));
    }
}
