//! Which functions Remora can probe, as data. A probe more is a line here.

use std::fmt;

/// What a function or a structure belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Library {
    /// OpenSSL and what has its names: LibreSSL, BoringSSL.
    OpenSsl,
    /// GnuTLS.
    GnuTls,
    /// Go's runtime.
    GoRuntime,
    /// Go's `net` and `internal/poll`.
    GoNet,
    /// Go's `crypto/tls`.
    GoTls,
    /// Go's `net/http`: HTTP/1.
    GoHttp,
    /// Go's `net/http`: HTTP/2.
    GoHttp2,
    /// The module `golang.org/x/net/http2`.
    XNetHttp2,
    /// The module `google.golang.org/grpc`.
    Grpc,
}

impl Library {
    /// Part of Go programs: its functions stand in the table of Go's runtime.
    pub const fn is_go(self) -> bool {
        !matches!(self, Library::OpenSsl | Library::GnuTls)
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Library::OpenSsl => "OpenSSL",
            Library::GnuTls => "GnuTLS",
            Library::GoRuntime => "Go runtime",
            Library::GoNet => "Go net",
            Library::GoTls => "Go crypto/tls",
            Library::GoHttp => "Go net/http",
            Library::GoHttp2 => "Go net/http (HTTP/2)",
            Library::XNetHttp2 => "golang.org/x/net/http2",
            Library::Grpc => "google.golang.org/grpc",
        })
    }
}

/// Where in a function a probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Places {
    /// Its first instruction.
    Entry,
    /// Its first instruction, and where it returns: for C by a return probe, which the kernel puts at the
    /// caller's; for Go at each RET, because its stacks move and a return probe would break them.
    EntryAndReturns,
}

/// A function that can be probed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// What it belongs to.
    pub library: Library,
    /// Its name as the linker has it.
    pub function: &'static str,
    /// Where in it.
    pub places: Places,
}

/// Every function that can be probed.
pub static PROBES: [Probe; 35] = [
    both(Library::OpenSsl, "SSL_read"),
    both(Library::OpenSsl, "SSL_read_ex"),
    both(Library::OpenSsl, "SSL_write"),
    both(Library::OpenSsl, "SSL_write_ex"),
    both(Library::OpenSsl, "SSL_sendfile"),
    entry(Library::OpenSsl, "SSL_shutdown"),
    entry(Library::OpenSsl, "SSL_free"),
    both(Library::GnuTls, "gnutls_record_recv"),
    both(Library::GnuTls, "gnutls_record_recv_seq"),
    both(Library::GnuTls, "gnutls_record_send"),
    both(Library::GnuTls, "gnutls_record_send2"),
    entry(Library::GnuTls, "gnutls_bye"),
    entry(Library::GnuTls, "gnutls_deinit"),
    both(Library::GoTls, "crypto/tls.(*Conn).Read"),
    both(Library::GoTls, "crypto/tls.(*Conn).Write"),
    entry(Library::GoTls, "crypto/tls.(*Conn).Close"),
    // The goroutine that asks, and the pooled connection that is given to it.
    both(Library::GoHttp, "net/http.(*Transport).roundTrip"),
    entry(Library::GoHttp, "net/http.(*persistConn).roundTrip"),
    // The goroutine that asks, and the number of its stream; the goroutine that handles a stream.
    both(Library::GoHttp2, "net/http.(*http2ClientConn).RoundTrip"),
    both(Library::GoHttp2, "net/http.(*http2ClientConn).roundTrip"),
    entry(Library::GoHttp2, "net/http.(*http2ClientConn).writeHeaders"),
    entry(Library::GoHttp2, "net/http.(*http2serverConn).runHandler"),
    both(Library::GoHttp2, "net/http/internal/http2.(*ClientConn).roundTrip"),
    entry(Library::GoHttp2, "net/http/internal/http2.(*ClientConn).writeHeaders"),
    entry(Library::GoHttp2, "net/http/internal/http2.(*serverConn).runHandler"),
    both(Library::XNetHttp2, "golang.org/x/net/http2.(*ClientConn).RoundTrip"),
    both(Library::XNetHttp2, "golang.org/x/net/http2.(*ClientConn).roundTrip"),
    entry(Library::XNetHttp2, "golang.org/x/net/http2.(*ClientConn).writeHeaders"),
    entry(Library::XNetHttp2, "golang.org/x/net/http2.(*serverConn).runHandler"),
    both(Library::Grpc, "google.golang.org/grpc.(*ClientConn).Invoke"),
    both(Library::Grpc, "google.golang.org/grpc/internal/transport.(*http2Client).NewStream"),
    entry(Library::Grpc, "google.golang.org/grpc/internal/transport.(*http2Client).Close"),
    entry(Library::Grpc, "google.golang.org/grpc/internal/transport.(*http2Server).operateHeaders"),
    both(Library::Grpc, "google.golang.org/grpc.(*Server).handleStream"),
    both(Library::Grpc, "google.golang.org/grpc.(*Server).processUnaryRPC"),
];

const fn entry(library: Library, function: &'static str) -> Probe {
    Probe { library, function, places: Places::Entry }
}

const fn both(library: Library, function: &'static str) -> Probe {
    Probe { library, function, places: Places::EntryAndReturns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_there_once() {
        let mut names: Vec<_> = PROBES.iter().map(|p| p.function).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROBES.len());
    }
}
