//! What the server's messages say (manual: "Message Formats", "Error and Notice Message Fields").

use super::message::{HEADER, text};
use crate::protocol::sql::detail::Failure;

/// What a command did, by its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Rows that were returned.
    Returned(u64),
    /// Rows that were inserted, updated, deleted or merged.
    Affected(u64),
    /// Rows that were copied, in or out.
    Copied(u64),
    /// It does not count rows.
    Other,
}

/// Reads a CommandComplete message.
pub(super) fn tag(message: &[u8]) -> Done {
    let Some((tag, _)) = message.get(HEADER..).and_then(text) else { return Done::Other };
    let mut words = tag.split(|byte| *byte == b' ');
    let command = words.next().unwrap_or_default();
    let rows = words.next_back().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    match (command, rows) {
        (b"SELECT" | b"FETCH", Some(rows)) => Done::Returned(rows),
        (b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE", Some(rows)) => Done::Affected(rows),
        (b"COPY", Some(rows)) => Done::Copied(rows),
        _ => Done::Other,
    }
}

/// Code and severity of an ErrorResponse; the severity only if the error ended more than the statement.
pub(super) fn error(message: &[u8]) -> (Failure, Option<&'static str>) {
    let mut failure = Failure::Unknown;
    let mut severity = None;
    let mut rest = message.get(HEADER..).unwrap_or_default();
    while let Some((kind, behind)) = rest.split_first()
        && let Some((value, behind)) = text(behind)
    {
        match (kind, value) {
            // `V` is never translated; servers older than 9.6 have `S` alone.
            (b'S' | b'V', b"FATAL") => severity = Some("FATAL"),
            (b'S' | b'V', b"PANIC") => severity = Some("PANIC"),
            (b'C', code) => {
                if let Ok(code) = <[u8; 5]>::try_from(code)
                    && code.iter().all(u8::is_ascii_alphanumeric)
                {
                    failure = Failure::State(code);
                }
                break;
            }
            _ => {}
        }
        rest = behind;
    }
    (failure, severity)
}

/// Name and value of a ParameterStatus.
pub(super) fn parameter(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = message.get(HEADER..).and_then(text)?;
    Some((name, text(rest)?.0))
}
