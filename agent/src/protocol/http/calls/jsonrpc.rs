//! JSON-RPC 2.0 (jsonrpc.org/specification), by OpenTelemetry's conventions for it.

use super::super::Attributes;
use super::json::{Path, Scalar};
use super::name;

/// A call, or the first of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    version: Option<Box<str>>,
    method: Option<Box<str>>,
    id: Option<Box<str>>,
    batch: i64,
    error: Option<i64>,
}

impl Call {
    /// It says that it is one.
    pub fn is_one(&self) -> bool {
        self.version.as_deref().is_some_and(|version| version.starts_with("2."))
    }

    /// A value of the request.
    pub fn asked(&mut self, path: &Path<'_>, value: Scalar<'_>) {
        // An element of a batch.
        self.batch += i64::from(path.is(&["[]"]) && value == Scalar::Object);
        if self.batch > 1 {
            return;
        }
        match member(path) {
            Some(b"jsonrpc") => self.version = value.text().map(|text| name(text.as_bytes())),
            Some(b"method") => self.method = value.text().map(|text| name(text.as_bytes())),
            Some(b"id") => {
                self.id = match value {
                    Scalar::Text(text) => Some(name(text)),
                    Scalar::Word(word) if word != b"null" => Some(name(word)),
                    _ => None,
                };
            }
            _ => {}
        }
    }

    /// A value of the response.
    pub fn answered(&mut self, path: &Path<'_>, value: Scalar<'_>) {
        if (path.is(&["error", "code"]) || path.is(&["[]", "error", "code"])) && self.error.is_none() {
            self.error = value.integer();
        }
    }

    /// `rpc.*` and `jsonrpc.*`
    pub fn describe(&self, out: &mut Attributes) -> Option<String> {
        out.text("rpc.system.name", "jsonrpc");
        let texts = [
            ("rpc.method", &self.method),
            ("jsonrpc.protocol.version", &self.version),
            ("jsonrpc.request.id", &self.id),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                out.text(key, text.to_string());
            }
        }
        if self.batch > 1 {
            out.integer("remora.jsonrpc.batch", self.batch);
        }
        let code = self.error?.to_string();
        out.text("rpc.response.status_code", code.clone());
        Some(code)
    }
}

/// The last key of a member of the document, or of an element of its array.
fn member<'a>(path: &'a Path<'_>) -> Option<&'a [u8]> {
    path.last_at(1).or_else(|| path.last_at(2).filter(|_| path.begins_with_any(&["[]"])))
}
