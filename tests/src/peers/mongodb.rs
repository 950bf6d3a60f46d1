//! A server that speaks MongoDB's protocol: `FerretDB` with `SQLite`.

use crate::{Netns, Place, Running, peers};

/// A server with an empty database in a folder of its own, listening on `port`; `None` if it is not installed.
#[must_use]
pub fn ferretdb(netns: &Netns, place: &Place, port: u16) -> Option<Running> {
    let server = netns.program(peers::go("ferretdb")?);
    Some(server.arg(format!("127.0.0.1:{port}")).arg(place.path()).listen(port))
}
