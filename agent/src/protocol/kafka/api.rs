//! The APIs by their keys: names, newest known versions, since when flexible, and layouts.
//!
//! After `ApiKeys` and the JSON message definitions of Apache Kafka 4.4.0; for APIs and versions that 4.0 removed, of
//! 3.9.2. Flexible versions (KIP-482) have request header 2 and response header 1, with one exception: the response to
//! `ApiVersions` always has header 0, because a client that asks does not know yet what its broker speaks.

use super::schema::{Layout, cluster, controller, data, groups, transactions};

/// An API.
#[derive(Debug)]
pub(super) struct Api {
    /// Its name, as the protocol guide spells it.
    pub name: &'static str,
    /// The newest version that the tables know.
    pub newest: i16,
    /// The first flexible version.
    flexible: i16,
    /// The layouts of its request and response, if they are read.
    pub layouts: Option<[Layout; 2]>,
}

impl Api {
    /// Whether a version is flexible.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }
}

/// Records from a producer.
pub(super) const PRODUCE: i16 = 0;
/// Records for a consumer, or for a follower.
pub(super) const FETCH: i16 = 1;
/// Brokers, topics and partitions.
pub(super) const METADATA: i16 = 3;
/// A broker leaves; its version 0 alone has request header 0, without a client id.
pub(super) const CONTROLLED_SHUTDOWN: i16 = 7;
/// A group's offsets are stored.
pub(super) const OFFSET_COMMIT: i16 = 8;
/// A group's offsets are asked for.
pub(super) const OFFSET_FETCH: i16 = 9;
/// A member joins a group.
pub(super) const JOIN_GROUP: i16 = 11;
/// A member of a group is alive.
pub(super) const HEARTBEAT: i16 = 12;
/// What the leader of a group assigned.
pub(super) const SYNC_GROUP: i16 = 14;
/// Which mechanism will authenticate.
pub(super) const SASL_HANDSHAKE: i16 = 17;
/// What a broker speaks.
pub(super) const API_VERSIONS: i16 = 18;
/// Topics are made.
pub(super) const CREATE_TOPICS: i16 = 19;
/// Partitions take part in a transaction.
pub(super) const ADD_PARTITIONS_TO_TXN: i16 = 24;
/// Topics and partitions, page by page.
pub(super) const DESCRIBE_TOPIC_PARTITIONS: i16 = 75;
/// Records for a member of a share group.
pub(super) const SHARE_FETCH: i16 = 78;

/// The API with a key.
pub(super) fn api(key: i16) -> Option<&'static Api> {
    usize::try_from(key).ok().and_then(|key| APIS.get(key))
}

const NEVER: i16 = i16::MAX;

const fn read(name: &'static str, newest: i16, flexible: i16, request: Layout, response: Layout) -> Api {
    Api { name, newest, flexible, layouts: Some([request, response]) }
}

const fn named(name: &'static str, newest: i16, flexible: i16) -> Api {
    Api { name, newest, flexible, layouts: None }
}

