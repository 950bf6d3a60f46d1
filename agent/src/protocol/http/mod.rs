//! What HTTP/1, HTTP/2 and what is spoken over them share: fields of requests, targets, routes, redaction, settings, and
//! how an exchange reads in OpenTelemetry's words (RFC 9110).
//!
//! Nothing here knows how a version frames its messages.

mod attributes;
mod calls;
mod detail;
mod fields;
mod forwarded;
mod instruments;
mod outcome;
mod redact;
mod route;
mod settings;
mod target;
mod texts;

pub(in crate::protocol) use attributes::Attributes;
pub(in crate::protocol) use calls::Call;
pub(in crate::protocol) use detail::{HttpDetail, Request, Upgraded, Version};
pub(in crate::protocol) use fields::{Fields, Name};
pub(in crate::protocol) use outcome::{Reset, broken};
pub use route::{PatternError, Router};
pub use settings::{Settings, SettingsError};

use std::sync::Arc;

/// The methods of RFC 9110 and RFC 5789.
pub(in crate::protocol) const METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Longest method that is taken for one.
pub(in crate::protocol) const MAX_METHOD: usize = 64;

/// What all connections of all versions share.
#[derive(Debug)]
pub struct Shared {
    pub(in crate::protocol) settings: Settings,
    pub(in crate::protocol) router: Router,
    pub(in crate::protocol) redactor: redact::Redactor,
    /// A bounded part of bodies may be read for what it says of the call.
    pub(in crate::protocol) bodies: bool,
}

impl Shared {
    /// With settings that [`Settings::validate`] accepts; route patterns that it does not accept are left out. `bodies`
    /// says that a bounded part of bodies may be read.
    #[must_use]
    pub fn new(settings: Settings, bodies: bool) -> Arc<Self> {
        let router = Router::lenient(&settings.routes);
        let redactor = redact::Redactor::new(&settings.redact_query_keys);
        Arc::new(Self { settings, router, redactor, bodies })
    }
}

/// RFC 9110, 5.6.2
pub(in crate::protocol) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Is `text`, in any case, `lower`?
pub(in crate::protocol) fn is(text: &[u8], lower: &[u8]) -> bool {
    text.eq_ignore_ascii_case(lower)
}
