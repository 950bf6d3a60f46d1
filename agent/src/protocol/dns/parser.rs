//! One connection, or one pair of a UDP socket and a peer.

use super::detail::Lookup;
use super::infer::{LENGTH, judge};
use super::message::{HEADER, Header, Question};
use crate::protocol::frames::{self, Frames, Input, Measure, Next};
use crate::protocol::pairing::{ById, Insert, Pending};
use crate::protocol::{
    Chunk, End, Exchange, Inference, Interest, Losses, Moment, Outcome, Parser, Stream, Transport,
};

/// Queries in flight: a forwarder may have many at one server.
const MOST_WAITING: usize = 4096;
/// A query that has waited for so long since it was last sent has timed out: what resolvers wait before they ask again, or
/// somebody else. Nanoseconds.
pub(super) const TIMEOUT: u64 = 5_000_000_000;
/// It is told so a little later, so that one that is sent again just then is still the same. Nanoseconds.
pub(super) const GRACE: u64 = 500_000_000;
/// Bytes of a message on TCP that are read.
const WANTED: usize = 4 * 1024;

/// Queries and responses, however they come.
#[derive(Debug)]
struct Talk {
    transport: Transport,
    /// By id, and what is asked for.
    waiting: ById<(u16, u32), Lookup>,
    /// Queries so far.
    order: u64,
    /// Responses were lost when so many queries had been sent: one of theirs may have been among them.
    doubtful: u64,
    /// Id of the zone transfer that is under way.
    transfer: Option<u16>,
    losses: Losses,
}

impl Talk {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            waiting: ById::new(MOST_WAITING),
            order: 0,
            doubtful: 0,
            transfer: None,
            losses: Losses::default(),
        }
    }

    /// A message passed, of which these bytes were captured. False if it is none.
    fn message(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        start: Moment,
        end: Moment,
        out: &mut Vec<Exchange>,
    ) -> bool {
        let header = Header::read(bytes);
        let understood = match (header, stream) {
            (Some(header), Stream::ToServer) if !header.is_response() => self.query(header, bytes, start),
            (Some(header), Stream::ToClient) if header.is_response() => {
                self.response(header, bytes, start, end, out)
            }
            _ => false,
        };
        if !understood {
            self.losses.unparsed_bytes += bytes.len() as u64;
            if stream == Stream::ToClient {
                self.doubt();
            }
        }
        header.is_none_or(|header| {
            header.is_plausible() && header.is_response() == (stream == Stream::ToClient)
        })
    }

    /// A response was lost, and nobody knows whose.
    fn doubt(&mut self) {
        self.doubtful = self.order;
    }

    fn query(&mut self, header: Header, bytes: &[u8], start: Moment) -> bool {
        if header.opcode() != 0 || header.counts[0] != 1 {
            return false;
        }
        let Ok(question) = Question::read(bytes) else { return false };
        let key = (header.id, question.hash(bytes));
        if let Some(known) = self.waiting.get_mut(key) {
            known.detail.transmissions = known.detail.transmissions.saturating_add(1);
            known.detail.last = start.time;
            return true;
        }
        self.order += 1;
        let lookup = Lookup::new(bytes, question, self.transport, start.time, self.order);
        if let Insert::Full(_) = self.waiting.insert(key, Pending::new(start, lookup)) {
            self.losses.over_limit += 1;
        }
        true
    }

    fn response(
        &mut self,
        header: Header,
        bytes: &[u8],
        start: Moment,
        end: Moment,
        out: &mut Vec<Exchange>,
    ) -> bool {
        if header.opcode() != 0 {
            return false;
        }
        // Some servers refuse without repeating the question.
        let (key, at) = if header.counts[0] == 0 {
            (self.waiting.only(|(id, _)| id == header.id), HEADER)
        } else {
            let Ok(question) = Question::read(bytes) else { return false };
            (Some((header.id, question.hash(bytes))), question.end)
        };
        let Some(mut pending) = key.and_then(|key| self.waiting.remove(key)) else {
            if self.transfer != Some(header.id) {
                self.losses.unpaired_responses += 1;
            }
            return true;
        };
        self.transfer = pending.detail.is_transfer().then_some(header.id);
        pending.detail.answered(bytes, header, at);
        pending.first_byte = Some(start.time);
        pending.tell(end.time, Outcome::Complete, out);
        true
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        let late = |last: u64| now.saturating_sub(last) >= TIMEOUT + GRACE;
        for pending in self.waiting.take_where(|_, pending| late(pending.detail.last)) {
            let end = pending.detail.last + TIMEOUT;
            let outcome = self.outcome(&pending, Outcome::TimedOut);
            pending.tell(end, outcome, out);
        }
    }

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        for pending in self.waiting.take_where(|_, _| true) {
            let outcome = self.outcome(&pending, Outcome::of(cause));
            pending.tell(at.time, outcome, out);
        }
    }

    fn outcome(&mut self, pending: &Pending<Lookup>, otherwise: Outcome) -> Outcome {
        if pending.detail.order > self.doubtful {
            return otherwise;
        }
        self.losses.unpaired_requests += 1;
        Outcome::ResponseLost
    }
}

