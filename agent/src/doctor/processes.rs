//! `remora doctor`: what can be captured of each process that talks over sockets, what cannot, and why.
//!
//! Looks from outside only: `/proc` and the executables it names. Each executable is read once, however
//! many processes run it.

mod sockets;

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use remora_symbolizer::{Binary, Error, Runtime, go, inspect, maps, runtime_of_mappings, tls};
use serde::Serialize;

use crate::probes::Tier;
pub use sockets::Sockets;

/// Processes reported.
const MAX_PROCESSES: usize = 16_384;
/// Time for searching executables for TLS libraries inside them; large ones take tenths of a second.
const SCAN_TIME: Duration = Duration::from_secs(3);
/// Bytes read of `maps` and `cmdline`.
const MAX_TEXT: u64 = 8 << 20;

const NO_TLS_YET: &str = "what it encrypts is counted but not read: this version captures plaintext on sockets only. \
     A version with probes in this library would change that; until then, TLS that ends at a proxy in front of \
     the process does";

/// What Remora can do for one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessReport {
    /// Its process id.
    pub pid: u32,
    /// What a user would call it: the script an interpreter runs, else the executable.
    pub name: String,
    /// Its executable, as the process itself sees it.
    pub executable: Option<String>,
    /// Its language or runtime, with the version where it is known.
    pub runtime: Option<String>,
    /// The sockets it holds.
    pub sockets: Sockets,
    /// Plaintext on its sockets.
    pub plain: Verdict,
    /// Which goroutine reads and writes; Go programs only.
    pub goroutines: Option<Verdict>,
    /// What it moves through io_uring; only of processes that have a ring.
    pub io_uring: Option<Verdict>,
    /// TLS libraries it has, whose traffic is not captured.
    pub encrypted: Vec<Encrypted>,
    /// What else a user should know.
    pub notes: Vec<String>,
}

/// Whether something is captured, and why or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// It is.
    pub captured: bool,
    /// Why, or why not.
    pub why: String,
}

/// A TLS library that a process has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Encrypted {
    /// Which, with its version where it tells it.
    pub library: String,
    /// Its file as the process sees it; `None` if it is inside the executable.
    pub file: Option<String>,
    /// The file was deleted or replaced since the process started.
    pub deleted: bool,
    /// What it means for the user.
    pub why: String,
}

