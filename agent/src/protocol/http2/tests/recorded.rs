//! What real programs said.

use super::conversation::same;
use super::support::HTTP2;
use crate::protocol::testing::{Conversation, checks};

#[test]
fn recorded() {
    let conversations = Conversation::recorded(Some("http2"));
    for conversation in &conversations {
        checks::every_split(&*HTTP2, conversation);
        checks::every_prefix(&*HTTP2, conversation);
        checks::every_late_start(&*HTTP2, conversation, same);
        checks::every_gap(&*HTTP2, conversation, same);
    }
    checks::garbage(&*HTTP2, &conversations);
}
