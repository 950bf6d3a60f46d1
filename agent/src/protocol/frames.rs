//! Messages out of a stream's chunks, for protocols that say how long a message is.
//!
//! [`Frames`] follows one stream. It finds where each message begins and ends, keeps as much of its beginning as the
//! protocol wants to read, and skips the rest by position, whether that was captured or not. When bytes are missing where
//! a length should have stood, the place is lost; it is found again where a chunk begins with what a message begins
//! with. What a message means is the protocol's own matter.
//!
//! ```text
//! let mut input = Input::new(chunk);
//! while let Some(next) = side.next(&mut input, &framing) {
//!     match next {
//!         Next::Frame(frame) => …,   // its last byte has passed
//!         Next::Lost => …,           // the next message, if one is found, follows a hole of unknown contents
//!     }
//! }
//! ```

use super::{Chunk, Losses, Moment};

/// The most bytes of one message that are kept.
pub const MAX_KEPT: usize = 32 * 1024;
/// A buffer larger than this is given back when its message is over.
const KEEP_BUFFER: usize = 4 * 1024;

/// After a loss, a run that begins with pieces too small to tell a message is looked at up to this length: some programs read
/// a head byte by byte.
const MAX_TRIED: usize = 64;

/// What the first bytes of a message say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A message of `length` bytes in all, of which the first `wanted` are to be read (at most [`MAX_KEPT`]).
    Message {
        /// Bytes, at least 1.
        length: u64,
        /// Bytes; a larger number than `length` means all.
        wanted: usize,
    },
    /// Too few bytes to tell.
    More,
    /// No message begins so.
    Foreign,
}

/// How a protocol delimits messages on one stream.
pub trait Framing {
    /// Measures the message that begins with `bytes`, which is never empty.
    fn measure(&self, bytes: &[u8]) -> Measure;

    /// After a loss: does a message begin with `bytes`, the first of a chunk? `turn` says that the chunk is the first of a
    /// run, where messages most often begin; elsewhere, less should be believed. False when in doubt.
    fn begins(&self, bytes: &[u8], turn: bool) -> bool;
}

/// What is left of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    at: Moment,
    /// Position of `data`, or of the hole if no data is left.
    position: u64,
    data: &'a [u8],
    /// Bytes behind `data` that were not captured.
    hole: u64,
    start: u64,
    turn: bool,
}

impl<'a> Input<'a> {
    /// All of a chunk.
    #[must_use]
    pub fn new(chunk: &Chunk<'a>) -> Self {
        Self {
            at: chunk.at,
            position: chunk.position,
            data: chunk.bytes,
            hole: chunk.length - chunk.bytes.len() as u64,
            start: chunk.position,
            turn: chunk.run_start,
        }
    }

    /// Passes up to `length` bytes that are no message's, for a protocol that follows contents of messages by itself: those
    /// that were captured, and how many passed. Only while [`Frames::next`] would begin a message.
    pub fn pass(&mut self, length: u64) -> (&'a [u8], u64) {
        let data = self.data;
        let passed = self.skip(length);
        (&data[..data.len() - self.data.len()], passed)
    }

    /// Position of the next byte.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// When its bytes passed, and who moved them.
    #[must_use]
    pub fn at(&self) -> Moment {
        self.at
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.data.split_at(length);
        self.data = rest;
        self.position += length as u64;
        taken
    }

    /// Passes up to `length` bytes, captured or not; how many.
    fn skip(&mut self, length: u64) -> u64 {
        let data = length.min(self.data.len() as u64);
        self.take(data as usize);
        let hole = (length - data).min(self.hole);
        self.hole -= hole;
        self.position += hole;
        data + hole
    }

    fn is_used_up(&self) -> bool {
        self.data.is_empty() && self.hole == 0
    }

    fn is_at_start(&self) -> bool {
        self.position == self.start
    }
}

/// The kept bytes of a message.
#[derive(Debug)]
pub enum Kept<'a> {
    /// They lie in one chunk.
    InPlace(&'a [u8]),
    /// They came in several; [`Frames::recycle`] takes the buffer back.
    Gathered(Vec<u8>),
}

