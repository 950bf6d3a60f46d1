//! Messages between brokers and their controllers.
//!
//! After the JSON message definitions of Apache Kafka 4.4 (`clients/src/main/resources/common/message`), with the fields
//! of versions that 4.0 removed, as 3.9 had them.

use super::Meaning::Error;
use super::{INT8, INT16, INT32, INT64, Layout, TEXT, UUID, array, primitives};

pub(in crate::protocol::kafka) const BROKER_REGISTRATION_REQUEST: Layout = &[
    INT32,
    TEXT,
    UUID,
    array(&[TEXT, TEXT, INT16, INT16]),
    array(&[TEXT, INT16, INT16]),
    TEXT,
    INT8.since(1),
    primitives(&[UUID]).since(2),
    INT64.since(3),
];
pub(in crate::protocol::kafka) const BROKER_REGISTRATION_RESPONSE: Layout = &[INT32, INT16.is(Error), INT64];
pub(in crate::protocol::kafka) const BROKER_HEARTBEAT_REQUEST: Layout = &[INT32, INT64, INT64, INT8, INT8];
pub(in crate::protocol::kafka) const BROKER_HEARTBEAT_RESPONSE: Layout =
    &[INT32, INT16.is(Error), INT8, INT8, INT8];
pub(in crate::protocol::kafka) const CONTROLLER_REGISTRATION_REQUEST: Layout =
    &[INT32, UUID, INT8, array(&[TEXT, TEXT, INT16, INT16]), array(&[TEXT, INT16, INT16])];
pub(in crate::protocol::kafka) const CONTROLLER_REGISTRATION_RESPONSE: Layout =
    &[INT32, INT16.is(Error), TEXT];
pub(in crate::protocol::kafka) const ALLOCATE_PRODUCER_IDS_REQUEST: Layout = &[INT32, INT64];
pub(in crate::protocol::kafka) const ALLOCATE_PRODUCER_IDS_RESPONSE: Layout =
    &[INT32, INT16.is(Error), INT64, INT32];
