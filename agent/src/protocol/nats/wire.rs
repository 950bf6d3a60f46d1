//! Lines of the protocol, and the payloads behind some of them.

use crate::protocol::frames::{Framing, Measure};
use crate::protocol::{Stream, TraceParent, context, text};

use super::{infer, subject};

/// A control line is no longer (nats-server: 4096), but for INFO and CONNECT.
const MOST_LINE: usize = 4096;
/// Payloads are no longer (nats-server: 64 MiB).
const MOST_PAYLOAD: u64 = 64 << 20;
/// Bytes of headers that are read.
const MOST_HEADERS: usize = 4096;
/// Bytes of a payload that are read, if it is an acknowledgement.
const ACK: usize = 8;
/// Bytes of a message's id that are kept.
const MOST_ID: usize = 64;

/// A control line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Info,
    Connect {
        /// Each command is answered.
        verbose: bool,
    },
    /// PUB, HPUB; MSG, HMSG.
    Message(Message<'a>),
    Subscribe {
        subject: &'a [u8],
        queue: Option<&'a [u8]>,
        sid: &'a [u8],
    },
    Unsubscribe {
        sid: &'a [u8],
        /// Only after so many messages.
        after: bool,
    },
    Ping,
    Pong,
    Ok,
    Error(&'a [u8]),
}

/// The line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub subject: &'a [u8],
    /// The subscription that it comes by.
    pub sid: Option<&'a [u8]>,
    pub reply: Option<&'a [u8]>,
    /// Bytes of headers.
    pub headers: u64,
    /// Bytes of headers and payload.
    pub total: u64,
}

fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 9 {
        return None;
    }
    word.iter().try_fold(0, |n, byte| byte.is_ascii_digit().then(|| n * 10 + u64::from(byte - b'0')))
}

fn is_subject(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80)
}

/// Reads a control line, with its end.
pub(super) fn line(line: &[u8], stream: Stream) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (verb, rest) = line.split_at(end);
    let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
    let mut words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    if is(b"PING") || is(b"PONG") {
        return Some(if is(b"PING") { Line::Ping } else { Line::Pong });
    }
    match stream {
        Stream::ToServer if is(b"PUB") || is(b"HPUB") => {
            let all = [
                words.next()?,
                words.next()?,
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            ];
            message(is(b"HPUB"), all[0], None, &all[1..])
        }
        Stream::ToClient if is(b"MSG") || is(b"HMSG") => {
            let (subject, sid) = (words.next()?, words.next()?);
            let all = [words.next()?, words.next().unwrap_or_default(), words.next().unwrap_or_default()];
            message(is(b"HMSG"), subject, Some(sid), &all)
        }
        Stream::ToServer if is(b"SUB") => {
            let (subject, second, third) = (words.next()?, words.next()?, words.next());
            let (queue, sid) = third.map_or((None, second), |sid| (Some(second), sid));
            (is_subject(subject) && words.next().is_none()).then_some(Line::Subscribe { subject, queue, sid })
        }
        Stream::ToServer if is(b"UNSUB") => {
            Some(Line::Unsubscribe { sid: words.next()?, after: words.next().is_some() })
        }
        Stream::ToServer if is(b"CONNECT") => {
            let rest = rest.trim_ascii_start();
            let verbose = memchr::memmem::find(rest, b"\"verbose\"").is_some_and(|at| {
                let value = rest[at + 9..].trim_ascii_start();
                value.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"true"))
            });
            rest.starts_with(b"{").then_some(Line::Connect { verbose })
        }
        Stream::ToClient if is(b"INFO") => rest.trim_ascii_start().starts_with(b"{").then_some(Line::Info),
        Stream::ToClient if is(b"+OK") => Some(Line::Ok),
        Stream::ToClient if is(b"-ERR") => Some(Line::Error(rest.trim_ascii())),
        _ => None,
    }
}

/// What stands behind the subject: perhaps where to reply, then one length or, with headers, two.
fn message<'a>(
    headers: bool,
    subject: &'a [u8],
    sid: Option<&'a [u8]>,
    rest: &[&'a [u8]],
) -> Option<Line<'a>> {
    let count = rest.iter().take_while(|word| !word.is_empty()).count();
    let lengths = if headers { 2 } else { 1 };
    if count < lengths || count > lengths + 1 {
        return None;
    }
    let reply = (count > lengths).then(|| rest[0]);
    let total = number(rest[count - 1])?;
    let headers = if headers { number(rest[count - 2])? } else { 0 };
    let right = total <= MOST_PAYLOAD && headers <= total && is_subject(subject);
    right.then_some(Line::Message(Message { subject, sid, reply, headers, total }))
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines(pub Stream);

