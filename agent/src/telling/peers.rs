//! The names of other ends: what a client looked up before it connected.

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::identity::Store;
use crate::protocol::{Description, Endpoint, Role, Value};
use crate::stream::Told;

/// Connections whose server's name is kept at hand.
const MOST_CONNECTIONS: usize = 16_384;

/// Replaces addresses of servers by names.
pub struct Peers {
    store: Arc<Store>,
    /// A connection's server keeps the name that it had at the first exchange, though the name's time to live is over.
    known: FxHashMap<u64, Arc<str>>,
}

impl Peers {
    /// By the names in `store`.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, known: FxHashMap::default() }
    }

    /// Learns the names that the exchange told, if it was a lookup; and where a client's exchange calls the server by its
    /// bare address, puts the name in its place. A name that the protocol itself told is better, and stays.
    pub fn name(&mut self, told: &Told<'_>, description: &mut Description) {
        let connection = told.connection;
        if connection.role == Some(Role::Server) {
            return;
        }
        let process = told.exchange.start.unit.process;
        if let Some(names) = told.exchange.detail.names() {
            let time = told.exchange.end;
            self.store.names().add(connection.namespace, process, time, names.name, names.addresses);
        }
        let Endpoint::Inet(remote) = connection.remote else { return };
        let server = description.attributes.iter_mut().find(|(key, _)| *key == "server.address");
        let Some((_, Value::Text(server))) = server else { return };
        if server.parse::<IpAddr>() != Ok(remote.ip()) {
            return;
        }
        if let Some(name) = self.known.get(&connection.id) {
            *server = name.to_string().into();
            return;
        }
        let time = told.exchange.start.time;
        let found = self.store.names().find(connection.namespace, process, time, remote.ip());
        if let Some(name) = found {
            *server = name.to_string().into();
            if self.known.len() >= MOST_CONNECTIONS {
                self.known.clear();
            }
            self.known.insert(connection.id, name);
        }
    }
}
