//! What a request asks for.

use super::bson::{Document, int32, kind};
use super::framing::{HEADER, Header, MORE_TO_COME, OpCode, collection};
use super::shape;
use crate::protocol::Statements;

/// Longest name of a command, a collection or a database that is kept, bytes. MongoDB's own limit is 255 for a
/// collection with its database.
const MOST_NAME: usize = 255;

/// Commands whose first element's value is the name of a collection.
const OF_COLLECTIONS: [&str; 23] = [
    "aggregate",
    "collMod",
    "collStats",
    "compact",
    "count",
    "create",
    "createIndexes",
    "createSearchIndexes",
    "delete",
    "deleteIndexes",
    "distinct",
    "drop",
    "dropIndexes",
    "find",
    "findAndModify",
    "findandmodify",
    "insert",
    "killCursors",
    "listIndexes",
    "mapReduce",
    "reIndex",
    "update",
    "validate",
];

/// A request, as far as it was captured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// The command's name.
    pub operation: Option<Box<str>>,
    /// The database.
    pub namespace: Option<Box<str>>,
    /// The collection.
    pub collection: Option<Box<str>>,
    /// The command's text.
    pub text: Option<Box<str>>,
    /// Documents, updates or deletes that it carries, if all of them were seen.
    pub batch: Option<u32>,
    /// It will not be answered.
    pub one_way: bool,
    /// What it was compressed with: all above is unknown.
    pub compressor: Option<&'static str>,
}

impl Request {
    /// Reads a message of which these bytes were captured. `whole` says that they are all it has.
    pub fn read(header: Header, bytes: &[u8], whole: bool, statements: Statements) -> Self {
        let body = &bytes[HEADER.min(bytes.len())..];
        let mut request = Request::default();
        match header.code {
            OpCode::Msg => request.msg(body, whole, statements),
            OpCode::Query => request.query(body, statements),
            OpCode::Compressed => request.compressor = Some(compressor(body)),
            OpCode::Insert => request.legacy("insert", body, true),
            OpCode::Update => request.legacy("update", body, true),
            OpCode::Delete => request.legacy("delete", body, true),
            OpCode::GetMore => request.legacy("getMore", body, false),
            OpCode::KillCursors => {
                request.operation = Some("killCursors".into());
                request.one_way = true;
            }
            OpCode::Reply => {}
        }
        request
    }

    /// Sections: one body, and sequences of documents that belong to it, before or behind it.
    fn msg(&mut self, body: &[u8], whole: bool, statements: Statements) {
        let Some(flags) = int32(body) else { return };
        self.one_way = flags as u32 & MORE_TO_COME != 0;
        let mut rest = &body[4..];
        while let Some((&section, bytes)) = rest.split_first() {
            let length = match section {
                0 => {
                    let Some(document) = Document::read(bytes) else { return };
                    self.command(document, statements);
                    document.length
                }
                1 => {
                    let Some(length) = int32(bytes).and_then(|length| usize::try_from(length).ok()) else {
                        return;
                    };
                    self.sequence(&bytes[..length.min(bytes.len())], length);
                    length
                }
                // The checksum, if it is not the rest of something unknown.
                _ => return,
            };
            let Some(next) = bytes.get(length..) else { return };
            rest = next;
            // A checksum may look like a section.
            if whole && rest.len() <= 4 {
                return;
            }
        }
    }

    /// A document sequence: its length, its name, documents.
    fn sequence(&mut self, bytes: &[u8], length: usize) {
        let Some(name) = bytes.get(4..).and_then(collection) else { return };
        // The body may lie behind what was captured.
        let operation = match name {
            b"documents" => "insert",
            b"updates" => "update",
            b"deletes" => "delete",
            _ => return,
        };
        self.operation.get_or_insert_with(|| operation.into());
        if bytes.len() == length {
            self.batch = count(&bytes[4 + name.len() + 1..]);
        }
    }

    fn command(&mut self, document: Document<'_>, statements: Statements) {
        let mut elements = document.elements();
        let Some(first) = elements.next() else { return };
        let Some(name) = kept(first.name).filter(|name| is_word(name)) else { return };
        let of_collection = OF_COLLECTIONS.contains(&name);
        self.operation = Some(name.into());
        if of_collection {
            self.collection = first.text().and_then(short).map(Into::into);
        }
        for element in elements {
            match element.name {
                b"$db" => self.namespace = element.text().and_then(short).map(Into::into),
                b"collection" if name == "getMore" => {
                    self.collection = element.text().and_then(short).map(Into::into);
                }
                b"documents" | b"updates" | b"deletes" if element.kind == kind::ARRAY => {
                    let array = element.document().filter(|array| array.whole);
                    self.batch = array.map(|array| array.elements().count() as u32);
                }
                _ => {}
            }
        }
        self.text = shape::text(name, of_collection, document, statements);
    }

    /// `flags`, `fullCollectionName`, `numberToSkip`, `numberToReturn`, the query.
    fn query(&mut self, body: &[u8], statements: Statements) {
        let Some(name) = body.get(4..).and_then(collection) else { return };
        let document = body.get(4 + name.len() + 1 + 8..).and_then(Document::read);
        self.full_name(name);
        if self.collection.as_deref() != Some("$cmd") {
            self.operation = Some("find".into());
            self.text = document.and_then(|document| shape::text("find", false, document, statements));
            return;
        }
        self.collection = None;
        let Some(document) = document else { return };
        let wrapped = document.elements().next();
        let wrapped = wrapped.filter(|first| matches!(first.name, b"$query" | b"query"));
        let command = wrapped.and_then(|first| first.document()).unwrap_or(document);
        let namespace = self.namespace.take();
        self.command(command, statements);
        self.namespace = namespace;
    }

    /// Messages of old: a number and `fullCollectionName`.
    fn legacy(&mut self, operation: &str, body: &[u8], one_way: bool) {
        self.operation = Some(operation.into());
        self.one_way = one_way;
        if let Some(name) = body.get(4..).and_then(collection) {
            self.full_name(name);
        }
    }

    /// `database.collection`; a collection's name may have dots.
    fn full_name(&mut self, name: &[u8]) {
        let Some((namespace, collection)) = kept(name).and_then(|name| name.split_once('.')) else { return };
        self.namespace = Some(namespace.into());
        self.collection = Some(collection.into());
    }
}

fn compressor(body: &[u8]) -> &'static str {
    match body.get(8) {
        Some(0) => "noop",
        Some(1) => "snappy",
        Some(2) => "zlib",
        Some(3) => "zstd",
        _ => "other",
    }
}

/// Documents that follow each other and nothing else; `None` if one of them is none.
fn count(mut bytes: &[u8]) -> Option<u32> {
    let mut many = 0;
    while !bytes.is_empty() {
        let document = Document::read(bytes).filter(|document| document.whole)?;
        bytes = &bytes[document.length..];
        many += 1;
    }
    Some(many)
}

/// Text that is short enough to be kept.
fn short(text: &str) -> Option<&str> {
    (!text.is_empty() && text.len() <= MOST_NAME).then_some(text)
}

fn kept(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().and_then(short)
}

/// Commands are words; anything else would be an attribute of any value.
fn is_word(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
