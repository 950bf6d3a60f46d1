//! The servers under load.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::usage;
use crate::paths;
use crate::process::{self, Output, Service};

/// What is put under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Nginx,
    Go,
    Redis,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Go, Self::Redis];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Go => "Go net/http",
            Self::Redis => "redis",
        }
    }

    /// What is asked of it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Nginx => "/file.txt",
            Self::Go => "/items/4711",
            Self::Redis => "",
        }
    }
}

/// Bytes of the file that nginx serves.
pub const FILE_BYTES: usize = 1024;

/// A running server.
pub struct Server {
    pub kind: Kind,
    pub address: SocketAddr,
    service: Service,
}

impl Server {
    /// Starts it in a folder of its own below `dir` and waits until it takes connections.
    pub fn start(kind: Kind, dir: &Path) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let dir = dir.join(kind.name().split(' ').next().unwrap_or_default());
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut command = match kind {
            Kind::Nginx => {
                let configuration = nginx_folder(&dir, address)?;
                let mut nginx = process::command("nginx");
                nginx.args(["-e", "stderr", "-p"]).arg(&dir).arg("-c").arg(configuration);
                nginx
            }
            Kind::Go => {
                let mut go = process::command(go_binary());
                go.arg(address.to_string());
                go
            }
            Kind::Redis => {
                let mut redis = process::command("redis-server");
                redis.args([
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &port.to_string(),
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ]);
                redis.arg("--dir").arg(&dir);
                redis
            }
        };
        let service = Service::start(kind.name(), &mut command, dir.join("log"), false)?;
        let mut server = Self { kind, address, service };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() {
            self.service.check()?;
            ensure!(Instant::now() < deadline, "{} does not take connections", self.kind.name());
            ensure!(!process::stop_requested(), "interrupted");
            process::pause(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Processor time of all its processes.
    pub fn cpu(&self) -> Duration {
        usage::of_tree(self.service.child.id())
    }

    pub fn stop(mut self) -> Result<()> {
        self.service.check()?;
        self.service.stop(Duration::from_secs(3)).map(|_| ())
    }
}

/// What Debian's configuration says where it matters here: a worker a processor, `sendfile`, `tcp_nopush`. The access
/// log is off, and a connection may carry more requests than the default of 1000.
fn nginx_folder(dir: &Path, address: SocketAddr) -> Result<PathBuf> {
    let text = format!(
        "daemon off;
user root;
worker_processes auto;
pid {dir}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{ listen {address}; root {dir}/files; }}
}}
",
        dir = dir.display()
    );
    let path = dir.join("nginx.conf");
    fs::write(&path, text)?;
    let files = dir.join("files");
    fs::create_dir_all(&files)?;
    fs::write(files.join("file.txt"), "remora\n".repeat(FILE_BYTES).split_at(FILE_BYTES).0)?;
    Ok(path)
}

fn go_folder() -> PathBuf {
    paths::cache().join("bench").join("go")
}

fn go_binary() -> PathBuf {
    go_folder().join("server")
}

/// Builds the Go server.
pub fn build_go() -> Result<()> {
    let dir = go_folder();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(dir.join("main.go"), include_str!("server.go"))?;
    let mut go = process::command("go");
    go.args(["build", "-buildvcs=false", "-o", "server", "main.go"]).current_dir(&dir);
    let log = process::fresh(&paths::logs().join("bench-go.log"))?;
    process::run(&mut go, &Output::Log(&log))
}
