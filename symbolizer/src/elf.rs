//! The parts of an ELF file that everything else here starts from, for both classes and byte orders.
//!
//! Segments are believed before sections: the loader needs them, so even a binary whose section headers
//! were cut off has them. See the System V ABI, chapters 4 and 5.

use object::{
    Endianness, ReadRef,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{Dyn, FileHeader, Note, ProgramHeader, SectionHeader},
};

use crate::{
    BuildId, Error, Machine,
    source::{Data, Window},
    witness::Span,
};

const MAX_SECTIONS: u32 = 1 << 12;
const MAX_SEGMENTS: u32 = 1 << 10;
const MAX_NEEDED: usize = 1024;
const MAX_NOTE: u64 = 64 << 10;
const MAX_DYNAMIC: u64 = 1 << 20;
const MAX_GO_BUILD_ID: usize = 256;

/// What a loader and a debugger see of an ELF file.
#[derive(Debug)]
pub(crate) struct Image {
    pub is_64: bool,
    pub little_endian: bool,
    pub machine: Machine,
    pub file_type: elf::FileType,
    pub interpreter: bool,
    pub segments: Vec<Segment>,
    pub sections: Vec<Section>,
    pub needed: Vec<String>,
    pub build_id: Option<BuildId>,
    /// What Go's tool chain calls the build id: hashes of inputs and output.
    pub go_build_id: Option<String>,
    /// The place in the file and the size of the relocations with addends.
    pub relocations: Option<(u64, u64)>,
    /// Where all this stands: the file header, and those of segments and sections.
    pub headers: Vec<Span>,
}

/// A part of the file that is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub writable: bool,
    pub executable: bool,
    pub offset: u64,
    pub address: u64,
    pub size: u64,
}

/// A named part of the file.
#[derive(Debug)]
pub(crate) struct Section {
    pub name: String,
    pub kind: elf::SectionType,
    pub compressed: bool,
    pub address: u64,
    pub offset: u64,
    pub size: u64,
    pub link: usize,
}

impl Image {
    pub(crate) fn parse(data: Data<'_>) -> Result<Self, Error> {
        let ident = data.read_bytes_at(0, 16).map_err(|()| Error::NotElf)?;
        if ident[..4] != elf::ELFMAG {
            return Err(Error::NotElf);
        }
        match ident[4] {
            1 => parse::<FileHeader32<Endianness>>(data),
            2 => parse::<FileHeader64<Endianness>>(data),
            _ => Err(Error::Malformed("neither 32 nor 64 bits")),
        }
    }

    pub(crate) fn endian(&self) -> gimli::RunTimeEndian {
        if self.little_endian { gimli::RunTimeEndian::Little } else { gimli::RunTimeEndian::Big }
    }

    /// A number of 4 or 8 bytes in the file's byte order.
    pub(crate) fn word(&self, bytes: &[u8]) -> Option<u64> {
        Some(match (bytes.len(), self.little_endian) {
            (4, true) => u32::from_le_bytes(*bytes.first_chunk()?).into(),
            (4, false) => u32::from_be_bytes(*bytes.first_chunk()?).into(),
            (8, true) => u64::from_le_bytes(*bytes.first_chunk()?),
            (8, false) => u64::from_be_bytes(*bytes.first_chunk()?),
            _ => return None,
        })
    }

    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name && s.kind != elf::SHT_NOBITS && s.size > 0)
    }

    /// The place in the file of what is loaded at an address, and how many bytes follow in its segment.
    pub(crate) fn file_offset(&self, address: u64) -> Option<(u64, u64)> {
        self.segments.iter().find_map(|s| {
            let inside = address.checked_sub(s.address).filter(|&inside| inside < s.size)?;
            Some((s.offset.checked_add(inside)?, s.size - inside))
        })
    }

    /// The same for code: `None` for an address where nothing can run.
    pub(crate) fn code_offset(&self, address: u64) -> Option<(u64, u64)> {
        let inside =
            |s: &&Segment| s.executable && address.checked_sub(s.address).is_some_and(|at| at < s.size);
        let segment = self.segments.iter().find(inside)?;
        let at = address - segment.address;
        Some((segment.offset.checked_add(at)?, segment.size - at))
    }

    /// Calls `each` with the address of every word that the loader sets to an address of this file, and with that
    /// address, until it says that it is done.
    ///
    /// Such words can be zero in the file: what they will be stands in the relocation.
    pub(crate) fn relative_words(&self, data: Data<'_>, mut each: impl FnMut(u64, u64) -> bool) {
        const R_X86_64_RELATIVE: u64 = 8;
        const R_AARCH64_RELATIVE: u64 = 1027;
        /// `Elf64_Rela`.
        const ENTRY: u64 = 24;
        let relative = match self.machine {
            Machine::X86_64 => R_X86_64_RELATIVE,
            Machine::Aarch64 => R_AARCH64_RELATIVE,
            _ => return,
        };
        let Some((start, size)) = self.relocations.filter(|_| self.is_64) else { return };
        let mut window = Window::new(data.source());
        for index in 0..size / ENTRY {
            let entry = start.checked_add(index * ENTRY).and_then(|at| window.get(at, ENTRY as usize));
            let Some(entry) = entry else { return };
            let word = |at: usize| self.word(&entry[at..at + 8]).unwrap_or(0);
            if word(8) == relative && each(word(0), word(16)) {
                return;
            }
        }
    }
}

