//! How an exchange that did not end well is told.

use std::borrow::Cow;

use super::Attributes;
use crate::protocol::{Outcome, Stream};

/// One end gave up a stream of HTTP/2, the connection goes on (RFC 9113, 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Reset {
    /// The stream that said so: [`Stream::ToServer`] if the client gave up.
    pub by: Stream,
    /// RFC 9113, 7
    pub code: u32,
    /// Its name.
    pub name: &'static str,
}

/// Why an exchange broke.
pub(in crate::protocol) struct Broken {
    /// `error.type`
    pub error_type: &'static str,
    /// The span's status message.
    pub sentence: Cow<'static, str>,
}

/// Tells by `remora.outcome` why an exchange is not complete; gives the error that this is, if it is one. `answered` says
/// that a response had begun.
///
/// A response that was lost to us, or is still to come, is no error of the service.
pub(in crate::protocol) fn broken(
    outcome: Outcome,
    reset: Option<Reset>,
    answered: bool,
    out: &mut Attributes,
) -> Option<Broken> {
    let (word, error_type) = match (reset, outcome) {
        (Some(reset), _) => ("reset", Some(reset.name)),
        (None, Outcome::Complete) => return None,
        (None, Outcome::ConnectionClosed(errno)) => ("connection_closed", Some(error_word(errno))),
        (None, Outcome::ProcessGone) => ("process_gone", Some("process_gone")),
        (None, Outcome::ResponseLost) => ("response_lost", None),
        (None, Outcome::Unfinished) => ("unfinished", None),
        (None, Outcome::TimedOut) => ("timed_out", None),
    };
    out.text("remora.outcome", word);
    let error_type = error_type?;
    let sentence = match (reset, outcome) {
        (Some(reset), _) => {
            let who = if reset.by == Stream::ToServer { "client" } else { "server" };
            Cow::Owned(format!("the {who} reset the stream: {}", reset.name))
        }
        (_, Outcome::ProcessGone) => "the process ended before the response was complete".into(),
        _ if answered => "the connection ended before the response was complete".into(),
        _ => "the connection ended before a response".into(),
    };
    Some(Broken { error_type, sentence })
}

/// `error.type` for the way a connection ended (Linux error numbers, `errno(3)`).
fn error_word(errno: u32) -> &'static str {
    match errno {
        0 => "connection_closed",
        32 => "broken_pipe",
        103 => "connection_aborted",
        104 => "connection_reset",
        110 => "connection_timed_out",
        100..=102 | 112 | 113 => "network_unreachable",
        _ => "connection_error",
    }
}
