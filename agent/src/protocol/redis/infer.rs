//! Does a run look like RESP?
//!
//! A command as an array of bulk strings, with a name that exists and as many words as that can have, is nothing else;
//! so are a message pushed to a subscriber and an invalidation. Other replies are lines that other protocols have too
//! (`+OK` is a mail server's), and so are inline commands: both are only likely. Everything in the prefix has to fit.

use crate::protocol::frames::{Framing, Measure};
use crate::protocol::{Inference, Run, Stream};

use super::commands::Command;
use super::request::{is_name, words};
use super::resp::{Count, Header, Nest, Replies, Step, header};

/// Words that a command may have to be believed; pipes of millions of keys are not where one begins.
const MOST_WORDS: u64 = 1 << 20;
/// A string is no longer (Redis' default limit, `proto-max-bulk-len`).
const MOST_STRING: u64 = 512 << 20;
/// Inline commands that people and health checks type. Neither mail nor memcached's has one that is answered in RESP.
const INLINE: [&str; 12] =
    ["PING", "INFO", "GET", "SET", "INCR", "DECR", "DEL", "EXISTS", "ECHO", "DBSIZE", "TTL", "KEYS"];
/// What begins a push, after the count.
const PUSHES: [(&[u8], &[u8]); 6] = [
    (b"*3\r\n", b"$7\r\nmessage\r\n$"),
    (b"*4\r\n", b"$8\r\npmessage\r\n$"),
    (b">3\r\n", b"$7\r\nmessage\r\n$"),
    (b">4\r\n", b"$8\r\npmessage\r\n$"),
    (b">3\r\n", b"$8\r\nsmessage\r\n$"),
    (b">2\r\n", b"$10\r\ninvalidate\r\n"),
];

/// What a prefix looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Wrong,
    /// Nothing speaks against it.
    Open,
    Likely,
    Sure,
}

pub(super) fn infer(run: &Run<'_>) -> Inference {
    let bytes = run.bytes;
    match bytes[0] {
        b'*' => {
            let pushed = pushed(bytes);
            match (commands(bytes), pushed, replies(bytes)) {
                (Look::Sure, ..) => Inference::Yes(Stream::ToServer),
                (_, Look::Sure, _) => Inference::Yes(Stream::ToClient),
                // Too early to say which of the two.
                (Look::Open, _, Look::Open) | (_, Look::Open, Look::Likely) => Inference::Maybe,
                // A name that is not known: a reply's first string looks the same.
                (Look::Likely, _, Look::Likely) => run.stream.map_or(Inference::Maybe, Inference::Likely),
                (Look::Likely, ..) => Inference::Likely(Stream::ToServer),
                (Look::Open, ..) => Inference::Maybe,
                (_, _, Look::Likely) => Inference::Likely(Stream::ToClient),
                (_, _, Look::Open) => Inference::Maybe,
                _ => Inference::No,
            }
        }
        b'a'..=b'z' | b'A'..=b'Z' => match inline(bytes) {
            Look::Sure | Look::Likely => Inference::Likely(Stream::ToServer),
            Look::Open => Inference::Maybe,
            Look::Wrong => Inference::No,
        },
        _ => match (pushed(bytes), replies(bytes)) {
            (Look::Sure, _) => Inference::Yes(Stream::ToClient),
            (Look::Open, Look::Likely) | (_, Look::Open) => Inference::Maybe,
            (_, Look::Likely) => Inference::Likely(Stream::ToClient),
            _ => Inference::No,
        },
    }
}

/// After a loss: could a command begin so?
pub(super) fn may_be_commands(bytes: &[u8]) -> bool {
    match bytes[0] {
        b'*' => commands(bytes) != Look::Wrong,
        b'a'..=b'z' | b'A'..=b'Z' => inline(bytes) == Look::Likely,
        _ => false,
    }
}

/// After a loss: could a reply begin so?
pub(super) fn may_be_replies(bytes: &[u8]) -> bool {
    replies(bytes) != Look::Wrong
}

/// A message to a subscriber begins so.
pub(super) fn is_message(bytes: &[u8]) -> bool {
    pushed(bytes) == Look::Sure
}