fn parse<E: FileHeader<Endian = Endianness>>(data: Data<'_>) -> Result<Image, Error> {
    let header = E::parse(data).map_err(|_| Error::Malformed("the file header"))?;
    let endian = header.endian().map_err(|_| Error::Malformed("the byte order"))?;
    let mut image = Image {
        is_64: header.is_type_64(),
        little_endian: header.is_little_endian(),
        machine: Machine::from_elf(header.e_machine(endian)),
        file_type: header.e_type(endian),
        interpreter: false,
        segments: Vec::new(),
        sections: Vec::new(),
        needed: Vec::new(),
        build_id: None,
        go_build_id: None,
        relocations: None,
        headers: vec![Span::new(0, size_of::<E>() as u64)],
    };
    if header.phnum(endian, data).is_ok_and(|n| n > MAX_SEGMENTS) {
        return Err(Error::Malformed("more segments than any program has"));
    }
    let program =
        header.program_headers(endian, data).map_err(|_| Error::Malformed("the program headers"))?;
    image.headers.push(Span::new(header.e_phoff(endian).into(), size_of_val(program) as u64));
    for p in program {
        image.interpreter |= p.p_type(endian) == elf::PT_INTERP;
        if p.p_type(endian) == elf::PT_LOAD {
            let flags = p.p_flags(endian);
            image.segments.push(Segment {
                writable: flags.contains(elf::PF_W),
                executable: flags.contains(elf::PF_X),
                offset: p.p_offset(endian).into(),
                address: p.p_vaddr(endian).into(),
                size: p.p_filesz(endian).into(),
            });
        }
    }
    for p in program {
        match p.p_type(endian) {
            elf::PT_DYNAMIC if image.needed.is_empty() && p.p_filesz(endian).into() <= MAX_DYNAMIC => {
                if let Ok(Some(table)) = p.dynamic(endian, data) {
                    image.needed = needed::<E>(&image, table, endian, data);
                    let value = |tag| table.iter().find(|d| d.tag(endian) == tag).map(|d| d.val(endian));
                    image.relocations = value(elf::DT_RELA)
                        .zip(value(elf::DT_RELASZ))
                        .and_then(|(at, size)| Some((image.file_offset(at)?.0, size)));
                }
            }
            elf::PT_NOTE if p.p_filesz(endian).into() <= MAX_NOTE => {
                if let Ok(Some(mut notes)) = p.notes(endian, data) {
                    while let Ok(Some(note)) = notes.next() {
                        take_build_ids(&mut image, &note, endian);
                    }
                }
            }
            _ => {}
        }
    }
    // Sections may be absent or cut off; the process runs all the same.
    if header.shnum(endian, data).is_ok_and(|n| n <= MAX_SECTIONS)
        && let Ok(table) = header.sections(endian, data)
    {
        let size = table.len() * size_of::<E::SectionHeader>();
        image.headers.push(Span::new(header.e_shoff(endian).into(), size as u64));
        for s in table.iter() {
            let name = table.section_name(endian, s).unwrap_or_default();
            image.sections.push(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                kind: s.sh_type(endian),
                compressed: s.sh_flags(endian).contains(elf::SHF_COMPRESSED),
                address: s.sh_addr(endian).into(),
                offset: s.sh_offset(endian).into(),
                size: s.sh_size(endian).into(),
                link: s.sh_link(endian) as usize,
            });
        }
    }
    Ok(image)
}

fn take_build_ids<E: FileHeader<Endian = Endianness>>(
    image: &mut Image,
    note: &Note<'_, E>,
    endian: Endianness,
) {
    /// Go's `cmd/internal/buildid`.
    const NT_GO_BUILD_ID: u32 = 4;
    match (note.name(), note.n_type(endian)) {
        (elf::ELF_NOTE_GNU, elf::NT_GNU_BUILD_ID) => image.build_id = BuildId::new(note.desc()),
        (b"Go", elf::NoteType(NT_GO_BUILD_ID)) if note.desc().len() <= MAX_GO_BUILD_ID => {
            image.go_build_id = Some(String::from_utf8_lossy(note.desc()).into_owned());
        }
        _ => {}
    }
}

fn needed<E: FileHeader<Endian = Endianness>>(
    image: &Image,
    table: &[E::Dyn],
    endian: Endianness,
    data: Data<'_>,
) -> Vec<String> {
    let entries = || table.iter().take_while(|d| d.tag(endian) != elf::DT_NULL);
    let Some(strings) = entries().find(|d| d.tag(endian) == elf::DT_STRTAB).map(|d| d.val(endian)) else {
        return Vec::new();
    };
    let Some((base, len)) = image.file_offset(strings) else { return Vec::new() };
    entries()
        .filter(|d| d.tag(endian) == elf::DT_NEEDED)
        .take(MAX_NEEDED)
        .filter_map(|d| {
            let at = d.val(endian);
            let bytes = data.up_to(base.checked_add(at)?, len.checked_sub(at)?.min(256));
            let end = memchr::memchr(0, bytes)?;
            (end > 0).then(|| String::from_utf8_lossy(&bytes[..end]).into_owned())
        })
        .collect()
}
