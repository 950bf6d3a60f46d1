//! A connection: two streams of records, and the requests on it.

use std::sync::Arc;

use super::detail::FastCgiDetail;
use super::head;
use super::params::{self, Variables};
use super::record::{HEAD, Head, Kind, Records};
use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::http::{HttpDetail, Shared};
use crate::protocol::text::bounded;
use crate::protocol::{Chunk, End, Exchange, Interest, Losses, Moment, Outcome, Parser, Stream};

/// Requests on one connection at once; applications in use take one.
const MAX_REQUESTS: usize = 64;
/// Bytes of variables that are kept until all have come.
const MAX_PARAMS: usize = 32 * 1024;
/// Largest buffer that is kept for the next request.
const MAX_SPARE: usize = 8 * 1024;
/// Bytes kept of a script's name.
const MAX_SCRIPT: usize = 512;

/// A request in flight.
#[derive(Debug)]
struct Request {
    id: u16,
    start: Moment,
    first_byte: Option<u64>,
    /// Variables that did not come in one piece, or `STDOUT` before the end of its head.
    kept: Vec<u8>,
    params: Params,
    response: Response,
    detail: Box<FastCgiDetail>,
    stdin: u64,
    stdout: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Params {
    Coming,
    /// Some are missing.
    Cut,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    Head,
    /// Its head was not seen.
    Unknown,
    Body,
}

/// A connection.
#[derive(Debug)]
pub(super) struct FastCgiParser {
    shared: Arc<Shared>,
    streams: [Frames; 2],
    requests: Vec<Request>,
    /// A buffer for the next request.
    spare: Vec<u8>,
    losses: Losses,
    ended: bool,
}

fn side(stream: Stream) -> usize {
    usize::from(stream == Stream::ToClient)
}

impl FastCgiParser {
    pub fn new(shared: Arc<Shared>, midstream: bool) -> Self {
        Self {
            shared,
            streams: [Frames::new(midstream), Frames::new(midstream)],
            requests: Vec::new(),
            spare: Vec::new(),
            losses: Losses::default(),
            ended: false,
        }
    }

    fn record(&mut self, frame: &Frame<'_>, out: &mut Vec<Exchange>) -> bool {
        let bytes = frame.bytes();
        let Some(head) = bytes.first_chunk::<HEAD>().and_then(Head::read) else { return frame.cut };
        let content = &bytes[HEAD..];
        if !head.is_good(content) {
            return false;
        }
        let index = self.requests.iter().position(|request| request.id == head.id);
        match (head.kind, index) {
            (Kind::Begin, _) => self.begin(head.id, index, frame, out),
            (Kind::End, Some(index)) => self.complete(index, content, frame, out),
            (Kind::End, None) => self.losses.unpaired_responses += 1,
            (_, Some(index)) => {
                let request = &mut self.requests[index];
                match head.kind {
                    Kind::Abort => request.detail.aborted = true,
                    Kind::Params => request.params(&head, content, &self.shared),
                    Kind::Stdin => request.stdin += u64::from(head.content),
                    Kind::Stdout => request.stdout(&head, content, frame.start.time),
                    Kind::Stderr => request.detail.errors += u64::from(head.content),
                    _ => {}
                }
            }
            _ => {}
        }
        true
    }

    fn begin(&mut self, id: u16, known: Option<usize>, frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        if let Some(index) = known {
            let older = self.requests.remove(index);
            self.losses.unpaired_requests += 1;
            older.tell(frame.end.time, Outcome::ResponseLost, &self.shared, out);
        }
        if self.requests.len() >= MAX_REQUESTS {
            self.losses.over_limit += 1;
            return;
        }
        self.requests.push(Request {
            id,
            start: frame.start,
            first_byte: None,
            kept: std::mem::take(&mut self.spare),
            params: Params::Coming,
            response: Response::Head,
            detail: Box::new(FastCgiDetail {
                http: None,
                script: None,
                errors: 0,
                application: 0,
                protocol: 0,
                aborted: false,
            }),
            stdin: 0,
            stdout: 0,
        });
    }

    fn complete(&mut self, index: usize, content: &[u8], frame: &Frame<'_>, out: &mut Vec<Exchange>) {
        let mut request = self.requests.remove(index);
        let &[a, b, c, d, protocol, ..] = content else {
            self.losses.unpaired_requests += 1;
            return request.tell(frame.end.time, Outcome::ResponseLost, &self.shared, out);
        };
        request.detail.application = u32::from_be_bytes([a, b, c, d]);
        request.detail.protocol = protocol;
        request.first_byte.get_or_insert(frame.start.time);
        if request.params == Params::Done && request.kept.capacity() <= MAX_SPARE {
            self.spare = std::mem::take(&mut request.kept);
            self.spare.clear();
        }
        let lost = request.response == Response::Unknown;
        self.losses.unpaired_requests += u64::from(lost);
        let outcome = if lost { Outcome::ResponseLost } else { Outcome::Complete };
        request.tell(frame.end.time, outcome, &self.shared, out);
    }

