//! Debian packages of other suites than this machine's, through apt's own client.
//!
//! Each suite has an apt root of its own under `.cache/vm/apt`, so nothing of this machine's apt is changed, a suite that
//! is gone from the mirror harms no other, and nothing is installed: packages are downloaded and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{self, Output};
use crate::{paths, progress};

/// Debian's own keys, of old suites and of new ones.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite whose package lists are fresh.
pub struct Suite {
    name: String,
    root: PathBuf,
}

impl Suite {
    /// Fetches the lists of a suite, from the mirror that this machine's apt uses.
    pub fn open(name: &str) -> Result<Self> {
        let root = super::folder().join("apt").join(name);
        fs::create_dir_all(root.join("lists/partial"))?;
        fs::create_dir_all(root.join("cache/archives/partial"))?;
        let source = format!("deb [signed-by={KEYS}] {} {name} main\n", mirror()?);
        fs::write(root.join("sources.list"), source)?;
        let suite = Self { name: name.to_owned(), root };
        progress::doing(&format!("apt-get update for Debian {name}, in a folder of its own"));
        suite
            .get(&["update", "--error-on=any"], &suite.root)
            .with_context(|| format!("the mirror does not give the lists of Debian {name}"))?;
        Ok(suite)
    }

    /// The field `Depends` of a package.
    pub fn depends(&self, package: &str) -> Result<String> {
        let shown = process::output_of(self.apt("apt-cache").args(["show", "--no-all-versions", package]))
            .with_context(|| format!("Debian {} has no {package}", self.name))?;
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "));
        Ok(depends.with_context(|| format!("{package} depends on nothing"))?.to_owned())
    }

    /// Whether it has a package.
    pub fn has(&self, package: &str) -> bool {
        process::output_of(self.apt("apt-cache").args(["show", package])).is_ok_and(|shown| !shown.is_empty())
    }

    /// Downloads packages and unpacks them into a folder.
    pub fn unpack(&self, packages: &[&str], into: &Path) -> Result<()> {
        let folder = self.root.join("download");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        progress::doing(&format!("downloading {} of Debian {}", packages.join(" "), self.name));
        let mut arguments = vec!["download"];
        arguments.extend(packages);
        self.get(&arguments, &folder)
            .with_context(|| format!("Debian {} does not give {}", self.name, packages.join(" ")))?;
        fs::create_dir_all(into)?;
        for entry in fs::read_dir(&folder)? {
            let mut unpack = process::command("dpkg-deb");
            unpack.arg("-x").arg(entry?.path()).arg(into);
            process::run(&mut unpack, &Output::Log(&log()))?;
        }
        fs::remove_dir_all(&folder)?;
        Ok(())
    }

    fn get(&self, arguments: &[&str], folder: &Path) -> Result<()> {
        process::run(self.apt("apt-get").arg("-q").args(arguments).current_dir(folder), &Output::Log(&log()))
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = process::command(program);
        let mut set = |option: &str, value: &str| {
            command.arg("-o").arg(format!("{option}={value}"));
        };
        let inside = |name: &str| self.root.join(name).to_string_lossy().into_owned();
        set("Dir::Etc::sourcelist", &inside("sources.list"));
        set("Dir::Etc::sourceparts", "/dev/null");
        set("Dir::Etc::preferencesparts", "/dev/null");
        set("Dir::State", &inside("."));
        set("Dir::State::lists", &inside("lists"));
        set("Dir::State::status", "/dev/null");
        set("Dir::Cache", &inside("cache"));
        set("APT::Sandbox::User", "root");
        set("APT::Architecture", "amd64");
        set("Acquire::Languages", "none");
        command
    }
}

fn log() -> PathBuf {
    paths::logs().join("vm-packages.log")
}

/// The mirror of Debian that this machine's apt uses.
fn mirror() -> Result<String> {
    ensure!(paths::which("apt-get").is_some(), "other kernels come by apt, and there is no apt-get here");
    let mut targets = process::command("apt-get");
    targets.args(["indextargets", "--format", "$(LABEL)|$(SITE)", "Created-By: Packages"]);
    mirror_in(&process::output_of(&mut targets)?)
        .context("apt knows no mirror of Debian; `apt-get update` may not have been run yet")
}

/// Out of lines `LABEL|SITE`. Security updates and other people's packages lie elsewhere.
fn mirror_in(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| line.strip_prefix("Debian|")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_debians_main_archive() {
        let targets = "Docker|https://other.test/debian\nDebian-Security|http://mirror.test/debian-security\n\
            Debian|http://mirror.test/debian\nDebian|http://second.test/debian\n";
        assert_eq!(mirror_in(targets).as_deref(), Some("http://mirror.test/debian"));
        assert_eq!(mirror_in("|http://mirror.test/debian\n"), None);
    }
}
