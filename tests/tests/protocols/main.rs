//! Each protocol with the programs that really speak it: the agent first, the agent in the middle of open connections, and
//! bytes missing.

mod grpc;
mod http;
mod http2;
mod mongodb;
mod websocket;
mod amqp;
mod fastcgi;
mod cassandra;
mod dns;
mod dubbo;
mod http;
mod kafka;
mod memcached;
mod mongodb;
mod mqtt;
mod nats;
mod redis;
mod postgresql;
mod zookeeper;
mod thrift;