/// A message whose last byte has passed.
#[derive(Debug)]
pub struct Frame<'a> {
    /// When its first byte passed, and who moved it.
    pub start: Moment,
    /// When its last byte passed.
    pub end: Moment,
    /// Position of its first byte.
    pub position: u64,
    /// Bytes in all.
    pub length: u64,
    /// It began a run: the other stream had the word before.
    pub turn: bool,
    /// Some of the bytes that were wanted are missing.
    pub cut: bool,
    kept: Kept<'a>,
}

impl Frame<'_> {
    /// Its first bytes: as many as were wanted, or fewer if it is [`cut`](Self::cut).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.kept {
            Kept::InPlace(bytes) => bytes,
            Kept::Gathered(bytes) => bytes,
        }
    }
}

/// What comes next in a stream.
#[derive(Debug)]
pub enum Next<'a> {
    /// A message.
    Frame(Frame<'a>),
    /// The place was lost: any number of messages, or parts of some, are not known. Told once a loss.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A message begins with the next byte.
    Boundary,
    /// The beginning of one is in the buffer, and does not say its length yet.
    Head,
    /// It ends at `end`.
    Body { end: u64, wanted: usize, cut: bool },
    /// Not known where the next begins.
    Lost,
    /// As after a loss, but the beginning of a run is in the buffer, and too short to tell.
    Trying,
}

/// One stream of a protocol that says how long its messages are. Holds at most [`MAX_KEPT`] bytes.
#[derive(Debug)]
pub struct Frames {
    state: State,
    buffer: Vec<u8>,
    begun: Moment,
    begun_at: u64,
    begun_turn: bool,
    losses: Losses,
}

impl Frames {
    /// The beginning of a stream; or, `midstream`, some place in it.
    #[must_use]
    pub fn new(midstream: bool) -> Self {
        Self {
            state: if midstream { State::Lost } else { State::Boundary },
            buffer: Vec::new(),
            begun: Moment::default(),
            begun_at: 0,
            begun_turn: false,
            losses: Losses::default(),
        }
    }

