//! Replies and pushes, out of the elements of the stream to the client.

use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::{Losses, Moment};

use super::resp::{Count, Header, Nest, Replies as Framing, Step, header};

/// Bytes of a reply's first string that are read: it may be the kind of a push.
const WORD: usize = 16;
/// A push of which the kind matters has no more elements.
const MOST_WORDS: u64 = 4;

/// What the first string of an array or push says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `message`, `pmessage`, `smessage`: somebody published.
    Message,
    /// `subscribe`, `psubscribe`.
    Subscribed(Subscription),
    /// `unsubscribe`, `punsubscribe`.
    Unsubscribed(Subscription),
    /// `REPLCONF`: no reply at all, but a replica's word to its master.
    Replica,
}

/// What one subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscription {
    Channel,
    Pattern,
    Shard,
}

impl Word {
    fn read(word: &[u8]) -> Option<Self> {
        use Subscription::{Channel, Pattern, Shard};
        Some(match word {
            b"message" | b"pmessage" | b"smessage" => Word::Message,
            b"subscribe" => Word::Subscribed(Channel),
            b"psubscribe" => Word::Subscribed(Pattern),
            b"ssubscribe" => Word::Subscribed(Shard),
            b"unsubscribe" => Word::Unsubscribed(Channel),
            b"punsubscribe" => Word::Unsubscribed(Pattern),
            b"sunsubscribe" => Word::Unsubscribed(Shard),
            b"REPLCONF" => Word::Replica,
            _ => return None,
        })
    }
}

/// A reply, or a push.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    /// Its first byte.
    pub start: Moment,
    /// Its last byte.
    pub end: Moment,
    /// Bytes of it.
    pub length: u64,
    /// The type of its first element; `>` for a push.
    pub kind: u8,
    /// It is null.
    pub null: bool,
    /// Elements, of an aggregate that says how many.
    pub count: Option<u64>,
    /// The kind of push that it may be.
    pub word: Option<Word>,
    /// The number in its third element.
    pub third: Option<u64>,
    /// `+QUEUED`
    pub queued: bool,
    /// The first word of an error that it is; empty if that is not in upper case.
    pub error: Option<Box<str>>,
    /// Errors right inside of it; the first's word.
    pub inner_error: Option<Box<str>>,
    /// `-ERR unknown command` or `unknown subcommand`: what was asked for is nobody's command.
    pub unknown_command: bool,
}

/// What comes next in the stream.
#[derive(Debug)]
pub(super) enum Event {
    Reply(Reply),
    /// The place was lost: any number of replies, or parts of some, are not known.
    Lost,
}

/// The stream to the client.
#[derive(Debug)]
pub(super) struct Replies {
    frames: Frames,
    nest: Nest,
    reply: Reply,
    /// Elements so far right inside of the reply.
    index: u64,
    /// A reply has begun.
    open: bool,
}

impl Replies {
    pub fn new(midstream: bool) -> Self {
        Self {
            frames: Frames::new(midstream),
            nest: Nest::default(),
            reply: Reply::default(),
            index: 0,
            open: false,
        }
    }

    /// The next reply that ends in `input`; `sync` says that one to a SYNC is expected.
    pub fn next(&mut self, input: &mut Input<'_>, sync: bool) -> Option<Event> {
        loop {
            let data = if self.is_at_word() { WORD } else { 0 };
            match self.frames.next(input, &Framing { data, sync })? {
                Next::Lost => {
                    self.nest.clear();
                    self.open = false;
                    return Some(Event::Lost);
                }
                Next::Frame(frame) => {
                    let step = self.take(&frame, sync);
                    self.frames.recycle(frame);
                    match step {
                        Step::Inside => {}
                        Step::Ended => {
                            self.open = false;
                            return Some(Event::Reply(std::mem::take(&mut self.reply)));
                        }
                        Step::Wrong => {
                            self.frames.give_up(input);
                            self.nest.clear();
                            self.open = false;
                            return Some(Event::Lost);
                        }
                    }
                }
            }
        }
    }

    /// The next element is the first right inside of a short array or a push.
    fn is_at_word(&self) -> bool {
        self.nest.depth() == 1
            && self.index == 0
            && matches!(self.reply.kind, b'*' | b'>')
            && self.reply.count.is_some_and(|count| count <= MOST_WORDS)
    }

