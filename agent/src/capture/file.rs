//! Recorded files: the records of a real run, for `remora replay`.
//!
//! ```text
//! file    = magic (8 bytes "REMORA\0" and the version) , frame…  , end
//! frame   = length of body u32 , CRC-32 of body u32 , body
//! end     = a frame of length 0 (its CRC is 0)
//! ```
//!
//! All numbers are little-endian. The first frame's body is the [`Preamble`] as JSON; the body of every other is a
//! sequence of records, each a length (u32) and that many bytes as [`Record`](super::Record) reads them. A file
//! without its end was cut off.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::identity::Host;

const MAGIC: [u8; 8] = *b"REMORA\0\x03";
/// The most bytes of a frame's body; a writer starts the next one well before.
const MAX_FRAME: usize = 16 << 20;
/// A frame is written once it has this many bytes.
const FRAME: usize = 1 << 20;

/// What a replay needs to know of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Preamble {
    /// Wall clock minus `CLOCK_MONOTONIC` when the run began, nanoseconds.
    pub clock_offset: i64,
    /// Seed of the run's span and trace ids.
    pub seed: u64,
    /// The host.
    pub host: Host,
    /// The version of Remora that wrote it.
    pub version: String,
}

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Something else than a recording.
    #[error("{path} is not a recording of Remora; `remora record FILE` makes one")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A recording of another version of the format.
    #[error("{path} was recorded in version {version} of the format, and this Remora reads version {}", MAGIC[7])]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u8,
    },
    /// The file ends too early.
    #[error(
        "{path} is cut off after {records} records, at byte {position}; what was whole has been replayed"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Whole records before.
        records: u64,
        /// Where the incomplete frame begins.
        position: u64,
    },
    /// The bytes are not what was written.
    #[error("{path} is damaged in the frame at byte {position}, after {records} records: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Whole records before.
        records: u64,
        /// Where the damaged frame begins.
        position: u64,
        /// What does not fit.
        what: &'static str,
    },
}

/// Writes a recording.
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    frame: Vec<u8>,
    /// Records written so far.
    pub records: u64,
}

impl Writer {
    /// Creates the file, readable by its owner alone: it holds bytes of the services.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn create(path: &Path, preamble: &Preamble) -> Result<Self, FileError> {
        let fail = |reason| FileError::Io { path: path.into(), reason };
        let file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(fail)?;
        let mut writer =
            Self { path: path.into(), file: BufWriter::new(file), frame: Vec::new(), records: 0 };
        writer.file.write_all(&MAGIC).map_err(fail)?;
        writer.frame = serde_json::to_vec(preamble).map_err(|e| fail(e.into()))?;
        writer.flush_frame()?;
        Ok(writer)
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn write(&mut self, record: &[u8]) -> Result<(), FileError> {
        self.frame.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.frame.extend_from_slice(record);
        self.records += 1;
        if self.frame.len() >= FRAME { self.flush_frame() } else { Ok(()) }
    }

    /// Writes the end.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn finish(mut self) -> Result<u64, FileError> {
        if !self.frame.is_empty() {
            self.flush_frame()?;
        }
        let fail = |reason| FileError::Io { path: self.path.clone(), reason };
        self.file.write_all(&[0; 8]).map_err(fail)?;
        self.file.flush().map_err(fail)?;
        Ok(self.records)
    }

    fn flush_frame(&mut self) -> Result<(), FileError> {
        let mut head = [0; 8];
        head[..4].copy_from_slice(&(self.frame.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(&self.frame).to_le_bytes());
        let written = self.file.write_all(&head).and_then(|()| self.file.write_all(&self.frame));
        self.frame.clear();
        written.map_err(|reason| FileError::Io { path: self.path.clone(), reason })
    }
}

/// Reads a recording.
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    position: u64,
    records: u64,
    /// What the run was.
    pub preamble: Preamble,
}

