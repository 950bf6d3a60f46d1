//! `remora inspect`: what is known of a binary or of what a process has loaded, and where each probe would go.
//!
//! Looks from outside only. What it tells is what the symbolizer knows; nothing is attached.

mod render;

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use remora_symbolizer::probes::{PROBES, Places};
use remora_symbolizer::{
    Cache, Function, Inspection, Linkage, ReturnSites, Runtime, maps, process, runtime_of_mappings, tls,
};
use serde::Serialize;

/// What the inspections of one process may take, bytes.
const CACHE_BYTES: usize = 16 << 20;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file.
    Binary(PathBuf),
    /// A running process.
    Process(u32),
}

impl Target {
    /// A number is a process, unless a file has that name.
    #[must_use]
    pub fn of(argument: &str) -> Self {
        match argument.parse() {
            Ok(pid) if !Path::new(argument).exists() => Target::Process(pid),
            _ => Target::Binary(argument.into()),
        }
    }
}

/// All that is known.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The process that was asked for.
    pub pid: Option<u32>,
    /// What it runs as far as its libraries tell, where its executable is but a launcher.
    pub runtime: Option<String>,
    /// The file that was asked for; of a process its executable, and every library with TLS or with something to probe.
    pub files: Vec<File>,
    /// Libraries of the process in which there is nothing to probe.
    pub other_libraries: usize,
}

/// A file.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// As the process sees it, or as it was asked for.
    pub path: String,
    /// Where it was opened, if elsewhere.
    pub opened: Option<String>,
    /// It was deleted or replaced since it was loaded.
    pub deleted: bool,
    /// Why nothing more is known.
    pub error: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub binary: Option<Binary>,
}

/// What a file is.
#[derive(Clone, Debug, Serialize)]
pub struct Binary {
    /// Language or runtime, with its version where it is known.
    pub runtime: String,
    /// The machine it was built for.
    pub machine: String,
    /// `static` or `dynamic`.
    pub linkage: &'static str,
    /// It can be loaded anywhere (PIE, or a library).
    pub position_independent: bool,
    /// It has no symbol table.
    pub stripped: bool,
    /// It has DWARF.
    pub dwarf: bool,
    /// GNU build id, hexadecimal.
    pub build_id: Option<String>,
    /// Go's own build id.
    pub go_build_id: Option<String>,
    /// The separate debug file that was used.
    pub debug_file: Option<String>,
    /// Modules of a Go program whose version matters to offsets.
    pub modules: Vec<String>,
    /// TLS libraries.
    pub tls: Vec<Tls>,
    /// Where probes would go.
    pub probes: Vec<Probe>,
    /// Functions of the same libraries which are not there: not linked in, inlined, or of another version.
    pub absent: Vec<&'static str>,
    /// Offsets in structures.
    pub offsets: Vec<Offset>,
    /// What else a user should know.
    pub notes: Vec<String>,
}

/// A TLS library.
#[derive(Clone, Debug, Serialize)]
pub struct Tls {
    /// Which.
    pub library: String,
    /// Its version, where it tells it.
    pub version: Option<String>,
    /// The shared library that the loader is asked for; `None` if it is inside.
    pub shared: Option<String>,
}

/// Where a probe would go.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// What the function belongs to.
    pub library: String,
    /// The function.
    pub function: &'static str,
    /// Its address as linked.
    pub address: u64,
    /// Its place in the file, bytes.
    pub offset: u64,
    /// Its length, bytes; 0 if unknown.
    pub size: u64,
    /// By which evidence it is there.
    pub evidence: String,
    /// Its end is probed, too.
    pub at_returns: bool,
    /// The places in the file of its RET instructions; Go only.
    pub returns: Vec<u64>,
    /// What is wrong with the returns.
    pub returns_note: Option<String>,
}

/// An offset in a structure.
#[derive(Clone, Debug, Serialize)]
pub struct Offset {
    /// The structure, with the import path of its package.
    pub structure: &'static str,
    /// The field.
    pub field: &'static str,
    /// Bytes from the start of the structure; `None` if it is not known.
    pub offset: Option<u32>,
    /// Who says so, or why nobody does.
    pub source: String,
}

/// Looks at a binary or a process.
///
/// # Errors
/// The file is no ELF file, or cannot be read; the process is gone, or may not be looked at.
pub fn examine(target: &Target) -> Result<Report> {
    match target {
        Target::Binary(path) => {
            let inspection = Inspection::of(path)
                .map_err(|error| anyhow!("cannot inspect {}: {error}", path.display()))?;
            let file = File {
                path: path.display().to_string(),
                opened: None,
                deleted: false,
                error: None,
                binary: Some(binary(&inspection)),
            };
            Ok(Report { pid: None, runtime: None, files: vec![file], other_libraries: 0 })
        }
        Target::Process(pid) => of_process(*pid),
    }
}

