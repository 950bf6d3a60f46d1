//! Which language or runtime a binary holds, by evidence: build information, exported symbols, libraries,
//! compiler notes. Names of files prove nothing and are not looked at.

use std::fmt;

use memchr::memmem;
use object::{ReadRef, elf};

use crate::{
    elf::Image,
    functions::{names::Names, symbols},
    go::BuildInfo,
    maps::Mapping,
    source::{Data, Source},
};

/// The language or runtime of a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Runtime {
    /// Go.
    Go(Box<BuildInfo>),
    /// Rust code is in it; the compiler's version if it left one.
    Rust(Option<String>),
    /// Node.js.
    Node,
    /// CPython; its version where a library's name tells it.
    Python(Option<String>),
    /// A Java virtual machine, or its launcher.
    Jvm,
    /// Java compiled ahead of time (GraalVM Native Image).
    NativeImage,
    /// .NET, or its launcher.
    DotNet,
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
    /// Erlang's virtual machine.
    Beam,
    /// Other native code: C, C++ and what leaves no mark.
    Native,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runtime::Go(info) => {
                let version = info.version.split(' ').next().unwrap_or_default();
                write!(f, "Go {}", version.strip_prefix("go").unwrap_or(&info.version))
            }
            Runtime::Rust(Some(version)) => write!(f, "Rust {version}"),
            Runtime::Rust(None) => write!(f, "Rust"),
            Runtime::Node => write!(f, "Node.js"),
            Runtime::Python(Some(version)) => write!(f, "Python {version}"),
            Runtime::Python(None) => write!(f, "Python"),
            Runtime::Jvm => write!(f, "JVM"),
            Runtime::NativeImage => write!(f, "Java (native image)"),
            Runtime::DotNet => write!(f, ".NET"),
            Runtime::Php => write!(f, "PHP"),
            Runtime::Ruby => write!(f, "Ruby"),
            Runtime::Beam => write!(f, "Erlang"),
            Runtime::Native => write!(f, "native"),
        }
    }
}

/// Dynamic symbols that give a runtime away, found in one pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exports {
    node: bool,
    python: bool,
    python_version: Option<String>,
    jvm: bool,
    dotnet: bool,
    php: bool,
    ruby: bool,
    beam: bool,
    pub ssl_read: bool,
}

impl Exports {
    const NAMES: [&str; 12] = [
        // node::Start(int, char**)
        "_ZN4node5StartEiPPc",
        "Py_BytesMain",
        "_PyRuntime",
        "Py_Version",
        "JNI_CreateJavaVM",
        "DotNetRuntimeInfo",
        "DotNetRuntimeDebugHeader",
        "coreclr_initialize",
        "zend_parse_parameters",
        "ruby_init",
        "enif_make_atom",
        "SSL_read",
    ];

    pub(crate) fn of(image: &Image, data: Data<'_>) -> Self {
        let mut found = Exports::default();
        let source = data.source();
        for symbol in symbols::find(image, source, elf::SHT_DYNSYM, &Names::new(&Self::NAMES)) {
            match Self::NAMES[usize::from(symbol.name)] {
                "_ZN4node5StartEiPPc" => found.node = true,
                "Py_Version" => found.python_version = python_version(image, source, symbol.address),
                "Py_BytesMain" | "_PyRuntime" => found.python = true,
                "JNI_CreateJavaVM" => found.jvm = true,
                "zend_parse_parameters" => found.php = true,
                "ruby_init" => found.ruby = true,
                "enif_make_atom" => found.beam = true,
                "SSL_read" => found.ssl_read = true,
                _ => found.dotnet = true,
            }
        }
        found
    }
}

/// `Py_Version` (since Python 3.11) in the format of `PY_VERSION_HEX`: a byte each for major, minor and micro.
fn python_version(image: &Image, source: &Source<'_>, address: u64) -> Option<String> {
    let mut word = [0; 8];
    let word = &mut word[..if image.is_64 { 8 } else { 4 }];
    let (offset, _) = image.file_offset(address)?;
    if source.fill(offset, word) < word.len() {
        return None;
    }
    let hex = image.word(word)?;
    let part = |shift: u32| hex >> shift & 0xff;
    (hex >> 32 == 0 && part(24) >= 3).then(|| format!("{}.{}.{}", part(24), part(16), part(8)))
}

