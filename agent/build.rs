//! Builds the eBPF programs, which the agent carries inside.
//!
//! They need a compiler with `core`'s sources and a linker for eBPF. Two sets are known: rustup's nightly with the
//! component `rust-src`, and Debian's `rustc-web`, `cargo-web` and `rust-web-src`; both with `bpf-linker` beside them.
//! `cargo xtask setup` installs what is missing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A compiler that can build for eBPF.
enum ToolChain {
    /// `rustup run nightly cargo`
    Nightly,
    /// Debian's packages, under `/usr`.
    Debian,
}

const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core";
const TARGET: &str = "bpfel-unknown-none";

fn main() {
    println!("cargo::rerun-if-changed=../agent-ebpf/src");
    println!("cargo::rerun-if-changed=../agent-ebpf/Cargo.toml");
    if let Err(reason) = build() {
        eprintln!("The eBPF programs could not be built: {reason}");
        eprintln!("`cargo xtask setup` installs what they need.");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("..");
    // target/release/build/remora-…/out: both profiles share one build of the programs.
    let target_dir = out.ancestors().nth(4).ok_or("OUT_DIR has an unknown form")?.join("ebpf");
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let linker = find_linker().ok_or("there is no `bpf-linker` on PATH or in ~/.cargo/bin")?;

    let mut cargo =
        match tool_chain().ok_or("there is neither a nightly with rust-src nor Debian's rust-web-src")? {
            ToolChain::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", "nightly", "cargo"]);
                cargo
            }
            ToolChain::Debian => {
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
        };
    // What the outer cargo set is not meant for this build.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let foreign = name.starts_with("CARGO_") && name != "CARGO_HOME";
        if foreign
            || matches!(name.as_str(), "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER" | "RUSTDOC" | "TARGET")
        {
            cargo.env_remove(name);
        }
    }
    let flags = [
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", linker.display()),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
    ];
    let status = cargo
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .current_dir(&root)
        .args([
            "build",
            "--quiet",
            "--release",
            "-Zbuild-std=core",
            "--package=remora-ebpf",
            "--features=programs",
        ])
        .arg(format!("--target={TARGET}"))
        .arg(format!("--target-dir={}", target_dir.display()))
        .status()
        .map_err(|e| format!("cargo for eBPF did not start: {e}"))?;
    if !status.success() {
        return Err("see above".to_owned());
    }
    for object in ["remora-ebpf", "remora-floor"] {
        let built = target_dir.join(TARGET).join("release").join(object);
        std::fs::copy(&built, out.join(object)).map_err(|e| format!("{}: {e}", built.display()))?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}

fn tool_chain() -> Option<ToolChain> {
    // With Debian's packages there may also be a rustup whose nightly has no sources.
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--print=sysroot"]).output().ok();
    if let Some(output) = nightly.filter(|output| output.status.success()) {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").exists() {
            return Some(ToolChain::Nightly);
        }
    }
    (Path::new(DEBIAN_SOURCES).exists() && Path::new("/usr/bin/cargo").exists()).then_some(ToolChain::Debian)
}

fn find_linker() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(home.map(|home| home.join("bin")))
        .map(|folder| folder.join("bpf-linker"))
        .find(|candidate| candidate.is_file())
}
