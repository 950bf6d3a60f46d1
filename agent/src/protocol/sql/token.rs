//! SQL's words, names, literals and signs.

use super::Dialect;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a plain name.
    Word,
    /// A name in `"…"` or `` `…` ``.
    Quoted,
    /// A string, a number, a UUID, a duration, `TRUE` or `FALSE`.
    Literal,
    /// `?`, `$1`, `:name`, `@name`.
    Placeholder,
    /// Any other sign.
    Symbol(u8),
    /// A comment; its text is without `/*` and `*/`, `--`, `#` or `//`.
    Comment,
}

/// A piece of a statement.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub text: &'a [u8],
    /// White space stands before it.
    pub spaced: bool,
}

/// The tokens of a statement. Each byte is looked at a bounded number of times.
#[derive(Debug)]
pub struct Tokens<'a> {
    dialect: Dialect,
    rest: &'a [u8],
    cut: bool,
    /// The last token was something that an operator may follow: a `-` behind it is no sign.
    operand: bool,
    unterminated: bool,
}

impl<'a> Tokens<'a> {
    /// Of this text; `cut` says that it went on.
    #[must_use]
    pub fn new(dialect: Dialect, sql: &'a [u8], cut: bool) -> Self {
        Self { dialect, rest: sql, cut, operand: false, unterminated: false }
    }

    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A string or a quoted name went to the end of the text without its closing quote.
    #[must_use]
    pub fn unterminated(&self) -> bool {
        self.unterminated
    }

    /// The next token.
    #[expect(clippy::should_implement_trait, reason = "`rest` is asked between the calls")]
    pub fn next(&mut self) -> Option<Token<'a>> {
        let mut spaced = false;
        loop {
            let blank = self.rest.iter().position(|byte| *byte > b' ' && *byte != 0x7f)?;
            spaced |= blank > 0;
            self.rest = &self.rest[blank..];
            // The marks of comments that are none.
            let inside = if self.dialect.mysql_comments { executable(self.rest) } else { None };
            match inside {
                Some(rest) => self.rest = rest,
                None => break,
            }
            spaced = true;
        }
        if let Some(text) = self.comment() {
            return Some(Token { kind: Kind::Comment, text, spaced });
        }
        let (kind, length) = self.measure();
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.operand = match kind {
            Kind::Symbol(sign) => matches!(sign, b')' | b']' | b'}'),
            _ => true,
        };
        Some(Token { kind, text, spaced })
    }

    /// Takes a comment, if one begins here.
    fn comment(&mut self) -> Option<&'a [u8]> {
        let line = match self.rest {
            [b'-', b'-', after @ ..] if self.dialect.mysql_comments => {
                after.first().is_none_or(|byte| *byte <= b' ').then_some(2)
            }
            [b'-', b'-', ..] => Some(2),
            [b'#', ..] if self.dialect.mysql_comments => Some(1),
            [b'/', b'/', ..] if self.dialect.slash_comments => Some(2),
            _ => None,
        };
        if let Some(opening) = line {
            let body = &self.rest[opening..];
            let end = memchr::memchr2(b'\n', b'\r', body).unwrap_or(body.len());
            let (text, rest) = body.split_at(end);
            self.rest = rest;
            return Some(text);
        }
        let body = self.rest.strip_prefix(b"/*")?;
        let mut depth = 1_u32;
        let mut at = 0;
        while let Some(found) = memchr::memchr2(b'*', b'/', &body[at..]) {
            at += found;
            match &body[at..] {
                [b'*', b'/', ..] => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        self.rest = &body[at..];
                        return Some(&body[..at - 2]);
                    }
                }
                [b'/', b'*', ..] if self.dialect.nested_comments => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.rest = &[];
        Some(body)
    }

    /// Kind and length of the token that begins the rest, which is not empty.
    fn measure(&mut self) -> (Kind, usize) {
        let rest = self.rest;
        match rest {
            [b'\'', ..] => (Kind::Literal, self.string(0, b'\'', self.dialect.backslash_escapes)),
            [b'"', ..] if self.dialect.double_quoted_strings => {
                (Kind::Literal, self.string(0, b'"', self.dialect.backslash_escapes))
            }
            [quote @ (b'"' | b'`'), ..] if *quote == b'"' || self.dialect.backtick_names => {
                let length = self.string(0, *quote, false);
                (if self.unterminated { Kind::Literal } else { Kind::Quoted }, length)
            }
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] if !self.after_name(rest) => {
                (Kind::Literal, number(rest, self.cut))
            }
            [b'-' | b'+', b'0'..=b'9' | b'.', ..] if !self.operand => {
                (Kind::Literal, 1 + number(&rest[1..], self.cut))
            }
            [b'$', b'0'..=b'9', ..] => (Kind::Placeholder, 1 + digits(&rest[1..])),
            [b'$', ..] if self.dialect.dollar_quotes => match dollar_tag(rest) {
                Some(tag) => (Kind::Literal, self.dollar(tag)),
                None => (Kind::Symbol(b'$'), 1),
            },
            [b'?', ..] => (Kind::Placeholder, 1 + digits(&rest[1..])),
            [b':', b':', ..] => (Kind::Symbol(b':'), 2),
            // Behind a value, a colon divides: `{'key':true}`, `list[1:2]`.
            [b':', first, ..] if !self.operand && is_name(*first) => {
                (Kind::Placeholder, 1 + word(&rest[1..]))
            }
            [b'@', first, ..] if is_name(*first) => (Kind::Placeholder, 1 + word(&rest[1..])),
            [b'@', b'@', first, ..] if is_name(*first) => (Kind::Placeholder, 2 + word(&rest[2..])),
            [first, ..] if is_word(*first) => self.word(),
            [sign, ..] => (Kind::Symbol(*sign), 1),
            [] => (Kind::Symbol(0), 0),
        }
    }

    /// `.5` behind a name is a part of it for no database, but neither is it a number: `t.1`.
    fn after_name(&self, rest: &[u8]) -> bool {
        rest[0] == b'.' && self.operand
    }

    fn word(&mut self) -> (Kind, usize) {
        let length = word(self.rest);
        let (text, after) = self.rest.split_at(length);
        let prefix = |letters: &[u8]| text.len() == 1 && letters.contains(&text[0].to_ascii_uppercase());
        if after.first() == Some(&b'\'') {
            // E'…', and bits, hexadecimal, national and introduced (`_utf8'…'`) strings.
            let escapes = prefix(b"E") || self.dialect.backslash_escapes;
            if prefix(b"EBXN") || text[0] == b'_' {
                return (Kind::Literal, self.string(length, b'\'', escapes));
            }
        }
        if after.starts_with(b"&'") && prefix(b"U") {
            return (Kind::Literal, self.string(length + 1, b'\'', false));
        }
        if let Some(uuid) = uuid(self.rest, self.cut) {
            return (Kind::Literal, uuid);
        }
        let constant =
            text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false") || iso_duration(text);
        (if constant { Kind::Literal } else { Kind::Word }, length)
    }

    /// Length of a string whose opening quote stands at `opening`: a doubled quote does not end it.
    fn string(&mut self, opening: usize, quote: u8, escapes: bool) -> usize {
        let mut at = opening + 1;
        loop {
            let body = self.rest.get(at..).unwrap_or_default();
            let found =
                if escapes { memchr::memchr2(quote, b'\\', body) } else { memchr::memchr(quote, body) };
            let Some(found) = found else {
                self.unterminated = true;
                return self.rest.len();
            };
            let doubled = body.get(found + 1) == Some(&quote);
            at += found + 1;
            if body[found] == b'\\' || doubled {
                at += 1;
            } else {
                return at;
            }
        }
    }

    /// Length of a string between dollar tags.
    fn dollar(&mut self, tag: usize) -> usize {
        let (tag, body) = self.rest.split_at(tag);
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'$', &body[at..]) {
            at += found;
            if body[at..].starts_with(tag) {
                return tag.len() + at + tag.len();
            }
            at += 1;
        }
        self.unterminated = true;
        self.rest.len()
    }
}

