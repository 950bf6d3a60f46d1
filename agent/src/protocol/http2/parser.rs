//! One connection: two streams of frames, a table of field lines for each, and the exchanges that they carry.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fields::Gathered;
use super::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADER, HEADERS, Header, Http2Framing, PADDED,
    PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, error_name,
};
use super::hpack::Decoder;
use super::streams::{Stream as Exchanges, Streams};
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::http::{Reset, Shared, Upgraded};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream};

/// Bytes of a header block that came in several frames.
const MOST_BLOCK: usize = 64 * 1024;
/// Contents of a frame that are not worth leaving out.
const WORTH_SKIPPING: u64 = 4 * 1024;
/// Streams that were told before they ended, whose late frames are nothing new.
const REMEMBERED: usize = 64;

/// Contents of a DATA frame that pass.
#[derive(Debug)]
struct Contents {
    stream: u32,
    /// Position of its padding, and of the next frame.
    padding: u64,
    end: u64,
    end_stream: bool,
}

/// A header block under way.
#[derive(Debug)]
pub(super) struct Block {
    pub stream: u32,
    pub start: Moment,
    pub end_stream: bool,
    /// It is that of a promise (RFC 9113, 8.4).
    pushed: bool,
    bytes: Vec<u8>,
    /// Parts of it are missing.
    cut: bool,
}

/// One direction.
#[derive(Debug)]
struct Side {
    frames: Frames,
    decoder: Decoder,
    contents: Option<Contents>,
    block: Option<Block>,
    /// Where the next byte is expected.
    position: u64,
}

impl Side {
    fn new(midstream: bool) -> Self {
        Self {
            frames: Frames::new(midstream),
            decoder: Decoder::new(midstream),
            contents: None,
            block: None,
            position: 0,
        }
    }
}

/// The parser of one connection.
pub struct Http2Parser {
    pub(super) shared: Arc<Shared>,
    sides: [Side; 2],
    pub(super) gathered: Gathered,
    pub(super) streams: Streams,
    /// The highest stream that the client has used.
    pub(super) highest: u32,
    /// Streams that were told before they ended.
    told: VecDeque<u32>,
    pub(super) losses: Losses,
    over: bool,
}

impl Http2Parser {
    pub fn new(shared: &Arc<Shared>, midstream: bool) -> Self {
        Self {
            shared: Arc::clone(shared),
            sides: [Side::new(midstream), Side::new(midstream)],
            gathered: Gathered::default(),
            streams: Streams::new(shared.settings.max_in_flight),
            highest: 0,
            told: VecDeque::new(),
            losses: Losses::default(),
            over: false,
        }
    }

    /// The connection begins with the answer to a request that HTTP/1 has carried (RFC 7540, 3.2).
    pub fn upgraded(shared: &Arc<Shared>, request: Option<Upgraded>) -> Self {
        let mut parser = Self::new(shared, false);
        parser.highest = 1;
        if let Some(Upgraded { start, mut detail }) = request {
            let size = detail.request_body.take();
            detail.version = Some(crate::protocol::http::Version::Http2);
            let mut stream = Exchanges::new(start, detail, None);
            stream.bodies[Stream::ToServer as usize] = size;
            stream.request_ended = true;
            let _ = parser.streams.insert(1, stream);
        }
        parser
    }

