//! What opens a connection (dev.mysql.com, "Connection Phase"; MariaDB, "Connection").

use super::packet::Reader;

/// Capabilities that matter here.
pub(super) mod capability {
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const COMPRESS: u32 = 1 << 5;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const SSL: u32 = 1 << 11;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
    pub const OPTIONAL_METADATA: u32 = 1 << 25;
    pub const ZSTD: u32 = 1 << 26;
    pub const QUERY_ATTRIBUTES: u32 = 1 << 27;
}

/// The server's first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// What the server can.
    pub capabilities: u32,
    /// It says that it is MariaDB.
    pub mariadb: bool,
}

/// Reads the payload of a greeting of version 10; `None` if it is none.
pub(super) fn greeting(payload: &[u8]) -> Option<Greeting> {
    let mut reader = Reader(payload);
    if reader.u8()? != 10 {
        return None;
    }
    let version = reader.text()?;
    let digits = version.first().is_some_and(u8::is_ascii_digit) && version.contains(&b'.');
    if !digits || version.len() > 100 || !version.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let (_thread, _scramble) = (reader.u32()?, reader.take(8)?);
    if reader.u8()? != 0 {
        return None;
    }
    let low = u32::from(reader.u16()?);
    // Servers of before 4.1 say no more.
    let high = match (reader.u8(), reader.u16(), reader.u16()) {
        (Some(_charset), Some(_status), Some(high)) => u32::from(high),
        _ => 0,
    };
    let mariadb = memchr::memmem::find(version, b"MariaDB").is_some();
    Some(Greeting { capabilities: high << 16 | low, mariadb })
}

/// The client's first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Login<'a> {
    /// What the client wants to use.
    pub capabilities: u32,
    /// TLS begins behind it.
    pub tls: bool,
    /// The database to begin with, if one is named.
    pub database: Option<&'a [u8]>,
}

/// Reads the payload of a HandshakeResponse41 or SSLRequest; `None` if it is neither. What is not there because it was cut
/// off is not known.
pub(super) fn login(payload: &[u8]) -> Option<Login<'_>> {
    /// Bytes before the user's name: all that an SSLRequest has.
    const FIXED: usize = 32;
    let mut reader = Reader(payload);
    let capabilities = reader.u32()?;
    let (_longest, _charset, filler) = (reader.u32()?, reader.u8()?, reader.take(23)?);
    // MariaDB has capabilities of its own in the last four.
    if capabilities & capability::PROTOCOL_41 == 0 || filler[..19].iter().any(|byte| *byte != 0) {
        return None;
    }
    let tls = capabilities & capability::SSL != 0 && payload.len() == FIXED;
    let database = || {
        let mut reader = reader;
        let _user = reader.text()?;
        if capabilities & capability::PLUGIN_AUTH_LENENC != 0 {
            let _ = reader.length_encoded_text()?;
        } else if capabilities & capability::SECURE_CONNECTION != 0 {
            let length = reader.u8()?;
            let _ = reader.take(length.into())?;
        } else {
            let _ = reader.text()?;
        }
        if capabilities & capability::CONNECT_WITH_DB == 0 {
            return None;
        }
        reader.text().filter(|name| !name.is_empty())
    };
    Some(Login { capabilities, tls, database: database() })
}

/// The database that a COM_CHANGE_USER names.
pub(super) fn change_user(payload: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(payload.get(1..)?);
    let _user = reader.text()?;
    let length = reader.u8()?;
    let _ = reader.take(length.into())?;
    reader.text().filter(|name| !name.is_empty())
}
