//! A connection: two streams of frames, and their channels.

use rustc_hash::FxHashMap;

use super::channel::{Arrival, Channel, called};
use super::detail::AmqpDetail;
use super::framing::{Amqp, FRAME_END, HEAD, Head, Kind};
use super::method::{self, CHANNEL, CONNECTION, Method};
use super::properties;
use super::settling::Room;
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::pairing::Pending;
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream};

/// Channels that are followed on one connection; RabbitMQ allows 2047.
const MAX_CHANNELS: usize = 2048;

/// A connection.
#[derive(Debug)]
pub(super) struct AmqpParser {
    streams: [Frames; 2],
    channels: FxHashMap<u16, Channel>,
    /// Messages that wait to be settled, in all channels.
    waiting: usize,
    /// The client's greeting, until the connection is open.
    opening: Option<Pending<AmqpDetail>>,
    /// One end closes the connection, and which.
    closing: Option<(Pending<AmqpDetail>, Stream)>,
    losses: Losses,
    ended: bool,
}

impl AmqpParser {
    pub fn new(midstream: bool) -> Self {
        Self {
            streams: [Frames::new(midstream), Frames::new(midstream)],
            channels: FxHashMap::default(),
            waiting: 0,
            opening: None,
            closing: None,
            losses: Losses::default(),
            ended: false,
        }
    }

    fn frame(&mut self, stream: Stream, frame: &Frame<'_>, out: &mut Vec<Exchange>) -> bool {
        let bytes = frame.bytes();
        if bytes.first() == Some(&b'A') {
            // The server's is its answer to a version that it does not speak.
            if stream == Stream::ToServer
                && let Some(open) = Method::find(CONNECTION, 40)
            {
                self.opening = Some(Pending::new(frame.start, AmqpDetail::new(open)));
            }
            return true;
        }
        let Some(head) = bytes.first_chunk::<HEAD>().and_then(Head::read) else {
            return !frame.cut || self.lost(stream, frame.end.time, out);
        };
        let end = frame.end.time;
        let whole = bytes.len() as u64 == frame.length;
        if whole && bytes.last() != Some(&FRAME_END) {
            return false;
        }
        let payload = &bytes[HEAD..bytes.len() - usize::from(whole)];
        match head.kind {
            Kind::Heartbeat => {}
            Kind::Method => {
                let call = method::read(payload).filter(|call| call.exact || !whole);
                let fits = call
                    .filter(|call| call.method.from.fits(stream) && call.method.fits_channel(head.channel));
                let Some(call) = fits else {
                    // A method that is not known, or of which a piece is missing: it may have been any.
                    return (frame.cut || !whole) && self.lost(stream, end, out);
                };
                let arrival = Arrival { call, stream, start: frame.start, end, turn: frame.turn };
                self.method(head.channel, &arrival, out);
            }
            Kind::Header => {
                self.with(head.channel, out, |channel, room| {
                    channel.header(stream, properties::read(payload), end, room);
                });
            }
            Kind::Body => {
                self.with(head.channel, out, |channel, room| channel.body(stream, head.size, end, room));
            }
        }
        true
    }

