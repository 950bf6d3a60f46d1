//! Conversations: what two ends said to each other, as text that people can read and tests can play.
//!
//! ```text
//! # protocol: redis
//! # redis-cli 7.0 asks for a key
//! C 0 *2\r\n$3\r\nGET\r\n$1\r\nk\r\n
//! S 85 $5\r\nhello\r\n
//! S 12 +3 \x00\x01
//! ```
//!
//! A line is what one system call moved: who sent it (client or server), microseconds since the line before, perhaps
//! `+N` for N bytes behind it that were not captured, and the bytes; `\r`, `\n`, `\t`, `\\` and `\xHH` stand for what is not
//! printable, and for a space at the end.

use std::fmt::Write as _;
use std::path::Path;

use crate::protocol::Stream;

/// What one system call moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where the bytes go.
    pub stream: Stream,
    /// Since the piece before. Microseconds.
    pub after: u64,
    /// What was captured.
    pub bytes: Vec<u8>,
    /// Bytes behind them that were not.
    pub missing: u64,
}

/// What two ends said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The protocol's name, as [`Protocol::name`](crate::protocol::Protocol::name) has it.
    pub protocol: String,
    /// The name of its file, or nothing.
    pub name: String,
    /// Each a datagram of its own (UDP).
    pub datagrams: bool,
    /// In the order of their time.
    pub pieces: Vec<Piece>,
}

impl Conversation {
    /// Silence.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The client sends this, in one system call.
    #[must_use]
    pub fn client(self, bytes: impl AsRef<[u8]>) -> Self {
        self.piece(Stream::ToServer, bytes.as_ref(), 0)
    }

    /// The server sends this, in one system call.
    #[must_use]
    pub fn server(self, bytes: impl AsRef<[u8]>) -> Self {
        self.piece(Stream::ToClient, bytes.as_ref(), 0)
    }

    /// One end sends this and `missing` bytes more that are not captured; a millisecond after the piece before.
    #[must_use]
    pub fn piece(mut self, stream: Stream, bytes: &[u8], missing: u64) -> Self {
        self.pieces.push(Piece { stream, after: 1_000, bytes: bytes.to_vec(), missing });
        self
    }

    /// All recorded conversations of the protocol with this name, or of all protocols.
    ///
    /// # Panics
    /// If a file cannot be read, or there is none.
    #[must_use]
    pub fn recorded(protocol: Option<&str>) -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conversations");
        let found = Self::recorded_in(&folder, protocol);
        assert!(!found.is_empty(), "no conversation of {protocol:?} in {}", folder.display());
        found
    }

    /// Those in a folder.
    ///
    /// # Panics
    /// If a file cannot be read.
    #[must_use]
    pub fn recorded_in(folder: &Path, protocol: Option<&str>) -> Vec<Self> {
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .expect("agent/conversations")
            .map(|entry| entry.expect("entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
            .collect();
        paths.sort();
        let all = paths.iter().map(|path| {
            let text = std::fs::read_to_string(path).expect("a readable conversation");
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let parsed = Self::parse(&text);
            Self { name, ..parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display())) }
        });
        all.filter(|conversation| protocol.is_none_or(|name| name == conversation.protocol)).collect()
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut conversation = Self::default();
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: &str| format!("line {}: {what}", number + 1);
            if let Some(comment) = line.strip_prefix('#') {
                match comment.trim().split_once(": ") {
                    Some(("protocol", name)) => conversation.protocol = name.to_owned(),
                    Some(("transport", name)) => conversation.datagrams = name == "datagram",
                    _ => {}
                }
                continue;
            }
            let mut words = line.splitn(3, ' ');
            let stream = match words.next() {
                Some("C") => Stream::ToServer,
                Some("S") => Stream::ToClient,
                Some("") => continue,
                _ => return Err(wrong("neither C nor S")),
            };
            let after = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| wrong("no time"))?;
            let mut rest = words.next().unwrap_or_default();
            let mut missing = 0;
            if let Some((count, behind)) =
                rest.strip_prefix('+').map(|r| r.split_once(' ').unwrap_or((r, "")))
                && let Ok(count) = count.parse()
            {
                (missing, rest) = (count, behind);
            }
            let bytes = unescape(rest).ok_or_else(|| wrong("a bad escape"))?;
            conversation.pieces.push(Piece { stream, after, bytes, missing });
        }
        Ok(conversation)
    }
}

impl std::fmt::Display for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "# protocol: {}", self.protocol)?;
        if self.datagrams {
            writeln!(f, "# transport: datagram")?;
        }
        for Piece { stream, after, bytes, missing } in &self.pieces {
            let who = if *stream == Stream::ToServer { 'C' } else { 'S' };
            write!(f, "{who} {after} ")?;
            // A piece that begins with a plus would read as a count.
            if *missing > 0 || bytes.first() == Some(&b'+') {
                write!(f, "+{missing} ")?;
            }
            writeln!(f, "{}", escape(bytes))?;
        }
        Ok(())
    }
}

/// Bytes as printable ASCII.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b' ' if i + 1 == bytes.len() => text.push_str("\\x20"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&kind, behind) = rest.split_first()?;
        rest = behind;
        bytes.push(match kind {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'\\' => b'\\',
            b'x' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}
