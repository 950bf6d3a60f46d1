use object::elf;

use super::*;
use crate::{
    source::Source,
    testing::{Elf, Part},
};

const MODULES: &str = "path\texample.com/shop/cmd/cart\n\
mod\texample.com/shop\tv1.2.3\th1:abc=\n\
dep\tgoogle.golang.org/grpc\tv1.64.0\th1:def=\n\
dep\texample.com/old\tv0.1.0\n\
=>\t../old\t(devel)\n\
build\t-compiler=gc\n\
build\tCGO_ENABLED=0\n\
build\t\"-ldflags=-s\"=\"-w\"\n";

fn found(elf: &Elf) -> Option<BuildInfo> {
    let bytes = elf.build();
    let source = Source::bytes(&bytes);
    let image = Image::parse(source.data()).unwrap();
    find(&image, source.data())
}

fn check(info: &BuildInfo, version: &str) {
    assert_eq!(info.version, version);
    assert_eq!(info.path.as_deref(), Some("example.com/shop/cmd/cart"));
    let module = |path: &str, version: &str| Module { path: path.into(), version: version.into() };
    assert_eq!(info.module, Some(module("example.com/shop", "v1.2.3")));
    let dependencies = [module("google.golang.org/grpc", "v1.64.0"), module("example.com/old", "(devel)")];
    assert_eq!(info.dependencies, dependencies);
    assert_eq!(info.settings[1], ("CGO_ENABLED".into(), "0".into()));
    assert_eq!(info.settings.len(), 3);
}

#[test]
fn both_formats_classes_and_byte_orders() {
    for (is_64, little) in [(true, true), (true, false), (false, true), (false, false)] {
        for headers in [true, false] {
            let elf = Elf { headers, ..Elf::new(is_64, little) };
            let new = elf.clone().with(elf.build_info("go1.22.5", MODULES));
            check(&found(&new).expect("inline strings"), "go1.22.5");
            let [info, strings] = elf.old_build_info("go1.16.15", MODULES);
            let old = elf.clone().with(strings).with(info);
            check(&found(&old).expect("pointers"), "go1.16.15");
        }
    }
}

#[test]
fn without_section_headers_it_is_found_behind_other_data_and_an_imitation() {
    let elf = Elf { headers: false, ..Elf::new(true, true) };
    let info = elf.build_info("go1.27.4", "");
    // The magic where it is not aligned, and where nothing sensible follows.
    let mut bytes = vec![0; 8];
    bytes.extend(MAGIC);
    bytes.resize(64, 0);
    bytes.extend(MAGIC);
    bytes.extend([8, 2]);
    bytes.resize(64 + 32, 0);
    bytes.extend(b"\x03not");
    bytes.resize(4096, 0);
    bytes.extend(&info.bytes);
    let data = Part { bytes, ..info };
    let elf = elf.with(Part::new(".text", vec![0x90; 64]).at(0x40_1000, elf::PF_R | elf::PF_X)).with(data);
    assert_eq!(found(&elf).unwrap().version, "go1.27.4");
}

#[test]
fn what_is_not_build_information_is_refused() {
    let elf = Elf::new(true, true);
    assert_eq!(found(&elf.clone().with(Part::new(".go.buildinfo", vec![0; 64]))), None);
    assert_eq!(found(&elf.clone().with(elf.build_info("clang 19", ""))), None);
    assert_eq!(found(&elf), None);
    // A length that runs beyond the file, one of 2^63, one that never ends.
    for varint in [&[0x7f][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0xff; 16]] {
        let mut info = elf.build_info("go1.22.5", "");
        info.bytes.truncate(32);
        info.bytes.extend(varint);
        assert_eq!(found(&elf.clone().with(info)), None, "{varint:x?}");
    }
    // Pointers into nowhere.
    let [mut info, strings] = elf.old_build_info("go1.16.15", "");
    info.bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(found(&elf.clone().with(info).with(strings)), None);
}

#[test]
fn a_module_that_replaces_the_main_one() {
    let elf = Elf::new(true, true);
    let info = found(&elf.clone().with(elf.build_info("go1.22.5", "mod\ta\tv1\n=>\tb\tv2\n"))).unwrap();
    assert_eq!(info.module.unwrap().version, "v2");
}
