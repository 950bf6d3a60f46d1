//! What real clients and brokers said.

use super::super::Kafka;
use super::support::{Alone, less};
use crate::protocol::testing::{Conversation, checks};

#[test]
fn recorded() {
    let conversations = Conversation::recorded(Some("kafka"));
    for conversation in &conversations {
        checks::every_split(&Alone, conversation);
        checks::every_prefix(&Alone, conversation);
        checks::every_late_start(&Alone, conversation, less);
        checks::every_gap(&Alone, conversation, less);
    }
    checks::garbage(&Kafka::default(), &conversations);
}
