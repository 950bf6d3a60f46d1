//! All that is to be known of a binary before it is probed.

use std::path::{Path, PathBuf};

use crate::{
    Binary, Error, Function, Runtime, binary,
    debug_file::{self, DebugFile},
    elf::Image,
    functions,
    go::{self, BuildInfo, FieldOffset, pclntab},
    probes::Library,
    runtime,
    source::Source,
    tls::{self, TlsLibrary, TlsUse},
    witness::Span,
};

/// Modules of a Go program whose version matters to where something is.
const MODULES: [&str; 2] = ["golang.org/x/net", "google.golang.org/grpc"];

/// A binary with where each probe goes, and what has to be read in its processes.
#[derive(Debug)]
pub struct Inspection {
    /// What it is. Of a Go program's modules only those are kept whose version matters here.
    pub binary: Binary,
    /// The version of its runtime, where [`Binary::runtime`] does not tell it and its constants do.
    pub runtime_version: Option<String>,
    /// TLS libraries it asks the loader for, and those inside it.
    pub tls: Vec<TlsUse>,
    /// The functions that can be probed.
    pub functions: Vec<Function>,
    /// Whether Go's table of functions was found; `None` if it is no Go program.
    pub go_functions: Option<Result<(), Error>>,
    /// Of a Go program, the offsets of the structures that belong to what it has inside; or why there are none.
    pub go_fields: Option<Result<Vec<FieldOffset>, Error>>,
    /// The separate debug file that was used.
    pub debug_file: Option<PathBuf>,
    /// Where in the file that stands from which places and offsets follow; `None` if they follow from more than some
    /// places, so that they hold for this file only.
    pub(crate) follows_from: Option<Vec<Span>>,
}

impl Inspection {
    /// Looks at an executable or a shared library.
    ///
    /// Its size does not matter to the memory this takes (below 1 MiB, with DWARF the size of one compile unit more),
    /// and little to the time: tables of names and constants are read once, code hardly at all. Debug files are looked
    /// for below `/usr/lib/debug`. Keep the result in a [`Cache`](crate::Cache).
    ///
    /// # Errors
    /// The file cannot be read, or is not ELF.
    pub fn of(path: &Path) -> Result<Self, Error> {
        Self::of_source(&Source::open(path)?, Some(path))
    }

    /// The same for a file that is already in memory.
    ///
    /// # Errors
    /// The bytes are not ELF.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::of_source(&Source::bytes(bytes), None)
    }

    pub(crate) fn of_source(source: &Source<'_>, path: Option<&Path>) -> Result<Self, Error> {
        let data = source.data();
        let image = Image::parse(data)?;
        let mut binary = binary::of_image(&image, data);
        // What the binary says itself needs no second file.
        let debug_file = (binary.is_stripped || !binary.has_dwarf)
            .then(|| debug_file::find(&image, source, path, Path::new(debug_file::ROOT)))
            .flatten();
        let mut is_go = false;
        if let Runtime::Go(info) = &mut binary.runtime {
            is_go = true;
            info.dependencies.retain(|module| MODULES.contains(&module.path.as_str()));
            info.settings = Vec::new();
        }
        let table = is_go.then(|| pclntab::locate(&image, data)).flatten();
        let found = functions::find(&image, source, table.as_ref(), debug_file.as_ref());
        let mut follows_from = image.headers.clone();
        let mut functions = Vec::with_capacity(found.len());
        for (function, stands) in found {
            functions.push(function);
            follows_from.extend(stands);
        }
        let go_fields = match &binary.runtime {
            Runtime::Go(info) => Some(fields(&image, source, info, debug_file.as_ref(), &functions)),
            _ => None,
        };
        let follows_from = match &table {
            Some(table) => table.stands().map(|stands| [&follows_from, stands].concat()),
            None => Some(follows_from),
        };
        Ok(Inspection {
            follows_from: follows_from.filter(|_| !by_dwarf(go_fields.as_ref())),
            runtime_version: runtime::version(&image, source, &binary.runtime),
            tls: tls_of(&binary, &image, source, &functions),
            go_functions: is_go.then(|| table.map(|_| ()).ok_or(Error::NoPcLnTab)),
            go_fields,
            debug_file: debug_file.map(|file| file.path),
            functions,
            binary,
        })
    }

    /// What it has inside that can be probed, each library once.
    pub fn libraries(&self) -> Vec<Library> {
        libraries(&self.functions)
    }

    /// What it takes in memory, bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        let Inspection { binary, runtime_version, tls, functions, go_fields, follows_from, .. } = self;
        let go = match &binary.runtime {
            Runtime::Go(info) => {
                let modules = info.dependencies.iter().chain(&info.module);
                let names: usize = modules.map(|m| size_of_val(m) + m.path.len() + m.version.len()).sum();
                size_of_val(info.as_ref()) + info.version.len() + names
            }
            _ => 0,
        };
        let sites = |f: &Function| f.returns.as_ref().map_or(0, |returns| size_of_val(returns.places()));
        let fields = go_fields.iter().flatten().map(|fields| size_of_val(fields.as_slice())).sum::<usize>();
        size_of_val(self)
            + go
            + fields
            + functions.iter().map(|f| size_of_val(f) + sites(f)).sum::<usize>()
            + binary.needed.iter().map(|name| size_of_val(name) + name.len()).sum::<usize>()
            + binary.go_build_id.as_ref().map_or(0, String::len)
            + runtime_version.as_ref().map_or(0, String::len)
            + tls.len() * (size_of::<TlsUse>() + 32)
            + follows_from.as_ref().map_or(0, |spans| size_of_val(spans.as_slice()))
    }
}

/// Whether an offset was taken from debug information, which is too much to be compared.
fn by_dwarf(fields: Option<&Result<Vec<FieldOffset>, Error>>) -> bool {
    let Some(Ok(fields)) = fields else { return false };
    fields.iter().any(|f| matches!(f.offset, Ok((_, go::Source::Dwarf | go::Source::DebugFile))))
}

fn libraries(functions: &[Function]) -> Vec<Library> {
    let mut libraries: Vec<_> = functions.iter().map(|f| f.probe.library).collect();
    libraries.sort_unstable();
    libraries.dedup();
    libraries
}

/// The fields of the runtime, and of the libraries of which functions were found.
fn fields(
    image: &Image,
    source: &Source<'_>,
    info: &BuildInfo,
    debug_file: Option<&DebugFile>,
    functions: &[Function],
) -> Result<Vec<FieldOffset>, Error> {
    let mut wanted = libraries(functions);
    // From a connection of whichever library to its descriptor.
    if wanted.iter().any(|library| library.is_go()) {
        wanted.push(Library::GoNet);
    }
    wanted.push(Library::GoRuntime);
    go::field_offsets(image, source.data(), info, debug_file, &wanted)
}

fn tls_of(binary: &Binary, image: &Image, source: &Source<'_>, functions: &[Function]) -> Vec<TlsUse> {
    let mut uses = tls::inside(image, source.data());
    let libraries = libraries(functions);
    for (library, of) in [
        (Library::GoTls, TlsLibrary::Go),
        (Library::GnuTls, TlsLibrary::GnuTls),
        (Library::OpenSsl, TlsLibrary::OpenSsl),
    ] {
        let known = |used: &TlsUse| {
            used.library == of || (of, used.library) == (TlsLibrary::OpenSsl, TlsLibrary::BoringSsl)
        };
        if libraries.contains(&library) && !uses.iter().any(known) {
            uses.push(TlsUse::inside(of));
        }
    }
    uses.extend(binary.tls.iter().filter(|used| used.shared.is_some()).cloned());
    uses
}
