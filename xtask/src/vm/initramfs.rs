//! The first file system of a guest: what it takes to reach the host's, and the job.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::job::Job;
use super::kernel::Kernel;

/// The first program.
const INIT: &[u8] = include_bytes!("init.sh");

/// An archive for a kernel, with a static busybox.
pub fn make(kernel: &Kernel, busybox: &Path, job: &Job) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "modules", "proc", "sys", "dev", "lower", "upper", "root"] {
        archive.folder(folder);
    }
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    archive.file("bin/busybox", 0o755, &read(busybox)?);
    for module in kernel.boot_modules()? {
        let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.file(&format!("modules/{name}"), 0o644, &read(&module)?);
    }
    archive.file("init", 0o755, INIT);
    archive.file("job.json", 0o644, &serde_json::to_vec(job)?);
    Ok(archive.finish())
}

/// An archive in cpio's "new ASCII" format (Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entry(name, 0o100_000 | mode, contents);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let (size, name_size) = (contents.len() as u32, name.len() as u32 + 1);
        // Inode, mode, user, group, links, time, size, devices (4), length of the name, checksum (not used).
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_begin_at_multiples_of_four_and_say_their_lengths() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.file("init", 0o755, b"hello");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let at: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(at.len(), 3);
        assert!(at.iter().all(|at| at % 4 == 0), "{at:?}");
        // Header (110), name with its NUL, contents.
        let init = &text[at[1]..];
        assert_eq!(&init[14..22], "000081ed", "a file, 0755");
        assert_eq!(&init[54..62], "00000005", "its length");
        assert_eq!(&init[94..102], "00000005", "its name's length");
        assert!(init[110..].starts_with("init\0"));
        assert_eq!(&init[116..121], "hello");
        assert!(text.contains("TRAILER!!!\0"));
    }
}
