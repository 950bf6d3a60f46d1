//! The programs that Remora's build, demo and tests run, and the Debian packages they come in.

use std::time::Instant;

use anyhow::{Context, Result};

use super::{Scope, Skipped, apt};
use crate::{paths, process, progress};

struct Program {
    name: &'static str,
    packages: &'static [&'static str],
    scope: Scope,
    required: bool,
    purpose: &'static str,
}

/// All of them. A program that a test wants goes here, and nowhere else.
#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    Program { name: "cc",      packages: &["gcc", "libc6-dev"],         scope: Scope::Build, required: true,  purpose: "links Rust programs" },
    Program { name: "node",    packages: &["nodejs"],      scope: Scope::Demo,  required: true,  purpose: "the demo's frontend; HTTP server under test" },
    Program { name: "python3", packages: &["python3"],     scope: Scope::Demo,  required: true,  purpose: "the demo's recommendations; HTTP server and client under test" },
    Program { name: "nginx",   packages: &["nginx-light"], scope: Scope::Demo,  required: true,  purpose: "the demo's edge; HTTP server under test" },
    Program { name: "apache2", packages: &["apache2"],     scope: Scope::Tests, required: true,  purpose: "HTTP server under test" },
    Program { name: "curl",    packages: &["curl"],        scope: Scope::Tests, required: true,  purpose: "HTTP client under test" },
    Program { name: "wrk",     packages: &["wrk"],         scope: Scope::Tests, required: true,  purpose: "HTTP load with many connections and pipelining" },
    Program { name: "bpftool", packages: &["bpftool"],     scope: Scope::Tests, required: false, purpose: "asks the kernel what is attached" },
    Program { name: "qemu-system-x86_64", packages: &["qemu-system-x86"], scope: Scope::Tests, required: false, purpose: "boots other kernels" },
    Program { name: "modprobe", packages: &["kmod"],      scope: Scope::Tests, required: false, purpose: "modules of other kernels, and of kernel TLS" },
    Program { name: "xz",      packages: &["xz-utils"],   scope: Scope::Tests, required: false, purpose: "unpacks other kernels" },
    Program { name: "zstd",    packages: &["zstd"],       scope: Scope::Tests, required: false, purpose: "unpacks other kernels" },
];

/// Installs what is missing of the table, in one go.
pub fn ensure(scope: Scope, skipped: &mut Skipped) -> Result<()> {
    let start = Instant::now();
    let wanted: Vec<_> = PROGRAMS.iter().filter(|program| program.scope <= scope).collect();
    let missing = |required| {
        let lacks =
            |program: &&&Program| program.required == required && paths::which(program.name).is_none();
        wanted.iter().filter(lacks).copied().collect::<Vec<_>>()
    };

    let needed = missing(true);
    if !needed.is_empty() {
        let packages: Vec<_> = needed.iter().flat_map(|program| program.packages).copied().collect();
        apt::install(&packages).with_context(|| explain(&needed))?;
        let still = missing(true);
        anyhow::ensure!(still.is_empty(), "installed, yet not on PATH: {}", explain(&still));
    }
    for program in missing(false) {
        if process::stop_requested() {
            break;
        }
        if apt::install(program.packages).is_err() {
            progress::skipped(program.name, program.purpose);
            skipped.push(format!("{} ({})", program.name, program.purpose));
        }
    }

    let present: Vec<_> =
        wanted.iter().map(|program| program.name).filter(|name| paths::which(name).is_some()).collect();
    progress::done("programs", &present.join(" "), start);
    Ok(())
}

fn explain(programs: &[&Program]) -> String {
    let each: Vec<_> =
        programs.iter().map(|program| format!("{} ({})", program.name, program.purpose)).collect();
    each.join(", ")
}
