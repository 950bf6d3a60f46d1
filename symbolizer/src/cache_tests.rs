use std::{fs, path::PathBuf};

use object::elf;

use super::*;
use crate::testing::{self, Elf, Part, TEXT, go_program, symbols};

/// A library with SSL_read at an address; all have the same build id.
fn library(address: u64) -> Elf {
    let elf = Elf::new(true, true);
    let elf = elf.clone().with(testing::build_id(&elf, &[7; 20]));
    let elf = elf.with(Part::new(".text", vec![0xc3; 256]).at(TEXT, elf::PF_R | elf::PF_X));
    symbols(&elf, elf::SHT_DYNSYM, &[("SSL_read", address)])
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn folder() -> Folder {
    Folder(tempfile::tempdir().unwrap())
}

#[test]
fn a_file_is_parsed_once_and_so_is_a_build() {
    let (folder, mut cache) = (folder(), Cache::new(1 << 20));
    let bytes = library(TEXT + 16).build();
    let (one, copy) = (folder.write("one", &bytes), folder.write("copy", &bytes));
    let first = cache.inspect(&one).unwrap();
    assert!(Arc::ptr_eq(&first, &cache.inspect(&one).unwrap()));
    assert!(Arc::ptr_eq(&first, &cache.inspect(&copy).unwrap()));
    assert!(Arc::ptr_eq(&first, &cache.inspect(&copy).unwrap()));
    let expected = Statistics { parsed: 1, same_file: 2, same_build: 1, ..Statistics::default() };
    assert_eq!(cache.statistics(), expected);
}

#[test]
fn a_file_that_borrows_a_build_id_gives_its_own_answer_and_no_other() {
    let (folder, mut cache) = (folder(), Cache::new(1 << 20));
    let liar = folder.write("liar", &library(TEXT + 5).build());
    let honest = folder.write("honest", &library(TEXT + 16).build());
    let address = |inspection: &Inspection| inspection.functions[0].address;
    assert_eq!(address(&cache.inspect(&liar).unwrap()), TEXT + 5);
    assert_eq!(address(&cache.inspect(&honest).unwrap()), TEXT + 16);
    assert_eq!(address(&cache.inspect(&liar).unwrap()), TEXT + 5);
    let expected = Statistics { parsed: 2, same_file: 1, impostors: 1, ..Statistics::default() };
    assert_eq!(cache.statistics(), expected);
}

#[test]
fn a_go_program_of_another_version_or_with_other_code_is_another_program() {
    let (folder, mut cache) = (folder(), Cache::new(1 << 20));
    let program = |version: &str, code: u8| {
        let elf = Elf::new(true, true);
        let elf = elf.clone().with(testing::build_id(&elf, &[9; 20]));
        let mut elf = go_program(&elf, 0xffff_fff1, &[("crypto/tls.(*Conn).Read", 64)]);
        elf.parts[1] = elf.build_info(version, "");
        elf.parts[2].bytes[7] = code;
        elf.build()
    };
    cache.inspect(&folder.write("a", &program("go1.22.5", 0x90))).unwrap();
    cache.inspect(&folder.write("b", &program("go1.22.5", 0x90))).unwrap();
    let same = Statistics { parsed: 1, same_build: 1, ..Statistics::default() };
    assert_eq!(cache.statistics(), same);
    cache.inspect(&folder.write("c", &program("go1.22.6", 0x90))).unwrap();
    cache.inspect(&folder.write("d", &program("go1.22.5", 0xcc))).unwrap();
    assert_eq!(cache.statistics(), Statistics { parsed: 3, same_build: 1, impostors: 2, ..same });
}

#[test]
fn a_file_that_changed_is_parsed_again() {
    let (folder, mut cache) = (folder(), Cache::new(1 << 20));
    let path = folder.write("x", &library(TEXT).build());
    cache.inspect(&path).unwrap();
    let mut changed = library(TEXT + 1).build();
    changed.push(0);
    folder.write("x", &changed);
    assert_eq!(cache.inspect(&path).unwrap().functions[0].address, TEXT + 1);
    assert_eq!(cache.statistics().parsed, 2);
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let folder = folder();
    let path = |id: u8| {
        let elf = Elf::new(true, true);
        let elf = elf.clone().with(testing::build_id(&elf, &[id; 20]));
        folder.write(&id.to_string(), &elf.build())
    };
    let mut probe = Cache::new(usize::MAX);
    probe.inspect(&path(1)).unwrap();
    let one = probe.used_bytes();
    let mut cache = Cache::new(3 * one + one / 2);
    for id in [1, 2, 3, 1, 4] {
        cache.inspect(&path(id)).unwrap();
    }
    // path() writes the file anew, so each is parsed as the same build of a changed file.
    assert!(cache.used_bytes() <= 3 * one + one / 2, "{} of {one}", cache.used_bytes());
    assert!(cache.len() <= 3);
    assert!(cache.statistics().evicted >= 1);

    // A bound that fits nothing keeps the newest.
    let mut tiny = Cache::new(0);
    tiny.inspect(&path(1)).unwrap();
    tiny.inspect(&path(2)).unwrap();
    assert_eq!((tiny.len(), tiny.statistics().evicted), (1, 1));
    assert_eq!(tiny.files.len() + tiny.builds.len() + tiny.by_use.len(), 3);
}
