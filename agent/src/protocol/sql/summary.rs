//! A statement's operations and their targets, by the conventions' rules for `db.query.summary`.
//!
//! No grammar, but a small machine that knows where in a statement names of tables stand: behind `FROM`, `JOIN`, `INTO`,
//! `UPDATE`, `TABLE`, in each pair of parentheses for itself. Names that `WITH` introduces are no tables. Where the
//! machine does not know what it reads, it leaves out rather than guesses: a summary never contains a literal, and what is
//! no known command yields none.

use super::keyword::{MAX_KEYWORD, command, plain, upper};
use super::token::{Kind, Token};
use super::{MAX_SUMMARY, Statement};
use crate::protocol::TraceParent;

/// Parentheses in each other that are followed; nothing is read in deeper ones.
const MAX_DEPTH: usize = 24;
/// Names introduced by `WITH` that are known.
const MAX_INTRODUCED: usize = 16;

/// What the names at this place of a statement are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Clause {
    #[default]
    Other,
    /// A list of tables: `FROM`, `JOIN`, `UPDATE`.
    From,
    /// One table: `INTO`, and DDL.
    Into,
    /// What is introduced by `WITH`.
    With,
    /// A thing that is no table: a procedure, a database.
    Thing,
}

/// A pair of parentheses.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// A query or a change is being read here, so `FROM` names tables (it does not in `EXTRACT(DAY FROM …)`).
    query: bool,
    clause: Clause,
    /// The next name is one of the clause.
    expect: bool,
}

/// The words before the present one that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Other,
    Distinct,
    Using,
    Begin,
}

/// How many tables there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Collection {
    #[default]
    None,
    /// One; where its name stands in the summary.
    One(usize, usize),
    Many,
}

/// A name that is being read, perhaps of several parts.
#[derive(Clone, Copy, Debug)]
struct Name<'a> {
    /// Where the summary ended before it.
    start: usize,
    clause: Clause,
    first: &'a [u8],
    parts: u32,
    /// A dot was the last token.
    dot: bool,
    overflow: bool,
}

/// The machine.
#[derive(Debug, Default)]
pub(super) struct Summary<'a> {
    out: String,
    full: bool,
    operation: Option<&'static str>,
    collection: Collection,
    levels: [Level; MAX_DEPTH],
    depth: usize,
    introduced: [&'a [u8]; MAX_INTRODUCED],
    introductions: usize,
    name: Option<Name<'a>>,
    before: Before,
    /// A statement begins here.
    begun: bool,
    /// `INSERT`, `UPDATE`, `DELETE` and `MERGE` would be operations here.
    may_operate: bool,
    /// Nothing more of this statement matters.
    mute: bool,
    /// `CREATE`, `ALTER`, `DROP`: the word for what is created follows.
    ddl: bool,
    /// The statement's command.
    command: &'static str,
    /// In a batch of CQL, or behind `EXPLAIN`: commands follow without anything between.
    batch: bool,
    /// The parts of the summary that the last statement and this one wrote begin here.
    segments: [usize; 2],
}

impl<'a> Summary<'a> {
    /// The next token, which is no comment.
    pub fn token(&mut self, token: &Token<'a>) {
        if self.name.is_some() && self.continue_name(token) {
            return;
        }
        let before = std::mem::take(&mut self.before);
        match token.kind {
            Kind::Symbol(b'(') => self.open(before),
            Kind::Symbol(b')') => self.close(),
            Kind::Symbol(b';') if self.depth == 0 => self.next_statement(),
            Kind::Symbol(b',') => {
                self.may_operate = false;
                if let Some(level) = self.level() {
                    level.expect = level.clause != Clause::Other;
                }
            }
            Kind::Word => self.word(token.text, before),
            Kind::Quoted => {
                self.may_operate = false;
                if self.level().is_some_and(|level| level.expect) {
                    self.begin_name(token);
                }
            }
            _ => {
                self.may_operate = self.command == "EXPLAIN";
                if let Some(level) = self.level() {
                    level.expect &= level.clause == Clause::Other;
                }
            }
        }
    }

    /// The present parentheses, unless they are too deep.
    fn level(&mut self) -> Option<&mut Level> {
        if self.mute {
            return None;
        }
        self.levels.get_mut(self.depth)
    }

    fn set(&mut self, clause: Clause, expect: bool) {
        if let Some(level) = self.level() {
            level.clause = clause;
            level.expect = expect;
        }
    }

