//! Layouts of messages, as data.
//!
//! A layout says which fields a message has in which versions, and what those mean that attributes need. The tables
//! follow the JSON message definitions of Apache Kafka (`clients/src/main/resources/common/message/*.json`); one
//! reader ([`walk`](super::wire::walk)) reads all of them. Fields behind the last useful one stay, too: a
//! message that ends exactly where its layout ends is the evidence that inference asks for.

pub(super) mod cluster;
pub(super) mod controller;
pub(super) mod data;
pub(super) mod groups;
pub(super) mod transactions;

/// A message's fields.
pub(super) type Layout = &'static [Field];

/// How a field is written (the protocol guide's "Protocol Primitive Types"). Flexible versions (KIP-482) write lengths as
/// unsigned varints, one more than they are, and end each structure with tagged fields.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Two's complement, big endian, so many bytes; booleans are one byte.
    Number(u8),
    /// 16 bytes.
    Uuid,
    /// Text that may be null.
    Text,
    /// Bytes that may be null.
    Bytes,
    /// Record batches that may be null.
    Records,
    /// Any number of structures.
    Array(Layout),
    /// Any number of what the only field of the layout is: structures without tagged fields.
    Primitives(Layout),
    /// A structure.
    Structure(Layout),
    /// A byte that is negative if there is none, then the structure.
    Optional(Layout),
    /// A structure among the tagged fields, with its tag.
    Tagged(u32, Layout),
}

/// What a field means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing.
    Nothing,
    /// An array of topics.
    Topics,
    /// A topic's name.
    Topic,
    /// A topic's id.
    TopicId,
    /// An array of partitions of a topic.
    Partitions,
    /// A partition's number.
    Partition,
    /// An error code.
    Error,
    /// A consumer group's id.
    Group,
    /// How many replicas must have a record before it is acknowledged; 0 means that there will be no response.
    Acks,
    /// The broker that fetches as a follower; negative for consumers.
    Replica,
    /// An offset: the first that is asked for, or that was given to records.
    Offset,
    /// What the coordinator is looked for of.
    CoordinatorKey,
    /// What kind of key that is: 0 for a group.
    CoordinatorKind,
    /// A SASL mechanism.
    Mechanism,
    /// Whether a transaction was committed.
    Committed,
}

/// A field, and in which versions it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub shape: Shape,
    pub meaning: Meaning,
    since: i16,
    until: i16,
}

impl Field {
    const fn new(shape: Shape) -> Self {
        Self { shape, meaning: Meaning::Nothing, since: 0, until: i16::MAX }
    }

    /// There since a version.
    const fn since(self, version: i16) -> Self {
        Self { since: version, ..self }
    }

    /// There up to a version.
    const fn until(self, version: i16) -> Self {
        Self { until: version, ..self }
    }

    /// What it means.
    const fn is(self, meaning: Meaning) -> Self {
        Self { meaning, ..self }
    }

    /// Whether a version has it.
    pub fn is_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }
}

const INT8: Field = Field::new(Shape::Number(1));
const INT16: Field = Field::new(Shape::Number(2));
const INT32: Field = Field::new(Shape::Number(4));
const INT64: Field = Field::new(Shape::Number(8));
const UUID: Field = Field::new(Shape::Uuid);
const TEXT: Field = Field::new(Shape::Text);
const BYTES: Field = Field::new(Shape::Bytes);
const RECORDS: Field = Field::new(Shape::Records);

const fn array(element: Layout) -> Field {
    Field::new(Shape::Array(element))
}

const fn primitives(element: Layout) -> Field {
    Field::new(Shape::Primitives(element))
}

const fn structure(fields: Layout) -> Field {
    Field::new(Shape::Structure(fields))
}

const fn optional(fields: Layout) -> Field {
    Field::new(Shape::Optional(fields))
}

const fn tagged(tag: u32, fields: Layout) -> Field {
    Field::new(Shape::Tagged(tag, fields))
}
