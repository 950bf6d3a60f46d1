//! GraphQL over HTTP (graphql.github.io/graphql-over-http), by OpenTelemetry's conventions for it. The document, which may
//! hold values, is not told.

use super::super::Attributes;
use super::json::{Path, Scalar};
use super::name;

/// Operations of a document that are kept until it is known which of them is asked for.
const MOST_OPERATIONS: usize = 8;

/// Bytes of a document that are looked at.
const MOST_DOCUMENT: usize = 1024;

/// An operation that a document defines.
#[derive(Clone, Debug)]
struct Operation {
    /// `query`, `mutation` or `subscription`.
    kind: &'static str,
    name: Option<Box<str>>,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    operations: Vec<Operation>,
    /// Which of them is asked for: `operationName`.
    asked: Option<Box<str>>,
    /// The request had a document, or named a stored one.
    document: bool,
    errors: bool,
}

impl Call {
    /// It is one.
    pub fn is_one(&self) -> bool {
        self.document
    }

    /// A `GET` with the document in its query.
    pub fn of_query(path: &str, query: &str) -> Option<Self> {
        if !path.ends_with("/graphql") {
            return None;
        }
        let mut call = Self::default();
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("query", value)) => call.read(&decode(value), false),
                Some(("operationName", value)) if !value.is_empty() => {
                    call.asked = Some(name(value.as_bytes()));
                }
                _ => {}
            }
        }
        call.document.then_some(call)
    }

    /// A value of the request.
    pub fn asked(&mut self, path: &Path<'_>, value: Scalar<'_>) {
        match (path.last_at(1), value.text()) {
            (Some(b"query"), Some(text)) => self.read(&unescape(text), value.is_cut()),
            (Some(b"operationName"), Some(text)) if !text.is_empty() => {
                self.asked = Some(name(text.as_bytes()));
            }
            _ => {}
        }
        // A document that the server has stored.
        self.document |= path.is(&["extensions", "persistedQuery"]);
    }

    /// A value of the response.
    pub fn answered(&mut self, path: &Path<'_>, value: Scalar<'_>) {
        self.errors |= path.is(&["errors", "[]"]) && value == Scalar::Object;
    }

    /// The definitions of a document (GraphQL, 2.2 to 2.3), which may be cut.
    fn read(&mut self, document: &[u8], cut: bool) {
        let mut rest = Rest(document);
        while self.operations.len() < MOST_OPERATIONS {
            rest.ignore();
            let keyword = rest.word();
            let kind =
                ["query", "mutation", "subscription"].into_iter().find(|kind| *kind.as_bytes() == *keyword);
            rest.ignore();
            let operation = match (kind, keyword, rest.0.first()) {
                // Without a keyword it is a query.
                (None, b"", Some(b'{')) => Some(Operation { kind: "query", name: None }),
                (Some(kind), ..) => {
                    let own = rest.word();
                    rest.ignore();
                    let name = Some(own).filter(|own| !own.is_empty()).map(name);
                    Some(Operation { kind, name })
                }
                (None, b"fragment", _) => {
                    rest.word();
                    rest.ignore();
                    if rest.word() != b"on" {
                        return;
                    }
                    None
                }
                _ => return,
            };
            // Other texts may begin with these words.
            if operation.is_some()
                && !matches!(rest.0.first(), Some(b'{' | b'(' | b'@'))
                && !(cut && rest.0.is_empty())
            {
                return;
            }
            self.document = true;
            self.operations.extend(operation);
            rest.definition();
        }
    }

    /// `graphql.*`
    pub fn describe(&self, out: &mut Attributes) -> Option<String> {
        let operation = match &self.asked {
            None => self.operations.first(),
            Some(asked) => {
                let found = self.operations.iter().find(|one| one.name.as_ref() == Some(asked));
                found.or(self
                    .operations
                    .first()
                    .filter(|first| self.operations.len() == 1 && first.name.is_none()))
            }
        };
        if let Some(operation) = operation {
            out.text("graphql.operation.type", operation.kind);
        }
        if let Some(name) = self.asked.as_ref().or(operation.and_then(|operation| operation.name.as_ref())) {
            out.text("graphql.operation.name", name.to_string());
        }
        self.errors.then(|| "graphql_errors".to_owned())
    }
}

/// Reads a document that is a body of its own (`application/graphql`).
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    seen: Vec<u8>,
}

impl Document {
    pub fn is_over(&self) -> bool {
        self.seen.len() >= MOST_DOCUMENT
    }

    pub fn read(&mut self, bytes: &[u8], call: &mut Call) {
        let room = MOST_DOCUMENT - self.seen.len();
        self.seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
        call.operations.clear();
        call.read(&self.seen, true);
    }
}

/// What is left of a document.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Passes over what means nothing: white space, commas, comments, a byte order mark.
    fn ignore(&mut self) {
        while let Some((&byte, behind)) = self.0.split_first() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xef | 0xbb | 0xbf => self.0 = behind,
                b'#' => self.line(),
                _ => return,
            }
        }
    }

    fn line(&mut self) {
        let end = memchr::memchr2(b'\r', b'\n', self.0).unwrap_or(self.0.len());
        self.0 = &self.0[end..];
    }

    /// A name or keyword; empty if there is none.
    fn word(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        word
    }

    /// Passes over a string that begins here (2.9.4).
    fn text(&mut self) {
        if let Some(block) = self.0.strip_prefix(b"\"\"\"") {
            let end = memchr::memmem::find(block, b"\"\"\"").map_or(block.len(), |end| end + 3);
            self.0 = &block[end..];
            return;
        }
        let mut at = 1;
        while let Some(byte) = self.0.get(at) {
            at += match byte {
                b'\\' => 2,
                b'"' | b'\n' => break,
                _ => 1,
            };
        }
        self.0 = self.0.get(at + 1..).unwrap_or_default();
    }

    /// Passes over the rest of a definition: to the end of its selections.
    fn definition(&mut self) {
        let mut depth = 0_usize;
        while let Some((&byte, behind)) = self.0.split_first() {
            match byte {
                b'"' => {
                    self.text();
                    continue;
                }
                b'#' => {
                    self.line();
                    continue;
                }
                b'{' | b'(' | b'[' => depth += 1,
                b'}' | b')' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.0 = behind;
            if byte == b'}' && depth == 0 {
                return;
            }
        }
    }
}

/// A text as JSON escapes it. Characters outside ASCII are of no use here.
fn unescape(text: &str) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'u') => {
                    let digits: Vec<u8> = bytes.by_ref().take(4).collect();
                    let digits = std::str::from_utf8(&digits).ok();
                    let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                    code.filter(u8::is_ascii).unwrap_or(b'?')
                }
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        plain.push(byte);
    }
    plain
}

/// A text as a URL's query encodes it.
fn decode(text: &str) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(match (byte, code) {
            (b'%', Some(code)) => {
                rest = &behind[2..];
                code
            }
            (b'+', _) => b' ',
            (byte, _) => byte,
        });
    }
    plain
}
