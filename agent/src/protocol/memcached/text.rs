//! The text protocol and its meta commands (memcached's `doc/protocol.txt`): lines, some with a block of data behind them.

use crate::protocol::frames::Measure;

/// A line is no longer, but for those that ask for many keys.
const MOST_LINE: usize = 2048;
/// A value is no longer (memcached's largest item size).
const MOST_DATA: u64 = 1 << 30;

/// What a command does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// As it is sent.
    pub name: &'static str,
    /// What answers it.
    pub answer: Answer,
}

/// What answers a command, if nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A value for each key that is there, then `END`.
    Values,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A number, or `NOT_FOUND`.
    Number,
    /// Lines, then `END`; or one word.
    Lines,
    /// One line of any kind.
    Line,
    /// `VA` with a value, or one of these.
    Meta(&'static [&'static str]),
    /// The connection becomes a feed.
    Feed,
    /// The connection ends.
    Goodbye,
}

use Answer::{Feed, Goodbye, Line, Lines, Meta, Number, Values, Words};

const fn row(name: &'static str, answer: Answer) -> Command {
    Command { name, answer }
}

const STORED: Answer = Words(&["STORED", "NOT_STORED", "EXISTS", "NOT_FOUND"]);

/// All commands, sorted.
static COMMANDS: &[Command] = &[
    row("add", STORED),
    row("append", STORED),
    row("cache_memlimit", Line),
    row("cas", STORED),
    row("decr", Number),
    row("delete", Words(&["DELETED", "NOT_FOUND"])),
    row("extstore", Line),
    row("flush_all", Words(&["OK"])),
    row("gat", Values),
    row("gats", Values),
    row("get", Values),
    row("gets", Values),
    row("incr", Number),
    row("lru", Line),
    row("lru_crawler", Lines),
    row("ma", Meta(&["HD", "NF", "NS", "EX"])),
    row("md", Meta(&["HD", "NF", "EX"])),
    row("me", Meta(&["ME", "EN"])),
    row("mg", Meta(&["HD", "EN"])),
    row("mn", Meta(&["MN"])),
    row("ms", Meta(&["HD", "NS", "EX", "NF"])),
    row("prepend", STORED),
    row("quit", Goodbye),
    row("refresh_certs", Line),
    row("replace", STORED),
    row("set", STORED),
    row("shutdown", Goodbye),
    row("slabs", Line),
    row("stats", Lines),
    row("touch", Words(&["TOUCHED", "NOT_FOUND"])),
    row("verbosity", Words(&["OK"])),
    row("version", Line),
    row("watch", Feed),
];

/// A command's line.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub command: &'static Command,
    /// Words behind the command.
    pub arguments: u32,
    /// Keys that it asks for.
    pub keys: u32,
    /// Bytes of the block of data behind it; `None` if it has none.
    pub data: Option<u64>,
    /// Nothing answers it.
    pub no_reply: bool,
    /// Only what is out of the ordinary answers it.
    pub quiet: bool,
    /// What its answer repeats: the opaque token, else the key.
    pub mark: Option<Mark>,
}

/// What an answer repeats of its meta command: a hash of its opaque token, or of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Opaque(u64),
    Key(u64),
}

/// FNV-1a: tokens and keys are compared, and not kept.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    line.split(|&byte| byte == b' ').filter(|word| !word.is_empty())
}

fn number(word: Option<&[u8]>) -> Option<u64> {
    let word = word.filter(|word| !word.is_empty() && word.len() <= 12)?;
    word.iter().try_fold(0, |n, byte| byte.is_ascii_digit().then(|| n * 10 + u64::from(byte - b'0')))
}

