//! Each protocol with the programs that really speak it: the agent first, the agent in the middle of open connections, and
//! bytes missing.

mod grpc;
mod http;
mod http2;
mod mongodb;
mod websocket;
mod cassandra;
mod dns;
mod http;
mod kafka;
mod mongodb;
mod redis;
mod postgresql;
mod zookeeper;
