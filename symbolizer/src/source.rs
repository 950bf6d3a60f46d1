//! The bytes of a file, read as they are asked for and within a bound.
//!
//! Files are read, not mapped: whoever owns a file can cut it short while we look at it, and a mapping
//! would then end the agent with SIGBUS. Headers are read through [`Data`] and stay in memory until the
//! [`Source`] is dropped; tables, which can be large, go by in a [`Window`]. Both are bounded, so that no file
//! takes more memory or time than it is worth.

use std::{
    cell::Cell,
    fs::{File, OpenOptions},
    ops,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use object::{ReadCache, ReadRef};

use crate::Error;

/// What may be kept of one file, bytes.
const KEPT: u64 = 32 << 20;
/// What may be looked at of one file in passing, bytes.
const PASSING: u64 = 2 << 30;

/// An open regular file, or bytes in memory.
pub(crate) struct Source<'b> {
    kind: Kind<'b>,
    kept: Cell<u64>,
    passing: Cell<u64>,
}

enum Kind<'b> {
    File { cache: ReadCache<File>, raw: File },
    Bytes(&'b [u8]),
}

/// A cheap handle on a [`Source`], as `object` wants it.
#[derive(Clone, Copy)]
pub(crate) struct Data<'s>(&'s Source<'s>);

impl Source<'static> {
    /// Opens a regular file. Never blocks on a pipe that stands where a file was expected.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let raw = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .map_err(io)?;
        if !raw.metadata().map_err(io)?.is_file() {
            return Err(Error::NotAFile(path.to_owned()));
        }
        Self::of_file(raw).map_err(io)
    }

    fn of_file(raw: File) -> std::io::Result<Self> {
        let cache = ReadCache::new(raw.try_clone()?);
        Ok(Source { kind: Kind::File { cache, raw }, kept: Cell::new(KEPT), passing: Cell::new(PASSING) })
    }
}

impl<'b> Source<'b> {
    /// Bytes in memory, as tests and fuzzing have them.
    pub(crate) fn bytes(bytes: &'b [u8]) -> Self {
        Source { kind: Kind::Bytes(bytes), kept: Cell::new(KEPT), passing: Cell::new(PASSING) }
    }

    /// A handle to read through.
    pub(crate) fn data(&self) -> Data<'_> {
        Data(self)
    }

    /// The file, for what must be told from its metadata.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.kind {
            Kind::File { raw, .. } => Some(raw),
            Kind::Bytes(_) => None,
        }
    }

    /// How many bytes there are from `at` on, as far as that is known.
    pub(crate) fn left(&self, at: u64) -> u64 {
        ReadRef::len(self.data()).unwrap_or(0).saturating_sub(at)
    }

    /// Fills as much of `buf` as there is at `offset`, keeping nothing; for scans over much data.
    pub(crate) fn fill(&self, offset: u64, buf: &mut [u8]) -> usize {
        let Some(left) = self.passing.get().checked_sub(buf.len() as u64) else { return 0 };
        self.passing.set(left);
        match &self.kind {
            Kind::Bytes(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let len = rest.len().min(buf.len());
                buf[..len].copy_from_slice(&rest[..len]);
                len
            }
            Kind::File { raw, .. } => {
                let mut done = 0;
                while done < buf.len() {
                    match raw.read_at(&mut buf[done..], offset.saturating_add(done as u64)) {
                        Ok(0) => break,
                        Ok(n) => done += n,
                        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(_) => break,
                    }
                }
                done
            }
        }
    }

    fn spend(&self, size: u64) -> Result<(), ()> {
        self.kept.set(self.kept.get().checked_sub(size).ok_or(())?);
        Ok(())
    }
}

/// A part of a file that goes by: cheap for reads that mostly go forwards.
pub(crate) struct Window<'s> {
    source: &'s Source<'s>,
    buffer: Vec<u8>,
    /// The place of the buffer's first byte.
    start: u64,
    size: usize,
}

impl<'s> Window<'s> {
    /// What one read fetches, bytes.
    pub(crate) const SIZE: usize = 64 << 10;

    pub(crate) fn new(source: &'s Source<'s>) -> Self {
        Self::of_size(source, Self::SIZE)
    }

    /// Smaller, for reads that jump.
    pub(crate) fn of_size(source: &'s Source<'s>, size: usize) -> Self {
        Window { source, buffer: Vec::new(), start: 0, size }
    }

    /// The bytes from `at`; `None` if the file ends before.
    pub(crate) fn get(&mut self, at: u64, len: usize) -> Option<&[u8]> {
        let bytes = self.up_to(at, len);
        (bytes.len() == len).then_some(bytes)
    }

