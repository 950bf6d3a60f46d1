//! Inspections that are kept: each build is parsed once, and what is kept has a bound.

use std::{
    collections::{BTreeMap, HashMap},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use crate::{BuildId, Error, Inspection, elf::Image, go, runtime::Runtime, source::Source, witness};

/// Inspections, the least recently used of which make room for new ones.
///
/// A file that is known (device, inode, size and time of change) costs a look at its metadata; one of a build id that is
/// known, in another container for example, the reading of some kilobytes that prove that the answer holds for it too.
#[derive(Debug)]
pub struct Cache {
    max_bytes: usize,
    used: usize,
    clock: u64,
    entries: HashMap<u64, Entry>,
    /// From the time of the last use to the entry.
    by_use: BTreeMap<u64, u64>,
    files: HashMap<FileId, u64>,
    builds: HashMap<BuildKey, u64>,
    statistics: Statistics,
}

/// What a [`Cache`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Files that were parsed.
    pub parsed: u64,
    /// Answers for a file that had been seen.
    pub same_file: u64,
    /// Answers for another file of the same build.
    pub same_build: u64,
    /// Files with the build id of another from which they differ.
    pub impostors: u64,
    /// Inspections that had to make room.
    pub evicted: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl FileId {
    fn of(source: &Source<'_>) -> Option<Self> {
        let metadata = source.file()?.metadata().ok()?;
        Some(FileId {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A build id, with the file's size: a stripped copy has the build id of the whole.
type BuildKey = (BuildId, u64);

#[derive(Debug)]
struct Entry {
    inspection: Arc<Inspection>,
    bytes: usize,
    used_at: u64,
    files: Vec<FileId>,
    build: Option<BuildKey>,
    /// Of the bytes from which the answer follows; only for those that can be passed on.
    digest: Option<u64>,
}

/// What a file costs that is known to be of an entry, with the overhead of two tables.
const FILE_BYTES: usize = 2 * size_of::<FileId>() + 32;

impl Cache {
    /// Keeps at most so many bytes, but always the newest inspection. One takes 1 to 10 KiB.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Cache {
            max_bytes,
            used: 0,
            clock: 0,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            files: HashMap::new(),
            builds: HashMap::new(),
            statistics: Statistics::default(),
        }
    }

    /// Bytes that are kept, about.
    pub fn used_bytes(&self) -> usize {
        self.used
    }

    /// Inspections that are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// None are kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The inspection of a file, as [`Inspection::of`] gives it.
    ///
    /// # Errors
    /// As there; errors are not kept.
    pub fn inspect(&mut self, path: &Path) -> Result<Arc<Inspection>, Error> {
        self.inspect_source(&Source::open(path)?, Some(path))
    }

    pub(crate) fn inspect_source(
        &mut self,
        source: &Source<'_>,
        path: Option<&Path>,
    ) -> Result<Arc<Inspection>, Error> {
        let file = FileId::of(source);
        if let Some(&id) = file.as_ref().and_then(|file| self.files.get(file))
            && let Some(inspection) = self.touch(id)
        {
            self.statistics.same_file += 1;
            return Ok(inspection);
        }
        let image = Image::parse(source.data())?;
        let build = image.build_id.clone().zip(file.as_ref().map(|file| file.size));
        if let Some(&id) = build.as_ref().and_then(|build| self.builds.get(build)) {
            if self.holds(id, &image, source) {
                self.add_file(id, file);
                if let Some(inspection) = self.touch(id) {
                    self.statistics.same_build += 1;
                    return Ok(inspection);
                }
            }
            self.statistics.impostors += 1;
        }
        self.statistics.parsed += 1;
        let inspection = Arc::new(Inspection::of_source(source, path)?);
        let digest = inspection.follows_from.as_ref().and_then(|spans| witness::digest(source, spans));
        self.insert(inspection.clone(), file, build, digest);
        Ok(inspection)
    }

    /// Whether an entry's inspection follows from this file as well.
    fn holds(&self, id: u64, image: &Image, source: &Source<'_>) -> bool {
        let Some(entry) = self.entries.get(&id) else { return false };
        let (Some(digest), Some(spans)) = (entry.digest, &entry.inspection.follows_from) else {
            return false;
        };
        let version = match &entry.inspection.binary.runtime {
            Runtime::Go(info) => Some(info.version.clone()),
            _ => None,
        };
        let own_version = go::find_build_info(image, source.data()).map(|info| info.version);
        version == own_version && witness::digest(source, spans) == Some(digest)
    }

    fn touch(&mut self, id: u64) -> Option<Arc<Inspection>> {
        let entry = self.entries.get_mut(&id)?;
        self.clock += 1;
        self.by_use.remove(&entry.used_at);
        entry.used_at = self.clock;
        self.by_use.insert(self.clock, id);
        Some(entry.inspection.clone())
    }

    fn add_file(&mut self, id: u64, file: Option<FileId>) {
        if let (Some(entry), Some(file)) = (self.entries.get_mut(&id), file) {
            entry.files.push(file);
            entry.bytes += FILE_BYTES;
            self.used += FILE_BYTES;
            self.files.insert(file, id);
            self.make_room(Some(id));
        }
    }

    fn insert(
        &mut self,
        inspection: Arc<Inspection>,
        file: Option<FileId>,
        build: Option<BuildKey>,
        digest: Option<u64>,
    ) {
        self.clock += 1;
        let id = self.clock;
        let bytes = inspection.bytes() + size_of::<Entry>() + FILE_BYTES + 128;
        // The first of a build stays its pattern; an impostor does not take its place.
        let build = build.filter(|build| digest.is_some() && !self.builds.contains_key(build));
        if let Some(build) = &build {
            self.builds.insert(build.clone(), id);
        }
        if let Some(file) = file {
            self.files.insert(file, id);
        }
        let files = file.into_iter().collect();
        self.entries.insert(id, Entry { inspection, bytes, used_at: id, files, build, digest });
        self.by_use.insert(id, id);
        self.used += bytes;
        self.make_room(Some(id));
    }

    fn make_room(&mut self, keep: Option<u64>) {
        while self.used > self.max_bytes {
            let oldest = self.by_use.iter().map(|(&at, &id)| (at, id)).find(|&(_, id)| Some(id) != keep);
            let Some((at, id)) = oldest else { return };
            self.by_use.remove(&at);
            let Some(entry) = self.entries.remove(&id) else { continue };
            self.used -= entry.bytes;
            self.statistics.evicted += 1;
            for file in &entry.files {
                // The same file may have been parsed again since.
                if self.files.get(file) == Some(&id) {
                    self.files.remove(file);
                }
            }
            if let Some(build) = &entry.build {
                self.builds.remove(build);
            }
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
