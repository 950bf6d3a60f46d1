//! What a request asks for (section 4.1).

use std::sync::Arc;

use super::batch::Batch;
use super::envelope::{HEADER, Header, OpCode};
use super::prepared;
use super::reader::Reader;
use crate::protocol::Statements;
use crate::protocol::sql::{Dialect, Statement};

/// Values of a query that are passed by to reach what stands behind them.
const MOST_VALUES: u16 = 4096;
/// Longest keyspace that is kept, bytes; Cassandra's own limit is 48.
const MOST_KEYSPACE: usize = 64;

/// A request, as far as it was captured.
#[derive(Debug)]
pub(super) struct Request {
    pub code: OpCode,
    /// What it executes.
    pub statement: Option<Arc<Statement>>,
    /// Statements of a batch.
    pub batch: Option<u16>,
    /// The consistency level's number.
    pub consistency: Option<u16>,
    /// Rows a page at most, as the client wishes.
    pub page_size: Option<i32>,
    /// The keyspace that the request names (version 5).
    pub keyspace: Option<Arc<str>>,
    /// The compression that a STARTUP asks for.
    pub compression: bool,
    /// The body is compressed.
    pub unreadable: bool,
}

impl Request {
    /// Reads a request of which these bytes were captured.
    pub fn read(
        header: Header,
        bytes: &[u8],
        prepared: &mut prepared::Statements,
        statements: Statements,
    ) -> Self {
        let mut request = Self {
            code: header.code,
            statement: None,
            batch: None,
            consistency: None,
            page_size: None,
            keyspace: None,
            compression: false,
            unreadable: header.is_compressed(),
        };
        if !request.unreadable
            && let Some(reader) = header.message(&bytes[HEADER.min(bytes.len())..])
        {
            // What is missing of a body that was cut is not known, and what was read before stays.
            _ = request.body(header.version, reader, prepared, statements);
        }
        request
    }

    fn body(
        &mut self,
        version: u8,
        mut reader: Reader<'_>,
        prepared: &mut prepared::Statements,
        statements: Statements,
    ) -> Option<()> {
        match self.code {
            OpCode::Startup => {
                for _ in 0..reader.short()? {
                    let (key, value) = (reader.string()?, reader.string()?);
                    self.compression |= key.eq_ignore_ascii_case(b"COMPRESSION") && !value.is_empty();
                }
            }
            OpCode::Query => {
                let (text, cut) = reader.long_string()?;
                self.statement = Some(read(text, cut, statements));
                self.parameters(version, reader)?;
            }
            OpCode::Prepare => {
                let (text, cut) = reader.long_string()?;
                self.statement = Some(read(text, cut, statements));
                if version >= 5 && reader.int()? & 1 != 0 {
                    self.keyspace = keyspace(reader.string()?);
                }
            }
            OpCode::Execute => {
                self.statement = prepared.get(reader.string()?);
                if version >= 5 {
                    reader.string()?;
                }
                self.parameters(version, reader)?;
            }
            OpCode::Batch => {
                let _kind = reader.byte()?;
                let many = reader.short()?;
                self.batch = Some(many);
                let mut batch = Batch::default();
                let whole = batch.read(many, &mut reader, prepared, statements).is_some();
                self.statement = batch.statement(whole);
                if whole {
                    self.consistency = reader.short();
                }
            }
            _ => {}
        }
        Some(())
    }

    /// `[<consistency><flags><n><values><page size><paging state><serial consistency><timestamp><keyspace>…]`
    fn parameters(&mut self, version: u8, mut reader: Reader<'_>) -> Option<()> {
        const VALUES: u32 = 0x01;
        const PAGE_SIZE: u32 = 0x04;
        const PAGING_STATE: u32 = 0x08;
        const SERIAL_CONSISTENCY: u32 = 0x10;
        const TIMESTAMP: u32 = 0x20;
        const NAMES: u32 = 0x40;
        const KEYSPACE: u32 = 0x80;
        self.consistency = Some(reader.short()?);
        let flags = if version >= 5 { reader.int()? as u32 } else { u32::from(reader.byte()?) };
        if flags & VALUES != 0 {
            let many = reader.short()?;
            if many > MOST_VALUES {
                return None;
            }
            for _ in 0..many {
                if flags & NAMES != 0 {
                    reader.string()?;
                }
                reader.skip_value()?;
            }
        }
        if flags & PAGE_SIZE != 0 {
            self.page_size = Some(reader.int()?);
        }
        if flags & PAGING_STATE != 0 {
            reader.skip_value()?;
        }
        if flags & SERIAL_CONSISTENCY != 0 {
            reader.short()?;
        }
        if flags & TIMESTAMP != 0 {
            reader.take(8)?;
        }
        if version >= 5 && flags & KEYSPACE != 0 {
            self.keyspace = keyspace(reader.string()?);
        }
        Some(())
    }
}

/// A statement's text, read.
pub(super) fn read(text: &[u8], cut: bool, statements: Statements) -> Arc<Statement> {
    Arc::new(Statement::read_in(Dialect::CQL, text, cut, statements))
}

/// A keyspace that is short enough to be kept.
pub(super) fn keyspace(name: &[u8]) -> Option<Arc<str>> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && name.len() <= MOST_KEYSPACE).then(|| name.into())
}