/// Arrays of bulk strings, one after the other.
fn commands(bytes: &[u8]) -> Look {
    let mut rest = bytes;
    let mut look = Look::Open;
    while !rest.is_empty() {
        if rest[0] != b'*' {
            // An inline command behind others.
            return if inline(rest) == Look::Wrong { Look::Wrong } else { look };
        }
        match command(&mut rest) {
            Some(Look::Wrong) => return Look::Wrong,
            Some(name) if look == Look::Open => look = name,
            Some(Look::Likely) => look = Look::Likely,
            Some(_) => {}
            None => break,
        }
    }
    look
}

/// The next array; `None` if its name is not there yet.
fn command(rest: &mut &[u8]) -> Option<Look> {
    let count = match header(rest) {
        Header::Line(Count::Of(count), length) if (1..=MOST_WORDS).contains(&count) => {
            *rest = &rest[length..];
            count
        }
        Header::More => return take_all(rest),
        _ => return Some(Look::Wrong),
    };
    let mut look = None;
    for index in 0..count {
        match rest.first() {
            None => return look,
            Some(b'$') => {}
            Some(_) => return Some(Look::Wrong),
        }
        let (length, line) = match header(rest) {
            Header::Line(Count::Of(length), line) if length <= MOST_STRING => (length, line),
            Header::More => {
                *rest = &[];
                return look;
            }
            _ => return Some(Look::Wrong),
        };
        let data = &rest[line..];
        let whole = data.len() as u64 >= length + 2;
        let word = &data[..data.len().min(length as usize)];
        if index == 0 && !(length > 0 && (word.is_empty() || is_name(word)) && length <= 32) {
            return Some(Look::Wrong);
        }
        let end = &data[word.len()..];
        if word.len() as u64 == length && !b"\r\n".starts_with(&end[..end.len().min(2)]) {
            return Some(Look::Wrong);
        }
        if index == 0 && whole {
            look = Some(named(word, count));
            if look == Some(Look::Wrong) {
                return look;
            }
        }
        *rest = data.get(word.len() + 2..).unwrap_or_default();
    }
    look
}

fn take_all(rest: &mut &[u8]) -> Option<Look> {
    *rest = &[];
    None
}

fn named(name: &[u8], words: u64) -> Look {
    match Command::find(name) {
        Some(command) if command.takes(words) => Look::Sure,
        // A reply, such as CONFIG GET's to `save`; or a mistake.
        Some(_) => Look::Wrong,
        // A module's.
        None if name.len() >= 4 && name[1..name.len() - 1].contains(&b'.') => Look::Sure,
        None => Look::Likely,
    }
}

/// Lines, each an inline command.
fn inline(bytes: &[u8]) -> Look {
    let mut look = Look::Open;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let mut words = words(line);
        let Some(name) = words.next() else { continue };
        if !line.ends_with(b"\n") {
            let could_be = INLINE.iter().any(|known| {
                known.len() >= name.len() && known.as_bytes()[..name.len()].eq_ignore_ascii_case(name)
            });
            return if could_be && line.len() < 64 { look } else { Look::Wrong };
        }
        let known = INLINE.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        let mut count = 1;
        let mut foreign = false;
        for word in words {
            count += 1;
            foreign |= word.starts_with(b"HTTP/") || word.starts_with(b"/") && name == b"GET";
            // What NATS' server says first.
            foreign |= word.starts_with(b"{");
        }
        let printable = line.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        if !known || foreign || !printable || !Command::find(name).is_some_and(|command| command.takes(count))
        {
            return Look::Wrong;
        }
        look = Look::Likely;
    }
    look
}

/// A message or an invalidation, pushed by itself.
fn pushed(bytes: &[u8]) -> Look {
    let mut look = Look::Wrong;
    for (count, kind) in PUSHES {
        let whole = [count, kind].concat();
        if bytes.starts_with(&whole) {
            return Look::Sure;
        }
        if whole.starts_with(bytes) {
            look = Look::Open;
        }
    }
    look
}

/// Elements that make replies.
fn replies(bytes: &[u8]) -> Look {
    let framing = Replies { data: 0, sync: false };
    let mut nest = Nest::default();
    let mut rest = bytes;
    let mut look = Look::Open;
    while !rest.is_empty() {
        match framing.measure(rest) {
            Measure::Message { length, .. } => {
                let element = &rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
                let whole = element.len() as u64 == length;
                if !fits(element, whole) || nest.step(element) == Step::Wrong {
                    return Look::Wrong;
                }
                look = Look::Likely;
                rest = &rest[element.len()..];
            }
            Measure::More => {
                let typed = b"+-:$*_#,(!=%~>|;.".contains(&rest[0]);
                return if typed && fits(rest, false) { look } else { Look::Wrong };
            }
            Measure::Foreign => return Look::Wrong,
        }
    }
    look
}