    fn open(&mut self, before: Before) {
        let mut inner = Level::default();
        if let Some(level) = self.level() {
            // `FROM (a JOIN b)` groups tables; `USING (column)` does not.
            if level.expect && level.clause == Clause::From && before != Before::Using {
                inner = Level { query: false, clause: Clause::From, expect: true };
            }
            level.expect = false;
        }
        self.depth += 1;
        if let Some(level) = self.level() {
            *level = inner;
        }
        self.may_operate = true;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        let clause = self.level().map(|level| level.clause);
        self.may_operate = matches!(clause, Some(Clause::With | Clause::Into)) || self.command == "EXPLAIN";
    }

    fn next_statement(&mut self) {
        self.end_segment();
        self.levels = [Level::default(); MAX_DEPTH];
        self.begun = false;
        self.mute = false;
        self.ddl = false;
        self.may_operate = false;
        self.introductions = 0;
        self.command = "";
    }

    /// A statement that reads as the one before it is not told again.
    fn end_segment(&mut self) {
        let [previous, present] = self.segments;
        let segment = |range: &str| range.trim_start().len();
        let (before, now) = (&self.out[previous..present], &self.out[present..]);
        if segment(now) > 0 && before.trim_start() == now.trim_start() {
            // The collection is the same, too, and stands where it first stood.
            self.out.truncate(present);
        } else if segment(now) > 0 {
            self.segments = [present, self.out.len()];
        }
    }

