//! Messages of consumer and share groups.
//!
//! After the JSON message definitions of Apache Kafka 4.4 (`clients/src/main/resources/common/message`), with the fields
//! of versions that 4.0 removed, as 3.9 had them.

use super::Meaning::{
    CoordinatorKey, CoordinatorKind, Error, Group, Partition, Partitions, Topic, TopicId, Topics,
};
use super::{BYTES, INT8, INT16, INT32, INT64, Layout, TEXT, UUID, array, optional, primitives};

pub(in crate::protocol::kafka) const FIND_COORDINATOR_REQUEST: Layout = &[
    TEXT.until(3).is(CoordinatorKey),
    INT8.since(1).is(CoordinatorKind),
    primitives(&[TEXT.is(CoordinatorKey)]).since(4),
];
pub(in crate::protocol::kafka) const FIND_COORDINATOR_RESPONSE: Layout = &[
    INT32.since(1),
    INT16.until(3).is(Error),
    TEXT.since(1).until(3),
    INT32.until(3),
    TEXT.until(3),
    INT32.until(3),
    array(&[
        TEXT.since(4),
        INT32.since(4),
        TEXT.since(4),
        INT32.since(4),
        INT16.since(4).is(Error),
        TEXT.since(4),
    ])
    .since(4),
];
pub(in crate::protocol::kafka) const OFFSET_COMMIT_REQUEST: Layout = &[
    TEXT.is(Group),
    INT32.since(1),
    TEXT.since(1),
    TEXT.since(7),
    INT64.since(2).until(4),
    array(&[
        TEXT.until(9).is(Topic),
        UUID.since(10).is(TopicId),
        array(&[INT32.is(Partition), INT64, INT32.since(6), INT64.since(1).until(1), TEXT]).is(Partitions),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const OFFSET_COMMIT_RESPONSE: Layout = &[
    INT32.since(3),
    array(&[
        TEXT.until(9).is(Topic),
        UUID.since(10).is(TopicId),
        array(&[INT32.is(Partition), INT16.is(Error)]).is(Partitions),
    ])
    .is(Topics),
];
pub(in crate::protocol::kafka) const OFFSET_FETCH_REQUEST: Layout = &[
    TEXT.until(7).is(Group),
    array(&[TEXT.until(7).is(Topic), primitives(&[INT32.is(Partition)]).until(7).is(Partitions)])
        .until(7)
        .is(Topics),
    array(&[
        TEXT.since(8).is(Group),
        TEXT.since(9),
        INT32.since(9),
        array(&[
            TEXT.since(8).until(9).is(Topic),
            UUID.since(10).is(TopicId),
            primitives(&[INT32.is(Partition)]).since(8).is(Partitions),
        ])
        .since(8)
        .is(Topics),
    ])
    .since(8),
    INT8.since(7),
];
pub(in crate::protocol::kafka) const OFFSET_FETCH_RESPONSE: Layout = &[
    INT32.since(3),
    array(&[
        TEXT.until(7).is(Topic),
        array(&[
            INT32.until(7).is(Partition),
            INT64.until(7),
            INT32.since(5).until(7),
            TEXT.until(7),
            INT16.until(7).is(Error),
        ])
        .until(7)
        .is(Partitions),
    ])
    .until(7)
    .is(Topics),
    INT16.since(2).until(7).is(Error),
    array(&[
        TEXT.since(8).is(Group),
        array(&[
            TEXT.since(8).until(9).is(Topic),
            UUID.since(10).is(TopicId),
            array(&[
                INT32.since(8).is(Partition),
                INT64.since(8),
                INT32.since(8),
                TEXT.since(8),
                INT16.since(8).is(Error),
            ])
            .since(8)
            .is(Partitions),
        ])
        .since(8)
        .is(Topics),
        INT16.since(8).is(Error),
    ])
    .since(8),
];
pub(in crate::protocol::kafka) const JOIN_GROUP_REQUEST: Layout =
    &[TEXT.is(Group), INT32, INT32.since(1), TEXT, TEXT.since(5), TEXT, array(&[TEXT, BYTES]), TEXT.since(8)];
pub(in crate::protocol::kafka) const JOIN_GROUP_RESPONSE: Layout = &[
    INT32.since(2),
    INT16.is(Error),
    INT32,
    TEXT.since(7),
    TEXT,
    TEXT,
    INT8.since(9),
    TEXT,
    array(&[TEXT, TEXT.since(5), BYTES]),
];
pub(in crate::protocol::kafka) const SYNC_GROUP_REQUEST: Layout =
    &[TEXT.is(Group), INT32, TEXT, TEXT.since(3), TEXT.since(5), TEXT.since(5), array(&[TEXT, BYTES])];
pub(in crate::protocol::kafka) const SYNC_GROUP_RESPONSE: Layout =
    &[INT32.since(1), INT16.is(Error), TEXT.since(5), TEXT.since(5), BYTES];
pub(in crate::protocol::kafka) const HEARTBEAT_REQUEST: Layout =
    &[TEXT.is(Group), INT32, TEXT, TEXT.since(3)];
pub(in crate::protocol::kafka) const HEARTBEAT_RESPONSE: Layout = &[INT32.since(1), INT16.is(Error)];
pub(in crate::protocol::kafka) const LEAVE_GROUP_REQUEST: Layout =
    &[TEXT.is(Group), TEXT.until(2), array(&[TEXT.since(3), TEXT.since(3), TEXT.since(5)]).since(3)];
pub(in crate::protocol::kafka) const LEAVE_GROUP_RESPONSE: Layout = &[
    INT32.since(1),
    INT16.is(Error),
    array(&[TEXT.since(3), TEXT.since(3), INT16.since(3).is(Error)]).since(3),
];
pub(in crate::protocol::kafka) const DESCRIBE_GROUPS_REQUEST: Layout =
    &[primitives(&[TEXT.is(Group)]), INT8.since(3)];
pub(in crate::protocol::kafka) const DESCRIBE_GROUPS_RESPONSE: Layout = &[
    INT32.since(1),
    array(&[
        INT16.is(Error),
        TEXT.since(6),
        TEXT.is(Group),
        TEXT,
        TEXT,
        TEXT,
        array(&[TEXT, TEXT.since(4), TEXT, TEXT, BYTES, BYTES]),
        INT32.since(3),
    ]),
];
pub(in crate::protocol::kafka) const LIST_GROUPS_REQUEST: Layout =
    &[primitives(&[TEXT]).since(4), primitives(&[TEXT]).since(5)];
pub(in crate::protocol::kafka) const LIST_GROUPS_RESPONSE: Layout =
    &[INT32.since(1), INT16.is(Error), array(&[TEXT.is(Group), TEXT, TEXT.since(4), TEXT.since(5)])];
pub(in crate::protocol::kafka) const DELETE_GROUPS_REQUEST: Layout = &[primitives(&[TEXT.is(Group)])];
pub(in crate::protocol::kafka) const DELETE_GROUPS_RESPONSE: Layout =
    &[INT32, array(&[TEXT.is(Group), INT16.is(Error), TEXT.since(3)])];
pub(in crate::protocol::kafka) const OFFSET_DELETE_REQUEST: Layout =
    &[TEXT.is(Group), array(&[TEXT.is(Topic), array(&[INT32.is(Partition)]).is(Partitions)]).is(Topics)];
pub(in crate::protocol::kafka) const OFFSET_DELETE_RESPONSE: Layout = &[
    INT16.is(Error),
    INT32,
    array(&[TEXT.is(Topic), array(&[INT32.is(Partition), INT16.is(Error)]).is(Partitions)]).is(Topics),
];
pub(in crate::protocol::kafka) const CONSUMER_GROUP_HEARTBEAT_REQUEST: Layout = &[
    TEXT.is(Group),
    TEXT,
    INT32,
    TEXT,
    TEXT,
    INT32,
    primitives(&[TEXT]),
    TEXT.since(1),
    TEXT,
    array(&[UUID, primitives(&[INT32])]),
];
pub(in crate::protocol::kafka) const CONSUMER_GROUP_HEARTBEAT_RESPONSE: Layout =
    &[INT32, INT16.is(Error), TEXT, TEXT, INT32, INT32, optional(&[array(&[UUID, primitives(&[INT32])])])];
pub(in crate::protocol::kafka) const SHARE_GROUP_HEARTBEAT_REQUEST: Layout =
    &[TEXT.is(Group), TEXT, INT32, TEXT, primitives(&[TEXT])];
pub(in crate::protocol::kafka) const SHARE_GROUP_HEARTBEAT_RESPONSE: Layout =
    &[INT32, INT16.is(Error), TEXT, TEXT, INT32, INT32, optional(&[array(&[UUID, primitives(&[INT32])])])];
