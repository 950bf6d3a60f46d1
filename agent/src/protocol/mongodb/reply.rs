//! What a reply says.

use super::bson::{Document, int32, kind};
use super::framing::{HEADER, Header, MORE_TO_COME, OpCode};

/// `OP_REPLY` flags: the documents are one that tells the error.
const QUERY_FAILURE: u32 = 1 << 1;
/// Longest `codeName` that is kept, bytes.
const MOST_CODE_NAME: usize = 64;

/// A reply, as far as it was captured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// It says that the command succeeded, or that it failed; `None` if that was not seen.
    pub ok: Option<bool>,
    /// The error's number: the command's, else that of the first write that failed.
    pub code: Option<i32>,
    /// The error's name, a word.
    pub code_name: Option<Box<str>>,
    /// Documents in a cursor's batch.
    pub rows: Option<u64>,
    /// Documents that were written (`n`).
    pub written: Option<i64>,
    /// Another reply follows.
    pub more_to_come: bool,
    /// It is compressed: all above is unknown.
    pub compressed: bool,
}

impl Reply {
    /// Reads a message of which these bytes were captured. `complete` says that those that are missing are missing because
    /// nobody asked for them.
    pub fn read(header: Header, bytes: &[u8], complete: bool) -> Self {
        let body = &bytes[HEADER.min(bytes.len())..];
        let mut reply = Reply::default();
        match header.code {
            OpCode::Msg => {
                reply.more_to_come = int32(body).is_some_and(|flags| flags as u32 & MORE_TO_COME != 0);
                if body.get(4) == Some(&0)
                    && let Some(document) = body.get(5..).and_then(Document::read)
                {
                    reply.document(document);
                }
            }
            OpCode::Reply => {
                let failed = int32(body).is_some_and(|flags| flags as u32 & QUERY_FAILURE != 0);
                let number = body.get(16..).and_then(int32);
                if let Some(document) = body.get(20..).and_then(Document::read) {
                    reply.document(document);
                }
                // The answer to a query of old is documents without `ok`.
                if reply.ok.is_none() {
                    reply.rows = number.and_then(|number| u64::try_from(number).ok()).filter(|_| !failed);
                }
                if failed {
                    reply.ok = Some(false);
                }
            }
            _ => reply.compressed = true,
        }
        // Errors are short and stand in front.
        if reply.ok.is_none() && complete && !reply.compressed && reply.code.is_none() {
            reply.ok = Some(true);
        }
        reply
    }

    fn document(&mut self, document: Document<'_>) {
        for element in document.elements() {
            match element.name {
                b"ok" => self.ok = element.integer().map(|ok| ok != 0),
                b"code" => self.code = element.integer().and_then(|code| i32::try_from(code).ok()),
                b"codeName" => self.code_name = element.text().and_then(name),
                b"n" => self.written = element.integer(),
                b"cursor" => {
                    // Nothing that failed has one.
                    self.ok = self.ok.or(Some(true));
                    self.rows = element.document().and_then(batch);
                }
                // The same fields for each write that failed, or for what became of all of them.
                b"writeErrors" if element.kind == kind::ARRAY => {
                    let first = element.document().and_then(|array| array.elements().next());
                    self.write_error(first.and_then(|first| first.document()));
                }
                b"writeConcernError" => self.write_error(element.document()),
                _ => {}
            }
        }
    }

    fn write_error(&mut self, error: Option<Document<'_>>) {
        for element in error.map(Document::elements).into_iter().flatten() {
            match element.name {
                b"code" if self.code.is_none() => {
                    self.code = element.integer().and_then(|code| i32::try_from(code).ok());
                }
                b"codeName" if self.code_name.is_none() => {
                    self.code_name = element.text().and_then(name);
                }
                _ => {}
            }
        }
    }
}

/// Documents in `firstBatch` or `nextBatch`, if all of it was captured.
fn batch(cursor: Document<'_>) -> Option<u64> {
    let found = cursor.elements().find(|element| matches!(element.name, b"firstBatch" | b"nextBatch"));
    let array = found?.document().filter(|array| array.whole)?;
    Some(array.elements().count() as u64)
}

fn name(text: &str) -> Option<Box<str>> {
    let word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (word && text.len() <= MOST_CODE_NAME).then(|| text.into())
}
