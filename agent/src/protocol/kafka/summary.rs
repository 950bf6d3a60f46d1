//! What a message says, gathered while its layout is walked.

use super::records::{self, Batches};
use super::schema::Meaning;
use super::topics::{Id, Topics};
use super::wire::{Value, Visit};

/// A topic as a message names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Topic<'a> {
    pub name: Option<&'a [u8]>,
    pub id: Option<Id>,
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    /// Topics in all, and the first.
    pub topics: u64,
    pub topic: Topic<'a>,
    /// Partitions in all, and the first.
    pub partitions: u64,
    pub partition: Option<i32>,
    /// An error code was there.
    pub answered: bool,
    /// The first that is not 0, and how many such there are.
    pub error: Option<i16>,
    pub errors: u32,
    pub group: Option<&'a [u8]>,
    pub acks: Option<i16>,
    pub follower: bool,
    pub offset: Option<i64>,
    pub mechanism: Option<&'a [u8]>,
    pub committed: Option<bool>,
    /// Topics and partitions with records.
    pub filled: Filled<'a>,
    key: Option<&'a [u8]>,
    kind: Option<i64>,
    present: Topic<'a>,
    present_partition: i32,
}

/// Topics and partitions that records are of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled<'a> {
    pub topics: u64,
    pub topic: Topic<'a>,
    pub partitions: u64,
    pub partition: i32,
    /// Messages in all, if all were counted.
    pub messages: Option<u64>,
    /// Bytes of records.
    pub bytes: u64,
    /// The offset of the first message of the first partition.
    pub offset: Option<i64>,
    /// The trace context of the only message.
    pub context: Option<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Summary<'a> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            topics: 0,
            topic: Topic::default(),
            partitions: 0,
            partition: None,
            answered: false,
            error: None,
            errors: 0,
            group: None,
            acks: None,
            follower: false,
            offset: None,
            mechanism: None,
            committed: None,
            filled: Filled { messages: Some(0), ..Filled::default() },
            key: None,
            kind: None,
            present: Topic::default(),
            present_partition: -1,
        }
    }

    /// The group: named by the message, or the one that a coordinator is looked for of. The first version of that had groups
    /// only.
    pub fn group(&self) -> Option<&'a [u8]> {
        self.group.or(self.key.filter(|_| self.kind.unwrap_or(0) == 0))
    }

    /// A name or an id; a topic with both is one topic.
    fn named(&mut self, topic: Topic<'a>) {
        let completes = (topic.id.is_some() && self.present.id.is_none() && self.present.name.is_some())
            || (topic.name.is_some()
                && self.present.name.is_none()
                && self.present.id == Some(Id::default()));
        let first = self.topic == self.present;
        if completes {
            self.present.id = topic.id.or(self.present.id);
            self.present.name = topic.name.or(self.present.name);
        } else {
            self.present = topic;
        }
        if self.topic == Topic::default() || (completes && first) {
            self.topic = self.present;
        }
    }

    fn records(&mut self, bytes: &'a [u8], length: u64) {
        if length == 0 {
            return;
        }
        let Batches { messages, offset, context } = records::read(bytes, length);
        let filled = &mut self.filled;
        if filled.partitions == 0 {
            *filled = Filled {
                topics: 1,
                topic: self.present,
                partition: self.present_partition,
                offset,
                context,
                ..*filled
            };
        } else if filled.topic != self.present {
            // More than one; how many does not matter.
            filled.topics = 2;
        }
        filled.partitions += 1;
        filled.bytes = filled.bytes.saturating_add(length);
        filled.messages = filled.messages.zip(messages).map(|(all, more)| all.saturating_add(more));
    }
}

impl<'a> Visit<'a> for Summary<'a> {
    fn value(&mut self, meaning: Meaning, value: Value<'a>) {
        match (meaning, value) {
            (Meaning::Topics, Value::Many(many)) => self.topics = self.topics.saturating_add(many),
            (Meaning::Partitions, Value::Many(many)) => {
                self.partitions = self.partitions.saturating_add(many)
            }
            (Meaning::Topic, Value::Text(name)) => self.named(Topic { name: Some(name), id: None }),
            (Meaning::TopicId, Value::Id(id)) => self.named(Topic { name: None, id: Some(*id) }),
            (Meaning::Partition, Value::Number(number)) => {
                self.present_partition = number as i32;
                self.partition = self.partition.or(Some(number as i32));
            }
            (Meaning::Error, Value::Number(code)) => {
                self.answered = true;
                if code != 0 {
                    self.error = self.error.or(Some(code as i16));
                    self.errors = self.errors.saturating_add(1);
                }
            }
            (Meaning::Group, Value::Text(group)) => self.group = self.group.or(Some(group)),
            (Meaning::Acks, Value::Number(acks)) => self.acks = Some(acks as i16),
            (Meaning::Replica, Value::Number(replica)) => self.follower |= replica >= 0,
            (Meaning::Offset, Value::Number(offset)) => self.offset = self.offset.or(Some(offset)),
            (Meaning::CoordinatorKey, Value::Text(key)) => self.key = self.key.or(Some(key)),
            (Meaning::CoordinatorKind, Value::Number(kind)) => self.kind = Some(kind),
            (Meaning::Mechanism, Value::Text(mechanism)) => self.mechanism = Some(mechanism),
            (Meaning::Committed, Value::Number(committed)) => self.committed = Some(committed != 0),
            (_, Value::Records(bytes, length)) => self.records(bytes, length),
            _ => {}
        }
    }
}

/// Learns topics' names from a message that tells names and ids.
pub(super) struct Learner<'s, 'a, 't> {
    pub summary: &'s mut Summary<'a>,
    pub topics: &'t mut Topics,
}

impl<'a> Visit<'a> for Learner<'_, 'a, '_> {
    fn value(&mut self, meaning: Meaning, value: Value<'a>) {
        self.summary.value(meaning, value);
        if let (Meaning::TopicId, Topic { name: Some(name), id: Some(id) }) = (meaning, self.summary.present)
        {
            self.topics.learn(id, name);
        }
    }
}
