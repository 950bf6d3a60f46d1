//! Elements of RESP2 and RESP3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>) as messages of
//! [`Frames`](crate::protocol::frames::Frames).
//!
//! One element is one frame: a line (`+OK`, `:1`, `*3`, `%2`), or a header line with the data that it announces and
//! their CRLF (`$5`). What lies inside what is [`Nest`]'s matter. So commands and replies are read where they lie, and
//! large strings pass by position.

use crate::protocol::frames::{Framing, Measure};

/// A header line is no longer: type, 15 digits, CRLF, and some room.
const MOST_HEADER: usize = 20;
/// Digits of a length or a count: a petabyte is not sent at once.
const MOST_DIGITS: usize = 15;
/// Arrays have no more elements (Redis: `INT_MAX`).
const MOST_ELEMENTS: u64 = i32::MAX as u64;
/// Bytes of a simple string or an error that are read.
const LINE: usize = 128;
/// A number, double or boolean is no longer. Big numbers have no limit.
const MOST_NUMBER: usize = 64;
/// Data of a bulk error that are read.
const BULK_ERROR: usize = 64;
/// Aggregates inside one another that are followed.
const MOST_DEPTH: usize = 32;

/// A length or a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Of(u64),
    /// `-1`: RESP2's null.
    Null,
    /// `?`: what follows says where it ends.
    Streamed,
}

/// What a header line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The count, and the bytes of the line.
    Line(Count, usize),
    More,
    Foreign,
}

/// Reads the line of `$`, `*`, … from its type on.
pub(super) fn header(bytes: &[u8]) -> Header {
    let line = bytes.get(1..bytes.len().min(MOST_HEADER)).unwrap_or_default();
    let mut number = 0;
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at < MOST_DIGITS => number = number * 10 + u64::from(byte - b'0'),
            b'\r' if at > 0 => return ended(line, at, Count::Of(number)),
            b'-' | b'?' if at == 0 => return special(line),
            _ => return Header::Foreign,
        }
    }
    Header::More
}

fn special(line: &[u8]) -> Header {
    let (text, count): (&[u8], _) = match line {
        [b'?', ..] => (b"?\r\n", Count::Streamed),
        _ => (b"-1\r\n", Count::Null),
    };
    match line.get(..text.len()) {
        Some(whole) if whole == text => Header::Line(count, 1 + text.len()),
        None if text.starts_with(line) => Header::More,
        _ => Header::Foreign,
    }
}

fn ended(line: &[u8], at: usize, count: Count) -> Header {
    match line.get(at + 1) {
        Some(b'\n') => Header::Line(count, at + 3),
        Some(_) => Header::Foreign,
        None => Header::More,
    }
}

/// An element that is a line of at most `most` bytes, of which `wanted` are read.
fn line(bytes: &[u8], most: usize, wanted: usize) -> Measure {
    match memchr::memchr(b'\n', bytes) {
        Some(end) if end < most && bytes[end - 1] == b'\r' => {
            Measure::Message { length: end as u64 + 1, wanted }
        }
        None if bytes.len() < most => Measure::More,
        _ => Measure::Foreign,
    }
}

/// A string: header, data, CRLF. `data` bytes of the data are read.
fn bulk(bytes: &[u8], data: usize) -> Measure {
    match header(bytes) {
        Header::Line(Count::Of(length), header) => Measure::Message {
            length: header as u64 + length + 2,
            wanted: header + data.min(length as usize),
        },
        Header::Line(_, header) if bytes[0] == b'$' => whole(header),
        Header::Line(..) | Header::Foreign => Measure::Foreign,
        Header::More => Measure::More,
    }
}

fn whole(length: usize) -> Measure {
    Measure::Message { length: length as u64, wanted: length }
}

/// The beginning of an aggregate.
fn aggregate(bytes: &[u8]) -> Measure {
    match header(bytes) {
        Header::Line(Count::Of(count), _) if count > MOST_ELEMENTS => Measure::Foreign,
        Header::Line(_, length) => whole(length),
        Header::More => Measure::More,
        Header::Foreign => Measure::Foreign,
    }
}

/// What clients send: commands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    /// A command's words are outstanding.
    pub inside: bool,
    /// Bytes of the next word that are read.
    pub data: usize,
}

