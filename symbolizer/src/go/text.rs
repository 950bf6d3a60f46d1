//! Where the text of a Go program begins: since Go 1.18 the table of functions counts from there.
//!
//! Up to Go 1.25 its header says it; since then, and where the header's word is only filled in by the loader, it stands
//! in `runtime.firstmoduledata`, which nothing names in a stripped program. That structure begins with the address of
//! the table and holds, at the same places since Go 1.17, the first and the last address of the functions and of the
//! text, so it is found by its first word and proven by the others.

use super::pclntab::Header;
use crate::{
    elf::Image,
    functions::{names::Names, symbols},
    source::{Data, Source, Window},
    witness::Span,
};

/// Words of `runtime.moduledata`: the address of the table first; six slices, one address; then these.
const MIN_PC: usize = 20;
const MAX_PC: usize = 21;
const TEXT: usize = 22;
const WORDS: usize = 23;
/// Words that point to the table and are looked at.
const MAX_CANDIDATES: usize = 64;

/// Where the text begins.
pub(super) struct Text {
    pub address: u64,
    /// Where that is written; `None` if in relocations.
    pub stands: Option<Span>,
}

/// The address of the text; `first` and `end` are the first function's start and the last one's end from there.
pub(super) fn start(image: &Image, data: Data<'_>, header: &Header, first: u64, end: u64) -> Option<Text> {
    let fits = |text: u64| {
        let room = image.code_offset(text.checked_add(first)?)?.1;
        (end.checked_sub(first)? <= room).then_some(text)
    };
    if let Some(address) = header.text.and_then(fits) {
        return Some(Text { address, stands: Some(header.stands) });
    }
    let proven = |words: &[u64; WORDS]| {
        let text = fits(words[TEXT])?;
        let proof = (text.wrapping_add(first), text.wrapping_add(end));
        ((words[MIN_PC], words[MAX_PC]) == proof).then_some(text)
    };
    in_data(image, data.source(), header.address, proven)
        .or_else(|| {
            let address = in_relocations(image, data, header.address, proven)?;
            Some(Text { address, stands: None })
        })
        .or_else(|| {
            let address = by_symbol(image, data.source()).and_then(fits)?;
            Some(Text { address, stands: None })
        })
}

type Words = [u64; WORDS];

/// Searches what can be written for a word that points to the table.
fn in_data(
    image: &Image,
    source: &Source<'_>,
    table: u64,
    proven: impl Fn(&Words) -> Option<u64>,
) -> Option<Text> {
    let size = if image.is_64 { 8 } else { 4 };
    let mut needle = table.to_le_bytes()[..size].to_vec();
    if !image.little_endian {
        needle.reverse();
    }
    let step = Window::SIZE;
    let (mut window, mut there) = (Window::new(source), Window::of_size(source, WORDS * size));
    let mut left = MAX_CANDIDATES;
    // Position-independent programs have it among what is read-only once the loader is done.
    for segment in image.segments.iter().filter(|s| !s.executable && s.writable) {
        let mut at = 0;
        while at < segment.size && left > 0 {
            let want = step.min(usize::try_from(segment.size - at).unwrap_or(step));
            let Some(from) = segment.offset.checked_add(at) else { break };
            let bytes = window.up_to(from, want);
            for place in memchr::memmem::find_iter(bytes, &needle).filter(|p| p % size == 0).take(left) {
                left -= 1;
                let stands = Span::new(from + place as u64, (WORDS * size) as u64);
                let Some(bytes) = there.get(stands.at, WORDS * size) else { continue };
                let mut words = [0; WORDS];
                for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(size)) {
                    *word = image.word(bytes).unwrap_or(0);
                }
                if let Some(address) = proven(&words) {
                    return Some(Text { address, stands: Some(stands) });
                }
            }
            if bytes.len() < want {
                break;
            }
            at += step as u64;
        }
    }
    None
}

/// The same where the words are zero in the file and stand in relocations.
fn in_relocations(
    image: &Image,
    data: Data<'_>,
    table: u64,
    proven: impl Fn(&Words) -> Option<u64>,
) -> Option<u64> {
    let mut candidates: Vec<(u64, Words)> = Vec::new();
    image.relative_words(data, |address, value| {
        if value == table {
            candidates.push((address, [0; WORDS]));
        }
        candidates.len() >= MAX_CANDIDATES
    });
    if candidates.is_empty() {
        return None;
    }
    image.relative_words(data, |address, value| {
        for (start, words) in &mut candidates {
            let Some(inside) = address.checked_sub(*start) else { continue };
            if inside % 8 == 0
                && let Some(word) = words.get_mut((inside / 8) as usize)
            {
                *word = value;
            }
        }
        false
    });
    candidates.iter().find_map(|(_, words)| proven(words))
}

fn by_symbol(image: &Image, source: &Source<'_>) -> Option<u64> {
    let found = symbols::find(image, source, object::elf::SHT_SYMTAB, &Names::new(&["runtime.text"]));
    found.first().map(|symbol| symbol.address)
}
