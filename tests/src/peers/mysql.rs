//! `MariaDB`.

use crate::{Netns, Place, Program, Running, peers};

/// `nobody`: the server does not run as root.
const NOBODY: u32 = 65_534;
/// The password of the user `app`.
pub const PASSWORD: &str = "s3cret-word";

/// What the server begins with, a statement a line.
const INIT: &str = "\
create database shop;
create database other;
create user 'app'@'127.0.0.1' identified by 's3cret-word';
grant all on *.* to 'app'@'127.0.0.1';
create table shop.orders (id int primary key, note text);
";

/// A server with two databases, `shop` with a table `orders (id, note)` and `other`, in a folder of its own, listening on
/// `port`; `None` if it is not installed.
#[must_use]
pub fn mariadb(netns: &Netns, place: &Place, port: u16, settings: &[&str]) -> Option<Running> {
    let (server, install) = ("/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db");
    if !std::path::Path::new(server).exists() || !std::path::Path::new(install).exists() {
        println!("skipped: MariaDB is not installed");
        return None;
    }
    peers::postgresql::give(place);
    let data = format!("--datadir={}", place.join("data").display());
    let temporary = format!("--tmpdir={}", place.path().display());
    let small = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M"];
    let _ = Program::new(install)
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .args([&data, &temporary])
        .args(small)
        .folder(place.path())
        .user(NOBODY)
        .run()
        .ok();
    let init = place.write("init.sql", INIT);
    let running = netns
        .program(server)
        .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--local-infile=1"])
        .args(["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--innodb-fast-shutdown=2"])
        .args([&data, &temporary])
        .args(small)
        .arg(format!("--port={port}"))
        .arg(format!("--socket={}", place.join("socket").display()))
        .arg(format!("--init-file={}", init.display()))
        .args(settings)
        .folder(place.path())
        .user(NOBODY)
        .listen(port);
    Some(running)
}

/// `MariaDB`'s own client, as the user `app` of the database `shop`, with statements to execute.
#[must_use]
pub fn client(netns: &Netns, port: u16, statements: &str) -> Program {
    netns
        .program("/usr/bin/mariadb")
        .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=app", "--database=shop"])
        .arg(format!("--password={PASSWORD}"))
        .arg(format!("--port={port}"))
        .args(["--batch", "-e", statements])
}
