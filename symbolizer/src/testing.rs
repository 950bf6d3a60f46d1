//! Small ELF files for tests, with the parts that this crate looks at.

use std::io::Write;

use object::elf;

/// The shape of an ELF file and what is in it.
#[derive(Clone)]
pub(crate) struct Elf {
    pub is_64: bool,
    pub little: bool,
    pub machine: u16,
    pub parts: Vec<Part>,
    /// Write section headers.
    pub headers: bool,
}

/// A section, and the segment of the same extent if it is loaded.
#[derive(Clone)]
pub(crate) struct Part {
    pub name: &'static str,
    pub kind: elf::SectionType,
    pub flags: u64,
    /// Name of the section it refers to.
    pub link: &'static str,
    /// Address, and the segment's permissions.
    pub load: Option<(u64, elf::ProgramFlags)>,
    /// A segment of another kind that covers it too.
    pub segment: Option<elf::ProgramType>,
    pub bytes: Vec<u8>,
}

impl Part {
    pub(crate) fn new(name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Part {
            name,
            kind: elf::SHT_PROGBITS,
            flags: 0,
            link: "",
            load: None,
            segment: None,
            bytes: bytes.into(),
        }
    }

    pub(crate) fn at(self, address: u64, flags: elf::ProgramFlags) -> Self {
        Part { load: Some((address, flags)), ..self }
    }
}

impl Elf {
    pub(crate) fn new(is_64: bool, little: bool) -> Self {
        let machine = match (is_64, little) {
            (true, true) => elf::EM_X86_64,
            (true, false) => elf::EM_PPC64,
            (false, true) => elf::EM_386,
            (false, false) => elf::EM_PPC,
        };
        Elf { is_64, little, machine: machine.0, parts: Vec::new(), headers: true }
    }

    pub(crate) fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// A number in the file's byte order.
    pub(crate) fn int(&self, value: u64, len: usize) -> Vec<u8> {
        let mut bytes = value.to_le_bytes()[..len].to_vec();
        if !self.little {
            bytes.reverse();
        }
        bytes
    }

    /// An address or a size.
    pub(crate) fn word(&self, value: u64) -> Vec<u8> {
        self.int(value, if self.is_64 { 8 } else { 4 })
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut parts = self.parts.clone();
        let mut names = vec![0];
        let mut name_at = Vec::new();
        for name in parts.iter().map(|p| p.name).chain([".shstrtab"]) {
            name_at.push(names.len() as u64);
            names.extend(name.as_bytes());
            names.push(0);
        }
        parts.push(Part { kind: elf::SHT_STRTAB, ..Part::new(".shstrtab", names) });

        let (header, entry) = if self.is_64 { (64, 56) } else { (52, 32) };
        let segments: Vec<_> = parts
            .iter()
            .enumerate()
            .flat_map(|(i, p)| {
                let load = p.load.map(|(_, flags)| (i, elf::PT_LOAD, flags));
                load.into_iter().chain(p.segment.map(|kind| (i, kind, elf::PF_R)))
            })
            .collect();
        let mut at = header + entry * segments.len();
        let mut offsets = Vec::new();
        for part in &parts {
            at = at.next_multiple_of(16);
            offsets.push(at as u64);
            at += part.bytes.len();
        }
        let section_headers = at.next_multiple_of(16);

        let mut out = vec![0x7f, b'E', b'L', b'F', 1 + u8::from(self.is_64), 1 + u8::from(!self.little), 1];
        out.resize(16, 0);
        out.extend(self.int(elf::ET_EXEC.0.into(), 2));
        out.extend(self.int(self.machine.into(), 2));
        out.extend(self.int(1, 4));
        out.extend(self.word(0x40_1000));
        out.extend(self.word(header as u64));
        out.extend(self.word(if self.headers { section_headers as u64 } else { 0 }));
        out.extend(self.int(0, 4));
        let sections = if self.headers { parts.len() as u64 + 1 } else { 0 };
        let section_entry = if self.is_64 { 64 } else { 40 };
        for half in [header as u64, entry as u64, segments.len() as u64, section_entry, sections] {
            out.extend(self.int(half, 2));
        }
        out.extend(self.int(sections.saturating_sub(1), 2));

        for &(i, kind, flags) in &segments {
            let (offset, size) = (offsets[i], parts[i].bytes.len() as u64);
            let address = parts[i].load.map_or(0, |(address, _)| address);
            out.extend(self.int(kind.0.into(), 4));
            if self.is_64 {
                out.extend(self.int(flags.0.into(), 4));
            }
            for word in [offset, address, address, size, size] {
                out.extend(self.word(word));
            }
            if !self.is_64 {
                out.extend(self.int(flags.0.into(), 4));
            }
            out.extend(self.word(if kind == elf::PT_LOAD { 16 } else { 4 }));
        }
        for (part, offset) in parts.iter().zip(&offsets) {
            out.resize(*offset as usize, 0);
            out.extend(&part.bytes);
        }
        if self.headers {
            out.resize(section_headers + section_entry as usize, 0);
            for (i, part) in parts.iter().enumerate() {
                let link = parts.iter().position(|p| p.name == part.link).map_or(0, |l| l as u64 + 1);
                out.extend(self.int(name_at[i], 4));
                out.extend(self.int(part.kind.0.into(), 4));
                out.extend(self.word(part.flags));
                out.extend(self.word(part.load.map_or(0, |(address, _)| address)));
                out.extend(self.word(offsets[i]));
                out.extend(self.word(part.bytes.len() as u64));
                out.extend(self.int(link, 4));
                out.extend(self.int(0, 4));
                out.extend(self.word(1));
                out.extend(self.word(0));
            }
        }
        out
    }

