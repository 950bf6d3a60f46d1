//! Each protocol with the programs that really speak it: the agent first, the agent in the middle of open connections, and
//! bytes missing.

mod cassandra;
mod dns;
mod http;
mod kafka;
mod memcached;
mod mongodb;
mod nats;
mod redis;
