//! The parts of an ELF file that everything else here starts from, for both classes and byte orders.
//!
//! Segments are believed before sections: the loader needs them, so even a binary whose section headers
//! were cut off has them. See the System V ABI, chapters 4 and 5.

use object::{
    Endianness, ReadRef,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{Dyn, FileHeader, Note, ProgramHeader, SectionHeader, Sym},
};

use crate::{Error, Machine, source::Data};

const MAX_SECTIONS: u32 = 1 << 12;
const MAX_SEGMENTS: u32 = 1 << 10;
const MAX_NEEDED: usize = 1024;
const MAX_NOTE: u64 = 64 << 10;
const MAX_DYNAMIC: u64 = 1 << 20;
/// `.dynsym` and `.dynstr`, each. Node's, which export all of V8 and OpenSSL, have about 8 MiB.
const MAX_SYMBOLS: u64 = 32 << 20;

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
    pub build_id: Option<Vec<u8>>,
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

    /// Calls `each` with the name of every dynamic symbol, and whether it is defined here.
    pub(crate) fn dynamic_symbols(&self, data: Data<'_>, mut each: impl FnMut(&[u8], bool)) {
        let Some(symbols) = self.sections.iter().find(|s| s.kind == elf::SHT_DYNSYM) else { return };
        let Some(strings) = self.sections.get(symbols.link) else { return };
        if symbols.size > MAX_SYMBOLS || strings.size > MAX_SYMBOLS {
            return;
        }
        let Ok(table) = data.read_bytes_at(symbols.offset, symbols.size) else { return };
        let Ok(names) = data.read_bytes_at(strings.offset, strings.size) else { return };
        let endian = if self.little_endian { Endianness::Little } else { Endianness::Big };
        if self.is_64 {
            symbols_of::<FileHeader64<Endianness>>(table, names, endian, &mut each);
        } else {
            symbols_of::<FileHeader32<Endianness>>(table, names, endian, &mut each);
        }
    }
}

fn symbols_of<E: FileHeader<Endian = Endianness>>(
    table: &[u8],
    names: &[u8],
    endian: Endianness,
    each: &mut impl FnMut(&[u8], bool),
) {
    let count = table.len() / size_of::<E::Sym>();
    let Ok((symbols, _)) = object::slice_from_bytes::<E::Sym>(table, count) else { return };
    for symbol in symbols {
        let Some(name) = names.get(symbol.st_name(endian) as usize..) else { continue };
        // Names of C++ templates can be long; none of those looked for is.
        let name = &name[..name.len().min(128)];
        if let Some(end) = memchr::memchr(0, name) {
            each(&name[..end], !symbol.is_undefined(endian));
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
    };
    if header.phnum(endian, data).is_ok_and(|n| n > MAX_SEGMENTS) {
        return Err(Error::Malformed("more segments than any program has"));
    }
    let program =
        header.program_headers(endian, data).map_err(|_| Error::Malformed("the program headers"))?;
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
                }
            }
            elf::PT_NOTE if p.p_filesz(endian).into() <= MAX_NOTE => {
                if let Ok(Some(mut notes)) = p.notes(endian, data) {
                    while let Ok(Some(note)) = notes.next() {
                        take_build_id(&mut image, &note, endian);
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
        for s in table.iter() {
            let name = table.section_name(endian, s).unwrap_or_default();
            image.sections.push(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                kind: s.sh_type(endian),
                compressed: s.sh_flags(endian).contains(elf::SHF_COMPRESSED),
                offset: s.sh_offset(endian).into(),
                size: s.sh_size(endian).into(),
                link: s.sh_link(endian) as usize,
            });
        }
    }
    Ok(image)
}

fn take_build_id<E: FileHeader<Endian = Endianness>>(
    image: &mut Image,
    note: &Note<'_, E>,
    endian: Endianness,
) {
    if note.name() == elf::ELF_NOTE_GNU
        && note.n_type(endian) == elf::NT_GNU_BUILD_ID
        && note.desc().len() <= 64
    {
        image.build_id = Some(note.desc().to_vec());
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