fn of_process(pid: u32) -> Result<Report> {
    let mut cache = Cache::new(CACHE_BYTES);
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let loaded = process::inspect(&folder, &mut cache)
        .map_err(|error| anyhow!("cannot inspect process {pid}: {error}"))?;
    let mappings: Vec<maps::Mapping> = loaded.iter().map(|file| file.mapping.clone()).collect();
    let launched = runtime_of_mappings(&mappings).map(|runtime| {
        // The library knows the version.
        let library =
            loaded.iter().filter_map(|file| file.found.as_ref().ok()).find_map(|(_, inspection)| {
                let same =
                    std::mem::discriminant(&inspection.binary.runtime) == std::mem::discriminant(&runtime);
                (same && inspection.runtime_version.is_some()).then(|| runtime_text(inspection))
            });
        library.unwrap_or_else(|| runtime.to_string())
    });
    let mut report = Report { pid: Some(pid), runtime: launched, files: Vec::new(), other_libraries: 0 };
    for file in &loaded {
        let by_name = file.mapping.file_name().and_then(tls::of_file_name).is_some();
        let probed = file.found.as_ref().is_ok_and(|(_, i)| !i.functions.is_empty() || has_tls_inside(i));
        if !(file.is_executable || by_name || probed) {
            report.other_libraries += 1;
            continue;
        }
        report.files.push(File {
            path: file.mapping.path.clone(),
            opened: file.found.as_ref().ok().map(|(path, _)| path.display().to_string()),
            deleted: file.mapping.deleted,
            error: file.found.as_ref().err().map(ToString::to_string),
            binary: file.found.as_ref().ok().map(|(_, inspection)| binary(inspection)),
        });
    }
    Ok(report)
}

fn has_tls_inside(inspection: &Inspection) -> bool {
    inspection.tls.iter().any(|used| used.shared.is_none())
}

fn runtime_text(inspection: &Inspection) -> String {
    match &inspection.runtime_version {
        Some(version) => format!("{} {version}", inspection.binary.runtime),
        None => inspection.binary.runtime.to_string(),
    }
}

fn binary(inspection: &Inspection) -> Binary {
    let of = &inspection.binary;
    let modules = match &of.runtime {
        Runtime::Go(info) => info.dependencies.iter().map(|m| format!("{} {}", m.path, m.version)).collect(),
        _ => Vec::new(),
    };
    let libraries = inspection.libraries();
    let found = |function| inspection.functions.iter().any(|f| f.probe.function == function);
    let (offsets, mut notes) = offsets(inspection);
    if let Some(Err(error)) = &inspection.go_functions {
        notes.push(format!("Go's functions cannot be found: {error}"));
    }
    if !of.is_64_bit {
        notes.push("32-bit processes are counted, not read".to_owned());
    }
    Binary {
        runtime: runtime_text(inspection),
        machine: of.machine.to_string(),
        linkage: match of.linkage {
            Linkage::Static => "static",
            Linkage::Dynamic => "dynamic",
        },
        position_independent: of.position_independent,
        stripped: of.is_stripped,
        dwarf: of.has_dwarf,
        build_id: of.build_id.as_ref().map(ToString::to_string),
        go_build_id: of.go_build_id.clone(),
        debug_file: inspection.debug_file.as_ref().map(|path| path.display().to_string()),
        modules,
        tls: inspection
            .tls
            .iter()
            .map(|used| Tls {
                library: used.library.to_string(),
                version: used.version.clone(),
                shared: used.shared.clone(),
            })
            .collect(),
        probes: inspection.functions.iter().map(probe).collect(),
        absent: PROBES
            .iter()
            .filter(|probe| libraries.contains(&probe.library) && !found(probe.function))
            .map(|probe| probe.function)
            .collect(),
        offsets,
        notes,
    }
}

fn probe(function: &Function) -> Probe {
    let returns_note = match &function.returns {
        Some(ReturnSites::AndJumps(_)) => Some("it can also leave by a jump to another function".to_owned()),
        Some(ReturnSites::Unknown(why)) => Some(format!("its returns cannot be told: {why}")),
        Some(ReturnSites::All(_)) | None => None,
    };
    Probe {
        library: function.probe.library.to_string(),
        function: function.probe.function,
        address: function.address,
        offset: function.offset,
        size: function.size,
        evidence: function.evidence.to_string(),
        at_returns: function.probe.places == Places::EntryAndReturns,
        returns: function.returns.as_ref().map_or_else(Vec::new, |returns| returns.places().to_vec()),
        returns_note,
    }
}

fn offsets(inspection: &Inspection) -> (Vec<Offset>, Vec<String>) {
    match &inspection.go_fields {
        None => (Vec::new(), Vec::new()),
        Some(Err(error)) => (Vec::new(), vec![format!("no offsets: {error}")]),
        Some(Ok(fields)) => {
            let offset = |known: &remora_symbolizer::go::FieldOffset| {
                let (offset, source) = match &known.offset {
                    Ok((offset, source)) => (Some(*offset), source.to_string()),
                    Err(error) => (None, error.to_string()),
                };
                Offset { structure: known.field.structure, field: known.field.member, offset, source }
            };
            (fields.iter().map(offset).collect(), Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_process_unless_a_file_has_that_name() {
        assert_eq!(Target::of("4711"), Target::Process(4711));
        assert_eq!(Target::of("./4711"), Target::Binary("./4711".into()));
        assert_eq!(Target::of("/usr/sbin/nginx"), Target::Binary("/usr/sbin/nginx".into()));
        assert_eq!(Target::of("-1"), Target::Binary("-1".into()));
    }

    #[test]
    fn this_very_process_is_rust_and_told_in_both_forms() {
        let report = examine(&Target::Process(std::process::id())).unwrap();
        let executable = report.files[0].binary.as_ref().unwrap();
        assert!(executable.runtime.starts_with("Rust"), "{}", executable.runtime);
        assert!(report.other_libraries >= 1, "libc at least");
        let text = report.to_string();
        assert!(text.contains("Rust") && text.contains(&report.files[0].path), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["pid"], std::process::id());
        assert_eq!(json["files"][0]["linkage"], "dynamic", "{json}");
    }

    #[test]
    fn what_is_no_binary_is_an_error_with_its_name() {
        let error = examine(&Target::of("/etc/passwd")).unwrap_err();
        assert_eq!(format!("{error:#}"), "cannot inspect /etc/passwd: not an ELF file");
    }
}