/// By key, from 0.
static APIS: &[Api] = &[
    read("Produce", 13, 9, data::PRODUCE_REQUEST, data::PRODUCE_RESPONSE),
    read("Fetch", 18, 12, data::FETCH_REQUEST, data::FETCH_RESPONSE),
    read("ListOffsets", 11, 6, data::LIST_OFFSETS_REQUEST, data::LIST_OFFSETS_RESPONSE),
    read("Metadata", 13, 9, cluster::METADATA_REQUEST, cluster::METADATA_RESPONSE),
    named("LeaderAndIsr", 7, 4),
    named("StopReplica", 4, 2),
    named("UpdateMetadata", 8, 6),
    named("ControlledShutdown", 3, 3),
    read("OffsetCommit", 10, 8, groups::OFFSET_COMMIT_REQUEST, groups::OFFSET_COMMIT_RESPONSE),
    read("OffsetFetch", 10, 6, groups::OFFSET_FETCH_REQUEST, groups::OFFSET_FETCH_RESPONSE),
    read("FindCoordinator", 6, 3, groups::FIND_COORDINATOR_REQUEST, groups::FIND_COORDINATOR_RESPONSE),
    read("JoinGroup", 9, 6, groups::JOIN_GROUP_REQUEST, groups::JOIN_GROUP_RESPONSE),
    read("Heartbeat", 4, 4, groups::HEARTBEAT_REQUEST, groups::HEARTBEAT_RESPONSE),
    read("LeaveGroup", 5, 4, groups::LEAVE_GROUP_REQUEST, groups::LEAVE_GROUP_RESPONSE),
    read("SyncGroup", 5, 4, groups::SYNC_GROUP_REQUEST, groups::SYNC_GROUP_RESPONSE),
    read("DescribeGroups", 6, 5, groups::DESCRIBE_GROUPS_REQUEST, groups::DESCRIBE_GROUPS_RESPONSE),
    read("ListGroups", 5, 3, groups::LIST_GROUPS_REQUEST, groups::LIST_GROUPS_RESPONSE),
    read("SaslHandshake", 1, NEVER, cluster::SASL_HANDSHAKE_REQUEST, cluster::SASL_HANDSHAKE_RESPONSE),
    read("ApiVersions", 5, 3, cluster::API_VERSIONS_REQUEST, cluster::API_VERSIONS_RESPONSE),
    read("CreateTopics", 7, 5, cluster::CREATE_TOPICS_REQUEST, cluster::CREATE_TOPICS_RESPONSE),
    read("DeleteTopics", 6, 4, cluster::DELETE_TOPICS_REQUEST, cluster::DELETE_TOPICS_RESPONSE),
    read("DeleteRecords", 2, 2, data::DELETE_RECORDS_REQUEST, data::DELETE_RECORDS_RESPONSE),
    read(
        "InitProducerId",
        6,
        2,
        transactions::INIT_PRODUCER_ID_REQUEST,
        transactions::INIT_PRODUCER_ID_RESPONSE,
    ),
    read(
        "OffsetForLeaderEpoch",
        4,
        4,
        data::OFFSET_FOR_LEADER_EPOCH_REQUEST,
        data::OFFSET_FOR_LEADER_EPOCH_RESPONSE,
    ),
    read(
        "AddPartitionsToTxn",
        5,
        3,
        transactions::ADD_PARTITIONS_TO_TXN_REQUEST,
        transactions::ADD_PARTITIONS_TO_TXN_RESPONSE,
    ),
    read(
        "AddOffsetsToTxn",
        4,
        3,
        transactions::ADD_OFFSETS_TO_TXN_REQUEST,
        transactions::ADD_OFFSETS_TO_TXN_RESPONSE,
    ),
    read("EndTxn", 5, 3, transactions::END_TXN_REQUEST, transactions::END_TXN_RESPONSE),
    named("WriteTxnMarkers", 2, 1),
    read(
        "TxnOffsetCommit",
        6,
        3,
        transactions::TXN_OFFSET_COMMIT_REQUEST,
        transactions::TXN_OFFSET_COMMIT_RESPONSE,
    ),
    named("DescribeAcls", 3, 2),
    named("CreateAcls", 3, 2),
    named("DeleteAcls", 3, 2),
    named("DescribeConfigs", 4, 4),
    named("AlterConfigs", 2, 2),
    named("AlterReplicaLogDirs", 2, 2),
    named("DescribeLogDirs", 5, 2),
    read("SaslAuthenticate", 2, 2, cluster::SASL_AUTHENTICATE_REQUEST, cluster::SASL_AUTHENTICATE_RESPONSE),
    read("CreatePartitions", 3, 2, cluster::CREATE_PARTITIONS_REQUEST, cluster::CREATE_PARTITIONS_RESPONSE),
    named("CreateDelegationToken", 3, 2),
    named("RenewDelegationToken", 2, 2),
    named("ExpireDelegationToken", 2, 2),
    named("DescribeDelegationToken", 3, 2),
    read("DeleteGroups", 3, 2, groups::DELETE_GROUPS_REQUEST, groups::DELETE_GROUPS_RESPONSE),
    named("ElectLeaders", 2, 2),
    named("IncrementalAlterConfigs", 1, 1),
    named("AlterPartitionReassignments", 1, 0),
    named("ListPartitionReassignments", 0, 0),
    read("OffsetDelete", 0, NEVER, groups::OFFSET_DELETE_REQUEST, groups::OFFSET_DELETE_RESPONSE),
    named("DescribeClientQuotas", 1, 1),
    named("AlterClientQuotas", 1, 1),
    named("DescribeUserScramCredentials", 0, 0),
    named("AlterUserScramCredentials", 0, 0),
    named("Vote", 2, 0),
    named("BeginQuorumEpoch", 1, 1),
    named("EndQuorumEpoch", 1, 1),
    named("DescribeQuorum", 2, 0),
    named("AlterPartition", 3, 0),
    named("UpdateFeatures", 2, 0),
    named("Envelope", 0, 0),
    named("FetchSnapshot", 1, 0),
    read("DescribeCluster", 2, 0, cluster::DESCRIBE_CLUSTER_REQUEST, cluster::DESCRIBE_CLUSTER_RESPONSE),
    named("DescribeProducers", 0, 0),
    read(
        "BrokerRegistration",
        4,
        0,
        controller::BROKER_REGISTRATION_REQUEST,
        controller::BROKER_REGISTRATION_RESPONSE,
    ),
    read(
        "BrokerHeartbeat",
        2,
        0,
        controller::BROKER_HEARTBEAT_REQUEST,
        controller::BROKER_HEARTBEAT_RESPONSE,
    ),
    named("UnregisterBroker", 0, 0),
    named("DescribeTransactions", 0, 0),
    named("ListTransactions", 2, 0),
    read(
        "AllocateProducerIds",
        0,
        0,
        controller::ALLOCATE_PRODUCER_IDS_REQUEST,
        controller::ALLOCATE_PRODUCER_IDS_RESPONSE,
    ),
    read(
        "ConsumerGroupHeartbeat",
        1,
        0,
        groups::CONSUMER_GROUP_HEARTBEAT_REQUEST,
        groups::CONSUMER_GROUP_HEARTBEAT_RESPONSE,
    ),
    named("ConsumerGroupDescribe", 1, 0),
    read(
        "ControllerRegistration",
        0,
        0,
        controller::CONTROLLER_REGISTRATION_REQUEST,
        controller::CONTROLLER_REGISTRATION_RESPONSE,
    ),
    named("GetTelemetrySubscriptions", 0, 0),
    named("PushTelemetry", 0, 0),
    named("AssignReplicasToDirs", 0, 0),
    named("ListConfigResources", 1, 0),
    read(
        "DescribeTopicPartitions",
        0,
        0,
        cluster::DESCRIBE_TOPIC_PARTITIONS_REQUEST,
        cluster::DESCRIBE_TOPIC_PARTITIONS_RESPONSE,
    ),
    read(
        "ShareGroupHeartbeat",
        1,
        0,
        groups::SHARE_GROUP_HEARTBEAT_REQUEST,
        groups::SHARE_GROUP_HEARTBEAT_RESPONSE,
    ),
    named("ShareGroupDescribe", 1, 0),
    read("ShareFetch", 2, 0, data::SHARE_FETCH_REQUEST, data::SHARE_FETCH_RESPONSE),
    read("ShareAcknowledge", 2, 0, data::SHARE_ACKNOWLEDGE_REQUEST, data::SHARE_ACKNOWLEDGE_RESPONSE),
    named("AddRaftVoter", 1, 0),
    named("RemoveRaftVoter", 0, 0),
    named("UpdateRaftVoter", 0, 0),
    named("InitializeShareGroupState", 0, 0),
    named("ReadShareGroupState", 0, 0),
    named("WriteShareGroupState", 1, 0),
    named("DeleteShareGroupState", 0, 0),
    named("ReadShareGroupStateSummary", 1, 0),
    named("StreamsGroupHeartbeat", 1, 0),
    named("StreamsGroupDescribe", 1, 0),
    named("DescribeShareGroupOffsets", 1, 0),
    named("AlterShareGroupOffsets", 0, 0),
    named("DeleteShareGroupOffsets", 0, 0),
    named("StreamsGroupTopologyDescriptionUpdate", 0, 0),
    named("UnregisterController", 0, 0),
];
