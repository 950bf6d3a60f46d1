//! TLS libraries: shared ones by name, those inside a binary by what they leave in it.

use std::{fmt, path::Path};

use memchr::memmem;

use crate::{
    Error,
    elf::Image,
    functions::names::Names,
    go::pclntab,
    maps::Mapping,
    runtime::windows,
    source::{Data, Source},
};

/// A TLS library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsLibrary {
    /// OpenSSL, or LibreSSL, which has the same names.
    OpenSsl,
    /// BoringSSL.
    BoringSsl,
    /// GnuTLS.
    GnuTls,
    /// Mozilla's NSS.
    Nss,
    /// wolfSSL.
    WolfSsl,
    /// Mbed TLS.
    MbedTls,
    /// AWS's s2n-tls.
    S2n,
    /// Go's `crypto/tls`.
    Go,
    /// rustls.
    Rustls,
}

impl fmt::Display for TlsLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsLibrary::OpenSsl => "OpenSSL",
            TlsLibrary::BoringSsl => "BoringSSL",
            TlsLibrary::GnuTls => "GnuTLS",
            TlsLibrary::Nss => "NSS",
            TlsLibrary::WolfSsl => "wolfSSL",
            TlsLibrary::MbedTls => "Mbed TLS",
            TlsLibrary::S2n => "s2n-tls",
            TlsLibrary::Go => "crypto/tls",
            TlsLibrary::Rustls => "rustls",
        })
    }
}

/// A TLS library that a binary uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsUse {
    /// Which.
    pub library: TlsLibrary,
    /// Its version, where it tells it.
    pub version: Option<String>,
    /// The name of the shared library; `None` if it is inside the binary.
    pub shared: Option<String>,
}

impl TlsUse {
    pub(crate) fn shared(name: &str) -> Option<Self> {
        Some(TlsUse { library: of_file_name(name)?, version: None, shared: Some(name.to_owned()) })
    }

    pub(crate) fn inside(library: TlsLibrary) -> Self {
        TlsUse { library, version: None, shared: None }
    }
}

/// The TLS library that a shared library of this name is, or has inside.
///
/// Knows the names that Linux distributions use, those that Python wheels give their copies
/// (`libssl-0331cfc6.so.1.1`), and the extensions known to carry BoringSSL.
pub fn of_file_name(name: &str) -> Option<TlsLibrary> {
    let (stem, rest) = name.split_once(".so")?;
    if !(rest.is_empty() || rest.starts_with('.')) {
        return None;
    }
    // A copy in a wheel: auditwheel writes a hash behind the name.
    let plain = match stem.split_once('-') {
        Some((plain, hash)) if hash.len() >= 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => plain,
        _ => stem,
    };
    Some(match plain {
        // NSS's has the 3 in its name, OpenSSL 3's is libssl.so.3.
        "libssl3" | "libnss3" => TlsLibrary::Nss,
        "libssl" => TlsLibrary::OpenSsl,
        "libgnutls" => TlsLibrary::GnuTls,
        "libwolfssl" => TlsLibrary::WolfSsl,
        "libmbedtls" => TlsLibrary::MbedTls,
        "libs2n" => TlsLibrary::S2n,
        "libboringssl" => TlsLibrary::BoringSsl,
        _ if plain.starts_with("libnetty_tcnative")
            || plain.starts_with("libconscrypt")
            || plain == "cygrpc"
            || plain.starts_with("cygrpc.cpython") =>
        {
            TlsLibrary::BoringSsl
        }
        _ => return None,
    })
}

/// A TLS library that a running process has mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedTls {
    /// Which.
    pub library: TlsLibrary,
    /// The mapping of its code, or of its first part.
    pub mapping: Mapping,
}

/// The TLS libraries that a process has mapped, each file once.
///
/// A library that was replaced on disk while the process runs is there too, with
/// [`Mapping::deleted`] set.
pub fn mapped(mappings: &[Mapping]) -> Vec<MappedTls> {
    let mut found: Vec<MappedTls> = Vec::new();
    for mapping in mappings {
        let Some(library) = mapping.file_name().and_then(of_file_name) else { continue };
        let same =
            |m: &Mapping| (m.device, m.inode, &m.path) == (mapping.device, mapping.inode, &mapping.path);
        match found.iter_mut().find(|f| same(&f.mapping)) {
            Some(known) if mapping.executable && !known.mapping.executable => known.mapping = mapping.clone(),
            Some(_) => {}
            None => found.push(MappedTls { library, mapping: mapping.clone() }),
        }
    }
    found
}

/// How much of a binary's constants is read, bytes. Node's, with V8's snapshot and Unicode's tables, have 47 MiB, those
/// of its OpenSSL among the first 8.
const MAX_SCAN: u64 = 16 << 20;

