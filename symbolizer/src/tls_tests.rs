use super::*;
use crate::{
    maps,
    testing::{Elf, Part},
};

#[test]
fn names_of_shared_libraries() {
    for (name, library) in [
        ("libssl.so.3", Some(TlsLibrary::OpenSsl)),
        ("libssl.so.1.1", Some(TlsLibrary::OpenSsl)),
        ("libssl.so", Some(TlsLibrary::OpenSsl)),
        ("libssl-0331cfc6.so.1.1", Some(TlsLibrary::OpenSsl)),
        ("libssl3.so", Some(TlsLibrary::Nss)),
        ("libnss3.so", Some(TlsLibrary::Nss)),
        ("libgnutls.so.30", Some(TlsLibrary::GnuTls)),
        ("libnetty_tcnative_linux_x86_643892473.so", Some(TlsLibrary::BoringSsl)),
        ("cygrpc.cpython-311-x86_64-linux-gnu.so", Some(TlsLibrary::BoringSsl)),
        ("libmbedtls.so.14", Some(TlsLibrary::MbedTls)),
        ("libnss_files.so.2", None),
        ("libssl-notes.txt", None),
        ("libssl.source", None),
        ("libcrypto.so.3", None),
        ("libsslcommon.so.2", None),
        ("", None),
    ] {
        assert_eq!(of_file_name(name), library, "{name}");
    }
}

#[test]
fn a_mapped_library_is_told_once_with_its_code_even_if_deleted() {
    let maps = maps::parse(
        b"7f0000000000-7f0000020000 r--p 00000000 fd:01 77 /usr/lib/libssl.so.3 (deleted)\n\
          7f0000020000-7f0000060000 r-xp 00020000 fd:01 77 /usr/lib/libssl.so.3 (deleted)\n\
          7f0000060000-7f0000080000 r--p 00060000 fd:01 77 /usr/lib/libssl.so.3 (deleted)\n\
          7f0000100000-7f0000120000 r-xp 00000000 fd:01 78 /usr/lib/libssl.so.3\n\
          7f0000200000-7f0000220000 r-xp 00000000 fd:01 79 /usr/lib/libc.so.6\n",
    );
    let found = mapped(&maps);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(
        (found[0].mapping.inode, found[0].mapping.deleted, found[0].mapping.offset),
        (77, true, 0x20000)
    );
    assert_eq!((found[1].mapping.inode, found[1].mapping.deleted), (78, false));
}

fn scanned(constants: &[u8]) -> Vec<TlsUse> {
    let elf = Elf::new(true, true).with(Part::new(".rodata", constants).at(0x40_0000, object::elf::PF_R));
    scan_bytes(&elf.build()).unwrap()
}

#[test]
fn what_static_libraries_leave_behind() {
    let inside = |library, version: Option<&str>| TlsUse {
        version: version.map(Into::into),
        ..TlsUse::inside(library)
    };
    assert_eq!(
        scanned(b"\0OpenSSL 3.0.15+quic 3 Sep 2024\0../deps/openssl/openssl/ssl/ssl_lib.c\0"),
        [inside(TlsLibrary::OpenSsl, Some("3.0.15+quic"))]
    );
    assert_eq!(scanned(b"third_party/boringssl/src/ssl/ssl_lib.cc\0"), [inside(TlsLibrary::BoringSsl, None)]);
    assert_eq!(
        scanned(b"\0crypto/tls.(*Conn).Read\0"),
        [],
        "Go's names count in its table of functions only"
    );
    assert_eq!(
        scanned(b"/registry/src/tokio-rustls-0.26.4/src/a.rs/registry/src/rustls-0.23.37/src/conn.rs"),
        [inside(TlsLibrary::Rustls, Some("0.23.37"))]
    );
    // The header's version alone is in every program that was compiled against a shared OpenSSL.
    assert_eq!(scanned(b"\0OpenSSL 3.0.19 27 Jan 2026\0"), []);
    assert_eq!(scanned(b"/ssl_lib.c"), []);
    assert_eq!(scanned(b"/rustls-"), []);
}

#[test]
fn openssl_tells_its_version_with_a_date() {
    let version = |text: &str| openssl_version(text.as_bytes());
    assert_eq!(version("1.1.1w  11 Sep 2023\0"), Some("1.1.1w".into()));
    assert_eq!(version("3.5.4 30 Sep 2025\0junk"), Some("3.5.4".into()));
    assert_eq!(version("3.0 legacy provider"), None);
    assert_eq!(version("1.1.1 or newer is needed"), None);
    assert_eq!(version(""), None);
}
