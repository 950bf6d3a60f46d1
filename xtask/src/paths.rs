//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// The workspace's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's root")
}

/// What setup makes and a checkout does not hold; safe to delete.
pub fn cache() -> PathBuf {
    root().join(".cache")
}

/// Output of the commands that ran quietly.
pub fn logs() -> PathBuf {
    cache().join("logs")
}

/// Programs that setup installed because the system's packages have none that will do.
pub fn bin() -> PathBuf {
    cache().join("bin")
}

/// The OpenTelemetry Collector that the tests export to.
pub fn collector() -> PathBuf {
    cache().join("otelcol").join("otelcol")
}

/// The demo application's sources.
pub fn shop() -> PathBuf {
    root().join("examples").join("shop")
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    root().join(target)
}

/// A release binary of this workspace.
pub fn release(binary: &str) -> PathBuf {
    target().join("release").join(binary)
}

/// `PATH` as every child gets it: the user's, led by what setup installed and followed by the places where Debian and
/// the language installers put programs that not every user has on theirs. Where it has all of them it stays as it
/// is: a changed `PATH` makes cargo run build scripts again.
pub fn search_path() -> Vec<PathBuf> {
    let mut dirs: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let others = ["/usr/local/go/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    for dir in cargo_home.or(home).map(|dir| dir.join("bin")).into_iter().chain(others) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    if bin().is_dir() && !dirs.contains(&bin()) {
        dirs.insert(0, bin());
    }
    dirs
}

/// Finds `program` on [`search_path`].
pub fn which(program: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|dir| dir.join(program)).find(|path| path.is_file())
}
