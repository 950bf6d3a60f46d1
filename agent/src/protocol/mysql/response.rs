//! Responses, packet by packet (dev.mysql.com, "Response Packets", "Text Resultset", "COM_STMT_PREPARE Response").

use super::commands::Command;
use super::packet::Reader;
use crate::protocol::sql::detail::{Failure, SqlDetail};

/// Another result follows.
const MORE_RESULTS: u16 = 0x0008;
/// Rows are asked for by COM_STMT_FETCH.
const CURSOR_EXISTS: u16 = 0x0040;
/// `\` is a character like others.
const NO_BACKSLASH_ESCAPES: u16 = 0x0200;
/// MariaDB tells progress in ERR packets of this number.
const PROGRESS: u16 = 0xffff;
/// Length of an EOF packet. An OK packet has at least seven bytes.
const EOF: u64 = 5;

/// Where in a response the next packet stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At its beginning, or at that of another result.
    #[default]
    First,
    /// So many column definitions, then what is behind them.
    Columns(u64),
    /// Perhaps an EOF packet, then rows.
    ColumnsEnd,
    /// Rows, and what ends them.
    Rows,
    /// Definitions of parameters and of columns, each with perhaps an EOF packet behind them.
    Definitions(u16, u16),
}

/// What a packet said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The response goes on.
    More,
    /// The server waits for the client: for a file, or in an authentication.
    YourTurn,
    /// That was all.
    Done,
    /// All but an EOF packet, which may follow or not.
    DoneButEof,
    /// It cannot be a part of this response.
    Wrong,
}

/// A packet of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// Its first bytes.
    pub payload: &'a [u8],
    /// Bytes in all.
    pub length: u64,
}

/// The response that is being read.
#[derive(Debug, Default)]
pub(super) struct Response {
    state: State,
    rows: u64,
    /// The id that a prepared statement was given.
    pub prepared: Option<u32>,
    /// What the server said about backslashes.
    pub backslash_escapes: Option<bool>,
    /// CLIENT_OPTIONAL_RESULTSET_METADATA is in use.
    pub optional_metadata: bool,
}

impl Response {
    /// Another response begins.
    pub fn reset(&mut self) {
        self.state = State::First;
        self.rows = 0;
        self.prepared = None;
    }

    /// Nothing of it has been read.
    pub fn is_at_start(&self) -> bool {
        self.state == State::First
    }

    /// Reads the next packet of the response to `command`.
    pub fn read(&mut self, command: Command, packet: Packet<'_>, detail: &mut SqlDetail) -> Said {
        let Some(&first) = packet.payload.first() else {
            // An empty packet, or one of which nothing was captured: a row at best.
            return match self.state {
                State::Rows if packet.length > 0 => self.row(),
                _ => Said::Wrong,
            };
        };
        if first == 0xff && packet.length >= 3 {
            return self.error(packet.payload, detail);
        }
        match self.state {
            State::First => self.first(command, first, packet, detail),
            State::Columns(left) => {
                self.state = if left > 1 { State::Columns(left - 1) } else { State::ColumnsEnd };
                Said::More
            }
            State::ColumnsEnd => {
                self.state = State::Rows;
                if first != 0xfe || packet.length != EOF {
                    return self.rows(first, packet, detail);
                }
                let status =
                    packet.payload.get(3..5).map_or(0, |status| u16::from_le_bytes([status[0], status[1]]));
                self.note(status);
                // A cursor's rows are not here.
                if status & CURSOR_EXISTS != 0 { self.result_ends(status, detail) } else { Said::More }
            }
            State::Rows => self.rows(first, packet, detail),
            State::Definitions(parameters, columns) => {
                let eof = first == 0xfe && packet.length == EOF;
                let (parameters, columns) = match (parameters, columns) {
                    _ if eof => (parameters, columns),
                    (0, 0) => return Said::Wrong,
                    (0, columns) => (0, columns - 1),
                    (parameters, columns) => (parameters - 1, columns),
                };
                self.state = State::Definitions(parameters, columns);
                if (parameters, columns) == (0, 0) { Said::DoneButEof } else { Said::More }
            }
        }
    }

