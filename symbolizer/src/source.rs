//! The bytes of a file, read as they are asked for and within a bound.
//!
//! Files are read, not mapped: whoever owns a file can cut it short while we look at it, and a mapping
//! would then end the agent with SIGBUS. What is read stays in memory until the [`Source`] is dropped,
//! so all reads together are bounded.

use std::{
    cell::Cell,
    fs::{File, OpenOptions},
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use object::{ReadCache, ReadRef};

use crate::Error;

/// All reads of one file together, bytes.
const BUDGET: u64 = 512 << 20;

/// An open regular file, or bytes in memory.
pub(crate) struct Source<'b> {
    kind: Kind<'b>,
    budget: Cell<u64>,
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
        let cache = ReadCache::new(raw.try_clone().map_err(io)?);
        Ok(Source { kind: Kind::File { cache, raw }, budget: Cell::new(BUDGET) })
    }
}

impl<'b> Source<'b> {
    /// Bytes in memory, as tests and fuzzing have them.
    pub(crate) fn bytes(bytes: &'b [u8]) -> Self {
        Source { kind: Kind::Bytes(bytes), budget: Cell::new(BUDGET) }
    }

    /// A handle to read through.
    pub(crate) fn data(&self) -> Data<'_> {
        Data(self)
    }

    /// Fills as much of `buf` as there is at `offset`, keeping nothing; for scans over much data.
    pub(crate) fn fill(&self, offset: u64, buf: &mut [u8]) -> usize {
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
        self.budget.set(self.budget.get().checked_sub(size).ok_or(())?);
        Ok(())
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

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'s [u8], ()> {
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
    fn directories_and_pipes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Source::open(dir.path()), Err(Error::NotAFile(_))));
        assert!(matches!(Source::open(&dir.path().join("none")), Err(Error::Io { .. })));
    }
}
