//! Where messages begin and end: a size of four bytes, then so many bytes (the protocol guide's "Common Request and
//! Response Structure").

use super::api;
use super::detail::Kafka;
use super::header::{self, Read};
use crate::protocol::frames::{Framing, Measure};
use crate::protocol::pairing::InOrder;

/// Bytes of the size itself.
pub(super) const SIZE: u64 = 4;
/// The largest request that is believed. Brokers take 100 MiB by default (`socket.request.max.bytes`).
pub(super) const MAX_REQUEST: u64 = 256 << 20;
/// The largest response that is believed; consumers ask for 50 MiB by default (`fetch.max.bytes`).
const MAX_RESPONSE: u64 = 1 << 30;
/// The largest SASL token, as brokers have it by default (`sasl.server.max.receive.size`).
const MAX_TOKEN: u64 = 512 << 10;

/// Bytes of a request that are read: of one with records, up to the first batch and a small record in it; of others, the
/// names in it.
const PRODUCE_REQUEST: usize = 4 << 10;
const REQUEST: usize = 2 << 10;
/// Bytes of a response that are read: of fetched records, the headers of many small batches; of topics, names and ids.
const FETCH_RESPONSE: usize = 16 << 10;
const TOPICS_RESPONSE: usize = 32 << 10;
const RESPONSE: usize = 2 << 10;

/// The size that a message begins with.
pub(super) fn size(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|size| u64::from(u32::from_be_bytes(*size)))
}

/// The client's stream.
#[derive(Debug)]
pub(super) struct Requests {
    /// Tokens of SASL may pass, without headers.
    pub tokens: bool,
}

impl Requests {
    fn token(&self, size: u64) -> Measure {
        if self.tokens && size <= MAX_TOKEN {
            Measure::Message { length: SIZE + size, wanted: 0 }
        } else {
            Measure::Foreign
        }
    }
}

impl Framing for Requests {
    fn measure(&self, bytes: &[u8]) -> Measure {
        let Some(size) = size(bytes) else { return Measure::More };
        if size > MAX_REQUEST {
            return Measure::Foreign;
        }
        match header::read(&bytes[SIZE as usize..], size) {
            Read::Header(header) => {
                let wanted = if header.key == api::PRODUCE { PRODUCE_REQUEST } else { REQUEST };
                Measure::Message { length: SIZE + size, wanted }
            }
            Read::More if (bytes.len() as u64) < SIZE + size => Measure::More,
            Read::More | Read::Foreign => self.token(size),
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        match size(bytes) {
            // Brokers in Java read the size alone.
            Some(size) if bytes.len() as u64 == SIZE => (10..MAX_REQUEST).contains(&size),
            Some(size) if size <= MAX_REQUEST => match header::read(&bytes[SIZE as usize..], size) {
                Read::Header(header) => header.is_known() && (turn || !header.client.is_empty()),
                Read::More | Read::Foreign => false,
            },
            _ => false,
        }
    }
}

/// The server's stream.
#[derive(Debug)]
pub(super) struct Responses<'a> {
    /// The requests that wait.
    pub waiting: &'a InOrder<Kafka>,
    /// SASL tokens that wait for one in return.
    pub tokens: u32,
    /// The stream's place has been confirmed by a response that was waited for.
    pub sure: bool,
}

impl Responses<'_> {
    /// Before the place is sure, only a response that is waited for is believed, or one to a request shortly before.
    fn fits(&self, correlation: i32) -> bool {
        const SHORTLY: i32 = 64;
        let near = |oldest: i32| (1..=SHORTLY).contains(&oldest.wrapping_sub(correlation));
        self.waiting.find(|request| request.detail.correlation == correlation).is_some()
            || self.waiting.front().is_some_and(|oldest| near(oldest.detail.correlation))
    }
}

impl Framing for Responses<'_> {
    fn measure(&self, bytes: &[u8]) -> Measure {
        let Some(size) = size(bytes) else { return Measure::More };
        if self.tokens > 0 && size <= MAX_TOKEN {
            return Measure::Message { length: SIZE + size, wanted: 0 };
        }
        if !(SIZE..=MAX_RESPONSE).contains(&size) {
            return Measure::Foreign;
        }
        let Some(correlation) = bytes[SIZE as usize..].first_chunk() else { return Measure::More };
        let correlation = i32::from_be_bytes(*correlation);
        if !self.sure && !self.fits(correlation) {
            return Measure::Foreign;
        }
        let request = self.waiting.find(|request| request.detail.correlation == correlation);
        let wanted = match request.and_then(|index| self.waiting.get(index)) {
            None => 0,
            Some(request) => match request.detail.key {
                api::FETCH | api::SHARE_FETCH => FETCH_RESPONSE,
                api::METADATA | api::DESCRIBE_TOPIC_PARTITIONS | api::CREATE_TOPICS => TOPICS_RESPONSE,
                _ => RESPONSE,
            },
        };
        Measure::Message { length: SIZE + size, wanted: wanted.max(2 * SIZE as usize) }
    }

    fn begins(&self, bytes: &[u8], _turn: bool) -> bool {
        let Some(size) = size(bytes) else { return false };
        if self.waiting.is_empty() || !(SIZE..=MAX_RESPONSE).contains(&size) {
            return false;
        }
        match bytes[SIZE as usize..].first_chunk() {
            Some(correlation) => self.fits(i32::from_be_bytes(*correlation)),
            // Clients in Java read the size alone.
            None => bytes.len() as u64 == SIZE,
        }
    }
}
