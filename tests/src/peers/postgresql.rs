//! PostgreSQL.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Netns, Place, Program, Running, wait_for};

/// `nobody`: the server does not run as root.
const NOBODY: u32 = 65_534;
/// The user's password.
pub const PASSWORD: &str = "s3cret-word";

/// The folder of PostgreSQL's programs, if it is installed; says that the test is skipped if not.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let found = ["15", "16", "17", "18", "14", "13"]
        .iter()
        .map(|version| Path::new("/usr/lib/postgresql").join(version).join("bin"))
        .find(|folder| folder.join("initdb").exists());
    if found.is_none() {
        println!("skipped: PostgreSQL is not installed");
    }
    found
}

/// Gives a folder to the user that servers run as.
pub fn give(place: &Place) {
    std::os::unix::fs::chown(place.path(), Some(NOBODY), Some(NOBODY)).expect("chown");
}

/// A program of PostgreSQL's, as the user `app` of the database `postgres` at `port`.
#[must_use]
pub fn client(netns: &Netns, name: &str, port: u16) -> Program {
    let path = programs().map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
    let program = netns.program(path).env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string());
    program.env("PGUSER", "app").env("PGPASSWORD", PASSWORD).env("PGDATABASE", "postgres")
}

/// A server with an empty database in a folder of its own, listening on `port` and on a unix socket in `place`, with further
/// settings; `None` if it is not installed. The user is `app`; over TCP the password is asked for (SCRAM).
#[must_use]
pub fn postgresql(netns: &Netns, place: &Place, port: u16, settings: &[&str]) -> Option<Running> {
    let folder = programs()?;
    give(place);
    let data = place.join("data");
    let password = place.write("password", PASSWORD);
    let _ = Program::new(folder.join("initdb"))
        .args(["--no-sync", "--no-instructions", "--username=app", "--auth-local=trust"])
        .args(["--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"])
        .arg(format!("--pwfile={}", password.display()))
        .arg(format!("--pgdata={}", data.display()))
        .folder(place.path())
        .user(NOBODY)
        .run()
        .ok();
    let mut server = netns.program(folder.join("postgres")).user(NOBODY).arg("-D").arg(&data);
    let port_text = port.to_string();
    let sockets = format!("unix_socket_directories={}", place.path().display());
    for setting in
        ["listen_addresses=127.0.0.1", "fsync=off", "autovacuum=off", &sockets].iter().chain(settings)
    {
        server = server.arg("-c").arg(setting);
    }
    let running = server.args(["-p", &port_text]).listen(port);
    let ready = wait_for(Duration::from_secs(30), || {
        client(netns, "pg_isready", port).arg("-q").run().status.success()
    });
    assert!(ready, "PostgreSQL does not get ready\n{}", running.errors());
    Some(running)
}
