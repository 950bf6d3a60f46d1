//! Statements of a BATCH (section 4.1.7), told as one.

use std::sync::Arc;

use super::prepared;
use super::reader::Reader;
use super::request;
use crate::protocol::Statements;
use crate::protocol::sql::Statement;

/// Statements that are read; the others are counted only.
const MOST_READ: u16 = 256;
/// Different statements whose texts are told.
const MOST_TOLD: usize = 8;

/// What is known of a batch's statements.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Those that differ from each other, in their order.
    different: Vec<Arc<Statement>>,
    /// The last one that was sent as a text, and the text's place in the body.
    last_text: Option<Arc<Statement>>,
    /// Some were not read, or were prepared when nobody looked.
    unknown: bool,
}

impl Batch {
    /// Reads `many` statements; `None` if not all of them were captured.
    pub fn read(
        &mut self,
        many: u16,
        reader: &mut Reader<'_>,
        prepared: &mut prepared::Statements,
        statements: Statements,
    ) -> Option<()> {
        let mut before: &[u8] = &[];
        for number in 0..many {
            let statement = match reader.byte()? {
                0 => {
                    let (text, cut) = reader.long_string()?;
                    // The same text many times is read once.
                    if text != before || self.last_text.is_none() {
                        before = text;
                        self.last_text = (number < MOST_READ).then(|| request::read(text, cut, statements));
                    }
                    self.last_text.clone()
                }
                _ => prepared.get(reader.string()?),
            };
            match statement {
                Some(statement) if !self.knows(&statement) => {
                    if self.different.len() < MOST_TOLD {
                        self.different.push(statement);
                    } else {
                        self.unknown = true;
                    }
                }
                Some(_) => {}
                None => self.unknown = true,
            }
            for _ in 0..reader.short()? {
                reader.skip_value()?;
            }
        }
        Some(())
    }

    fn knows(&self, statement: &Arc<Statement>) -> bool {
        self.different.iter().any(|known| Arc::ptr_eq(known, statement) || known == statement)
    }

    /// All of them as one statement. `whole` says that all were read.
    pub fn statement(self, whole: bool) -> Option<Arc<Statement>> {
        let first = self.different.first()?;
        let known = whole && !self.unknown;
        let same = |field: fn(&Statement) -> &str| {
            let all = self.different.iter().all(|statement| field(statement) == field(first));
            (known && all && !field(first).is_empty()).then(|| field(first))
        };
        let prefixed = |word: Option<&str>| match word {
            Some(word) => format!("BATCH {word}").into_boxed_str(),
            None => "BATCH".into(),
        };
        let texts: Vec<&str> =
            self.different.iter().filter_map(|statement| statement.text.as_deref()).collect();
        let mut text = texts.join("; ");
        if !known && !text.is_empty() {
            text.push_str("; …");
        }
        Some(Arc::new(Statement {
            text: (!text.is_empty()).then(|| text.into_boxed_str()),
            summary: prefixed(same(|statement| &statement.summary)),
            operation: prefixed(same(|statement| &statement.operation)),
            collection: same(|statement| statement.collection.as_deref().unwrap_or_default()).map(Into::into),
            parent: first.parent.clone(),
        }))
    }
}
