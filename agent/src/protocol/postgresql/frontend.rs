//! What the client's messages say (manual: "Message Formats").

use super::message::{HEADER, text};

/// The name at the beginning of a message's contents, and what follows; `None` if it was cut off.
pub(super) fn name(message: &[u8]) -> Option<(&[u8], &[u8])> {
    text(message.get(HEADER..)?)
}

/// The name in a Describe or Close message, and whether it is a prepared statement's (else a portal's).
pub(super) fn object(message: &[u8]) -> Option<(bool, &[u8])> {
    let (kind, rest) = message.get(HEADER..)?.split_first()?;
    let (name, _) = text(rest)?;
    Some((*kind == b'S', name))
}

/// A statement's text, and whether it went on behind what is here.
pub(super) fn query(bytes: &[u8]) -> (&[u8], bool) {
    text(bytes).map_or((bytes, true), |(query, _)| (query, false))
}

/// The database that a StartupMessage names; the user's name is the default. `None` if it was cut off before that was said.
pub(super) fn database(message: &[u8]) -> Option<&[u8]> {
    let mut user = None;
    let mut rest = message.get(8..)?;
    loop {
        let (key, behind) = text(rest)?;
        if key.is_empty() {
            return user.filter(|name: &&[u8]| !name.is_empty());
        }
        let (value, behind) = text(behind)?;
        match key {
            b"user" => user = Some(value),
            b"database" if !value.is_empty() => return Some(value),
            _ => {}
        }
        rest = behind;
    }
}
