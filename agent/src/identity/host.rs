//! Facts about the host, the same for every process on it.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::protocol::Value;

/// What is known about the host. `remora record` writes it once at the start of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// The host's name.
    pub name: String,
    /// `/etc/machine-id`; empty if there is none.
    pub id: String,
    /// The processor's architecture as OpenTelemetry names it: `amd64`, `arm64`, ….
    pub architecture: String,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os_description: String,
    /// The kernel's release (`uname -r`).
    pub kernel: String,
}

impl Host {
    /// Reads the host's facts below `root` (`/`).
    ///
    /// An agent in a container that shares the host's PID namespace sees the host's own files through `/proc/1/root`;
    /// where that cannot be read, those below `root` itself are taken. What is nowhere is left empty.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let init = root.join("proc/1/root");
        // In a UTS namespace of its own, the agent sees a container's name where the host's is wanted.
        let namespace = |process: &str| fs::read_link(root.join("proc").join(process).join("ns/uts")).ok();
        let own_name = namespace("1").is_none_or(|host| namespace("self").is_none_or(|own| own == host));
        let kernel_name = || line(&root.join("proc/sys/kernel/hostname"));
        let name =
            if own_name { kernel_name() } else { line(&init.join("etc/hostname")).or_else(kernel_name) };
        let first = |path: &str| line(&init.join(path)).or_else(|| line(&root.join(path)));
        let id = first("etc/machine-id").or_else(|| first("var/lib/dbus/machine-id"));
        let release = text(&init.join("etc/os-release"))
            .or_else(|| text(&init.join("usr/lib/os-release")))
            .or_else(|| text(&root.join("etc/os-release")));
        Self {
            name: name.unwrap_or_default(),
            // A machine that was never booted says "uninitialized" (machine-id(5)).
            id: id.filter(|id| id.len() == 32).unwrap_or_default(),
            architecture: architecture(std::env::consts::ARCH).to_owned(),
            os_description: release.and_then(|release| pretty_name(&release)).unwrap_or_default(),
            kernel: line(&root.join("proc/sys/kernel/osrelease")).unwrap_or_default(),
        }
    }

    /// The host's resource attributes.
    #[must_use]
    pub fn attributes(&self) -> Vec<(String, Value)> {
        let mut attributes = Vec::new();
        for (key, value) in [
            ("host.name", &self.name),
            ("host.id", &self.id),
            ("host.arch", &self.architecture),
            ("os.description", &self.os_description),
            ("os.version", &self.kernel),
        ] {
            if !value.is_empty() {
                attributes.push((key.to_owned(), Value::Text(value.clone().into())));
            }
        }
        attributes.push(("os.type".to_owned(), Value::Text("linux".into())));
        attributes
    }
}

/// Rust's name of an architecture to OpenTelemetry's (`host.arch`).
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

fn pretty_name(release: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?.trim();
    let value = value.trim_matches(|c| c == '"' || c == '\'');
    (!value.is_empty()).then(|| value.to_owned())
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(16 * 1024).read_to_string(&mut text).ok()?;
    Some(text)
}

fn line(path: &Path) -> Option<String> {
    let text = text(path)?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_host_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "proc/sys/kernel/hostname", "web-1\n");
        write(root, "proc/sys/kernel/osrelease", "6.8.0-31-generic\n");
        write(root, "etc/machine-id", "9f1c54b5f08b4d2e8f62d8c1a3a4c0aa\n");
        write(root, "etc/os-release", "NAME=\"Ubuntu\"\nPRETTY_NAME=\"Ubuntu 24.04 LTS\"\n");
        let host = Host::read(root);
        assert_eq!(
            host,
            Host {
                name: "web-1".into(),
                id: "9f1c54b5f08b4d2e8f62d8c1a3a4c0aa".into(),
                architecture: architecture(std::env::consts::ARCH).into(),
                os_description: "Ubuntu 24.04 LTS".into(),
                kernel: "6.8.0-31-generic".into(),
            }
        );
        let keys: Vec<String> = host.attributes().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["host.name", "host.id", "host.arch", "os.description", "os.version", "os.type"]);
    }

    #[test]
    fn from_inside_a_container_the_host_is_behind_its_init() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "proc/sys/kernel/hostname", "remora-x2x8k\n");
        write(root, "proc/1/root/etc/hostname", "node-7\n");
        write(root, "proc/1/root/etc/machine-id", "9f1c54b5f08b4d2e8f62d8c1a3a4c0aa\n");
        write(root, "etc/machine-id", "00000000000000000000000000000000\n");
        for (process, namespace) in [("1", "uts:[1]"), ("self", "uts:[2]")] {
            fs::create_dir_all(root.join("proc").join(process).join("ns")).unwrap();
            symlink(namespace, root.join("proc").join(process).join("ns/uts")).unwrap();
        }
        let host = Host::read(root);
        assert_eq!((host.name.as_str(), host.id.as_str()), ("node-7", "9f1c54b5f08b4d2e8f62d8c1a3a4c0aa"));
    }

    #[test]
    fn nothing_is_invented() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "etc/machine-id", "uninitialized\n");
        let host = Host::read(root.path());
        assert_eq!(host, Host { architecture: host.architecture.clone(), ..Host::default() });
    }

    #[test]
    fn this_machine() {
        let host = Host::read(Path::new("/"));
        assert!(!host.name.is_empty() && !host.kernel.is_empty(), "{host:?}");
    }
}
