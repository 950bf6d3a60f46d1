//! One connection: what each end has sent.

use super::detail::{Counts, WebSocketDetail};
use super::frame::{CLOSE, Header, WebSocketFraming};
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::http::Upgraded;
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream};

/// A connection that lasts is told once in this time. Nanoseconds.
pub const PART: u64 = 60_000_000_000;

/// The parser of one connection.
pub struct WebSocketParser {
    /// Where it was upgraded, and by which request.
    start: Option<Moment>,
    detail: WebSocketDetail,
    sides: [Frames; 2],
    /// Both ends have said that they close.
    closing: [bool; 2],
    part_from: u64,
    losses: Losses,
    over: bool,
}

impl WebSocketParser {
    pub fn new(request: Option<Upgraded>, midstream: bool) -> Self {
        let (start, http) = request.map(|request| (request.start, request.detail)).unzip();
        Self {
            start,
            detail: WebSocketDetail { http, ..WebSocketDetail::default() },
            sides: [Frames::new(midstream), Frames::new(midstream)],
            closing: [false; 2],
            part_from: start.map_or(0, |start| start.time),
            losses: Losses::default(),
            over: false,
        }
    }

    fn frame(&mut self, from: Stream, frame: &Frame<'_>) {
        let Some(header) = Header::read(frame.bytes()) else { return };
        let counts = &mut self.detail.counts[from as usize];
        if header.is_data() {
            if let Some(Counts { messages, bytes }) = counts {
                *messages += u64::from(header.last);
                *bytes += header.length;
            }
        } else if header.opcode == CLOSE {
            self.closing[from as usize] = true;
            if self.detail.closed_by.is_none() {
                self.detail.closed_by = Some(from);
                self.detail.code = match frame.bytes().get(header.size..) {
                    Some(&[high, low]) if header.length >= 2 => {
                        let [a, b, ..] = header.mask.unwrap_or_default();
                        Some(u16::from_be_bytes([high ^ a, low ^ b]))
                    }
                    _ => None,
                };
            }
        }
    }

    /// The connection is over.
    fn finish(&mut self, at: Moment, outcome: Outcome, out: &mut Vec<Exchange>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let Some(start) = self.start else { return };
        // Once an end has said that it closes, how the bytes end says nothing.
        let outcome = match outcome {
            Outcome::ConnectionClosed(_) if self.detail.closed_by.is_some() => Outcome::Complete,
            other => other,
        };
        let mut detail = std::mem::take(&mut self.detail);
        detail.last = true;
        detail.part += u32::from(detail.part > 0);
        let end = at.time.max(start.time);
        out.push(Exchange { start, first_byte: None, end, outcome, detail: Box::new(detail) });
    }
}

impl Parser for WebSocketParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.over || chunk.length == 0 {
            return;
        }
        self.start.get_or_insert(chunk.at);
        let mut input = Input::new(chunk);
        while let Some(next) = self.sides[stream as usize].next(&mut input, &WebSocketFraming(stream)) {
            match next {
                Next::Frame(frame) => {
                    self.frame(stream, &frame);
                    self.sides[stream as usize].recycle(frame);
                }
                // From here on nobody knows how many there were.
                Next::Lost => self.detail.counts[stream as usize] = None,
            }
        }
        self.losses.add(self.sides[stream as usize].take_losses());
        if self.closing == [true; 2] {
            self.finish(chunk.at, Outcome::Complete, out);
        }
    }

    fn stream_end(&mut self, _: Stream, at: Moment, out: &mut Vec<Exchange>) {
        self.finish(at, Outcome::ConnectionClosed(0), out);
    }

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.finish(at, Outcome::of(cause), out);
    }

    fn tick(&mut self, now: u64, out: &mut Vec<Exchange>) {
        let Some(start) = self.start.filter(|_| !self.over && now.saturating_sub(self.part_from) >= PART)
        else {
            return;
        };
        self.detail.part += 1;
        let start = Moment { time: self.part_from, ..start };
        self.part_from = now;
        let detail = Box::new(self.detail.clone());
        out.push(Exchange { start, first_byte: None, end: now, outcome: Outcome::Unfinished, detail });
    }

    fn waiting(&self) -> bool {
        !self.over
    }

    fn interest(&self) -> Interest {
        if self.over {
            return Interest::Nothing;
        }
        Interest::Frames { quiet_until: [self.sides[0].quiet_until(), self.sides[1].quiet_until()] }
    }

    fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}