    fn take(&mut self, frame: &Frame<'_>, sync: bool) -> Step {
        let bytes = frame.bytes();
        if bytes.is_empty() || sync && bytes[0] == b'\n' {
            return Step::Inside;
        }
        match self.nest.depth() {
            0 => self.begin(frame),
            1 if !self.nest.in_attribute() => {
                self.inner(bytes);
                self.index += 1;
            }
            _ => {}
        }
        self.reply.length += frame.length;
        self.reply.end = frame.end;
        self.nest.step(bytes)
    }

    fn begin(&mut self, frame: &Frame<'_>) {
        let bytes = frame.bytes();
        self.open = true;
        self.index = 0;
        self.reply = Reply { start: frame.start, kind: bytes[0], ..Reply::default() };
        let reply = &mut self.reply;
        match bytes[0] {
            b'+' => reply.queued = bytes == b"+QUEUED\r\n",
            b'-' => {
                reply.error = Some(prefix(&bytes[1..]));
                reply.unknown_command = is_unknown_command(&bytes[1..]);
            }
            b'!' => reply.error = Some(prefix(data(bytes))),
            b'_' => reply.null = true,
            b'$' | b'*' | b'~' | b'>' | b'%' => match header(bytes) {
                Header::Line(Count::Null, _) => reply.null = true,
                Header::Line(Count::Of(count), _) => reply.count = Some(count),
                _ => {}
            },
            _ => {}
        }
    }

    /// An element right inside of the reply.
    fn inner(&mut self, bytes: &[u8]) {
        let reply = &mut self.reply;
        match bytes[0] {
            b'-' if reply.inner_error.is_none() => reply.inner_error = Some(prefix(&bytes[1..])),
            b'!' if reply.inner_error.is_none() => reply.inner_error = Some(prefix(data(bytes))),
            b'$' if self.index == 0 => reply.word = Word::read(data(bytes)),
            b':' if self.index == 2 => {
                reply.third = std::str::from_utf8(&bytes[1..]).ok().and_then(|text| text.trim().parse().ok());
            }
            _ => {}
        }
    }

    /// When the reply that is under way began.
    pub fn under_way(&self) -> Option<Moment> {
        match self.open {
            true => Some(self.reply.start),
            false => self.frames.under_way().map(|(at, _)| at),
        }
    }

    pub fn quiet_until(&self) -> u64 {
        self.frames.quiet_until()
    }

    pub fn take_losses(&mut self) -> Losses {
        self.frames.take_losses()
    }
}

/// What was read of a string's data; nothing if not all was wanted.
fn data(bytes: &[u8]) -> &[u8] {
    match header(bytes) {
        Header::Line(Count::Of(length), header) => {
            let data = bytes.get(header..).unwrap_or_default();
            &data[..data.len().min(length as usize)]
        }
        _ => &[],
    }
}

/// The first word of an error, if it is an error's name: upper case, as all of Redis' are.
fn prefix(error: &[u8]) -> Box<str> {
    const MOST: usize = 32;
    let end = error.iter().position(u8::is_ascii_whitespace).unwrap_or(error.len());
    let word = &error[..end];
    let named = word.len() <= MOST
        && word.first().is_some_and(u8::is_ascii_uppercase)
        && word.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    std::str::from_utf8(word).ok().filter(|_| named).unwrap_or_default().into()
}

fn is_unknown_command(error: &[u8]) -> bool {
    let starts = |text: &[u8]| error.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    starts(b"ERR unknown command") || starts(b"ERR unknown subcommand")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(&*prefix(b"WRONGTYPE Operation against\r\n"), "WRONGTYPE");
        assert_eq!(&*prefix(b"MOVED 3999 127.0.0.1:6381\r\n"), "MOVED");
        assert_eq!(&*prefix(b"custom failure\r\n"), "");
        assert_eq!(&*prefix(b"\r\n"), "");
        assert!(is_unknown_command(b"ERR unknown command 'x'") && !is_unknown_command(b"ERR wrong"));
        assert!(is_unknown_command(b"ERR Unknown subcommand or wrong number of arguments for 'x'"));
    }
}
