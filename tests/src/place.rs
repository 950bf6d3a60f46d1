//! Where things are, and how long to wait for them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How everything is called that a test leaves for others to see, followed by the test program's process id.
pub(crate) const PREFIX: &str = "remora-test-";

/// Hands what is in a folder and was left there by test programs that were killed to `remove`.
pub(crate) fn stale(folder: &Path, remove: impl Fn(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if let Some(owner) = owner.filter(|owner| owner.parse::<u32>().is_ok())
            && !Path::new("/proc").join(owner).exists()
        {
            remove(&entry.path());
        }
    }
}

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// A file in `tests/workloads`.
#[must_use]
pub fn workload(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads").join(name);
    assert!(path.exists(), "no workload {name}");
    path
}

/// Fails with one clear sentence unless the test runs as root.
pub fn require_root() {
    // SAFETY: no arguments, cannot fail.
    let user = unsafe { libc::geteuid() };
    assert!(user == 0, "end-to-end tests load eBPF programs and make network namespaces: run them as root");
}

/// Nanoseconds since 1970, as spans count them.
#[must_use]
pub fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos()
        .try_into()
        .expect("before 2554")
}

/// By how much limits grow on a slow machine: `REMORA_TEST_PATIENCE`, a whole number, 1 unless it is set. What a test
/// asserts of a result stays the same.
#[must_use]
pub fn patience() -> u32 {
    static PATIENCE: OnceLock<u32> = OnceLock::new();
    *PATIENCE.get_or_init(|| {
        let factor = std::env::var("REMORA_TEST_PATIENCE").map_or(Ok(1), |factor| factor.parse());
        factor.ok().filter(|factor| *factor > 0).expect("REMORA_TEST_PATIENCE is a whole number from 1")
    })
}

/// Asks `done` until it is true, and says whether that was within `limit` times [`patience`].
pub fn wait_for(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit * patience();
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A temporary folder that other users may read; removed at the end.
#[derive(Debug)]
pub struct Place(tempfile::TempDir);

impl Place {
    /// A new, empty folder.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it has an effect")]
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().expect("temporary folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
        Self(folder)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path inside it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("folder");
        }
        std::fs::write(&path, contents).expect("file");
        path
    }
}
