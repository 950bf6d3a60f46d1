//! Each protocol with the programs that really speak it: the agent first, the agent in the middle of open connections, and
//! bytes missing.

mod cassandra;
mod dns;
mod grpc;
mod http;
mod http2;
mod kafka;
mod mongodb;
mod mysql;
mod postgresql;
mod redis;
mod websocket;
mod zookeeper;
