//! Messages that carry records, and those about offsets in partitions.
//!
//! After the JSON message definitions of Apache Kafka 4.4 (`clients/src/main/resources/common/message`), with the fields
//! of versions that 4.0 removed, as 3.9 had them.

use super::Meaning::{Acks, Error, Group, Offset, Partition, Partitions, Replica, Topic, TopicId, Topics};
use super::{INT8, INT16, INT32, INT64, Layout, RECORDS, TEXT, UUID, array, primitives, structure, tagged};

pub(in crate::protocol::kafka) const PRODUCE_REQUEST: Layout = &[
    TEXT.since(3),
    INT16.is(Acks),
    INT32,
    array(&[
        TEXT.until(12).is(Topic),
        UUID.since(13).is(TopicId),
        array(&[INT32.is(Partition), RECORDS]).is(Partitions),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const PRODUCE_RESPONSE: Layout = &[
    array(&[
        TEXT.until(12).is(Topic),
        UUID.since(13).is(TopicId),
        array(&[
            INT32.is(Partition),
            INT16.is(Error),
            INT64.is(Offset),
            INT64.since(2),
            INT64.since(5),
            array(&[INT32.since(8), TEXT.since(8)]).since(8),
            TEXT.since(8),
        ])
        .is(Partitions),
    ])
    .is(Topics),
    INT32.since(1),
];
pub(in crate::protocol::kafka) const FETCH_REQUEST: Layout = &[
    INT32.until(14).is(Replica),
    tagged(1, &[INT32.since(15).is(Replica), INT64.since(15)]).since(15),
    INT32,
    INT32,
    INT32.since(3),
    INT8.since(4),
    INT32.since(7),
    INT32.since(7),
    array(&[
        TEXT.until(12).is(Topic),
        UUID.since(13).is(TopicId),
        array(&[
            INT32.is(Partition),
            INT32.since(9),
            INT64.is(Offset),
            INT32.since(12),
            INT64.since(5),
            INT32,
        ])
        .is(Partitions),
    ])
    .is(Topics),
    array(&[TEXT.until(12), UUID.since(13), primitives(&[INT32])]).since(7),
    TEXT.since(11),
];
pub(in crate::protocol::kafka) const FETCH_RESPONSE: Layout = &[
    INT32.since(1),
    INT16.since(7).is(Error),
    INT32.since(7),
    array(&[
        TEXT.until(12).is(Topic),
        UUID.since(13).is(TopicId),
        array(&[
            INT32.is(Partition),
            INT16.is(Error),
            INT64,
            INT64.since(4),
            INT64.since(5),
            array(&[INT64.since(4), INT64.since(4)]).since(4),
            INT32.since(11),
            RECORDS,
        ])
        .is(Partitions),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const LIST_OFFSETS_REQUEST: Layout = &[
    INT32,
    INT8.since(2),
    array(&[
        TEXT.is(Topic),
        array(&[INT32.is(Partition), INT32.since(4), INT64, INT32.until(0)]).is(Partitions),
    ])
    .is(Topics),
    INT32.since(10),
];
pub(in crate::protocol::kafka) const LIST_OFFSETS_RESPONSE: Layout = &[
    INT32.since(2),
    array(&[
        TEXT.is(Topic),
        array(&[
            INT32.is(Partition),
            INT16.is(Error),
            primitives(&[INT64]).until(0),
            INT64.since(1),
            INT64.since(1),
            INT32.since(4),
        ])
        .is(Partitions),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const DELETE_RECORDS_REQUEST: Layout =
    &[array(&[TEXT.is(Topic), array(&[INT32.is(Partition), INT64]).is(Partitions)]).is(Topics), INT32];
pub(in crate::protocol::kafka) const DELETE_RECORDS_RESPONSE: Layout = &[
    INT32,
    array(&[TEXT.is(Topic), array(&[INT32.is(Partition), INT64, INT16.is(Error)]).is(Partitions)]).is(Topics),
];
pub(in crate::protocol::kafka) const OFFSET_FOR_LEADER_EPOCH_REQUEST: Layout = &[
    INT32.since(3),
    array(&[TEXT.is(Topic), array(&[INT32.is(Partition), INT32.since(2), INT32]).is(Partitions)]).is(Topics),
];
pub(in crate::protocol::kafka) const OFFSET_FOR_LEADER_EPOCH_RESPONSE: Layout = &[
    INT32.since(2),
    array(&[
        TEXT.is(Topic),
        array(&[INT16.is(Error), INT32.is(Partition), INT32.since(1), INT64]).is(Partitions),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const SHARE_FETCH_REQUEST: Layout = &[
    TEXT.is(Group),
    TEXT,
    INT32,
    INT32,
    INT32,
    INT32,
    INT32.since(1),
    INT32.since(1),
    INT8.since(2),
    INT8.since(2),
    array(&[
        UUID.is(TopicId),
        array(&[INT32.is(Partition), INT32.until(0), array(&[INT64, INT64, primitives(&[INT8])])])
            .is(Partitions),
    ])
    .is(Topics),
    array(&[UUID, primitives(&[INT32])]),
];
pub(in crate::protocol::kafka) const SHARE_FETCH_RESPONSE: Layout = &[
    INT32,
    INT16.is(Error),
    TEXT,
    INT32.since(1),
    array(&[
        UUID.is(TopicId),
        array(&[
            INT32.is(Partition),
            INT16.is(Error),
            TEXT,
            INT16,
            TEXT,
            structure(&[INT32, INT32]),
            RECORDS,
            array(&[INT64, INT64, INT16]),
        ])
        .is(Partitions),
    ])
    .is(Topics),
    array(&[INT32, TEXT, INT32, TEXT]),
];
pub(in crate::protocol::kafka) const SHARE_ACKNOWLEDGE_REQUEST: Layout = &[
    TEXT.is(Group),
    TEXT,
    INT32,
    INT8.since(2),
    array(&[
        UUID.is(TopicId),
        array(&[INT32.is(Partition), array(&[INT64, INT64, primitives(&[INT8])])]).is(Partitions),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const SHARE_ACKNOWLEDGE_RESPONSE: Layout = &[
    INT32,
    INT16.is(Error),
    TEXT,
    INT32.since(2),
    array(&[
        UUID.is(TopicId),
        array(&[INT32.is(Partition), INT16.is(Error), TEXT, structure(&[INT32, INT32])]).is(Partitions),
    ])
    .is(Topics),
    array(&[INT32, TEXT, INT32, TEXT]),
];
