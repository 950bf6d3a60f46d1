//! Error codes (`KeeperException.Code`, ZooKeeper 3.9).

use std::borrow::Cow;

/// A node that is not there.
pub(super) const NO_NODE: i32 = -101;
/// Another part of the same multi failed.
pub(super) const RUNTIME_INCONSISTENCY: i32 = -2;
/// The session that a client wants to go on with is over.
pub(super) const SESSION_EXPIRED: i32 = -112;

/// The name of a code other than 0; the number of one that is not known.
pub(super) fn name(code: i32) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        -1 => "SYSTEMERROR",
        RUNTIME_INCONSISTENCY => "RUNTIMEINCONSISTENCY",
        -3 => "DATAINCONSISTENCY",
        -4 => "CONNECTIONLOSS",
        -5 => "MARSHALLINGERROR",
        -6 => "UNIMPLEMENTED",
        -7 => "OPERATIONTIMEOUT",
        -8 => "BADARGUMENTS",
        -12 => "UNKNOWNSESSION",
        -13 => "NEWCONFIGNOQUORUM",
        -14 => "RECONFIGINPROGRESS",
        -100 => "APIERROR",
        NO_NODE => "NONODE",
        -102 => "NOAUTH",
        -103 => "BADVERSION",
        -108 => "NOCHILDRENFOREPHEMERALS",
        -110 => "NODEEXISTS",
        -111 => "NOTEMPTY",
        SESSION_EXPIRED => "SESSIONEXPIRED",
        -113 => "INVALIDCALLBACK",
        -114 => "INVALIDACL",
        -115 => "AUTHFAILED",
        -118 => "SESSIONMOVED",
        -119 => "NOTREADONLY",
        -120 => "EPHEMERALONLOCALSESSION",
        -121 => "NOWATCHER",
        -122 => "REQUESTTIMEOUT",
        -123 => "RECONFIGDISABLED",
        -124 => "SESSIONCLOSEDREQUIRESASLAUTH",
        -125 => "QUOTAEXCEEDED",
        -127 => "THROTTLEDOP",
        code => return Cow::Owned(code.to_string()),
    })
}
