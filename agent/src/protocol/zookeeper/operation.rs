//! Operations by their codes, and what their requests consist of (`ZooDefs.OpCode` and `zookeeper.jute`, ZooKeeper 3.9).

/// A part of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A node's path.
    Path,
    /// Text that may be null.
    Text,
    /// Bytes that may be null.
    Buffer,
    /// Access rules.
    Acls,
    /// Several texts.
    Texts,
    /// So many bytes.
    Bytes(u8),
}

use Part::{Acls, Buffer, Bytes, Path, Text, Texts};

const BOOL: Part = Bytes(1);
const INT: Part = Bytes(4);
const LONG: Part = Bytes(8);

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub code: i32,
    /// As `zkCli` and the client libraries call it.
    pub name: &'static str,
    pub parts: &'static [Part],
}

pub(super) const EXISTS: i32 = 3;
pub(super) const PING: i32 = 11;
pub(super) const MULTI: i32 = 14;
pub(super) const MULTI_READ: i32 = 22;
pub(super) const AUTH: i32 = 100;
pub(super) const SET_WATCHES: i32 = 101;
pub(super) const SET_WATCHES_2: i32 = 105;
/// Not a code of the protocol's: a connection's first request has none.
pub(super) const CONNECT: i32 = i32::MIN;

const fn op(code: i32, name: &'static str, parts: &'static [Part]) -> Operation {
    Operation { code, name, parts }
}

static OPERATIONS: &[Operation] = &[
    op(1, "create", &[Path, Buffer, Acls, INT]),
    op(2, "delete", &[Path, INT]),
    op(EXISTS, "exists", &[Path, BOOL]),
    op(4, "getData", &[Path, BOOL]),
    op(5, "setData", &[Path, Buffer, INT]),
    op(6, "getACL", &[Path]),
    op(7, "setACL", &[Path, Acls, INT]),
    op(8, "getChildren", &[Path, BOOL]),
    op(9, "sync", &[Path]),
    op(PING, "ping", &[]),
    op(12, "getChildren2", &[Path, BOOL]),
    op(13, "check", &[Path, INT]),
    op(MULTI, "multi", &[]),
    op(15, "create2", &[Path, Buffer, Acls, INT]),
    op(16, "reconfig", &[Text, Text, Text, LONG]),
    op(17, "checkWatches", &[Path, INT]),
    op(18, "removeWatches", &[Path, INT]),
    op(19, "createContainer", &[Path, Buffer, Acls, INT]),
    op(20, "deleteContainer", &[Path]),
    op(21, "createTTL", &[Path, Buffer, Acls, INT, LONG]),
    op(MULTI_READ, "multiRead", &[]),
    op(AUTH, "auth", &[INT, Text, Buffer]),
    op(SET_WATCHES, "setWatches", &[LONG, Texts, Texts, Texts]),
    op(102, "sasl", &[Buffer]),
    op(103, "getEphemerals", &[Path]),
    op(104, "getAllChildrenNumber", &[Path]),
    op(SET_WATCHES_2, "setWatches2", &[LONG, Texts, Texts, Texts, Texts, Texts]),
    op(106, "addWatch", &[Path, INT]),
    op(107, "whoAmI", &[]),
    op(-11, "closeSession", &[]),
];

static CONNECTING: Operation = op(CONNECT, "connect", &[]);

/// The operation with a code.
pub(super) fn operation(code: i32) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.code == code)
}

/// The first request of a connection.
pub(super) fn connect() -> &'static Operation {
    &CONNECTING
}

impl Operation {
    /// Several operations in one.
    pub fn is_multi(&self) -> bool {
        matches!(self.code, MULTI | MULTI_READ)
    }

    /// Whether a request with this xid may ask for it. Some have an xid of their own, below 0.
    pub fn may_have(&self, xid: i32) -> bool {
        match self.code {
            PING => xid == -2,
            AUTH => xid == -4,
            SET_WATCHES | SET_WATCHES_2 => xid == -8,
            _ => xid >= 0,
        }
    }
}
