//! Name-value pairs (specification, 3.4), and which of them anybody needs.

use crate::protocol::http::{Fields, Name, Request};

/// Longest name or value that is read.
const MAX_LENGTH: usize = 16 * 1024;

/// A name and a value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// One pair, and what follows it; `None` if it is not whole.
fn pair(bytes: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let (name, rest) = length(bytes)?;
    let (value, rest) = length(rest)?;
    let (name, rest) = rest.split_at_checked(name)?;
    let (value, rest) = rest.split_at_checked(value)?;
    Some(((name, value), rest))
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [a, b, c, d, rest @ ..] => {
            let length = u32::from_be_bytes([a & 0x7f, *b, *c, *d]) as usize;
            (length <= MAX_LENGTH).then_some((length, rest))
        }
        _ => None,
    }
}

/// Reads pairs as far as they are whole; gives the number of bytes read.
pub(super) fn read<'a>(bytes: &'a [u8], mut take: impl FnMut(&'a [u8], &'a [u8])) -> usize {
    let mut rest = bytes;
    while let Some(((name, value), behind)) = pair(rest) {
        if !name.is_empty() {
            take(name, value);
        }
        if rest.len() == behind.len() {
            break;
        }
        rest = behind;
    }
    bytes.len() - rest.len()
}

/// The CGI variables of a request (RFC 3875, 4.1).
#[derive(Debug, Default)]
pub(super) struct Variables<'a> {
    method: &'a [u8],
    uri: &'a [u8],
    script: &'a [u8],
    path: &'a [u8],
    query: &'a [u8],
    scheme: &'a [u8],
    https: bool,
    server: &'a [u8],
    remote: &'a [u8],
    pub length: Option<u64>,
    pub script_file: &'a [u8],
    fields: Fields<'a>,
}

impl<'a> Variables<'a> {
    pub fn take(&mut self, name: &'a [u8], value: &'a [u8]) {
        match name {
            b"REQUEST_METHOD" => self.method = value,
            b"REQUEST_URI" => self.uri = value,
            b"SCRIPT_NAME" => self.script = value,
            b"PATH_INFO" => self.path = value,
            b"QUERY_STRING" => self.query = value,
            b"REQUEST_SCHEME" => self.scheme = value,
            b"HTTPS" => self.https = !value.is_empty() && value != b"off",
            b"SERVER_NAME" => self.server = value,
            b"REMOTE_ADDR" => self.remote = value,
            b"SCRIPT_FILENAME" => self.script_file = value,
            b"CONTENT_LENGTH" => {
                self.length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            }
            _ => {
                if let Some(field) = name.strip_prefix(b"HTTP_").and_then(field) {
                    self.fields.take(field, value);
                }
            }
        }
    }

    /// The HTTP request that they stand for; `target` is where it is put together if `REQUEST_URI` is not there.
    pub fn request(&self, target: &'a mut Vec<u8>, cut: bool) -> Request<'a> {
        let mut fields = self.fields;
        if fields.host.is_none() && !self.server.is_empty() {
            fields.host = Some(self.server);
        }
        if fields.forwarded.is_none() && fields.forwarded_for.is_none() && !self.remote.is_empty() {
            fields.forwarded_for = Some(self.remote);
        }
        let whole = if self.uri.is_empty() {
            for part in [self.script, self.path] {
                target.extend_from_slice(part);
            }
            if !self.query.is_empty() {
                target.push(b'?');
                target.extend_from_slice(self.query);
            }
            &target[..]
        } else {
            self.uri
        };
        let https = self.https || self.scheme.eq_ignore_ascii_case(b"https");
        Request {
            method: self.method,
            target: whole,
            target_cut: cut && self.uri.is_empty(),
            scheme: Some(if https { b"https" } else { b"http" }),
            version: None,
            fields,
        }
    }
}

/// The field that a variable `HTTP_…` holds (RFC 3875, 4.1.18).
fn field(name: &[u8]) -> Option<Name> {
    const LONGEST: usize = 32;
    let mut field = [0; LONGEST];
    let field = field.get_mut(..name.len())?;
    for (to, from) in field.iter_mut().zip(name) {
        *to = if *from == b'_' { b'-' } else { *from };
    }
    Name::of(field)
}
