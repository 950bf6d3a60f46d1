//! Debug sections, front to back: decompressed only as far as they are read, and of what went by nothing is kept.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::{
    Error,
    elf::{Image, Section},
    source::{Data, Range, Source},
};

/// The most that is decompressed of one section. `.debug_info` of a Kubernetes kubelet has about 60 MiB.
const MAX_SECTION: u64 = 512 << 20;
/// The most that is kept at once: one compile unit. Of a kubelet the largest has about 16 MiB.
const MAX_PART: usize = if cfg!(test) { 16 << 20 } else { 64 << 20 };
/// The window that a Zstandard frame may ask for. `ld --compress-debug-sections=zstd` asks for 8 MiB at most.
const MAX_ZSTD_WINDOW: u64 = 16 << 20;

/// A section, of which a part is known.
pub(crate) struct Debug<'s> {
    content: Content<'s>,
    /// The part from `start` on.
    bytes: Vec<u8>,
    start: u64,
}

enum Content<'s> {
    Plain {
        source: &'s Source<'s>,
        offset: u64,
        size: u64,
    },
    /// What follows the part that is known.
    Compressed(Box<dyn Read + 's>),
}

impl<'s> Debug<'s> {
    /// The section `.NAME` or `.zNAME`, if the file has one of them.
    pub(crate) fn section(image: &Image, data: Data<'s>, name: &str) -> Result<Option<Self>, Error> {
        let source = data.source();
        let content = if let Some(section) = image.section(&format!(".{name}")) {
            if section.compressed {
                decompress(image, source, section)?
            } else {
                Content::Plain { source, offset: section.offset, size: section.size }
            }
        } else if let Some(section) = image.section(&format!(".z{name}")) {
            // Before SHF_COMPRESSED: "ZLIB", the size as a big-endian number of 8 bytes, a zlib stream.
            let mut head = [0; 12];
            if section.size < 12 || source.fill(section.offset, &mut head) < 12 || !head.starts_with(b"ZLIB")
            {
                return Err(Error::Malformed("a .zdebug section without its header"));
            }
            zlib(source, section.offset.saturating_add(12), section.size - 12)
        } else {
            return Ok(None);
        };
        Ok(Some(Debug { content, bytes: Vec::new(), start: 0 }))
    }

    /// The bytes from `from` up to `to`, fewer where the section ends. `from` may not go back.
    pub(crate) fn part(&mut self, from: u64, to: u64) -> Result<&[u8], Error> {
        let size = to.saturating_sub(from);
        if size > MAX_PART as u64 {
            return Err(Error::TooLarge {
                what: "a unit of debug information",
                size,
                limit: MAX_PART as u64,
            });
        }
        let size = size as usize;
        match &mut self.content {
            Content::Plain { source, offset, size: section } => {
                let at = offset.saturating_add(from);
                let left = section.saturating_sub(from).min(source.left(at));
                let size = size.min(usize::try_from(left).unwrap_or(usize::MAX));
                self.bytes.resize(size, 0);
                let read = source.fill(at, &mut self.bytes);
                self.bytes.truncate(read);
            }
            Content::Compressed(stream) => {
                if to > MAX_SECTION {
                    return Err(Error::TooLarge { what: "a debug section", size: to, limit: MAX_SECTION });
                }
                let broken = |_| Error::Malformed("a compressed debug section");
                let skip = from.saturating_sub(self.start);
                let known = self.bytes.len() as u64;
                self.bytes.drain(..skip.min(known) as usize);
                if skip > known {
                    io::copy(&mut stream.take(skip - known), &mut io::sink()).map_err(broken)?;
                }
                self.start = from;
                let missing = size.saturating_sub(self.bytes.len());
                stream.take(missing as u64).read_to_end(&mut self.bytes).map_err(broken)?;
            }
        }
        Ok(&self.bytes[..self.bytes.len().min(size)])
    }
}

/// `Elf32_Chdr` or `Elf64_Chdr`, then a zlib stream or a Zstandard frame.
fn decompress<'s>(image: &Image, source: &'s Source<'s>, section: &Section) -> Result<Content<'s>, Error> {
    let cut = Error::Malformed("a compressed section without its header");
    let mut head = [0; 24];
    let head = &mut head[..if image.is_64 { 24 } else { 12 }];
    let length = head.len() as u64;
    if section.size < length || source.fill(section.offset, head) < head.len() {
        return Err(cut);
    }
    let (at, size) = (section.offset.saturating_add(length), section.size - length);
    match image.word(&head[..4]) {
        Some(1) => Ok(zlib(source, at, size)),
        Some(2) => {
            let stream = Range::new(source, at, size);
            let stream = StreamingDecoder::new_with_max_window_size(stream, MAX_ZSTD_WINDOW)
                .map_err(|_| Error::Malformed("a Zstandard section"))?;
            Ok(Content::Compressed(Box::new(stream)))
        }
        _ => Err(Error::Malformed("a section compressed by a method that is not known")),
    }
}

fn zlib<'s>(source: &'s Source<'s>, at: u64, size: u64) -> Content<'s> {
    Content::Compressed(Box::new(ZlibDecoder::new(Range::new(source, at, size))))
}