    /// Build information as Go 1.18 and newer write it, in a data segment.
    pub(crate) fn build_info(&self, version: &str, modules: &str) -> Part {
        let mut bytes = b"\xff Go buildinf:\x08\x02".to_vec();
        bytes.resize(32, 0);
        let marked = [b"0123456789abcdef".as_slice(), modules.as_bytes(), b"fedcba9876543210"].concat();
        for text in [version.as_bytes(), if modules.is_empty() { b"" } else { &marked }] {
            let mut length = text.len();
            while length >= 0x80 {
                bytes.push(length as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
            bytes.extend(text);
        }
        Part::new(".go.buildinfo", bytes).at(0x50_0000, elf::PF_R | elf::PF_W)
    }

    /// Build information as Go 1.13 to 1.17 wrote it: pointers to strings elsewhere.
    pub(crate) fn old_build_info(&self, version: &str, modules: &str) -> [Part; 2] {
        const STRINGS: u64 = 0x60_0000;
        let word = self.word(0).len();
        let marked = [b"0123456789abcdef".as_slice(), modules.as_bytes(), b"fedcba9876543210"].concat();
        // Two string headers, then their bytes.
        let text = STRINGS + 4 * word as u64;
        let mut strings = [self.word(text), self.word(version.len() as u64)].concat();
        strings.extend(self.word(text + version.len() as u64));
        strings.extend(self.word(marked.len() as u64));
        strings.extend(version.as_bytes());
        strings.extend(marked);
        let mut info = b"\xff Go buildinf:".to_vec();
        info.extend([word as u8, u8::from(!self.little)]);
        info.extend(self.word(STRINGS));
        info.extend(self.word(STRINGS + 2 * word as u64));
        info.resize(32, 0);
        [
            Part::new(".go.buildinfo", info).at(0x50_0000, elf::PF_R | elf::PF_W),
            Part::new(".data", strings).at(STRINGS, elf::PF_R | elf::PF_W),
        ]
    }

    /// `.debug_abbrev` and `.debug_info` that describe `runtime.g` and `runtime.stack`, behind another unit.
    pub(crate) fn debug(&self, dwarf_version: u16, goid: u8) -> [Part; 2] {
        let abbrev = [
            &[1, 0x11, 1, 0x03, 0x08, 0, 0][..], // compile_unit with children: name (string)
            &[2, 0x13, 1, 0x03, 0x08, 0, 0],     // structure_type with children: name
            &[3, 0x0d, 0, 0x03, 0x08, 0x38, 0x0f, 0, 0], // member: name, data_member_location (udata)
            &[4, 0x0d, 0, 0x03, 0x08, 0x38, 0x0a, 0, 0], // member: the same as block1
            &[5, 0x34, 0, 0x03, 0x08, 0, 0],     // variable: name
            &[0],
        ]
        .concat();
        let name = |code: u8, name: &str| [&[code], name.as_bytes(), &[0]].concat();
        let member = |text: &str, offset: u8| {
            if dwarf_version < 4 {
                // DW_OP_plus_uconst
                [name(4, text), vec![2, 0x23, offset]].concat()
            } else {
                [name(3, text), vec![offset]].concat()
            }
        };
        let unit = |entries: &[Vec<u8>]| {
            let mut body = self.int(dwarf_version.into(), 2);
            let word = self.word(0).len() as u8;
            if dwarf_version >= 5 {
                body.extend([1, word]);
                body.extend(self.int(0, 4));
            } else {
                body.extend(self.int(0, 4));
                body.push(word);
            }
            body.extend(entries.concat());
            [self.int(body.len() as u64, 4), body].concat()
        };
        let end = || vec![0];
        let info = [
            unit(&[name(1, "fmt"), name(5, "fmt.x"), end()]),
            unit(&[
                name(1, "runtime"),
                name(5, "runtime.g"),
                name(2, "runtime.stack"),
                member("lo", 0),
                member("hi", self.word(0).len() as u8),
                end(),
                name(2, "runtime.g"),
                member("stack", 0),
                member("goid", goid),
                member("parentGoid", goid + 16),
                end(),
                end(),
            ]),
        ]
        .concat();
        [Part::new(".debug_abbrev", abbrev), Part::new(".debug_info", info)]
    }
}

/// Where the text begins, for the tests of Go's table of functions.
pub(crate) const TEXT: u64 = 0x40_1000;
/// Where the table of functions is loaded.
pub(crate) const TABLE: u64 = 0x60_0000;
/// Where `runtime.firstmoduledata` is loaded.
pub(crate) const MODULE: u64 = 0x70_0000;

/// Go's table of functions: names with their lengths in bytes, one behind the other from [`TEXT`] on.
pub(crate) fn pclntab(elf: &Elf, magic: u32, text: u64, functions: &[(&str, u64)]) -> Vec<u8> {
    let go116 = magic == 0xffff_fffa;
    let word = elf.word(0).len();
    let field = |value: u64| if go116 { elf.word(value) } else { elf.int(value, 4) };
    let base = if go116 { TEXT } else { 0 };
    let header = 8 + word * if go116 { 7 } else { 8 };
    let (mut names, mut name_at) = (Vec::new(), Vec::new());
    for (name, _) in functions {
        name_at.push(names.len() as u64);
        names.extend(name.as_bytes());
        names.push(0);
    }
    // Units, files and numbers: 8 bytes each.
    let (mut pairs, mut structures) = (Vec::new(), Vec::new());
    let size = (2 * functions.len() + 1) * field(0).len();
    let mut at = base;
    for ((_, length), name) in functions.iter().zip(&name_at) {
        pairs.extend(field(at));
        pairs.extend(field((size + structures.len()) as u64));
        structures.extend(field(at));
        structures.extend(elf.int(*name, 4));
        structures.extend([0; 12]);
        at += length;
    }
    pairs.extend(field(at));

    let names_at = header as u64;
    let units_at = names_at + names.len() as u64;
    let mut out = elf.int(magic.into(), 4);
    out.extend([0, 0, 1, word as u8]);
    out.extend(elf.word(functions.len() as u64));
    out.extend(elf.word(1));
    if !go116 {
        out.extend(elf.word(text));
    }
    for place in [names_at, units_at, units_at + 8, units_at + 16, units_at + 24] {
        out.extend(elf.word(place));
    }
    out.extend(names);
    out.extend([0; 24]);
    out.extend(pairs);
    out.extend(structures);
    out
}

/// `runtime.firstmoduledata` for [`pclntab`]: text of so many bytes.
pub(crate) fn module_data(elf: &Elf, length: u64) -> Vec<u8> {
    let mut words = [0; 24];
    words[0] = TABLE;
    (words[20], words[21], words[22], words[23]) = (TEXT, TEXT + length, TEXT, TEXT + length);
    words.iter().flat_map(|&word| elf.word(word)).collect()
}

/// A Go program with these functions, of code that returns at every byte.
pub(crate) fn go_program(elf: &Elf, magic: u32, functions: &[(&str, u64)]) -> Elf {
    let length: u64 = functions.iter().map(|(_, length)| length).sum();
    let table = pclntab(elf, magic, TEXT, functions);
    elf.clone()
        .with(elf.build_info("go1.22.5", ""))
        .with(Part::new(".text", vec![0xc3; length as usize]).at(TEXT, elf::PF_R | elf::PF_X))
        .with(Part::new(".gopclntab", table).at(TABLE, elf::PF_R))
}

/// Symbols of functions in a table of this kind, with their addresses, each of 16 bytes.
pub(crate) fn symbols(elf: &Elf, kind: elf::SectionType, names: &[(&str, u64)]) -> Elf {
    let (table, strings) = match kind {
        elf::SHT_SYMTAB => (".symtab", ".strtab"),
        _ => (".dynsym", ".dynstr"),
    };
    let mut text = vec![0];
    let mut entries = vec![0; if elf.is_64 { 24 } else { 16 }];
    for (name, address) in names {
        let at = elf.int(text.len() as u64, 4);
        let info = [vec![0x12, 0], elf.int(1, 2)].concat();
        let place = [elf.word(*address), elf.word(16)].concat();
        entries.extend(if elf.is_64 { [at, info, place].concat() } else { [at, place, info].concat() });
        text.extend(name.as_bytes());
        text.push(0);
    }
    elf.clone().with(Part { kind: elf::SHT_STRTAB, ..Part::new(strings, text) }).with(Part {
        kind,
        link: strings,
        ..Part::new(table, entries)
    })
}

/// A GNU build id.
pub(crate) fn build_id(elf: &Elf, id: &[u8]) -> Part {
    let mut note = [elf.int(4, 4), elf.int(id.len() as u64, 4), elf.int(3, 4)].concat();
    note.extend(b"GNU\0");
    note.extend(id);
    Part { segment: Some(elf::PT_NOTE), ..Part::new(".note.gnu.build-id", note).at(0x20_0000, elf::PF_R) }
}

/// The part compressed with `SHF_COMPRESSED` by Zstandard.
pub(crate) fn zstd(elf: &Elf, part: Part) -> Part {
    let mut bytes = elf.int(2, 4);
    if elf.is_64 {
        bytes.extend(elf.int(0, 4));
    }
    bytes.extend(elf.word(part.bytes.len() as u64));
    bytes.extend(elf.word(1));
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    bytes.extend(ruzstd::encoding::compress_to_vec(part.bytes.as_slice(), level));
    Part { bytes, flags: elf::SHF_COMPRESSED.0, ..part }
}

/// The part under its old name and compression: `.zdebug_*`.
pub(crate) fn zdebug(part: Part) -> Part {
    let name = match part.name {
        ".debug_info" => ".zdebug_info",
        _ => ".zdebug_abbrev",
    };
    let size = (part.bytes.len() as u64).to_be_bytes();
    Part { name, bytes: [b"ZLIB", &size[..], &zlib(&part.bytes)].concat(), ..part }
}

/// The part compressed with `SHF_COMPRESSED`.
pub(crate) fn compressed(elf: &Elf, part: Part) -> Part {
    let mut bytes = elf.int(1, 4);
    if elf.is_64 {
        bytes.extend(elf.int(0, 4));
    }
    bytes.extend(elf.word(part.bytes.len() as u64));
    bytes.extend(elf.word(1));
    bytes.extend(zlib(&part.bytes));
    Part { bytes, flags: elf::SHF_COMPRESSED.0, ..part }
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
