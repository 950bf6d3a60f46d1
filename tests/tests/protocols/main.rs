//! Each protocol with the programs that really speak it: the agent first, the agent in the middle of open connections, and
//! bytes missing.

mod amqp;
mod cassandra;
mod dns;
mod fastcgi;
mod http;
mod kafka;
mod mongodb;
mod mqtt;
mod redis;