    /// The next message that ends in `input`, or the news that the place was lost; `None` when the input is used up.
    pub fn next<'a>(&mut self, input: &mut Input<'a>, framing: &impl Framing) -> Option<Next<'a>> {
        loop {
            if input.is_used_up() {
                return None;
            }
            match self.state {
                State::Boundary => {
                    if input.data.is_empty() {
                        return Some(self.lose(input));
                    }
                    self.begin(input);
                    match framing.measure(input.data) {
                        Measure::Message { length, wanted } => {
                            let wanted = kept(length, wanted);
                            if input.data.len() as u64 >= length {
                                let bytes = &input.take(length.max(1) as usize)[..wanted];
                                return Some(Next::Frame(self.frame(
                                    input,
                                    length,
                                    false,
                                    Kept::InPlace(bytes),
                                )));
                            }
                            self.state = State::Body { end: input.position + length, wanted, cut: false };
                        }
                        Measure::More if input.data.len() < MAX_KEPT => self.state = State::Head,
                        Measure::More => {
                            self.losses.over_limit += 1;
                            return Some(self.lose(input));
                        }
                        Measure::Foreign => return Some(self.lose(input)),
                    }
                }
                State::Head => {
                    let before = self.buffer.len();
                    let room = (MAX_KEPT - before).min(input.data.len());
                    self.buffer.extend_from_slice(&input.data[..room]);
                    match framing.measure(&self.buffer) {
                        Measure::Message { length, wanted } => {
                            let wanted = kept(length, wanted);
                            let taken = length.min(self.buffer.len() as u64).saturating_sub(before as u64);
                            input.take(taken as usize);
                            self.buffer.truncate(wanted);
                            let end = self.begun_at + length;
                            if input.position >= end {
                                let bytes = Kept::Gathered(std::mem::take(&mut self.buffer));
                                return Some(Next::Frame(self.frame(input, length, false, bytes)));
                            }
                            self.state = State::Body { end, wanted, cut: false };
                        }
                        Measure::More if self.buffer.len() < MAX_KEPT && input.hole == 0 => {
                            input.take(room);
                        }
                        cannot => {
                            let long = cannot == Measure::More && self.buffer.len() >= MAX_KEPT;
                            self.losses.over_limit += u64::from(long);
                            // It is counted with the buffer.
                            input.take(room);
                            return Some(self.lose(input));
                        }
                    }
                }
                State::Body { end, wanted, mut cut } => {
                    let left = end - input.position;
                    if !cut {
                        let missing = wanted.saturating_sub(self.buffer.len());
                        let here = missing.min(input.data.len()).min(left as usize);
                        self.buffer.extend_from_slice(&input.data[..here]);
                        // The rest of them passes in this chunk's hole.
                        cut = here < missing && (here as u64) < left && input.hole > 0;
                    }
                    input.skip(left);
                    if input.position < end {
                        self.state = State::Body { end, wanted, cut };
                        return None;
                    }
                    let bytes = Kept::Gathered(std::mem::take(&mut self.buffer));
                    return Some(Next::Frame(self.frame(input, end - self.begun_at, cut, bytes)));
                }
                State::Lost => {
                    let start = input.is_at_start() && !input.data.is_empty();
                    if start && framing.begins(input.data, input.turn) {
                        self.state = State::Boundary;
                        continue;
                    }
                    if start && input.turn && input.hole == 0 && is_short(input.data, framing) {
                        self.begin(input);
                        self.buffer.extend_from_slice(input.data);
                        input.skip(u64::MAX);
                        self.state = State::Trying;
                    } else {
                        self.losses.unparsed_bytes += input.skip(u64::MAX);
                    }
                    return None;
                }
                State::Trying => {
                    let before = self.buffer.len();
                    let turn = input.turn && input.is_at_start();
                    if !turn && !input.data.is_empty() {
                        let more = input.data.len().min(MAX_KEPT - before);
                        self.buffer.extend_from_slice(&input.data[..more]);
                        if framing.begins(&self.buffer, true) {
                            // As if nothing had been in doubt.
                            self.buffer.truncate(before);
                            self.state = State::Head;
                            continue;
                        }
                        if input.hole == 0 && is_short(&self.buffer, framing) {
                            input.skip(u64::MAX);
                            return None;
                        }
                    }
                    self.losses.unparsed_bytes += before as u64;
                    self.buffer.clear();
                    self.state = State::Lost;
                    if !turn {
                        self.losses.unparsed_bytes += input.skip(u64::MAX);
                        return None;
                    }
                }
            }
        }
    }

    fn begin(&mut self, input: &Input<'_>) {
        self.begun = input.at;
        self.begun_at = input.position;
        self.begun_turn = input.turn && input.is_at_start();
        self.buffer.clear();
    }

    fn frame<'a>(&mut self, input: &Input<'_>, length: u64, cut: bool, kept: Kept<'a>) -> Frame<'a> {
        self.state = State::Boundary;
        Frame {
            start: self.begun,
            end: input.at,
            position: self.begun_at,
            length,
            turn: self.begun_turn,
            cut,
            kept,
        }
    }

    /// The place is lost, and nothing more is believed of this chunk.
    fn lose<'a>(&mut self, input: &mut Input<'a>) -> Next<'a> {
        self.losses.resynchronised += 1;
        self.losses.unparsed_bytes += self.buffer.len() as u64 + input.skip(u64::MAX);
        self.buffer = Vec::new();
        self.state = State::Lost;
        Next::Lost
    }

    /// The protocol itself found that what it took for messages is none: the place is lost, and the rest of the chunk
    /// with it.
    pub fn give_up(&mut self, input: &mut Input<'_>) {
        self.lose(input);
    }

    /// The message under way, if all that was wanted of it is there, for a protocol that has lost the place by itself: the
    /// message's end will not be seen, and is said to be where the place was lost.
    pub fn cut_short(&mut self, at: Moment) -> Option<Frame<'static>> {
        let State::Body { end, wanted, .. } = self.state else { return None };
        if self.buffer.len() < wanted {
            return None;
        }
        self.state = State::Lost;
        Some(Frame {
            start: self.begun,
            end: at,
            position: self.begun_at,
            length: end - self.begun_at,
            turn: self.begun_turn,
            cut: false,
            kept: Kept::Gathered(std::mem::take(&mut self.buffer)),
        })
    }

    /// Takes back the buffer of a message that has been read.
    pub fn recycle(&mut self, frame: Frame<'_>) {
        if let Kept::Gathered(mut buffer) = frame.kept
            && self.buffer.capacity() == 0
            && buffer.capacity() <= KEEP_BUFFER
        {
            buffer.clear();
            self.buffer = buffer;
        }
    }

    /// The stream's place is known: the next byte begins a message, or belongs to one that is being followed.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        !matches!(self.state, State::Lost | State::Trying)
    }

    /// A message has begun and not ended: when, and at which position.
    #[must_use]
    pub fn under_way(&self) -> Option<(Moment, u64)> {
        matches!(self.state, State::Head | State::Body { .. }).then_some((self.begun, self.begun_at))
    }

    /// Position before which no byte of this stream is worth copying; 0 if the next one is. It is that of the message's last
    /// byte: the segment with that one must be told, so that the message ends when it does and not when the next begins.
    #[must_use]
    pub fn quiet_until(&self) -> u64 {
        match self.state {
            State::Body { end, wanted, cut } if cut || self.buffer.len() >= wanted => end - 1,
            _ => 0,
        }
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}