/// A parser for datagrams, each of which is a message.
#[derive(Debug)]
pub(super) struct DatagramParser {
    talk: Talk,
}

impl DatagramParser {
    pub fn new() -> Self {
        Self { talk: Talk::new(Transport::Datagram) }
    }
}

impl Parser for DatagramParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        self.talk.message(stream, chunk.bytes, chunk.at, chunk.at, out);
    }

    fn stream_end(&mut self, _stream: Stream, _at: Moment, _out: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.talk.end(at, cause, out);
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        self.talk.tick(now, out);
    }

    fn waiting(&self) -> bool {
        !self.talk.waiting.is_empty()
    }

    fn interest(&self) -> Interest {
        Interest::Frames { quiet_until: [0; 2] }
    }

    fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.talk.losses)
    }
}

/// The framing of one stream: each message stands behind its length (RFC 1035, 4.2.2).
struct Framing(Stream);

impl frames::Framing for Framing {
    fn measure(&self, bytes: &[u8]) -> Measure {
        let Some(length) = bytes.first_chunk::<LENGTH>() else { return Measure::More };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < HEADER {
            return Measure::Foreign;
        }
        Measure::Message { length: (LENGTH + length) as u64, wanted: WANTED }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return false };
        let length = u16::from_be_bytes(*length);
        let rest = &rest[..rest.len().min(length.into())];
        match judge(rest, length.into()) {
            Inference::Yes(stream) => stream == self.0,
            // Many read the length by itself.
            Inference::Maybe => turn,
            _ => false,
        }
    }
}

/// A parser for a TCP connection.
#[derive(Debug)]
pub(super) struct StreamParser {
    talk: Talk,
    queries: Frames,
    responses: Frames,
}

impl StreamParser {
    pub fn new(midstream: bool) -> Self {
        Self {
            talk: Talk::new(Transport::Stream),
            queries: Frames::new(midstream),
            responses: Frames::new(midstream),
        }
    }
}

impl Parser for StreamParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let side = match stream {
            Stream::ToServer => &mut self.queries,
            Stream::ToClient => &mut self.responses,
        };
        let mut input = Input::new(chunk);
        while let Some(next) = side.next(&mut input, &Framing(stream)) {
            match next {
                Next::Frame(frame) => {
                    let message = frame.bytes().get(LENGTH..).unwrap_or_default();
                    let is_one = self.talk.message(stream, message, frame.start, frame.end, out);
                    side.recycle(frame);
                    if !is_one {
                        side.give_up(&mut input);
                    }
                }
                Next::Lost if stream == Stream::ToClient => self.talk.doubt(),
                Next::Lost => {}
            }
        }
    }

    fn stream_end(&mut self, _stream: Stream, _at: Moment, _out: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.talk.end(at, cause, out);
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        self.talk.tick(now, out);
    }

    fn waiting(&self) -> bool {
        !self.talk.waiting.is_empty()
    }

    fn interest(&self) -> Interest {
        Interest::Frames { quiet_until: [self.queries.quiet_until(), self.responses.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.talk.losses);
        losses.add(self.queries.take_losses());
        losses.add(self.responses.take_losses());
        losses
    }
}
