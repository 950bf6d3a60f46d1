//! Messages of transactional producers.
//!
//! After the JSON message definitions of Apache Kafka 4.4 (`clients/src/main/resources/common/message`), with the fields
//! of versions that 4.0 removed, as 3.9 had them.

use super::Meaning::{Committed, Error, Group, Partition, Partitions, Topic, TopicId, Topics};
use super::{INT8, INT16, INT32, INT64, Layout, TEXT, UUID, array, primitives};

pub(in crate::protocol::kafka) const INIT_PRODUCER_ID_REQUEST: Layout =
    &[TEXT, INT32, INT64.since(3), INT16.since(3), INT8.since(6), INT8.since(6)];
pub(in crate::protocol::kafka) const INIT_PRODUCER_ID_RESPONSE: Layout =
    &[INT32, INT16.is(Error), INT64, INT16, INT64.since(6), INT16.since(6)];
pub(in crate::protocol::kafka) const ADD_PARTITIONS_TO_TXN_REQUEST: Layout = &[
    array(&[
        TEXT.since(4),
        INT64.since(4),
        INT16.since(4),
        INT8.since(4),
        array(&[TEXT.is(Topic), primitives(&[INT32.is(Partition)]).is(Partitions)]).since(4).is(Topics),
    ])
    .since(4),
    TEXT.until(3),
    INT64.until(3),
    INT16.until(3),
    array(&[TEXT.is(Topic), primitives(&[INT32.is(Partition)]).is(Partitions)]).until(3).is(Topics),
];
pub(in crate::protocol::kafka) const ADD_PARTITIONS_TO_TXN_RESPONSE: Layout = &[
    INT32,
    INT16.since(4).is(Error),
    array(&[
        TEXT.since(4),
        array(&[TEXT.is(Topic), array(&[INT32.is(Partition), INT16.is(Error)]).is(Partitions)])
            .since(4)
            .is(Topics),
    ])
    .since(4),
    array(&[TEXT.is(Topic), array(&[INT32.is(Partition), INT16.is(Error)]).is(Partitions)])
        .until(3)
        .is(Topics),
];
pub(in crate::protocol::kafka) const ADD_OFFSETS_TO_TXN_REQUEST: Layout =
    &[TEXT, INT64, INT16, TEXT.is(Group)];
pub(in crate::protocol::kafka) const ADD_OFFSETS_TO_TXN_RESPONSE: Layout = &[INT32, INT16.is(Error)];
pub(in crate::protocol::kafka) const END_TXN_REQUEST: Layout = &[TEXT, INT64, INT16, INT8.is(Committed)];
pub(in crate::protocol::kafka) const END_TXN_RESPONSE: Layout =
    &[INT32, INT16.is(Error), INT64.since(5), INT16.since(5)];
pub(in crate::protocol::kafka) const TXN_OFFSET_COMMIT_REQUEST: Layout = &[
    TEXT,
    TEXT.is(Group),
    INT64,
    INT16,
    INT32.since(3),
    TEXT.since(3),
    TEXT.since(3),
    array(&[
        TEXT.until(5).is(Topic),
        UUID.since(6).is(TopicId),
        array(&[INT32.is(Partition), INT64, INT32.since(2), TEXT]).is(Partitions),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const TXN_OFFSET_COMMIT_RESPONSE: Layout = &[
    INT32,
    array(&[
        TEXT.until(5).is(Topic),
        UUID.since(6).is(TopicId),
        array(&[INT32.is(Partition), INT16.is(Error)]).is(Partitions),
    ])
    .is(Topics),
];