    /// Records of a stream were lost.
    fn lost(&mut self, stream: Stream, end: u64, out: &mut Vec<Exchange>) {
        match stream {
            Stream::ToServer => {
                for request in &mut self.requests {
                    if request.params == Params::Coming {
                        request.params = Params::Cut;
                    }
                }
            }
            // The end of a request may be among them, and its id be used again.
            Stream::ToClient => {
                self.losses.unpaired_requests += self.requests.len() as u64;
                for request in self.requests.drain(..) {
                    request.tell(end, Outcome::ResponseLost, &self.shared, out);
                }
            }
        }
    }
}

impl Request {
    fn params(&mut self, head: &Head, content: &[u8], shared: &Arc<Shared>) {
        if self.params == Params::Done {
            return;
        }
        if head.content == 0 {
            let mut kept = std::mem::take(&mut self.kept);
            self.read_params(&kept, shared);
            kept.clear();
            self.kept = kept;
            return;
        }
        if self.params == Params::Cut {
            return;
        }
        // What is missing in one record makes nonsense of the next.
        let here = content.len().min(MAX_PARAMS - self.kept.len().min(MAX_PARAMS));
        self.kept.extend_from_slice(&content[..here]);
        if here < usize::from(head.content) {
            self.params = Params::Cut;
        }
    }

    /// All variables that will come are here.
    fn read_params(&mut self, bytes: &[u8], shared: &Arc<Shared>) {
        let mut variables = Variables::default();
        let read = params::read(bytes, |name, value| variables.take(name, value));
        let cut = self.params == Params::Cut || read < bytes.len();
        self.params = Params::Done;
        if read == 0 {
            return;
        }
        let mut target = Vec::new();
        let mut http = HttpDetail::new(shared, &variables.request(&mut target, cut));
        http.request_body = variables.length;
        self.detail.http = Some(http);
        self.detail.script =
            Some(bounded(variables.script_file, MAX_SCRIPT)).filter(|script| !script.is_empty());
    }

    fn stdout(&mut self, head: &Head, content: &[u8], time: u64) {
        self.first_byte.get_or_insert(time);
        self.stdout += u64::from(head.content);
        if self.response != Response::Head || head.content == 0 {
            return;
        }
        // The variables are not needed any more in one piece when the application answers.
        let read = if self.params == Params::Done && !self.kept.is_empty() {
            self.kept.extend_from_slice(content);
            head::read(&self.kept)
        } else {
            head::read(content)
        };
        match read {
            Some(response) => {
                self.kept.clear();
                self.response = Response::Body;
                if let Some(http) = &mut self.detail.http {
                    http.status = Some(response.status);
                }
                self.stdout = self.stdout.saturating_sub(response.length as u64);
            }
            None if content.len() < head.content.into()
                || self.kept.len() + content.len() > head::MAX_HEAD
                || self.params != Params::Done =>
            {
                self.response = Response::Unknown;
            }
            None if self.kept.is_empty() => self.kept.extend_from_slice(content),
            None => {}
        }
    }

    fn tell(mut self, end: u64, outcome: Outcome, shared: &Arc<Shared>, out: &mut Vec<Exchange>) {
        if self.params != Params::Done {
            let kept = std::mem::take(&mut self.kept);
            self.params = Params::Cut;
            self.read_params(&kept, shared);
        }
        if let Some(http) = &mut self.detail.http {
            http.request_body = http.request_body.or((self.stdin > 0).then_some(self.stdin));
            http.response_body = (self.response == Response::Body).then_some(self.stdout);
        }
        let start = self.start.time;
        let first_byte = self.first_byte.map(|time| time.max(start));
        let end = end.max(first_byte.unwrap_or(start));
        out.push(Exchange { start: self.start, first_byte, end, outcome, detail: self.detail });
    }
}

impl Parser for FastCgiParser {
    fn chunk(&mut self, stream: Stream, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.ended {
            return;
        }
        let mut input = Input::new(chunk);
        loop {
            let requests = &self.requests;
            let heads = |id| {
                let waits = |request: &Request| request.id == id && request.response == Response::Head;
                requests.iter().any(waits)
            };
            match self.streams[side(stream)].next(&mut input, &Records { stream, heads }) {
                None => break,
                Some(Next::Frame(frame)) => {
                    if !self.record(&frame, out) {
                        self.streams[side(stream)].give_up(&mut input);
                        self.lost(stream, chunk.at.time, out);
                    }
                    self.streams[side(stream)].recycle(frame);
                }
                Some(Next::Lost) => self.lost(stream, chunk.at.time, out),
            }
        }
    }

    fn stream_end(&mut self, _: Stream, _: Moment, _: &mut Vec<Exchange>) {}

    fn end(&mut self, at: Moment, cause: End, out: &mut Vec<Exchange>) {
        self.ended = true;
        for request in self.requests.drain(..) {
            request.tell(at.time, Outcome::of(cause), &self.shared, out);
        }
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
