//! Each protocol with the programs that really speak it: the agent first, the agent in the middle of open connections, and
//! bytes missing.

mod amqp;
mod cassandra;
mod dns;
mod dubbo;
mod fastcgi;
mod grpc;
mod http;
mod http2;
mod http_calls;
mod kafka;
mod memcached;
mod mongodb;
mod mqtt;
mod mysql;
mod nats;
mod postgresql;
mod redis;
mod thrift;
mod websocket;
mod zookeeper;
