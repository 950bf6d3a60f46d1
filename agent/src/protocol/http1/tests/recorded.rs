//! What real programs said.

use super::super::Http1;
use crate::protocol::testing::{Conversation, checks};

#[test]
fn recorded() {
    let http = Http1::new(Default::default());
    let conversations = Conversation::recorded(Some("http"));
    for conversation in &conversations {
        checks::every_split(&http, conversation);
        checks::every_prefix(&http, conversation);
        checks::every_late_start(&http, conversation, checks::told_less);
        checks::every_gap(&http, conversation, checks::told_less);
    }
    checks::garbage(&http, &conversations);
}
