//! What a process has mapped: `/proc/PID/maps` (proc_pid_maps(5)).

use std::path::{Path, PathBuf};

/// One line of `/proc/PID/maps` that names a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The address after its last.
    pub end: u64,
    /// Its place in the file, bytes.
    pub offset: u64,
    /// Code.
    pub executable: bool,
    /// The device of the file, major and minor.
    pub device: (u32, u32),
    /// The inode of the file.
    pub inode: u64,
    /// The path in the process's own mount namespace, which need not be ours: to open the file, use
    /// [`Mapping::open_at`].
    pub path: String,
    /// The file was deleted or replaced since.
    pub deleted: bool,
}

impl Mapping {
    /// The last part of the path.
    pub fn file_name(&self) -> Option<&str> {
        self.path.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// Where the very file can be opened, whatever root the process has and even if it was deleted.
    ///
    /// Needs `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`. Do not resolve [`Mapping::path`] below
    /// `/proc/PID/root` instead: a symbolic link there may lead out of it.
    pub fn open_at(&self, process: &Path) -> PathBuf {
        process.join("map_files").join(format!("{:x}-{:x}", self.start, self.end))
    }
}

/// Reads the lines that name files; others and malformed ones are left out.
///
/// Looks at no more than 65,536 lines (the kernel's default bound on mappings, `vm.max_map_count`, is 65,530).
pub fn parse(maps: &[u8]) -> Vec<Mapping> {
    maps.split(|&b| b == b'\n').take(1 << 16).filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mapping> {
    let line = String::from_utf8_lossy(line);
    // 7f1c8a400000-7f1c8a428000 r-xp 00028000 fd:01 1234567    /usr/lib/libssl.so.3 (deleted)
    let (range, rest) = line.split_once(' ')?;
    let (permissions, rest) = rest.split_once(' ')?;
    let (offset, rest) = rest.split_once(' ')?;
    let (device, rest) = rest.split_once(' ')?;
    let (inode, path) = rest.split_once(' ')?;
    let path = path.trim_start_matches(' ');
    if !path.starts_with('/') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let hex32 = |text: &str| u32::from_str_radix(text, 16).ok();
    let (path, deleted) = match path.strip_suffix(" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    };
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        offset: hex(offset)?,
        executable: permissions.as_bytes().get(2) == Some(&b'x'),
        device: (hex32(major)?, hex32(minor)?),
        inode: inode.parse().ok()?,
        // The kernel writes a line feed in a name as \012, and nothing else so.
        path: path.replace("\\012", "\n"),
        deleted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"\
5581e0a00000-5581e0a28000 r--p 00000000 fd:01 1835009                    /usr/sbin/nginx
5581e0a28000-5581e0b2c000 r-xp 00028000 fd:01 1835009                    /usr/sbin/nginx
7f1c8a200000-7f1c8a228000 rw-p 00000000 00:00 0                          [heap]
7f1c8a300000-7f1c8a320000 rw-p 00000000 00:00 0 \n\
7f1c8a400000-7f1c8a428000 r-xp 0001e000 fe:10 42                         /opt/my app/lib\\012x.so (deleted)
7f1c8a500000-7f1c8a528000 rw-s 00000000 00:05 7                          /dev/zero (deleted)
garbage
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    #[test]
    fn lines_that_name_files_are_read_exactly() {
        let mappings = parse(MAPS);
        assert_eq!(mappings.len(), 4, "{mappings:#?}");
        assert_eq!(
            mappings[1],
            Mapping {
                start: 0x5581_e0a2_8000,
                end: 0x5581_e0b2_c000,
                offset: 0x28000,
                executable: true,
                device: (0xfd, 1),
                inode: 1_835_009,
                path: "/usr/sbin/nginx".into(),
                deleted: false,
            }
        );
        assert!(!mappings[0].executable);
        assert_eq!(mappings[2].path, "/opt/my app/lib\nx.so");
        assert_eq!(mappings[2].file_name(), Some("lib\nx.so"));
        assert!(mappings[2].deleted && mappings[3].deleted);
        assert_eq!(
            mappings[2].open_at(Path::new("/proc/7")),
            Path::new("/proc/7/map_files/7f1c8a400000-7f1c8a428000")
        );
    }

    #[test]
    fn our_own_mappings_are_read_whole() {
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let expected = String::from_utf8_lossy(&maps).lines().filter(|l| l.contains(" /")).count();
        assert_eq!(parse(&maps).len(), expected);
    }

    #[test]
    fn any_prefix_is_survived() {
        for end in 0..MAPS.len() {
            parse(&MAPS[..end]);
        }
    }
}