/// A line without its end; `None` if it does not end like one.
fn chomp(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Reads a command's line, with its end.
pub(super) fn request(line: &[u8]) -> Option<Request> {
    let mut all = words(chomp(line)?);
    let name = all.next()?;
    let index = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(name)).ok()?;
    let command = &COMMANDS[index];
    let arguments = u32::try_from(all.clone().count()).ok()?;
    let mut request =
        Request { command, arguments, keys: 0, data: None, no_reply: false, quiet: false, mark: None };
    match command.name {
        "get" | "gets" => request.keys = arguments,
        "gat" | "gats" => request.keys = arguments.saturating_sub(1),
        "mg" => request.keys = 1,
        _ => {}
    }
    match command.answer {
        Meta(_) => {
            let key = all.next().unwrap_or_default();
            if command.name == "ms" {
                request.data = Some(number(all.next())?);
            }
            for flag in all {
                match flag[0] {
                    b'q' => request.quiet = true,
                    b'O' => request.mark = Some(Mark::Opaque(hash(&flag[1..]))),
                    b'k' if request.mark.is_none() => request.mark = Some(Mark::Key(hash(key))),
                    _ => {}
                }
            }
        }
        Values if request.keys == 0 => return None,
        answer if answer == STORED => {
            let mut numbers = all.clone().skip(1);
            number(numbers.next())?;
            numbers.next()?;
            request.data = Some(number(numbers.next())?);
            request.no_reply = all.last() == Some(b"noreply");
        }
        Words(_) | Number => request.no_reply = all.last() == Some(b"noreply"),
        _ => {}
    }
    (request.data.is_none_or(|data| data <= MOST_DATA)).then_some(request)
}

/// What a line of the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A value, of so many bytes.
    Value(u64),
    /// A meta command's value.
    MetaValue(u64),
    /// `STAT`, or another line of many.
    Part,
    End,
    Number,
    /// One of [`WORDS`].
    Word(&'static str),
    /// One of [`ERRORS`].
    Error(&'static str),
    /// Some other line.
    Other,
}

const WORDS: &[&str] = &[
    "STORED",
    "NOT_STORED",
    "EXISTS",
    "NOT_FOUND",
    "DELETED",
    "TOUCHED",
    "OK",
    "RESET",
    "HD",
    "NS",
    "EX",
    "NF",
    "EN",
    "MN",
    "ME",
    "VERSION",
    "BUSY",
    "BADCLASS",
    "NOSPARE",
    "NOTFULL",
    "UNSAFE",
    "SAME",
];
const ERRORS: &[&str] = &["ERROR", "CLIENT_ERROR", "SERVER_ERROR"];

/// Reads a line of the server, with its end, and what of a meta command it repeats.
pub(super) fn reply(line: &[u8]) -> Option<(Reply, [Option<Mark>; 2])> {
    let line = chomp(line)?;
    let mut all = words(line);
    let first = all.next()?;
    let known = |list: &'static [&'static str]| list.iter().copied().find(|word| word.as_bytes() == first);
    let mut marks = [None; 2];
    let mut flags = None;
    let reply = match first {
        b"VALUE" => {
            all.next()?;
            number(all.next())?;
            Reply::Value(number(all.next())?)
        }
        b"VA" => {
            let data = number(all.next())?;
            flags = Some(all);
            Reply::MetaValue(data)
        }
        b"STAT" => Reply::Part,
        b"END" => Reply::End,
        _ if number(Some(line.trim_ascii_end())).is_some() || line.len() <= 20 && is_digits(line) => {
            Reply::Number
        }
        _ if first.starts_with(b"key=") => Reply::Part,
        _ => match (known(WORDS), known(ERRORS)) {
            (Some(word), _) => {
                flags = Some(all);
                Reply::Word(word)
            }
            (_, Some(word)) => Reply::Error(word),
            _ => Reply::Other,
        },
    };
    for flag in flags.into_iter().flatten() {
        match flag[0] {
            b'O' => marks[0] = Some(Mark::Opaque(hash(&flag[1..]))),
            b'k' => marks[1] = Some(Mark::Key(hash(&flag[1..]))),
            _ => {}
        }
    }
    Some((reply, marks))
}

/// Numbers that were longer are followed by spaces.
fn is_digits(line: &[u8]) -> bool {
    let digits = line.trim_ascii_end();
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Measures a command: its line, and the data behind it.
pub(super) fn measure_request(bytes: &[u8]) -> Measure {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        let many_keys = bytes.starts_with(b"get") || bytes.starts_with(b"gat");
        let plausible = bytes[0].is_ascii_lowercase() && (bytes.len() < MOST_LINE || many_keys);
        return if plausible { Measure::More } else { Measure::Foreign };
    };
    let line = end + 1;
    match request(&bytes[..line]) {
        Some(request) => measure(line, request.data),
        None => Measure::Foreign,
    }
}

