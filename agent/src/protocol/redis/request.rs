//! Commands, out of the elements of the stream to the server: arrays of bulk strings, or inline commands (a line, for
//! people with telnet).

use std::borrow::Cow;

use crate::protocol::frames::{Frame, Frames, Input, Next};
use crate::protocol::{Losses, Moment, Statements};

use super::commands::{Command, MOST_NAME, Role};
use super::resp::{Count, Header, Requests as Framing, header};

/// Bytes of a command's first arguments that are read where they have a meaning of their own.
const WORD: usize = 64;
/// Bytes of a command that are told, if the user wants it as it was sent.
const MOST_TEXT: usize = 512;
/// An argument longer than this is not told in full.
const MOST_ARGUMENT: usize = 128;

/// A command that was sent.
#[derive(Debug)]
pub(super) struct Request {
    /// Its first byte.
    pub start: Moment,
    /// Its last byte.
    pub end: Moment,
    /// It began a run.
    pub turn: bool,
    /// What is known of it in general; `None` for modules' commands.
    pub command: Option<&'static Command>,
    /// Its name, with the subcommand if it has one, in upper case.
    pub operation: Cow<'static, str>,
    /// Words behind the operation's.
    pub arguments: u32,
    /// What its first argument says, where that has a meaning of its own.
    pub word: Option<Box<str>>,
    /// It and its arguments as they were sent; `None` unless the user wants that.
    pub text: Option<Box<str>>,
}

/// What comes next in the stream.
#[derive(Debug)]
pub(super) enum Event {
    Request(Request),
    /// The place was lost: any number of commands are not known.
    Lost,
}

/// A command of which the words are still coming.
#[derive(Debug, Default)]
struct Building {
    start: Moment,
    turn: bool,
    words: u64,
    index: u64,
    command: Option<&'static Command>,
    operation: Cow<'static, str>,
    /// Words that are part of the operation.
    named: u32,
    word: Option<Box<str>>,
    text: Option<String>,
}

impl Building {
    /// The role that decides which words are read.
    fn role(&self) -> Role {
        self.command.map_or(Role::Plain, |command| command.role)
    }

    /// Bytes of the next word that are read.
    fn data(&self, statements: Statements) -> usize {
        let meaning = match (self.index, self.role()) {
            (0, _) => MOST_NAME + 1,
            (1, Role::Container | Role::Procedure | Role::Select | Role::Replica) => WORD,
            (2, Role::Container) if self.operation == "CLIENT REPLY" => WORD,
            _ => 0,
        };
        let text = statements == Statements::Raw && self.text.as_ref().is_none_or(|t| t.len() < MOST_TEXT);
        if text { meaning.max(MOST_ARGUMENT) } else { meaning }
    }

    /// The next word; `whole` if this is all of it. False if no command has such a name.
    fn word(&mut self, word: &[u8], whole: bool, statements: Statements) -> bool {
        let index = self.index;
        self.index += 1;
        match (index, self.role()) {
            (0, _) => {
                if !whole || !is_name(word) {
                    return false;
                }
                self.command = Command::find(word);
                self.operation = match self.command {
                    Some(command) => Cow::Borrowed(command.name),
                    None => Cow::Owned(upper(word)),
                };
                self.named = 1;
                if statements == Statements::Raw {
                    self.text = Some(String::from_utf8_lossy(word).into_owned());
                }
                return true;
            }
            (1, Role::Container) if whole && is_name(word) => {
                self.operation = Cow::Owned(format!("{} {}", self.operation, upper(word)));
                self.named = 2;
            }
            (1, Role::Procedure) if whole && is_identifier(word) => self.word = text(word),
            (1, Role::Select) if whole && word.iter().all(u8::is_ascii_digit) => self.word = text(word),
            (1, Role::Replica) if whole && is_name(word) => self.word = Some(upper(word).into()),
            (2, Role::Container) if self.operation == "CLIENT REPLY" && whole && is_name(word) => {
                self.word = Some(upper(word).into());
            }
            _ => {}
        }
        let secret = self.is_secret();
        if let Some(text) = &mut self.text
            && text.len() < MOST_TEXT
        {
            text.push(' ');
            match secret {
                true => text.push('?'),
                false => text.push_str(&String::from_utf8_lossy(&word[..word.len().min(MOST_ARGUMENT)])),
            }
            if !whole && !secret || text.len() >= MOST_TEXT {
                text.push('…');
            }
        }
        true
    }

    /// Its arguments can hold passwords.
    fn is_secret(&self) -> bool {
        let words = match &*self.operation {
            "CONFIG SET" | "ACL SETUSER" | "SENTINEL SET" | "SENTINEL CONFIG" => self.index > 2,
            _ => false,
        };
        words || self.role() == Role::Secret
    }

    fn finish(self, end: Moment) -> Request {
        let arguments = self.index.saturating_sub(self.named.into());
        Request {
            start: self.start,
            end,
            turn: self.turn,
            command: self.command,
            operation: self.operation,
            arguments: u32::try_from(arguments).unwrap_or(u32::MAX),
            word: self.word,
            text: self.text.map(String::into_boxed_str),
        }
    }
}

