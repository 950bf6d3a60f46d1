//! One connection: a session's requests and replies, or one four-letter word.
//!
//! A server answers a session's requests in their order, and names them by xid; pings and authentication have xids of their
//! own and answers out of that order.

use super::detail::{Sort, Zk};
use super::framing::{NOTIFICATION, Replies, Requests, SIZE, connect, connected, header};
use super::operation::{self, CONNECT};
use super::wire::{Wire, body, multi_error};
use super::{error, path, word};
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::{InOrder, Pending};
use crate::protocol::{
    Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Statements, Stream, text,
};

/// Requests in flight (`zookeeper.globalOutstandingLimit` is 1000).
const MAX_IN_FLIGHT: usize = 1024;
/// Pings and authentications in flight.
const MAX_SPECIAL: usize = 16;
/// Bytes of a path that are told where it is told as it is.
const MAX_PATH: usize = 512;
const PING_XID: i32 = -2;
const AUTH_XID: i32 = -4;

/// The parser of one connection.
pub(super) struct ZooKeeperParser {
    statements: Statements,
    requests: Frames,
    replies: Frames,
    /// Nothing of the client's was seen.
    first: bool,
    calls: InOrder<Zk>,
    pings: InOrder<Zk>,
    auths: InOrder<Zk>,
    /// The replies' place is confirmed.
    sure: bool,
    /// A four-letter word, until the server closes.
    word: Option<Pending<Zk>>,
    worded: bool,
    losses: Losses,
}

impl ZooKeeperParser {
    pub fn new(statements: Statements, midstream: bool) -> Self {
        Self {
            statements,
            requests: Frames::new(midstream),
            replies: Frames::new(midstream),
            first: !midstream,
            calls: InOrder::new(MAX_IN_FLIGHT),
            pings: InOrder::new(MAX_SPECIAL),
            auths: InOrder::new(MAX_SPECIAL),
            sure: !midstream,
            word: None,
            worded: false,
            losses: Losses::default(),
        }
    }

    fn path(&self, path: Option<&[u8]>) -> Option<Box<str>> {
        match self.statements {
            Statements::Redacted => path.map(path::template),
            Statements::Raw => path.map(|path| text::bounded(path, MAX_PATH)),
            Statements::Off => None,
        }
    }

    fn request(&mut self, frame: &Frame<'_>) {
        let bytes = frame.bytes();
        let first = std::mem::take(&mut self.first);
        if let Some(word) = word::word(bytes).filter(|_| first && frame.length == 4) {
            let detail = Zk { sort: Sort::Word(word), ..Zk::new(operation::connect(), 0) };
            self.word = Some(Pending::new(frame.start, detail));
            self.worded = true;
            return;
        }
        let rest = bytes.get(SIZE as usize..).unwrap_or_default();
        let detail = if first {
            let session = connect(rest, frame.length - SIZE).ok().map(|connect| connect.session);
            Zk { session: session.filter(|session| *session != 0), ..Zk::new(operation::connect(), 0) }
        } else {
            let Ok((xid, operation, mut wire)) = header(rest, frame.length - SIZE) else { return };
            let (body, _) = body(&mut wire, operation);
            Zk { path: self.path(body.path), operations: body.operations, ..Zk::new(operation, xid) }
        };
        let queue = match detail.xid {
            PING_XID => &mut self.pings,
            AUTH_XID => &mut self.auths,
            _ => &mut self.calls,
        };
        if queue.push(Pending::new(frame.start, detail)).is_err() {
            self.losses.over_limit += 1;
        }
    }

    fn reply(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let rest = frame.bytes().get(SIZE as usize..).unwrap_or_default();
        let length = frame.length - SIZE;
        if self.calls.front().is_some_and(|call| call.detail.operation.code == CONNECT) {
            let Some(mut request) = self.calls.pop() else { return };
            match connected(rest, length) {
                // The session was not known any more.
                Ok(answer) if answer.session == 0 || answer.timeout == 0 => {
                    request.detail.error = Some(error::SESSION_EXPIRED);
                }
                Ok(answer) => request.detail.session = Some(answer.session),
                Err(_) => {}
            }
            self.sure = true;
            Self::answered(request, frame, out);
            return;
        }
        let mut wire = Wire::new(rest, length);
        let (Ok(xid), Ok(zxid), Ok(code)) = (wire.int(), wire.long(), wire.int()) else { return };
        let request = match xid {
            NOTIFICATION => return self.event(frame, &mut wire, out),
            PING_XID => self.pings.pop(),
            AUTH_XID => self.auths.pop(),
            _ => self.call(xid, frame, out),
        };
        let Some(mut request) = request else {
            self.losses.unpaired_responses += 1;
            return;
        };
        self.sure = true;
        let detail = &mut request.detail;
        detail.zxid = Some(zxid).filter(|zxid| *zxid > 0);
        detail.error = Some(code).filter(|code| *code != 0);
        if detail.operation.code == operation::MULTI && detail.error.is_none() {
            detail.error = multi_error(&mut wire);
        }
        Self::answered(request, frame, out);
    }

