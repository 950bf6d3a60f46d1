//! Where messages begin and end: a length of four bytes, then so many bytes.

use super::detail::Zk;
use super::operation::{CONNECT, Operation, operation};
use super::wire::{Stop, Wire, body};
use super::word;
use crate::protocol::frames::{Framing, Measure};
use crate::protocol::pairing::InOrder;

/// Bytes of the length itself.
pub(super) const SIZE: u64 = 4;
/// The largest message that is believed; `jute.maxbuffer` is 1 MiB by default.
pub(super) const MAX_MESSAGE: u64 = 64 << 20;
/// xid and operation; a reply's xid, zxid and error.
const REQUEST_HEADER: u64 = 8;
pub(super) const REPLY_HEADER: u64 = 16;
/// The xid of what nobody asked for: a watch was triggered.
pub(super) const NOTIFICATION: i32 = -1;
/// Bytes of a message that are read: paths; the operations of a multi.
const PATHS: usize = 1 << 10;
const MULTI: usize = 4 << 10;

pub(super) fn size(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|size| u64::from(u32::from_be_bytes(*size)))
}

/// What a connection's first request says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connect {
    /// 0 for a new session.
    pub session: i64,
    /// Milliseconds.
    pub timeout: i32,
}

/// Reads a connection's first request (`ConnectRequest`): the version, the last transaction seen, a timeout, the session
/// and its password, and perhaps whether a server that is alone will do.
pub(super) fn connect(bytes: &[u8], length: u64) -> Result<Connect, Stop> {
    let mut wire = Wire::new(bytes, length);
    let version = wire.int()?;
    let zxid = wire.long()?;
    let timeout = wire.int()?;
    let session = wire.long()?;
    let password = wire.int()?;
    if version != 0 || zxid < 0 || timeout < 0 || !(0..=64).contains(&password) {
        return Err(Stop::Bad);
    }
    wire.take(password.cast_unsigned().into())?;
    if !wire.is_at_end() && (wire.take(1)?[0] > 1 || !wire.is_at_end()) {
        return Err(Stop::Bad);
    }
    Ok(Connect { session, timeout })
}

/// Reads the response to it (`ConnectResponse`): the version, the timeout, the session and its password.
pub(super) fn connected(bytes: &[u8], length: u64) -> Result<Connect, Stop> {
    let mut wire = Wire::new(bytes, length);
    let version = wire.int()?;
    let timeout = wire.int()?;
    let session = wire.long()?;
    let password = wire.int()?;
    if version != 0 || timeout < 0 || !(0..=64).contains(&password) {
        return Err(Stop::Bad);
    }
    wire.take(password.cast_unsigned().into())?;
    if !wire.is_at_end() && (wire.take(1)?[0] > 1 || !wire.is_at_end()) {
        return Err(Stop::Bad);
    }
    Ok(Connect { session, timeout })
}

/// xid and operation of a request of `length` bytes.
pub(super) fn header(bytes: &[u8], length: u64) -> Result<(i32, &'static Operation, Wire<'_>), Stop> {
    let mut wire = Wire::new(bytes, length);
    let xid = wire.int()?;
    let operation = operation(wire.int()?).filter(|operation| operation.may_have(xid)).ok_or(Stop::Bad)?;
    Ok((xid, operation, wire))
}

/// The client's stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    /// Nothing of it has been seen.
    pub first: bool,
}

impl Framing for Requests {
    fn measure(&self, bytes: &[u8]) -> Measure {
        if self.first && word::may_be(bytes) {
            return if bytes.len() < 4 { Measure::More } else { Measure::Message { length: 4, wanted: 4 } };
        }
        let Some(size) = size(bytes) else { return Measure::More };
        if !(REQUEST_HEADER..=MAX_MESSAGE).contains(&size) {
            return Measure::Foreign;
        }
        let rest = &bytes[SIZE as usize..];
        let read = if self.first {
            connect(rest, size).map(|_| PATHS)
        } else {
            header(rest, size).map(|(_, operation, _)| if operation.is_multi() { MULTI } else { PATHS })
        };
        match read {
            Ok(wanted) => Measure::Message { length: SIZE + size, wanted },
            Err(Stop::Cut) => Measure::More,
            Err(Stop::Bad) => Measure::Foreign,
        }
    }

    fn begins(&self, bytes: &[u8], _turn: bool) -> bool {
        let Some(size) = size(bytes) else { return false };
        if !(REQUEST_HEADER..=MAX_MESSAGE).contains(&size) {
            return false;
        }
        // Servers read the length alone.
        if bytes.len() as u64 == SIZE {
            return true;
        }
        match header(&bytes[SIZE as usize..], size) {
            Ok((_, operation, mut wire)) => match body(&mut wire, operation).1 {
                Ok(()) => wire.is_at_end(),
                Err(stop) => stop == Stop::Cut,
            },
            Err(_) => false,
        }
    }
}

/// The server's stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replies<'a> {
    /// What is answered in order.
    pub calls: &'a InOrder<Zk>,
    /// The place has been confirmed by a reply that was waited for.
    pub sure: bool,
}

impl Replies<'_> {
    fn connects(&self) -> bool {
        self.calls.front().is_some_and(|call| call.detail.operation.code == CONNECT)
    }

    fn is_waited_for(&self, xid: i32) -> bool {
        (xid < 0 && matches!(xid, NOTIFICATION | -2 | -4))
            || self.calls.find(|call| call.detail.xid == xid).is_some()
    }

    fn reply(&self, rest: &[u8], size: u64) -> Result<usize, Stop> {
        if self.connects() {
            return connected(rest, size).map(|_| PATHS);
        }
        if size < REPLY_HEADER {
            return Err(Stop::Bad);
        }
        let mut wire = Wire::new(rest, size);
        let xid = wire.int()?;
        wire.long()?;
        let error = wire.int()?;
        if !(-999..=0).contains(&error) || !(self.sure || self.is_waited_for(xid)) {
            return Err(Stop::Bad);
        }
        Ok(if xid == NOTIFICATION { PATHS } else { 512 })
    }
}

impl Framing for Replies<'_> {
    fn measure(&self, bytes: &[u8]) -> Measure {
        let Some(size) = size(bytes) else { return Measure::More };
        if size > MAX_MESSAGE {
            return Measure::Foreign;
        }
        match self.reply(&bytes[SIZE as usize..], size) {
            Ok(wanted) => Measure::Message { length: SIZE + size, wanted },
            Err(Stop::Cut) => Measure::More,
            Err(Stop::Bad) => Measure::Foreign,
        }
    }

    fn begins(&self, bytes: &[u8], _turn: bool) -> bool {
        let Some(size) = size(bytes) else { return false };
        if bytes.len() as u64 == SIZE {
            return (REPLY_HEADER..=MAX_MESSAGE).contains(&size);
        }
        let Some(xid) = bytes[SIZE as usize..].first_chunk() else { return false };
        size <= MAX_MESSAGE
            && (self.connects() || self.is_waited_for(i32::from_be_bytes(*xid)))
            && self.reply(&bytes[SIZE as usize..], size).is_ok()
    }
}
