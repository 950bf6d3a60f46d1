//! What real programs said.

use super::super::Http1;
use crate::protocol::testing::{Conversation, checks};

/// An exchange that is told as complete is told as it was.
fn same(expected: &str, got: &str) -> bool {
    expected == got
}

#[test]
fn recorded() {
    let http = Http1::new(Default::default());
    let conversations = Conversation::recorded(Some("http"));
    for conversation in &conversations {
        checks::every_split(&http, conversation);
        checks::every_prefix(&http, conversation);
        checks::every_late_start(&http, conversation, same);
        checks::every_gap(&http, conversation, same);
    }
    checks::garbage(&http, &conversations);
}
