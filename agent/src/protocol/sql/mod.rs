//! SQL and CQL, as far as a span needs them: a text without literals, a summary, an operation and a collection.
//!
//! Nothing here is a grammar. One pass over the tokens of a statement feeds two small machines: [`redact`] copies the text
//! with every literal replaced, [`summary`] looks for operations and their targets. Both take any bytes, cut anywhere, and
//! neither allocates anything but its result, which is bounded.
//!
//! What a literal is depends on the dialect (`"…"` is a name for PostgreSQL and a string for MySQL; a backslash escapes or
//! does not), so the reader must say which is spoken: read wrongly, a text could show what it should hide.

mod comment;
pub mod detail;
pub mod doubt;
mod keyword;
pub mod prepared;
mod redact;
mod summary;
mod token;

#[cfg(test)]
mod tests;

pub use token::{Kind, Token, Tokens};

use redact::Redaction;
use summary::Summary;

use super::{Statements, TraceParent};

/// The longest text that is told, in bytes.
pub const MAX_TEXT: usize = 8 * 1024;
/// The longest summary, in bytes; the conventions say 255 characters.
pub const MAX_SUMMARY: usize = 255;

/// How a dialect writes what can be written in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// `"…"` is a string, not a name.
    pub double_quoted_strings: bool,
    /// `\'` does not end a string.
    pub backslash_escapes: bool,
    /// `` `…` `` is a name.
    pub backtick_names: bool,
    /// `$$…$$` and `$tag$…$tag$` are strings.
    pub dollar_quotes: bool,
    /// `# …` is a comment; `--` begins one only before white space; `/*! … */` is no comment.
    pub mysql_comments: bool,
    /// `// …` is a comment.
    pub slash_comments: bool,
    /// `/* /* */ */` is one comment.
    pub nested_comments: bool,
}

impl Dialect {
    /// Standard SQL as PostgreSQL speaks it, with `standard_conforming_strings` on, as it is by default.
    pub const POSTGRESQL: Self = Self {
        double_quoted_strings: false,
        backslash_escapes: false,
        backtick_names: false,
        dollar_quotes: true,
        mysql_comments: false,
        slash_comments: false,
        nested_comments: true,
    };

    /// MySQL and MariaDB with their default `sql_mode`.
    pub const MYSQL: Self = Self {
        double_quoted_strings: true,
        backslash_escapes: true,
        backtick_names: true,
        dollar_quotes: false,
        mysql_comments: true,
        slash_comments: false,
        nested_comments: false,
    };

    /// Cassandra's query language.
    pub const CQL: Self = Self {
        double_quoted_strings: false,
        backslash_escapes: false,
        backtick_names: false,
        dollar_quotes: true,
        mysql_comments: false,
        slash_comments: true,
        nested_comments: false,
    };
}

/// What is kept of a statement, or of several in one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// `db.query.text`: with literals replaced, or raw, or none, as the user wants it. At most [`MAX_TEXT`] bytes; a
    /// longer one ends in `…`.
    pub text: Option<Box<str>>,
    /// `db.query.summary`, and the span's name: `SELECT orders customers`. At most [`MAX_SUMMARY`] bytes. Empty if no known
    /// command was found.
    pub summary: Box<str>,
    /// `db.operation.name`: the command of the first statement, in upper case. Empty if it is not a known one.
    pub operation: Box<str>,
    /// `db.collection.name`: the table, if there is exactly one.
    pub collection: Option<Box<str>>,
    /// Trace context in a comment, as sqlcommenter writes it.
    pub parent: Option<TraceParent>,
}

impl Statement {
    /// Reads standard SQL or CQL. `cut` says that the statement went on behind `sql`.
    #[must_use]
    pub fn read(sql: &[u8], cut: bool, statements: Statements) -> Self {
        Self::read_in(Dialect { nested_comments: true, ..Dialect::CQL }, sql, cut, statements)
    }

    /// Reads a statement of this dialect. `cut` says that it went on behind `sql`.
    #[must_use]
    pub fn read_in(dialect: Dialect, sql: &[u8], cut: bool, statements: Statements) -> Self {
        let mut redaction = (statements == Statements::Redacted).then(|| Redaction::new(sql.len()));
        let mut summary = Summary::default();
        let mut parent = None;
        let mut tokens = Tokens::new(dialect, sql, cut);
        while let Some(token) = tokens.next() {
            if token.kind == Kind::Comment {
                parent = parent.or_else(|| comment::trace_context(token.text));
            } else {
                summary.token(&token);
            }
            if let Some(redaction) = &mut redaction {
                redaction.token(&token, tokens.rest());
            }
        }
        let text = match statements {
            // A string that does not end says that something was misread, and then nothing can be told.
            Statements::Redacted if tokens.unterminated() && !cut => None,
            Statements::Redacted => redaction.and_then(|redaction| redaction.finish(cut)),
            Statements::Raw => raw(sql, cut),
            Statements::Off => None,
        };
        let mut statement = summary.finish(cut, text, parent);
        if tokens.unterminated() && !cut {
            // Nor can the names be trusted.
            statement.summary = statement.operation.clone();
            statement.collection = None;
        }
        statement
    }
}

/// Whether a text begins with a command that databases know: for telling whether it is SQL at all. Comments and parentheses
/// may stand before it.
#[must_use]
pub fn begins_with_command(sql: &[u8]) -> bool {
    let mut tokens = Tokens::new(Dialect::POSTGRESQL, sql, true);
    loop {
        let Some(token) = tokens.next() else { return false };
        match token.kind {
            Kind::Comment | Kind::Symbol(b'(') => {}
            Kind::Word => {
                let mut buffer = [0; keyword::MAX_KEYWORD];
                return keyword::command(keyword::upper(token.text, &mut buffer)).is_some();
            }
            _ => return false,
        }
    }
}

/// The text as it was sent, as far as it is told.
fn raw(sql: &[u8], cut: bool) -> Option<Box<str>> {
    let kept = &sql[..sql.len().min(MAX_TEXT - "…".len())];
    let cut = cut || kept.len() < sql.len();
    // A character that was cut in two is left out.
    let whole = match std::str::from_utf8(kept) {
        Err(error) if error.error_len().is_none() => &kept[..error.valid_up_to()],
        _ => kept,
    };
    told(whole, cut)
}

/// A text for an attribute; `None` for an empty one.
fn told(bytes: &[u8], cut: bool) -> Option<Box<str>> {
    let mut text = String::with_capacity(bytes.len() + if cut { "…".len() } else { 0 });
    text.push_str(&String::from_utf8_lossy(bytes));
    if cut {
        text.push('…');
    }
    (!bytes.is_empty()).then(|| text.into_boxed_str())
}