/// Measures a line of the server, and the data behind it.
pub(super) fn measure_reply(bytes: &[u8]) -> Measure {
    let plausible = bytes[0].is_ascii_alphanumeric();
    match memchr::memchr(b'\n', bytes) {
        _ if !plausible => Measure::Foreign,
        None if bytes.len() < MOST_LINE => Measure::More,
        None => Measure::Foreign,
        Some(end) => match reply(&bytes[..=end]) {
            Some((Reply::Value(data) | Reply::MetaValue(data), _)) if data <= MOST_DATA => {
                measure(end + 1, Some(data))
            }
            Some((Reply::Value(_) | Reply::MetaValue(_), _)) | None => Measure::Foreign,
            Some(_) => measure(end + 1, None),
        },
    }
}

fn measure(line: usize, data: Option<u64>) -> Measure {
    Measure::Message { length: line as u64 + data.map_or(0, |data| data + 2), wanted: line }
}

/// Does a command's name begin so (`whole`: is this one)?
pub(super) fn is_beginning(name: &[u8], whole: bool) -> bool {
    let fits = |known: &[u8]| if whole { known == name } else { known.starts_with(name) };
    COMMANDS.iter().any(|command| fits(command.name.as_bytes()))
}

/// Does a line of the server begin so?
pub(super) fn is_reply_beginning(line: &[u8]) -> bool {
    let word = words(line).next().unwrap_or_default();
    let whole = word.len() < line.trim_ascii_end().len() || line.ends_with(b" ");
    let fits =
        |known: &str| if whole { known.as_bytes() == word } else { known.as_bytes().starts_with(word) };
    let all = WORDS.iter().chain(ERRORS).chain(&["VALUE", "VA", "STAT", "END"]);
    all.copied().any(fits) || is_digits(line) || line.starts_with(b"key=")
}

/// Does this line answer that command?
pub(super) fn fits(answer: Answer, reply: Reply) -> bool {
    match (answer, reply) {
        (_, Reply::Error(_)) | (Lines | Line, _) => true,
        (Values, Reply::Value(_) | Reply::End) | (Number, Reply::Number | Reply::Word("NOT_FOUND")) => true,
        (Meta(_), Reply::MetaValue(_)) => true,
        (Words(words) | Meta(words), Reply::Word(word)) => words.contains(&word),
        (Feed, Reply::Word("OK")) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn requests() {
        let told = |line: &str| {
            request(line.as_bytes())
                .map(|r| (r.command.name, r.arguments, r.keys, r.data, r.no_reply, r.quiet))
        };
        assert_eq!(told("get a b c\r\n"), Some(("get", 3, 3, None, false, false)));
        assert_eq!(told("gat 60 a\n"), Some(("gat", 2, 1, None, false, false)));
        assert_eq!(told("set k 0 60 5 noreply\r\n"), Some(("set", 5, 0, Some(5), true, false)));
        assert_eq!(told("cas k 0 -1 5 77\r\n"), Some(("cas", 5, 0, Some(5), false, false)));
        assert_eq!(told("ms k 5 T0 q\r\n"), Some(("ms", 4, 0, Some(5), false, true)));
        assert_eq!(told("incr k 1 noreply\r\n"), Some(("incr", 3, 0, None, true, false)));
        for wrong in
            ["get\r\n", "GET a\r\n", "set k 0 0\r\n", "set k 0 0 x\r\n", "hello\r\n", "\r\n", "get a"]
        {
            assert_eq!(told(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn replies() {
        let told = |line: &str| reply(line.as_bytes()).map(|(reply, _)| reply);
        assert_eq!(told("VALUE k 0 5 77\r\n"), Some(Reply::Value(5)));
        assert_eq!(told("VA 5 t0\r\n"), Some(Reply::MetaValue(5)));
        assert_eq!(told("12  \r\n"), Some(Reply::Number));
        assert_eq!(told("18446744073709551615\r\n"), Some(Reply::Number));
        assert_eq!(told("CLIENT_ERROR bad data chunk\r\n"), Some(Reply::Error("CLIENT_ERROR")));
        assert_eq!(told("HD O5 kfoo\r\n"), Some(Reply::Word("HD")));
        assert_eq!(reply(b"HD O5\r\n").map(|(_, marks)| marks[0]), Some(Some(Mark::Opaque(hash(b"5")))));
        assert_eq!(told("VALUE k\r\n"), None);
    }
}
