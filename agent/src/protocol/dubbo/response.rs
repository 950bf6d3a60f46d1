//! What a response says.

use super::header::{HEADER, Header};
use super::values::Values;

const OK: u8 = 20;
/// Longest name of a class that is kept, bytes.
const MOST_CLASS: usize = 255;

/// How a call ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    /// The header's status; 0 if none came.
    pub status: u8,
    /// The service threw an exception.
    pub thrown: bool,
    /// Its class.
    pub class: Option<Box<str>>,
    /// Whether it was a result or an exception was not captured.
    pub lost: bool,
}

impl Response {
    /// Reads a response of which these bytes were captured. `cut` says that more of them were wanted.
    pub fn read(header: Header, bytes: &[u8], cut: bool) -> Self {
        const EXCEPTION: u8 = 0;
        const EXCEPTION_WITH_ATTACHMENTS: u8 = 3;
        let mut response = Self { status: header.status, ..Self::default() };
        if header.status != OK {
            return response;
        }
        let mut values = Values::new(header.serialization, &bytes[HEADER.min(bytes.len())..]);
        match values.small() {
            Some(EXCEPTION | EXCEPTION_WITH_ATTACHMENTS) => {
                response.thrown = true;
                response.class = values.class().and_then(class);
            }
            Some(_) => {}
            None => response.lost = cut,
        }
        response
    }
}

fn class(bytes: &[u8]) -> Option<Box<str>> {
    let fits = (1..=MOST_CLASS).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._$".contains(byte));
    std::str::from_utf8(bytes).ok().filter(|_| fits).map(Into::into)
}