/// Too few bytes to tell whether a message begins with them.
fn is_short(bytes: &[u8], framing: &impl Framing) -> bool {
    bytes.len() < MAX_TRIED
        && match framing.measure(bytes) {
            Measure::More => true,
            Measure::Message { length, .. } => length > bytes.len() as u64,
            Measure::Foreign => false,
        }
}

fn kept(length: u64, wanted: usize) -> usize {
    length.min(wanted.min(MAX_KEPT) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of one length byte (of the payload) and the payload; 0xff begins none. Three bytes are wanted.
    struct Toy;

    impl Framing for Toy {
        fn measure(&self, bytes: &[u8]) -> Measure {
            match bytes {
                [0xff, ..] => Measure::Foreign,
                [_] => Measure::More,
                [length, kind, ..] if *kind == b'm' => {
                    Measure::Message { length: u64::from(*length) + 1, wanted: 3 }
                }
                _ => Measure::Foreign,
            }
        }

        fn begins(&self, bytes: &[u8], turn: bool) -> bool {
            turn && self.measure(bytes) != Measure::Foreign
        }
    }

    /// Position, length, whether it is cut, and the kept bytes.
    type Told = (u64, u64, bool, Vec<u8>);

    /// What comes out of chunks `(length, bytes, run_start)`: the kept bytes, or `None` for a loss.
    fn told(frames: &mut Frames, chunks: &[(u64, &[u8], bool)]) -> Vec<Option<Told>> {
        told_by(frames, chunks, &Toy)
    }

    fn told_by(
        frames: &mut Frames,
        chunks: &[(u64, &[u8], bool)],
        framing: &impl Framing,
    ) -> Vec<Option<Told>> {
        let mut out = Vec::new();
        let mut position = 0;
        for (length, bytes, run_start) in chunks {
            let at = Moment::default();
            let mut input =
                Input::new(&Chunk { at, position, length: *length, bytes, run_start: *run_start });
            while let Some(next) = frames.next(&mut input, framing) {
                out.push(match next {
                    Next::Frame(frame) => {
                        let told = (frame.position, frame.length, frame.cut, frame.bytes().to_vec());
                        frames.recycle(frame);
                        Some(told)
                    }
                    Next::Lost => None,
                });
            }
            position += length;
        }
        out
    }

    const TWO: &[u8] = b"\x04mabc\x02mx";

    /// Messages are the same however the stream is cut into chunks.
    #[test]
    fn every_split() {
        let whole = [Some((0, 5, false, b"\x04ma".to_vec())), Some((5, 3, false, b"\x02mx".to_vec()))];
        for first in 0..=TWO.len() {
            for second in first..=TWO.len() {
                let parts = [&TWO[..first], &TWO[first..second], &TWO[second..]];
                let chunks: Vec<(u64, &[u8], bool)> =
                    parts.iter().map(|part| (part.len() as u64, *part, false)).collect();
                let mut frames = Frames::new(false);
                assert_eq!(told(&mut frames, &chunks), whole, "{first} {second}");
                assert_eq!(frames.take_losses(), Losses::default());
            }
        }
    }

    /// A hole in a body is passed by position; in what was wanted, it cuts; where a length should be, it loses the place.
    #[test]
    fn holes() {
        let mut frames = Frames::new(false);
        assert_eq!(
            told(&mut frames, &[(8, b"\x09mab", true), (2, b"", false)])[0],
            Some((0, 10, false, b"\x09ma".to_vec()))
        );
        let mut frames = Frames::new(false);
        assert_eq!(told(&mut frames, &[(5, b"\x04m", true)]), [Some((0, 5, true, b"\x04m".to_vec()))]);
        let mut frames = Frames::new(false);
        assert_eq!(
            told(&mut frames, &[(5, b"\x04", true), (3, b"\x02mx", false), (3, b"\x02mx", true)]),
            [None, Some((8, 3, false, b"\x02mx".to_vec()))]
        );
        let losses = frames.take_losses();
        assert_eq!((losses.resynchronised, losses.unparsed_bytes), (1, 8));
    }

    /// In the middle of a stream it waits for a run's beginning.
    #[test]
    fn midstream() {
        let mut frames = Frames::new(true);
        assert_eq!(
            told(&mut frames, &[(8, TWO, false), (3, b"\x02mx", true)]),
            [Some((8, 3, false, b"\x02mx".to_vec()))]
        );
        assert_eq!(frames.take_losses(), Losses { unparsed_bytes: 8, ..Losses::default() });
    }

    /// As [`Toy`], but only a whole message is believed.
    struct Strict;

    impl Framing for Strict {
        fn measure(&self, bytes: &[u8]) -> Measure {
            Toy.measure(bytes)
        }

        fn begins(&self, bytes: &[u8], turn: bool) -> bool {
            turn && matches!(Toy.measure(bytes), Measure::Message { length, .. } if length <= bytes.len() as u64)
        }
    }

    /// A run that begins byte by byte is found all the same, unless a hole or another run comes first.
    #[test]
    fn found_in_pieces() {
        let message = Some((1, 3, false, b"\x02mx".to_vec()));
        let mut frames = Frames::new(true);
        let pieces: &[(u64, &[u8], bool)] =
            &[(1, b"x", true), (1, b"\x02", true), (1, b"m", false), (1, b"x", false)];
        assert_eq!(told_by(&mut frames, pieces, &Strict), [message]);
        assert_eq!(frames.take_losses(), Losses { unparsed_bytes: 1, ..Losses::default() });
        let mut frames = Frames::new(true);
        let pieces: &[(u64, &[u8], bool)] = &[(1, b"\x02", true), (2, b"", false), (3, b"\x02mx", false)];
        assert_eq!(told_by(&mut frames, pieces, &Strict), []);
        assert_eq!(frames.take_losses(), Losses { unparsed_bytes: 6, ..Losses::default() });
    }

    /// While the rest of a message is of no use, nothing of it is asked for.
    #[test]
    fn quiet() {
        let mut frames = Frames::new(false);
        assert_eq!(told(&mut frames, &[(4, b"\x20mab", true)]), []);
        assert_eq!(frames.quiet_until(), 32);
        assert_eq!(frames.under_way().map(|(_, position)| position), Some(0));
    }

    /// What was read of a message whose end cannot be followed is not lost, unless something of it is missing.
    #[test]
    fn cut_short() {
        let mut frames = Frames::new(false);
        assert_eq!(told(&mut frames, &[(4, b"\x20mab", true)]), []);
        let frame = frames.cut_short(Moment::default()).expect("all that was wanted");
        assert_eq!((frame.position, frame.length, frame.bytes()), (0, 33, &b"\x20ma"[..]));
        assert!(!frames.is_in_place());
        let mut frames = Frames::new(false);
        assert_eq!(told(&mut frames, &[(2, b"\x20m", true)]), []);
        assert!(frames.cut_short(Moment::default()).is_none());
    }
}