impl Framing for Requests {
    fn measure(&self, bytes: &[u8]) -> Measure {
        match (bytes[0], self.inside) {
            (b'$', true) => match bulk(bytes, self.data) {
                // A command has no null.
                Measure::Message { length, .. } if length < 6 => Measure::Foreign,
                measure => measure,
            },
            (b'*', false) => aggregate(bytes),
            (b'\r' | b'\n' | b' ' | b'a'..=b'z' | b'A'..=b'Z', false) => match memchr::memchr(b'\n', bytes) {
                Some(end) => Measure::Message { length: end as u64 + 1, wanted: 1024 },
                None => Measure::More,
            },
            _ => Measure::Foreign,
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        turn && super::infer::may_be_commands(bytes)
    }
}

/// What servers send: replies, and pushes between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replies {
    /// Bytes of the next string that are read.
    pub data: usize,
    /// A SYNC waits for its answer: line feeds before it keep the connection alive, and a length is followed by a
    /// snapshot without CRLF.
    pub sync: bool,
}

impl Framing for Replies {
    fn measure(&self, bytes: &[u8]) -> Measure {
        match bytes[0] {
            b'\n' if self.sync => whole(1),
            b'$' if self.sync => line(bytes, MOST_NUMBER, LINE),
            b'$' | b'=' => bulk(bytes, self.data),
            b';' => match header(bytes) {
                Header::Line(Count::Of(0), length) => whole(length),
                _ => bulk(bytes, 0),
            },
            b'!' => bulk(bytes, BULK_ERROR),
            b'*' | b'%' | b'~' | b'>' | b'|' => aggregate(bytes),
            b'+' | b'-' => line(bytes, usize::MAX, LINE),
            b'(' => line(bytes, usize::MAX, 1),
            b':' | b',' | b'#' | b'_' | b'.' => line(bytes, MOST_NUMBER, MOST_NUMBER),
            _ => Measure::Foreign,
        }
    }

    fn begins(&self, bytes: &[u8], turn: bool) -> bool {
        // Subscribers hear without asking: there, nothing turns.
        turn && super::infer::may_be_replies(bytes) || super::infer::is_message(bytes)
    }
}

/// Where an element stands in its reply, and what it ends.
#[derive(Debug, Default)]
pub(super) struct Nest {
    levels: Vec<Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Elements to come; `None` if the aggregate is streamed.
    left: Option<u64>,
    /// It annotates the element that follows it, and is none itself.
    attribute: bool,
}

/// What the next element meant to its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More of the reply is to come.
    Inside,
    /// It was the last.
    Ended,
    /// It cannot stand here, or lies too deep.
    Wrong,
}

impl Nest {
    /// How many aggregates are open.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Forgets a reply that was lost.
    pub fn clear(&mut self) {
        self.levels.clear();
    }

    /// An attribute is being read; at top level, it stands before the reply itself.
    pub fn in_attribute(&self) -> bool {
        self.levels.first().is_some_and(|level| level.attribute)
    }

