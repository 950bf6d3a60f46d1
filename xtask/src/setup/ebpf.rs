//! The tool chain that compiles the eBPF programs: a Rust compiler that can build `core` for the BPF target, and
//! bpf-linker.
//!
//! Two ways lead there, and either will do. Upstream's: a nightly of rustup with the component `rust-src`. Debian's:
//! `rustc-web` and `rust-web-src`, whose compiler is allowed to build `core` by `RUSTC_BOOTSTRAP=1`. What is there
//! already is preferred. `agent/build.rs` looks in the same places, in the same order.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{apt, fresh_log};
use crate::process::{self, Output};
use crate::{paths, progress};

/// The newest whose crates the workspace's minimum Rust version compiles.
const BPF_LINKER: &str = "0.13.0";

/// The compiler and its library sources, as Debian packages.
const DEBIAN_COMPILER: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// The workspace's minimum Rust version, 1.95.
const OLDEST_MINOR: u32 = 95;

/// The LLVM that Debian's `rustc-web` is linked with; bpf-linker must read what that compiler writes.
const DEBIAN_LLVM: &str = "22";

enum Compiler {
    /// Rustup's nightly with the component `rust-src`: its version.
    Nightly(String),
    /// Debian's `rustc-web`: its version.
    Debian(String),
}

impl Compiler {
    fn find() -> Option<Self> {
        Self::nightly().or_else(Self::debian)
    }

    fn nightly() -> Option<Self> {
        paths::which("rustup")?;
        let rustc = |what: &[&str]| {
            process::output_of(process::command("rustup").args(["run", "nightly", "rustc"]).args(what)).ok()
        };
        let sources = Path::new(&rustc(&["--print", "sysroot"])?).join("lib/rustlib/src/rust/library/core");
        sources.is_dir().then(|| Self::Nightly(rustc(&["--version"]).unwrap_or_default()))
    }

    fn debian() -> Option<Self> {
        let tools = ["/usr/bin/rustc", "/usr/bin/cargo"].map(Path::new);
        let sources = Path::new("/usr/lib/rustlib/src/rust/library/core");
        if !tools.iter().all(|tool| tool.is_file()) || !sources.is_dir() {
            return None;
        }
        let version = process::output_of(process::command(tools[0]).arg("--version")).ok()?;
        // Debian's plain `rustc` is too old for this workspace; `rustc-web` follows upstream.
        let number = version.strip_prefix("rustc ")?.split(' ').next()?.to_owned();
        new_enough(&number).then(|| Self::Debian(format!("Debian's rustc {number}")))
    }
}

pub fn ensure() -> Result<()> {
    let start = Instant::now();
    let compiler = match Compiler::find() {
        Some(compiler) => compiler,
        None => install_compiler()?,
    };
    let linker = match linker_version() {
        Some(version) => version,
        None => install_linker(&compiler)?,
    };
    let (Compiler::Nightly(version) | Compiler::Debian(version)) = &compiler;
    progress::done("eBPF tool chain", &format!("{version}, {linker}"), start);
    Ok(())
}

fn install_compiler() -> Result<Compiler> {
    const BY_HAND: &str = "the eBPF programs need a Rust compiler that can build `core` for BPF; have one of: \
        `rustup toolchain install nightly --component rust-src`, or on Debian \
        `apt-get install rustc-web cargo-web rust-web-src`";
    if apt::offers(DEBIAN_COMPILER[0], new_enough) {
        apt::install(DEBIAN_COMPILER).context(BY_HAND)?;
    } else if paths::which("rustup").is_some() {
        progress::doing("rustup toolchain install nightly --component rust-src");
        let mut rustup = process::command("rustup");
        rustup.args(["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"]);
        process::run(&mut rustup, &Output::Log(&fresh_log("rustup-nightly")?)).context(BY_HAND)?;
    }
    Compiler::find().context(BY_HAND)
}

/// Whether a Rust version such as `1.96.0+dfsg1` compiles this workspace.
fn new_enough(version: &str) -> bool {
    let minor = version.strip_prefix("1.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= OLDEST_MINOR)
}

fn linker_version() -> Option<String> {
    process::output_of(process::command("bpf-linker").arg("--version")).ok()
}

fn install_linker(compiler: &Compiler) -> Result<String> {
    let mut install = process::cargo();
    install.args(["install", "bpf-linker", "--force"]);
    // Left to itself, cargo would build in the workspace's target directory if the environment names one.
    install.env_remove("CARGO_TARGET_DIR");
    if let Compiler::Debian(_) = compiler {
        let llvm = format!("/usr/lib/llvm-{DEBIAN_LLVM}/bin");
        if !Path::new(&llvm).join("llvm-config").exists() || paths::which("c++").is_none() {
            apt::install(&[&format!("llvm-{DEBIAN_LLVM}-dev"), "g++"])?;
        }
        let mut path = vec![llvm.into()];
        path.extend(paths::search_path());
        install.env("PATH", std::env::join_paths(path)?);
        let feature = format!("llvm-{DEBIAN_LLVM}");
        install.args(["--version", BPF_LINKER, "--no-default-features", "--features", &feature]);
    }
    progress::doing(&format!("cargo install bpf-linker {BPF_LINKER} (one to two minutes)"));
    process::run(&mut install, &Output::Log(&fresh_log("bpf-linker")?)).context(
        "bpf-linker did not build; a packaged one (release archives of the aya project) on PATH will do as well",
    )?;
    linker_version().context("bpf-linker was installed by cargo but is not on PATH, or does not run")
}
