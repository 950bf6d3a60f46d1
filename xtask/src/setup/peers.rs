//! The servers and clients whose protocols the end-to-end tests watch. All of them are optional: what cannot be had is
//! skipped with one line, and so are its tests.
//!
//! A peer is a Debian package, a Python package (all in one virtual environment), a Node package, a Maven project or a Go
//! module. Everything but Debian's packages lies under `.cache/peers`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Skipped, apt, fresh_log, python};
use crate::process::{self, Output};
use crate::{paths, progress};

/// Debian packages, each with a program that it brings.
const DEBIAN: &[(&str, &[&str])] = &[
    ("/usr/bin/redis-server", &["redis-server", "redis-tools"]),
    ("/usr/bin/memcached", &["memcached"]),
    ("/usr/sbin/nats-server", &["nats-server"]),
    ("/usr/lib/postgresql/15/bin/postgres", &["postgresql-15"]),
    ("/usr/sbin/mariadbd", &["mariadb-server", "mariadb-client"]),
    ("/usr/sbin/rabbitmq-server", &["rabbitmq-server"]),
    ("/usr/sbin/mosquitto", &["mosquitto", "mosquitto-clients"]),
    ("/usr/sbin/php-fpm8.2", &["php-fpm", "php-cli"]),
    ("/usr/bin/dig", &["dnsutils"]),
    ("/usr/sbin/dnsmasq", &["dnsmasq-base"]),
    ("/usr/sbin/nghttpx", &["nghttp2-proxy"]),
    ("/usr/bin/h2load", &["nghttp2-client"]),
    ("/usr/bin/etcd", &["etcd-server", "etcd-client"]),
    ("/usr/share/zookeeper/bin/zkServer.sh", &["zookeeperd"]),
    ("/usr/bin/sysbench", &["sysbench"]),
    ("/usr/bin/mvn", &["maven", "default-jdk-headless"]),
    ("/usr/bin/thrift", &["thrift-compiler"]),
];

/// Python packages: `name==version`, one a line.
#[rustfmt::skip]
const PYTHON: &[&str] = &[
    "anthropic==2.12.0",
    "boto3==1.44.5",
    "confluent-kafka==2.16.1",
    "elasticsearch==9.5.1",
    "grpcio==1.85.1",
    "jsonrpclib-pelix==1.2.0",
    "kafka-python==3.0.12",
    "kazoo==2.11.0",
    "moto[server]==5.2.5",
    "nats-py==2.11.0",
    "openai==3.54.0",
    "opensearch-py==3.2.0",
    "paho-mqtt==2.2.0",
    "pika==1.4.4",
    "psycopg2-binary==2.9.13",
    "psycopg[binary]==3.3.9",
    "pymemcache==4.0.0",
    "pymongo==4.20.0",
    "PyMySQL==1.2.4",
    "python-binary-memcached==0.31.4",
    "redis==6.4.0",
    "scylla-driver==3.29.12",
    "spyne==2.14.0",
    "thrift==0.25.0",
    "websockets==17.4",
    "zeep==4.3.3",
    "mysql-connector-python==26.10.0",
];

/// Node packages: `name@version`, one a line.
#[rustfmt::skip]
const NODE: &[&str] = &[
    "graphql@16.15.0",
    "graphql-http@1.23.1",
    "jayson@5.0.0",
];

/// Installs and builds what is missing.
pub fn ensure(skipped: &mut Skipped) {
    let mut part = |name: &str, work: &dyn Fn() -> Result<String>| {
        if process::stop_requested() {
            return;
        }
        let start = Instant::now();
        match work() {
            Ok(what) if what.is_empty() => {}
            Ok(what) => progress::done(name, &what, start),
            Err(error) => {
                progress::skipped(name, &format!("{error:#}"));
                skipped.push(format!("{name}: {error:#}"));
            }
        }
    };
    part("peers of Debian", &debian);
    part("peers of Python", &python_packages);
    part("peers of Node", &node_packages);
    for project in projects("java") {
        part(&format!("Java peer {}", name(&project)), &|| java(&project));
    }
    for project in projects("go-peers") {
        part(&format!("Go peer {}", name(&project)), &|| go(&project));
    }
}

fn folder() -> PathBuf {
    paths::cache().join("peers")
}