/// Does an element (or its beginning) look as its type says?
fn fits(element: &[u8], whole: bool) -> bool {
    let text = element[1..].trim_ascii_end();
    let all = |allowed: &dyn Fn(u8) -> bool| text.iter().all(|&byte| allowed(byte));
    match element[0] {
        b'+' => all(&|byte| byte == b' ' || byte.is_ascii_graphic() || byte >= 0x80),
        b'-' => {
            text.first().is_none_or(u8::is_ascii_alphabetic)
                && all(&|byte| byte == b' ' || byte.is_ascii_graphic() || byte >= 0x80)
        }
        b':' | b'(' => {
            let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
            digits.iter().all(u8::is_ascii_digit) && (!digits.is_empty() || !whole)
        }
        b',' => {
            matches!(text, b"inf" | b"-inf" | b"nan" | b"i" | b"in" | b"-i" | b"-in" | b"n" | b"na" | b"-")
                || all(&|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
        }
        b'#' => matches!(text, b"t" | b"f") || text.is_empty() && !whole,
        b'_' | b'.' => text.is_empty(),
        b'$' | b'=' | b'!' => !whole || element.ends_with(b"\r\n"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Inference {
        infer(&Run { bytes, passed: bytes.len() as u64, opening: false, stream: None })
    }

    #[test]
    fn sure() {
        for text in [
            "*1\r\n$4\r\nPING\r\n",
            "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1000\r\nvvvv",
            "*2\r\n$3\r\nGET\r\n",
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nGET\r\n$1",
            "*3\r\n$8\r\nJSON.SET\r\n$1\r\nk\r\n",
        ] {
            assert_eq!(told(text.as_bytes()), Inference::Yes(Stream::ToServer), "{text}");
        }
        for text in [
            "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nx\r\n",
            ">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nx\r\n",
            "*4\r\n$8\r\npmessage\r\n$",
            ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
        ] {
            assert_eq!(told(text.as_bytes()), Inference::Yes(Stream::ToClient), "{text}");
        }
    }

    #[test]
    fn likely() {
        for text in [
            "+OK\r\n",
            "-ERR no\r\n",
            ":12\r\n",
            "$5\r\nhello\r\n",
            "$-1\r\n",
            "*2\r\n$4\r\nsave\r\n$0\r\n\r\n",
            "*0\r\n",
            "_\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "%1\r\n+a\r\n:1\r\n",
            "$1000\r\nabc",
            "*1\r\n*2\r\n:1\r\n:2\r\n",
            "(123\r\n",
            "=7\r\ntxt:abc\r\n",
        ] {
            assert_eq!(told(text.as_bytes()), Inference::Likely(Stream::ToClient), "{text}");
        }
        for text in ["PING\r\n", "get k\r\n", "SET k v\r\nGET k\r\n"] {
            assert_eq!(told(text.as_bytes()), Inference::Likely(Stream::ToServer), "{text}");
        }
    }

    #[test]
    fn never() {
        for text in [
            "GET / HTTP/1.1\r\n",
            "GET /index.html\r\n",
            "QUIT\r\n",
            "set k 0 0 5\r\nhello\r\n",
            "+OK\r\nPONG\r\n",
            ":irc.example 001 me\r\n",
            "$5\r\nhelloworld",
            "*2\r\n+OK\r\nno",
            "INFO {\"server_id\":\"x\"}\r\n",
            "*1\r\n$3\r\nGETS\r\n",
            "* text\r\n",
            "-\x01\r\n",
            "PING\r\nPUB a 1\r\n",
        ] {
            let told = told(text.as_bytes());
            assert!(matches!(told, Inference::No), "{text}: {told:?}");
        }
    }

    /// Beginnings are waited for.
    #[test]
    fn prefixes() {
        for whole in [
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            ">3\r\n$7\r\nmessage\r\n$2\r\nch",
            "$5\r\nhello\r\n",
            "PING\r\n",
        ] {
            for end in 1..whole.len() {
                let told = told(&whole.as_bytes()[..end]);
                assert!(!matches!(told, Inference::No), "{:?}", &whole[..end]);
            }
        }
    }
}
