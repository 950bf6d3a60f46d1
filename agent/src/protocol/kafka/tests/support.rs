//! Messages, written by hand.

use crate::protocol::kafka::Kafka;
use crate::protocol::testing::{Conversation, Driver, Played};
use crate::protocol::{Inference, Parser, Protocol, Run};

/// Kafka, each of whose connections is the only one: a conversation that is played many times is told alike each time.
pub struct Alone;

impl Protocol for Alone {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn infer(&self, run: &Run<'_>) -> Inference {
        Kafka::default().infer(run)
    }

    fn parser(&self, midstream: bool) -> Box<dyn Parser> {
        Kafka::default().parser(midstream)
    }
}

/// Bytes of a message, field by field.
#[derive(Clone, Debug, Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    pub fn int8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn int16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn int32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn int64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.int16(text.len() as i16).raw(text.as_bytes())
    }

    pub fn null(self) -> Self {
        self.int16(-1)
    }

    /// A compact length, text or array: of at most 126.
    pub fn many(self, many: usize) -> Self {
        self.varint(many as u64 + 1)
    }

    pub fn compact(self, text: &str) -> Self {
        self.many(text.len()).raw(text.as_bytes())
    }

    pub fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// No tagged fields, and the null of compact types.
    pub fn tags(self) -> Self {
        self.int8(0)
    }
}

pub fn body() -> Body {
    Body::default()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A request with header 1, or 2 if it is flexible.
pub fn request(key: i16, version: i16, id: i32, flexible: bool, rest: Body) -> Vec<u8> {
    let header = body().int16(key).int16(version).int32(id).text("app");
    let header = if flexible { header.tags() } else { header };
    sized(&header.raw(&rest.0).0)
}

/// A response with header 0, or 1 if it is flexible.
pub fn response(id: i32, flexible: bool, rest: Body) -> Vec<u8> {
    let header = if flexible { body().int32(id).tags() } else { body().int32(id) };
    sized(&header.raw(&rest.0).0)
}

/// A batch of format 2.
pub fn batch(offset: i64, count: i32, attributes: u8, records: &[u8]) -> Vec<u8> {
    let rest = body()
        .int32(0)
        .int8(2)
        .int32(0)
        .int16(attributes.into())
        .int32(count - 1)
        .int64(0)
        .int64(0)
        .int64(-1)
        .int16(-1)
        .int32(-1)
        .int32(count)
        .raw(records);
    body().int64(offset).int32(rest.0.len() as i32).raw(&rest.0).0
}

fn zigzag(value: i64) -> Vec<u8> {
    body().varint((value << 1 ^ value >> 63).cast_unsigned()).0
}

/// A record with headers.
pub fn record(key: &[u8], value: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let bytes = |bytes: &[u8]| [&zigzag(bytes.len() as i64), bytes].concat();
    let mut rest = [&[0, 0, 0][..], &bytes(key), &bytes(value), &zigzag(headers.len() as i64)].concat();
    for (name, value) in headers {
        rest.extend([bytes(name), bytes(value)].concat());
    }
    [zigzag(rest.len() as i64), rest].concat()
}

/// A topic and its partitions.
pub type Topic<'a, P> = (&'a str, &'a [P]);

/// A Produce of version 7: `topics` of partitions with records.
pub fn produce(id: i32, acks: i16, topics: &[Topic<'_, (i32, Vec<u8>)>]) -> Vec<u8> {
    let mut rest = body().null().int16(acks).int32(30_000).int32(topics.len() as i32);
    for (topic, partitions) in topics {
        rest = rest.text(topic).int32(partitions.len() as i32);
        for (partition, records) in *partitions {
            rest = rest.int32(*partition).int32(records.len() as i32).raw(records);
        }
    }
    request(0, 7, id, false, rest)
}

/// Its response: `topics` of partitions with error codes and offsets.
pub fn produced(id: i32, topics: &[Topic<'_, (i32, i16, i64)>]) -> Vec<u8> {
    let mut rest = body().int32(topics.len() as i32);
    for (topic, partitions) in topics {
        rest = rest.text(topic).int32(partitions.len() as i32);
        for (partition, error, offset) in *partitions {
            rest = rest.int32(*partition).int16(*error).int64(*offset).int64(-1).int64(0);
        }
    }
    response(id, false, rest.int32(0))
}

/// A Heartbeat of version 4 and its response.
pub fn heartbeat(id: i32) -> Vec<u8> {
    request(12, 4, id, true, body().compact("group").int32(1).compact("member").tags().tags())
}

pub fn beaten(id: i32, error: i16) -> Vec<u8> {
    response(id, true, body().int32(0).int16(error).tags())
}

/// A response to ApiVersions of version 3.
pub fn api_versions(id: i32) -> Vec<u8> {
    let rest = body().int16(0).many(1).int16(0).int16(0).int16(11).tags().int32(0).tags();
    response(id, false, rest)
}

pub fn play(conversation: &Conversation) -> Played {
    Driver::whole(&Alone, conversation, false)
}

/// What is told of a conversation from its beginning, without loss.
pub fn told(conversation: &Conversation) -> Vec<String> {
    let played = play(conversation);
    assert_eq!(played.losses, crate::protocol::Losses::default(), "{:#?}", played.told);
    played.told
}

/// Whether what is told after a loss is what was told of the whole, or less: a topic that was named then may have its id
/// only, and a name that held a topic's none.
pub fn less(expected: &str, got: &str) -> bool {
    let words = |line: &str| {
        line[line.find("messaging.system").unwrap()..].split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = words(expected);
    words(got).iter().all(|word| {
        word.starts_with("remora.kafka.request_cut")
            || (word.starts_with("remora.kafka.topic_id") && expected.contains("messaging.destination.name"))
            || whole.contains(word)
    })
}
