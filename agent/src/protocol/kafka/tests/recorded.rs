//! What real clients and brokers said.

use super::super::Kafka;
use super::support::less;
use crate::protocol::testing::{Conversation, checks};

#[test]
fn recorded() {
    let conversations = Conversation::recorded(Some("kafka"));
    for conversation in &conversations {
        checks::every_split(&Kafka, conversation);
        checks::every_prefix(&Kafka, conversation);
        checks::every_late_start(&Kafka, conversation, less);
        checks::every_gap(&Kafka, conversation, less);
    }
    checks::garbage(&Kafka, &conversations);
}
