//! Prints what is known of the given files: `cargo run --example inspect -- FILE…`

use std::{path::Path, time::Instant};

use remora_symbolizer::{go, inspect, tls};

fn main() {
    for file in std::env::args().skip(1) {
        let path = Path::new(&file);
        let start = Instant::now();
        let binary = inspect(path);
        let took = start.elapsed();
        match binary {
            Ok(mut binary) => {
                println!("{file}: {} ({took:.1?})", binary.runtime);
                let id = binary.build_id_hex().unwrap_or_else(|| "none".into());
                if let remora_symbolizer::Runtime::Go(info) = &mut binary.runtime {
                    info.dependencies.truncate(2);
                }
                binary.build_id = None;
                println!("  build id {id}\n  {binary:?}");
            }
            Err(error) => {
                println!("{file}: {error}");
                continue;
            }
        }
        let start = Instant::now();
        let inside = tls::scan(path);
        println!("  TLS inside: {inside:?} ({:.1?})", start.elapsed());
        let start = Instant::now();
        match go::offsets(path) {
            Ok((offsets, source)) => println!("  {offsets:?} from {source:?} ({:.1?})", start.elapsed()),
            Err(error) => println!("  goroutines: {error} ({:.1?})", start.elapsed()),
        }
        let start = Instant::now();
        match go::offsets_from_dwarf(path) {
            Ok(offsets) => println!("  {offsets:?} from DWARF ({:.1?})", start.elapsed()),
            Err(error) => println!("  {error} ({:.1?})", start.elapsed()),
        }
    }
}
