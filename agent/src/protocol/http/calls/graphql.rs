//! GraphQL over HTTP (graphql.github.io/graphql-over-http), by OpenTelemetry's conventions for it. The document, which may
//! hold values, is not told.

use std::borrow::Cow;

use super::super::Attributes;
use super::json::{Path, Scalar};
use super::name;

/// Bytes of a document that are looked at.
const MOST_DOCUMENT: usize = 1024;

/// An operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    /// `query`, `mutation` or `subscription`.
    kind: Option<&'static str>,
    name: Option<Box<str>>,
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
                Some(("query", value)) => {
                    // `+`, `%20` and the like end a word as well as a space does.
                    call.read(&value.replace('+', " ").replace("%20", " ").replace("%7B", "{"));
                }
                Some(("operationName", value)) => call.name = Some(name(value.as_bytes())),
                _ => {}
            }
        }
        call.document.then_some(call)
    }

    /// A value of the request.
    pub fn asked(&mut self, path: &Path<'_>, value: Scalar<'_>) {
        match (path.last_at(1), value.text()) {
            (Some(b"query"), Some(text)) => {
                // The scanner gives a text as it stands in JSON.
                let text = if text.contains('\\') {
                    Cow::Owned(text.replace("\\n", " ").replace("\\r", " ").replace("\\t", " "))
                } else {
                    Cow::Borrowed(text)
                };
                self.read(&text);
            }
            (Some(b"operationName"), Some(text)) => self.name = Some(name(text.as_bytes())),
            _ => {}
        }
        // A document that the server has stored.
        self.document |= path.is(&["extensions", "persistedQuery"]);
    }

    /// A value of the response.
    pub fn answered(&mut self, path: &Path<'_>, value: Scalar<'_>) {
        self.errors |= path.is(&["errors", "[]"]) && value == Scalar::Object;
    }

    /// The operation that a document begins with (GraphQL, 2.3); fragments before it are rare and not looked behind.
    fn read(&mut self, document: &str) {
        let mut words = document.split_ascii_whitespace();
        let Some(first) = words.next() else { return };
        if first.starts_with('{') {
            self.kind = Some("query");
            self.document = true;
            return;
        }
        let (keyword, rest) = first.split_at(first.find(['{', '(', '@']).unwrap_or(first.len()));
        let kind = ["query", "mutation", "subscription"].into_iter().find(|kind| *kind == keyword);
        let Some(kind) = kind else { return };
        self.kind = Some(kind);
        self.document = true;
        if self.name.is_none() && rest.is_empty() {
            let next = words.next().unwrap_or_default();
            let end = next.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(next.len());
            if end > 0 {
                self.name = Some(name(&next.as_bytes()[..end]));
            }
        }
    }

    /// `graphql.*`
    pub fn describe(&self, out: &mut Attributes) -> Option<String> {
        if let Some(kind) = self.kind {
            out.text("graphql.operation.type", kind);
        }
        if let Some(name) = &self.name {
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
        call.name = None;
        call.read(&String::from_utf8_lossy(&self.seen));
    }
}
