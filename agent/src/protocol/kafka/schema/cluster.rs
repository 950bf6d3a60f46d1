//! Messages about the cluster, its topics and the connection itself.
//!
//! After the JSON message definitions of Apache Kafka 4.4 (`clients/src/main/resources/common/message`), with the fields
//! of versions that 4.0 removed, as 3.9 had them.

use super::Meaning::{Error, Mechanism, Partition, Partitions, Topic, TopicId, Topics};
use super::{BYTES, INT8, INT16, INT32, INT64, Layout, TEXT, UUID, array, optional, primitives};

pub(in crate::protocol::kafka) const METADATA_REQUEST: Layout = &[
    array(&[UUID.since(10).is(TopicId), TEXT.is(Topic)]).is(Topics),
    INT8.since(4),
    INT8.since(8).until(10),
    INT8.since(8),
];
pub(in crate::protocol::kafka) const METADATA_RESPONSE: Layout = &[
    INT32.since(3),
    array(&[INT32, TEXT, INT32, TEXT.since(1)]),
    TEXT.since(2),
    INT32.since(1),
    array(&[
        INT16.is(Error),
        TEXT.is(Topic),
        UUID.since(10).is(TopicId),
        INT8.since(1),
        array(&[
            INT16.is(Error),
            INT32.is(Partition),
            INT32,
            INT32.since(7),
            primitives(&[INT32]),
            primitives(&[INT32]),
            primitives(&[INT32]).since(5),
        ])
        .is(Partitions),
        INT32.since(8),
    ])
    .is(Topics),
    INT32.since(8).until(10),
    INT16.since(13).is(Error),
];
pub(in crate::protocol::kafka) const API_VERSIONS_REQUEST: Layout =
    &[TEXT.since(3), TEXT.since(3), TEXT.since(5), INT32.since(5)];
pub(in crate::protocol::kafka) const API_VERSIONS_RESPONSE: Layout =
    &[INT16.is(Error), array(&[INT16, INT16, INT16]), INT32.since(1)];
pub(in crate::protocol::kafka) const SASL_HANDSHAKE_REQUEST: Layout = &[TEXT.is(Mechanism)];
pub(in crate::protocol::kafka) const SASL_HANDSHAKE_RESPONSE: Layout =
    &[INT16.is(Error), primitives(&[TEXT])];
pub(in crate::protocol::kafka) const SASL_AUTHENTICATE_REQUEST: Layout = &[BYTES];
pub(in crate::protocol::kafka) const SASL_AUTHENTICATE_RESPONSE: Layout =
    &[INT16.is(Error), TEXT, BYTES, INT64.since(1)];
pub(in crate::protocol::kafka) const CREATE_TOPICS_REQUEST: Layout = &[
    array(&[TEXT.is(Topic), INT32, INT16, array(&[INT32, primitives(&[INT32])]), array(&[TEXT, TEXT])])
        .is(Topics),
    INT32,
    INT8.since(1),
];
pub(in crate::protocol::kafka) const CREATE_TOPICS_RESPONSE: Layout = &[
    INT32.since(2),
    array(&[
        TEXT.is(Topic),
        UUID.since(7).is(TopicId),
        INT16.is(Error),
        TEXT.since(1),
        INT32.since(5),
        INT16.since(5),
        array(&[TEXT.since(5), TEXT.since(5), INT8.since(5), INT8.since(5), INT8.since(5)]).since(5),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const DELETE_TOPICS_REQUEST: Layout = &[
    array(&[TEXT.since(6).is(Topic), UUID.since(6).is(TopicId)]).since(6).is(Topics),
    primitives(&[TEXT.is(Topic)]).until(5).is(Topics),
    INT32,
];
pub(in crate::protocol::kafka) const DELETE_TOPICS_RESPONSE: Layout = &[
    INT32.since(1),
    array(&[TEXT.is(Topic), UUID.since(6).is(TopicId), INT16.is(Error), TEXT.since(5)]).is(Topics),
];
pub(in crate::protocol::kafka) const CREATE_PARTITIONS_REQUEST: Layout =
    &[array(&[TEXT.is(Topic), INT32, array(&[primitives(&[INT32])])]).is(Topics), INT32, INT8];
pub(in crate::protocol::kafka) const CREATE_PARTITIONS_RESPONSE: Layout =
    &[INT32, array(&[TEXT.is(Topic), INT16.is(Error), TEXT]).is(Topics)];
pub(in crate::protocol::kafka) const DESCRIBE_CLUSTER_REQUEST: Layout = &[INT8, INT8.since(1), INT8.since(2)];
pub(in crate::protocol::kafka) const DESCRIBE_CLUSTER_RESPONSE: Layout = &[
    INT32,
    INT16.is(Error),
    TEXT,
    INT8.since(1),
    TEXT,
    INT32,
    array(&[INT32, TEXT, INT32, TEXT, INT8.since(2)]),
    INT32,
];
pub(in crate::protocol::kafka) const DESCRIBE_TOPIC_PARTITIONS_REQUEST: Layout =
    &[array(&[TEXT.is(Topic)]).is(Topics), INT32, optional(&[TEXT, INT32])];
pub(in crate::protocol::kafka) const DESCRIBE_TOPIC_PARTITIONS_RESPONSE: Layout = &[
    INT32,
    array(&[
        INT16.is(Error),
        TEXT.is(Topic),
        UUID.is(TopicId),
        INT8,
        array(&[
            INT16.is(Error),
            INT32.is(Partition),
            INT32,
            INT32,
            primitives(&[INT32]),
            primitives(&[INT32]),
            primitives(&[INT32]),
            primitives(&[INT32]),
            primitives(&[INT32]),
        ])
        .is(Partitions),
        INT32,
    ])
    .is(Topics),
    optional(&[TEXT, INT32]),
];