impl Reader {
    /// Opens a recording and reads its preamble.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|reason| FileError::Io { path: path.into(), reason })?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut magic = [0; MAGIC.len()];
        match file.read_exact(&mut magic) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(FileError::Foreign { path: path.into() });
            }
            Err(reason) => return Err(FileError::Io { path: path.into(), reason }),
        }
        if magic[..7] != MAGIC[..7] {
            return Err(FileError::Foreign { path: path.into() });
        }
        if magic[7] != MAGIC[7] {
            return Err(FileError::Version { path: path.into(), version: magic[7] });
        }
        let nobody = Preamble { clock_offset: 0, seed: 0, host: Host::default(), version: String::new() };
        let mut reader = Self { path: path.into(), file, position: 8, records: 0, preamble: nobody };
        let mut body = Vec::new();
        if !reader.frame(&mut body)? {
            return Err(reader.damaged("there is no preamble"));
        }
        reader.preamble =
            serde_json::from_slice(&body).map_err(|_| reader.damaged("the preamble cannot be read"))?;
        Ok(reader)
    }

    /// Gives each record to `take`, in order.
    ///
    /// # Errors
    /// [`FileError`]; what was whole before has been given.
    pub fn read(&mut self, mut take: impl FnMut(&[u8])) -> Result<u64, FileError> {
        let mut body = Vec::new();
        loop {
            let start = self.position;
            if !self.frame(&mut body)? {
                return Ok(self.records);
            }
            let mut rest = &body[..];
            while let Some((length, behind)) = rest.split_first_chunk() {
                let Some((record, behind)) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)
                else {
                    self.position = start;
                    return Err(self.damaged("a record is longer than its frame"));
                };
                take(record);
                self.records += 1;
                rest = behind;
            }
        }
    }

    /// Reads the next frame's body; false at the end.
    fn frame(&mut self, body: &mut Vec<u8>) -> Result<bool, FileError> {
        let mut head = [0; 8];
        self.exactly(&mut head)?;
        let (length, crc) = head.split_at(4);
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let crc = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
        if length == 0 {
            return Ok(false);
        }
        if length > MAX_FRAME {
            return Err(self.damaged("a frame is too long"));
        }
        body.resize(length, 0);
        self.exactly(body)?;
        if crc32fast::hash(body) != crc {
            return Err(self.damaged("its checksum does not fit"));
        }
        self.position += 8 + length as u64;
        Ok(true)
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Result<(), FileError> {
        self.file.read_exact(bytes).map_err(|reason| match reason.kind() {
            io::ErrorKind::UnexpectedEof => FileError::Truncated {
                path: self.path.clone(),
                records: self.records,
                position: self.position,
            },
            _ => FileError::Io { path: self.path.clone(), reason },
        })
    }

    fn damaged(&self, what: &'static str) -> FileError {
        FileError::Damaged { path: self.path.clone(), records: self.records, position: self.position, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preamble() -> Preamble {
        Preamble { clock_offset: -5, seed: 7, host: Host::default(), version: "0".into() }
    }

    fn written(folder: &Path, records: &[&[u8]]) -> PathBuf {
        let path = folder.join("run");
        let mut writer = Writer::create(&path, &preamble()).unwrap();
        for record in records {
            writer.write(record).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), records.len() as u64);
        path
    }

    fn read(path: &Path) -> (Vec<Vec<u8>>, Result<u64, FileError>) {
        let mut seen = Vec::new();
        let end = Reader::open(path).and_then(|mut reader| {
            assert_eq!((reader.preamble.clock_offset, reader.preamble.seed), (-5, 7));
            reader.read(|record| seen.push(record.to_vec()))
        });
        (seen, end)
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let big = vec![7; FRAME];
        let path = written(folder.path(), &[b"one", b"", &big, b"four"]);
        let (seen, end) = read(&path);
        assert_eq!(end.unwrap(), 4);
        assert_eq!(seen, [b"one".to_vec(), vec![], big, b"four".to_vec()]);
    }

    /// Every prefix of a file is refused as foreign or cut off, and never yields more than was whole.
    #[test]
    fn every_prefix_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[b"one", b"two"]);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let (seen, error) = read(&path);
            let error = error.unwrap_err();
            let expected = if end < 8 { "is not a recording" } else { "is cut off" };
            assert!(error.to_string().contains(expected), "{end}: {error}");
            assert!(seen.is_empty() || seen.len() == 2, "{end}: {seen:?}");
        }
    }

    #[test]
    fn damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[b"one", b"two"]);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() - 8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            std::fs::write(&path, &bytes).unwrap();
            let (_, error) = read(&path);
            assert!(error.is_err(), "byte {at}");
        }
    }
}
