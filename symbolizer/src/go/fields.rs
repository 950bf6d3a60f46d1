//! The fields of Go structures that Remora may have to read in a process, as data.

use std::fmt;

use crate::probes::Library;

/// A field of a Go structure.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The structure as DWARF names it: import path, dot, name.
    pub structure: &'static str,
    /// The field's name.
    pub member: &'static str,
    /// What it belongs to: it is of no interest in a binary without that.
    pub library: Library,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.structure, self.member)
    }
}

impl Field {
    /// Whether it changes with Go's version, so that the generated table can know it. The others change with the
    /// version of a module.
    pub const fn is_of_go(&self) -> bool {
        !matches!(self.library, Library::XNetHttp2 | Library::Grpc)
    }
}

/// How many fields there are.
pub const COUNT: usize = FIELDS.len();

/// Every field, grouped by structure.
pub static FIELDS: [Field; 37] = [
    // Which goroutine runs (r14 on x86-64 and x28 on AArch64 point to its g), and whether g is what it seems.
    field(Library::GoRuntime, "runtime.g", "goid"),
    field(Library::GoRuntime, "runtime.g", "parentGoid"),
    field(Library::GoRuntime, "runtime.g", "stack"),
    field(Library::GoRuntime, "runtime.stack", "lo"),
    field(Library::GoRuntime, "runtime.stack", "hi"),
    // From a *tls.Conn or another net.Conn to the descriptor: conn.data → *net.TCPConn → netFD → FD.
    field(Library::GoTls, "crypto/tls.Conn", "conn"),
    field(Library::GoNet, "net.conn", "fd"),
    field(Library::GoNet, "net.netFD", "pfd"),
    field(Library::GoNet, "internal/poll.FD", "Sysfd"),
    // Which pooled connection a request goes over.
    field(Library::GoHttp, "net/http.persistConn", "conn"),
    // HTTP/2 as net/http has it, up to Go 1.26 …
    field(Library::GoHttp2, "net/http.http2ClientConn", "tconn"),
    field(Library::GoHttp2, "net/http.http2ClientConn", "nextStreamID"),
    field(Library::GoHttp2, "net/http.http2clientStream", "cc"),
    field(Library::GoHttp2, "net/http.http2clientStream", "ID"),
    field(Library::GoHttp2, "net/http.http2serverConn", "conn"),
    field(Library::GoHttp2, "net/http.http2stream", "id"),
    field(Library::GoHttp2, "net/http.http2responseWriter", "rws"),
    field(Library::GoHttp2, "net/http.http2responseWriterState", "stream"),
    // … and where it lives since Go 1.27.
    field(Library::GoHttp2, "net/http/internal/http2.ClientConn", "tconn"),
    field(Library::GoHttp2, "net/http/internal/http2.ClientConn", "nextStreamID"),
    field(Library::GoHttp2, "net/http/internal/http2.clientStream", "cc"),
    field(Library::GoHttp2, "net/http/internal/http2.clientStream", "ID"),
    field(Library::GoHttp2, "net/http/internal/http2.serverConn", "conn"),
    field(Library::GoHttp2, "net/http/internal/http2.stream", "id"),
    field(Library::GoHttp2, "net/http/internal/http2.responseWriter", "rws"),
    field(Library::GoHttp2, "net/http/internal/http2.responseWriterState", "stream"),
    // HTTP/2 as a module.
    field(Library::XNetHttp2, "golang.org/x/net/http2.ClientConn", "tconn"),
    field(Library::XNetHttp2, "golang.org/x/net/http2.ClientConn", "nextStreamID"),
    field(Library::XNetHttp2, "golang.org/x/net/http2.serverConn", "conn"),
    field(Library::XNetHttp2, "golang.org/x/net/http2.stream", "id"),
    field(Library::XNetHttp2, "golang.org/x/net/http2.responseWriter", "rws"),
    field(Library::XNetHttp2, "golang.org/x/net/http2.responseWriterState", "stream"),
    field(Library::Grpc, "google.golang.org/grpc/internal/transport.http2Client", "conn"),
    field(Library::Grpc, "google.golang.org/grpc/internal/transport.http2Client", "nextID"),
    field(Library::Grpc, "google.golang.org/grpc/internal/transport.http2Server", "conn"),
    field(Library::Grpc, "google.golang.org/grpc/internal/transport.Stream", "id"),
    field(Library::Grpc, "google.golang.org/grpc/internal/transport.ServerStream", "Stream"),
];

const fn field(library: Library, structure: &'static str, member: &'static str) -> Field {
    Field { structure, member, library }
}

/// The index in [`FIELDS`] of a field.
pub fn index(structure: &str, member: &str) -> Option<usize> {
    FIELDS.iter().position(|f| f.structure == structure && f.member == member)
}

/// Offsets of fields, bytes from the start of their structure, by the index in [`FIELDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layout([Option<u32>; COUNT]);

impl Default for Layout {
    fn default() -> Self {
        Layout([None; COUNT])
    }
}

impl Layout {
    /// The offset of a field; `None` if it is not known, or no such field exists.
    pub fn get(&self, index: usize) -> Option<u32> {
        self.0.get(index).copied().flatten()
    }

    /// The offset of a field by its names.
    pub fn of(&self, structure: &str, member: &str) -> Option<u32> {
        self.get(index(structure, member)?)
    }

    pub(crate) fn set(&mut self, index: usize, offset: Option<u32>) {
        if let Some(place) = self.0.get_mut(index) {
            *place = offset;
        }
    }

    /// Every field that is known, with its index and offset.
    pub fn known(&self) -> impl Iterator<Item = (usize, u32)> {
        self.0.iter().enumerate().filter_map(|(index, offset)| Some((index, (*offset)?)))
    }

    /// Only the fields that change with Go's version.
    #[must_use]
    pub fn of_go(mut self) -> Self {
        for (place, field) in self.0.iter_mut().zip(&FIELDS) {
            *place = place.filter(|_| field.is_of_go());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_grouped_by_structure_and_named_once() {
        let mut structures: Vec<_> = FIELDS.iter().map(|f| f.structure).collect();
        structures.dedup();
        let runs = structures.len();
        structures.sort_unstable();
        structures.dedup();
        assert_eq!(structures.len(), runs, "each structure's fields stand together");
        for (at, field) in FIELDS.iter().enumerate() {
            assert_eq!(index(field.structure, field.member), Some(at), "{field}");
        }
    }
}
