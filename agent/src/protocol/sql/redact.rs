//! A statement's text without its literals.
//!
//! Each literal becomes `?`, comments go, white space becomes one space. Lists that only differ in length look alike:
//! constants that follow each other in `IN (…)` become one, and so do the rows of `VALUES`.

use super::token::{Kind, Token};
use super::{MAX_TEXT, told};

/// `IN (…)` at some depth.
#[derive(Clone, Copy)]
struct List {
    depth: u32,
    /// What stood since the last comma was one constant.
    constant: bool,
}

/// `VALUES (…), (…)` at some depth.
#[derive(Clone, Copy)]
struct Rows {
    depth: u32,
    begun: bool,
    /// The last token closed a row.
    closed: bool,
}

/// The text so far.
pub(super) struct Redaction {
    out: Vec<u8>,
    depth: u32,
    space: bool,
    full: bool,
    /// The last word was `IN`.
    list_next: bool,
    list: Option<List>,
    /// A comma of the list that is written if something else than a constant follows.
    comma: bool,
    rows: Option<Rows>,
    /// A row is being left out.
    muted: bool,
}

impl Redaction {
    /// Nothing yet, of a statement of that many bytes.
    pub fn new(length: usize) -> Self {
        Self {
            out: Vec::with_capacity(length.min(MAX_TEXT)),
            depth: 0,
            space: false,
            full: false,
            list_next: false,
            list: None,
            comma: false,
            rows: None,
            muted: false,
        }
    }

    /// The next token; `rest` is what follows it.
    pub fn token(&mut self, token: &Token<'_>, rest: &[u8]) {
        self.space |= token.spaced;
        if token.kind == Kind::Comment {
            self.space = true;
            return;
        }
        if self.next_row(token, rest) {
            return;
        }
        let list_next = std::mem::take(&mut self.list_next);
        match token.kind {
            Kind::Symbol(b'(') => {
                self.leave_constant();
                self.write(b"(");
                if self.list.is_some_and(|list| list.depth == self.depth) && self.rows.is_none() {
                    // Rows in a list: `IN ((1, 2), (3, 4))`.
                    self.rows = Some(Rows { depth: self.depth, begun: true, closed: false });
                }
                self.depth += 1;
                if list_next {
                    self.list = Some(List { depth: self.depth, constant: false });
                }
            }
            Kind::Symbol(b')') => {
                self.flush_comma();
                self.depth = self.depth.saturating_sub(1);
                self.list = self.list.filter(|list| list.depth <= self.depth);
                if let Some(rows) = self.rows.as_mut().filter(|rows| rows.depth == self.depth) {
                    rows.closed = true;
                }
                self.rows = self.rows.filter(|rows| rows.depth <= self.depth);
                self.muted &= self.rows.is_some();
                self.write(b")");
            }
            Kind::Symbol(b',') => match self.list.filter(|list| list.depth == self.depth) {
                Some(List { constant: true, .. }) => self.comma = true,
                _ => self.write(b","),
            },
            Kind::Literal | Kind::Placeholder => self.constant(token, rest),
            Kind::Word => {
                self.leave_constant();
                self.write(token.text);
                self.list_next = token.text.eq_ignore_ascii_case(b"in");
                if self.rows.is_none() && token.text.eq_ignore_ascii_case(b"values") {
                    self.rows = Some(Rows { depth: self.depth, begun: false, closed: false });
                }
            }
            _ => {
                self.leave_constant();
                self.write(token.text);
            }
        }
    }

    /// Follows the rows of `VALUES`; true if the token is the comma before a row that is left out.
    fn next_row(&mut self, token: &Token<'_>, rest: &[u8]) -> bool {
        let Some(rows) = self.rows.as_mut().filter(|rows| rows.depth == self.depth) else { return false };
        if !rows.begun {
            rows.begun = true;
            if token.kind != Kind::Symbol(b'(') {
                self.rows = None;
            }
            return false;
        }
        if !rows.closed {
            return false;
        }
        if token.kind == Kind::Symbol(b',') && rest.trim_ascii_start().starts_with(b"(") {
            rows.closed = false;
            self.muted = true;
            return true;
        }
        self.rows = None;
        self.muted = false;
        false
    }

    /// A literal or a placeholder: alone in a list behind another, it is left out.
    fn constant(&mut self, token: &Token<'_>, rest: &[u8]) {
        let alone = matches!(rest.trim_ascii_start(), [] | [b',' | b')', ..]);
        if self.comma && alone {
            self.comma = false;
            self.space = false;
            return;
        }
        self.flush_comma();
        let first = self.out.ends_with(b"(") || self.out.ends_with(b",");
        if let Some(list) = self.list.as_mut().filter(|list| list.depth == self.depth) {
            list.constant = alone && first;
            if list.constant {
                self.write(b"?");
                return;
            }
        }
        self.write(if token.kind == Kind::Literal { b"?" } else { token.text });
    }

    fn leave_constant(&mut self) {
        self.flush_comma();
        if let Some(list) = self.list.as_mut().filter(|list| list.depth == self.depth) {
            list.constant = false;
        }
    }

    fn flush_comma(&mut self) {
        if std::mem::take(&mut self.comma) {
            let space = std::mem::take(&mut self.space);
            self.write(b",");
            self.space = space;
        }
    }

    fn write(&mut self, text: &[u8]) {
        let space = std::mem::take(&mut self.space) && !self.out.is_empty();
        if self.muted || self.full {
            return;
        }
        if self.out.len() + text.len() + usize::from(space) > MAX_TEXT - "…".len() {
            self.full = true;
            return;
        }
        if space {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(text);
    }

    /// The text; `cut` says that the statement went on.
    pub fn finish(self, cut: bool) -> Option<Box<str>> {
        told(&self.out, cut || self.full)
    }
}