impl Framing for Lines {
    fn measure(&self, bytes: &[u8]) -> Measure {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            let long = may_be(bytes, &[b"INFO", b"CONNECT"]);
            let plausible = infer::may_begin(bytes, self.0) && (long || bytes.len() < MOST_LINE);
            return if plausible { Measure::More } else { Measure::Foreign };
        };
        let length = end + 1;
        match line(&bytes[..length], self.0) {
            None => Measure::Foreign,
            Some(Line::Message(message)) => {
                let headers = message.headers.min(MOST_HEADERS as u64) as usize;
                let ack = if subject::is_ack(message.subject) && headers == 0 { ACK } else { 0 };
                Measure::Message { length: length as u64 + message.total + 2, wanted: length + headers + ack }
            }
            Some(_) => Measure::Message { length: length as u64, wanted: length },
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        infer::may_follow(bytes, self.0, turn)
    }
}

/// The bytes begin with one of the verbs, or one begins with them.
pub(super) fn may_be(bytes: &[u8], verbs: &[&[u8]]) -> bool {
    verbs.iter().any(|verb| {
        let length = verb.len().min(bytes.len());
        bytes[..length].eq_ignore_ascii_case(&verb[..length])
    })
}

/// What headers say.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    /// In the first line: 503 if nobody answers, 404 and others of `JetStream`.
    pub status: Option<u16>,
    pub parent: Option<TraceParent>,
    /// `Nats-Msg-Id`
    pub id: Option<Box<str>>,
}

/// Reads headers; nothing if they do not look so.
pub(super) fn headers(bytes: &[u8]) -> Headers {
    let mut lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let Some(first) = lines.next().and_then(|line| line.strip_prefix(b"NATS/1.0")) else {
        return Headers::default();
    };
    let status = first.trim_ascii_start();
    let status = status.get(..3).filter(|_| status.len() == 3 || status[3] == b' ').and_then(number);
    let mut found =
        Headers { status: status.and_then(|status| u16::try_from(status).ok()), ..Headers::default() };
    let (mut parent, mut state) = (None, None);
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"traceparent") {
            parent = Some(value);
        } else if name.eq_ignore_ascii_case(b"tracestate") {
            state = Some(value);
        } else if name.eq_ignore_ascii_case(b"Nats-Msg-Id") {
            found.id = Some(text::bounded(value, MOST_ID));
        }
    }
    found.parent = parent.and_then(|parent| context::parent(parent, state));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let server = |text: &'static str| line(text.as_bytes(), Stream::ToServer);
        let message = |subject, sid, reply, headers, total| {
            Some(Line::Message(Message { subject, sid, reply, headers, total }))
        };
        assert_eq!(server("PUB a 5\r\n"), message(b"a", None, None, 0, 5));
        assert_eq!(server("pub a  r\t5\n"), message(b"a", None, Some(b"r"), 0, 5));
        assert_eq!(server("HPUB a 12 17\r\n"), message(b"a", None, None, 12, 17));
        assert_eq!(server("HPUB a r 12 17\r\n"), message(b"a", None, Some(b"r"), 12, 17));
        assert_eq!(
            server("SUB a q 1\r\n"),
            Some(Line::Subscribe { subject: b"a", queue: Some(b"q"), sid: b"1" })
        );
        assert_eq!(server("CONNECT {\"verbose\": true}\r\n"), Some(Line::Connect { verbose: true }));
        assert_eq!(server("CONNECT {\"verbose\":false}\r\n"), Some(Line::Connect { verbose: false }));
        let client = |text: &'static str| line(text.as_bytes(), Stream::ToClient);
        assert_eq!(client("MSG a 1 5\r\n"), message(b"a", Some(b"1"), None, 0, 5));
        assert_eq!(client("MSG a 1 r 5\r\n"), message(b"a", Some(b"1"), Some(b"r"), 0, 5));
        assert_eq!(client("HMSG a 1 r 12 17\r\n"), message(b"a", Some(b"1"), Some(b"r"), 12, 17));
        assert_eq!(client("-ERR 'Stale Connection'\r\n"), Some(Line::Error(b"'Stale Connection'")));
        for wrong in [
            "PUB a\r\n",
            "PUB a b c 5\r\n",
            "PUB a x\r\n",
            "HPUB a 18 17\r\n",
            "MSG a 1 5\r\n",
            "+OK\r\n",
            "\r\n",
        ] {
            assert_eq!(server(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn header_fields() {
        let text = b"NATS/1.0\r\nFoo: bar\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nNats-Msg-Id: 7\r\n\r\n";
        let found = headers(text);
        assert_eq!((found.status, found.parent.is_some(), found.id.as_deref()), (None, true, Some("7")));
        assert_eq!(headers(b"NATS/1.0 503\r\n\r\n").status, Some(503));
        assert_eq!(headers(b"NATS/1.0 404 No Messages\r\n\r\n").status, Some(404));
        assert_eq!(headers(b"NATS/1.0 4\r\n\r\n").status, None);
        assert_eq!(headers(b"HTTP/1.0 503\r\n\r\n").status, None);
    }
}
