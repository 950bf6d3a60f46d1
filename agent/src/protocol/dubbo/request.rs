//! What a request calls.

use super::header::{HEADER, Header};
use super::values::{Serialization, Values};
use crate::protocol::{TraceParent, context};

/// Longest name of a service, a method or a version that is kept, bytes.
const MOST_NAME: usize = 255;

/// A request, as far as it was captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// The service's path, most often its interface.
    pub service: Option<Box<str>>,
    pub method: Option<Box<str>>,
    /// The service's version, if it has one.
    pub version: Option<Box<str>>,
    /// Trace context among the attachments.
    pub parent: Option<TraceParent>,
    pub one_way: bool,
    /// Its values are written in a way that is not read.
    pub unreadable: bool,
}

impl Request {
    /// Reads a request of which these bytes were captured.
    pub fn read(header: Header, bytes: &[u8]) -> Self {
        let body = &bytes[HEADER.min(bytes.len())..];
        let mut request = Self {
            one_way: !header.two_way,
            unreadable: header.serialization == Serialization::Other,
            parent: trace_context(body),
            ..Self::default()
        };
        _ = request.names(Values::new(header.serialization, body));
        request
    }

    /// Dubbo's version, path, version, method, parameters' types, arguments, attachments.
    fn names(&mut self, mut values: Values<'_>) -> Option<()> {
        values.text()?;
        self.service = name(values.text()?);
        self.version = name(values.text()?).filter(|version| &**version != "0.0.0");
        self.method = name(values.text()?);
        Some(())
    }
}

/// `traceparent` among the attachments. They stand behind the arguments, which are not read: the key is looked for, and a
/// value of its form within a few bytes behind it.
fn trace_context(body: &[u8]) -> Option<TraceParent> {
    const KEY: &[u8] = b"traceparent";
    const LENGTH: usize = 55;
    /// What stands between key and value: quotes and a colon, or a type and a length.
    const MOST_BETWEEN: usize = 6;
    let found = memchr::memmem::find(body, KEY)? + KEY.len();
    (found..=found + MOST_BETWEEN)
        .find_map(|start| body.get(start..start + LENGTH).and_then(context::trace_parent))
}

fn name(bytes: &[u8]) -> Option<Box<str>> {
    let fits =
        (1..=MOST_NAME).contains(&bytes.len()) && bytes.iter().all(|byte| (b'!'..=b'~').contains(byte));
    std::str::from_utf8(bytes).ok().filter(|_| fits).map(Into::into)
}