    /// Takes the next element, of the type that `bytes` begins with.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        let streamed = self.levels.last().is_some_and(|level| level.left.is_none());
        let (left, attribute) = match bytes[0] {
            b'$' if bytes.get(1) == Some(&b'?') => (None, false),
            // The end of a streamed aggregate or string.
            b'.' | b';' if !streamed => return Step::Wrong,
            b';' if bytes.get(1) != Some(&b'0') => return Step::Inside,
            b'.' | b';' => {
                let ended = self.levels.pop();
                return self.ended(ended.is_some_and(|level| level.attribute));
            }
            // Never inside of anything.
            b'>' if self.depth() > 0 => return Step::Wrong,
            kind @ (b'*' | b'~' | b'>' | b'%' | b'|') => {
                let times = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                match header(bytes) {
                    Header::Line(Count::Of(0), _) => return self.ended(kind == b'|'),
                    Header::Line(Count::Of(count), _) => (Some(count * times), kind == b'|'),
                    Header::Line(Count::Null, _) if kind == b'*' => return self.ended(false),
                    Header::Line(Count::Streamed, _) => (None, kind == b'|'),
                    _ => return Step::Wrong,
                }
            }
            _ => return self.ended(false),
        };
        if self.levels.len() >= MOST_DEPTH {
            return Step::Wrong;
        }
        self.levels.push(Level { left, attribute });
        Step::Inside
    }

    /// An element is over, and with it perhaps those around it.
    fn ended(&mut self, mut attribute: bool) -> Step {
        loop {
            if attribute {
                return Step::Inside;
            }
            let Some(level) = self.levels.last_mut() else { return Step::Ended };
            let Some(left) = &mut level.left else { return Step::Inside };
            *left -= 1;
            if *left > 0 {
                return Step::Inside;
            }
            attribute = level.attribute;
            self.levels.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(header(b"$12\r\nx"), Header::Line(Count::Of(12), 5));
        assert_eq!(header(b"$-1\r\n"), Header::Line(Count::Null, 5));
        assert_eq!(header(b"*?\r\n"), Header::Line(Count::Streamed, 4));
        for more in ["$", "$1", "$12\r", "$-", "$-1\r", "*?", "$123456789012345"] {
            assert_eq!(header(more.as_bytes()), Header::More, "{more}");
        }
        for foreign in ["$\r\n", "$1\n", "$1x", "$-2\r\n", "$1\rx", "*??", "$1234567890123456\r\n", "$+1\r\n"]
        {
            assert_eq!(header(foreign.as_bytes()), Header::Foreign, "{foreign}");
        }
    }

    #[test]
    fn measures() {
        let measure = |text: &str| Replies { data: 3, sync: false }.measure(text.as_bytes());
        assert_eq!(measure("$10\r\n01"), Measure::Message { length: 17, wanted: 8 });
        assert_eq!(measure("$-1\r\n"), whole(5));
        assert_eq!(measure("=-1\r\n"), Measure::Foreign);
        assert_eq!(measure(";0\r\n"), whole(4));
        assert_eq!(measure(";2\r\nab"), Measure::Message { length: 8, wanted: 4 });
        assert_eq!(measure("+OK\r\n:1"), Measure::Message { length: 5, wanted: LINE });
        assert_eq!(measure("+OK\n"), Measure::Foreign);
        assert_eq!(measure("+OK"), Measure::More);
        assert_eq!(measure("*9999999999\r\n"), Measure::Foreign);
        assert_eq!(measure("\n"), Measure::Foreign);
        let sync = |text: &str| Replies { data: 0, sync: true }.measure(text.as_bytes());
        assert_eq!(sync("\n"), whole(1));
        assert_eq!(sync("$175\r\nREDIS"), Measure::Message { length: 6, wanted: LINE });
    }

    fn steps(elements: &[&str]) -> Vec<Step> {
        let mut nest = Nest::default();
        elements.iter().map(|element| nest.step(element.as_bytes())).collect()
    }

    /// The last element of a reply ends it, however deep it lies.
    #[test]
    fn nesting() {
        use Step::{Ended, Inside, Wrong};
        assert_eq!(steps(&["+", ":1", "$-1\r\n", "*-1\r\n", "*0\r\n"]), [Ended; 5]);
        let map = ["%2\r\n", "$1", "*2\r\n", ":1", "~1\r\n", ":2", "+a", "*0\r\n"];
        assert_eq!(steps(&map), [Inside, Inside, Inside, Inside, Inside, Inside, Inside, Ended]);
        assert_eq!(steps(&["|1\r\n", "+k", ":1", "*1\r\n", ":1"]), [Inside, Inside, Inside, Inside, Ended]);
        assert_eq!(steps(&["*?\r\n", ":1", "|1\r\n", "+a", "+b", ":2", ".\r\n"])[6], Ended);
        assert_eq!(steps(&["*2\r\n", "$?\r\n", ";4\r\n", ";0\r\n", ":1"])[2..], [Inside, Inside, Ended]);
        assert_eq!(steps(&[".\r\n", ";0\r\n"]), [Wrong, Wrong]);
        assert_eq!(steps(&["*1\r\n", ">1\r\n"]), [Inside, Wrong]);
        let deep = ["*1\r\n"; MOST_DEPTH + 1];
        assert_eq!(steps(&deep)[MOST_DEPTH], Wrong);
    }
}
