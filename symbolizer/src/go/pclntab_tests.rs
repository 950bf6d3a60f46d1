use object::elf;

use super::*;
use crate::testing::{self, Elf, MODULE, Part, TABLE, TEXT, go_program, module_data};

const MAGICS: [u32; 3] = [0xffff_fffa, 0xffff_fff0, 0xffff_fff1];
const FUNCTIONS: [(&str, u64); 4] = [
    ("runtime.text", 16),
    ("crypto/tls.(*Conn).Read", 64),
    ("crypto/tls.(*Conn).ReadAll", 32),
    ("main.main", 16),
];

fn all(elf: &Elf) -> Vec<GoFunction> {
    let mut all = Vec::new();
    functions_bytes(&elf.build(), |function| all.push(function)).unwrap();
    all
}

fn expected() -> Vec<GoFunction> {
    let mut start = TEXT;
    FUNCTIONS
        .iter()
        .map(|&(name, length)| {
            start += length;
            GoFunction { start: start - length, end: start, name: name.to_owned() }
        })
        .collect()
}

/// The functions of this name, and whether the table was found by its pattern.
fn look_up(elf: &Elf, name: &str) -> Option<(Vec<(u64, u64)>, bool)> {
    let bytes = elf.build();
    let source = Source::bytes(&bytes);
    let image = Image::parse(source.data()).unwrap();
    let table = locate(&image, source.data())?;
    let found = find(&table, &image, &source, &Names::new(&[name]));
    Some((found.iter().map(|f| (f.start, f.end)).collect(), table.by_pattern()))
}

#[test]
fn every_format_class_and_byte_order_with_and_without_a_section() {
    for (is_64, little) in [(true, true), (true, false), (false, true), (false, false)] {
        for magic in MAGICS {
            for headers in [true, false] {
                let elf = go_program(&Elf { headers, ..Elf::new(is_64, little) }, magic, &FUNCTIONS);
                assert_eq!(all(&elf), expected(), "{magic:x}, 64 bit: {is_64}, little endian: {little}");
                let found = look_up(&elf, "crypto/tls.(*Conn).Read").unwrap();
                assert_eq!(found, (vec![(TEXT + 16, TEXT + 80)], !headers));
                assert_eq!(look_up(&elf, "tls.(*Conn).Read"), Some((vec![], !headers)), "the end of a name");
            }
        }
    }
}

#[test]
fn where_the_header_does_not_say_it_the_text_is_found_by_the_module_data() {
    for (is_64, little) in [(true, true), (true, false), (false, true)] {
        let elf = Elf::new(is_64, little);
        let mut program = go_program(&elf, 0xffff_fff1, &FUNCTIONS);
        program.parts.last_mut().unwrap().bytes = testing::pclntab(&elf, 0xffff_fff1, 0, &FUNCTIONS);
        let mut data = elf.word(TABLE); // A word that points to the table and is not the module data.
        data.resize(16, 0);
        data.extend(module_data(&elf, 128));
        let data = Part::new(".noptrdata", data).at(MODULE, elf::PF_R | elf::PF_W);
        assert_eq!(all(&program.clone().with(data.clone())), expected());
        assert_eq!(look_up(&program, "main.main"), None, "without it nothing is guessed");
        let symbol = testing::symbols(&program, elf::SHT_SYMTAB, &[("runtime.text", TEXT)]);
        assert_eq!(all(&symbol), expected());
    }
}

/// A position-independent program whose words are filled in by the loader: `words` become relocations.
fn with_relocations(elf: &Elf, words: &[(u64, u64)]) -> Elf {
    const RELOCATIONS: u64 = 0x80_0000;
    let entries: Vec<u8> =
        words.iter().flat_map(|&(at, value)| [elf.word(at), elf.word(8), elf.word(value)].concat()).collect();
    // DT_RELA, DT_RELASZ.
    let dynamic = [(7, RELOCATIONS), (8, entries.len() as u64), (0, 0)];
    let dynamic: Vec<u8> =
        dynamic.iter().flat_map(|&(tag, value)| [elf.word(tag), elf.word(value)].concat()).collect();
    let dynamic = Part { kind: elf::SHT_DYNAMIC, ..Part::new(".dynamic", dynamic).at(0x81_0000, elf::PF_R) };
    elf.clone()
        .with(Part::new(".rela.dyn", entries).at(RELOCATIONS, elf::PF_R))
        .with(Part { segment: Some(elf::PT_DYNAMIC), ..dynamic })
}