fn name(project: &Path) -> String {
    project.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folders of `tests/workloads/KIND`.
fn projects(kind: &str) -> Vec<PathBuf> {
    let folder = paths::root().join("tests/workloads").join(kind);
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
        .unwrap_or_default();
    found.sort();
    found
}

/// A hash of what something is made of.
fn fingerprint(parts: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The same of a project's files, wherever the project lies.
fn fingerprint_of(project: &Path, files: &[(PathBuf, Vec<u8>)]) -> String {
    let inside = |(path, bytes): &(PathBuf, Vec<u8>)| {
        (path.strip_prefix(project).unwrap_or(path).to_owned(), fingerprint(bytes))
    };
    fingerprint(files.iter().map(inside).collect::<Vec<_>>())
}

/// Does `work` unless `stamp` says that it was done for the same `inputs`.
fn once(stamp: &Path, inputs: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    if fs::read_to_string(stamp).is_ok_and(|done| done == inputs) {
        return Ok(());
    }
    let _ = fs::remove_file(stamp);
    if let Some(parent) = stamp.parent() {
        fs::create_dir_all(parent)?;
    }
    work()?;
    fs::write(stamp, inputs)?;
    Ok(())
}

fn debian() -> Result<String> {
    let missing = || DEBIAN.iter().filter(|(program, _)| !Path::new(program).exists());
    let packages: Vec<&str> = missing().flat_map(|(_, packages)| packages.iter().copied()).collect();
    if !packages.is_empty() && apt::install(&packages).is_err() {
        // One that does not exist here must not keep the others away.
        for (_, packages) in missing() {
            let _ = apt::install(packages);
        }
    }
    let lacking: Vec<&str> = missing().map(|(program, _)| *program).collect();
    ensure!(lacking.is_empty(), "not to be had: {}", lacking.join(", "));
    Ok(format!("{} programs", DEBIAN.len()))
}

fn python_packages() -> Result<String> {
    if PYTHON.is_empty() {
        return Ok(String::new());
    }
    let venv = folder().join("python");
    once(&venv.join("ready"), &fingerprint(PYTHON), || {
        progress::doing(&format!("pip install {}", PYTHON.join(" ")));
        python::install_into(&venv, PYTHON, &fresh_log("peers-python")?)
    })?;
    Ok(PYTHON.join(" "))
}

fn node_packages() -> Result<String> {
    if NODE.is_empty() {
        return Ok(String::new());
    }
    let folder = folder().join("node");
    once(&folder.join("ready"), &fingerprint(NODE), || {
        ensure!(paths::which("npm").is_some(), "npm is not installed");
        progress::doing(&format!("npm install {}", NODE.join(" ")));
        let mut npm = process::command("npm");
        npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .args(NODE);
        process::run(&mut npm, &Output::Log(&fresh_log("peers-node")?)).context("npm install")
    })?;
    Ok(NODE.join(" "))
}

/// All files of a project, by name and contents.
fn sources(project: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut folders = vec![project.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), fs::read(&path)?));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A Maven project: its dependencies go to `jars`, its own sources, compiled, to `classes`.
fn java(project: &Path) -> Result<String> {
    let target = folder().join("java").join(name(project));
    let files = sources(project)?;
    once(&target.join("ready"), &fingerprint_of(project, &files), || {
        ensure!(paths::which("mvn").is_some(), "Maven is not installed");
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(target.join("classes"))?;
        progress::doing(&format!("mvn dependency:copy-dependencies for {}", name(project)));
        let log = fresh_log(&format!("peers-java-{}", name(project)))?;
        let mut maven = process::command("mvn");
        maven.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
        maven.arg(format!("-DoutputDirectory={}", target.join("jars").display())).arg("-f");
        maven.arg(project.join("pom.xml"));
        process::run(&mut maven, &Output::Log(&log)).context("Maven cannot fetch its dependencies")?;
        let java: Vec<&PathBuf> = files
            .iter()
            .map(|(path, _)| path)
            .filter(|path| path.extension().is_some_and(|extension| extension == "java"))
            .collect();
        if !java.is_empty() {
            let mut javac = process::command("javac");
            javac.arg("-cp").arg(target.join("jars/*")).arg("-d").arg(target.join("classes")).args(java);
            process::run(&mut javac, &Output::Log(&log)).context("javac")?;
        }
        Ok(())
    })?;
    Ok("jars fetched, classes compiled".to_owned())
}

fn go(project: &Path) -> Result<String> {
    let program = folder().join("go").join(name(project));
    once(&program.with_extension("inputs"), &fingerprint_of(project, &sources(project)?), || {
        progress::doing(&format!("go build {}", name(project)));
        let mut go = process::command("go");
        go.args(["build", "-trimpath", "-buildvcs=false", "-o"]).arg(&program).arg(".").current_dir(project);
        go.envs([("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "auto"), ("GOWORK", "off"), ("GOFLAGS", "-mod=mod")]);
        process::run(&mut go, &Output::Log(&fresh_log(&format!("peers-go-{}", name(project)))?))
            .context("go build")
    })?;
    Ok("built".to_owned())
}
