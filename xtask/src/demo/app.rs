//! The demo application: starts the servers of `examples/shop` on free loopback ports and ends them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::http::{Connection, Request};
use crate::process::{self, Output, Service};
use crate::{paths, progress};

/// How long a server may take to answer for the first time.
const HEALTHY: Duration = Duration::from_secs(20);
/// A port that was free may be taken a moment later; then all begins anew.
const ATTEMPTS: usize = 3;

/// The servers, in the order in which they start.
const SERVERS: &[&str] = &["orders", "catalog", "recommendations", "frontend", "edge"];

/// What each is made of, for the reader.
const MADE_OF: &[&str] =
    &["Rust, axum and hyper", "Go, net/http", "Python, http.server", "Node.js, http", "nginx"];

/// Builds the parts of the application that are compiled.
pub fn build() -> Result<()> {
    let start = Instant::now();
    let log = process::fresh(&paths::logs().join("build-shop.log"))?;
    let folder = paths::cache().join("shop");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut go = process::command("go");
    go.args(["build", "-buildvcs=false", "-o"]).arg(catalog_binary()).arg(".");
    go.current_dir(paths::shop().join("catalog"));
    process::run(&mut go, &Output::Log(&log))?;
    process::run(
        process::cargo().args(["build", "--release", "--package", "shop-orders"]),
        &Output::Log(&log),
    )?;
    progress::done("demo application", "catalog (Go), orders (Rust)", start);
    Ok(())
}

fn catalog_binary() -> PathBuf {
    paths::cache().join("shop").join("catalog")
}

/// The running application.
pub struct App {
    services: Vec<Service>,
    ports: Vec<u16>,
    dir: PathBuf,
    /// Where its users come in.
    pub edge: SocketAddr,
}

impl App {
    /// Starts all servers and waits until each answers.
    pub fn start() -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::try_start() {
                Ok(app) => return Ok(app),
                Err(error) if attempt == ATTEMPTS || process::stop_requested() => return Err(error),
                Err(error) => progress::doing(&format!("again, because {error:#}")),
            }
            attempt += 1;
        }
    }

    fn try_start() -> Result<Self> {
        let ports = free_ports(SERVERS.len())?;
        let dir = std::env::temp_dir().join(format!("remora-shop-{}", std::process::id()));
        let edge = address(ports[SERVERS.len() - 1]);
        let mut app = Self { services: Vec::new(), ports, dir, edge };
        for name in SERVERS {
            let mut command = app.server(name)?;
            command.env("PORT", app.port(name).to_string());
            let log = paths::logs().join(format!("shop-{name}.log"));
            app.services.push(Service::start(name, &mut command, log, false)?);
        }
        app.wait_healthy()?;
        Ok(app)
    }

    /// How a server is started, but for its port.
    fn server(&self, name: &str) -> Result<Command> {
        let shop = paths::shop();
        let url = |name| format!("http://{}", address(self.port(name)));
        let mut command = match name {
            "orders" => process::command(paths::release("orders")),
            "catalog" => process::command(catalog_binary()),
            "recommendations" => {
                let mut python = process::command("python3");
                python.arg(shop.join("recommendations/recommendations.py"));
                python
            }
            "frontend" => {
                let mut node = process::command("node");
                node.arg(shop.join("frontend/frontend.js"));
                node
            }
            "edge" => {
                let configuration = self.edge_folder(&shop.join("edge"))?;
                let mut nginx = process::command("nginx");
                nginx.args(["-e", "stderr", "-p"]).arg(&self.dir).arg("-c").arg(configuration);
                nginx
            }
            other => bail!("no server is called {other}"),
        };
        command.env("ORDERS_URL", url("orders")).env("CATALOG_URL", url("catalog"));
        command.env("RECOMMENDATIONS_URL", url("recommendations"));
        Ok(command)
    }

    /// nginx runs in a folder of its own outside the checkout: its workers may be another user, who may not read that.
    fn edge_folder(&self, sources: &Path) -> Result<PathBuf> {
        let files = self.dir.join("static");
        fs::create_dir_all(&files).with_context(|| format!("cannot make {}", files.display()))?;
        for dir in [&self.dir, &files] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        }
        for file in fs::read_dir(sources.join("static"))? {
            let file = file?;
            let copy = files.join(file.file_name());
            fs::copy(file.path(), &copy)?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644))?;
        }
        let configuration = fs::read_to_string(sources.join("nginx.conf.template"))?
            .replace("${PORT}", &self.port("edge").to_string())
            .replace("${FRONTEND}", &address(self.port("frontend")).to_string())
            .replace("${DIR}", &self.dir.display().to_string());
        let path = self.dir.join("nginx.conf");
        fs::write(&path, configuration)?;
        Ok(path)
    }

    fn port(&self, name: &str) -> u16 {
        SERVERS.iter().zip(&self.ports).find(|(server, _)| **server == name).map_or(0, |(_, port)| *port)
    }

    fn wait_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + HEALTHY;
        for (index, name) in SERVERS.iter().enumerate() {
            let request = Request::get("/healthz", "health-check");
            loop {
                self.services[index].check()?;
                let answer =
                    Connection::open(address(self.ports[index])).and_then(|mut to| to.send(&request));
                match answer {
                    Ok(200) => break,
                    Ok(status) if Instant::now() > deadline => {
                        bail!("{name} answers its health check with {status}")
                    }
                    Err(error) if Instant::now() > deadline => {
                        return Err(error.context(format!("{name} does not answer")));
                    }
                    _ => process::pause(Duration::from_millis(50)),
                }
                if process::stop_requested() {
                    bail!("interrupted");
                }
            }
        }
        Ok(())
    }

    /// One line a server.
    pub fn describe(&self) {
        for (index, name) in SERVERS.iter().enumerate() {
            let ok = progress::paint("ok", "32");
            println!(
                "  {ok} {name:<16} {:<22} {}  pid {}",
                MADE_OF[index],
                address(self.ports[index]),
                self.services[index].child.id()
            );
        }
    }

    /// An error when a server ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.services.iter_mut().try_for_each(Service::check)
    }

    /// Ends all servers, those that call before those that are called.
    pub fn stop(&mut self) -> Result<()> {
        for service in self.services.iter_mut().rev() {
            service.stop(Duration::from_secs(3))?;
        }
        Ok(())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.stop();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind(address(0)))
        .collect::<Result<_, _>>()
        .context("no free port")?;
    Ok(listeners
        .iter()
        .map(|listener| listener.local_addr().map(|at| at.port()))
        .collect::<Result<_, _>>()?)
}