/// The same file as a position-independent one: `ET_DYN`.
fn position_independent(elf: &Elf) -> Vec<u8> {
    let mut bytes = elf.build();
    bytes[16] = 3;
    bytes
}

fn all_in(bytes: &[u8]) -> Vec<GoFunction> {
    let mut all = Vec::new();
    functions_bytes(bytes, |function| all.push(function)).unwrap();
    all
}

#[test]
fn module_data_that_stands_in_relocations() {
    let elf = Elf::new(true, true);
    let mut program = go_program(&elf, 0xffff_fff1, &FUNCTIONS);
    program.parts.last_mut().unwrap().bytes = testing::pclntab(&elf, 0xffff_fff1, 0, &FUNCTIONS);
    let word = |index: u64, value| (MODULE + 8 * index, value);
    let words = [word(0, TABLE), word(20, TEXT), word(21, TEXT + 128), word(22, TEXT), (MODULE + 999, TABLE)];
    let program = program.with(Part::new(".data.rel.ro", vec![0; 200]).at(MODULE, elf::PF_R | elf::PF_W));
    assert_eq!(all_in(&position_independent(&with_relocations(&program, &words))), expected());
    let lies = [word(0, TABLE), word(20, TEXT), word(21, TEXT + 64), word(22, TEXT)];
    assert!(functions_bytes(&position_independent(&with_relocations(&program, &lies)), |_| {}).is_err());
}

#[test]
fn a_table_of_addresses_that_stand_in_relocations() {
    let elf = Elf::new(true, true);
    let mut program = go_program(&elf, 0xffff_fffa, &FUNCTIONS);
    let table = program.parts.last_mut().unwrap();
    let pairs = table.bytes.len() - FUNCTIONS.len() * (8 + 16) - (2 * FUNCTIONS.len() + 1) * 8;
    let mut words = Vec::new();
    for (index, start) in (0..).zip(expected().iter().map(|f| f.start).chain([TEXT + 128])) {
        let at = pairs + 16 * index;
        table.bytes[at..at + 8].fill(0);
        words.push((TABLE + at as u64, start));
    }
    words.reverse();
    assert_eq!(all_in(&position_independent(&with_relocations(&program, &words))), expected());
    words.pop();
    let program = position_independent(&with_relocations(&program, &words));
    assert!(functions_bytes(&program, |_| {}).is_err(), "one is missing");
}

#[test]
fn what_only_looks_like_a_table_is_passed_over() {
    let elf = Elf { headers: false, ..Elf::new(true, true) };
    let table = testing::pclntab(&elf, 0xffff_fff1, TEXT, &FUNCTIONS);
    // The magic alone, a header whose places do not ascend, one that claims too much, then the real one.
    let mut constants = elf.int(0xffff_fff1, 4);
    constants.resize(64, 0);
    let mut shuffled = table[..72].to_vec();
    shuffled.swap(33, 41);
    constants.extend(shuffled);
    constants.resize(160, 0);
    let mut greedy = table[..72].to_vec();
    greedy[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    constants.extend(greedy);
    constants.resize(3 * (256 << 10) - 4, 0xff);
    constants.resize(3 * (256 << 10), 0);
    let program = go_program(&elf, 0xffff_fff1, &FUNCTIONS);
    let mut parts = program.parts.clone();
    parts.last_mut().unwrap().bytes = [constants, table].concat();
    assert_eq!(all(&Elf { parts, ..program }), expected());
}

#[test]
fn code_outside_of_what_can_run_is_no_function() {
    let elf = Elf::new(true, true);
    for magic in MAGICS {
        let mut program = go_program(&elf, magic, &FUNCTIONS);
        program.parts[1].bytes.truncate(100);
        assert_eq!(look_up(&program, "main.main"), None);
    }
    assert!(matches!(functions_bytes(&elf.build(), |_| {}), Err(Error::NoPcLnTab)));
}