    /// The bytes from `at`, at most `len`, fewer where the file ends.
    pub(crate) fn up_to(&mut self, at: u64, len: usize) -> &[u8] {
        let inside = |window: &Self| {
            let from = usize::try_from(at.checked_sub(window.start)?).ok()?;
            (from.checked_add(len)? <= window.buffer.len()).then_some(from)
        };
        let from = inside(self).unwrap_or_else(|| {
            let left = usize::try_from(self.source.left(at)).unwrap_or(usize::MAX);
            self.buffer.resize(self.size.max(len).min(left), 0);
            let read = self.source.fill(at, &mut self.buffer);
            self.buffer.truncate(read);
            self.start = at;
            0
        });
        &self.buffer[from..self.buffer.len().min(from + len)]
    }
}

/// A part of a file as a stream, for decompression.
pub(crate) struct Range<'s> {
    source: &'s Source<'s>,
    at: u64,
    end: u64,
}

impl<'s> Range<'s> {
    pub(crate) fn new(source: &'s Source<'s>, at: u64, size: u64) -> Self {
        Range { source, at, end: at.saturating_add(size) }
    }
}

impl std::io::Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = self.source.fill(self.at, &mut buffer[..want]);
        self.at += read as u64;
        Ok(read)
    }
}

impl<'s> Data<'s> {
    /// The source behind the handle.
    pub(crate) fn source(self) -> &'s Source<'s> {
        self.0
    }

    /// At most `limit` bytes from `offset`, fewer where the file ends.
    pub(crate) fn up_to(self, offset: u64, limit: u64) -> &'s [u8] {
        let len = ReadRef::len(self).unwrap_or(0);
        self.read_bytes_at(offset, limit.min(len.saturating_sub(offset))).unwrap_or_default()
    }
}

impl<'s> ReadRef<'s> for Data<'s> {
    fn len(self) -> Result<u64, ()> {
        match &self.0.kind {
            Kind::File { cache, .. } => cache.len(),
            Kind::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'s [u8], ()> {
        match &self.0.kind {
            Kind::File { cache, .. } => {
                if offset.checked_add(size).ok_or(())? > cache.len()? {
                    return Err(());
                }
                self.0.spend(size)?;
                cache.read_bytes_at(offset, size)
            }
            Kind::Bytes(bytes) => bytes.read_bytes_at(offset, size),
        }
    }

    fn read_bytes_at_until(self, range: ops::Range<u64>, delimiter: u8) -> Result<&'s [u8], ()> {
        match &self.0.kind {
            Kind::File { cache, .. } => {
                self.0.spend(4096)?;
                cache.read_bytes_at_until(range, delimiter)
            }
            Kind::Bytes(bytes) => bytes.read_bytes_at_until(range, delimiter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_bytes_answer_alike() {
        let content: Vec<u8> = (0..10_000_u32).map(|i| i as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &content).unwrap();
        let (a, b) = (Source::open(file.path()).unwrap(), Source::bytes(&content));
        for (offset, size) in [(0, 10_000), (9_999, 1), (9_999, 2), (u64::MAX, 2), (0, u64::MAX), (5, 0)] {
            assert_eq!(
                a.data().read_bytes_at(offset, size),
                b.data().read_bytes_at(offset, size),
                "{offset}+{size}"
            );
            let (mut x, mut y) = ([0; 16], [0; 16]);
            assert_eq!(a.fill(offset, &mut x), b.fill(offset, &mut y), "fill at {offset}");
            assert_eq!(x, y);
        }
        assert_eq!(a.data().up_to(9_990, 100).len(), 10);
    }

    #[test]
    fn a_sparse_giant_is_not_read_into_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        let source = Source::open(file.path()).unwrap();
        assert!(source.data().read_bytes_at(0, 1 << 39).is_err());
        assert!(source.data().read_bytes_at(0, 4096).is_ok());
    }

    #[test]
    fn a_window_answers_as_the_whole_does() {
        let content: Vec<u8> = (0..200_000_u32).map(|i| (i >> 3) as u8).collect();
        let source = Source::bytes(&content);
        let mut window = Window::new(&source);
        for (at, len) in [(0, 4), (65_534, 4), (65_538, 100_000), (3, 1), (199_999, 1), (150_000, 0)] {
            assert_eq!(window.get(at as u64, len), Some(&content[at..at + len]), "{at}+{len}");
        }
        assert_eq!(window.get(199_999, 2), None);
        assert_eq!(window.up_to(199_999, 2), &content[199_999..]);
        assert_eq!(window.get(u64::MAX, 1), None);
        assert_eq!(window.up_to(u64::MAX, 1 << 20), &[0_u8; 0]);
    }

    #[test]
    fn no_file_is_looked_at_for_ever() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        let source = Source::open(file.path()).unwrap();
        source.passing.set(3 << 20);
        let mut buffer = vec![0; 1 << 20];
        let full = (0..10).filter(|i| source.fill(i << 20, &mut buffer) > 0).count();
        assert_eq!(full, 3);
    }

    #[test]
    fn directories_and_pipes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Source::open(dir.path()), Err(Error::NotAFile(_))));
        assert!(matches!(Source::open(&dir.path().join("none")), Err(Error::Io { .. })));
    }
}
