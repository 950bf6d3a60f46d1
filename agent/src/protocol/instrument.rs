//! Metrics that a protocol's exchanges are counted by.

use super::Role;

/// What an exchange adds to an [`Instrument`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Its duration in seconds, from the first byte of the request to the last of the response.
    Duration,
    /// The number in one of its attributes; nothing if it has none.
    Attribute(&'static str),
    /// The whole number in one of its attributes, to be added up: messages in a batch, bytes. Nothing if it has none.
    Sum(&'static str),
    /// One.
    One,
}

/// A histogram (durations, sizes) or a sum ([`Reading::One`], [`Reading::Sum`]) over exchanges.
#[derive(Debug, PartialEq, Eq)]
pub struct Instrument {
    /// By the semantic conventions where they have one, else beginning with `remora.`.
    pub name: &'static str,
    /// As UCUM writes it: `s`, `By`, `{message}`.
    pub unit: &'static str,
    /// For people.
    pub description: &'static str,
    /// Whose exchanges count: those of one end, or of both.
    pub role: Option<Role>,
    /// What each adds.
    pub reading: Reading,
    /// The span's attributes that become the metric's.
    pub keys: &'static [&'static str],
}
