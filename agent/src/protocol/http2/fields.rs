//! Field names that someone needs, and the fields of one header block.

use std::ops::Range;

use crate::protocol::http::{self, Fields, MAX_METHOD, Version};

/// Bytes of values that are gathered of one block.
const MOST_BYTES: usize = 8 * 1024;
/// Field lines that are gathered of one block.
const MOST_LINES: usize = 32;

/// A field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
    GrpcStatus,
    GrpcMessage,
    GrpcTimeout,
    /// One that all versions of HTTP have.
    Common(http::Name),
    /// One that nobody needs.
    Other,
    /// It was said before we came.
    Unknown,
}

impl Name {
    /// Which it is; names are in lower case (RFC 9113, 8.2).
    pub fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":status" => Self::Status,
            b"grpc-status" => Self::GrpcStatus,
            b"grpc-message" => Self::GrpcMessage,
            b"grpc-timeout" => Self::GrpcTimeout,
            _ => http::Name::of(name).map_or(Self::Other, Self::Common),
        }
    }

    /// Bytes of its value that are kept in a table: no credential is.
    pub fn kept(self) -> usize {
        if self == Self::Common(http::Name::Authorization) { 0 } else { self.limit() }
    }

    /// Bytes of its value that are looked at.
    pub fn limit(self) -> usize {
        match self {
            Self::Other | Self::Unknown => 0,
            Self::Method => MAX_METHOD,
            Self::Status | Self::Scheme => 8,
            Self::GrpcStatus | Self::GrpcTimeout => 16,
            Self::Path => 2049,
            Self::Common(http::Name::ContentType) => 64,
            Self::Authority | Self::GrpcMessage | Self::Common(_) => 512,
        }
    }

    /// A request's pseudo-header field (RFC 9113, 8.3.1).
    pub fn is_of_requests(self) -> bool {
        matches!(self, Self::Method | Self::Scheme | Self::Authority | Self::Path)
    }
}

/// The fields of a block that someone needs. Used again for the next one, so that it allocates nothing.
#[derive(Debug, Default)]
pub struct Gathered {
    bytes: Vec<u8>,
    lines: Vec<(Name, Range<usize>)>,
    /// The name of the first line.
    pub first: Option<Name>,
    /// Lines that could not be read.
    pub unknown: u32,
}

impl Gathered {
    /// Forgets the last block.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.first = None;
        self.unknown = 0;
    }

    /// Takes a field line.
    pub fn push(&mut self, name: Name, value: &[u8]) {
        self.first.get_or_insert(name);
        match name {
            Name::Unknown => self.unknown += 1,
            Name::Other => {}
            _ => {
                let value = &value[..value.len().min(name.limit())];
                if self.lines.len() < MOST_LINES && self.bytes.len() + value.len() <= MOST_BYTES {
                    let start = self.bytes.len();
                    self.bytes.extend_from_slice(value);
                    self.lines.push((name, start..self.bytes.len()));
                }
            }
        }
    }

    /// The first value of a field.
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        self.lines.iter().find(|(line, _)| *line == name).map(|(_, range)| &self.bytes[range.clone()])
    }

    /// `:status`
    pub fn status(&self) -> Option<u16> {
        match *self.get(Name::Status)? {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                let [a, b, c] = [a, b, c].map(|digit| u16::from(digit - b'0'));
                Some(a * 100 + b * 10 + c)
            }
            _ => None,
        }
    }

    /// The block is a response's trailers: it does not begin with a status (RFC 9113, 8.1).
    pub fn is_trailers(&self) -> bool {
        !matches!(self.first, None | Some(Name::Status | Name::Unknown))
    }

    /// The block is a request's head, as far as can be told: it begins with a pseudo-header field (RFC 9113, 8.3).
    pub fn is_request(&self) -> bool {
        self.first.is_some_and(|first| first.is_of_requests() || first == Name::Unknown)
    }

    /// Those that all versions have.
    pub fn fields(&self) -> Fields<'_> {
        let mut fields = Fields::default();
        for (name, range) in &self.lines {
            if let Name::Common(name) = name {
                fields.take(*name, &self.bytes[range.clone()]);
            }
        }
        fields
    }

    /// What an exchange keeps of a request.
    pub fn request(&self) -> http::Request<'_> {
        let mut fields = self.fields();
        // RFC 9113, 8.3.1: it goes before `host`.
        fields.host = self.get(Name::Authority).or(fields.host);
        let target = self.get(Name::Path).unwrap_or_default();
        http::Request {
            method: self.get(Name::Method).unwrap_or_default(),
            target,
            target_cut: target.len() >= Name::Path.limit(),
            scheme: self.get(Name::Scheme),
            version: Some(Version::Http2),
            fields,
        }
    }
}