    fn word(&mut self, text: &'a [u8], before: Before) {
        let mut buffer = [0; MAX_KEYWORD];
        let keyword = upper(text, &mut buffer);
        if !self.begun {
            self.begin_statement(keyword);
            return;
        }
        let may_operate = std::mem::take(&mut self.may_operate) || self.batch;
        let explain = self.command == "EXPLAIN";
        let Some(level) = self.level() else { return };
        if level.expect && self.expected(keyword, text, before) {
            return;
        }
        let Some(&mut Level { query, clause, .. }) = self.level() else { return };
        match keyword {
            b"SELECT" => {
                if let Some(level) = self.level() {
                    *level = Level { query: true, ..Level::default() };
                }
                self.operate("SELECT");
            }
            b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE" | b"REPLACE" if may_operate => {
                if let Some(command) = command(keyword) {
                    self.operate(command);
                    self.change(command);
                }
            }
            b"WITH" if may_operate => self.set(Clause::With, true),
            b"TABLE" if may_operate && !self.ddl => self.set(Clause::Into, true),
            b"FROM" if query && before != Before::Distinct => self.set(Clause::From, true),
            b"INTO" if query => self.set(Clause::Into, true),
            b"JOIN" | b"STRAIGHT_JOIN" if clause == Clause::From => self.set(Clause::From, true),
            b"USING" => {
                if query && matches!(self.command, "DELETE" | "MERGE") {
                    self.set(Clause::From, true);
                }
                self.before = Before::Using;
            }
            b"DISTINCT" => self.before = Before::Distinct,
            b"BATCH" | b"UNLOGGED" | b"COUNTER" if before == Before::Begin => self.begin_batch(keyword),
            b"ON" if self.ddl => self.set(Clause::Into, true),
            b"AS" => {
                // The name of what is created or prepared is over; `WITH name AS (` stays what it is.
                self.may_operate = self.ddl || matches!(self.command, "PREPARE" | "DECLARE");
                self.ddl = false;
            }
            b"WHERE" | b"GROUP" | b"ORDER" | b"HAVING" | b"LIMIT" | b"OFFSET" | b"FETCH" | b"FOR"
            | b"UNION" | b"INTERSECT" | b"EXCEPT" | b"WINDOW" | b"RETURNING" | b"SET" | b"VALUES"
            | b"QUALIFY" | b"PROCEDURE" | b"LOCK" | b"DEFAULT" | b"WHEN" | b"IF"
                if clause != Clause::With =>
            {
                self.set(Clause::Other, false);
            }
            _ if self.ddl => self.object(keyword),
            _ => {}
        }
        // `EXPLAIN (ANALYZE, FORMAT JSON) DELETE …`
        self.may_operate |= explain && self.command == "EXPLAIN" && self.depth == 0 && !level_has_query(self);
    }

    /// A word where a name is expected; false if it is read as a keyword.
    fn expected(&mut self, keyword: &[u8], text: &'a [u8], before: Before) -> bool {
        let Some(level) = self.level() else { return true };
        let clause = level.clause;
        match (clause, keyword) {
            (Clause::From, b"ONLY" | b"LATERAL" | b"LOW_PRIORITY" | b"IGNORE" | b"TABLE" | b"QUICK")
            | (
                Clause::Into,
                b"INTO"
                | b"TABLE"
                | b"TABLES"
                | b"ONLY"
                | b"IGNORE"
                | b"LOW_PRIORITY"
                | b"HIGH_PRIORITY"
                | b"DELAYED"
                | b"OVERWRITE"
                | b"IF"
                | b"NOT"
                | b"EXISTS"
                | b"CONCURRENTLY"
                | b"FULL"
                | b"FREEZE"
                | b"VERBOSE"
                | b"ANALYZE"
                | b"NO_WRITE_TO_BINLOG"
                | b"LOCAL"
                | b"OR"
                | b"REPLACE"
                | b"MATERIALIZED"
                | b"VIEW"
                | b"TEMPORARY"
                | b"TEMP"
                | b"UNLOGGED",
            )
            | (Clause::With, b"RECURSIVE")
            | (Clause::Thing, b"IF" | b"NOT" | b"EXISTS") => return true,
            (Clause::From, b"TIMESTAMP" | b"TTL") if before == Before::Using => level.expect = false,
            (Clause::Into, b"OUTFILE" | b"DUMPFILE") => level.expect = false,
            (_, b"SELECT" | b"WITH" | b"VALUES" | b"FROM" | b"WHERE" | b"SET" | b"JOIN") => {
                level.expect = false;
                return false;
            }
            _ => self.begin_name(&Token { kind: Kind::Word, text, spaced: true }),
        }
        true
    }

    /// The first word of a statement.
    fn begin_statement(&mut self, keyword: &[u8]) {
        self.begun = true;
        let Some(command) = command(keyword) else {
            // Unknown, or the end of what `BEGIN` began.
            self.mute = true;
            return;
        };
        self.command = command;
        match command {
            "WITH" => {
                self.set(Clause::With, true);
                return;
            }
            "APPLY" => return,
            _ => {
                // Perhaps within parentheses.
                self.operation.get_or_insert(command);
                self.push(command);
            }
        }
        match command {
            "SELECT" | "LOAD" => {
                if let Some(level) = self.level() {
                    level.query = true;
                }
            }
            "INSERT" | "REPLACE" | "MERGE" | "UPDATE" | "DELETE" => self.change(command),
            "CREATE" | "ALTER" | "DROP" => self.ddl = true,
            "TABLE" | "TRUNCATE" | "ANALYZE" | "VACUUM" | "LOCK" | "DESCRIBE" | "DESC" | "CHECKSUM"
            | "OPTIMIZE" | "REPAIR" | "CHECK" | "REFRESH" | "COPY" | "CLUSTER" => {
                self.set(Clause::Into, true)
            }
            "CALL" | "USE" => self.set(Clause::Thing, true),
            "GRANT" | "REVOKE" => self.mute = true,
            "EXPLAIN" => self.may_operate = true,
            "BEGIN" => self.before = Before::Begin,
            _ => {}
        }
    }

    /// What follows the word of a change.
    fn change(&mut self, command: &'static str) {
        // Behind `EXPLAIN` or `WITH`, this is the command.
        if self.depth == 0 {
            self.command = command;
        }
        if let Some(level) = self.level() {
            *level = match command {
                "UPDATE" => Level { query: true, clause: Clause::From, expect: true },
                "DELETE" => Level { query: true, clause: Clause::Other, expect: false },
                _ => Level { query: true, clause: Clause::Into, expect: true },
            };
        }
    }

    /// `BEGIN [UNLOGGED | COUNTER] BATCH` (CQL): the statements in it follow.
    fn begin_batch(&mut self, keyword: &[u8]) {
        if keyword != b"BATCH" {
            self.before = Before::Begin;
            return;
        }
        if self.operation == Some("BEGIN") {
            self.operation = Some("BATCH");
            self.out.truncate(self.segments[1]);
            self.out.push_str("BATCH");
        }
        self.batch = true;
    }

    /// `TABLE` behind `CREATE`, and so on.
    fn object(&mut self, keyword: &[u8]) {
        let (word, clause) = match keyword {
            b"TABLE" => ("TABLE", Clause::Into),
            b"VIEW" => ("VIEW", Clause::Into),
            b"INDEX" => ("INDEX", Clause::Other),
            b"DATABASE" => ("DATABASE", Clause::Thing),
            b"SCHEMA" => ("SCHEMA", Clause::Thing),
            b"KEYSPACE" => ("KEYSPACE", Clause::Thing),
            b"SEQUENCE" => ("SEQUENCE", Clause::Thing),
            b"TYPE" => ("TYPE", Clause::Thing),
            b"FUNCTION" => ("FUNCTION", Clause::Thing),
            b"PROCEDURE" => ("PROCEDURE", Clause::Thing),
            b"EXTENSION" => ("EXTENSION", Clause::Thing),
            b"TRIGGER" => ("TRIGGER", Clause::Other),
            b"ROLE" => ("ROLE", Clause::Other),
            b"USER" => ("USER", Clause::Other),
            _ => return,
        };
        self.push(word);
        // An index and a trigger are on a table; the others have no more than a name.
        self.ddl = clause == Clause::Other;
        self.set(clause, clause != Clause::Other);
    }

    fn operate(&mut self, command: &'static str) {
        if self.depth == 0 {
            self.operation.get_or_insert(command);
        }
        self.push(command);
    }

    fn push(&mut self, word: &str) {
        let space = usize::from(!self.out.is_empty());
        self.full |= self.out.len() + space + word.len() > MAX_SUMMARY;
        if !self.full {
            self.out.push_str(if space > 0 { " " } else { "" });
            self.out.push_str(word);
        }
    }

    fn begin_name(&mut self, token: &Token<'a>) {
        let start = self.out.len();
        let Some(level) = self.level() else { return };
        level.expect = false;
        let clause = level.clause;
        self.name =
            Some(Name { start, clause, first: token.text, parts: 0, dot: false, overflow: self.full });
        if start > 0 {
            self.part(" ");
        }
        self.add_part(token.text);
    }

    fn add_part(&mut self, text: &[u8]) {
        self.part(&String::from_utf8_lossy(plain(text)));
        if let Some(name) = &mut self.name {
            name.parts += 1;
            name.dot = false;
        }
    }

    fn part(&mut self, text: &str) {
        let Some(name) = &mut self.name else { return };
        name.overflow |= self.out.len() + text.len() > MAX_SUMMARY;
        if !name.overflow {
            self.out.push_str(text);
        }
    }

    /// Reads on in a name of several parts, or ends it; true if the token belonged to it.
    fn continue_name(&mut self, token: &Token<'a>) -> bool {
        let Some(name) = &mut self.name else { return false };
        match token.kind {
            Kind::Symbol(b'.') if !name.dot => {
                name.dot = true;
                true
            }
            Kind::Word | Kind::Quoted if name.dot => {
                self.part(".");
                self.add_part(token.text);
                true
            }
            kind => {
                self.end_name(kind == Kind::Symbol(b'('));
                false
            }
        }
    }

    fn end_name(&mut self, call: bool) {
        let Some(name) = self.name.take() else { return };
        let introduced = self.introduced[..self.introductions]
            .iter()
            .any(|other| plain(other).eq_ignore_ascii_case(plain(name.first)));
        match name.clause {
            Clause::With => {
                if let Some(free) = self.introduced.get_mut(self.introductions) {
                    *free = name.first;
                    self.introductions += 1;
                }
                self.out.truncate(name.start);
                return;
            }
            // A function, or what `WITH` introduced.
            Clause::From if call || (introduced && name.parts == 1) => {
                self.out.truncate(name.start);
                return;
            }
            _ => {}
        }
        if name.clause == Clause::Into {
            self.may_operate = true;
        }
        let range = (name.start + usize::from(name.start > 0), self.out.len());
        if name.clause != Clause::Thing {
            self.collection = match self.collection {
                _ if name.overflow => Collection::Many,
                Collection::None => Collection::One(range.0, range.1),
                Collection::One(start, end) if self.out[start..end] == self.out[range.0..range.1] => {
                    self.collection
                }
                _ => Collection::Many,
            };
        }
        if name.overflow {
            self.full = true;
            self.out.truncate(name.start);
        }
    }

    /// What has been found. A name that was cut off is none.
    pub fn finish(mut self, cut: bool, text: Option<Box<str>>, parent: Option<TraceParent>) -> Statement {
        match self.name {
            Some(name) if cut => self.out.truncate(name.start),
            _ => self.end_name(false),
        }
        self.end_segment();
        let collection = match self.collection {
            Collection::One(start, end) if end <= self.out.len() => Some(self.out[start..end].into()),
            _ => None,
        };
        let operation = self.operation.unwrap_or_default().into();
        Statement { text, summary: self.out.into(), operation, collection, parent }
    }
}

/// The statement behind `EXPLAIN` has begun.
fn level_has_query(summary: &Summary<'_>) -> bool {
    summary.levels[0].query || summary.levels[0].clause == Clause::With
}
