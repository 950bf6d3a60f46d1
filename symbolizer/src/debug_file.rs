//! Separate debug files, as distributions package them: `/usr/lib/debug/.build-id/ab/cdef….debug`, or the name that
//! `.gnu_debuglink` gives. Source: GDB's manual, "Debugging Information in Separate Files".

use std::path::{Path, PathBuf};

use object::elf;

use crate::{
    elf::Image,
    source::{Source, Window},
};

/// Where distributions put debug files.
pub(crate) const ROOT: &str = "/usr/lib/debug";
/// The longest name in `.gnu_debuglink`, with its end and the checksum.
const MAX_LINK: u64 = 4096;

/// A debug file that belongs to a binary.
pub(crate) struct DebugFile {
    pub path: PathBuf,
    pub source: Source<'static>,
    pub image: Image,
}

/// Finds the debug file of a binary: by its build id, else by its `.gnu_debuglink`.
///
/// `path` is where the binary lies on this host, if it does; `root` the folder of debug files, usually [`ROOT`].
pub(crate) fn find(
    image: &Image,
    source: &Source<'_>,
    path: Option<&Path>,
    root: &Path,
) -> Option<DebugFile> {
    if let Some(id) = &image.build_id
        && let Some(file) = open(root.join(id.debug_path()))
        && file.image.build_id.as_ref() == Some(id)
    {
        return Some(file);
    }
    let (name, checksum) = link(image, source)?;
    let folder = path?.parent()?;
    let below_root = root.join(folder.strip_prefix("/").unwrap_or(folder));
    [folder.to_owned(), folder.join(".debug"), below_root].into_iter().find_map(|folder| {
        let file = open(folder.join(&name))?;
        let same_build = match (&image.build_id, &file.image.build_id) {
            (Some(binary), Some(debug)) => binary == debug,
            _ => crc32(&file.source)? == checksum,
        };
        same_build.then_some(file)
    })
}

fn open(path: PathBuf) -> Option<DebugFile> {
    let source = Source::open(&path).ok()?;
    let image = Image::parse(source.data()).ok()?;
    let useful = image.sections.iter().any(|s| s.kind == elf::SHT_SYMTAB || s.name.ends_with("debug_info"));
    useful.then_some(DebugFile { path, source, image })
}

/// A file's name without folders, and the CRC-32 of its content.
fn link(image: &Image, source: &Source<'_>) -> Option<(String, u32)> {
    let section = image.section(".gnu_debuglink").filter(|s| s.size <= MAX_LINK)?;
    let mut bytes = vec![0; section.size as usize];
    if source.fill(section.offset, &mut bytes) < bytes.len() {
        return None;
    }
    let end = memchr::memchr(0, &bytes)?;
    let name = std::str::from_utf8(&bytes[..end]).ok()?;
    if name.is_empty() || name == ".." || name == "." || name.contains('/') {
        return None;
    }
    let checksum = bytes.get((end + 1).next_multiple_of(4)..)?.get(..4)?;
    Some((name.to_owned(), image.word(checksum)? as u32))
}

/// The checksum of a whole file; `None` if it is too large to be read in passing.
fn crc32(source: &Source<'_>) -> Option<u32> {
    let mut crc = flate2::Crc::new();
    let mut window = Window::new(source);
    let size = source.file()?.metadata().ok()?.len();
    let mut at = 0;
    while at < size {
        let part = window.up_to(at, Window::SIZE);
        if part.is_empty() {
            return None;
        }
        crc.update(part);
        at += part.len() as u64;
    }
    Some(crc.sum())
}
