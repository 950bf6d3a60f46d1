//! What a running process has loaded: its executable and its libraries, each as the very file that is mapped.

use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Cache, Error, Inspection,
    maps::{self, Mapping},
    source::Source,
};

/// Bytes read of `/proc/PID/maps`.
const MAX_MAPS: u64 = 8 << 20;
/// Files looked at in one process.
const MAX_FILES: usize = 1024;

/// A file whose code a process has mapped.
#[derive(Debug)]
pub struct Loaded {
    /// The first mapping of its code.
    pub mapping: Mapping,
    /// It is the executable.
    pub is_executable: bool,
    /// Where it was opened, through which a probe can be attached, too; and what it is.
    pub found: Result<(PathBuf, Arc<Inspection>), Error>,
}

/// Looks at every file whose code a process has mapped; the executable first, then by address.
///
/// `process` is its folder below `/proc`. A file is opened by `map_files`, which leads to the mapped file itself even
/// if it was deleted or replaced, or lies in another mount namespace; where that is not permitted (it needs
/// `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`), by its path below the process's root, if the same inode is
/// still there.
///
/// # Errors
/// The process is gone, or its mappings may not be read.
pub fn inspect(process: &Path, cache: &mut Cache) -> Result<Vec<Loaded>, Error> {
    let maps = process.join("maps");
    let mut bytes = Vec::new();
    fs::File::open(&maps)
        .and_then(|file| file.take(MAX_MAPS).read_to_end(&mut bytes))
        .map_err(|source| Error::Io { path: maps, source })?;
    let executable = fs::metadata(process.join("exe")).ok().map(|m| m.ino());
    let mut loaded: Vec<Loaded> = code(&maps::parse(&bytes))
        .into_iter()
        .map(|mapping| {
            let is_executable = Some(mapping.inode) == executable;
            let found = open(process, &mapping, is_executable).and_then(|(path, source)| {
                let on_host = (!mapping.deleted).then(|| Path::new(&mapping.path));
                Ok((path, cache.inspect_source(&source, on_host)?))
            });
            Loaded { mapping, is_executable, found }
        })
        .collect();
    loaded.sort_by_key(|file| !file.is_executable);
    Ok(loaded)
}

/// The first mapping with code of each file.
fn code(mappings: &[Mapping]) -> Vec<Mapping> {
    let mut files: Vec<Mapping> = Vec::new();
    for mapping in mappings.iter().filter(|m| m.executable) {
        let same =
            |m: &Mapping| (m.device, m.inode, &m.path) == (mapping.device, mapping.inode, &mapping.path);
        if files.len() < MAX_FILES && !files.iter().any(same) {
            files.push(mapping.clone());
        }
    }
    files
}

fn open(process: &Path, mapping: &Mapping, is_executable: bool) -> Result<(PathBuf, Source<'static>), Error> {
    let exact = if is_executable { process.join("exe") } else { mapping.open_at(process) };
    let error = match Source::open(&exact) {
        Ok(source) => return Ok((exact, source)),
        Err(error) => error,
    };
    if mapping.deleted {
        return Err(error);
    }
    // A symbolic link can lead out of the process's root, and a file can have been replaced: what is found is believed
    // only if it is the file that is mapped. The device is not compared, since overlay file systems give two.
    let path = process.join("root").join(mapping.path.trim_start_matches('/'));
    let source = Source::open(&path)?;
    let inode = source.file().and_then(|file| file.metadata().ok()).map(|m| m.ino());
    if inode == Some(mapping.inode) { Ok((path, source)) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_its_executable_and_its_libraries() {
        let mut cache = Cache::new(1 << 20);
        let loaded = inspect(Path::new("/proc/self"), &mut cache).unwrap();
        assert!(loaded[0].is_executable);
        assert_eq!(loaded.iter().filter(|file| file.is_executable).count(), 1);
        let libc = loaded.iter().find(|file| file.mapping.file_name() == Some("libc.so.6")).expect("libc");
        assert!(libc.found.as_ref().unwrap().1.binary.position_independent);
        for file in &loaded {
            let (path, _) = file.found.as_ref().unwrap();
            assert_eq!(fs::metadata(path).unwrap().ino(), file.mapping.inode, "{}", path.display());
        }
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(inspect(Path::new("/proc/0"), &mut Cache::new(1 << 20)).is_err());
    }
}
