//! Debug sections, decompressed only as far as they are read.

use std::{borrow::Cow, io::Read};

use flate2::read::ZlibDecoder;
use object::{CompressedData, CompressionFormat, ReadRef};

use crate::{
    Error,
    elf::{Image, Section},
    source::Data,
};

/// The most that is decompressed of one section. `.debug_info` of a Kubernetes kubelet has about 60 MiB.
const MAX_SECTION: u64 = if cfg!(test) { 16 << 20 } else { 256 << 20 };

/// How much is decompressed at once.
const STEP: usize = 256 << 10;

/// A section whose leading bytes are known.
pub(crate) struct Inflated<'a> {
    bytes: Cow<'a, [u8]>,
    rest: Option<ZlibDecoder<&'a [u8]>>,
}

impl<'a> Inflated<'a> {
    /// The section `.NAME` or `.zNAME`, if the file has one of them.
    pub(crate) fn section(image: &Image, data: Data<'a>, name: &str) -> Result<Option<Self>, Error> {
        if let Some(section) = image.section(&format!(".{name}")) {
            let raw = contents(section, data)?;
            if !section.compressed {
                return Ok(Some(Inflated { bytes: raw.into(), rest: None }));
            }
            return Self::compressed(image, raw).map(Some);
        }
        // Before SHF_COMPRESSED: "ZLIB", the size as a big-endian number of 8 bytes, a zlib stream.
        match image.section(&format!(".z{name}")) {
            Some(section) => match contents(section, data)?.split_at_checked(12) {
                Some((head, stream)) if head.starts_with(b"ZLIB") => Ok(Some(Self::zlib(stream))),
                _ => Err(Error::Malformed("a .zdebug section without its header")),
            },
            None => Ok(None),
        }
    }

    /// `Elf32_Chdr` or `Elf64_Chdr`, then a zlib stream or a Zstandard frame.
    fn compressed(image: &Image, raw: &'a [u8]) -> Result<Self, Error> {
        let cut = || Error::Malformed("a compressed section without its header");
        let word = |at: usize, len: usize| {
            let bytes = raw.get(at..at + len)?;
            let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
            Some(if image.little_endian {
                bytes.iter().rev().fold(0, fold)
            } else {
                bytes.iter().fold(0, fold)
            })
        };
        let (header, size) = if image.is_64 { (24, word(8, 8)) } else { (12, word(4, 4)) };
        let (stream, size) = (raw.get(header..).ok_or_else(cut)?, size.ok_or_else(cut)?);
        match word(0, 4) {
            Some(1) => Ok(Self::zlib(stream)),
            Some(2) => {
                if size > MAX_SECTION {
                    return Err(Error::TooLarge { what: "a debug section", size, limit: MAX_SECTION });
                }
                let data = CompressedData {
                    format: CompressionFormat::Zstandard,
                    data: stream,
                    uncompressed_size: size,
                };
                let bytes = data.decompress().map_err(|_| Error::Malformed("a Zstandard section"))?;
                Ok(Inflated { bytes, rest: None })
            }
            _ => Err(Error::Malformed("a section compressed by a method that is not known")),
        }
    }

    fn zlib(stream: &'a [u8]) -> Self {
        Inflated { bytes: Cow::Owned(Vec::new()), rest: Some(ZlibDecoder::new(stream)) }
    }

    /// Makes the first `end` bytes known, if there are as many; returns how many are.
    pub(crate) fn ensure(&mut self, end: usize) -> Result<usize, Error> {
        while self.bytes.len() < end
            && let Some(decoder) = &mut self.rest
        {
            let bytes = self.bytes.to_mut();
            let size = (bytes.len() + STEP) as u64;
            if size > MAX_SECTION {
                return Err(Error::TooLarge { what: "a debug section", size, limit: MAX_SECTION });
            }
            let read = decoder
                .by_ref()
                .take(STEP as u64)
                .read_to_end(bytes)
                .map_err(|_| Error::Malformed("a zlib section"))?;
            if read == 0 {
                self.rest = None;
            }
        }
        Ok(self.bytes.len())
    }

    /// The bytes known so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn contents<'a>(section: &Section, data: Data<'a>) -> Result<&'a [u8], Error> {
    if section.size > MAX_SECTION {
        return Err(Error::TooLarge { what: "a debug section", size: section.size, limit: MAX_SECTION });
    }
    data.read_bytes_at(section.offset, section.size)
        .map_err(|()| Error::Malformed("a section beyond the file's end"))
}