    /// The call that a reply names; those before it have lost theirs.
    fn call(&mut self, xid: i32, frame: &Frame<'_>, out: &mut Vec<Exchange>) -> Option<Pending<Zk>> {
        let before = self.calls.find(|call| call.detail.xid == xid)?;
        for _ in 0..before {
            let lost = self.calls.pop()?;
            self.losses.unpaired_requests += 1;
            lost.tell(frame.start.time, Outcome::ResponseLost, out);
        }
        self.calls.pop()
    }

    fn answered(mut request: Pending<Zk>, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        request.first_byte = Some(frame.start.time);
        request.tell(frame.end.time, Outcome::Complete, out);
    }

    /// `WatcherEvent`: what happened, the session's state, the path.
    fn event(&mut self, frame: &Frame<'_>, wire: &mut Wire<'_>, out: &mut Vec<Exchange>) {
        let (Ok(kind), Ok(_)) = (wire.int(), wire.int()) else { return };
        let detail = Zk {
            sort: Sort::Event(kind),
            path: self.path(wire.path().ok()),
            ..Zk::new(operation::connect(), NOTIFICATION)
        };
        Pending::new(frame.start, detail).tell(frame.end.time, Outcome::Complete, out);
    }

    /// All that waits ends, in its order.
    fn finish(&mut self, now: u64, outcome: Outcome, out: &mut Vec<Exchange>) {
        if let Some(word) = self.word.take() {
            // The text ends with the connection.
            let answered = word.first_byte.is_some() && outcome == Outcome::ConnectionClosed(0);
            word.tell(now, if answered { Outcome::Complete } else { outcome }, out);
        }
        self.calls.tell_all(now, outcome, out);
        self.auths.tell_all(now, outcome, out);
        // Nobody misses the answer to a sign of life.
        while self.pings.pop().is_some() {}
    }
}

impl Parser for ZooKeeperParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.worded {
            if let (Stream::ToClient, Some(word)) = (stream, &mut self.word) {
                word.first_byte.get_or_insert(chunk.at.time);
            }
            return;
        }
        let mut input = Input::new(chunk);
        match stream {
            Stream::ToServer => loop {
                match self.requests.next(&mut input, &Requests { first: self.first }) {
                    Some(Next::Frame(frame)) => {
                        self.request(&frame);
                        self.requests.recycle(frame);
                        if self.worded {
                            break;
                        }
                    }
                    Some(Next::Lost) => self.first = false,
                    None => break,
                }
            },
            Stream::ToClient => loop {
                let framing = Replies { calls: &self.calls, sure: self.sure };
                match self.replies.next(&mut input, &framing) {
                    Some(Next::Frame(frame)) => {
                        self.reply(&frame, out);
                        self.replies.recycle(frame);
                    }
                    Some(Next::Lost) => {
                        self.sure = false;
                        self.lost_connect(chunk.at.time, out);
                    }
                    None => break,
                }
            },
        }
    }

    fn stream_end(&mut self, stream: Stream, at: Moment, out: &mut Vec<Exchange>) {
        if stream == Stream::ToClient {
            self.finish(at.time, Outcome::ConnectionClosed(0), out);
        }
    }

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.finish(at.time, Outcome::of(cause), out);
    }

    fn tick(&mut self, _now: u64, _out: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        Interest::Frames { quiet_until: [self.requests.quiet_until(), self.replies.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.replies.take_losses());
        losses
    }
}

impl ZooKeeperParser {
    /// The response to a connect is a connection's first, so it is the one that was lost.
    fn lost_connect(&mut self, now: u64, out: &mut Vec<Exchange>) {
        if self.calls.front().is_some_and(|call| call.detail.operation.code == CONNECT)
            && let Some(connect) = self.calls.pop()
        {
            self.losses.unpaired_requests += 1;
            connect.tell(now, Outcome::ResponseLost, out);
        }
    }
}