/// Looks at all processes with sockets below a `/proc`; by process id. `tier` is the one that would be used.
///
/// Processes that end meanwhile, and those whose descriptors may not be read, are left out.
pub fn survey(proc_root: &Path, tier: Option<Tier>) -> Vec<ProcessReport> {
    let mut pids: Vec<u32> = fs::read_dir(proc_root)
        .map(|entries| entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    pids.sort_unstable();
    pids.truncate(MAX_PROCESSES);
    let process = |pid: &u32| proc_root.join(pid.to_string());
    let mut table = sockets::Table::default();
    for pid in &pids {
        table.add_namespace_of(&process(pid));
    }
    let mut executables = Executables::default();
    pids.iter()
        .filter_map(|pid| {
            let sockets = table.of(&process(pid)).filter(|s| !s.is_empty())?;
            Some(report(*pid, &process(pid), sockets, tier, &mut executables))
        })
        .collect()
}

fn report(
    pid: u32,
    process: &Path,
    sockets: Sockets,
    tier: Option<Tier>,
    executables: &mut Executables,
) -> ProcessReport {
    let link = fs::read_link(process.join("exe")).ok().map(|path| path.to_string_lossy().into_owned());
    let mappings = maps::parse(&read(&process.join("maps")));
    let known = executables.of(&process.join("exe"));
    let binary = known.as_ref().and_then(|e| e.binary.as_ref().ok());
    let runtime = binary.map(|binary| match &binary.runtime {
        Runtime::Native => runtime_of_mappings(&mappings).unwrap_or(Runtime::Native),
        other => other.clone(),
    });

    let mut notes = Vec::new();
    match known.as_ref().map(|e| &e.binary) {
        Some(Ok(_)) => {}
        Some(Err(error)) => notes.push(format!("its executable is not understood: {error}")),
        None => notes.push("its executable cannot be read".to_owned()),
    }
    if sockets.truncated {
        notes.push("it has more file descriptors than were looked at".to_owned());
    }
    if matches!(runtime, Some(Runtime::Jvm)) {
        notes.push(format!("Java's own TLS (JSSE) is inside the JVM: if it is used, {NO_TLS_YET}"));
    }
    if known.as_ref().is_some_and(|e| e.inside.is_none()) {
        notes.push(
            "its executable was not searched for TLS libraries inside it: the survey's time was up"
                .to_owned(),
        );
    }

    ProcessReport {
        pid,
        name: name(process, link.as_deref(), runtime.as_ref()),
        plain: plain(binary),
        goroutines: known.as_ref().and_then(|e| e.goroutines.clone()),
        io_uring: tier.filter(|_| sockets.io_uring > 0).map(io_uring),
        encrypted: encrypted(&mappings, known.as_deref()),
        executable: link,
        runtime: runtime.map(|r| r.to_string()),
        sockets,
        notes,
    }
}

fn plain(binary: Option<&Binary>) -> Verdict {
    if let Some(binary) = binary
        && !binary.is_64_bit
    {
        let why = format!("a 32-bit process ({}): its system calls are not covered", binary.machine);
        return Verdict { captured: false, why };
    }
    Verdict {
        captured: true,
        why: "read in the kernel, where the process reads and writes its sockets".to_owned(),
    }
}

fn io_uring(tier: Tier) -> Verdict {
    if tier.reads_io_uring() {
        return Verdict { captured: true, why: format!("the tier {tier} has its hooks below io_uring") };
    }
    let why = format!(
        "its io_uring traffic is not covered: needs kprobes or fentry; the tier {tier} counts such connections and \
         their bytes"
    );
    Verdict { captured: false, why }
}

fn encrypted(mappings: &[maps::Mapping], executable: Option<&Executable>) -> Vec<Encrypted> {
    let why = || NO_TLS_YET.to_owned();
    let mut found: Vec<_> = tls::mapped(mappings)
        .into_iter()
        .map(|mapped| Encrypted {
            library: mapped.library.to_string(),
            file: Some(mapped.mapping.path),
            deleted: mapped.mapping.deleted,
            why: why(),
        })
        .collect();
    for inside in executable.iter().flat_map(|e| &e.inside).flatten() {
        let library = match &inside.version {
            Some(version) => format!("{} {version}", inside.library),
            None => inside.library.to_string(),
        };
        let why = match inside.library {
            // Every Go program with net/http has it; whether it is used cannot be told from outside.
            tls::TlsLibrary::Go | tls::TlsLibrary::Rustls => format!("if the program uses it, {NO_TLS_YET}"),
            _ => why(),
        };
        found.push(Encrypted { library, file: None, deleted: false, why });
    }
    found
}

/// What is known of executables, by device, inode and time of change.
#[derive(Default)]
struct Executables {
    known: HashMap<(u64, u64, i64), Rc<Executable>>,
    spent: Duration,
}

struct Executable {
    binary: Result<Binary, Error>,
    goroutines: Option<Verdict>,
    /// TLS libraries inside; `None` if there was no time to search.
    inside: Option<Vec<tls::TlsUse>>,
}

impl Executables {
    fn of(&mut self, exe: &Path) -> Option<Rc<Executable>> {
        let metadata = fs::metadata(exe).ok()?;
        let key = (metadata.dev(), metadata.ino(), metadata.ctime());
        if let Some(known) = self.known.get(&key) {
            return Some(known.clone());
        }
        let binary = inspect(exe);
        let is_go = matches!(&binary, Ok(Binary { runtime: Runtime::Go(_), .. }));
        let start = Instant::now();
        let inside = match &binary {
            Ok(_) if self.spent >= SCAN_TIME => None,
            Ok(_) => Some(tls::scan(exe).unwrap_or_default()),
            Err(_) => Some(Vec::new()),
        };
        self.spent += start.elapsed();
        let executable = Rc::new(Executable { binary, goroutines: is_go.then(|| goroutines(exe)), inside });
        self.known.insert(key, executable.clone());
        Some(executable)
    }
}

fn goroutines(exe: &Path) -> Verdict {
    match go::offsets(exe) {
        Ok((offsets, source)) => {
            let parent = match offsets.parent_goid {
                Some(_) => "and the goroutine that started it",
                None => "but not the goroutine that started it (Go 1.21 or newer records it)",
            };
            let why =
                format!("each read and write is known by its goroutine {parent}; offsets from {source}");
            Verdict { captured: true, why }
        }
        Err(error) => Verdict { captured: false, why: error.to_string() },
    }
}

/// The script that an interpreter runs, the archive or class of a JVM, else the executable's name.
fn name(process: &Path, exe: Option<&str>, runtime: Option<&Runtime>) -> String {
    let command = read(&process.join("cmdline"));
    let command = String::from_utf8_lossy(&command);
    let arguments: Vec<&str> = command.split('\0').skip(1).filter(|a| !a.is_empty()).collect();
    let script = match runtime {
        Some(Runtime::Jvm) => java_main(&arguments),
        Some(Runtime::Python(_)) => after(&arguments, "-m").or_else(|| script(&arguments)),
        Some(Runtime::Node | Runtime::Ruby | Runtime::Php) => script(&arguments),
        _ => None,
    };
    let comm = || String::from_utf8_lossy(&read(&process.join("comm"))).trim().to_owned();
    let exe = exe.map(|exe| exe.strip_suffix(" (deleted)").unwrap_or(exe));
    let file = exe.and_then(|exe| exe.rsplit('/').next()).filter(|file| !file.is_empty());
    script.or_else(|| file.map(str::to_owned)).unwrap_or_else(comm)
}

fn after(arguments: &[&str], option: &str) -> Option<String> {
    // Only before the first argument that is no option: the rest belongs to the program.
    let own = arguments.iter().take_while(|a| a.starts_with('-')).count();
    let at = arguments[..own].iter().position(|a| *a == option)?;
    arguments.get(at + 1).map(|a| (*a).to_owned())
}

fn script(arguments: &[&str]) -> Option<String> {
    let own = arguments.iter().take_while(|a| a.starts_with('-')).collect::<Vec<_>>();
    // Code on the command line has no name.
    if own.iter().any(|a| matches!(**a, "-c" | "-e" | "-p" | "-r" | "--eval" | "--print")) {
        return None;
    }
    let file = arguments.get(own.len())?.rsplit('/').next()?;
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    (!stem.is_empty()).then(|| stem.to_owned())
}

fn java_main(arguments: &[&str]) -> Option<String> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "-jar" => {
                let file = rest.next()?.rsplit('/').next()?;
                return Some(file.strip_suffix(".jar").unwrap_or(file).to_owned());
            }
            "-cp" | "-classpath" | "--class-path" | "-p" | "--module-path" | "--add-modules"
            | "--add-opens" | "--add-exports" | "--add-reads" => {
                rest.next()?;
            }
            "-m" | "--module" => return rest.next()?.rsplit(['/', '.']).next().map(str::to_owned),
            option if option.starts_with(['-', '@']) => {}
            class => return class.rsplit('.').next().map(str::to_owned),
        }
    }
    None
}

fn read(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        let _ = file.take(MAX_TEXT).read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests;