    fn frame(&mut self, from: Stream, frame: &Frame<'_>, out: &mut Vec<Exchange>) -> Result<(), ()> {
        let bytes = frame.bytes();
        // The preface, and what is too short to be any.
        let Some(header) = Header::read(bytes).filter(|_| !bytes.starts_with(b"PRI")) else { return Ok(()) };
        let payload = &bytes[HEADER..];
        let side = &mut self.sides[from as usize];
        // RFC 9113, 6.10: nothing may stand between the parts of a block.
        if let Some(block) = &side.block
            && (header.kind != CONTINUATION || header.stream != block.stream)
        {
            return Err(());
        }
        match header.kind {
            DATA => {
                let start = frame.position + frame.length;
                let end = frame.position + HEADER as u64 + u64::from(header.length);
                let padding = if header.has(PADDED) {
                    payload.first().map_or(0, |&length| u64::from(length))
                } else {
                    0
                };
                side.contents = Some(Contents {
                    stream: header.stream,
                    padding: end.saturating_sub(padding).max(start),
                    end,
                    end_stream: header.has(END_STREAM),
                });
                if let Some(stream) = self.streams.get_mut(header.stream)
                    && from == Stream::ToClient
                {
                    stream.heard();
                }
            }
            HEADERS | PUSH_PROMISE | CONTINUATION => {
                return self.block_part(from, frame, &header, payload, out);
            }
            RST_STREAM => {
                let code = payload.first_chunk().map_or(u32::MAX, |code| u32::from_be_bytes(*code));
                self.reset(
                    header.stream,
                    Reset { by: from, code, name: error_name(code) },
                    frame.end.time,
                    out,
                );
            }
            // Those that the server has not looked at (RFC 9113, 6.8).
            GOAWAY if from == Stream::ToClient => {
                if let Some(last) = payload.first_chunk() {
                    let last = u32::from_be_bytes(*last) & 0x7fff_ffff;
                    let reset = Reset { by: from, code: REFUSED_STREAM, name: error_name(REFUSED_STREAM) };
                    for id in self.streams.ids(&mut |id, _| id > last) {
                        self.reset(id, reset, frame.end.time, out);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn reset(&mut self, id: u32, reset: Reset, now: u64, out: &mut Vec<Exchange>) {
        if self.streams.reset(id, now, reset, out) {
            self.remember(id);
        }
    }

    /// Frames of this stream may still come.
    fn remember(&mut self, id: u32) {
        if self.told.len() == REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back(id);
    }

    pub(super) fn was_told(&self, id: u32) -> bool {
        self.told.contains(&id)
    }

    /// HEADERS, PUSH_PROMISE or CONTINUATION: a block, or a part of one.
    fn block_part(
        &mut self,
        from: Stream,
        frame: &Frame<'_>,
        header: &Header,
        payload: &[u8],
        out: &mut Vec<Exchange>,
    ) -> Result<(), ()> {
        let part = header.block(payload).ok_or(())?;
        let cut = payload.len() < header.length as usize;
        let whole = header.has(END_HEADERS);
        let side = &mut self.sides[from as usize];
        let mut block = match side.block.take() {
            Some(block) => block,
            // Its beginning was lost.
            None if header.kind == CONTINUATION => {
                side.decoder.lose();
                return Ok(());
            }
            None => Block {
                stream: header.stream,
                // Whoever saw its end is at work on it; the first byte may have been another's.
                start: Moment { unit: frame.end.unit, ..frame.start },
                end_stream: header.kind == HEADERS && header.has(END_STREAM),
                pushed: header.kind == PUSH_PROMISE,
                bytes: Vec::new(),
                cut: false,
            },
        };
        if whole && block.bytes.is_empty() && !block.cut {
            block.cut = cut;
            self.decode(from, part, &block, frame.end, out);
            return Ok(());
        }
        if !block.cut {
            let room = MOST_BLOCK - block.bytes.len();
            block.bytes.extend_from_slice(&part[..part.len().min(room)]);
            if part.len() > room {
                self.losses.over_limit += 1;
            }
            block.cut = cut || part.len() > room;
        }
        if whole {
            let bytes = std::mem::take(&mut block.bytes);
            self.decode(from, &bytes, &block, frame.end, out);
        } else {
            side.block = Some(block);
        }
        Ok(())
    }

    /// A block is complete.
    fn decode(&mut self, from: Stream, bytes: &[u8], block: &Block, at: Moment, out: &mut Vec<Exchange>) {
        let Self { sides, gathered, .. } = self;
        gathered.clear();
        let decoder = &mut sides[from as usize].decoder;
        if decoder.decode(bytes, !block.cut, |name, value| gathered.push(name, value)).is_err() {
            self.losses.resynchronised += 1;
            self.losses.unparsed_bytes += bytes.len() as u64;
            gathered.unknown += 1;
        }
        // What stands behind a cut is not known either.
        gathered.unknown += u32::from(block.cut);
        if block.pushed {
            return;
        }
        match from {
            Stream::ToServer => self.request(block, at),
            Stream::ToClient => self.response(block, at, out),
        }
    }

    /// The contents of a DATA frame are over.
    fn contents_end(&mut self, from: Stream, at: Moment, out: &mut Vec<Exchange>) {
        if let Some(contents) = self.sides[from as usize].contents.take()
            && contents.end_stream
        {
            self.end_stream(from, contents.stream, at, out);
        }
    }

    /// One direction of a stream is over.
    pub(super) fn end_stream(&mut self, from: Stream, id: u32, at: Moment, out: &mut Vec<Exchange>) {
        match from {
            Stream::ToServer => {
                if let Some(stream) = self.streams.get_mut(id) {
                    stream.request_ended = true;
                }
            }
            Stream::ToClient => {
                let lost = self.streams.end(id, at.time, Outcome::Complete, out);
                self.losses.unpaired_requests += u64::from(lost);
            }
        }
    }

    /// The place in one direction was lost, and with it what its field lines refer to.
    fn lose(&mut self, from: Stream, now: u64) {
        let side = &mut self.sides[from as usize];
        side.decoder.lose();
        side.block = None;
        side.contents = None;
        self.streams.lose(from, now);
    }

    fn quiet_until(&self, from: Stream) -> u64 {
        let side = &self.sides[from as usize];
        let Some(contents) = &side.contents else { return side.frames.quiet_until() };
        let quiet = match self.streams.peek(contents.stream) {
            Some(stream) => stream.quiet(from),
            None => u64::MAX,
        };
        let until = side.position.saturating_add(quiet).min(contents.end);
        if until >= side.position + WORTH_SKIPPING { until } else { 0 }
    }
}

impl Parser for Http2Parser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.over || chunk.length == 0 {
            return;
        }
        let mut input = Input::new(chunk);
        loop {
            let side = &mut self.sides[stream as usize];
            if let Some(contents) = &side.contents {
                let id = contents.stream;
                let position = input.position();
                let of_message = contents.padding.saturating_sub(position);
                if of_message > 0 {
                    let (bytes, passed) = input.pass(of_message);
                    if passed == 0 {
                        break;
                    }
                    if let Some(exchange) = self.streams.get_mut(id) {
                        exchange.contents(stream, bytes, passed);
                    }
                    continue;
                }
                let end = contents.end;
                input.pass(end.saturating_sub(position));
                if input.position() < end {
                    break;
                }
                self.contents_end(stream, input.at(), out);
                continue;
            }
            match side.frames.next(&mut input, &Http2Framing) {
                None => break,
                Some(Next::Lost) => self.lose(stream, chunk.at.time),
                Some(Next::Frame(frame)) => {
                    let understood = self.frame(stream, &frame, out);
                    let side = &mut self.sides[stream as usize];
                    side.frames.recycle(frame);
                    if understood.is_err() {
                        side.frames.give_up(&mut input);
                        self.lose(stream, chunk.at.time);
                    }
                }
            }
        }
        let side = &mut self.sides[stream as usize];
        side.position = chunk.position.saturating_add(chunk.length);
        self.losses.add(side.frames.take_losses());
    }

    fn stream_end(&mut self, stream: Stream, at: Moment, out: &mut Vec<Exchange>) {
        if stream == Stream::ToClient {
            self.losses.unpaired_requests += self.streams.end_all(at.time, Outcome::ConnectionClosed(0), out);
        }
    }

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.over = true;
        self.losses.unpaired_requests += self.streams.end_all(at.time, Outcome::of(cause), out);
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        self.losses.unpaired_requests += self.streams.tick(now, out);
    }

    fn waiting(&self) -> bool {
        self.streams.is_waiting()
    }

    fn interest(&self) -> Interest {
        if self.over {
            return Interest::Nothing;
        }
        Interest::Frames {
            quiet_until: [self.quiet_until(Stream::ToServer), self.quiet_until(Stream::ToClient)],
        }
    }

    fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}
