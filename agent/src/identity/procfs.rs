//! Reads facts from `/proc`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::ProcessFacts;
use super::cgroup::{self, Cgroup};

/// The most bytes read of `/proc/PID/cmdline`.
const MAX_CMDLINE: u64 = 64 * 1024;
/// The most bytes read of `/proc/PID/environ`; Linux allows an environment of megabytes.
const MAX_ENVIRON: u64 = 256 * 1024;
/// The most bytes read of the other files.
const MAX_FILE: u64 = 16 * 1024;

impl ProcessFacts {
    /// Reads what `/proc` (or a copy of it at `root`) tells of a process.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such process (any more). What may not be read (`exe`, `cwd` and
    /// `environ` of another user's process) is left out without an error.
    pub fn from_proc(root: &Path, pid: u32) -> io::Result<Self> {
        let folder = root.join(pid.to_string());
        let stat = Stat::parse(&read(&folder.join("stat"), MAX_FILE)?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat has another format"))?;
        let mut facts = Self {
            pid,
            parent: stat.parent,
            start_time: Some(stat.start_time),
            name: stat.name,
            executable: link(&folder.join("exe")),
            working_directory: link(&folder.join("cwd")),
            complete: true,
            ..Self::default()
        };
        if let Ok(cmdline) = read(&folder.join("cmdline"), MAX_CMDLINE) {
            facts.set_arguments(&cmdline, cmdline.len() as u64 == MAX_CMDLINE);
        }
        if let Ok(environ) = read(&folder.join("environ"), MAX_ENVIRON) {
            facts.set_environment(&environ, environ.len() as u64 == MAX_ENVIRON);
        }
        if let Ok(file) = read(&folder.join("cgroup"), MAX_FILE) {
            facts.cgroup = cgroup::most_telling(&String::from_utf8_lossy(&file)).map(str::to_owned);
        }
        if let Ok(status) = read(&folder.join("status"), MAX_FILE) {
            facts.namespaced_pid =
                namespaced_pid(&String::from_utf8_lossy(&status)).filter(|inner| *inner != pid);
        }
        if facts.cgroup.as_deref().is_some_and(|path| Cgroup::parse(path).is_container()) {
            facts.hostname = container_hostname(&folder);
        }
        // The process may have ended, and its id may have been given to another, while its files were read.
        match start_time(root, pid) {
            Some(start_time) if Some(start_time) == facts.start_time => Ok(facts),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "the process ended while it was read")),
        }
    }
}

/// When a process was created, in clock ticks since boot; `None` if there is none with this id.
#[must_use]
pub fn start_time(root: &Path, pid: u32) -> Option<u64> {
    let stat = read(&root.join(pid.to_string()).join("stat"), MAX_FILE).ok()?;
    Stat::parse(&stat).map(|stat| stat.start_time)
}

/// The ids of all processes below `root`.
///
/// # Errors
/// As [`fs::read_dir`].
pub fn processes(root: &Path) -> io::Result<Vec<u32>> {
    let names = fs::read_dir(root)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// The fields of `/proc/PID/stat` that are used.
struct Stat {
    name: String,
    parent: u32,
    start_time: u64,
}

impl Stat {
    /// `PID (comm) state ppid …`; the name may hold blanks and parentheses, so the last one ends it (proc_pid_stat(5)).
    fn parse(stat: &[u8]) -> Option<Self> {
        let stat = String::from_utf8_lossy(stat);
        let (open, close) = (stat.find('(')?, stat.rfind(')')?);
        let mut fields = stat.get(close + 1..)?.split_ascii_whitespace();
        Some(Self {
            name: stat.get(open + 1..close)?.to_owned(),
            // Field 4 and field 22; the first one behind the name is field 3.
            parent: fields.nth(1)?.parse().ok()?,
            start_time: fields.nth(17)?.parse().ok()?,
        })
    }
}

/// The last id of the `NSpid` line: that in the innermost namespace.
fn namespaced_pid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().next_back()?.parse().ok()
}

/// What the container calls its host: container runtimes write it into the container's `/etc/hostname`.
fn container_hostname(folder: &Path) -> Option<String> {
    let path = folder.join("root/etc/hostname");
    // Never follow a link that a container planted there: it would be resolved in the agent's own file system.
    let metadata = fs::symlink_metadata(&path).ok()?;
    if !metadata.is_file() || fs::symlink_metadata(folder.join("root/etc")).ok()?.is_symlink() {
        return None;
    }
    let name = String::from_utf8(read(&path, 256).ok()?).ok()?;
    let name = name.trim();
    (!name.is_empty() && name.len() <= 253).then(|| name.to_owned())
}

fn link(path: &Path) -> Option<String> {
    fs::read_link(path).ok().map(|target| target.to_string_lossy().into_owned())
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
