//! A scanner of JSON (RFC 8259) that is given in pieces and may end anywhere: it tells scalars with the keys above them and
//! keeps nothing else. Depth, keys, values and the bytes that are read are bounded; what is deeper or longer is passed
//! over or cut, and text that is not JSON ends it.

/// Levels of keys that are told; deeper values are passed over.
const MOST_LEVELS: usize = 4;
/// The deepest nesting that is followed.
const MOST_DEPTH: u32 = 64;
/// Bytes of a key that are kept; longer keys match nothing.
const MOST_KEY: usize = 32;
/// Bytes of a value that are kept.
const MOST_VALUE: usize = 256;
/// Bytes of a document that are read.
const MOST_BYTES: usize = 64 * 1024;

/// A scalar. Texts are as they stand in the document, escapes and all, cut at 256 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    /// A string.
    Text(&'a [u8]),
    /// A number, `true`, `false` or `null`, as it is written.
    Word(&'a [u8]),
    /// An object begins.
    Object,
    /// An array begins.
    Array,
}

impl Scalar<'_> {
    /// A text of valid UTF-8, escapes and all.
    pub fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Some(text),
                // Cut in the middle of a character.
                Err(error) if error.error_len().is_none() => {
                    std::str::from_utf8(&text[..error.valid_up_to()]).ok()
                }
                Err(_) => None,
            },
            _ => None,
        }
    }

    /// The text is not known to its end.
    pub fn is_cut(&self) -> bool {
        matches!(self, Scalar::Text(text) if text.len() >= MOST_VALUE)
    }

    /// A whole number.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Scalar::Word(word) => std::str::from_utf8(word).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Scalar::Word(word) => std::str::from_utf8(word).ok()?.parse().ok(),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Key {
    bytes: [u8; MOST_KEY],
    length: u8,
}

impl Key {
    /// The place of an element in an array.
    const ELEMENT: &'static [u8] = b"[]";

    fn set(&mut self, bytes: &[u8]) {
        let length = bytes.len().min(MOST_KEY);
        self.bytes[..length].copy_from_slice(&bytes[..length]);
        self.length = length as u8;
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The keys above a value, from the outermost; an array's elements have the key `[]`.
#[derive(Debug)]
pub(super) struct Path<'a>(&'a [Key]);

impl Path<'_> {
    /// Is this the path, and no longer one?
    pub fn is(&self, keys: &[&str]) -> bool {
        self.0.len() == keys.len() && self.0.iter().zip(keys).all(|(key, is)| key.get() == is.as_bytes())
    }

    /// Is one of these the first key of more than one?
    pub fn begins_with_any(&self, keys: &[&str]) -> bool {
        self.0.len() > 1 && keys.iter().any(|key| self.0[0].get() == key.as_bytes())
    }

    /// Is this one of the keys above the last?
    pub fn holds(&self, key: &str) -> bool {
        self.0.split_last().is_some_and(|(_, above)| above.iter().any(|one| one.get() == key.as_bytes()))
    }

    /// The last key.
    pub fn last(&self) -> Option<&[u8]> {
        self.0.last().map(Key::get)
    }

    /// The last key, if the path is so long.
    pub fn last_at(&self, level: usize) -> Option<&[u8]> {
        self.0.last().filter(|_| self.0.len() == level).map(Key::get)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value may begin.
    Value,
    /// A key may begin, or the object end.
    Key,
    /// The colon behind a key.
    Colon,
    /// A comma, or the end of what is open.
    Next,
    /// In a string, which is a key or not; the byte before was a backslash or not.
    Text { key: bool, escaped: bool },
    /// In a number or word.
    Word,
    /// The document is over, or none.
    Over,
}

/// Scans one document.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    state: State,
    depth: u32,
    /// Bit `n`: what is open at depth `n + 1` is an array.
    arrays: u64,
    keys: [Key; MOST_LEVELS],
    token: Vec<u8>,
    read: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Value,
            depth: 0,
            arrays: 0,
            keys: [Key::default(); MOST_LEVELS],
            token: Vec::new(),
            read: 0,
        }
    }
}

