//! Recognising HTTP/1 by its first bytes.

use super::head::request_line;
use crate::protocol::http::{METHODS, is_token};
use crate::protocol::{Inference, Stream};

/// What a prefix says about one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Not HTTP/1.
    No,
    /// A longer prefix might be.
    Maybe,
    /// HTTP/1.
    Yes,
}

/// Longest method that is recognised in a connection whose protocol is not known yet.
const MAX_METHOD: usize = 24;
/// With a standard method, so many bytes of an unfinished request line are enough.
const ENOUGH: usize = 64;
/// A request line that is still not finished after so many bytes is none.
const TOO_LONG: usize = 4096;

/// Does a stream that begins with `prefix` carry HTTP/1, and in which direction?
pub(super) fn infer(prefix: &[u8]) -> Inference {
    match (request(prefix), response(prefix)) {
        (Match::Yes, _) => Inference::Yes(Stream::ToServer),
        (_, Match::Yes) => Inference::Yes(Stream::ToClient),
        (Match::Maybe, _) | (_, Match::Maybe) => Inference::Maybe,
        (Match::No, Match::No) => Inference::No,
    }
}

/// A status line (RFC 9112, 4) of HTTP/1.0 or 1.1.
pub(super) fn response(prefix: &[u8]) -> Match {
    const BEFORE_MINOR: &[u8] = b"HTTP/1.";
    let fits = prefix.iter().take(13).enumerate().all(|(index, &byte)| match index {
        0..=6 => byte == BEFORE_MINOR[index],
        7 => matches!(byte, b'0' | b'1'),
        8 => byte == b' ',
        9 => matches!(byte, b'1'..=b'9'),
        10 | 11 => byte.is_ascii_digit(),
        _ => matches!(byte, b' ' | b'\r' | b'\n'),
    });
    match (fits, prefix.len() >= 12) {
        (false, _) => Match::No,
        (true, false) => Match::Maybe,
        (true, true) => Match::Yes,
    }
}

/// A request line (RFC 9112, 3): a token, a target that could be one, ` HTTP/1.0` or ` HTTP/1.1`.
pub(super) fn request(prefix: &[u8]) -> Match {
    // RFC 9112, 2.2: empty lines before it are to be ignored.
    let blank = prefix.iter().take(4).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = &prefix[blank..];
    let length = line.iter().take(MAX_METHOD + 1).take_while(|&&byte| is_token(byte)).count();
    let Some(&delimiter) = line.get(length) else {
        return if length <= MAX_METHOD { Match::Maybe } else { Match::No };
    };
    let method = &line[..length];
    // `PRI` is the preface of HTTP/2 (RFC 9113, 3.4).
    if length == 0 || length > MAX_METHOD || delimiter != b' ' || method == b"PRI" {
        return Match::No;
    }
    let rest = &line[length + 1..];
    let end = rest.iter().position(|&byte| byte <= b' ' || byte == 0x7f);
    let target = &rest[..end.unwrap_or(rest.len())];
    match (target_fits(method, target, end.is_some()), end) {
        (false, _) => Match::No,
        (true, Some(end)) => version(&rest[end..]),
        (true, None) if prefix.len() > TOO_LONG => Match::No,
        (true, None) if prefix.len() >= ENOUGH && is_standard(method) => Match::Yes,
        (true, None) => Match::Maybe,
    }
}

/// Is this one of [`METHODS`]?
pub(super) fn is_standard(method: &[u8]) -> bool {
    METHODS.iter().any(|known| known.as_bytes() == method)
}

/// The method of a prefix that [`request`] took.
pub(super) fn method(prefix: &[u8]) -> &[u8] {
    let start = prefix.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let length = prefix[start..].iter().take_while(|&&byte| is_token(byte)).count();
    &prefix[start..start + length]
}

/// Could this, on a stream of which it is known that requests follow each other, begin a request's head?
/// Laxer than [`request`]: servers see many odd targets.
pub(super) fn begins_request(bytes: &[u8]) -> bool {
    if let Some(end) = memchr::memchr(b'\n', bytes) {
        return request_line(&bytes[..end], true).is_some();
    }
    let length = bytes.iter().take_while(|&&byte| is_token(byte)).count();
    match bytes.get(length) {
        None => length <= crate::protocol::http::MAX_METHOD,
        Some(b' ') => length > 0 && length <= crate::protocol::http::MAX_METHOD,
        Some(_) => false,
    }
}

/// Could this begin a response's head?
pub(super) fn begins_response(bytes: &[u8]) -> bool {
    response(bytes) != Match::No
}

/// RFC 9112, 3.2: origin-form, absolute-form, authority-form (`CONNECT`), asterisk-form.
fn target_fits(method: &[u8], target: &[u8], whole: bool) -> bool {
    if method == b"CONNECT" {
        return target.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%')
        }) && (!whole || memchr::memchr(b':', target).is_some());
    }
    match target.first() {
        None => !whole,
        Some(b'/') => true,
        Some(b'*') => target.len() == 1,
        Some(_) => [&b"http://"[..], b"https://"].iter().any(|scheme| {
            let length = scheme.len().min(target.len());
            (!whole || target.len() > scheme.len())
                && scheme[..length].eq_ignore_ascii_case(&target[..length])
        }),
    }
}

/// What follows the target.
fn version(bytes: &[u8]) -> Match {
    let fits = bytes.iter().take(10).enumerate().all(|(index, &byte)| match index {
        0..=7 => byte == b" HTTP/1."[index],
        8 => matches!(byte, b'0' | b'1'),
        _ => matches!(byte, b'\r' | b'\n'),
    });
    match (fits, bytes.len() >= 8) {
        (false, _) => Match::No,
        (true, false) => Match::Maybe,
        (true, true) => Match::Yes,
    }
}