    fn first(&mut self, command: Command, first: u8, packet: Packet<'_>, detail: &mut SqlDetail) -> Said {
        match (command, first) {
            (Command::Statistics, _) => Said::Done,
            (Command::ChangeUser, 0x00) => self.ok(packet, detail),
            (Command::ChangeUser, _) => Said::YourTurn,
            (Command::Prepare, 0x00) => self.prepare_ok(packet.payload),
            (Command::Fetch | Command::FieldList, _) => {
                self.state = State::Rows;
                self.rows(first, packet, detail)
            }
            (Command::Other(_) | Command::Ping | Command::InitDb | Command::Reset, 0x00 | 0xfe) => {
                if first == 0xfe && packet.length == EOF { Said::Done } else { self.ok(packet, detail) }
            }
            (Command::Query | Command::Execute | Command::BulkExecute | Command::ProcessInfo, _) => {
                match first {
                    0x00 if packet.length >= 7 => self.ok(packet, detail),
                    // LOCAL INFILE: the client sends the file, and the response is still to come.
                    0xfb => Said::YourTurn,
                    _ => self.column_count(packet),
                }
            }
            _ => Said::Wrong,
        }
    }

    fn column_count(&mut self, packet: Packet<'_>) -> Said {
        let mut reader = Reader(packet.payload);
        let flag = if self.optional_metadata { reader.u8() } else { None };
        let Some(count) = reader.length_encoded().filter(|count| (1..=4096).contains(count)) else {
            return Said::Wrong;
        };
        // MariaDB's flag, where definitions are cached, stands behind the count.
        let flag = flag.or_else(|| reader.u8());
        self.state = if flag == Some(0) { State::ColumnsEnd } else { State::Columns(count) };
        Said::More
    }

    fn row(&mut self) -> Said {
        self.rows += 1;
        Said::More
    }

    fn rows(&mut self, first: u8, packet: Packet<'_>, detail: &mut SqlDetail) -> Said {
        if first != 0xfe || packet.length >= super::packet::LONGEST {
            return self.row();
        }
        let status = if packet.length == EOF {
            packet.payload.get(3..5).map(|status| u16::from_le_bytes([status[0], status[1]]))
        } else {
            let mut reader = Reader(&packet.payload[1..]);
            let _ = (reader.length_encoded(), reader.length_encoded());
            reader.u16()
        };
        self.result_ends(status.unwrap_or(0), detail)
    }

    /// A result's rows are over.
    fn result_ends(&mut self, status: u16, detail: &mut SqlDetail) -> Said {
        self.note(status);
        detail.add_returned(std::mem::take(&mut self.rows));
        self.more(status)
    }

    fn ok(&mut self, packet: Packet<'_>, detail: &mut SqlDetail) -> Said {
        let mut reader = Reader(&packet.payload[1..]);
        let affected = reader.length_encoded();
        let _last_id = reader.length_encoded();
        let status = reader.u16().unwrap_or(0);
        self.note(status);
        let changes = detail.statement.as_ref().is_some_and(|statement| {
            matches!(&*statement.operation, "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "MERGE")
        });
        if let Some(affected) = affected.filter(|affected| *affected > 0 || changes) {
            detail.add_affected(affected);
        }
        self.more(status)
    }

    fn note(&mut self, status: u16) {
        self.backslash_escapes = Some(status & NO_BACKSLASH_ESCAPES == 0);
    }

    fn more(&mut self, status: u16) -> Said {
        self.state = State::First;
        if status & MORE_RESULTS != 0 { Said::More } else { Said::Done }
    }

    fn prepare_ok(&mut self, payload: &[u8]) -> Said {
        let mut reader = Reader(&payload[1..]);
        let (Some(id), Some(columns), Some(parameters)) = (reader.u32(), reader.u16(), reader.u16()) else {
            return Said::Wrong;
        };
        self.prepared = Some(id);
        self.state = State::Definitions(parameters, columns);
        if (parameters, columns) == (0, 0) { Said::Done } else { Said::More }
    }

    fn error(&mut self, payload: &[u8], detail: &mut SqlDetail) -> Said {
        let failure = error(payload);
        if matches!(failure, Failure::Number(PROGRESS, _)) {
            return Said::More;
        }
        detail.failure = Some(failure);
        Said::Done
    }
}

/// What an ERR packet says: its number and SQLSTATE.
pub(super) fn error(payload: &[u8]) -> Failure {
    let mut reader = Reader(payload);
    let _ = reader.u8();
    let Some(code) = reader.u16() else { return Failure::Unknown };
    let state = reader
        .0
        .strip_prefix(b"#")
        .and_then(|rest| <[u8; 5]>::try_from(rest.get(..5)?).ok())
        .filter(|state| state.iter().all(u8::is_ascii_alphanumeric));
    Failure::Number(code, state)
}
