//! Metrics that several protocols have in common. Those of one protocol stand in its folder.

pub mod database;
pub mod messaging;
pub mod rpc;
