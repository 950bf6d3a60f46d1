//! What a response says (section 4.2).

use std::sync::Arc;

use super::envelope::{HEADER, Header, OpCode};
use super::reader::Reader;
use super::request::keyspace;

/// Columns that are passed by to reach the number of rows.
const MOST_COLUMNS: i32 = 1024;
/// Types in types that are passed by.
const MOST_DEPTH: u8 = 8;
/// Longest name of a table that is kept, bytes.
const MOST_TABLE: usize = 64;

/// A response, as far as it was captured.
#[derive(Debug, Default)]
pub(super) struct Response<'a> {
    /// The number of an error.
    pub error: Option<i32>,
    /// Rows in this page.
    pub rows: Option<i32>,
    /// Keyspace and table of the rows.
    pub table: Option<(Arc<str>, Arc<str>)>,
    /// The keyspace that the connection uses from now on.
    pub keyspace: Option<Arc<str>>,
    /// The id of a prepared statement.
    pub prepared: Option<&'a [u8]>,
    /// The body was not captured as far as was asked for.
    pub lost: bool,
}

impl<'a> Response<'a> {
    /// Reads a response of which these bytes were captured.
    pub fn read(header: Header, bytes: &'a [u8]) -> Self {
        let mut response = Self::default();
        let body = &bytes[HEADER.min(bytes.len())..];
        if header.is_compressed() {
            // What kind it is, the header says.
            response.error = (header.code == OpCode::Error).then_some(-1);
            return response;
        }
        let kind = header.message(body).and_then(|reader| response.body(header, reader));
        response.lost = kind.is_none();
        response
    }

    /// `None` if not even the kind of response was seen.
    fn body(&mut self, header: Header, mut reader: Reader<'a>) -> Option<()> {
        match header.code {
            OpCode::Error => self.error = Some(reader.int()?),
            OpCode::Result => match reader.int()? {
                2 => _ = self.rows(reader),
                3 => self.keyspace = reader.string().and_then(keyspace),
                4 => self.prepared = reader.string(),
                _ => {}
            },
            _ => {}
        }
        Some(())
    }

    /// `<metadata><rows_count>…`
    fn rows(&mut self, mut reader: Reader<'_>) -> Option<()> {
        const GLOBAL_TABLE: i32 = 0x1;
        const MORE_PAGES: i32 = 0x2;
        const NO_METADATA: i32 = 0x4;
        const METADATA_CHANGED: i32 = 0x8;
        let (flags, columns) = (reader.int()?, reader.int()?);
        if flags & MORE_PAGES != 0 {
            reader.skip_value()?;
        }
        if flags & METADATA_CHANGED != 0 {
            reader.string()?;
        }
        if flags & NO_METADATA == 0 {
            if columns > MOST_COLUMNS {
                return None;
            }
            if flags & GLOBAL_TABLE != 0 {
                let names = (reader.string()?, reader.string()?);
                let table = std::str::from_utf8(names.1).ok().filter(|name| name.len() <= MOST_TABLE);
                self.table = keyspace(names.0).zip(table.map(Into::into));
            }
            for _ in 0..columns {
                if flags & GLOBAL_TABLE == 0 {
                    reader.string()?;
                    reader.string()?;
                }
                reader.string()?;
                skip_type(&mut reader, 0)?;
            }
        }
        self.rows = Some(reader.int()?).filter(|&rows| rows >= 0);
        Some(())
    }
}

/// `[option]` of a column's type.
fn skip_type(reader: &mut Reader<'_>, depth: u8) -> Option<()> {
    if depth > MOST_DEPTH {
        return None;
    }
    match reader.short()? {
        0x0000 => _ = reader.string()?,
        // List, set.
        0x0020 | 0x0022 => skip_type(reader, depth + 1)?,
        // Map.
        0x0021 => {
            skip_type(reader, depth + 1)?;
            skip_type(reader, depth + 1)?;
        }
        // User-defined type.
        0x0030 => {
            reader.string()?;
            reader.string()?;
            for _ in 0..reader.short()? {
                reader.string()?;
                skip_type(reader, depth + 1)?;
            }
        }
        // Tuple.
        0x0031 => {
            for _ in 0..reader.short()? {
                skip_type(reader, depth + 1)?;
            }
        }
        _ => {}
    }
    Some(())
}

/// The names of section 9, in lower case.
pub(super) fn error_name(code: i32) -> Option<&'static str> {
    Some(match code {
        0x0000 => "server_error",
        0x000a => "protocol_error",
        0x0100 => "authentication_error",
        0x1000 => "unavailable_exception",
        0x1001 => "overloaded",
        0x1002 => "is_bootstrapping",
        0x1003 => "truncate_error",
        0x1100 => "write_timeout",
        0x1200 => "read_timeout",
        0x1300 => "read_failure",
        0x1400 => "function_failure",
        0x1500 => "write_failure",
        0x1600 => "cdc_write_failure",
        0x1700 => "cas_write_unknown",
        0x2000 => "syntax_error",
        0x2100 => "unauthorized",
        0x2200 => "invalid",
        0x2300 => "config_error",
        0x2400 => "already_exists",
        0x2500 => "unprepared",
        _ => return None,
    })
}
