//! Real programs, with the settings that tests need.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::{Netns, Place, Program, Running, workload};

/// Whether an optional program is in `PATH`; says that the test is skipped if it is not.
#[must_use]
pub fn installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|folder| folder.join(program).exists());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// nginx with one worker and the given `server` blocks, listening on `port`; its folder is `place`, where it
/// writes `access.log` with method, target, status and bytes of each request.
#[must_use]
pub fn nginx(netns: &Netns, place: &Place, port: u16, servers: &str) -> Running {
    let settings = format!(
        "daemon off; user root; worker_processes 1; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    log_format exact '$request_method $request_uri $status $body_bytes_sent';
    access_log {folder}/access.log exact;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    sendfile on; keepalive_requests 1000000; client_max_body_size 0; default_type text/plain;
    root {folder}/www;
    {servers}
}}\n",
        folder = place.path().display(),
    );
    let file = place.write("nginx.conf", settings);
    netns.program("nginx").arg("-p").arg(place.path()).arg("-c").arg(file).listen(port)
}

/// Apache with its event MPM, `extra` settings, listening on `port`; it serves `place`/www.
#[must_use]
pub fn apache(netns: &Netns, place: &Place, port: u16, extra: &str) -> Running {
    let modules = ["mpm_event", "authz_core", "authn_core", "mime", "alias", "dir", "proxy", "proxy_connect"];
    let modules =
        modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let settings = format!(
        "{modules}ServerRoot {folder}\nServerName test\nListen 127.0.0.1:{port}\nPidFile {folder}/apache.pid
ErrorLog {folder}/error.log\nTypesConfig /dev/null\nDocumentRoot {folder}/www\nKeepAlive On\nMaxKeepAliveRequests 0
StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMinSpareThreads 1\nMaxSpareThreads 8\nMaxRequestWorkers 8
<Directory {folder}/www>\nRequire all granted\n</Directory>\nDirectorySlash On\n{extra}\n",
        modules = modules.concat(),
        folder = place.path().display(),
    );
    let file = place.write("apache.conf", settings);
    netns.program("apache2").args(["-D", "FOREGROUND", "-f"]).arg(file).listen(port)
}

/// A Python workload.
#[must_use]
pub fn python(netns: &Netns, script: &str) -> Program {
    netns.program("/usr/bin/python3").arg(workload(script)).env("PYTHONDONTWRITEBYTECODE", "1")
}

/// Python's `http.server`, listening on an address and port.
#[must_use]
pub fn python_server(netns: &Netns, address: &str, port: u16) -> Running {
    python(netns, "py_server.py").arg(address).arg(port.to_string()).listen(port)
}

/// A Node workload.
#[must_use]
pub fn node(netns: &Netns, script: &str) -> Program {
    netns.program("node").arg(workload(script))
}

/// The Rust workload with axum's server and hyper's client.
#[must_use]
pub fn rust_http(netns: &Netns) -> Program {
    netns.program(built("rust-http"))
}

/// The Rust workload with hyper's HTTP/2 and tonic's gRPC.
#[must_use]
pub fn rust_h2(netns: &Netns) -> Program {
    netns.program(built("rust-h2"))
}

/// A workload of this package in Rust, where cargo put it.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    // Tests lie in `deps`, the workloads beside it.
    let test = std::env::current_exe().expect("own path");
    let folder = test.parent().and_then(Path::parent).expect("target folder");
    folder.join(name)
}

/// The Go workload (`net/http`, server and client), built once for each test program, unless `REMORA_GO_PROGRAM` says where
/// it lies.
#[must_use]
pub fn go_program(netns: &Netns) -> Program {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(|| {
        if let Some(path) = std::env::var_os("REMORA_GO_PROGRAM") {
            return path.into();
        }
        let folder = built("go-http.built");
        std::fs::create_dir_all(&folder).expect("folder");
        // Another test program may build at the same time: the finished file is moved into its place.
        let (own, shared) = (folder.join(format!("{}", std::process::id())), folder.join("go-http"));
        let build = Program::new("go").args(["build", "-o"]).arg(&own).arg(".").folder(workload("go"));
        let build = build.env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local").start();
        // The first build compiles Go's standard library.
        let _ = build.finish(Duration::from_secs(300)).ok();
        std::fs::rename(&own, &shared).expect("rename");
        shared
    });
    netns.program(path)
}