impl Scanner {
    /// Nothing more will be told of this document.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Bytes are missing: what follows cannot be placed.
    pub fn give_up(&mut self) {
        self.state = State::Over;
        self.token = Vec::new();
    }

    /// Reads the next bytes and tells what they hold to `tell`.
    pub fn read(&mut self, bytes: &[u8], mut tell: impl FnMut(&Path<'_>, Scalar<'_>)) {
        let room = MOST_BYTES - self.read;
        let mut rest = &bytes[..bytes.len().min(room)];
        self.read += rest.len();
        while let Some((&byte, behind)) = rest.split_first() {
            match self.state {
                State::Over => return,
                State::Text { key, escaped } => {
                    // Most of a text is neither quote nor backslash.
                    let plain = if escaped {
                        1
                    } else {
                        rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
                    };
                    let wanted = MOST_VALUE.saturating_sub(self.token.len()).min(plain);
                    self.token.extend_from_slice(&rest[..wanted]);
                    if plain > 0 {
                        self.state = State::Text { key, escaped: false };
                        rest = &rest[plain..];
                        continue;
                    }
                    rest = behind;
                    if byte == b'\\' {
                        if self.token.len() < MOST_VALUE {
                            self.token.push(byte);
                        }
                        self.state = State::Text { key, escaped: true };
                    } else if key {
                        if let Some(slot) = self.keys.get_mut(self.depth as usize - 1) {
                            slot.set(&self.token);
                        }
                        self.token.clear();
                        self.state = State::Colon;
                    } else {
                        self.scalar(true, &mut tell);
                    }
                    continue;
                }
                State::Word => {
                    if !matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
                        if self.token.len() < MOST_VALUE {
                            self.token.push(byte);
                        }
                        rest = behind;
                        continue;
                    }
                    self.scalar(false, &mut tell);
                    continue;
                }
                _ if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') => {}
                State::Value => match byte {
                    b'"' => self.state = State::Text { key: false, escaped: false },
                    b'{' | b'[' => self.open(byte == b'[', &mut tell),
                    // An empty array.
                    b']' if self.depth > 0 => self.close(byte),
                    b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                        self.token.push(byte);
                        self.state = State::Word;
                    }
                    _ => self.give_up(),
                },
                State::Key => match byte {
                    b'"' => self.state = State::Text { key: true, escaped: false },
                    b'}' => self.close(byte),
                    _ => self.give_up(),
                },
                State::Colon if byte == b':' => self.state = State::Value,
                State::Next => match byte {
                    b',' => self.state = if self.in_array() { State::Value } else { State::Key },
                    b'}' | b']' => self.close(byte),
                    _ => self.give_up(),
                },
                State::Colon => self.give_up(),
            }
            rest = behind;
        }
        if self.read == MOST_BYTES {
            self.give_up();
        }
    }

    fn in_array(&self) -> bool {
        self.depth > 0 && self.arrays >> (self.depth - 1) & 1 == 1
    }

    fn tell(&self, value: Scalar<'_>, tell: &mut impl FnMut(&Path<'_>, Scalar<'_>)) {
        if let Some(keys) = self.keys.get(..self.depth as usize) {
            tell(&Path(keys), value);
        }
    }

    fn scalar(&mut self, text: bool, tell: &mut impl FnMut(&Path<'_>, Scalar<'_>)) {
        let token = std::mem::take(&mut self.token);
        self.tell(if text { Scalar::Text(&token) } else { Scalar::Word(&token) }, tell);
        self.token = token;
        self.token.clear();
        self.state = if self.depth == 0 { State::Over } else { State::Next };
    }

    fn open(&mut self, array: bool, tell: &mut impl FnMut(&Path<'_>, Scalar<'_>)) {
        self.tell(if array { Scalar::Array } else { Scalar::Object }, tell);
        if self.depth == MOST_DEPTH {
            return self.give_up();
        }
        self.depth += 1;
        let bit = 1 << (self.depth - 1);
        self.arrays = if array { self.arrays | bit } else { self.arrays & !bit };
        if let Some(slot) = self.keys.get_mut(self.depth as usize - 1) {
            slot.set(if array { Key::ELEMENT } else { b"" });
        }
        self.state = if array { State::Value } else { State::Key };
    }

    fn close(&mut self, byte: u8) {
        if self.in_array() != (byte == b']') {
            return self.give_up();
        }
        self.depth -= 1;
        self.state = if self.depth == 0 { State::Over } else { State::Next };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `KEY.KEY=VALUE` of all that is told.
    fn told(chunks: &[&[u8]]) -> Vec<String> {
        let mut scanner = Scanner::default();
        let mut told = Vec::new();
        for chunk in chunks {
            scanner.read(chunk, |path, scalar| {
                let keys: Vec<_> =
                    path.0.iter().map(|key| String::from_utf8_lossy(key.get()).into_owned()).collect();
                let value = match scalar {
                    Scalar::Text(text) => format!("\"{}\"", String::from_utf8_lossy(text)),
                    Scalar::Word(word) => String::from_utf8_lossy(word).into_owned(),
                    Scalar::Object => "{".to_owned(),
                    Scalar::Array => "[".to_owned(),
                };
                told.push(format!("{}={value}", keys.join(".")));
            });
        }
        told
    }

    const DOCUMENT: &[u8] = br#" {"model":"m\"1", "n" : -2.5e3,"a":[1,{"b":true},[],"x"],"o":{"p":{"q":{"r":1}}},"e":{},"z":null} "#;

    #[test]
    fn every_split() {
        let expected = [
            "={",
            "model=\"m\\\"1\"",
            "n=-2.5e3",
            "a=[",
            "a.[]=1",
            "a.[]={",
            "a.[].b=true",
            "a.[]=[",
            "a.[]=\"x\"",
            "o={",
            "o.p={",
            "o.p.q={",
            "o.p.q.r=1",
            "e={",
            "z=null",
        ];
        assert_eq!(told(&[DOCUMENT]), expected);
        for at in 0..DOCUMENT.len() {
            assert_eq!(told(&[&DOCUMENT[..at], &DOCUMENT[at..]]), expected, "{at}");
        }
        let bytes: Vec<&[u8]> = DOCUMENT.chunks(1).collect();
        assert_eq!(told(&bytes), expected);
    }

    /// What is no JSON ends the scan, and what came before was told.
    #[test]
    fn garbage() {
        assert_eq!(told(&[b"GET / "]), [""; 0]);
        assert_eq!(told(&[br#"{"a":1]"#]), ["={", "a=1"]);
        assert_eq!(told(&[br#"{"a" 1}"#]), ["={"]);
        assert_eq!(told(&[br#""text" 5"#]), ["=\"text\""]);
    }

    /// Long values are cut, deep ones passed over, and a document that never ends is left.
    #[test]
    fn bounds() {
        let accents = format!("[\"a{}\"]", "é".repeat(MOST_VALUE));
        let mut scanner = Scanner::default();
        let mut length = None;
        scanner.read(accents.as_bytes(), |_, value| {
            length = value.text().map(str::len).filter(|_| value.is_cut()).or(length);
        });
        assert_eq!(length, Some(MOST_VALUE - 1));
        let long = format!("{{\"{0}\":\"{0}\",\"b\":1}}", "k".repeat(1000));
        let all = told(&[long.as_bytes()]);
        assert_eq!((all[1].len(), &*all[2]), (MOST_KEY + 3 + MOST_VALUE, "b=1"));
        let deep = "[".repeat(200);
        assert_eq!(told(&[deep.as_bytes()]).len(), MOST_LEVELS + 1);
        let mut scanner = Scanner::default();
        for _ in 0..70 {
            scanner.read(&[b' '; 1024], |_, _| {});
        }
        assert!(scanner.is_over());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300),
                        flips in proptest::collection::vec((0..DOCUMENT.len(), any::<u8>()), 0..5)) {
            told(&[&bytes]);
            let mut document = DOCUMENT.to_vec();
            for (at, byte) in flips {
                document[at] = byte;
            }
            told(&[&document]);
        }
    }
}
