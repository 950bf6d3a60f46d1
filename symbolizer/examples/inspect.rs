//! Prints what is known of the given files, and what it took: `cargo run --example inspect -- FILE…`

use std::{path::Path, time::Instant};

use remora_symbolizer::Inspection;

fn main() {
    for file in std::env::args().skip(1) {
        let start = Instant::now();
        let result = Inspection::of(Path::new(&file));
        let took = start.elapsed();
        let inspection = match result {
            Ok(inspection) => inspection,
            Err(error) => {
                println!("{file}: {error}");
                continue;
            }
        };
        println!("{file}: {} {:?} ({took:.1?})", inspection.binary.runtime, inspection.runtime_version);
        println!("  TLS: {:?}\n  Go's table: {:?}", inspection.tls, inspection.go_functions);
        for function in &inspection.functions {
            let returns = function.returns.as_ref().map(|r| r.places().len());
            println!(
                "  {:#x} +{} {} ({}), returns: {returns:?}",
                function.offset, function.size, function.probe.function, function.evidence
            );
        }
        match &inspection.go_fields {
            Some(Ok(fields)) => {
                for field in fields {
                    println!("  {} {:?}", field.field, field.offset);
                }
            }
            other => println!("  fields: {other:?}"),
        }
    }
}
