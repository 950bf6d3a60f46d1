//! Heads: start line and field lines (RFC 9112, 2 to 5), whole or cut off.
//!
//! A head whose end was not captured still gives what was seen of it, so this reads line by line and takes
//! only the fields that someone needs; a field line that is cut off counts as not seen. Lone LF line ends and
//! obs-fold are tolerated, because real senders use them.

use memchr::{memchr, memchr_iter, memrchr};

use super::body::Framing;
use crate::protocol::http::{self, Fields, MAX_METHOD, Name, Version, is, is_token};

/// A head longer than this is given up.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// A request's head.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    /// A token, perhaps unknown.
    pub method: &'a [u8],
    /// As it was sent.
    pub target: &'a [u8],
    /// The target's end was not seen.
    pub target_cut: bool,
    /// HTTP/1.x, if it was seen.
    pub minor: Option<u8>,
    /// How long the body is.
    pub framing: Framing,
    /// `Expect: 100-continue`
    pub expects_continue: bool,
    /// What is kept of the others.
    pub fields: Fields<'a>,
    /// `Upgrade`
    pub upgrade: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// What an exchange keeps of it.
    pub fn kept(&self) -> http::Request<'a> {
        http::Request {
            method: self.method,
            target: self.target,
            target_cut: self.target_cut,
            scheme: None,
            version: self.minor.map(version),
            fields: self.fields,
        }
    }
}

/// HTTP/1.x
pub(super) fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// A response's head.
#[derive(Debug, Default)]
pub(super) struct Response<'a> {
    /// Three digits.
    pub status: u16,
    /// HTTP/1.x
    pub minor: u8,
    /// How long the body is, if status and method allow for one.
    pub framing: Framing,
    /// `Upgrade`
    pub upgrade: Option<&'a [u8]>,
    /// What is kept of the others.
    pub fields: Fields<'a>,
}

/// Where the head in `bytes` ends (behind its empty line), looking from `from` on. What lies before `from`
/// has been searched already.
pub(super) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    // The line feed before an empty line may be among the bytes that were searched.
    let from = from.saturating_sub(2);
    for feed in memchr_iter(b'\n', &bytes[from..]) {
        match &bytes[from + feed + 1..] {
            [b'\n', ..] => return Some(from + feed + 2),
            [b'\r', b'\n', ..] => return Some(from + feed + 3),
            _ => {}
        }
    }
    None
}

/// Reads a request's head; `whole` says that it ends with its empty line. `None` if it is not one, or if not
/// even method and target were seen.
pub(super) fn request(bytes: &[u8], whole: bool) -> Option<Request<'_>> {
    let (line, fields) = start_line(bytes);
    let mut head = request_line(line, whole || fields.is_some())?;
    for (name, value) in Lines(fields.unwrap_or_default()) {
        if head.framing.take(name, value) {
            continue;
        }
        if let Some(known) = Name::of(name) {
            head.fields.take(known, value);
        } else if is(name, b"expect") {
            head.expects_continue |= is(value, b"100-continue");
        } else if is(name, b"upgrade") {
            head.upgrade.get_or_insert(value);
        }
    }
    Some(head)
}

/// Reads a response's head, whole or cut off. `None` if it is not one, or if its status was not seen.
pub(super) fn response(bytes: &[u8]) -> Option<Response<'_>> {
    let (line, fields) = start_line(bytes);
    let line = line.strip_prefix(b"HTTP/1.")?;
    let &[minor @ b'0'..=b'9', b' ', ref rest @ ..] = line else { return None };
    let rest = rest.trim_ascii_start();
    let &[a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ref rest @ ..] = rest else { return None };
    if !matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r')) {
        return None;
    }
    let [a, b, c] = [a, b, c].map(|digit| u16::from(digit - b'0'));
    let mut head = Response { status: a * 100 + b * 10 + c, minor: minor - b'0', ..Response::default() };
    for (name, value) in Lines(fields.unwrap_or_default()) {
        if head.framing.take(name, value) {
            continue;
        }
        if let Some(known) = Name::of(name) {
            head.fields.take(known, value);
        } else if is(name, b"upgrade") {
            head.upgrade.get_or_insert(value);
        }
    }
    Some(head)
}

/// Reads a request line (RFC 9112, 3). Without its end (`whole` is false) the version may be missing, and the
/// target be cut off. Spaces in the target are wrong but happen; they are kept.
pub(super) fn request_line(line: &[u8], whole: bool) -> Option<Request<'_>> {
    let space = memchr(b' ', line)?;
    let method = &line[..space];
    if method.is_empty() || method.len() > MAX_METHOD || !method.iter().all(|&byte| is_token(byte)) {
        return None;
    }
    let rest = line[space..].strip_suffix(b"\r").unwrap_or(&line[space..]).trim_ascii_start();
    let rest = if whole { rest.trim_ascii_end() } else { rest };
    let head = Request { method, ..Request::default() };
    let (target, version) = match memrchr(b' ', rest) {
        Some(space) => (rest[..space].trim_ascii_end(), &rest[space + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] if !target.is_empty() => {
            Some(Request { target, minor: Some(minor - b'0'), ..head })
        }
        _ if whole || rest.is_empty() => None,
        // ` HTT`: the target is over, the version is not.
        _ if target.len() < rest.len() && b"HTTP/1.".starts_with(version) => Some(Request { target, ..head }),
        _ => Some(Request { target: rest, target_cut: true, ..head }),
    }
}

/// The start line, and what follows it if its end was seen.
fn start_line(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'\n', bytes) {
        Some(feed) => (&bytes[..feed], Some(&bytes[feed + 1..])),
        None => (bytes, None),
    }
}

/// Field lines (RFC 9112, 5) as name and value; folded ones in one piece, with the line ends inside the
/// value.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut end = memchr(b'\n', self.0)?;
            if self.0[..end].trim_ascii().is_empty() {
                return None;
            }
            // RFC 9112, 5.2: a line that begins with white space continues the one before.
            while let Some(b' ' | b'\t') = self.0.get(end + 1) {
                end += 1 + memchr(b'\n', &self.0[end + 1..])?;
            }
            let line = &self.0[..end];
            self.0 = &self.0[end + 1..];
            if let Some(colon) = memchr(b':', line)
                && colon > 0
            {
                return Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()));
            }
        }
    }
}