    /// Lets a channel that is known do something.
    fn with(&mut self, number: u16, out: &mut Vec<Exchange>, what: impl FnOnce(&mut Channel, &mut Room<'_>)) {
        let mut room = Room { out, losses: &mut self.losses, waiting: &mut self.waiting };
        if let Some(channel) = self.channels.get_mut(&number) {
            what(channel, &mut room);
        }
    }

    fn method(&mut self, number: u16, arrival: &Arrival<'_>, out: &mut Vec<Exchange>) {
        let method = arrival.call.method;
        if method.class == CONNECTION {
            self.connection(arrival, out);
            return;
        }
        let opens = method.is(CHANNEL, 10);
        if opens {
            // A number is used again.
            self.with(number, out, |channel, room| {
                channel.end(arrival.end, Outcome::Unfinished, None, room);
            });
            self.channels.remove(&number);
        }
        if !self.channels.contains_key(&number) {
            if self.channels.len() >= MAX_CHANNELS {
                self.losses.over_limit += 1;
                return;
            }
            self.channels.insert(number, Channel::new(opens));
        }
        self.with(number, out, |channel, room| channel.method(arrival, room));
        // Either end agreed to a close.
        if method.is(CHANNEL, 41) {
            self.with(number, out, |channel, room| channel.end(arrival.end, Outcome::Complete, None, room));
            self.channels.remove(&number);
        }
    }

    /// Methods of channel 0.
    fn connection(&mut self, arrival: &Arrival<'_>, out: &mut Vec<Exchange>) {
        let Arrival { call, stream, start, end, .. } = *arrival;
        match call.method.id {
            // start, secure, tune and their answers are part of the opening.
            40 if self.opening.is_none() => {
                self.opening = Some(Pending::new(start, AmqpDetail::new(call.method)));
            }
            41 => match self.opening.take() {
                Some(mut opening) => {
                    opening.first_byte = Some(start.time);
                    opening.tell(end, Outcome::Complete, out);
                }
                None => self.losses.unpaired_responses += 1,
            },
            50 => {
                let detail = called(call.method, &call.arguments);
                let reply = detail.reply.clone().filter(|_| stream == Stream::ToClient);
                let mut blamed = false;
                if let Some(mut opening) = self.opening.take() {
                    blamed = reply.is_some();
                    opening.detail.reply.clone_from(&reply);
                    opening.tell(end, Outcome::Complete, out);
                }
                if let Some(reply) = &reply {
                    for number in self.numbers() {
                        self.with(number, out, |channel, room| {
                            channel.end(end, Outcome::Complete, Some(reply), room);
                        });
                    }
                }
                if !blamed {
                    self.closing = Some((Pending::new(start, detail), stream));
                }
            }
            51 => {
                for number in self.numbers() {
                    self.with(number, out, |channel, room| channel.end(end, Outcome::Complete, None, room));
                }
                self.channels.clear();
                if let Some((mut closing, _)) = self.closing.take_if(|(_, by)| *by != stream) {
                    closing.first_byte = Some(start.time);
                    closing.tell(end, Outcome::Complete, out);
                }
            }
            _ => {}
        }
    }

    /// The channels' numbers, in order.
    fn numbers(&self) -> Vec<u16> {
        let mut numbers: Vec<u16> = self.channels.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    /// Messages of a stream were lost.
    fn lost(&mut self, stream: Stream, end: u64, out: &mut Vec<Exchange>) -> bool {
        for number in self.numbers() {
            self.with(number, out, |channel, room| channel.lost(stream, end, room));
        }
        true
    }
}

impl Parser for AmqpParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.ended {
            return;
        }
        let index = usize::from(stream == Stream::ToClient);
        let mut input = Input::new(chunk);
        while let Some(next) = self.streams[index].next(&mut input, &Amqp) {
            match next {
                Next::Frame(frame) => {
                    if !self.frame(stream, &frame, out) {
                        self.streams[index].give_up(&mut input);
                        self.lost(stream, chunk.at.time, out);
                    }
                    self.streams[index].recycle(frame);
                }
                Next::Lost => _ = self.lost(stream, chunk.at.time, out),
            }
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.ended = true;
        let outcome = Outcome::of(cause);
        let closing = self.closing.take().map(|(closing, _)| closing);
        for pending in self.opening.take().into_iter().chain(closing) {
            pending.tell(at.time, outcome, out);
        }
        for number in self.numbers() {
            self.with(number, out, |channel, room| channel.end(at.time, outcome, None, room));
        }
        self.channels.clear();
    }

    fn tick(&mut self, _: u64, _: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        if self.ended {
            return Interest::Nothing;
        }
        let [client, server] = &self.streams;
        Interest::Frames { quiet_until: [client.quiet_until(), server.quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        self.streams.iter_mut().for_each(|frames| losses.add(frames.take_losses()));
        losses
    }
}
