//! One stream of a connection: envelopes, bare or in segments.

use super::envelope::Envelopes;
use super::segment::{self, Part, Segments};
use crate::protocol::frames::{Frame, Frames, Framing, Input, Next};
use crate::protocol::{Chunk, Losses, Stream};

/// How envelopes travel on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The agent came later, and has not seen it yet.
    Unknown,
    /// One behind the other: versions 3 and 4, and 5 before it is started.
    Bare,
    /// In segments.
    Segments,
    /// In compressed segments, which are not read.
    Unreadable,
}

impl Mode {
    /// What a chunk says that begins a run in the middle of a connection.
    pub fn of(stream: Stream, bytes: &[u8]) -> Self {
        if segment::begins(bytes) {
            Mode::Segments
        } else if segment::is_compressed(bytes) {
            Mode::Unreadable
        } else if Envelopes(stream).begins(bytes, true) {
            Mode::Bare
        } else {
            Mode::Unknown
        }
    }
}

/// What comes out of a stream.
pub(super) enum Event<'a> {
    /// An envelope whose last byte has passed.
    Envelope(&'a Frame<'a>),
    /// Any number of them may be missing here.
    Lost,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Side {
    envelopes: Envelopes,
    frames: Frames,
    /// The place of the segments, if there are any.
    segments: Option<Segments>,
    losses: Losses,
}

impl Side {
    pub fn new(stream: Stream, midstream: bool) -> Self {
        Self {
            envelopes: Envelopes(stream),
            frames: Frames::new(midstream),
            segments: None,
            losses: Losses::default(),
        }
    }

    /// From here on envelopes come in segments; or they did all the time (`midstream`).
    pub fn begin_segments(&mut self, midstream: bool) {
        self.losses.add(self.frames.take_losses());
        self.frames = Frames::new(midstream);
        self.segments = Some(Segments::new(midstream));
    }

    pub fn chunk(&mut self, chunk: &Chunk<'_>, event: &mut impl FnMut(Event<'_>)) {
        let Self { envelopes, frames, segments, losses } = self;
        let Some(segments) = segments else {
            envelopes_of(*envelopes, frames, chunk, event);
            return;
        };
        segments.chunk(chunk, |part| match part {
            Part::Payload(chunk) => envelopes_of(*envelopes, frames, &chunk, event),
            Part::Lost => {
                // A request stands in its first bytes. Of a response, the end matters.
                if envelopes.0 == Stream::ToServer
                    && let Some(frame) = frames.cut_short(chunk.at)
                {
                    event(Event::Envelope(&frame));
                }
                // The counters of what is begun anew, but not for bytes that the segments count.
                losses.add(frames.take_losses());
                *frames = Frames::new(true);
                event(Event::Lost);
            }
        });
    }

    pub fn quiet_until(&self) -> u64 {
        match &self.segments {
            None => self.frames.quiet_until(),
            Some(segments) => segments.quiet_until(self.frames.quiet_until()),
        }
    }

    /// Bytes that passed while nothing could be read.
    pub fn unparsed(&mut self, bytes: u64) {
        self.losses.unparsed_bytes += bytes;
    }

    pub fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.frames.take_losses());
        if let Some(segments) = &mut self.segments {
            losses.add(segments.take_losses());
        }
        losses
    }
}

fn envelopes_of(
    envelopes: Envelopes,
    frames: &mut Frames,
    chunk: &Chunk<'_>,
    event: &mut impl FnMut(Event<'_>),
) {
    let mut input = Input::new(chunk);
    while let Some(next) = frames.next(&mut input, &envelopes) {
        match next {
            Next::Frame(frame) => {
                event(Event::Envelope(&frame));
                frames.recycle(frame);
            }
            Next::Lost => event(Event::Lost),
        }
    }
}