/// Searches a binary for TLS libraries that were linked into it statically.
///
/// OpenSSL and BoringSSL leave the names of their source files among the constants, rustls those of its own, Go the
/// names of its functions in its table of functions. Being inside does not mean being used: every Go program with
/// `net/http` has `crypto/tls`. Reads at most 16 MiB through a window of 1 MiB.
///
/// # Errors
/// The file cannot be read, or is not ELF.
pub fn scan(path: &Path) -> Result<Vec<TlsUse>, Error> {
    let source = Source::open(path)?;
    scan_source(&source)
}

/// The same for a file that is already in memory.
///
/// # Errors
/// The bytes are not ELF.
pub fn scan_bytes(bytes: &[u8]) -> Result<Vec<TlsUse>, Error> {
    scan_source(&Source::bytes(bytes))
}

fn scan_source(source: &Source<'_>) -> Result<Vec<TlsUse>, Error> {
    let data = source.data();
    let image = Image::parse(data)?;
    let mut uses = inside(&image, data);
    let is_go = || {
        let table = pclntab::locate(&image, data)?;
        let names = Names::new(&["crypto/tls.(*Conn).Read"]);
        Some(!pclntab::find(&table, &image, source, &names).is_empty())
    };
    if is_go() == Some(true) {
        uses.push(TlsUse::inside(TlsLibrary::Go));
    }
    Ok(uses)
}

/// What libraries that were linked in statically left among the constants.
pub(crate) fn inside(image: &Image, data: Data<'_>) -> Vec<TlsUse> {
    let mut evidence = Evidence::default();
    let finders = Finders::new();
    let mut left = MAX_SCAN;
    let mut look = |offset, size: u64| {
        let size = size.min(left);
        left -= size;
        windows(data.source(), offset, size, |bytes| {
            finders.look(bytes, &mut evidence);
            false
        });
    };
    match image.section(".rodata") {
        Some(constants) => look(constants.offset, constants.size),
        // Constants can stand in one segment with code.
        None => image.segments.iter().filter(|s| !s.writable).for_each(|s| look(s.offset, s.size)),
    }
    evidence.uses()
}

struct Finders {
    ssl_lib: memmem::Finder<'static>,
    openssl_text: memmem::Finder<'static>,
    rustls: memmem::Finder<'static>,
}

#[derive(Default)]
struct Evidence {
    openssl: bool,
    openssl_version: Option<String>,
    boringssl: bool,
    rustls: Option<String>,
}

impl Finders {
    fn new() -> Self {
        Finders {
            ssl_lib: memmem::Finder::new(b"/ssl_lib.c"),
            openssl_text: memmem::Finder::new(b"OpenSSL "),
            rustls: memmem::Finder::new(b"/rustls-"),
        }
    }

    fn look(&self, bytes: &[u8], evidence: &mut Evidence) {
        // __FILE__ in what ssl/ssl_lib.c (OpenSSL) or ssl/ssl_lib.cc (BoringSSL) report as errors.
        for at in self.ssl_lib.find_iter(bytes) {
            match bytes.get(at + 10..) {
                Some([0, ..]) => evidence.openssl = true,
                Some([b'c', 0, ..]) => evidence.boringssl = true,
                _ => {}
            }
        }
        if evidence.openssl_version.is_none() {
            evidence.openssl_version =
                self.openssl_text.find_iter(bytes).find_map(|at| openssl_version(&bytes[at + 8..]));
        }
        if evidence.rustls.is_none() {
            // …/rustls-0.23.40/src/…
            evidence.rustls = self.rustls.find_iter(bytes).find_map(|at| {
                let rest = &bytes[at + 8..];
                let end = rest.iter().take(24).position(|&b| b == b'/')?;
                rest[0].is_ascii_digit().then_some(())?;
                rest[end..].starts_with(b"/src/").then(|| String::from_utf8_lossy(&rest[..end]).into_owned())
            });
        }
    }
}

impl Evidence {
    fn uses(self) -> Vec<TlsUse> {
        let mut uses = Vec::new();
        if self.openssl {
            uses.push(TlsUse { version: self.openssl_version, ..TlsUse::inside(TlsLibrary::OpenSsl) });
        }
        if self.boringssl {
            uses.push(TlsUse::inside(TlsLibrary::BoringSsl));
        }
        if self.rustls.is_some() {
            uses.push(TlsUse { version: self.rustls, ..TlsUse::inside(TlsLibrary::Rustls) });
        }
        uses
    }
}

/// `3.0.15+quic 3 Sep 2024`: the version, if a date follows as `OPENSSL_VERSION_TEXT` has it.
fn openssl_version(text: &[u8]) -> Option<String> {
    let text = &text[..text.len().min(64)];
    let text = text.split(|&b| b == 0).next()?;
    let mut words = text.split(|&b| b == b' ').filter(|w| !w.is_empty());
    let (version, day, _month, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let digits = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let plausible = version.first()?.is_ascii_digit()
        && version.iter().filter(|&&b| b == b'.').count() >= 2
        && version.iter().all(u8::is_ascii_graphic);
    (plausible && digits(day) && day.len() <= 2 && year.len() >= 4 && digits(&year[..4]))
        .then(|| String::from_utf8_lossy(version).into_owned())
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