/// What a runtime writes before its version, among its constants; and where the version ends.
const VERSION_MARKS: [(Runtime, &[u8], u8); 4] = [
    // The answer of the inspector to /json/version.
    (Runtime::Node, b"node.js/v", 0),
    (Runtime::Php, b"X-Powered-By: PHP/", 0),
    (Runtime::Jvm, b" 64-Bit Server VM (", b')'),
    (Runtime::Ruby, b"\0ruby ", b' '),
];

/// The version of a runtime which does not show in [`Runtime`] itself, searched among its constants.
pub(crate) fn version(image: &Image, source: &Source<'_>, runtime: &Runtime) -> Option<String> {
    const MAX_CONSTANTS: u64 = 16 << 20;
    const MAX_VERSION: usize = 64;
    let (_, mark, end) = VERSION_MARKS.iter().find(|(of, ..)| of == runtime)?;
    let constants = image.section(".rodata")?;
    let finder = memmem::Finder::new(mark);
    let mut version = None;
    windows(source, constants.offset, constants.size.min(MAX_CONSTANTS), |bytes| {
        version = finder.find_iter(bytes).find_map(|at| {
            let rest = &bytes[at + mark.len()..];
            let rest = &rest[..rest.len().min(MAX_VERSION)];
            let version = &rest[..memchr::memchr(*end, rest)?];
            let plausible = version.first()?.is_ascii_digit() && version.iter().all(u8::is_ascii_graphic);
            plausible.then(|| String::from_utf8_lossy(version).into_owned())
        });
        version.is_some()
    });
    version
}

/// The runtime of a binary that is not Go's.
pub(crate) fn detect(image: &Image, data: Data<'_>, exports: &Exports) -> Runtime {
    if exports.node {
        return Runtime::Node;
    }
    if exports.jvm {
        return Runtime::Jvm;
    }
    if image.section(".svm_heap").is_some() {
        return Runtime::NativeImage;
    }
    if exports.dotnet {
        return Runtime::DotNet;
    }
    if let Some(runtime) = image.needed.iter().find_map(|name| of_library(name)) {
        return runtime;
    }
    if exports.python {
        return Runtime::Python(exports.python_version.clone());
    }
    if exports.php {
        return Runtime::Php;
    }
    if exports.ruby {
        return Runtime::Ruby;
    }
    if exports.beam {
        return Runtime::Beam;
    }
    native(image, data)
}

/// The runtime whose library has this name (`DT_NEEDED`, or a mapped file's last part).
fn of_library(name: &str) -> Option<Runtime> {
    if let Some(rest) = name.strip_prefix("libpython") {
        // libpython3.11.so.1.0; libpython3.so only forwards to it.
        let version = rest.split(".so").next().unwrap_or_default().trim_end_matches(char::is_alphabetic);
        return Some(Runtime::Python(version.contains('.').then(|| version.to_owned())));
    }
    let stem = name.split(".so").next().unwrap_or_default();
    match stem {
        "libnode" => Some(Runtime::Node),
        "libjli" | "libjvm" => Some(Runtime::Jvm),
        "libcoreclr" | "libhostfxr" => Some(Runtime::DotNet),
        "libphp" | "libphp7" | "libphp8" => Some(Runtime::Php),
        _ if stem == "libruby" || stem.starts_with("libruby-") => Some(Runtime::Ruby),
        _ => None,
    }
}

/// The runtime that a process has loaded as a library, from its mappings; for launchers and embedders.
pub fn of_mappings(mappings: &[Mapping]) -> Option<Runtime> {
    mappings.iter().filter(|m| m.executable).find_map(|m| of_library(m.file_name()?))
}

