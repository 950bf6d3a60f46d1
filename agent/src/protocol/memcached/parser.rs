//! One connection: commands and responses, paired in their order.
//!
//! A quiet command (`q` of the meta commands, the binary protocol's operations with a Q) is answered only by what is
//! out of the ordinary. It is over when the response to a later command comes: a quiet get has then missed, and
//! anything else was done. Whether a response is a quiet command's own is told by the token or key that it repeats, or
//! by its opaque number; without them it is the first that it could be, and its result is not told.
//!
//! After a loss the order is known again when the client begins to speak after the server, and a response that its
//! command never has tells that it was wrong. A response may be seen before the end of its command (the server has
//! refused it, or the end passed unseen): it waits for it.

use crate::protocol::frames::{Frame, Frames, Framing, Input, Measure, Next};
use crate::protocol::pairing::{InOrder, Pending};
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Statements, Stream};

use super::binary::{self, Header};
use super::detail::{Expect, MemcachedDetail};
use super::infer;
use super::text::{self, Answer, Mark, Reply};

/// Commands that wait for their responses at most; those beyond are counted and not told.
const MOST_PENDING: usize = 16 * 1024;

struct Requests;

impl Framing for Requests {
    fn measure(&self, bytes: &[u8]) -> Measure {
        match bytes[0] {
            binary::REQUEST => binary::measure(bytes, false),
            _ => text::measure_request(bytes),
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        turn && infer::may_be_requests(bytes)
    }
}

struct Responses {
    /// One key was asked for: `END` follows its value, and belongs to it. Behind a large value it may not be captured.
    one: bool,
}

/// `END` and its end of line.
const END: u64 = 5;

impl Framing for Responses {
    fn measure(&self, bytes: &[u8]) -> Measure {
        match bytes[0] {
            binary::RESPONSE => binary::measure(bytes, true),
            _ => match text::measure_reply(bytes) {
                Measure::Message { length, wanted } if self.one && bytes.starts_with(b"VALUE ") => {
                    Measure::Message { length: length + END, wanted }
                }
                measure => measure,
            },
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        turn && infer::may_be_responses(bytes)
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct MemcachedParser {
    statements: Statements,
    requests: Frames,
    responses: Frames,
    pending: InOrder<MemcachedDetail>,
    /// Commands behind the pending ones that are not told.
    uncounted: u64,
    /// Commands behind the pending ones are not known, since this time.
    requests_lost: Option<u64>,
    /// Responses before the next one are not known, since this time.
    responses_lost: Option<u64>,
    /// A response that came while the data of its command were still being sent, or their end passed unseen; and when.
    early: Option<(Response, u64, u64)>,
    /// It became a feed.
    over: bool,
    losses: Losses,
}

impl MemcachedParser {
    pub fn new(midstream: bool, statements: Statements) -> Self {
        Self {
            statements,
            requests: Frames::new(midstream),
            responses: Frames::new(midstream),
            pending: InOrder::new(MOST_PENDING),
            uncounted: 0,
            requests_lost: midstream.then_some(0),
            responses_lost: None,
            early: None,
            over: false,
            losses: Losses::default(),
        }
    }

    /// A command; false if its frame holds none.
    fn request(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) -> bool {
        let bytes = frame.bytes();
        let detail = match bytes.first() {
            Some(&binary::REQUEST) => self.binary(bytes),
            Some(_) => self.text(bytes),
            None => None,
        };
        let Some(detail) = detail else { return false };
        if frame.turn {
            self.settle(frame.start.time, out);
        }
        let (start, end) = (frame.start, frame.end.time);
        if detail.silent {
            Pending::new(start, detail).tell(end, Outcome::Complete, out);
        } else if self.requests_lost.is_some() {
            self.losses.unpaired_requests += 1;
            Pending::new(start, detail).tell(end, Outcome::ResponseLost, out);
        } else if self.uncounted > 0 || self.pending.push(Pending::new(start, detail)).is_err() {
            self.uncounted += 1;
            self.losses.over_limit += 1;
        }
        if let Some((response, first, last)) = self.early.take() {
            self.answer(response, first, last, out);
        }
        true
    }

    fn text(&self, line: &[u8]) -> Option<MemcachedDetail> {
        let request = text::request(line)?;
        let answer = request.command.answer;
        Some(MemcachedDetail {
            operation: request.command.name,
            expect: Expect::Text { answer, mark: request.mark },
            arguments: request.arguments,
            statements: self.statements,
            keys: request.keys,
            hits: (answer == Answer::Values).then_some(0),
            quiet: request.quiet,
            silent: request.no_reply || answer == Answer::Goodbye,
            result: None,
            error: None,
        })
    }

    fn binary(&self, bytes: &[u8]) -> Option<MemcachedDetail> {
        let header = Header::read(bytes)?;
        let operation = binary::operation(header.code)?;
        Some(MemcachedDetail {
            operation: operation.name,
            expect: Expect::Binary { code: header.code, opaque: header.opaque },
            arguments: 0,
            statements: self.statements,
            keys: u32::from(operation.reads),
            hits: None,
            quiet: operation.quiet,
            silent: binary::QUIT.contains(&header.code),
            result: None,
            error: None,
        })
    }

    /// A client began to speak at `start`: whatever was in doubt is over.
    fn settle(&mut self, start: u64, out: &mut Vec<Exchange>) {
        if self.responses_lost.is_some_and(|since| since <= start) {
            self.responses_lost = None;
            self.losses.unpaired_requests += std::mem::take(&mut self.uncounted);
            self.losses.unpaired_requests += self.pending.tell_all(start, Outcome::ResponseLost, out);
            self.requests_lost = self.requests_lost.filter(|&since| since > start);
        }
        let nobody_waits = self.pending.is_empty() && self.uncounted == 0;
        if nobody_waits && self.requests_lost.is_some_and(|since| since <= start) {
            self.requests_lost = None;
        }
    }

    /// A line (and its data), or a binary message; false if its frame holds none.
    fn response(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) -> bool {
        let bytes = frame.bytes();
        let response = match bytes.first() {
            Some(&binary::RESPONSE) => Header::read(bytes).map(Response::Binary),
            Some(_) => text::reply(bytes).map(|(reply, marks)| Response::Text(reply, marks)),
            None => None,
        };
        let Some(response) = response else { return false };
        self.answer(response, frame.start.time, frame.end.time, out);
        true
    }

    /// A response that began and ended at these times.
    fn answer(&mut self, response: Response, first: u64, last: u64, out: &mut Vec<Exchange>) {
        if self.responses_lost.is_some() {
            self.losses.unpaired_responses += u64::from(response.is_last());
            return;
        }
        self.pass_quiet(&response, last, out);
        let Some(front) = self.pending.front_mut() else {
            let begun = self.requests.under_way().is_some_and(|(begun, _)| begun.time <= first);
            let known = self.requests_lost.is_none() && self.uncounted == 0;
            if begun && known && self.early.is_none() && response.is_last() {
                self.early = Some((response, first, last));
                return;
            }
            if response.is_last() {
                let counted = self.uncounted > 0;
                self.uncounted -= u64::from(counted);
                self.losses.unpaired_responses += u64::from(!counted);
            }
            return;
        };
        front.first_byte.get_or_insert(first);
        let fits = response.fits(&front.detail.expect);
        let over = fits && response.apply(&mut front.detail);
        if !fits || over {
            let Some(done) = self.pending.pop() else { return };
            let feed = matches!(done.detail.expect, Expect::Text { answer: Answer::Feed, .. });
            if fits {
                self.over |= feed && done.detail.error.is_none();
                done.tell(last, Outcome::Complete, out);
            } else {
                self.losses.resynchronised += 1;
                self.losses.unpaired_requests += 1;
                self.losses.unpaired_responses += 1;
                self.responses_lost = Some(last);
                done.tell(last, Outcome::ResponseLost, out);
            }
        }
    }

    /// The next response is to one `get` of one key.
    fn asks_for_one(&self) -> bool {
        self.responses_lost.is_none()
            && self.pending.front().is_some_and(|front| {
                let detail = &front.detail;
                detail.keys == 1 && matches!(detail.expect, Expect::Text { answer: Answer::Values, .. })
            })
    }

    /// Quiet commands before the one that this answers had nothing to say.
    fn pass_quiet(&mut self, response: &Response, last: u64, out: &mut Vec<Exchange>) {
        while let Some(front) = self.pending.front()
            && front.detail.quiet
            && !response.is_of(&front.detail.expect)
        {
            let Some(mut done) = self.pending.pop() else { return };
            done.first_byte = None;
            if done.detail.keys > 0 && done.detail.is_marked() {
                done.detail.hits = Some(0);
            }
            done.tell(last, Outcome::Complete, out);
        }
    }
}

impl MemcachedDetail {
    /// Its response could not be another's.
    fn is_marked(&self) -> bool {
        matches!(self.expect, Expect::Binary { .. } | Expect::Text { mark: Some(_), .. })
    }
}

#[derive(Debug)]
enum Response {
    Text(Reply, [Option<Mark>; 2]),
    Binary(Header),
}

impl Response {
    /// Nothing more follows of what it belongs to, as far as it says itself.
    fn is_last(&self) -> bool {
        match self {
            Response::Text(reply, _) => !matches!(reply, Reply::Value(_) | Reply::Part),
            Response::Binary(header) => header.code != binary::STAT || header.key == 0,
        }
    }

    /// Could it answer such a command?
    fn fits(&self, expect: &Expect) -> bool {
        match (self, expect) {
            (Response::Text(reply, _), Expect::Text { answer, .. }) => text::fits(*answer, *reply),
            (Response::Binary(header), Expect::Binary { code, opaque }) => {
                header.code == *code && header.opaque == *opaque
            }
            _ => false,
        }
    }

    /// Is it this quiet command's?
    fn is_of(&self, expect: &Expect) -> bool {
        if !self.fits(expect) {
            return false;
        }
        match (self, expect) {
            (Response::Text(reply, marks), Expect::Text { mark: Some(mark), .. }) => {
                // Errors repeat nothing.
                matches!(reply, Reply::Error(_)) || marks.contains(&Some(*mark))
            }
            _ => true,
        }
    }

    /// Notes what it says; true if nothing more will come.
    fn apply(&self, detail: &mut MemcachedDetail) -> bool {
        // A response that may be another quiet command's says nothing certain.
        let certain = !detail.quiet || detail.is_marked();
        match *self {
            Response::Binary(header) => {
                let (word, wrong) = binary::error(header.status).unwrap_or(("OK", false));
                match wrong {
                    true => detail.error = Some(word),
                    false => detail.result = Some(word).filter(|_| word != "OK"),
                }
                if detail.keys > 0 && !wrong {
                    detail.hits = Some(u32::from(header.status == 0));
                }
                header.code != binary::STAT || header.key == 0 || header.status != 0
            }
            Response::Text(reply, _) => match (reply, detail.expect) {
                (Reply::Value(_), _) => {
                    detail.hits = detail.hits.map(|hits| hits.saturating_add(1));
                    // Of one key, the end was part of it.
                    detail.keys == 1
                }
                (Reply::Part, Expect::Text { answer: Answer::Lines, .. }) => false,
                (Reply::MetaValue(_), _) => {
                    detail.hits = Some(1).filter(|_| certain && detail.keys > 0);
                    true
                }
                (Reply::Word(word), _) => {
                    detail.result = Some(word).filter(|_| certain);
                    if detail.keys > 0 && certain {
                        detail.hits = Some(u32::from(word == "HD"));
                    }
                    true
                }
                (Reply::Error(word), _) => {
                    detail.error = Some(word);
                    detail.hits = None;
                    true
                }
                _ => true,
            },
        }
    }
}

impl Parser for MemcachedParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let mut input = Input::new(chunk);
        while !self.over {
            let next = match stream {
                Stream::ToServer => self.requests.next(&mut input, &Requests),
                Stream::ToClient => {
                    let one = self.asks_for_one();
                    self.responses.next(&mut input, &Responses { one })
                }
            };
            let Some(next) = next else { break };
            let read = match next {
                Next::Lost => false,
                Next::Frame(frame) => {
                    let read = match stream {
                        Stream::ToServer => self.request(&frame, out),
                        Stream::ToClient => self.response(&frame, out),
                    };
                    let frames =
                        if stream == Stream::ToServer { &mut self.requests } else { &mut self.responses };
                    frames.recycle(frame);
                    if !read {
                        frames.give_up(&mut input);
                    }
                    read
                }
            };
            if !read {
                match stream {
                    Stream::ToServer => {
                        self.requests_lost = Some(chunk.at.time);
                        self.losses.unpaired_responses += u64::from(self.early.take().is_some());
                    }
                    Stream::ToClient => self.responses_lost = Some(chunk.at.time),
                }
            }
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        if self.over {
            return;
        }
        if let (Some((begun, _)), None, Some(front)) =
            (self.responses.under_way(), self.responses_lost, self.pending.front_mut())
        {
            front.first_byte.get_or_insert(begun.time);
        }
        let outcome = if self.responses_lost.is_some() { Outcome::ResponseLost } else { Outcome::of(cause) };
        while let Some(pending) = self.pending.pop() {
            // A quiet command needs no answer, but it is not known that it had none.
            let outcome = if pending.detail.quiet { Outcome::Complete } else { outcome };
            self.losses.unpaired_requests += u64::from(outcome == Outcome::ResponseLost);
            pending.tell(at.time, outcome, out);
        }
    }

    fn tick(&mut self, _: u64, _: &mut Vec<Exchange>) {}

    fn waiting(&self) -> bool {
        false
    }

    fn interest(&self) -> Interest {
        match self.over {
            true => Interest::Nothing,
            false => {
                Interest::Frames { quiet_until: [self.requests.quiet_until(), self.responses.quiet_until()] }
            }
        }
    }

    fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.losses);
        losses.add(self.requests.take_losses());
        losses.add(self.responses.take_losses());
        losses
    }
}