/// The stream to the server.
#[derive(Debug)]
pub(super) struct Requests {
    frames: Frames,
    building: Building,
    statements: Statements,
}

impl Requests {
    pub fn new(midstream: bool, statements: Statements) -> Self {
        Self { frames: Frames::new(midstream), building: Building::default(), statements }
    }

    /// The next command that ends in `input`.
    pub fn next(&mut self, input: &mut Input<'_>) -> Option<Event> {
        loop {
            let inside = self.building.index < self.building.words;
            let data = if inside { self.building.data(self.statements) } else { 0 };
            match self.frames.next(input, &Framing { inside, data })? {
                Next::Lost => {
                    self.building = Building::default();
                    return Some(Event::Lost);
                }
                Next::Frame(frame) => {
                    let taken = self.take(&frame);
                    let end = frame.end;
                    self.frames.recycle(frame);
                    if !taken {
                        self.frames.give_up(input);
                        self.building = Building::default();
                        return Some(Event::Lost);
                    }
                    if self.building.words > 0 && self.building.index == self.building.words {
                        return Some(Event::Request(std::mem::take(&mut self.building).finish(end)));
                    }
                }
            }
        }
    }

    /// Takes an element; false if no command looks so.
    fn take(&mut self, frame: &Frame<'_>) -> bool {
        let bytes = frame.bytes();
        if self.building.index < self.building.words {
            let Header::Line(Count::Of(length), header) = header(bytes) else {
                // What stood there was not captured; it was a word.
                self.building.index += 1;
                return self.building.index > 1;
            };
            let data = &bytes[header.min(bytes.len())..];
            let data = &data[..data.len().min(length as usize)];
            return self.building.word(data, data.len() as u64 == length, self.statements);
        }
        let begun = Building { start: frame.start, turn: frame.turn, ..Building::default() };
        if bytes.first() == Some(&b'*') {
            // An empty array, or null, is passed over by servers.
            if let Header::Line(Count::Of(words), _) = header(bytes) {
                self.building = Building { words, ..begun };
            }
            return true;
        }
        self.inline(bytes, begun)
    }

    /// A line. Only known commands are believed in it.
    fn inline(&mut self, line: &[u8], mut building: Building) -> bool {
        let whole = line.ends_with(b"\n");
        let mut words = words(line);
        let Some(name) = words.next() else { return true };
        if Command::find(name).is_none() || !building.word(name, true, self.statements) {
            return false;
        }
        for word in words {
            building.word(word, word.len() <= MOST_ARGUMENT && whole, self.statements);
        }
        building.words = building.index;
        self.building = building;
        true
    }

    /// When the command that is under way began.
    pub fn under_way(&self) -> Option<Moment> {
        match self.building.words > 0 {
            true => Some(self.building.start),
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

/// The words of an inline command. Quotes keep spaces together; what they escape is of no interest here.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        let first = *rest.first()?;
        let mut quote = None;
        let mut escaped = false;
        let end = rest.iter().position(|&byte| match quote {
            Some(mark) => {
                if byte == mark && !escaped {
                    quote = None;
                }
                escaped = byte == b'\\' && !escaped;
                false
            }
            None if byte == b'"' || byte == b'\'' => {
                quote = Some(byte);
                false
            }
            None => byte.is_ascii_whitespace(),
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        let quoted = matches!(first, b'"' | b'\'') && word.len() > 1 && word.last() == Some(&first);
        Some(if quoted { &word[1..word.len() - 1] } else { word })
    })
}

/// Could this be a command's name? Modules' have a prefix (`JSON.SET`, `FT._LIST`, `RG.PYEXECUTE`).
pub(super) fn is_name(word: &[u8]) -> bool {
    word.len() <= MOST_NAME
        && word.first().is_some_and(u8::is_ascii_alphabetic)
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'|'))
}

fn is_identifier(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn upper(word: &[u8]) -> String {
    word.iter().map(|byte| char::from(byte.to_ascii_uppercase())).collect()
}

fn text(word: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(word).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_words() {
        let split = |line: &str| {
            words(line.as_bytes()).map(|w| String::from_utf8_lossy(w).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(split("SET key value\r\n"), ["SET", "key", "value"]);
        assert_eq!(split("  set  \"a \\\" b\" 'c d' e\"f g\"h\n"), ["set", "a \\\" b", "c d", "e\"f g\"h"]);
        assert_eq!(split("\r\n"), Vec::<String>::new());
        assert_eq!(split("\"open"), ["\"open"]);
    }

    #[test]
    fn names() {
        for name in ["GET", "json.set", "FT._LIST", "restore-asking"] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for name in ["", "1GET", "GET ", "\x00\x01", "a:b", &"A".repeat(33)] {
            assert!(!is_name(name.as_bytes()), "{name}");
        }
    }
}
