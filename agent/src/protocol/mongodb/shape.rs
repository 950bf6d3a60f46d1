//! A command's text: JSON, with every value replaced by `?` unless values are wanted.

use std::fmt::Write;

use super::bson::{Document, Element, kind};
use crate::protocol::Statements;

/// Longest text, bytes; what is longer is cut and ends with `…`.
const MOST_TEXT: usize = 1024;
/// Documents in documents that are told.
const MOST_DEPTH: usize = 10;

/// What the driver adds to every command.
const NOT_TOLD: [&[u8]; 10] = [
    b"$clusterTime",
    b"$db",
    b"$readPreference",
    b"apiDeprecationErrors",
    b"apiStrict",
    b"apiVersion",
    b"autocommit",
    b"lsid",
    b"startTransaction",
    b"txnNumber",
];

/// Commands that carry secrets are never told (Command Logging and Monitoring Specification, "Security"), nor are the
/// greetings that may.
const SECRET: [&str; 14] = [
    "authenticate",
    "copydb",
    "copydbgetnonce",
    "copydbsaslstart",
    "createUser",
    "getnonce",
    "hello",
    "isMaster",
    "ismaster",
    "logApplicationMessage",
    "saslContinue",
    "saslStart",
    "setParameter",
    "updateUser",
];

/// The text of a command, as far as it was captured. `of_collection` says that the first value is a collection's name.
pub(super) fn text(
    name: &str,
    of_collection: bool,
    command: Document<'_>,
    statements: Statements,
) -> Option<Box<str>> {
    if statements == Statements::Off || SECRET.contains(&name) {
        return None;
    }
    let mut out = Text { text: String::with_capacity(128), raw: statements == Statements::Raw };
    out.text.push('{');
    let mut separator = "";
    for (index, element) in command.elements().enumerate() {
        if NOT_TOLD.contains(&element.name) {
            continue;
        }
        out.text.push_str(separator);
        separator = ",";
        out.quoted(element.name);
        out.text.push(':');
        match element.text() {
            Some(collection) if index == 0 && of_collection => out.quoted(collection.as_bytes()),
            _ => out.value(&element, 1),
        }
        if out.is_full() {
            break;
        }
    }
    out.text.push('}');
    Some(out.finish(command.whole))
}

struct Text {
    text: String,
    raw: bool,
}

impl Text {
    fn is_full(&self) -> bool {
        self.text.len() > MOST_TEXT
    }

    fn finish(mut self, whole: bool) -> Box<str> {
        if self.is_full() {
            let mut end = MOST_TEXT - '…'.len_utf8();
            while !self.text.is_char_boundary(end) {
                end -= 1;
            }
            self.text.truncate(end);
            self.text.push('…');
        } else if !whole {
            self.text.push('…');
        }
        self.text.into()
    }

    fn value(&mut self, element: &Element<'_>, depth: usize) {
        match (element.kind, element.document()) {
            (kind::DOCUMENT, Some(document)) if depth < MOST_DEPTH => self.fields(document, depth),
            (kind::ARRAY, Some(array)) if depth < MOST_DEPTH => self.items(array, depth),
            _ if self.raw => self.literal(element),
            _ => self.text.push_str("\"?\""),
        }
    }

    fn fields(&mut self, document: Document<'_>, depth: usize) {
        self.text.push('{');
        for (index, element) in document.elements().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.quoted(element.name);
            self.text.push(':');
            self.value(&element, depth + 1);
            if self.is_full() {
                break;
            }
        }
        self.text.push('}');
    }

    /// Values in a row are one `?`.
    fn items(&mut self, array: Document<'_>, depth: usize) {
        self.text.push('[');
        let mut separator = "";
        let mut hidden = false;
        for element in array.elements() {
            let is_value = !self.raw && !matches!(element.kind, kind::DOCUMENT | kind::ARRAY);
            if is_value && hidden {
                continue;
            }
            hidden = is_value;
            self.text.push_str(separator);
            separator = ",";
            self.value(&element, depth + 1);
            if self.is_full() {
                break;
            }
        }
        self.text.push(']');
    }

    fn literal(&mut self, element: &Element<'_>) {
        // Writing to a text cannot fail.
        _ = match element.kind {
            kind::STRING => {
                self.quoted(element.text().unwrap_or("?").as_bytes());
                Ok(())
            }
            kind::DOUBLE => write!(self.text, "{}", element.double().unwrap_or_default()),
            kind::INT32 | kind::INT64 => write!(self.text, "{}", element.integer().unwrap_or_default()),
            kind::BOOLEAN => write!(self.text, "{}", element.value.first() == Some(&1)),
            kind::NULL => write!(self.text, "null"),
            kind::DATE => {
                let milliseconds = element.value.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
                write!(self.text, "{{\"$date\":{milliseconds}}}")
            }
            kind::OBJECT_ID => {
                self.text.push_str("{\"$oid\":\"");
                for byte in element.value {
                    _ = write!(self.text, "{byte:02x}");
                }
                write!(self.text, "\"}}")
            }
            _ => write!(self.text, "\"?\""),
        };
    }

    fn quoted(&mut self, bytes: &[u8]) {
        self.text.push('"');
        let room = (MOST_TEXT + 1).saturating_sub(self.text.len());
        for character in String::from_utf8_lossy(&bytes[..bytes.len().min(room)]).chars() {
            match character {
                '"' | '\\' => {
                    self.text.push('\\');
                    self.text.push(character);
                }
                control if control.is_control() => _ = write!(self.text, "\\u{:04x}", control as u32),
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }
}
