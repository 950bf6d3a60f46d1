//! One connection.

use super::detail::ThriftDetail;
use super::head::{Encoding, Kind};
use super::reply::{self, Answer};
use super::side::{Event, Message, Side};
use crate::protocol::pairing::{InOrder, Pending};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream};

/// Calls in flight. Thrift's own clients have one.
const MOST_WAITING: usize = 1024;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct ThriftParser {
    calls: Side,
    replies: Side,
    state: State,
}

#[derive(Debug)]
struct State {
    waiting: InOrder<ThriftDetail>,
    /// Two calls that a reply could not tell apart have been in flight together.
    overlapping: bool,
    /// Something was lost since then: no reply is believed any more.
    blind: bool,
    losses: Losses,
}

impl ThriftParser {
    pub fn new(midstream: bool) -> Self {
        Self {
            calls: Side::new(Stream::ToServer, midstream),
            replies: Side::new(Stream::ToClient, midstream),
            state: State {
                waiting: InOrder::new(MOST_WAITING),
                overlapping: false,
                blind: false,
                losses: Losses::default(),
            },
        }
    }
}

impl State {
    fn call(&mut self, message: &Message<'_>, out: &mut Vec<Exchange>) {
        let detail = ThriftDetail::new(message.head, message.bytes);
        // What is compressed may be a call or not; a reply will tell.
        let one_way = message.head.kind == Some(Kind::OneWay);
        let same =
            |waiting: &Pending<ThriftDetail>| waiting.detail.is(detail.method.as_bytes(), detail.sequence);
        self.overlapping |= !one_way && self.waiting.iter().any(same);
        let pending = Pending::new(message.start, detail);
        if one_way {
            pending.tell(message.end.time, Outcome::Complete, out);
        } else if self.blind {
            self.lost(pending, message.end.time, out);
        } else if self.waiting.push(pending).is_err() {
            self.losses.over_limit += 1;
        }
    }

    fn reply(&mut self, message: &Message<'_>, out: &mut Vec<Exchange>) {
        let name = message.bytes.get(message.head.name.clone()).unwrap_or_default();
        let sequence = message.head.sequence;
        let found = self.waiting.take_first(|waiting| waiting.detail.is(name, sequence));
        let Some(mut pending) = found.filter(|_| !self.blind) else {
            self.losses.unpaired_responses += 1;
            return;
        };
        pending.first_byte = Some(message.start.time);
        pending.detail.answer = reply::read(message.head, message.bytes);
        let unknown = pending.detail.answer == Answer::Unknown;
        if unknown && message.head.encoding != Encoding::Compressed {
            self.lost(pending, message.end.time, out);
        } else {
            pending.tell(message.end.time, Outcome::Complete, out);
        }
    }

    fn lost_place(&mut self, stream: Stream, time: u64, out: &mut Vec<Exchange>) {
        self.blind |= self.overlapping;
        // The replies to all that wait may have passed.
        if stream == Stream::ToClient || self.blind {
            while let Some(pending) = self.waiting.pop() {
                self.lost(pending, time, out);
            }
        }
    }

    fn lost(&mut self, pending: Pending<ThriftDetail>, time: u64, out: &mut Vec<Exchange>) {
        self.losses.unpaired_requests += 1;
        pending.tell(time, Outcome::ResponseLost, out);
    }
}

impl Parser for ThriftParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let Self { calls, replies, state } = self;
        let side = match stream {
            Stream::ToServer => calls,
            Stream::ToClient => replies,
        };
        side.chunk(chunk, &mut |event| match event {
            Event::Message(message) if stream == Stream::ToServer => state.call(&message, out),
            Event::Message(message) => state.reply(&message, out),
            Event::Lost => state.lost_place(stream, chunk.at.time, out),
        });
    }

    fn stream_end(&mut self, _stream: Stream, _at: Moment, _out: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.state.waiting.tell_all(at.time, Outcome::of(cause), out);
    }

    fn tick(&mut self, _now: u64, _out: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        Interest::Frames { quiet_until: [self.calls.quiet_until(), self.replies.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.state.losses);
        losses.add(self.calls.take_losses());
        losses.add(self.replies.take_losses());
        losses
    }
}