/// `.comment` holds what every compiler signed with; without it, Rust's panics name the standard library's
/// sources, and .NET's launchers the function they call.
fn native(image: &Image, data: Data<'_>) -> Runtime {
    const MAX_COMMENT: u64 = 64 << 10;
    const MAX_CONSTANTS: u64 = 8 << 20;
    const MARK: &[u8] = b"rustc version ";
    if let Some(section) = image.section(".comment")
        && let Ok(comment) = data.read_bytes_at(section.offset, section.size.min(MAX_COMMENT))
        && let Some(at) = memmem::find(comment, MARK)
    {
        let rest = &comment[at + MARK.len()..];
        let end = rest.iter().position(|b| !b.is_ascii_graphic()).unwrap_or(rest.len());
        return Runtime::Rust(Some(String::from_utf8_lossy(&rest[..end]).into_owned()));
    }
    let Some(section) = image.section(".rodata") else { return Runtime::Native };
    let (rust, dotnet) = (memmem::Finder::new(b"/rustc/"), memmem::Finder::new(b"hostfxr_main_startupinfo"));
    let mut runtime = Runtime::Native;
    windows(data.source(), section.offset, section.size.min(MAX_CONSTANTS), |bytes| {
        // /rustc/<40 hexadecimal digits>/library/core/src/…
        let is_rust = rust.find_iter(bytes).any(|at| {
            let hash = bytes.get(at + 7..at + 47).unwrap_or_default();
            !hash.is_empty() && hash.iter().all(u8::is_ascii_hexdigit) && bytes.get(at + 47) == Some(&b'/')
        });
        if is_rust {
            runtime = Runtime::Rust(None);
        } else if dotnet.find(bytes).is_some() {
            runtime = Runtime::DotNet;
        }
        is_rust
    });
    runtime
}

/// Calls `each` with overlapping windows of a part of the file until it says that it is done.
pub(crate) fn windows(source: &Source<'_>, start: u64, size: u64, mut each: impl FnMut(&[u8]) -> bool) {
    const WINDOW: usize = 1 << 20;
    /// Nothing that is looked for is longer.
    const OVERLAP: usize = 256;
    let size = size.min(source.left(start));
    let mut buffer = vec![0; WINDOW.min(usize::try_from(size).unwrap_or(WINDOW))];
    let mut at = 0;
    while at < size {
        let want = buffer.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
        let read = source.fill(start.saturating_add(at), &mut buffer[..want]);
        if each(&buffer[..read]) || read < want || read <= OVERLAP || at + read as u64 >= size {
            return;
        }
        at += (read - OVERLAP) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_name_their_runtime() {
        let python = |v: &str| Some(Runtime::Python(Some(v.into())));
        assert_eq!(of_library("libpython3.11.so.1.0"), python("3.11"));
        assert_eq!(of_library("libpython3.6m.so.1.0"), python("3.6"));
        assert_eq!(of_library("libpython3.so"), Some(Runtime::Python(None)));
        assert_eq!(of_library("libjli.so"), Some(Runtime::Jvm));
        assert_eq!(of_library("libnode.so.108"), Some(Runtime::Node));
        assert_eq!(of_library("libcoreclr.so"), Some(Runtime::DotNet));
        assert_eq!(of_library("libruby-3.1.so.3.1"), Some(Runtime::Ruby));
        assert_eq!(of_library("libc.so.6"), None);
    }

    #[test]
    fn windows_cover_everything_once_and_then_end() {
        let mut bytes = vec![0; (3 << 20) + 17];
        // Across the border of two windows, and at the very end.
        for at in [(1 << 20) - 3, bytes.len() - 6] {
            bytes[at..at + 6].copy_from_slice(b"needle");
        }
        let source = Source::bytes(&bytes);
        let mut found = 0;
        windows(&source, 0, bytes.len() as u64, |window| {
            found += memmem::find_iter(window, b"needle").count();
            false
        });
        assert_eq!(found, 2);
        windows(&source, u64::MAX - 1, u64::MAX, |_| false);
    }
}