/// MySQL's `/*!40101 …`, MariaDB's `/*M!100100 …`, and their ends: what is between is to be read.
fn executable(rest: &[u8]) -> Option<&[u8]> {
    if let Some(after) = rest.strip_prefix(b"*/") {
        return Some(after);
    }
    let inner = rest.strip_prefix(b"/*!").or_else(|| rest.strip_prefix(b"/*M!"))?;
    Some(&inner[digits(inner)..])
}

/// Part of a plain name: letters, digits, `_`, `$`, and whatever is not ASCII.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// What a plain name begins with.
fn is_name(byte: u8) -> bool {
    is_word(byte) && !byte.is_ascii_digit() && byte != b'$'
}

fn word(text: &[u8]) -> usize {
    text.iter().position(|byte| !is_word(*byte)).unwrap_or(text.len())
}

fn digits(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

/// Length of a number in any notation, with what hangs on it (`0xFF`, `1.5e-3`, `12h30m`, a UUID's dashes).
fn number(text: &[u8], cut: bool) -> usize {
    if let Some(uuid) = uuid(text, cut) {
        return uuid;
    }
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let exponent = matches!(byte, b'+' | b'-')
            && at > 0
            && matches!(text[at - 1], b'e' | b'E')
            && !text.starts_with(b"0x")
            && text.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !(is_word(*byte) || *byte == b'.' || exponent) {
            break;
        }
        at += 1;
    }
    at
}

/// `$tag$` at the beginning, with both its dollars.
fn dollar_tag(text: &[u8]) -> Option<usize> {
    /// As long as a PostgreSQL name may be.
    const LONGEST: usize = 63;
    let name = text[1..]
        .iter()
        .take(LONGEST + 1)
        .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80))?;
    (text.get(1 + name) == Some(&b'$')).then_some(name + 2)
}

/// A UUID, which CQL writes without quotes: 8-4-4-4-12 hexadecimal digits. One that was cut off counts, too.
fn uuid(text: &[u8], cut: bool) -> Option<usize> {
    const LENGTH: usize = 36;
    let mut digit = false;
    for (at, byte) in text.iter().take(LENGTH).enumerate() {
        let fits = if matches!(at, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() };
        if !fits {
            return None;
        }
        digit |= byte.is_ascii_digit() || *byte == b'-';
    }
    match text.len() {
        0..LENGTH => (cut && digit).then_some(text.len()),
        LENGTH => Some(LENGTH),
        _ => (!is_word(text[LENGTH])).then_some(LENGTH),
    }
}

/// CQL's `P1Y2M10DT2H` (ISO 8601), as far as it is one word.
fn iso_duration(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"P") else { return false };
    rest.first().is_some_and(u8::is_ascii_digit)
        && rest.iter().all(|byte| byte.is_ascii_digit() || b"YMDTHSW".contains(byte))
}
