//! Commands (dev.mysql.com, "Command Phase"; MariaDB, "COM_STMT_BULK_EXECUTE").

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Quit,
    InitDb,
    Query,
    FieldList,
    Statistics,
    ProcessInfo,
    Ping,
    ChangeUser,
    /// The binary log, which does not end.
    BinlogDump,
    Prepare,
    Execute,
    SendLongData,
    Close,
    Reset,
    Fetch,
    BulkExecute,
    /// Another that is answered by OK, EOF or ERR; its name.
    Other(&'static str),
}

impl Command {
    /// By its code.
    pub fn of(code: u8) -> Option<Self> {
        Some(match code {
            0x01 => Self::Quit,
            0x02 => Self::InitDb,
            0x03 => Self::Query,
            0x04 => Self::FieldList,
            0x05 => Self::Other("CREATE DATABASE"),
            0x06 => Self::Other("DROP DATABASE"),
            0x07 => Self::Other("REFRESH"),
            0x08 => Self::Other("SHUTDOWN"),
            0x09 => Self::Statistics,
            0x0a => Self::ProcessInfo,
            0x0c => Self::Other("KILL"),
            0x0d => Self::Other("DEBUG"),
            0x0e => Self::Ping,
            0x11 => Self::ChangeUser,
            0x12 | 0x1e => Self::BinlogDump,
            0x15 => Self::Other("REGISTER REPLICA"),
            0x16 => Self::Prepare,
            0x17 => Self::Execute,
            0x18 => Self::SendLongData,
            0x19 => Self::Close,
            0x1a => Self::Reset,
            0x1b => Self::Other("SET OPTION"),
            0x1c => Self::Fetch,
            0x1f => Self::Other("RESET CONNECTION"),
            0xfa => Self::BulkExecute,
            _ => return None,
        })
    }

    /// The server answers it.
    pub fn is_answered(self) -> bool {
        !matches!(self, Self::Quit | Self::SendLongData | Self::Close)
    }

    /// What it is called, if it is no statement.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::InitDb => Some("USE"),
            Self::FieldList => Some("FIELD LIST"),
            Self::Statistics => Some("STATISTICS"),
            Self::ProcessInfo => Some("PROCESS INFO"),
            Self::Ping => Some("PING"),
            Self::ChangeUser => Some("CHANGE USER"),
            Self::Reset => Some("RESET STATEMENT"),
            Self::Other(name) => Some(name),
            _ => None,
        }
    }
}
