//! Request headers (the protocol guide's "Request Header"): versions 0, 1 and 2.

use super::api::{self, Api};
use super::wire::Wire;

/// Behind the size: key, version and correlation id.
const FIXED: u64 = 8;
/// The longest client id that is believed. Kafka has no limit but that of a string.
const MAX_CLIENT: usize = 1024;

/// A request's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    /// Which API.
    pub key: i16,
    /// What is known of it.
    pub api: Option<&'static Api>,
    /// In which version.
    pub version: i16,
    /// What names the response.
    pub correlation: i32,
    /// Who asks; empty if it does not say.
    pub client: &'a [u8],
    /// Where the body is read from.
    pub body: Wire<'a>,
}

/// What a request's first bytes say.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// Its header.
    Header(Header<'a>),
    /// Too few bytes to tell.
    More,
    /// No request.
    Foreign,
}

impl Header<'_> {
    /// Whether the body is flexible.
    pub fn is_flexible(&self) -> bool {
        self.api.is_some_and(|api| api.is_flexible(self.version))
    }

    /// In the tables, in this version.
    pub fn is_known(&self) -> bool {
        self.api.is_some_and(|api| self.version <= api.newest)
    }
}

/// Reads the header of a request of `length` bytes without its size, of which `bytes` are the first.
pub(super) fn read(bytes: &[u8], length: u64) -> Read<'_> {
    let mut wire = Wire::new(bytes, length);
    if length < FIXED {
        return Read::Foreign;
    }
    let Ok(key) = wire.number(2) else { return Read::More };
    let Ok(version) = wire.number(2) else {
        return if (0..=MAX_KEY).contains(&key) { Read::More } else { Read::Foreign };
    };
    let (key, version) = (key as i16, version as i16);
    let api = api::api(key);
    let newest = api.map_or(MAX_VERSION, |api| api.newest.saturating_add(NEWER));
    if !(0..=MAX_KEY).contains(&key.into()) || !(0..=newest).contains(&version) {
        return Read::Foreign;
    }
    let Ok(correlation) = wire.number(4) else { return Read::More };
    let mut client: &[u8] = &[];
    if (key, version) != (api::CONTROLLED_SHUTDOWN, 0) {
        let Ok(size) = wire.number(2) else {
            return if length >= FIXED + 2 { Read::More } else { Read::Foreign };
        };
        let left = length - FIXED - 2;
        match usize::try_from(size) {
            Ok(size) if size as u64 <= left && size <= MAX_CLIENT => match wire.take(size as u64) {
                Ok(id) if is_printable(id) => client = id,
                Ok(_) => return Read::Foreign,
                Err(_) => {
                    let here = &bytes[FIXED as usize + 2..];
                    return if is_printable(cut_character(here)) { Read::More } else { Read::Foreign };
                }
            },
            Err(_) if size == -1 => {}
            _ => return Read::Foreign,
        }
    }
    let header = Header { key, api, version, correlation: correlation as i32, client, body: wire };
    Read::Header(header)
}

/// The highest key of a request on a connection that is known to be Kafka's: vendors have keys from 10,000.
const MAX_KEY: i64 = 20_000;
/// The highest version of an API that is not known.
const MAX_VERSION: i16 = 64;
/// How much newer than the tables a version may be.
const NEWER: i16 = 8;

fn is_printable(client: &[u8]) -> bool {
    std::str::from_utf8(client).is_ok_and(|client| !client.chars().any(char::is_control))
}

/// Without the beginning of a character of UTF-8 at the end.
fn cut_character(text: &[u8]) -> &[u8] {
    match std::str::from_utf8(text) {
        Err(error) if error.error_len().is_none() => &text[..error.valid_up_to()],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request's header of each kind, cut everywhere.
    #[test]
    fn headers() {
        let metadata = b"\x00\x03\x00\x09\x00\x00\x00\x07\x00\x02me\x00\x01";
        for cut in 0..12 {
            assert!(matches!(read(&metadata[..cut], 14), Read::More), "{cut}");
        }
        let Read::Header(header) = read(metadata, 14) else { panic!() };
        assert_eq!((header.key, header.version, header.correlation, header.client), (3, 9, 7, &b"me"[..]));
        assert!(header.is_flexible() && header.is_known());
        let Read::Header(header) = read(b"\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff", 10) else { panic!() };
        assert!(header.client.is_empty() && !header.is_flexible());
        let Read::Header(header) = read(b"\x00\x07\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01", 12) else {
            panic!()
        };
        assert_eq!(header.correlation, 1);
    }

    /// What no request begins with.
    #[test]
    fn foreign() {
        for (bytes, length) in [
            (&b"\xff\xff\x00\x00"[..], 20),
            (b"\x7f\x00\x00", 20),
            (b"\x00\x00\x00\x40\x00\x00", 20),
            (b"\x00\x03\x00\x09\x00\x00\x00\x07\x00\x05me\x00\x01\x02", 14),
            (b"\x00\x03\x00\x09\x00\x00\x00\x07\x00\x02\x01\x02\x00", 14),
            (b"\x00\x03", 4),
        ] {
            assert!(matches!(read(bytes, length), Read::Foreign), "{bytes:?}");
        }
    }
}
